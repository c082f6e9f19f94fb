"""The guide's example is right, secrets are sealed, and two keys are live at most."""

import re
from pathlib import Path

import pytest
from sqlalchemy import text

from core import crypto
from core.crypto import seal, unseal
from core.db import transaction
from core.errors import CityBillError, Conflict, NotFound, NotSignedIn
from identity import keys
from identity.signed_requests import (
    Announcement,
    Signed,
    check_webhook,
    digest_header,
    text_to_sign,
)
from tests.threads import at_once

GUIDE = Path(__file__).parents[2] / "docs" / "company-api.md"
SECRET = "the installation's secret"


def issue(company: str = "water", *, now) -> keys.IssuedKey:
    with transaction() as session:
        return keys.issue_signing_key(
            session, company, issued_by="a test", secret_key=SECRET, now=now
        )


def test_the_guides_example_is_what_we_compute():
    page = GUIDE.read_text(encoding="utf-8")
    secret = re.search(r"\| secret \| `([^`]+)`", page)[1]
    time, nonce = re.search(r"\| time, nonce \| `([^`]+)`, `([^`]+)`", page).groups()
    method, target, body = re.search(
        r"\| request \| `(\S+) (\S+)` with the body `([^`]+)`", page
    ).groups()
    signature = re.search(r"\| signature \| `([^`]+)`", page)[1]
    signed = Signed("ck_1", time, nonce, signature)

    message = text_to_sign(
        signed, method=method, target=target, body_sha256=crypto.fingerprint(body)
    )

    assert crypto.verify(secret, message.encode(), signature)


class TestKeys:
    def test_a_secret_is_stored_sealed_and_opens_as_its_own_keys_alone(self, city, now):
        issued = issue(now=now)

        with transaction() as session:
            (row,) = keys.list_signing_keys(session, "water")
        assert issued.secret.encode() not in row.secret_sealed
        assert unseal(SECRET, row.secret_sealed, about=issued.id) == issued.secret
        with pytest.raises(CityBillError, match="CITYBILL_SECRET_KEY"):
            unseal(SECRET, row.secret_sealed, about="ck_other")

    def test_a_company_has_two_live_keys_at_most_however_many_ask_at_once(self, city, now):
        def ask(_: int) -> str:
            try:
                return issue(now=now).id
            except Conflict as refused:
                return refused.code

        answers = at_once(6, ask)

        assert answers.count("company_key.two_live") == 4
        with transaction() as session:
            assert len(keys.live_secrets(session, "water", secret_key=SECRET)) == 2

    def test_a_revoked_key_makes_room_and_is_revoked_once(self, city, now):
        first = issue(now=now)
        issue(now=now)
        with transaction() as session:
            keys.revoke_signing_key(session, first.id, now=now)
        assert issue(now=now).id != first.id

        with transaction() as session:
            revoked = keys.revoke_signing_key(session, first.id, now=now.replace(year=2027))

        assert revoked.revoked_at == now

    def test_who_may_not_see_a_key_may_not_revoke_it(self, city, now):
        issued = issue(now=now)

        with transaction() as session, pytest.raises(NotFound):
            keys.revoke_signing_key(session, issued.id, now=now, provider_code="gas")

    def test_the_database_refuses_a_third_slot(self, city, now):
        issue(now=now)

        with pytest.raises(Exception, match="two_at_most"), transaction() as session:
            session.execute(text("UPDATE company_key SET slot = 3"))


class TestSealing:
    def test_the_same_text_is_never_sealed_alike(self):
        assert seal(SECRET, "x", about="a") != seal(SECRET, "x", about="a")

    def test_another_secret_or_a_changed_byte_opens_nothing(self):
        sealed = seal(SECRET, "x", about="a")

        for secret, content in ((SECRET + "!", sealed), (SECRET, sealed[:-1] + b"\0" + b"\0")):
            with pytest.raises(CityBillError):
                unseal(secret, content, about="a")


class TestDigest:
    EMPTY = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

    @pytest.mark.parametrize(
        "value", ["sha-256=:{}:", "md5=:xx:, sha-256=:{}:", "SHA-256=:{}:", " sha-256=:{}: "]
    )
    def test_the_hash_of_the_header_is_read(self, value):
        assert digest_header(value.format(self.EMPTY)) == crypto.fingerprint("")

    def test_a_header_without_our_hash_says_nothing(self):
        assert digest_header("") is None
        assert digest_header("sha-512=:abc:") is None


def test_a_webhook_without_a_header_is_refused(session, now):
    for headers in (
        Announcement("", "1", "v1,x"),
        Announcement("1", "", ""),
        Announcement("1", "1", ""),
    ):
        with pytest.raises(NotSignedIn) as refused:
            check_webhook(session, "water", headers, b"", secret_key=SECRET, now=now)
        assert refused.value.code == "webhook.header_missing"
