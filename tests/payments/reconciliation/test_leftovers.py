"""What a day's own file leaves: other days, numbers, routes or parts explain it, or nothing."""

import io
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from core.db import transaction
from core.errors import Conflict, Invalid
from core.money import yuan_text
from core.settings import AgreedFee, SourceTerms
from identity.models import Role
from payments.gateways.base import GatewayStatus, SettlementRecord
from payments.gateways.sandbox import Sandbox
from payments.models import Payment
from payments.reconciliation.breaks import list_breaks
from payments.reconciliation.gateway import leftovers
from payments.reconciliation.gateway.matching import ReconciliationResult, reconcile
from payments.reconciliation.source_terms import AGREED
from tests.conftest import as_owner
from tests.factories import NOW, a_home, a_paid_payment, a_payment, a_person, book
from tests.payments.reconciliation.banking import Line, bank_says
from tests.payments.reconciliation.test_matching import DAY, a_file, a_refund, row_of

pytestmark = pytest.mark.usefixtures("city")
NEXT, AFTER = DAY + timedelta(days=1), DAY + timedelta(days=2)
NOON = datetime.fromisoformat("2026-11-20T04:00:00Z")
LATE = datetime.fromisoformat("2026-11-20T15:59:00Z")  # a minute before midnight
EARLY = datetime.fromisoformat("2026-11-20T16:00:10Z")  # of the next day
WITH_A_FEE = {"sandbox": SourceTerms(fee=AgreedFee(fixed_fen=3, rate_ppm=6_000))}


class RowByRow(Sandbox):
    read_bulk = None  # type: ignore[assignment]  # so its rows are read one by one


class Payers(RowByRow):
    """A gateway whose file also says of whom a row is, in its last number."""

    def read_settlement(self, stream: Any, *, day: date) -> Any:
        return [
            row._replace(payer=row.gateway_ref.partition("/")[2])
            for row in super().read_settlement(stream, day=day)
        ]


class Other(Sandbox):
    code = "other"


def a_gateway(kind: type[Sandbox] = Sandbox) -> Sandbox:
    return kind("http://127.0.0.1:9", "no secret is needed to read a file")


def told(
    rows: Sequence[list[str]],
    day: date = DAY,
    *,
    by: type[Sandbox] = Sandbox,
    sources: Mapping[str, SourceTerms] = AGREED,
) -> ReconciliationResult:
    with transaction() as session:
        return reconcile(
            session, a_gateway(by), io.BytesIO(a_file(rows, day=day)), day=day,
            file_name=f"{day}.csv", now=NOW, sources=sources,
        )  # fmt: skip


def paid(fen: int = 8_650, *, at: datetime = NOON, **changes: Any) -> Payment:
    payment = a_payment(a_home(fen), **changes)
    return book(payment, GatewayStatus.PAID, paid_at=at, gateway_ref=f"g-{payment.order_no}")


def nameless(payment: Payment, ref: str = "", at: datetime = NOON, **changes: str) -> list[str]:
    """A row of theirs about a payment, without our number and under an unknown one of theirs."""
    moment = at.isoformat().replace("+00:00", "Z")
    return row_of(payment, order_no="", gateway_ref=ref, happened_at=moment, **changes)


def left(day: date = DAY, source: str = "sandbox") -> list[tuple[str, str]]:
    with transaction() as session:
        return sorted((one.kind.value, one.reference) for one in list_breaks(session, source, day))


def matches() -> list[str]:
    with transaction() as session:
        return [one.found_by.value for one in leftovers.list_matches(session)]


class TestLate:
    def test_what_is_paid_at_midnight_is_late_until_the_next_days_file_is_here(self):
        payment = paid(at=LATE)

        result = told([])
        assert (result.late, result.missing_at_gateway, result.balanced) == (1, 0, True)
        told([], NEXT)

        assert left() == [("missing_at_gateway", payment.order_no)]

    def test_the_next_days_file_explains_it(self):
        payment = paid(at=LATE)
        told([])

        assert told([row_of(payment)], NEXT).balanced

        assert (left(), left(NEXT), matches()) == ([], [], ["other_day"])
        assert told([]).matched == 1

    def test_the_same_whichever_file_came_first(self):
        payment = paid(at=LATE)

        assert told([row_of(payment)], NEXT).late == 1
        assert told([]).balanced

        assert (left(), left(NEXT)) == ([], [])

    def test_at_noon_it_is_not_there(self):
        payment = paid()

        told([])

        assert left() == [("missing_at_gateway", payment.order_no)]

    def test_a_gateway_may_take_days_if_that_is_agreed(self):
        payment, sources = paid(), {"sandbox": SourceTerms(file_days=2)}

        for day in (DAY, NEXT):
            told([], day, sources=sources)
            assert left() == [("late", payment.order_no)]
        told([], AFTER, sources=sources)
        assert left() == [("missing_at_gateway", payment.order_no)]

        told([row_of(payment)], AFTER, sources=sources)
        assert (left(), left(AFTER)) == ([], [])

    def test_late_and_then_missing_it_is_due_a_day_after_it_was_missed(self):
        paid(at=LATE)
        told([])
        later = NOW + timedelta(days=2)
        with transaction() as session:
            reconcile(session, a_gateway(), io.BytesIO(a_file([], day=NEXT)), day=NEXT,
                      file_name="n.csv", now=later)  # fmt: skip
            (found,) = list_breaks(session, "sandbox", DAY)

        assert (found.found_at, found.due_at) == (NOW, later + timedelta(days=1))

    def test_theirs_of_a_minute_before_ours_is_early_and_no_difference(self):
        payment = paid(at=EARLY)

        told([row_of(payment)])
        assert left() == [("late", payment.order_no)]
        assert told([], NEXT).balanced

        assert (left(), matches()) == ([], ["other_day"])

    def test_another_amount_in_the_next_days_file_is_a_difference_of_our_day(self):
        payment = paid(at=LATE)

        told([])
        told([row_of(payment, amount="86.49")], NEXT)

        assert (left(), left(NEXT)) == ([("amount_differs", payment.order_no)], [])

    def test_told_again_on_the_next_day_it_is_listed_twice(self):
        payment = paid()

        for order in ((DAY, NEXT), (NEXT, DAY)):
            for day in order:
                told([row_of(payment)], day)
            assert (left(), left(NEXT)) == ([], [("duplicate", payment.order_no)])

    def test_a_refund_may_be_late_too(self):
        payment, number = a_refund(at=LATE)

        told([row_of(payment)])
        assert left() == [("late", number)]
        told([], NEXT)
        assert left() == [("refund_unmatched", number)]


class TestFees:
    @pytest.mark.parametrize(
        ("fee", "kinds"), [("0.55", []), ("0.54", ["fee_differs"]), ("0.56", ["fee_differs"])]
    )
    def test_it_is_what_is_agreed_or_a_difference(self, fee, kinds):  # 3 + 51.9, half up: 55
        payment = paid()

        result = told([row_of(payment, fee=fee)], sources=WITH_A_FEE)

        assert ([kind for kind, _ in left()], result.matched) == (kinds, 1)

    def test_both_fees_are_named(self):
        payment = paid()
        told([row_of(payment, fee="0.60")], sources=WITH_A_FEE)

        with transaction() as session:
            (found,) = list_breaks(session, "sandbox", DAY)
        assert (found.reference, found.ours_fen, found.theirs_fen) == (payment.order_no, 55, 60)

    def test_it_may_be_off_by_the_sources_tolerance(self):
        terms = WITH_A_FEE["sandbox"].model_copy(update={"tolerance_fen": 1})

        assert told([row_of(paid(), fee="0.56")], sources={"sandbox": terms}).balanced

    def test_where_nothing_is_agreed_nothing_is_wrong(self):
        assert told([row_of(paid(), fee="9.99")]).balanced


class TestWithoutOurNumber:
    def test_their_number_says_what_it_is(self):
        payment = paid()

        result = told([row_of(payment, order_no="")])

        assert (result.matched, result.balanced, matches()) == (1, True, ["their_number"])

    def test_one_sum_at_one_time_is_it(self):
        payment = paid()

        assert told([nameless(payment, "s1")]).balanced

        assert matches() == ["amount"]

    @pytest.mark.parametrize(("minutes", "found"), [(30, 1), (-30, 1), (31, 0), (-31, 0)])
    def test_it_must_be_near(self, minutes, found):
        payment = paid()

        told([nameless(payment, "s1", NOON + timedelta(minutes=minutes))])

        assert len(matches()) == found

    def test_what_could_be_two_payments_is_taken_for_neither(self):
        one, _ = paid(), paid()

        result = told([nameless(one, "s1")])

        assert (result.missing_at_gateway, result.missing_here, matches()) == (2, 1, [])

    def test_nor_are_two_rows_that_could_be_one_payment(self):
        one = paid()

        told([nameless(one, "s1"), nameless(one, "s2")])

        assert matches() == []

    def test_the_payer_decides_where_the_file_says_who(self):
        home = a_home(8_650)
        payment = a_payment(home)
        book(payment, GatewayStatus.PAID, paid_at=NOON)
        paid()

        told([nameless(payment, f"s1/****{home.account_nos[0][-4:]}")], by=Payers)

        assert matches() == ["amount"]
        assert [kind for kind, _ in left()] == ["missing_at_gateway"]

    def test_a_payer_by_their_masked_phone_is_the_person_and_never_an_account(self):
        home, stranger = a_home(8_650), a_home(8_650)
        payment, other = a_payment(home), a_payment(stranger)
        for one in (payment, other):
            book(one, GatewayStatus.PAID, paid_at=NOON)
        with as_owner() as connection:
            connection.execute(
                text("UPDATE person SET contact = :phone WHERE id = :id"),
                {"phone": f"1380000{stranger.account_nos[0][-4:]}", "id": home.owner_id},
            )

        told([nameless(payment, f"s1/138****{stranger.account_nos[0][-4:]}")], by=Payers)

        assert matches() == ["amount"]
        assert left() == [("missing_at_gateway", other.order_no)]

    def test_a_row_under_a_strangers_number_is_nobodys(self):
        payment = paid()

        told([row_of(payment, order_no="NOBODYS", gateway_ref="s1")])

        assert left() == [("missing_at_gateway", payment.order_no), ("missing_here", "NOBODYS")]

    def test_a_person_who_says_it_is_not_is_not_asked_again(self):
        payment, person = paid(), a_person(Role.STAFF)
        told([nameless(payment, "s1")])
        with transaction() as session:
            (match,) = leftovers.list_matches(session, "sandbox", DAY)
            leftovers.undo_match(session, match.id or 0, by=person, reason="another", now=NOW)
        expected = [("missing_at_gateway", payment.order_no), ("missing_here", "s1")]
        assert left() == expected

        told([nameless(payment, "s1")])

        assert (left(), matches()) == (expected, [])
        with pytest.raises(Conflict), transaction() as session:
            leftovers.undo_match(session, match.id or 0, by=person, reason="again", now=NOW)
        with pytest.raises(Invalid), transaction() as session:
            leftovers.undo_match(session, match.id or 0, by=person, reason=" ", now=NOW)

    def test_a_corrected_file_undoes_what_does_not_hold_any_more(self):
        payment = paid()
        told([nameless(payment, "s1")])

        told([row_of(payment)])

        assert (left(), matches()) == ([], [])


class TestParts:
    def test_one_payment_in_two_rows_agrees(self):
        payment = paid()

        result = told(
            [row_of(payment, amount="80.00"), row_of(payment, gateway_ref="2", amount="6.50")]
        )

        assert (result.matched, result.balanced) == (1, True)

    def test_parts_that_are_one_fen_off_do_not(self):
        payment = paid()

        told([row_of(payment, amount="80.00"), row_of(payment, gateway_ref="2", amount="6.49")])

        assert left() == [("duplicate", payment.order_no)]

    def test_all_that_is_left_may_be_one_payment_in_parts(self):
        payment = paid()

        told([nameless(payment, "s1", amount="80.00"), nameless(payment, "s2", amount="6.50")])

        assert (left(), matches()) == ([], ["parts"])

    def test_or_one_row_of_several_payments(self):
        payments = [paid(fen) for fen in (8_650, 1_000, 350)]

        result = told([nameless(payments[0], "s1", amount="100.00")])

        assert (result.matched, left(), matches()) == (3, [], ["parts"])

    def test_their_one_number_of_several_payments_too(self):
        payments = [paid(fen) for fen in (8_650, 1_000)]
        with transaction() as session:
            session.execute(text("UPDATE payment SET gateway_ref = NULL"))
            session.execute(
                text("UPDATE payment SET gateway_ref = 's1' WHERE id = :id"), {"id": payments[0].id}
            )

        told([nameless(payments[0], "s1", amount="96.50")])

        assert matches() == ["parts"]


class TestOtherRoutes:
    def test_the_same_order_at_another_gateway_is_its_money(self):
        payment = paid()

        told([])
        told([row_of(payment, gateway_ref="o1")], by=Other)

        assert left() == left(source="other") == [("other_route", payment.order_no)]
        with transaction() as session:
            (ours,) = list_breaks(session, "sandbox", DAY)
            (theirs,) = list_breaks(session, "other", DAY)
        assert ours.elsewhere == f"other 2026-11-20 {payment.order_no}"
        assert theirs.elsewhere == f"sandbox 2026-11-20 {payment.order_no}"

    def test_so_is_another_order_of_the_same_bill(self):
        home = a_home(8_650)
        first = book(a_payment(home), GatewayStatus.CLOSED)
        second = a_paid_payment(home)

        told([row_of(first, gateway_ref="g1")])

        assert left() == [("other_route", first.order_no), ("other_route", second.order_no)]

    def test_another_bills_money_of_the_same_sum_is_none(self):
        first = book(a_payment(a_home(8_650)), GatewayStatus.CLOSED)
        second = paid()

        told([row_of(first, gateway_ref="g1")])

        assert left() == [("missing_at_gateway", second.order_no), ("missing_here", first.order_no)]

    def test_an_entry_of_our_bank_that_names_the_order_is_its_money(self):
        payment = paid()
        told([])

        bank_says(Line(8_650, ref=payment.order_no, no="E7"))

        assert left() == [("other_route", payment.order_no)]
        with transaction() as session:
            (ours,) = list_breaks(session, "sandbox", DAY)
        assert ours.elsewhere == "account-1 2026-11-21 E7"

    def test_an_entry_of_the_same_sum_alone_is_not(self):
        payment = paid()
        told([])

        bank_says(Line(8_650, no="E7"))

        assert left() == [("missing_at_gateway", payment.order_no)]


def test_payouts_and_fees_are_the_banks_to_settle():
    class Paying(RowByRow):
        def read_settlement(self, stream: Any, *, day: date) -> Any:
            rows = list(super().read_settlement(stream, day=day))
            more = [SettlementRecord(90 + at, kind, "", f"p{at}", -100, 0, NOON)
                    for at, kind in enumerate(("payout", "fee"))]  # fmt: skip
            return [*rows, *more]

    payment = paid()

    assert told([row_of(payment, amount=yuan_text(8_650))], by=Paying).balanced
