"""``citybill keys``: issued once in clear, listed without, revoked by id."""

import json

from tests.cli.test_commands import citybill

__all__ = ["citybill"]


def test_a_key_is_issued_listed_and_revoked(citybill):
    issued = json.loads(citybill("keys", "issue", "water", "--json").stdout)
    listed = citybill("keys", "list", "--json").stdout
    revoked = citybill("keys", "revoke", issued["id"])
    after = json.loads(citybill("keys", "list", "water", "--json").stdout)

    assert issued["secret"] not in listed
    assert [key["id"] for key in json.loads(listed)["keys"]] == [issued["id"]]
    assert revoked.returncode == 0
    assert after["keys"][0]["revoked_at"]


def test_a_company_nobody_knows_gets_no_key(citybill):
    done = citybill("keys", "issue", "nobody")

    assert done.returncode == 1
    assert "there is no provider" in done.stderr
