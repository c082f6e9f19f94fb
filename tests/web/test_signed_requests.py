"""Companies sign their requests: what holds is taken, and what does not is told exactly."""

import json
import time
from typing import Any

import pytest
from sqlalchemy import text

from billing.documents.barcodes import barcode_digits
from core.clock import utc_now
from core.db import transaction
from core.settings import CounterAgent, settings
from identity.keys import issue_signing_key, list_signing_keys, revoke_signing_key
from identity.models import Holder
from tests.factories import MONTH, a_home, a_record, bring_in
from tests.threads import at_once
from tests.web.conftest import a_browser, with_key
from tests.web.signing import Signer, a_signer, content_digest

pytestmark = pytest.mark.usefixtures("city")
FILES = "/api/v1/providers/water/bill-files"


@pytest.fixture
def water(app) -> Signer:
    return a_signer(app)


def told(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def files() -> int:
    with transaction() as session:
        return int(session.execute(text("SELECT count(*) FROM bill_file")).scalar_one())


class TestWhatHolds:
    @pytest.mark.parametrize("stated", [False, True])
    def test_a_signed_file_is_taken(self, water, stated):
        body = b"H|WATER|1"

        answer = water.send("POST", FILES, body, extra=content_digest(body) if stated else None)

        assert answer.status_code == 202, answer.text
        assert files() == 1

    def test_its_own_file_is_read_with_a_signature_over_nothing(self, water):
        done = bring_in("water", a_record("1"))

        answer = water.send("GET", f"/api/v1/bill-files/{done.bill_file_id}")

        assert (answer.status_code, answer.json()["created"]) == (200, 1)

    def test_a_long_body_is_signed_by_its_digest_and_checked_as_it_comes(self, water):
        body = b"0123456789abcdef" * (3 << 16)  # 3 MiB: longer than what is read on trust

        without = water.send("POST", FILES, body)
        with_digest = water.send("POST", FILES, body, extra=content_digest(body))

        assert told(without) == (422, "request.too_long")
        assert "Content-Digest" in without.json()["detail"]
        assert with_digest.status_code == 202

    def test_both_live_keys_open_and_the_use_of_one_is_noted(self, app, water):
        other = a_signer(app)

        assert {one.send("POST", FILES, b"x").status_code for one in (water, other)} == {202}
        water.send("POST", FILES, b"x")
        with transaction() as session:
            used = {key.id: key.last_used_at for key in list_signing_keys(session, "water")}
        assert set(used) == {water.key_id, other.key_id}
        assert all(used.values())


class TestWhatDoesNot:
    @pytest.mark.parametrize("name", ["Key", "Time", "Nonce", "Signature"])
    def test_a_missing_header_is_named(self, app, water, name):
        headers = water.headers("POST", FILES, b"x")
        del headers[f"X-CityBill-{name}"]

        answer = a_browser(app).post(FILES, content=b"x", headers=headers)

        assert told(answer) == (401, "request.header_missing")
        assert f"X-CityBill-{name}" in answer.json()["detail"]

    @pytest.mark.parametrize(("ago", "side"), [(310, "behind"), (-310, "ahead of")])
    def test_a_clock_that_is_off_is_told_by_how_much(self, water, ago, side):
        answer = water.send("POST", FILES, b"x", ago=ago)

        assert told(answer) == (401, "request.clock")
        assert f"seconds {side} our clock" in answer.json()["detail"]
        assert abs(answer.json()["our_time"] - time.time()) < 30

    @pytest.mark.parametrize("ago", [290, -290])
    def test_a_clock_that_is_off_a_little_is_no_matter(self, water, ago):
        assert water.send("POST", FILES, b"x", ago=ago).status_code == 202

    @pytest.mark.parametrize("stated", ["now", "1e9", "-5", "9" * 30])
    def test_a_time_that_is_none_is_refused(self, water, app, stated):
        headers = water.headers("POST", FILES, b"x") | {"X-CityBill-Time": stated}

        assert told(a_browser(app).post(FILES, content=b"x", headers=headers)) == (
            401, "request.clock",
        )  # fmt: skip

    def test_an_unknown_key_opens_nothing(self, water):
        assert told(water._replace(key_id="ck_0000").send("POST", FILES, b"x")) == (
            401, "request.key_unknown",
        )  # fmt: skip

    def test_a_revoked_key_opens_nothing_from_that_moment(self, water):
        assert water.send("POST", FILES, b"x").status_code == 202
        with transaction() as session:
            revoke_signing_key(session, water.key_id, now=utc_now())

        assert told(water.send("POST", FILES, b"x")) == (401, "request.key_revoked")

    @pytest.mark.parametrize("stated", [False, True])
    def test_another_body_than_the_signed_one_is_never_taken_in(self, app, water, stated):
        headers = water.headers("POST", FILES, b"what was signed")
        if stated:
            headers |= content_digest(b"what was signed")

        answer = a_browser(app).post(FILES, content=b"what came", headers=headers)

        assert told(answer) == (
            (422, "request.body_differs") if stated else (401, "request.signature_wrong")
        )
        assert files() == 0

    def test_an_agents_body_is_held_to_its_digest_too(self, app, monkeypatch):
        monkeypatch.setattr(settings(), "counter_agents", {"shop": CounterAgent(name="全家")})
        target, home = "/api/v1/counter/payments", a_home(now=utc_now())
        number = barcode_digits("9001", home.account_nos[0], MONTH, 8_650)
        cash = {"barcode": number, "agent_txn_no": "1", "paid_at": utc_now().isoformat()}
        signed, came = (json.dumps(cash | {"amount_fen": fen}).encode() for fen in (8_650, 1))
        with transaction() as session:
            issued = issue_signing_key(
                session, "shop", issued_by="a test", now=utc_now(), holder=Holder.AGENT,
                secret_key=settings().secret_key.get_secret_value(),
            )  # fmt: skip
        shop = Signer(app, *issued)
        headers = shop.headers("POST", target, signed) | content_digest(signed)

        answer = a_browser(app).post(
            target, content=came, headers=headers | {"Content-Type": "application/json"}
        )

        assert told(answer) == (422, "request.body_differs")
        assert shop.send("GET", f"{target}/1").status_code == 404

    def test_a_wrong_signature_is_answered_with_the_text_it_should_be_over(self, water):
        answer = water._replace(secret="another").send("POST", FILES + "?a=1", b"x")

        assert told(answer) == (401, "request.signature_wrong")
        assert answer.json()["signed"].splitlines()[2:4] == ["POST", FILES + "?a=1"]

    def test_method_path_and_query_are_signed_too(self, app, water):
        for method, target in (("PUT", FILES), ("POST", FILES + "?x=1"), ("POST", FILES + "/")):
            headers = water.headers(method, target, b"x")
            answer = a_browser(app).post(FILES, content=b"x", headers=headers)
            assert told(answer) == (401, "request.signature_wrong")

    def test_another_companys_signature_neither_sends_nor_reads(self, app):
        done = bring_in("water", a_record("1"))
        gas = a_signer(app, "gas")

        sent = gas.send("POST", FILES, b"x")
        read = gas.send("GET", f"/api/v1/bill-files/{done.bill_file_id}")

        assert told(sent) == (403, "api_key.other_company")
        assert read.status_code == 404

    @pytest.mark.parametrize("digest", ["sha-256=:abc:", "sha-256=::", "sha-256=x"])
    def test_a_digest_that_is_none_is_refused(self, water, digest):
        answer = water.send("POST", FILES, b"x", extra={"Content-Digest": digest})

        assert told(answer) == (401, "request.digest_malformed")


class TestReplay:
    def test_the_same_request_again_is_refused(self, app, water):
        headers = water.headers("POST", FILES, b"x")

        first, again = (a_browser(app).post(FILES, content=b"x", headers=headers) for _ in range(2))

        assert first.status_code == 202
        assert told(again) == (401, "request.replayed")

    def test_of_many_at_the_same_moment_one_passes(self, app, water):
        headers = water.headers("POST", FILES, b"x")

        answers = at_once(
            6, lambda _: a_browser(app).post(FILES, content=b"x", headers=headers).status_code
        )

        assert sorted(answers) == [202, 401, 401, 401, 401, 401]

    def test_a_forged_request_uses_up_no_nonce(self, water):
        nonce = "n" * 16
        water._replace(secret="forged").send("POST", FILES, b"x", nonce=nonce)

        assert water.send("POST", FILES, b"x", nonce=nonce).status_code == 202

    def test_two_companies_may_make_the_same_nonce(self, app, water):
        gas = a_signer(app, "gas")
        target = "/api/v1/providers/gas/bill-files"

        assert water.send("POST", FILES, b"x", nonce="n" * 16).status_code == 202
        assert gas.send("POST", target, b"x", nonce="n" * 16).status_code == 202

    def test_a_nonce_is_kept_for_as_long_as_its_time_is_taken(self, water):
        water.send("POST", FILES, b"x", ago=-200)

        with transaction() as session:
            seconds = session.execute(
                text("SELECT extract(epoch FROM expires_at - now()) FROM used_nonce")
            ).scalar_one()
        assert 490 < seconds < 510


class TestPlainKeys:
    def test_a_city_that_wants_signatures_takes_no_plain_key(self, app, water, monkeypatch):
        plain = with_key(app, "water")
        monkeypatch.setattr(settings(), "unsigned_company_requests", False)

        assert told(plain.post(FILES, content=b"x")) == (401, "api_key.unsigned")
        assert water.send("POST", FILES, b"x").status_code == 202
