"""Refunds that came back to their gateway, in its files: a row there and a row back."""

from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import text

from core.db import transaction
from core.money import yuan_text
from payments import write_offs
from payments.gateways.base import GatewayStatus, RefundReply, RefundState
from payments.models import Payment, list_receipts
from payments.reconciliation.models import BreakState
from payments.reconciliation.repair import asking
from payments.reconciliation.repair import deciding as repair
from payments.reconciliation.repair.many import ask_many
from payments.reconciliation.repair.models import Act
from payments.returns import refunds
from tests.factories import (
    NOW,
    REFUSED,
    FarGateway,
    a_home,
    a_paid_payment,
    book,
    items_of,
    violations,
)
from tests.payments.reconciliation.repairing import (
    LATER,
    LIMITS,
    acts_of,
    do,
    newest,
    staff,
    the_break,
)
from tests.payments.reconciliation.test_matching import (
    DAY,
    NEXT,
    Row,
    a_file,
    found,
    refund_row,
    row_of,
    run,
    sent_back,
)

pytestmark = pytest.mark.usefixtures("city")
SENT_AT = datetime.fromisoformat("2026-11-20T05:00:00Z")
NEXT_AT = SENT_AT + timedelta(days=1)


def back(at: datetime | None) -> RefundReply:
    return RefundReply(state=RefundState.REFUSED, reason="closed", came_back_at=at)


def comes_back(number: str, at: datetime | None) -> None:
    assert refunds.look(number, FarGateway(refund_replies=[back(at)]), LATER)


def rows_of(payment: Payment, number: str) -> tuple[Row, Row]:
    """The gateway's two rows of a refund: it went, it came back; under one number of theirs."""
    went = refund_row(payment, number)
    sum_of_it = yuan_text(payment.amount_fen)
    return went, [*went[:5], sum_of_it, *went[6:]]


SENT = RefundReply(state=RefundState.SENT, refund_ref="rf-1", refunded_at=SENT_AT)


def a_refund(reply: RefundReply = SENT) -> tuple[Payment, str]:
    """A refund of all of a payment, and what its gateway says when it is asked for it."""
    payment = a_paid_payment(a_home(8_650))
    item = items_of(payment)[0]
    number = f"R{item.write_off_no[1:]}"
    with transaction() as session:
        write_offs.book(session, item.write_off_no, REFUSED, now=NOW)
    refunds.send(number, {"sandbox": FarGateway(refund_replies=[reply])}, now=NOW)
    return payment, number


def never_heard_of_as_sent() -> tuple[Payment, str]:
    """A refund that was pending when the gateway said that it cannot be sent."""
    return a_refund(back(NEXT_AT))


def matches() -> list[tuple[str, str]]:
    with transaction() as session:
        rows = session.execute(
            text("SELECT found_by, parts FROM gateway_match WHERE undone_at IS NULL")
        )
        return [(row.found_by, row.parts) for row in rows]


class TestTold:
    @pytest.mark.parametrize("at", [SENT_AT + timedelta(hours=2), NEXT_AT])
    def test_there_and_back_agree_with_ours_on_one_day_or_two(self, at):
        payment, number = a_refund()
        comes_back(number, at)
        went, came = rows_of(payment, number)
        same_day = at.date() == DAY

        first = run(a_file([row_of(payment), went, *([came] if same_day else [])]))
        second = run(a_file([] if same_day else [came], day=NEXT), day=NEXT, now=LATER)

        assert (first.balanced, second.balanced) == (True, True)
        assert first.matched + second.matched == 3
        assert first.our_total_fen + second.our_total_fen == 8_650
        assert matches() == []

    def test_of_which_nobody_said_when_it_is_matched_with_the_day_before(self):
        payment, number = a_refund()
        went, came = rows_of(payment, number)
        run(a_file([row_of(payment), went]))
        run(a_file([came], day=NEXT), day=NEXT, now=LATER)
        assert [kind for kind, *_ in found(NEXT)] == ["refund_unmatched"]

        assert refunds.look(
            number, FarGateway(refund_replies=[back(None)]), NEXT_AT + timedelta(days=1)
        )
        after = NEXT + timedelta(days=1)
        run(a_file([], day=after), day=after, now=LATER)

        assert (found(NEXT), found(after)) == ([], [])
        assert [how for how, _ in matches()] == ["other_day"]

    def test_suspended_money_that_went_and_came_again_agrees(self):
        payment = a_paid_payment(a_home(8_650))
        took = row_of(payment, gateway_ref="another")
        book(payment, GatewayStatus.PAID, gateway_ref="another")
        (number,) = sent_back(payment)
        comes_back(number, NEXT_AT)
        went, came = rows_of(payment, number)

        assert run(a_file([row_of(payment), took, went])).balanced
        assert run(a_file([came], day=NEXT), day=NEXT).balanced

    def test_without_our_number_it_is_known_by_theirs(self):
        payment, number = a_refund()  # its number there is rf-1
        comes_back(number, NEXT_AT)
        nameless = [[*row[:3], "", "rf-1", *row[5:]] for row in rows_of(payment, number)]

        run(a_file([row_of(payment), nameless[0]]))
        run(a_file([nameless[1]], day=NEXT), day=NEXT)

        assert (found(), found(NEXT)) == ([], [])
        assert {how for how, _ in matches()} == {"their_number"}


class TestNeverHeardOfAsSent:
    def test_on_one_day_it_has_moved_nothing(self):
        payment, number = never_heard_of_as_sent()

        result = run(a_file([row_of(payment), *rows_of(payment, number)]))

        assert (result.balanced, result.matched, result.our_count) == (True, 1, 1)
        assert violations() == []

    @pytest.mark.parametrize("first", [DAY, NEXT])
    @pytest.mark.parametrize("named", [True, False])
    def test_on_two_days_each_explains_the_other(self, first, named):
        payment, number = never_heard_of_as_sent()
        went, came = (
            row if named else [*row[:3], "", *row[4:]] for row in rows_of(payment, number)
        )
        files = {DAY: a_file([row_of(payment), went]), NEXT: a_file([came], day=NEXT)}

        for day in sorted(files, key=lambda day: day != first):
            run(files[day], day=day)

        assert (found(), found(NEXT)) == ([], [])
        (how, parts) = matches()[0]
        assert how == "cancels"
        assert parts.startswith("refund o{} t{2026-11-20 ")

    def test_that_went_and_did_not_come_back_is_a_difference(self):
        payment, number = never_heard_of_as_sent()
        went, _ = rows_of(payment, number)

        run(a_file([row_of(payment), went]))
        run(a_file([], day=NEXT), day=NEXT)

        assert found() == [("refund_unmatched", number, None, -8_650)]


class TestAsking:
    """The callback was lost: the file says it first, and somebody has the gateway asked."""

    def ask(self, reply: RefundReply) -> str | None:
        act = do(newest(), Act.QUERY_AGAIN)
        assert asking.ask(act.id, {"sandbox": FarGateway(refund_replies=[reply])}, now=LATER)
        return acts_of(newest())[0].answer

    @pytest.mark.parametrize("day", [DAY, NEXT])
    def test_a_row_we_know_nothing_of_has_the_gateway_asked_and_is_booked(self, day):
        payment, number = a_refund()
        went, came = rows_of(payment, number)
        files: dict[date, list[Row]] = {DAY: [row_of(payment), went], NEXT: []}
        files[day].append(came)
        for each, rows in files.items():
            run(a_file(rows, day=each), day=each)
        differs = the_break(newest())
        assert (differs.kind.value, differs.day, differs.reference) == (
            "amount_differs" if day == DAY else "refund_unmatched", day, number,
        )  # fmt: skip
        with transaction() as session:
            assert repair.acts_for(differs, LIMITS)[0] is Act.QUERY_AGAIN or day == DAY

        answer = self.ask(back(SENT_AT if day == DAY else NEXT_AT))

        assert answer == "came_back ¥86.50"
        with transaction() as session:
            assert [one.came_back_of for one in list_receipts(session, payment.id)] == [number]
        for each, rows in files.items():
            run(a_file(rows, day=each), day=each, now=LATER)
        assert the_break(newest()).state is BreakState.EXPLAINED
        assert violations() == []

    def test_a_gateway_that_sent_it_says_so(self):
        payment, _ = a_refund()
        run(a_file([row_of(payment)]))
        assert found() != []

        assert self.ask(SENT) == "sent ¥86.50"

    def test_many_are_asked_about_at_once(self):
        payment, number = a_refund()
        went, came = rows_of(payment, number)
        run(a_file([row_of(payment), went]))
        run(a_file([came], day=NEXT), day=NEXT)
        shown = repair.as_shown(the_break(newest()))

        with transaction() as session:
            asked = ask_many(
                session, Act.QUERY_AGAIN, {newest(): shown}, reason="lost", by=staff(), now=NOW
            )

        assert asked == (1, 0)
