"""What companies' systems announce is kept once and acted on once."""

import json
from typing import Any

import pytest
from sqlalchemy import text

from billing.files.webhooks import process
from core.clock import utc_now
from core.db import transaction
from tests.threads import at_once
from tests.web.signing import Signer, a_signer
from tests.web.test_provider_bills import a_bill, a_cancellation
from workers.jobs import NotYet
from workers.tasks import bills

pytestmark = pytest.mark.usefixtures("city")


def event(kind: str, data: Any) -> bytes:
    told = {"type": kind, "timestamp": "2026-11-21T09:00:00Z", "data": data}
    return json.dumps(told, ensure_ascii=False).encode()


ISSUED = event("bill.issued", a_bill())


@pytest.fixture
def water(app) -> Signer:
    return a_signer(app)


def rows(sql: str) -> list[Any]:
    with transaction() as session:
        return list(session.execute(text(sql)))


def process_all() -> None:
    for (webhook_id,) in rows("SELECT id FROM company_webhook ORDER BY id"):
        bills.process_webhook(str(webhook_id))


class TestAtTheDoor:
    def test_it_is_stored_as_it_came_and_announced_to_the_workers(self, water):
        answer = water.announce("water", "msg_1", ISSUED)

        assert (answer.status_code, answer.json()) == (202, {"status": "stored"})
        ((body, processed_at),) = rows("SELECT body, processed_at FROM company_webhook")
        assert (bytes(body), processed_at) == (ISSUED, None)
        assert [topic for (topic,) in rows("SELECT topic FROM outbox_event")] == [
            "company_webhook.received"
        ]

    def test_a_duplicate_is_answered_well_and_kept_once(self, water):
        answers = [water.announce("water", "msg_1", ISSUED) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [202, 200, 200]
        assert answers[1].json() == {"status": "duplicate"}
        assert len(rows("SELECT FROM company_webhook")) == 1

    def test_of_many_at_the_same_moment_one_is_new(self, water):
        codes = at_once(5, lambda _: water.announce("water", "msg_1", ISSUED).status_code)

        assert sorted(codes) == [200, 200, 200, 200, 202]
        assert len(rows("SELECT FROM outbox_event")) == 1

    def test_the_same_id_with_something_else_in_it_is_refused(self, water):
        water.announce("water", "msg_1", ISSUED)

        answer = water.announce("water", "msg_1", event("bill.issued", a_bill("B-9")))

        assert (answer.status_code, answer.json()["code"]) == (409, "webhook.id_reused")

    def test_a_forged_one_is_not_kept(self, app, water):
        forged = [
            water._replace(secret=a_signer(app, "gas").secret).announce("water", "m", ISSUED),
            water.announce("water", "m", ISSUED, signature="v1,AAAA v2,BBBB"),
            water.announce("gas", "m", event("bill.issued", a_bill())),
        ]

        assert {(one.status_code, one.json()["code"]) for one in forged} == {
            (401, "webhook.forged")
        }
        assert rows("SELECT FROM company_webhook") == []

    @pytest.mark.parametrize("ago", [310, -310])
    def test_a_late_one_is_refused(self, water, ago):
        answer = water.announce("water", "msg_1", ISSUED, ago=ago)

        assert (answer.status_code, answer.json()["code"]) == (401, "webhook.clock")

    def test_one_of_several_signatures_is_enough_while_keys_change(self, app, water):
        other = a_signer(app)

        assert water.announce("water", "1", ISSUED).status_code == 202
        assert other.announce("water", "2", ISSUED).status_code == 202

    def test_a_company_of_an_impossible_name_is_no_fault_of_ours(self, water):
        assert water.announce("%00", "1", ISSUED).status_code == 422

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"x", "not JSON"),
            (b"[]", "`type`"),
            (b'{"type": "bill.issued", "type": "bill.cancelled", "data": {}}', "twice"),
            (event("bill.paid", {}), "bill.issued, bill.changed"),
            (event("bill.issued", []), "`data`"),
            (event("bill.issued", {"bills": []}), "empty"),
            (event("bill.issued", {"bills": [{}] * 501}), "too many"),
        ],
    )
    def test_what_is_no_announcement_is_told_at_once(self, water, body, words):
        answer = water.announce("water", "msg_1", body)

        assert (answer.status_code, answer.json()["code"]) == (422, "webhook.malformed")
        assert words in answer.json()["detail"]


class TestAfterwards:
    def test_bills_go_the_way_of_pushed_bills_once(self, water):
        water.announce("water", "1", ISSUED)
        water.announce("water", "2", event("bill.changed", {"bills": [a_bill(version=2)]}))
        void = a_cancellation(version=2)
        del void["kind"]
        water.announce("water", "3", event("bill.cancelled", void))

        for _ in range(2):
            process_all()

        files = rows(
            "SELECT f.received_via, f.created, f.superseded, f.cancelled, f.rejected "
            "FROM bill_file f JOIN company_webhook w ON w.bill_file_id = f.id "
            "WHERE w.processed_at IS NOT NULL ORDER BY f.id"
        )
        assert [tuple(one) for one in files] == [
            ("webhook", 1, 0, 0, 0), ("webhook", 0, 1, 0, 0), ("webhook", 0, 0, 1, 0),
        ]  # fmt: skip
        assert len(rows("SELECT FROM bill_file")) == 3

    def test_half_of_a_character_rejects_its_bill_and_no_other(self, water):
        halved = json.dumps({"bills": [a_bill(holder_name="\ud800"), a_bill("B-2")]})
        body = b'{"type": "bill.issued", "data": %s}' % halved.encode()

        assert water.announce("water", "1", body).status_code == 202
        process_all()

        assert [tuple(one) for one in rows("SELECT created, rejected FROM bill_file")] == [(1, 1)]

    def test_a_cancellation_waits_for_the_announcement_of_its_bill(self, water):
        void = a_cancellation()
        del void["kind"]
        water.announce("water", "1", ISSUED)
        water.announce("water", "2", event("bill.cancelled", void))
        issued, cancelled = (
            str(one.id) for one in rows("SELECT id FROM company_webhook ORDER BY id")
        )

        with pytest.raises(NotYet):
            bills.process_webhook(cancelled)
        bills.process_webhook(issued)
        bills.process_webhook(cancelled)

        assert [one.cancelled for one in rows("SELECT cancelled FROM bill_file ORDER BY id")] == [
            0, 1,
        ]  # fmt: skip

    def test_one_that_does_not_get_on_holds_up_no_other_for_long(self, water):
        water.announce("water", "1", ISSUED)
        water.announce("water", "2", event("bill.issued", a_bill("B-2")))
        with transaction() as session:
            session.execute(
                text("UPDATE company_webhook SET received_at = now() - interval '1 hour'"
                     " WHERE webhook_id = '1'")
            )  # fmt: skip

        bills.process_webhook(str(rows("SELECT max(id) FROM company_webhook")[0][0]))

        assert [one.bill_no for one in rows("SELECT bill_no FROM bill")] == ["B-2"]

    def test_two_workers_act_on_one_announcement_once(self, water):
        water.announce("water", "1", ISSUED)
        ((webhook_id,),) = rows("SELECT id FROM company_webhook")

        process(webhook_id, now=utc_now())
        process(webhook_id, now=utc_now())

        assert [tuple(one) for one in rows("SELECT rows, created FROM bill_file")] == [(1, 1)]

    def test_a_file_that_is_ready_is_looked_for_now_where_the_company_was_set_up(self, water):
        ready = event("file.ready", {"url": "https://elsewhere.example/steal"})
        with transaction() as session:
            session.execute(
                text("INSERT INTO delivery_poll (provider_code, due_at, failures) "
                     "VALUES ('water', now() + interval '5 hours', 0)")
            )  # fmt: skip

        assert water.announce("water", "1", ready).status_code == 202
        process_all()

        assert rows("SELECT FROM delivery_poll WHERE due_at > now()") == []
        assert "elsewhere" not in str(rows("SELECT subject_id, facts FROM outbox_event"))

    def test_a_company_we_do_not_fetch_from_is_told_so(self, water):
        answer = water.announce("water", "1", event("file.ready", {}))

        assert (answer.status_code, answer.json()["code"]) == (422, "webhook.not_fetched")
