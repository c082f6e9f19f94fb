"""A gateway's account of a day against ours: what differs is named, and a run can be repeated."""

import csv
import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import Session

from core.db import transaction
from core.errors import NotFound, SettlementFileError
from core.money import yuan_text
from payments import write_offs
from payments.figures import unreconciled
from payments.gateways.base import GatewayStatus, RefundReply, RefundState
from payments.gateways.sandbox import Sandbox
from payments.models import Payment, list_receipts
from payments.quotes import Wanted
from payments.reconciliation.breaks import REMEDIES, list_breaks
from payments.reconciliation.gateway import ahead
from payments.reconciliation.gateway.matching import (
    ReconciliationResult,
    get_result,
    reconcile,
)
from payments.reconciliation.models import BreakKind, ReconciliationBreak
from payments.returns import refunds, suspense
from payments.returns.receipts import return_no
from tests.conftest import as_owner
from tests.factories import (
    NOW,
    REFUSED,
    a_home,
    a_paid_payment,
    a_payment,
    as_shown,
    at_once,
    book,
    items_of,
    the_terms,
)
from tests.payments.reconciliation.results import list_results

DAY = date(2026, 11, 20)
NEXT = date(2026, 11, 21)
GATEWAY = Sandbox("http://127.0.0.1:9", "no secret is needed to read a file")
COLUMNS = ["kind", "order_no", "gateway_ref", "refund_no", "refund_ref", "amount", "fee",
           "happened_at"]  # fmt: skip
Row = list[str]


def row_of(payment: Payment, **changes: str) -> Row:
    cells = {
        "kind": "payment", "order_no": payment.order_no, "gateway_ref": payment.gateway_ref or "",
        "refund_no": "", "refund_ref": "", "amount": yuan_text(payment.amount_fen), "fee": "0.33",
        "happened_at": "2026-11-20T04:01:00Z",
    }  # fmt: skip
    return list((cells | changes).values())


def a_file(rows: Sequence[Row], *, day: date = DAY, total: Row | None = None) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["#SANDBOX SETTLEMENT", day.isoformat()])
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    fen = [sum(round(float(row[at]) * 100) for row in rows) for at in (5, 6)]
    writer.writerow(total or ["#TOTAL", len(rows), yuan_text(fen[0]), yuan_text(fen[1])])
    return out.getvalue().encode()


def run(content: bytes, *, day: date = DAY, now: datetime = NOW) -> ReconciliationResult:
    with transaction() as session:
        return reconcile(session, GATEWAY, io.BytesIO(content), day=day, file_name="s.csv", now=now)


def breaks(day: date = DAY) -> list[ReconciliationBreak]:
    with transaction() as session:
        return list_breaks(session, "sandbox", day)


def found(day: date = DAY) -> list[tuple[str, str, int | None, int | None]]:
    return [(one.kind.value, one.reference, one.ours_fen, one.theirs_fen) for one in breaks(day)]


def three_paid() -> list[Payment]:
    return [a_paid_payment(a_home(fen)) for fen in (8_650, 1_000, 1)]


def a_refund(*, at: datetime) -> tuple[Payment, str]:
    payment = a_paid_payment(a_home(8_650))
    item = items_of(payment)[0]
    number = f"R{item.write_off_no[1:]}"
    with transaction() as session:
        write_offs.book(session, item.write_off_no, REFUSED, now=NOW)
        reply = RefundReply(state=RefundState.SENT, refund_ref="rf-1", refunded_at=at)
        refunds.book(session, number, reply, now=NOW + timedelta(days=1))
    return payment, number


def refund_row(payment: Payment, number: str, *, fen: int | None = None) -> Row:
    return row_of(
        payment, kind="refund", refund_no=number, refund_ref=f"rf-{number}", fee="0.00",
        amount=yuan_text(-(fen or payment.amount_fen)), happened_at="2026-11-20T05:00:00Z",
    )  # fmt: skip


def one_fen_more(entry_key: str) -> None:
    """Spoil a transfer, as nobody can but the owner of the database."""
    with as_owner(unguarded=True) as connection:
        done = connection.execute(
            text("UPDATE ledger_transfer SET amount_fen = amount_fen + 1 WHERE entry_key = :key"),
            {"key": entry_key},
        )
        assert done.rowcount == 1


@pytest.mark.usefixtures("city")
class TestMatching:
    def test_a_day_that_agrees_is_balanced(self):
        payments = three_paid()

        result = run(a_file([row_of(one) for one in payments]))

        assert (result.matched, result.breaks, result.balanced) == (3, 0, True)
        assert (result.our_count, result.their_count) == (3, 3)
        assert (result.our_total_fen, result.their_total_fen) == (9_651, 9_651)
        assert result.fee_total_fen == 99
        assert breaks() == []

    def test_a_day_without_anything_is_balanced(self):
        assert run(a_file([])).balanced

    def test_money_we_do_not_know_of_is_named(self):
        payments = three_paid()
        stranger = row_of(payments[0], order_no="CB-nobodys", amount="12.34")

        result = run(a_file([*map(row_of, payments), stranger]))

        assert (result.matched, result.missing_here) == (3, 1)
        assert found() == [("missing_here", "CB-nobodys", None, 1_234)]

    def test_a_payment_that_is_not_in_their_file_is_named(self):
        payments = three_paid()

        result = run(a_file([row_of(one) for one in payments[1:]]))

        assert (result.matched, result.missing_at_gateway) == (2, 1)
        assert found() == [("missing_at_gateway", payments[0].order_no, 8_650, None)]

    @pytest.mark.parametrize("off_fen", [-1, 1])
    def test_one_fen_off_is_named(self, off_fen):
        payments = three_paid()
        rows = [row_of(one) for one in payments]
        rows[0][5] = yuan_text(8_650 + off_fen)

        result = run(a_file(rows))

        assert (result.matched, result.amount_differs) == (2, 1)
        assert found() == [("amount_differs", payments[0].order_no, 8_650, 8_650 + off_fen)]

    def test_a_payment_listed_twice_is_named_once(self):
        payments = three_paid()

        result = run(a_file([row_of(payments[0]), *map(row_of, payments)]))

        assert (result.matched, result.duplicate, result.their_count) == (2, 1, 4)
        assert found() == [("duplicate", payments[0].order_no, 8_650, 17_300)]

    @pytest.mark.parametrize("beside", ["it is found", "no connection is free", "others are seen"])
    def test_books_that_disagree_with_themselves_are_named(self, monkeypatch, beside):  # rule 49
        if beside == "others are seen":
            monkeypatch.setattr(ahead, "_sum_up", lambda _: ahead.Ahead(ahead.Mark(0, 0, 0), []))
        if beside == "no connection is free":
            monkeypatch.setattr(ahead, "transaction", no_connection)
        payments = three_paid()
        with as_owner(unguarded=True) as connection:
            connection.execute(
                text("UPDATE ledger_transfer SET amount_fen = 8649 WHERE entry_key = :key"),
                {"key": f"paid:{payments[0].id}"},
            )

        result = run(a_file([row_of(one) for one in payments]))

        assert (result.matched, result.ledger_differs) == (2, 1)
        assert found() == [("ledger_differs", payments[0].order_no, 8_650, 8_649)]

    def test_money_that_went_to_suspense_matches_too(self):
        home = a_home(1_000)
        late = book(a_payment(home), GatewayStatus.CLOSED)
        first = a_paid_payment(home)
        late = book(late, GatewayStatus.PAID, gateway_ref="late")

        assert run(a_file([row_of(first), row_of(late)])).balanced

    def test_a_payment_belongs_to_the_shanghai_day_the_gateway_says(self):  # rule 23
        at = datetime.fromisoformat
        for moment in ("2026-11-19T15:59:59Z", "2026-11-19T16:00:00Z", "2026-11-20T15:59:59Z",
                       "2026-11-20T16:00:00Z"):  # fmt: skip
            book(a_payment(a_home(100)), GatewayStatus.PAID, paid_at=at(moment))

        assert run(a_file([])).our_count == 2
        for day in (DAY - timedelta(days=1), DAY + timedelta(days=1)):
            assert run(a_file([], day=day), day=day).our_count == 1

    def test_what_is_not_paid_is_not_expected(self):
        a_payment(a_home(100))
        book(a_payment(a_home(100)), GatewayStatus.REFUSED)

        assert run(a_file([])).our_count == 0

    def test_another_gateways_money_is_not_ours_to_match(self):
        a_paid_payment(a_home(100), gateway="other")

        assert run(a_file([])).balanced


@pytest.mark.usefixtures("city")
class TestRefunds:
    def test_a_refund_counts_negative_and_matches(self):
        payment, number = a_refund(at=NOW + timedelta(hours=1))

        result = run(a_file([row_of(payment), refund_row(payment, number)]))

        assert (result.matched, result.balanced, result.our_total_fen) == (2, True, 0)

    def test_a_refund_stands_on_the_gateways_day_even_if_we_heard_of_it_later(self):
        payment, number = a_refund(at=NOW + timedelta(hours=1))  # heard of a day later

        assert run(a_file([row_of(payment), refund_row(payment, number)])).balanced
        tomorrow = DAY + timedelta(days=1)
        assert run(a_file([], day=tomorrow), day=tomorrow).balanced

    def test_refunds_missing_on_either_side_are_named(self):
        payment, number = a_refund(at=NOW + timedelta(hours=1))
        unknown = refund_row(payment, "R-nobodys")

        run(a_file([row_of(payment), unknown]))

        assert found() == [
            ("refund_unmatched", "R-nobodys", None, -8_650),
            ("refund_unmatched", number, -8_650, None),
        ]

    def test_a_refund_that_is_only_asked_for_is_not_expected(self):
        payment = a_paid_payment(a_home(8_650))
        with transaction() as session:
            write_offs.book(session, items_of(payment)[0].write_off_no, REFUSED, now=NOW)

        assert run(a_file([row_of(payment)])).balanced


FEE = '[fee]\npaid_by = "resident"\nslabs = [{ fixed_fen = 50 }]\ntax_ppm = 60000\n'


def with_a_fee(*amounts_fen: int) -> Payment:
    """A payment with a fee of 50 fen for all its bills, and 3 fen of tax on it, or more."""
    for company in ("water", "power"):
        the_terms(company, FEE)
    return a_payment(a_home(*amounts_fen))


def all_refused(payment: Payment) -> list[tuple[str, int]]:
    """Have the companies refuse, and the gateway send the money back; (refund number, fen) each."""
    sent = []
    for item in items_of(payment):
        with transaction() as session:
            write_offs.book(session, item.write_off_no, REFUSED, now=NOW)
            number = f"R{item.write_off_no[1:]}"
            reply = RefundReply(
                state=RefundState.SENT,
                refund_ref=f"rf-{number}",
                refunded_at=NOW + timedelta(hours=1),
            )
            refunds.book(session, number, reply, now=NOW)
            sent.append((number, refunds.get_refund(session, number).amount_fen))
    return sent


@pytest.mark.usefixtures("city")
class TestFeesAndAdvances:
    """What the gateway took is more than what the bills owed."""

    def an_advance(self) -> Payment:
        the_terms("water", 'surplus = "advance"\n[amount]\nmode = "exact_and_above"\n')
        home = a_home(8_650)
        wanted = [Wanted(*as_shown(home.refs[0])[0][:2], amount_fen=9_000)]
        return book(a_payment(home, wanted=wanted), GatewayStatus.PAID)

    def test_what_is_paid_ahead_matches(self):
        assert run(a_file([row_of(self.an_advance())])).balanced

    def test_an_advance_that_is_refused_goes_back_and_matches(self):
        payment = self.an_advance()
        ((number, fen),) = all_refused(payment)

        assert fen == 9_000
        assert run(a_file([row_of(payment), refund_row(payment, number)])).balanced

    @pytest.mark.parametrize("amounts", [(8_650,), (8_650, 5_000)])
    def test_the_fee_and_its_tax_match(self, amounts):
        payment = book(with_a_fee(*amounts), GatewayStatus.PAID)
        assert payment.fee_fen > 0
        assert payment.fee_tax_fen > 0

        assert run(a_file([row_of(payment)])).balanced

    def test_the_fee_of_a_payment_that_came_too_late_matches(self):
        the_terms("water", FEE)
        home = a_home(8_650)
        late = book(a_payment(home), GatewayStatus.CLOSED)
        first = a_paid_payment(home)
        late = book(late, GatewayStatus.PAID, gateway_ref="late")

        assert run(a_file([row_of(first), row_of(late)])).balanced

    @pytest.mark.parametrize("amounts", [(8_650,), (8_650, 5_000)])
    def test_a_fee_that_goes_back_matches(self, amounts):  # rule 44: with the last of its bills
        payment = book(with_a_fee(*amounts), GatewayStatus.PAID)
        sent = all_refused(payment)

        result = run(
            a_file([row_of(payment), *(refund_row(payment, no, fen=fen) for no, fen in sent)])
        )

        assert (result.matched, result.balanced) == (1 + len(amounts), True)
        assert (result.our_total_fen, result.their_total_fen) == (0, 0)

    @pytest.mark.parametrize("why", ["paid", "fee", "fee_tax"])
    def test_each_part_is_looked_at(self, why):
        payment = book(with_a_fee(8_650), GatewayStatus.PAID)
        one_fen_more(f"{why}:{payment.id}")

        run(a_file([row_of(payment)]))

        fen = payment.amount_fen
        assert found() == [("ledger_differs", payment.order_no, fen, fen + 1)]

    def test_so_is_the_advance(self):
        payment = self.an_advance()
        one_fen_more(f"advance:{payment.id}")

        run(a_file([row_of(payment)]))

        assert found() == [("ledger_differs", payment.order_no, 9_000, 9_001)]


def no_connection() -> AbstractContextManager[Session]:
    raise PoolTimeout("all are in use")


def sent_back(payment: Payment) -> list[str]:
    """Have the gateway send back what was suspended; returns the numbers it did so under."""
    with transaction() as session:
        kept = list_receipts(session, payment.id)
        for receipt in kept:
            suspense.book_returned(
                session, receipt.id, f"rf-S{receipt.id}", NOW + timedelta(hours=1), now=NOW
            )
        return [return_no(receipt) for receipt in kept]


@pytest.mark.usefixtures("city")
class TestSuspended:
    """Money on no bill stands in the gateway's file like any other."""

    def another_amount(self) -> Payment:
        return book(a_payment(a_home(8_650)), GatewayStatus.PAID, amount_fen=8_000)

    def paid_twice(self, **changes: Any) -> Payment:
        payment = a_paid_payment(a_home(1_000))
        return book(payment, GatewayStatus.PAID, gateway_ref="another", **changes)

    def test_another_amount_than_we_asked_matches_what_was_taken(self):
        payment = self.another_amount()
        assert payment.paid_at is None

        result = run(a_file([row_of(payment, amount="80.00")]))

        assert (result.matched, result.balanced, result.our_total_fen) == (1, True, 8_000)

    @pytest.mark.parametrize("off_fen", [-1, 1])
    def test_one_fen_off_is_named(self, off_fen):
        payment = self.another_amount()

        run(a_file([row_of(payment, amount=yuan_text(8_000 + off_fen))]))

        assert found() == [("amount_differs", payment.order_no, 8_000, 8_000 + off_fen)]

    def test_not_in_their_file_it_is_named(self):
        payment = self.another_amount()

        run(a_file([]))

        assert found() == [("missing_at_gateway", payment.order_no, 8_000, None)]

    def test_an_order_taken_twice_sums_up(self):
        payment = self.paid_twice()

        result = run(a_file([row_of(payment), row_of(payment, gateway_ref="another")]))

        assert (result.matched, result.our_count, result.their_count) == (2, 2, 2)
        assert (result.balanced, result.our_total_fen) == (True, 2_000)

    def test_an_order_taken_twice_and_listed_once_is_named(self):
        payment = self.paid_twice()

        run(a_file([row_of(payment)]))

        assert found() == [("amount_differs", payment.order_no, 2_000, 1_000)]

    def test_one_taking_listed_twice_does_not_stand_for_the_other(self):
        payment = self.paid_twice()

        run(a_file([row_of(payment), row_of(payment)]))

        assert found() == [("duplicate", payment.order_no, 2_000, 2_000)]

    def test_each_taking_stands_on_its_own_day(self):
        tomorrow = DAY + timedelta(days=1)
        payment = self.paid_twice(paid_at=NOW + timedelta(days=1))
        second = row_of(payment, gateway_ref="another")

        assert run(a_file([row_of(payment)])).balanced
        assert run(a_file([second], day=tomorrow), day=tomorrow).balanced

    def test_what_was_sent_back_matches_too(self):
        payment = self.paid_twice()
        (number,) = sent_back(payment)
        rows = [row_of(payment), row_of(payment, gateway_ref="another")]

        result = run(a_file([*rows, refund_row(payment, number)]))

        assert (result.matched, result.balanced, result.our_total_fen) == (3, True, 1_000)
        run(a_file(rows))
        assert found() == [("refund_unmatched", number, -1_000, None)]

    @pytest.mark.parametrize("why", ["suspense_in", "returned"])
    def test_the_ledger_is_looked_at(self, why):
        payment = self.another_amount()
        (number,) = sent_back(payment)
        one_fen_more(f"{why}:{number[1:]}")

        run(a_file([row_of(payment, amount="80.00"), refund_row(payment, number, fen=8_000)]))

        reference, fen = (payment.order_no, 8_000) if why == "suspense_in" else (number, -8_000)
        more = fen + (1 if fen > 0 else -1)
        assert found() == [("ledger_differs", reference, fen, more)]

    def test_a_day_of_nothing_else_waits_for_its_file(self, session):
        self.another_amount()

        assert unreconciled(session, gateways=["sandbox"], today=NEXT) == [("sandbox", DAY)]


@pytest.mark.usefixtures("city")
class TestRepeating:
    def test_the_same_file_again_gives_the_same_result(self):  # rule 48
        payments = three_paid()
        content = a_file([row_of(one) for one in payments[:2]])

        first, again = run(content), run(content, now=NOW)

        assert again == first
        assert len(breaks()) == 1
        with transaction() as session:
            files = session.execute(text("SELECT count(*) FROM settlement_file")).scalar_one()
        assert files == 1

    def test_a_corrected_file_replaces_what_the_first_one_said(self):
        payments = three_paid()
        run(a_file([row_of(one) for one in payments[:2]]))

        result = run(a_file([row_of(one) for one in payments]))

        assert (result.balanced, breaks()) == (True, [])

    def test_a_late_callback_and_a_repeat_converge(self):
        payment = a_payment(a_home(100))
        content = a_file([row_of(payment, gateway_ref=f"ref-{payment.order_no}")])
        assert run(content).missing_here == 1
        book(payment, GatewayStatus.PAID)

        assert run(content).balanced

    def test_eight_runs_at_one_moment_leave_the_result_of_one(self):
        payments = three_paid()
        contents = [a_file([row_of(one) for one in payments[:n]]) for n in (2, 3)] * 4

        results = at_once([lambda content=content: run(content) for content in contents])

        assert {result.matched for result in results} == {2, 3}
        with transaction() as session:
            last = get_result(session, "sandbox", DAY)
            assert [one.day for one in list_results(session)] == [DAY]
        assert (last.matched, len(breaks())) in {(3, 0), (2, 1)}

    def test_a_day_whose_file_is_not_here_is_not_yet_and_no_error(self, session):
        three_paid()

        assert unreconciled(session, gateways=["sandbox"], today=NEXT) == [("sandbox", DAY)]
        assert list_results(session) == []
        with pytest.raises(NotFound):
            get_result(session, "sandbox", DAY)

    def test_every_kind_of_break_has_a_remedy(self):
        assert set(REMEDIES) == set(BreakKind)


GOOD = ["payment", "CB1", "s1", "", "", "86.50", "0.33", "2026-11-20T04:00:03Z"]
WRONG = [
    (b"", 1),
    (b"\xff\xff", None),
    (a_file([GOOD], day=DAY + timedelta(days=1)), 1),
    (a_file([GOOD]).replace(b"kind,", b"type,"), 2),
    (a_file([GOOD]).rpartition(b"#TOTAL")[0], 2),
    (a_file([GOOD], total=["#TOTAL", "2", "86.50", "0.33"]), 4),
    (a_file([GOOD], total=["#TOTAL", "1", "86.51", "0.33"]), 4),
    (a_file([GOOD], total=["#TOTAL", "1", "86.49", "0.33"]), 4),
    (a_file([GOOD], total=["#TOTAL", "1", "86.50", "0.32"]), 4),
    (a_file([GOOD], total=["#TOTAL", "1", "86.50"]), 4),
    (a_file([GOOD], total=["#TOTAL", "one", "86.50", "0.33"]), 4),
    (a_file([GOOD, GOOD]).replace(b"86.50,0.33,2026-11-20T04", b"86.505,0.33,2026-11-20T04"), 3),
    (a_file([["chargeback", *GOOD[1:]]]), 3),
    (a_file([GOOD, [*GOOD[:7], "yesterday"]]), 4),
    (a_file([GOOD, [*GOOD[:7], "2026-11-20T04:00:03"]]), 4),
    (a_file([GOOD, [*GOOD, "more"]]), 4),
    (a_file([["payment", "CB\x001", *GOOD[2:]]]), 3),
]


class TestRefusedFiles:
    @pytest.mark.usefixtures("city")
    @pytest.mark.parametrize(("content", "line_no"), WRONG)
    def test_a_wrong_file_is_refused_with_its_line_and_nothing_changes(  # rule 40
        self, content, line_no
    ):
        payments = three_paid()
        before = run(a_file([row_of(one) for one in payments]))

        with pytest.raises(SettlementFileError) as refused:
            run(content)

        assert refused.value.line_no == line_no
        with transaction() as session:
            assert get_result(session, "sandbox", DAY) == before
            files = session.execute(text("SELECT count(*) FROM settlement_file")).scalar_one()
        assert (files, breaks()) == (1, [])

    @given(st.one_of(
        st.binary(max_size=300),
        st.tuples(st.integers(0, 250), st.binary(max_size=3)).map(
            lambda cut: a_file([GOOD])[: cut[0]] + cut[1] + a_file([GOOD])[cut[0] + 1 :]
        ),
    ))  # fmt: skip
    def test_whatever_a_file_holds_it_is_read_or_refused_in_our_words(self, content):
        try:
            rows = list(GATEWAY.read_settlement(io.BytesIO(content), day=DAY))
        except SettlementFileError:
            return
        for row in rows:
            assert row.kind in {"payment", "refund"}
            assert row.happened_at.tzinfo is not None
            assert "\0" not in row.reference + row.gateway_ref
