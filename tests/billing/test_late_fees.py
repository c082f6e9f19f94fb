"""What lateness costs: the right day, the right part, once, and taken back where it was not due."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from billing import late_fees
from billing.bills import BillRef
from billing.late_fees import Assessed, BillLateFee, assess, waive_after
from billing.ledger import books, postings
from core.clock import day_bounds
from core.db import transaction
from core.errors import Conflict
from core.keys import named_key
from payments.gateways.base import GatewayStatus
from payments.quotes import Wanted
from providers.base import LineItem
from tests.factories import (
    MONTH,
    a_home,
    a_payment,
    a_record,
    at_once,
    book,
    bring_in,
    the_bill,
    the_terms,
    topics,
    violations,
)

DUE = date(2026, 11, 30)  # a Monday, and the due date of every bill the factories make
ALL_THREE = "[late_fee]\nonce_fen = 300\npenalty_ppm = 10000\ninterest_ppm_per_day = 500\n"
INTEREST = "[late_fee]\ninterest_ppm_per_day = 500\n"
_numbers = count(1)

pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture(autouse=True)
def _the_books_hold(city: str) -> Iterator[None]:
    yield
    assert violations() == []


def after(days: int) -> date:
    return DUE + timedelta(days=days)


def morning_after(day: date) -> datetime:
    """Six o'clock in Shanghai on the next day: that day is over."""
    return day_bounds(day)[1] + timedelta(hours=6)


def a_bill(amount_fen: int = 100_000, *, company: str = "water", **changes) -> BillRef:
    number = f"{next(_numbers):010d}"
    items = (LineItem("基本费", None, "", amount_fen),)
    bring_in(company, a_record(number, amount_fen=amount_fen, items=items, **changes))
    with transaction() as session:
        found = session.execute(
            text("SELECT id FROM utility_account WHERE (provider_code, account_no) = (:p, :no)"),
            {"p": company, "no": number},
        )
        return found.scalar_one(), named_key(changes.get("billing_month", MONTH), "B1")


def run(days: int, *, company: str = "water") -> Assessed:
    """Count up to so many days after the due date, on the next morning."""
    return assess(company, after(days), now=morning_after(after(days)))


def posted(ref: BillRef, *, company: str = "water") -> dict[str, int]:
    """Every transfer about lateness: entry key → fen, below zero where it was taken back."""
    with transaction() as session:
        rows = session.execute(
            text("""
                SELECT entry_key,
                       CASE WHEN d.code = :owed THEN amount_fen ELSE -amount_fen END AS fen
                FROM ledger_transfer t
                JOIN ledger_account d ON d.id = debit_account_id
                WHERE account_id = :account AND subject_id = :bill
                  AND entry_key ~ '^(once|penalty|interest|waived)'
                ORDER BY entry_key
            """),
            {"account": ref[0], "bill": ref[1], "owed": books.receivable(company)},
        )
        return {row.entry_key: row.fen for row in rows}


def fees(ref: BillRef) -> BillLateFee | None:
    with transaction() as session:
        return session.get(BillLateFee, ref)


def pays(ref: BillRef, amount_fen: int, *, paid_on: date, company: str = "water") -> int:
    """Post a payment as settlement does; give back what it made undue."""
    number, now = next(_numbers), morning_after(paid_on)
    with transaction() as session:
        session.execute(
            text("SELECT FROM bill WHERE (account_id, id) = (:account, :bill) FOR UPDATE"),
            {"account": ref[0], "bill": ref[1]},
        )
        back_fen = waive_after(
            session, ref, paid_on=paid_on, amount_fen=amount_fen, why=str(number), now=now
        )
        session.execute(
            text("UPDATE bill SET paid_fen = paid_fen + :fen WHERE (account_id, id) = (:a, :b)"),
            {"fen": amount_fen, "a": ref[0], "b": ref[1]},
        )
        moves = postings.captured(ref, company, "sandbox", number, amount_fen=amount_fen)
        books.post(session, moves, now=now)
    return back_fen


class TestCounting:
    def test_one_off_penalty_and_interest_are_three_things(self):
        """Rule 24."""
        the_terms("water", ALL_THREE)
        ref = a_bill(100_000)

        assert run(1) == Assessed(1, 1_350)

        assert posted(ref) == {
            "once.20261201": 300, "penalty.20261201": 1_000, "interest.20261201": 50,
        }  # fmt: skip
        assert the_bill(ref).open_fen == 101_350

    def test_on_the_due_date_nothing_is_late(self):
        the_terms("water", ALL_THREE)
        ref = a_bill()

        assert run(0) == Assessed(0, 0)

        assert (posted(ref), fees(ref)) == ({}, None)

    def test_interest_is_multiplied_by_the_days(self):
        """Rule 24: the line another system left commented out."""
        the_terms("water", INTEREST)
        ref = a_bill(100_000)

        run(10)

        assert posted(ref) == {"interest.20261210": 500}

    def test_interest_costs_no_interest(self):
        the_terms("water", ALL_THREE)
        ref = a_bill(100_000)

        for day in (1, 2, 3):
            run(day)

        assert [posted(ref)[f"interest.2026120{day}"] for day in (1, 2, 3)] == [50, 50, 50]

    @pytest.mark.parametrize(("amount_fen", "fee_fen"), [(999, 0), (1_000, 1), (1_001, 1)])
    def test_a_day_s_interest_is_rounded_half_up(self, amount_fen, fee_fen):
        the_terms("water", INTEREST)
        ref = a_bill(amount_fen)

        assert run(1).fee_fen == fee_fen
        assert sum(posted(ref).values()) == fee_fen

    @pytest.mark.parametrize(("amount_fen", "fee_fen"), [(149, 1), (150, 2), (151, 2)])
    def test_a_penalty_is_rounded_half_up(self, amount_fen, fee_fen):
        the_terms("water", "[late_fee]\npenalty_ppm = 10000\n")
        ref = a_bill(amount_fen)

        run(1)

        assert posted(ref) == {"penalty.20261201": fee_fen}

    def test_a_small_bill_s_share_of_a_day_is_kept_until_it_is_a_fen(self):
        """Rounded day by day, 0.4 fen would never be asked, or 0.6 asked as a whole one."""
        the_terms("water", "[late_fee]\ninterest_ppm_per_day = 400\n")
        ref = a_bill(1_000)

        added = [run(day).fee_fen for day in range(1, 11)]

        assert added == [0, 1, 0, 1, 0, 0, 1, 0, 1, 0]
        assert the_bill(ref).adjusted_fen == 4

    def test_the_one_off_and_the_penalty_come_once(self):
        the_terms("water", "[late_fee]\nonce_fen = 300\npenalty_ppm = 10000\n")
        ref = a_bill(100_000)

        assert [run(day).fee_fen for day in (1, 2, 9)] == [1_300, 0, 0]
        assert the_bill(ref).adjusted_fen == 1_300

    def test_the_same_day_again_and_an_earlier_one_change_nothing(self):
        the_terms("water", ALL_THREE)
        ref = a_bill()
        run(5)
        before = the_bill(ref), posted(ref), fees(ref)

        assert [run(5), run(3)] == [Assessed(0, 0), Assessed(0, 0)]

        assert (the_bill(ref), posted(ref), fees(ref)) == before

    def test_run_by_eight_at_once_it_is_counted_once(self):
        the_terms("water", ALL_THREE)
        refs = [a_bill(100_000) for _ in range(5)]

        found = at_once([lambda: run(4)] * 8)

        assert sum(one.bills for one in found) == 5
        assert sum(one.fee_fen for one in found) == 5 * 1_500
        assert {the_bill(ref).adjusted_fen for ref in refs} == {1_500}

    def test_a_day_that_is_not_over_is_not_counted(self):
        """Rule 20: its payments are not all posted."""
        the_terms("water", ALL_THREE)

        with pytest.raises(Conflict, match="when the day is over"):
            assess("water", DUE, now=day_bounds(DUE)[1] - timedelta(microseconds=1))

    def test_each_chunk_tells_once(self, monkeypatch):
        monkeypatch.setattr(late_fees, "CHUNK_ACCOUNTS", 2)
        the_terms("water", INTEREST)
        for _ in range(5):
            a_bill()

        assert run(1).bills == 5

        assert topics(like="late_fees.%") == ["late_fees.assessed"] * 3


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    amount_fen=st.integers(1, 10**9),
    ppm=st.integers(1, 20_000),
    cap_ppm=st.integers(1, 10**6),
    stop=st.integers(1, 12),
    runs=st.lists(st.integers(0, 12), max_size=6),
)
def test_counted_day_by_day_or_once_in_the_end_it_is_the_same(amount_fen, ppm, cap_ppm, stop, runs):
    """Rules 20 and 24: runs that were missed cost nobody anything."""
    toml = f"{ALL_THREE}cap_ppm = {cap_ppm}\nstop_after_days = {stop}\n".replace(
        "= 500", f"= {ppm}"
    )
    companies = [f"company-{next(_numbers)}" for _ in range(2)]
    for company in companies:
        the_terms(company, toml)
    often, seldom = (a_bill(amount_fen, company=company) for company in companies)

    for day in [*runs, 12]:
        run(day, company=companies[0])
    run(12, company=companies[1])

    one, other = fees(often), fees(seldom)
    assert one is not None
    assert other is not None
    assert one.model_dump(exclude={"account_id"}) == other.model_dump(exclude={"account_id"})
    assert the_bill(often).adjusted_fen == the_bill(seldom).adjusted_fen
    assert the_bill(often).adjusted_fen <= amount_fen * cap_ppm // 10**6


class TestTerms:
    def test_what_lateness_costs_is_configuration_alone(self):
        """Rule 24: no statutory percentage stands in the code."""
        the_terms("water", "[late_fee]\ninterest_ppm_per_day = 500\n")
        the_terms("gas", "[late_fee]\ninterest_ppm_per_day = 3000\n")
        _, power, _ = (a_bill(100_000, company=one) for one in ("water", "power", "gas"))

        found = [run(1, company=company).fee_fen for company in ("water", "power", "gas")]

        assert found == [50, 0, 300]
        assert fees(power) is None

    def test_a_company_without_late_fees_is_not_even_looked_through(self):
        the_terms("water", "[due]\nroll = 'next_working_day'\n")
        a_bill()

        assert run(9) == Assessed(0, 0)

        with transaction() as session:
            assert "gateway" not in {code for code, _, _ in books.balances(session)}
        assert topics(like="late_fees.%") == []

    def test_within_the_grace_nothing_then_from_the_due_date(self):
        the_terms("water", f"{INTEREST}grace_days = 3\n")
        ref = a_bill(100_000)

        assert [run(day).fee_fen for day in (1, 3, 4)] == [0, 0, 200]
        assert posted(ref) == {"interest.20261204": 200}

    def test_a_due_date_on_a_day_off_is_rolled(self):
        """Rule 19: 1 October 2026 is the National Day; work begins again on the 8th."""
        the_terms("water", f"{INTEREST}[due]\nroll = 'next_working_day'\n")
        ref = a_bill(
            100_000, billing_month=date(2026, 8, 1), period_to_on=date(2026, 8, 28),
            issued_on=date(2026, 9, 1), due_on=date(2026, 10, 1),
        )  # fmt: skip
        for day in (date(2026, 10, 8), date(2026, 10, 9)):
            assess("water", day, now=morning_after(day))

        assert posted(ref) == {"interest.20261009": 50}

    @pytest.mark.parametrize(
        ("cap_ppm", "expected"),
        [
            (1_349, {"once.20261202": 134}),
            (3_000, {"once.20261202": 300}),
            (3_010, {"once.20261202": 300, "penalty.20261202": 1}),
            (13_000, {"once.20261202": 300, "penalty.20261202": 1_000}),
            (13_990, {"once.20261202": 300, "penalty.20261202": 1_000, "interest.20261202": 99}),
            (14_000, {"once.20261202": 300, "penalty.20261202": 1_000, "interest.20261202": 100}),
        ],
    )
    def test_all_three_together_stay_under_the_cap(self, cap_ppm, expected):
        the_terms("water", f"{ALL_THREE}cap_ppm = {cap_ppm}\n")
        ref = a_bill(100_000)

        run(2)

        assert posted(ref) == expected

    def test_interest_goes_up_to_the_cap_and_no_fen_further(self):
        the_terms("water", f"{INTEREST}cap_ppm = 1200\n")
        ref = a_bill(100_000)

        assert [run(day).fee_fen for day in (1, 2, 3, 4)] == [50, 50, 20, 0]
        assert the_bill(ref).adjusted_fen == 120

    def test_it_stops_after_so_many_days(self):
        the_terms("water", f"{INTEREST}stop_after_days = 3\n")
        ref = a_bill(100_000)

        run(2)
        run(40)
        run(41)

        assert posted(ref) == {"interest.20261202": 100, "interest.20270109": 50}

    def test_the_terms_of_the_day_that_is_counted_are_in_force(self):
        the_terms("water", INTEREST)
        the_terms("water", "[late_fee]\ninterest_ppm_per_day = 1000\n", effective_on=after(3))
        ref = a_bill(100_000)

        assert [run(day).fee_fen for day in (2, 3)] == [100, 100]
        assert the_bill(ref).adjusted_fen == 200


class TestWhichBills:
    @pytest.mark.parametrize("amount_fen", [-5_000, 0])
    def test_a_credit_is_never_late(self, amount_fen):
        the_terms("water", ALL_THREE)
        ref = a_bill(amount_fen)

        assert run(9) == Assessed(0, 0)
        assert fees(ref) is None

    def test_a_cancelled_bill_is_never_late(self):
        the_terms("water", ALL_THREE)
        home = a_home(8_650)
        home.cancel(0)

        assert run(9) == Assessed(0, 0)

    def test_a_bill_paid_on_the_day_is_not_late_that_day(self):
        """Rule 20: what was received is posted before the run."""
        the_terms("water", ALL_THREE)
        ref = a_bill(100_000)
        pays(ref, 100_000, paid_on=after(1))

        assert run(1) == Assessed(0, 0)

    def test_a_paid_bill_whose_late_fee_is_open_costs_no_more(self):
        the_terms("water", ALL_THREE)
        ref = a_bill(100_000)
        run(1)
        pays(ref, 100_000, paid_on=after(2))

        assert run(30) == Assessed(0, 0)
        assert the_bill(ref).open_fen == 1_350

    def test_what_is_paid_of_the_charge_costs_no_more(self):
        the_terms("water", INTEREST)
        ref = a_bill(100_000)
        run(1)
        pays(ref, 40_000, paid_on=after(2))

        run(2)

        assert posted(ref) == {"interest.20261201": 50, "interest.20261202": 30}

    def test_where_late_fees_are_paid_first_they_cost_no_more_for_it(self):
        """Rule 9: old money that covers new late fees would make the charge grow again."""
        the_terms("water", f"{INTEREST}[apportion]\nheads = ['late_fee', 'charge']\n")
        ref = a_bill(100_000)
        pays(ref, 40_000, paid_on=DUE)

        for day in (1, 2, 3):
            run(day)

        assert list(posted(ref).values()) == [30, 30, 30]

    def test_a_bill_held_by_a_payment_is_left_and_made_up_for_later(self):
        the_terms("water", INTEREST)
        home = a_home(100_000, items=(LineItem("基本费", None, "", 100_000),))
        run(1)
        payment = a_payment(home, wanted=[Wanted(home.refs[0], None)])

        assert run(3) == Assessed(0, 0)
        book(payment, GatewayStatus.CLOSED)
        run(4)

        assert posted(home.refs[0]) == {"interest.20261201": 50, "interest.20261204": 150}

    def test_a_corrected_bill_begins_anew_though_it_was_counted_to_the_end(self):
        the_terms("water", f"{INTEREST}stop_after_days = 3\n")
        home = a_home(100_000, items=(LineItem("基本费", None, "", 100_000),))
        run(3)
        home.correct(0, version=2, amount_fen=80_000, items=(LineItem("基本费", None, "", 80_000),))

        assert run(3) == Assessed(0, 0), "its postings of that day stand"
        assert run(4) == Assessed(1, 120)
        assert the_bill(home.refs[0]).open_fen == 80_120

    def test_another_company_s_bills_are_left_alone(self):
        the_terms("water", ALL_THREE)
        ref = a_bill(company="gas")

        assert run(9) == Assessed(0, 0)
        assert fees(ref) is None

    def test_bills_of_several_months_are_counted_in_one_run(self):
        the_terms("water", INTEREST)
        old = a_bill(
            100_000, billing_month=date(2026, 7, 1), period_to_on=date(2026, 7, 28),
            issued_on=date(2026, 8, 1), due_on=date(2026, 8, 31),
        )  # fmt: skip
        new = a_bill(100_000)

        assert run(1).bills == 2
        assert (posted(old), posted(new)) == (
            {"interest.20261201": 4_600},
            {"interest.20261201": 50},
        )


class TestTakenBack:
    def test_money_that_was_in_time_makes_all_of_it_undue(self):
        """Rule 20: the resident paid on the due date; we posted it three days later."""
        the_terms("water", ALL_THREE)
        ref = a_bill(100_000)
        run(1)
        run(3)

        assert pays(ref, 100_000, paid_on=DUE) == 1_450

        assert the_bill(ref).open_fen == 0
        assert the_bill(ref).adjusted_fen == 0

    def test_what_was_shown_and_paid_closes_the_bill_whatever_was_counted_since(self):
        """Pain E: an exact payment must never come out as too little."""
        the_terms("water", ALL_THREE)
        ref = a_bill(100_000)
        run(2)
        shown_fen = the_bill(ref).open_fen
        run(6)

        assert pays(ref, shown_fen, paid_on=after(3)) == 4 * 50

        assert the_bill(ref).open_fen == 0

    @pytest.mark.parametrize(("paid_in", "back_fen"), [(1, 1_500), (2, 150), (3, 100), (5, 0)])
    def test_the_days_from_the_payment_s_day_on_are_taken_back(self, paid_in, back_fen):
        """On its own day it would have been posted before the run; so that day goes as well."""
        the_terms("water", ALL_THREE)
        ref = a_bill(100_000)
        run(4)

        assert pays(ref, 100_000, paid_on=after(paid_in)) == back_fen

    def test_a_part_in_time_leaves_what_the_rest_costs(self):
        the_terms("water", ALL_THREE)
        ref = a_bill(100_000)
        run(2)

        assert pays(ref, 40_000, paid_on=DUE) == 400 + 40

        assert the_bill(ref).adjusted_fen == 300 + 600 + 60

    def test_within_the_grace_money_is_in_time(self):
        the_terms("water", f"{ALL_THREE}grace_days = 3\n")
        ref = a_bill(100_000)
        run(6)

        assert pays(ref, 100_000, paid_on=after(3)) == 1_600

    def test_for_one_reason_it_is_taken_back_once(self):
        the_terms("water", ALL_THREE)
        ref = a_bill(100_000)
        run(3)

        def waive() -> int:
            with transaction() as session:
                return waive_after(
                    session, ref, paid_on=DUE, amount_fen=50_000, why="7", now=morning_after(DUE)
                )

        assert [waive(), waive()] == [500 + 75, 0]
        assert the_bill(ref).adjusted_fen == 1_450 - 575

    def test_money_that_was_late_as_posted_takes_nothing_back(self):
        the_terms("water", ALL_THREE)
        ref = a_bill(100_000)
        run(3)

        assert pays(ref, 100_000, paid_on=after(4)) == 0
        assert the_bill(ref).open_fen == 1_450

    def test_a_bill_on_which_nothing_was_counted_has_nothing_to_take_back(self):
        ref = a_bill(100_000)

        assert pays(ref, 100_000, paid_on=DUE) == 0

    def test_what_is_paid_of_the_late_fee_stays_paid(self):
        """Never more than is open: the bill would end below zero, and the money not fit."""
        the_terms("water", ALL_THREE)
        ref = a_bill(100_000)
        run(2)
        pays(ref, 101_400, paid_on=after(3))

        assert pays(ref, 0, paid_on=DUE) == 0
        assert the_bill(ref).open_fen == 0

    def test_the_example_of_the_page_comes_out_as_it_says(self):
        """docs/bills-that-live.md."""
        the_terms("water", f"{ALL_THREE}[due]\nroll = 'next_working_day'\n")
        ref = a_bill(100_000, due_on=date(2026, 11, 28))
        run(1)
        run(3)
        pays(ref, 60_000, paid_on=after(4))
        run(4)
        run(5)
        assert posted(ref) == {
            "once.20261201": 300, "penalty.20261201": 1_000, "interest.20261201": 50,
            "interest.20261203": 100, "interest.20261204": 20, "interest.20261205": 20,
        }  # fmt: skip

        assert pays(ref, 40_000, paid_on=after(2)) == 80
        assert the_bill(ref).open_fen == 1_410

    def test_it_is_counted_on_from_what_was_left(self):
        the_terms("water", INTEREST)
        ref = a_bill(100_000)
        run(3)
        pays(ref, 40_000, paid_on=DUE)

        run(4)

        assert posted(ref)["interest.20261204"] == 30
        assert the_bill(ref).adjusted_fen == 4 * 30


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    amount_fen=st.integers(1_000, 10**7),
    share=st.integers(1, 100),
    grace=st.integers(0, 3),
    ppm=st.integers(1, 5_000),
    paid_in=st.integers(-1, 6),
    posted_in=st.integers(0, 4),
    cap_ppm=st.integers(1, 10**5),
)
def test_a_payment_posted_late_leaves_what_one_posted_in_time_leaves(
    amount_fen, share, grace, ppm, paid_in, posted_in, cap_ppm
):
    """Rule 20, and the reason of it: our delay is not the resident's."""
    toml = f"{ALL_THREE}grace_days = {grace}\ncap_ppm = {cap_ppm}\n".replace("= 500", f"= {ppm}")
    prompt, slow = (f"company-{next(_numbers)}" for _ in range(2))
    for company in (prompt, slow):
        the_terms(company, toml)
    refs = {company: a_bill(amount_fen, company=company) for company in (prompt, slow)}
    part_fen = max(1, amount_fen * share // 100)
    for day in range(12):
        if day == max(paid_in, 0):
            pays(refs[prompt], part_fen, paid_on=after(paid_in), company=prompt)
        if day == max(paid_in, 0) + posted_in:
            pays(refs[slow], part_fen, paid_on=after(paid_in), company=slow)
        for company in (prompt, slow):
            run(day, company=company)

    one, other = (the_bill(refs[company]) for company in (prompt, slow))
    assert (one.adjusted_fen, one.open_fen) == (other.adjusted_fen, other.open_fen)
