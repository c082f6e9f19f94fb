"""Receipts: kept as they came, each once, and the same end whatever their order."""

import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlmodel import select

from core.db import transaction
from core.errors import Invalid, NotSignedIn
from core.outbox import OutboxEvent
from notifications.channels.base import Fate, Kind, Receipt
from notifications.channels.texting import TOKEN_HEADER, check_token
from notifications.models import Held, Notice, NoticeState
from notifications.sending import receipts
from notifications.sending.models import CarrierCall, CarrierMinute, CarrierReceipt
from tests.conftest import NOW, as_owner
from tests.factories import a_person
from tests.notifications.sending.test_carriers import Named
from tests.threads import at_once

SEEDS = int(os.environ.get("RECEIPT_SEEDS", "4"))
RECEIPTS = int(os.environ.get("RECEIPT_COUNT", "600"))
TOGETHER = max(50, RECEIPTS // 40)  # in one call, and handed over in one transaction
MINUTE = timedelta(minutes=1)
HEARD = NOW + MINUTE  # when carriers tell
TOKEN = "a token nobody can guess"
HEADERS = {
    TOKEN_HEADER: TOKEN, "content-type": "application/json", "cookie": "c=1",
    "x-query-timestamp": "17", "x-query-signature": "secret", "authorization": "Basic x",
}  # fmt: skip
ENDS = [
    ["delivered"], ["failed"], ["delivered", "read"], ["read"], ["failed", "delivered"],
    ["failed", "delivered", "read"],
]  # fmt: skip


class Calling(Named):
    """A carrier whose calls are JSON, and known by a token: ``[["n1", "delivered", 3], …]``."""

    def read_receipts(self, headers, body):
        check_token(headers, TOKEN)
        try:
            return [
                Receipt(ref, Fate(fate), NOW + timedelta(seconds=after), "gone")
                for ref, fate, after in json.loads(body)
            ]
        except ValueError:
            raise Invalid("this is not JSON") from None


CARRIER = Calling("a")


def a_notice(ref="n1", *, state=NoticeState.ACCEPTED, **changes):
    with transaction() as session:
        row = Notice(**{
            "event": "bill.ready", "person_id": a_person(), "subject_ref": ref, "channel": "sms",
            "address": "19900000001", "title": "t", "body": "b", "state": state, "state_at": NOW,
            "created_at": NOW, "carrier": "a", "carrier_ref": ref, "accepted_at": NOW,
        } | changes)  # fmt: skip
        session.add(row)
        session.flush()
        return row.id


def a_step_behind(notice_id, **changes):
    return a_notice("", **{
        "channel": "email", "state": NoticeState.CREATED, "carrier": None, "carrier_ref": None,
        "accepted_at": None, "after_id": notice_id, "held": Held.CHAIN,
    } | changes)  # fmt: skip


def notice(notice_id):
    with transaction() as session:
        return session.get_one(Notice, notice_id)


def call(*told, body=None, headers=HEADERS, now=HEARD):
    body = json.dumps(told).encode() if body is None else body
    with transaction() as session:
        return receipts.keep_call(session, CARRIER, headers, body, now=now)


def read(call_id, *, now=HEARD):
    with transaction() as session:
        receipts.read_call(session, call_id, now=now)


def tell(*told, now=HEARD):
    read(call(*told, now=now), now=now)


def sweep(*, now=NOW):
    with transaction() as session:
        return receipts.apply_waiting(session, now=now)


def rows(kind):
    with transaction() as session:
        return session.exec(select(kind)).all()


@pytest.mark.usefixtures("city")
class TestKeeping:
    def test_a_call_is_kept_as_it_came_without_what_proves_who_it_is(self):
        call_id = call(["n1", "delivered", 3])

        [kept] = rows(CarrierCall)
        assert (kept.id, kept.carrier, kept.body) == (call_id, "a", b'[["n1", "delivered", 3]]')
        assert kept.headers == {"content-type": "application/json", "x-query-timestamp": "17"}
        [event] = rows(OutboxEvent)
        assert (event.topic, event.subject_id) == ("carrier_call.kept", str(call_id))

    def test_the_same_call_again_is_the_same(self):
        call(["n1", "delivered", 3])

        assert call(["n1", "delivered", 3]) is None
        assert len(rows(CarrierCall)) == len(rows(CarrierReceipt)) == len(rows(OutboxEvent)) == 1

    def test_the_same_receipt_in_another_call_is_kept_once(self):
        call(["n1", "delivered", 3])
        call(["n1", "delivered", 3], ["n1", "delivered", 4])

        assert len(rows(CarrierReceipt)) == 1

    def test_it_is_kept_once_by_many_at_once(self):
        kept = at_once(8, lambda _: call(["n1", "delivered", 3]))

        assert len([one for one in kept if one]) == 1
        assert len(rows(CarrierReceipt)) == 1

    @pytest.mark.parametrize("headers", [{}, {TOKEN_HEADER: "another"}])
    def test_nothing_is_kept_of_a_forged_call(self, headers):
        with pytest.raises(NotSignedIn):
            call(["n1", "delivered", 3], headers=headers)

        assert rows(CarrierCall) == rows(CarrierReceipt) == []

    def test_nothing_is_kept_of_what_cannot_be_read(self):
        with pytest.raises(Invalid):
            call(body=b"<xml>")

        assert rows(CarrierCall) == []

    def test_text_the_database_cannot_hold_is_no_fault_of_ours(self):
        call(["n\0" + "9" * 300 + "\ud800", "failed", 3])

        [row] = rows(CarrierReceipt)
        assert len(row.ref) == 200

    def test_what_has_served_is_forgotten(self):
        a_notice()
        tell(["n1", "delivered", 3])
        call(["nobody", "delivered", 3], now=NOW)

        with transaction() as session:
            assert receipts.forget(session, now=NOW + timedelta(days=89)) == 0
            assert receipts.forget(session, now=NOW + timedelta(days=91)) == 2
        assert rows(CarrierCall) == rows(CarrierReceipt) == []


@pytest.mark.usefixtures("city")
class TestApplying:
    def test_a_delivered_notice_is_delivered_when_the_carrier_says(self):
        notice_id = a_notice(answer_by_at=NOW + MINUTE)

        tell(["n1", "delivered", 3], now=NOW + 5 * MINUTE)

        row = notice(notice_id)
        assert (row.state, row.delivered_at) == ("delivered", NOW + timedelta(seconds=3))
        assert (row.state_at, row.answer_by_at) == (NOW + 5 * MINUTE, None)

    def test_the_steps_behind_a_delivered_one_are_dropped(self):
        notice_id = a_notice()
        behind = a_step_behind(notice_id)

        tell(["n1", "delivered", 3])

        assert (notice(behind).state, notice(behind).reason) == ("dropped", "reached")

    def test_the_step_behind_a_failed_one_goes_at_once(self):
        notice_id = a_notice()
        behind = a_step_behind(notice_id)

        tell(["n1", "failed", 3])

        assert (notice(notice_id).state, notice(notice_id).reason) == ("failed", "gone")
        assert (notice(behind).state, notice(behind).due_at) == ("created", HEARD)

    def test_delivered_after_failed_wins_and_drops_a_step_that_has_not_gone(self):
        notice_id = a_notice()
        behind = a_step_behind(notice_id)
        tell(["n1", "failed", 3])

        tell(["n1", "delivered", 9])

        assert (notice(notice_id).state, notice(notice_id).reason) == ("delivered", None)
        assert notice(behind).state == "dropped"

    def test_a_step_that_went_meanwhile_stays_sent(self):
        notice_id = a_notice()
        behind = a_step_behind(notice_id, state=NoticeState.ACCEPTED, held=None)

        tell(["n1", "delivered", 9])

        assert (notice(notice_id).state, notice(behind).state) == ("delivered", "accepted")

    @pytest.mark.parametrize("later", ["failed", "delivered"])
    def test_what_was_read_stays_read(self, later):
        notice_id = a_notice()
        tell(["n1", "read", 30])

        tell(["n1", later, 3])

        row = notice(notice_id)
        assert (row.state, row.read_at) == ("read", NOW + timedelta(seconds=30))
        assert row.delivered_at == NOW + timedelta(seconds=3 if later == "delivered" else 30)

    def test_a_receipt_before_the_hand_over_is_written_down_waits_for_it(self):
        notice_id = a_notice(state=NoticeState.CREATED, carrier=None, carrier_ref=None,
                             accepted_at=None, due_at=NOW)  # fmt: skip
        tell(["n1", "failed", 3])
        assert (notice(notice_id).state, sweep()) == ("created", 0)

        self.hand_over(notice_id)

        assert sweep(now=NOW + MINUTE) == 1
        assert notice(notice_id).state == "failed"
        assert sweep(now=NOW + MINUTE) == 0

    def hand_over(self, notice_id):
        with transaction() as session:
            row = session.get_one(Notice, notice_id)
            row.state, row.carrier, row.carrier_ref = NoticeState.ACCEPTED, "a", "n1"
            row.accepted_at, row.due_at = NOW, None

    def test_of_one_that_waits_for_another_try_delivered_counts_and_failed_does_not(self):
        """Its carrier fell silent, and has it after all."""
        waiting = {"state": NoticeState.CREATED, "due_at": NOW, "held": Held.AGAIN}
        there, lost = a_notice("n1", **waiting), a_notice("n2", **waiting)

        tell(["n1", "delivered", 3], ["n2", "failed", 3])

        assert (notice(there).state, notice(there).due_at) == ("delivered", None)
        assert (notice(lost).state, notice(lost).due_at) == ("created", NOW)

    def test_nothing_changes_what_was_dropped(self):
        notice_id = a_notice(state=NoticeState.DROPPED)

        tell(["n1", "delivered", 3])

        assert notice(notice_id).state == "dropped"

    def test_a_receipt_of_another_carrier_with_the_same_number_is_not_ours(self):
        notice_id = a_notice(carrier="b")

        tell(["n1", "delivered", 3])

        assert notice(notice_id).state == "accepted"

    def test_what_fits_nothing_is_forgotten_after_three_days(self):
        call(["nobody", "delivered", 3])
        sweep(now=HEARD + timedelta(days=3))
        assert len(rows(CarrierReceipt)) == 1

        sweep(now=HEARD + timedelta(days=3, seconds=1))

        assert rows(CarrierReceipt) == []

    def test_a_code_does_not_stay_on_the_row(self):
        notice_id = a_notice(kind=Kind.CODE, state=NoticeState.CREATED, due_at=NOW,
                             body="123456", body_html="123456")  # fmt: skip

        tell(["n1", "delivered", 3])

        assert (notice(notice_id).body, notice(notice_id).body_html) == ("(wiped)", None)

    def test_what_a_connection_hears_is_applied_at_once_and_once(self):
        notice_id = a_notice()
        heard = [Receipt("n1", Fate.DELIVERED)] * 2

        for _ in range(2):
            with transaction() as session:
                receipts.keep_heard(session, "a", heard, now=NOW)

        assert (notice(notice_id).state, len(rows(CarrierReceipt))) == ("delivered", 1)

    def test_what_was_delivered_counts_in_the_minute_it_was_taken_in(self):
        a_notice("n1")
        a_notice("n2")
        a_notice("n3", accepted_at=NOW + MINUTE)
        told = [["n1", "delivered", 3], ["n2", "delivered", 301], ["n3", "failed", 61]]

        tell(*told, now=NOW + 6 * MINUTE)
        tell(["n1", "read", 9], now=NOW + 6 * MINUTE)

        counted = {row.minute_at: (row.delivered, row.slow, row.failed) for row in
                   rows(CarrierMinute)}  # fmt: skip
        assert counted == {NOW: (2, 1, 0), NOW + MINUTE: (0, 0, 1)}

    def test_the_same_receipts_applied_by_many_at_once_count_once(self):
        a_notice()
        call_id = call(["n1", "delivered", 3])

        at_once(6, lambda _: read(call_id))

        assert [row.delivered for row in rows(CarrierMinute)] == [1]


@contextmanager
def never_backwards() -> Iterator[None]:
    """Have the database refuse every notice that would go back."""
    ranks = "CAST('{created,accepted,failed,delivered,read}' AS text[])"
    with as_owner() as connection:
        connection.execute(text(f"""
            CREATE OR REPLACE FUNCTION test_forward() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF array_position({ranks}, new.state::text)
                   < array_position({ranks}, old.state::text)
                THEN RAISE 'from % back to %', old.state, new.state; END IF;
                RETURN new;
            END $$;
            CREATE TRIGGER test_forward BEFORE UPDATE ON notice
                FOR EACH ROW EXECUTE FUNCTION test_forward()
        """))  # fmt: skip
    try:
        yield
    finally:
        with as_owner() as connection:
            connection.execute(text("DROP FUNCTION test_forward CASCADE"))


class Story:
    """Messages, what becomes of them, and everything that is heard of it, in some order."""

    def __init__(self, draw: random.Random, how_many: int) -> None:
        self.draw, self.told = draw, {}
        while sum(map(len, self.told.values())) < how_many:
            fates = draw.choice(ENDS)
            self.told[f"n{len(self.told)}"] = [
                (fate, 10 * at + draw.randrange(10)) for at, fate in enumerate(fates)
            ]
        self.tripled = [
            [ref, fate, after] for ref, fates in self.told.items() for fate, after in fates
        ] * 3

    def make(self):
        with transaction() as session:
            session.execute(text("""
                WITH made AS (
                    INSERT INTO notice (event, person_id, subject_ref, channel, address, title,
                                        body, state, state_at, created_at, due_at)
                    SELECT 'bill.ready', :person, ref, 'sms', '1', 't', 'b', 'created', :now, :now,
                           :now
                    FROM unnest(CAST(:refs AS text[])) AS r (ref) RETURNING id, subject_ref)
                INSERT INTO notice (event, person_id, subject_ref, channel, address, title, body,
                                    state, state_at, created_at, held, after_id)
                SELECT 'bill.ready', :person, subject_ref, 'email', 'a@b.example', 't', 'b',
                       'created', :now, :now, 'chain', id FROM made
            """), {"person": a_person(), "refs": list(self.told), "now": NOW})  # fmt: skip
        with as_owner() as connection:
            connection.execute(text("ANALYZE notice"))  # sooner than autovacuum would

    def hand_over(self, refs):
        with transaction() as session:
            session.execute(text("""
                UPDATE notice SET state = 'accepted', carrier = 'a', carrier_ref = subject_ref,
                    accepted_at = :now, due_at = NULL
                WHERE subject_ref = ANY(:refs) AND channel = 'sms' AND state = 'created'
            """), {"refs": refs, "now": NOW})  # fmt: skip

    def run(self, *, shuffled):
        """Hand all over and hear everything; shuffled, each may come before the other."""
        refs, heard = list(self.told), self.tripled
        if shuffled:
            self.draw.shuffle(refs)
            self.draw.shuffle(heard)
        acts = [("sent", refs[at : at + TOGETHER]) for at in range(0, len(refs), TOGETHER)]
        acts += [("heard", heard[at : at + TOGETHER]) for at in range(0, len(heard), TOGETHER)]
        if shuffled:
            self.draw.shuffle(acts)
        for what, whom in acts:
            if what == "sent":
                self.hand_over(whom)
            elif (call_id := call(*whom)) is not None:
                read(call_id)
        while sweep():
            pass

    def ends(self):
        with transaction() as session:
            found = session.execute(text(
                "SELECT subject_ref, state, accepted_at, delivered_at, read_at FROM notice"
                " WHERE channel = 'sms' ORDER BY subject_ref"
            ))  # fmt: skip
            return [tuple(row) for row in found]


@pytest.mark.usefixtures("city")
@settings(max_examples=SEEDS)
@given(seed=st.integers(0, 1 << 32))
def test_n_13_receipts_in_any_order_and_thrice_come_to_the_same_end(seed):
    ends = []
    for shuffled in (False, True):
        story = Story(random.Random(seed), RECEIPTS)
        with as_owner(unguarded=True) as connection:
            for table in ("notice", "carrier_receipt", "carrier_call", "carrier_minute"):
                connection.execute(text(f"DELETE FROM {table}"))
        story.make()
        with never_backwards():
            story.run(shuffled=shuffled)
        ends.append(story.ends())

    assert ends[0] == ends[1]
    assert {state for _, state, *_ in ends[0]} <= {"delivered", "failed", "read"}
    best = {ref: max(["failed", "delivered", "read"].index(fate) for fate, _ in fates)
            for ref, fates in story.told.items()}  # fmt: skip
    assert {ref: ["failed", "delivered", "read"].index(state) for ref, state, *_ in ends[1]} == best
