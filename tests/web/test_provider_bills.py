"""Bills pushed one by one: the same import as a file's, and an answer for each."""

import json
from typing import Any

import pytest
from sqlalchemy import text

from billing.files import pushed_bills
from billing.files.bill_files import get_bill_file
from core.clock import utc_now
from core.db import transaction
from payments.verification import verify
from tests.factories import a_home, a_paid_payment, a_payment
from tests.threads import at_once
from tests.web.conftest import Browser, with_key
from tests.web.signing import a_signer
from workers.tasks import bills

pytestmark = pytest.mark.usefixtures("city")
BILLS = "/api/v1/providers/water/bills"


def a_bill(bill_no: str = "B-1", **changes: Any) -> dict[str, Any]:
    amount_fen = changes.get("amount_fen", 8_650)
    return {
        "account_no": "1000000001", "bill_no": bill_no, "billing_month": "2026-10", "version": 1,
        "holder_name": "王珅", "address": "汉口路1弄2号", "period_from_on": "2026-10-01",
        "period_to_on": "2026-10-31", "issued_on": "2026-11-01", "due_on": "2026-12-01",
        "usage": "12.5", "usage_unit": "m³", "amount_fen": amount_fen,
        "items": [{"name": "基本费", "quantity": 12.5, "unit": "m³", "amount_fen": amount_fen}],
    } | changes  # fmt: skip


def a_cancellation(bill_no: str = "B-1", version: int = 1) -> dict[str, Any]:
    return {
        "kind": "cancel", "account_no": "1000000001", "bill_no": bill_no,
        "billing_month": "2026-10", "version": version,
    }  # fmt: skip


@pytest.fixture
def water(app) -> Browser:
    return with_key(app, "water")


def push(water: Browser, *pushed: Any) -> list[tuple[str, str | None]]:
    answer = water.post(BILLS, json={"bills": list(pushed)})
    assert answer.status_code == 200, answer.text
    found = answer.json()["bills"]
    assert [one["line"] for one in found] == list(range(1, len(pushed) + 1))
    with transaction() as session:
        assert [check for check in verify(session) if not check.ok] == []
        file = get_bill_file(session, answer.json()["bill_file_id"])
    assert (file.status, file.rows) == ("imported", len(pushed))
    counted = {
        name: getattr(file, name)
        for name in ("created", "unchanged", "superseded", "cancelled", "waiting", "rejected")
    }
    verdicts = [one["verdict"] for one in found]
    assert counted == {name: verdicts.count(name) for name in counted}
    return [(one["verdict"], one["column"]) for one in found]


class TestVerdicts:
    def test_a_bill_is_created_once_and_then_unchanged(self, water):
        assert push(water, a_bill()) == [("created", None)]
        assert push(water, a_bill()) == [("unchanged", None)]

    def test_a_higher_version_supersedes_and_the_lower_one_again_changes_nothing(self, water):
        push(water, a_bill())

        assert push(water, a_bill(version=2, amount_fen=9_000)) == [("superseded", None)]
        assert push(water, a_bill()) == [("unchanged", None)]

    def test_a_bill_is_cancelled_once_and_billed_again_by_a_higher_version(self, water):
        push(water, a_bill())

        assert push(water, a_cancellation()) == [("cancelled", None)]
        assert push(water, a_cancellation()) == [("unchanged", None)]
        assert push(water, a_bill(version=2)) == [("superseded", None)]

    def test_several_rows_of_one_bill_are_taken_in_their_order(self, water):
        rows = [a_bill(), a_bill(), a_bill(version=2, amount_fen=1), a_cancellation(version=2)]

        assert [verdict for verdict, _ in push(water, *rows)] == [
            "created", "unchanged", "superseded", "cancelled",
        ]  # fmt: skip

    def test_what_is_wrong_is_rejected_alone_with_its_field_and_remedy(self, water):
        answer = water.post(
            BILLS, json={"bills": [a_bill(due_on="2026-11-31"), a_bill("B-2"), "x", {}]}
        )

        first, second, third, fourth = answer.json()["bills"]
        assert (first["verdict"], first["column"]) == ("rejected", "due_on")
        assert "no date" in first["reason"]
        assert second["verdict"] == "created"
        assert (third["verdict"], third["reason"]) == ("rejected", "a bill is an object: {…}")
        assert (fourth["column"], fourth["reason"]) == ("account_no", "is missing: add it")

    def test_half_of_a_character_is_told_and_the_others_land(self, water):
        body = json.dumps({"bills": [a_bill("B-\ud800"), a_bill("B-2")]}).encode()

        answer = water.post(BILLS, content=body)

        assert answer.status_code == 200, answer.text
        told = [(one["bill_no"], one["verdict"]) for one in answer.json()["bills"]]
        assert told == [("B-?", "rejected"), ("B-2", "created")]

    def test_a_reject_is_looked_at_again_when_it_comes_again(self, water):
        assert push(water, a_cancellation()) == [("rejected", None)]  # a bill we do not hold yet
        push(water, a_bill())

        assert push(water, a_cancellation()) == [("cancelled", None)]

    def test_a_paid_bill_is_frozen_and_one_being_paid_waits(self, water):  # rules 12 and 13
        push(water, a_bill(), a_bill("B-2", account_no="1000000002"))
        paid, paying = a_home(8_650), a_home(8_650)
        a_paid_payment(paid)
        a_payment(paying)
        with transaction() as session:
            rows = session.execute(
                text("SELECT a.account_no, b.bill_no, b.held_by FROM bill b JOIN utility_account a"
                     " ON a.id = b.account_id WHERE b.bill_no NOT LIKE 'B-%' ORDER BY b.held_by"
                     " NULLS FIRST")
            ).all()  # fmt: skip
        changed = [
            a_bill(one.bill_no, account_no=one.account_no, version=2, amount_fen=5) for one in rows
        ]

        assert sorted(verdict for verdict, _ in push(water, *changed)) == ["rejected", "waiting"]

    def test_a_single_bill_needs_no_list(self, water):
        answer = water.post(BILLS, json=a_bill())

        assert [one["verdict"] for one in answer.json()["bills"]] == ["created"]

    def test_a_signed_push_is_taken(self, app):
        body = json.dumps(a_bill()).encode()

        answer = a_signer(app).send("POST", BILLS, body)

        assert answer.json()["bills"][0]["verdict"] == "created"


class TestWholeRefusals:
    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"", "not JSON"),
            (b"{", "not JSON"),
            (b"[]", "not of our form"),
            (b'{"bills": []}', "empty"),
            (b'{"bills": 1}', "not of our form"),
            (b'{"bills": [], "more": 1}', "not of our form"),
            (b'{"bills": [{"version": NaN}]}', "NaN"),
            (b'{"bills": [{"version": 1, "version": 2}]}', "twice"),
            (b"[" * 100_000, "nested"),
            (b"1" * 5_000, "cannot be read"),
            ('{"账"}'.encode("gb18030"), "cannot be read"),
        ],
    )
    def test_what_is_no_list_of_bills_is_refused_and_leaves_nothing(self, water, body, words):
        answer = water.post(BILLS, content=body)

        assert (answer.status_code, answer.json()["code"]) == (422, "bill_file.refused")
        assert words in answer.json()["detail"]
        with transaction() as session:
            assert session.execute(text("SELECT count(*) FROM bill_file")).scalar_one() == 0

    def test_five_hundred_are_taken_and_one_more_is_not(self, water):
        many = [a_bill(f"B-{number}") for number in range(501)]

        refused = water.post(BILLS, json={"bills": many})

        assert refused.status_code == 422
        assert "501 bills at once are too many" in refused.json()["detail"]
        assert push(water, *many[:500]) == [("created", None)] * 500

    def test_a_body_beyond_all_measure_is_cut_off(self, water):
        answer = water.post(BILLS, content=b" " * (5 << 20))

        assert (answer.status_code, answer.json()["code"]) == (422, "request.too_long")


class TestOnce:
    def test_the_same_bill_pushed_many_times_at_once_is_one_bill(self, app):
        waters = [with_key(app, "water") for _ in range(4)]

        answers = at_once(4, lambda at: waters[at].post(BILLS, json=a_bill()).json())

        verdicts = sorted(one["bills"][0]["verdict"] for one in answers)
        assert verdicts == ["created", "unchanged", "unchanged", "unchanged"]

    def test_a_push_whose_request_broke_off_lands_afterwards(self, monkeypatch):
        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(pushed_bills, "import_bills", killed)
            with pytest.raises(KeyboardInterrupt):
                pushed_bills.push(
                    "water", json.dumps(a_bill()).encode(), identity="one", file_name="x",
                    received_via="api-bills", now=utc_now(),
                )  # fmt: skip
        with transaction() as session:
            file_id = session.execute(
                text("UPDATE bill_file SET received_at = now() - interval '2 minutes' RETURNING id")
            ).scalar_one()

        for _ in range(2):
            bills.finish_push(str(file_id))

        with transaction() as session:
            assert get_bill_file(session, file_id).created == 1
