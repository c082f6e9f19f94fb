"""When a mandate debits and up to how much, for every calendar there is."""

from datetime import UTC, date, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.calendars import add_working_days, counts_on
from billing.rules.terms import parse_terms
from core.clock import billing_date
from core.errors import Invalid
from payments.autopay.rules import (
    MAX_FACTOR,
    NOTICE,
    RETRY_DAYS,
    CapKind,
    FirstBill,
    NotPaid,
    PayDay,
    Rules,
    debit_day,
    debit_moment,
    earliest_debit_on,
    half_fen,
    is_in_time,
    next_try_on,
)
from payments.autopay.states import (
    MANDATE_MOVES,
    RUN_MOVES,
    MandateNews,
    MandateStatus,
    RunNews,
    RunState,
)

PLAIN = parse_terms("")
CUT_OFF = parse_terms("[cut_off]\nat = 07:00:00\nworking_days = true\n")
DUE = date(2026, 12, 15)
EARLY = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)

fens = st.integers(1, 10**9)
moments = st.integers(0, 500_000).map(
    lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)
pay_days = st.one_of(
    st.just((PayDay.DUE, None)),
    st.tuples(st.just(PayDay.BEFORE), st.integers(1, 15)),
    st.tuples(st.just(PayDay.DAY), st.integers(1, 28)),
)


def rules(pay_day: PayDay = PayDay.DUE, number: int | None = None) -> Rules:
    return Rules(cap_kind=CapKind.MAX, cap_fen=20_000, pay_day=pay_day, pay_day_n=number)


def day_of(wanted: Rules, told_at: datetime = EARLY, due: date = DUE) -> date | None:
    return debit_day(
        wanted, PLAIN, issued_on=date(2026, 11, 18), pay_by_on=due, told_at=told_at
    )  # fmt: skip


class TestPayDay:
    """Rule 42."""

    def test_on_the_due_date(self):
        assert day_of(rules()) == DUE

    def test_so_many_days_before_it(self):
        assert day_of(rules(PayDay.BEFORE, 3)) == date(2026, 12, 12)

    def test_on_a_fixed_day_of_the_month(self):
        assert day_of(rules(PayDay.DAY, 5)) == date(2026, 12, 5)

    def test_a_fixed_day_later_than_the_due_date_is_the_due_date(self):
        assert day_of(rules(PayDay.DAY, 16)) == DUE
        assert day_of(rules(PayDay.DAY, 15)) == DUE
        assert day_of(rules(PayDay.DAY, 14)) == date(2026, 12, 14)

    def test_never_before_three_full_days_of_notice(self):
        told_at = datetime(2026, 12, 11, 23, 0, tzinfo=UTC)  # 07:00 in the city on the 12th
        assert earliest_debit_on(told_at) == DUE
        assert day_of(rules(PayDay.BEFORE, 10), told_at) == DUE

    def test_a_notice_an_hour_too_late_leaves_no_day(self):
        told_at = datetime(2026, 12, 12, 0, 1, tzinfo=UTC)  # 08:01 on the 12th
        assert day_of(rules(), told_at) is None

    def test_a_debit_that_would_count_after_the_due_date_comes_earlier(self):  # rule 21
        sunday = date(2026, 12, 13)
        day = debit_day(
            rules(), CUT_OFF, issued_on=date(2026, 11, 18), pay_by_on=sunday, told_at=EARLY
        )
        assert day == date(2026, 12, 10)  # on Friday the 11th, after seven, it counts on Monday

    @given(moments, pay_days, st.integers(1, 60), st.sampled_from([PLAIN, CUT_OFF]))
    def test_whatever_the_calendar_it_is_announced_in_time_and_counts_in_time(
        self, told_at, pay_day, days, terms
    ):
        issued_on = billing_date(told_at) - timedelta(days=2)
        pay_by_on = issued_on + timedelta(days=days)

        day = debit_day(
            rules(*pay_day), terms, issued_on=issued_on, pay_by_on=pay_by_on, told_at=told_at
        )

        if day is not None:
            assert debit_moment(day) - told_at >= NOTICE
            assert day <= pay_by_on
            assert counts_on(debit_moment(day), terms) <= pay_by_on
        else:
            last = pay_by_on
            while counts_on(debit_moment(last), terms) > pay_by_on:
                last -= timedelta(days=1)
            assert debit_moment(last) - told_at < NOTICE

    @given(moments, pay_days, st.integers(0, 40))
    def test_at_a_bank_it_is_the_collection_that_is_never_late(self, told_at, pay_day, days):
        pay_by_on = billing_date(told_at) + timedelta(days=days)

        day = debit_day(
            rules(*pay_day), CUT_OFF, issued_on=billing_date(told_at), pay_by_on=pay_by_on,
            told_at=told_at, collect_after=1,
        )  # fmt: skip

        if day is not None:
            collected_on = add_working_days("CN", day, 1)
            noon = debit_moment(collected_on) + timedelta(hours=4)
            assert debit_moment(day) - told_at >= NOTICE
            assert counts_on(noon, CUT_OFF) <= pay_by_on


class TestEnrolment:
    """Rule 42."""

    @pytest.mark.parametrize(
        ("enrolled_on", "in_time"),
        [
            (date(2026, 12, 10), True),  # Thursday: Friday and Monday are the two
            (date(2026, 12, 11), True),  # Friday: Monday and Tuesday
            (date(2026, 12, 13), True),
            (date(2026, 12, 14), False),  # Monday: Tuesday and Wednesday
        ],
    )
    def test_two_working_days_before_the_due_date(self, enrolled_on, in_time):
        assert is_in_time("CN", enrolled_on=enrolled_on, pay_by_on=DUE) is in_time


class TestCap:
    """Rule 41: off by one fen in each direction."""

    @pytest.mark.parametrize(("fen", "reason"), [(19_999, None), (20_000, None),
                                                 (20_001, NotPaid.OVER_CAP)])  # fmt: skip
    def test_a_maximum(self, fen, reason):
        assert rules().why_not(fen, first=False) is reason

    @pytest.mark.parametrize(("fen", "reason"), [(9_999, NotPaid.NOT_FIXED), (10_000, None),
                                                 (10_001, NotPaid.OVER_CAP)])  # fmt: skip
    def test_a_fixed_amount(self, fen, reason):
        fixed = Rules(cap_kind=CapKind.FIXED, cap_fen=10_000)
        assert fixed.why_not(fen, first=True) is reason

    @pytest.mark.parametrize(("fen", "reason"), [(40_000, None), (40_001, NotPaid.OVER_CAP)])
    def test_the_first_bill_may_be_two_periods(self, fen, reason):
        twice = Rules(cap_kind=CapKind.MAX, cap_fen=20_000, first_bill=FirstBill.MORE)
        assert twice.why_not(fen, first=True) is reason
        assert twice.why_not(20_001, first=False) is NotPaid.OVER_CAP

    def test_or_the_first_bill_is_only_told_of(self):
        told = Rules(cap_kind=CapKind.NONE, first_bill=FirstBill.TELL)
        assert told.why_not(1, first=True) is NotPaid.FIRST_BILL
        assert told.why_not(10**9, first=False) is None

    @given(fens, fens, st.sampled_from(CapKind), st.sampled_from(FirstBill), st.booleans(),
           st.integers(2, MAX_FACTOR))  # fmt: skip
    def test_nothing_above_the_cap_is_ever_debited(self, fen, cap_fen, kind, first_bill, first, by):
        cap = None if kind is CapKind.NONE else cap_fen
        wanted = Rules(cap_kind=kind, cap_fen=cap, first_bill=first_bill, first_factor=by)

        if cap is not None and wanted.why_not(fen, first=first) is None:
            assert fen <= cap * (by if first and first_bill is FirstBill.MORE else 1)
            assert fen <= (wanted.signed_most_fen() or 0)

    @pytest.mark.parametrize(
        "wrong",
        [
            Rules(cap_kind=CapKind.MAX),
            Rules(cap_kind=CapKind.NONE, cap_fen=1),
            Rules(cap_fen=0),
            Rules(cap_fen=1, pay_day_n=1),
            Rules(cap_fen=1, pay_day=PayDay.DAY, pay_day_n=29),
            Rules(cap_fen=1, pay_day=PayDay.BEFORE),
            Rules(cap_fen=1, pay_day=PayDay.BEFORE, pay_day_n=16),
            Rules(cap_kind=CapKind.NONE, first_bill=FirstBill.MORE),
            Rules(cap_fen=1, first_factor=4),
        ],
    )
    def test_rules_that_do_not_fit_together_are_refused(self, wrong):
        with pytest.raises(Invalid):
            wrong.check()


class TestRetry:
    """Rule 43."""

    def test_daily_up_to_six_days(self):
        days = [DUE]
        while (again := next_try_on(DUE, days[-1])) is not None:
            days.append(again)
        assert days == [DUE + timedelta(days=n) for n in range(RETRY_DAYS + 1)]

    @given(fens)
    def test_a_part_is_never_less_than_half(self, owed_fen):
        assert 2 * half_fen(owed_fen) in {owed_fen, owed_fen + 1}


class TestMoves:
    def test_every_state_is_in_the_table_and_can_be_come_to(self):
        for moves, states, start in (
            (MANDATE_MOVES, MandateStatus, MandateStatus.OPEN),
            (RUN_MOVES, RunState, RunState.PLANNED),
        ):
            assert set(moves) == set(states)
            assert {end for ends in moves.values() for end in ends.values()} | {start} == set(
                states
            )

    def test_every_news_means_something_somewhere(self):
        assert {news for ends in MANDATE_MOVES.values() for news in ends} == set(MandateNews)
        assert {news for ends in RUN_MOVES.values() for news in ends} == set(RunNews)

    def test_what_has_ended_stays_ended_and_what_is_done_stays_done(self):
        assert MANDATE_MOVES[MandateStatus.ENDED] == MANDATE_MOVES[MandateStatus.REFUSED] == {}
        assert RUN_MOVES[RunState.DONE] == RUN_MOVES[RunState.TOLD] == {}

    def test_only_what_was_announced_is_debited(self):
        before = {
            state
            for state, news in product(RunState, RunNews)
            if RUN_MOVES[state].get(news) is RunState.DEBITING
        }
        assert before == {RunState.ANNOUNCED, RunState.RETRY}
