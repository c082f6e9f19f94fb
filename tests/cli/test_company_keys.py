"""``citybill keys``: issued once in clear, listed without, revoked by id."""

import json


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


def test_an_agents_key_is_its_own_kind_and_of_agents_the_city_has(citybill):
    agents = {"CITYBILL_COUNTER_AGENTS": '{"family": {"name": "全家"}}'}
    unknown = citybill("keys", "issue", "family", "--agent")

    issued = json.loads(citybill("keys", "issue", "family", "--agent", "--json", **agents).stdout)
    listed = json.loads(citybill("keys", "list", "--json").stdout)["keys"]

    assert unknown.returncode == 1
    assert "CITYBILL_COUNTER_AGENTS" in unknown.stderr
    assert {key["id"]: key["holder"] for key in listed}[issued["id"]] == "agent"
