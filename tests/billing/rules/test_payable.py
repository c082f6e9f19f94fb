"""Which amounts may be paid for one bill, to the fen and to the day."""

import json
import re
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.payable import (
    Chosen,
    Payable,
    check_pay_terms,
    choose,
    offers,
    pay_terms_json,
    read_pay_terms,
)
from billing.rules.terms import Amount, Surplus, Terms
from core.errors import CityBillError, Conflict, Invalid
from providers.base import AmountRule, Exactness, OptionKind, PayOption, PayTerms

ISSUED = date(2026, 6, 1)
DUE = date(2026, 6, 30)
TIMELY, LATE = DUE - timedelta(days=5), DUE + timedelta(days=1)

EARLY_OPTION = PayOption("early", OptionKind.EARLY, "早缴", 9_000, until_on=date(2026, 6, 25))
LATE_OPTION = PayOption("late", OptionKind.LATE, "逾期", 11_000)
MINIMUM_OPTION = PayOption("minimum", OptionKind.MINIMUM, "最低", 2_000)
PARTS = tuple(
    PayOption(f"instalment-{number}", OptionKind.INSTALMENT, f"第{number}期", amount_fen)
    for number, amount_fen in enumerate((3_334, 3_333, 3_333), start=1)
)


def bill(*options, amount_fen=10_000, adjusted=0, paid=0, credited=0, rule=None, taken=()):
    terms = PayTerms(rule, options) if options or rule else None
    return Payable(amount_fen, adjusted, paid, credited, DUE, terms, frozenset(taken))


def company(mode=Exactness.EXACT, surplus=Surplus.REFUSE, **figures):
    return Terms(amount=Amount(mode=mode, **figures), surplus=surplus)


def pay(owed, amount_fen=None, option=None, on=TIMELY, terms=None):
    return choose(owed, terms or Terms(), option_code=option, amount_fen=amount_fen, on=on)


def refusal(*args, **kwargs):
    with pytest.raises(CityBillError) as refused:
        pay(*args, **kwargs)
    return refused.value.code


M = Exactness


class TestModes:
    """Rule 2: the server enforces the company's exactness, a fen off in either direction."""

    @pytest.mark.parametrize(
        ("terms", "taken", "refused"),
        [
            (company(), [10_000], {9_999: "not_exact", 10_001: "not_exact", 0: "not_exact"}),
            (
                company(M.EXACT_AND_ABOVE, Surplus.ADVANCE), [10_000, 10_001, 10**9],
                {9_999: "below", 0: "below"},
            ),
            (company(M.EXACT_AND_ABOVE), [10_000], {9_999: "below", 10_001: "above"}),
            (
                company(M.EXACT_AND_ABOVE, Surplus.ADVANCE, maximum_fen=12_000),
                [10_000, 12_000], {12_001: "above"},
            ),
            (company(M.EXACT_AND_BELOW), [1, 10_000], {0: "below", -1: "below", 10_001: "above"}),
            (
                company(M.EXACT_AND_BELOW, minimum_fen=500), [500, 10_000],
                {499: "below", 10_001: "above"},
            ),
            (
                company(M.RANGE, Surplus.ADVANCE, minimum_fen=500, maximum_fen=20_000),
                [500, 20_000], {499: "below", 20_001: "above"},
            ),
            (
                company(M.RANGE, minimum_fen=500, maximum_fen=20_000), [500, 10_000],
                {499: "below", 10_001: "above"},
            ),
            (company(M.ANY), [1, 10_000], {0: "below", 10_001: "above"}),
            (company(M.ANY, Surplus.ADVANCE), [1, 10_001], {0: "below"}),
            (
                company(M.ANY, Surplus.ADVANCE, minimum_fen=7, maximum_fen=12_000),
                [7, 12_000], {6: "below", 12_001: "above"},
            ),
            (
                company(M.MULTIPLE_OF, multiple_fen=100), [100, 9_900, 10_000],
                {99: "not_multiple", 101: "not_multiple", 10_100: "above", 0: "below",
                 -100: "below"},
            ),
            (
                company(M.MULTIPLE_OF, Surplus.ADVANCE, multiple_fen=100, minimum_fen=250),
                [300, 10_100], {200: "below", 10_101: "not_multiple"},
            ),
        ],
    )  # fmt: skip
    def test_each_mode_takes_its_amounts_and_no_other(self, terms, taken, refused):
        assert [pay(bill(), amount_fen, terms=terms).amount_fen for amount_fen in taken] == taken
        assert {fen: refusal(bill(), fen, terms=terms) for fen in refused} == {
            fen: f"amount.{code}" for fen, code in refused.items()
        }

    def test_the_bills_rule_goes_before_the_companys(self):
        partly = bill(rule=AmountRule(M.EXACT_AND_BELOW))

        assert pay(partly, 1).amount_fen == 1
        assert refusal(bill(), 1) == "amount.not_exact"

    def test_the_options_rule_goes_before_the_bills(self):
        option = MINIMUM_OPTION._replace(rule=AmountRule(M.EXACT))
        owed = bill(option, rule=AmountRule(M.ANY))

        assert pay(owed, 2_000, "minimum").amount_fen == 2_000
        assert refusal(owed, 2_001, "minimum") == "amount.not_exact"
        assert pay(owed, 2_001).amount_fen == 2_001

    def test_what_is_open_counts_not_what_the_bill_once_said(self):
        owed = bill(adjusted=-500, paid=1_000, credited=2_000)

        assert pay(owed) == Chosen(6_500, 0, 0, None)
        assert (refusal(owed, 6_499), refusal(owed, 6_501)) == ("amount.not_exact",) * 2

    @pytest.mark.parametrize("mode", [M.EXACT_AND_BELOW, M.ANY, M.RANGE])
    def test_a_rest_below_the_minimum_may_be_paid_whole(self, mode):
        figures = {"maximum_fen": 5_000} if mode is M.RANGE else {}
        terms = company(mode, minimum_fen=500, **figures)
        rest = bill(paid=9_700)

        assert pay(rest, 300, terms=terms).amount_fen == 300
        assert refusal(rest, 299, terms=terms) == "amount.below"
        assert refusal(rest, 301, terms=terms) == "amount.above"

    def test_the_refusal_says_what_was_asked_and_what_is_open(self):
        with pytest.raises(Invalid, match=r"exactly ¥100\.00") as refused:
            pay(bill(), 9_999)

        assert refused.value.facts == {"asked_fen": 9_999, "open_fen": 10_000}

    @pytest.mark.parametrize("amount", [10_000.0, True, "10000"])
    def test_an_amount_that_is_no_whole_number_of_fen_is_refused(self, amount):
        """Rule 1."""
        assert refusal(bill(), amount) == "money.malformed"


class TestSurplus:
    """Rules 2 and 9: more than is owed is a prepayment, or not taken at all."""

    def test_above_is_an_advance_where_the_company_keeps_one(self):
        terms = company(M.EXACT_AND_ABOVE, Surplus.ADVANCE)

        assert pay(bill(), 10_001, terms=terms) == Chosen(10_001, 1, 0, None)
        assert pay(bill(), 10_000, terms=terms) == Chosen(10_000, 0, 0, None)

    def test_an_advance_never_comes_with_a_surcharge(self):
        late = LATE_OPTION._replace(rule=AmountRule(M.EXACT_AND_ABOVE))
        terms = company(M.EXACT_AND_ABOVE, Surplus.ADVANCE)

        assert pay(bill(late), 11_000, "late", LATE, terms) == Chosen(11_000, 0, 1_000, "late")
        assert refusal(bill(late), 11_001, "late", LATE, terms) == "amount.above"


class TestWholeYuan:
    """Rule 6: a company that forbids fractions says so by ``multiple_of`` 100."""

    TERMS = company(M.MULTIPLE_OF, multiple_fen=100)

    def test_nothing_typed_pays_the_whole_yuan_below(self):
        assert pay(bill(amount_fen=8_650), terms=self.TERMS).amount_fen == 8_600
        assert refusal(bill(amount_fen=8_650), 8_650, terms=self.TERMS) == "amount.not_multiple"

    def test_less_than_a_yuan_waits_and_is_not_offered(self):
        cents = bill(paid=9_950)

        assert offers(cents, self.TERMS, on=TIMELY) == ()
        assert refusal(cents, terms=self.TERMS) == "amount.not_multiple"
        assert refusal(cents, 50, terms=self.TERMS) == "amount.not_multiple"

    def test_rounding_is_a_delta_of_its_own_and_moves_what_is_open(self):
        rounded = bill(amount_fen=8_650, adjusted=-50)

        assert pay(rounded, terms=self.TERMS) == Chosen(8_600, 0, 0, None)


class TestNothingDue:
    """Rule 7: a zero amount is legal only for a zero or negative bill."""

    @pytest.mark.parametrize("amount_fen", [0, -1, -500])
    @pytest.mark.parametrize("asked_fen", [0, None])
    def test_a_zero_or_negative_bill_is_paid_by_nothing(self, amount_fen, asked_fen):
        assert pay(bill(amount_fen=amount_fen), asked_fen) == Chosen(0, 0, 0, None)

    @pytest.mark.parametrize("asked_fen", [1, -1])
    def test_and_by_nothing_else(self, asked_fen):
        assert refusal(bill(amount_fen=0), asked_fen) == "amount.nothing_due"

    @pytest.mark.parametrize("asked_fen", [None, 0, 10_000])
    @pytest.mark.parametrize("paid", [10_000, 10_001])
    def test_a_paid_bill_is_no_zero_bill(self, asked_fen, paid):
        with pytest.raises(Conflict) as refused:
            pay(bill(paid=paid), asked_fen)

        assert refused.value.code == "amount.nothing_due"
        assert offers(bill(paid=paid), Terms(), on=TIMELY) == ()

    def test_one_fen_is_due_to_the_last(self):
        assert pay(bill(paid=9_999)).amount_fen == 1

    @pytest.mark.parametrize("mode", [M.EXACT, M.EXACT_AND_BELOW, M.ANY])
    def test_a_bill_that_asks_for_money_is_not_paid_by_nothing(self, mode):
        assert refusal(bill(), 0, terms=company(mode)) in {"amount.not_exact", "amount.below"}

    def test_a_credit_is_offered_as_nothing_to_pay(self):
        [only] = offers(bill(amount_fen=-500), Terms(), on=TIMELY)

        assert (only.amount_fen, only.minimum_fen, only.maximum_fen) == (0, 0, 0)


class TestEarlyAndLate:
    """Rule 3: one option, its own amount, on its own local days."""

    BOTH = bill(EARLY_OPTION, LATE_OPTION)

    def test_an_unknown_code_is_refused(self):
        with pytest.raises(Invalid) as refused:
            pay(self.BOTH, option="earlier")

        assert refused.value.code == "option.unknown"

    @pytest.mark.parametrize("asked_fen", [9_000, None])
    def test_early_is_a_discount_that_settles_the_bill(self, asked_fen):
        assert pay(self.BOTH, asked_fen, "early") == Chosen(9_000, 0, -1_000, "early")

    @pytest.mark.parametrize("asked_fen", [8_999, 9_001, 10_000])
    def test_the_amount_must_be_the_options(self, asked_fen):
        assert refusal(self.BOTH, asked_fen, "early") == "amount.not_exact"

    @pytest.mark.parametrize("rule", [AmountRule(M.ANY), AmountRule(M.EXACT_AND_BELOW)])
    def test_no_rule_gives_the_discount_for_a_part(self, rule):
        owed = bill(EARLY_OPTION._replace(rule=rule))

        assert refusal(owed, 1, "early") == "amount.not_exact"

    def test_early_ends_with_its_last_day(self):
        last = EARLY_OPTION.until_on

        assert pay(self.BOTH, option="early", on=last).adjust_fen == -1_000
        assert refusal(self.BOTH, option="early", on=last + timedelta(days=1)) == "option.not_now"

    def test_early_begins_with_its_first_day(self):
        owed = bill(EARLY_OPTION._replace(from_on=TIMELY))

        assert pay(owed, option="early", on=TIMELY).amount_fen == 9_000
        assert refusal(owed, option="early", on=TIMELY - timedelta(days=1)) == "option.not_now"

    def test_without_its_date_the_base_amount_stands(self):
        owed = bill(EARLY_OPTION._replace(until_on=None))

        assert [offer.code for offer in offers(owed, Terms(), on=ISSUED)] == [None]
        assert refusal(owed, option="early", on=ISSUED) == "option.not_now"
        assert pay(owed, on=ISSUED) == Chosen(10_000, 0, 0, None)

    def test_late_begins_the_day_after_the_due_date(self):
        assert refusal(self.BOTH, option="late", on=DUE) == "option.not_now"
        assert pay(self.BOTH, on=DUE) == Chosen(10_000, 0, 0, None)
        assert pay(self.BOTH, option="late", on=LATE) == Chosen(11_000, 0, 1_000, "late")

    def test_past_due_the_base_amount_is_no_longer_what_is_owed(self):
        with pytest.raises(Conflict, match=r"¥110\.00") as refused:
            pay(self.BOTH, 10_000, on=LATE)

        assert refused.value.code == "option.late_applies"
        assert refused.value.facts == {"option_code": "late", "late_fen": 11_000}

    def test_past_due_late_wins_over_early(self):
        early = EARLY_OPTION._replace(until_on=DUE + timedelta(days=30))

        assert refusal(bill(early, LATE_OPTION), option="early", on=LATE) == "option.late_applies"
        assert pay(bill(early, LATE_OPTION), option="early", on=DUE).amount_fen == 9_000
        assert pay(bill(early), option="early", on=LATE).amount_fen == 9_000

    @pytest.mark.parametrize("option", [MINIMUM_OPTION, PARTS[0]])
    def test_past_due_a_part_is_no_way_around_the_surcharge(self, option):
        owed = bill(option, LATE_OPTION)

        assert refusal(owed, option=option.code, on=LATE) == "option.late_applies"

    def test_days_of_grace_are_the_options_first_day(self):
        owed = bill(LATE_OPTION._replace(from_on=DUE + timedelta(days=4)))

        assert pay(owed, on=DUE + timedelta(days=3)).amount_fen == 10_000
        assert pay(owed, option="late", on=DUE + timedelta(days=4)).amount_fen == 11_000

    def test_nobody_is_late_by_a_due_date_that_rolled_over_a_holiday(self):
        """Rule 19 belongs to the caller; the company's first late day was before the rolling."""
        owed = bill(LATE_OPTION._replace(from_on=DUE - timedelta(days=1)))

        assert pay(owed, on=DUE).amount_fen == 10_000

    def test_of_two_late_amounts_the_one_that_began_last_is_owed(self):
        later = PayOption("late-2", OptionKind.LATE, "逾期", 12_000, from_on=date(2026, 8, 1))
        owed = bill(later, LATE_OPTION)

        assert pay(owed, option="late", on=date(2026, 7, 31)).amount_fen == 11_000
        assert refusal(owed, option="late", on=date(2026, 8, 1)) == "option.late_applies"
        assert pay(owed, option="late-2", on=date(2026, 8, 1)).amount_fen == 12_000

    @pytest.mark.parametrize("state", [{"paid": 1}, {"credited": 1}])
    def test_once_a_fen_is_settled_neither_stands_for_the_whole(self, state):
        begun = bill(EARLY_OPTION, LATE_OPTION, **state)

        assert refusal(begun, option="early") == "option.not_now"
        assert refusal(begun, option="late", on=LATE) == "option.not_now"
        assert pay(begun, on=LATE) == Chosen(9_999, 0, 0, None)

    def test_the_discount_is_measured_from_what_is_open(self):
        corrected = bill(EARLY_OPTION, adjusted=-400)

        assert pay(corrected, option="early") == Chosen(9_000, 0, -600, "early")

    def test_an_option_never_turns_into_its_opposite(self):
        cheaper, dearer = bill(EARLY_OPTION, adjusted=-1_001), bill(LATE_OPTION, adjusted=1_001)

        assert refusal(cheaper, option="early") == "option.not_now"
        assert refusal(dearer, option="late", on=LATE) == "option.not_now"
        assert pay(dearer, on=LATE).amount_fen == 11_001

    def test_a_late_amount_with_a_rule_may_be_paid_in_parts_and_stays_owed(self):
        owed = bill(LATE_OPTION._replace(rule=AmountRule(M.EXACT_AND_BELOW, minimum_fen=500)))

        assert pay(owed, 500, "late", LATE) == Chosen(500, 0, 1_000, "late")
        assert refusal(owed, 499, "late", LATE) == "amount.below"
        assert refusal(owed, 11_001, "late", LATE) == "amount.above"


class TestMinimum:
    """Rule 3: a part, never less than the company's minimum, never more than is open."""

    OWED = bill(MINIMUM_OPTION)

    def test_from_the_minimum_to_the_whole(self):
        assert [pay(self.OWED, fen, "minimum").amount_fen for fen in (None, 2_000, 10_000)] == [
            2_000, 2_000, 10_000,
        ]  # fmt: skip
        assert refusal(self.OWED, 1_999, "minimum") == "amount.below"
        assert refusal(self.OWED, 10_001, "minimum") == "amount.above"

    def test_a_rest_below_the_minimum_is_paid_whole(self):
        rest = bill(MINIMUM_OPTION, paid=9_000)

        assert pay(rest, option="minimum").amount_fen == 1_000
        assert refusal(rest, 999, "minimum") == "amount.below"

    def test_its_dates_hold(self):
        owed = bill(MINIMUM_OPTION._replace(until_on=DUE))

        assert pay(owed, option="minimum", on=DUE).amount_fen == 2_000
        assert refusal(owed, option="minimum", on=LATE) == "option.not_now"


class TestInstalments:
    """Rule 15: the whole and the instalments exclude each other."""

    def test_any_instalment_may_come_first(self):
        assert pay(bill(*PARTS), option="instalment-2") == Chosen(3_333, 0, 0, "instalment-2")

    @pytest.mark.parametrize("asked_fen", [3_333, 3_335])
    def test_its_amount_is_fixed(self, asked_fen):
        assert refusal(bill(*PARTS), asked_fen, "instalment-1") == "amount.not_exact"

    def test_one_taken_is_not_taken_again(self):
        begun = bill(*PARTS, taken={"instalment-1"})

        assert refusal(begun, option="instalment-1") == "option.taken"
        assert pay(begun, option="instalment-3").amount_fen == 3_333

    @pytest.mark.parametrize("paid", [0, 3_334])  # being paid, and paid
    def test_once_begun_only_instalments_remain(self, paid):
        begun = bill(*PARTS, EARLY_OPTION, taken={"instalment-1"}, paid=paid)

        assert refusal(begun) == "option.instalments_begun"
        assert refusal(begun, option="early") == "option.instalments_begun"
        assert [offer.code for offer in offers(begun, Terms(), on=TIMELY)] == [
            "instalment-2", "instalment-3",
        ]  # fmt: skip

    def test_once_a_part_was_paid_without_one_they_are_gone(self):
        begun = bill(*PARTS, paid=1)

        assert refusal(begun, option="instalment-1") == "option.full_begun"
        assert pay(begun).amount_fen == 9_999

    def test_an_instalment_under_way_is_not_paid_a_second_time_with_the_rest(self):
        codes = {option.code for option in PARTS}
        last_under_way = bill(*PARTS, taken=codes, paid=6_667)._replace(waiting_fen=3_333)

        assert last_under_way.open_fen == 3_333
        assert refusal(last_under_way) == "amount.nothing_due"

    def test_what_was_added_after_the_last_instalment_can_still_be_paid(self):
        codes = {option.code for option in PARTS}

        assert pay(bill(*PARTS, taken=codes, paid=10_000, adjusted=7)).amount_fen == 7

    def test_the_last_is_no_more_than_what_is_open(self):
        shrunk = bill(*PARTS, taken={"instalment-1", "instalment-2"}, paid=6_667, adjusted=-33)

        assert pay(shrunk, option="instalment-3").amount_fen == 3_300

    def test_one_missed_is_still_to_be_paid(self):
        missed = PARTS[0]._replace(until_on=ISSUED)

        assert pay(bill(missed, *PARTS[1:]), option="instalment-1", on=LATE).amount_fen == 3_334


FEN = st.integers(1, 30_000)
DAYS = st.none() | st.dates(date(2026, 6, 1), date(2026, 8, 1))


@st.composite
def rules(draw):
    low, high = sorted((draw(FEN), draw(FEN)))
    mode = draw(st.sampled_from(Exactness))
    if mode is M.RANGE:
        return AmountRule(mode, low, high)
    multiple = draw(st.sampled_from([1, 100, 777])) if mode is M.MULTIPLE_OF else None
    return AmountRule(
        mode, draw(st.sampled_from([None, low])), draw(st.sampled_from([None, high])), multiple
    )


@st.composite
def pay_terms(draw):
    options = tuple(
        PayOption(
            f"{kind}-{number}", kind, draw(st.text(max_size=5)), draw(FEN), draw(DAYS), draw(DAYS),
            draw(st.none() | rules()),
        )
        for number, kind in enumerate(draw(st.lists(st.sampled_from(OptionKind), max_size=4)))
    )  # fmt: skip
    return PayTerms(draw(st.none() | rules()), options)


@st.composite
def bills(draw):
    terms = draw(st.none() | pay_terms())
    codes = (
        [one.code for one in terms.options if one.kind is OptionKind.INSTALMENT] if terms else []
    )
    taken = frozenset(draw(st.sets(st.sampled_from(codes)))) if codes else frozenset()
    small = st.sampled_from([0, 0, 0, 1, 950])
    return Payable(
        draw(st.integers(-10, 20_000)), draw(st.integers(-900, 900)), draw(small), draw(small),
        DUE, terms, taken,
    )  # fmt: skip


@st.composite
def companies(draw):
    mode, minimum, maximum, multiple = draw(rules())
    advance = mode not in {M.EXACT, M.EXACT_AND_BELOW} and draw(st.booleans())
    return company(
        mode, Surplus.ADVANCE if advance else Surplus.REFUSE,
        minimum_fen=minimum, maximum_fen=maximum, multiple_fen=multiple,
    )  # fmt: skip


ON = st.dates(date(2026, 6, 1), date(2026, 8, 1))


class TestWhateverTheBill:
    @given(bills(), companies(), ON, st.none() | st.integers(-5, 40_000), st.data())
    def test_no_more_than_is_owed_ever_lands_on_the_bill(self, owed, terms, on, asked_fen, data):
        """Rule 2: what is above is an advance, and never beside a changed amount."""
        codes = [None, *(option.code for option in owed.options)]
        code = data.draw(st.sampled_from(codes))
        try:
            chosen = choose(owed, terms, option_code=code, amount_fen=asked_fen, on=on)
        except (Invalid, Conflict):
            return

        assert chosen.amount_fen - chosen.advance_fen <= max(0, owed.open_fen + chosen.adjust_fen)
        assert min(chosen.amount_fen, chosen.advance_fen) >= 0
        assert not (chosen.advance_fen and chosen.adjust_fen)
        assert not chosen.advance_fen or terms.surplus is Surplus.ADVANCE
        assert asked_fen in {None, chosen.amount_fen}

    @given(bills(), companies(), ON)
    def test_every_offer_is_taken_at_its_amount_and_its_bounds_and_not_a_step_beyond(
        self, owed, terms, on
    ):
        """Rules 2 and 3: what is shown may be paid; what is not shown may not."""

        def amount(fen):
            return pay(owed, fen, offer.code, on, terms).amount_fen

        shown = offers(owed, terms, on=on)
        for offer in shown:
            step = offer.multiple_fen or 1
            assert amount(None) == amount(offer.amount_fen) == offer.amount_fen
            assert amount(offer.minimum_fen) == offer.minimum_fen
            with pytest.raises((Invalid, Conflict)):
                amount(offer.minimum_fen - step)
            if offer.maximum_fen is not None:
                assert amount(offer.maximum_fen) == offer.maximum_fen
                with pytest.raises((Invalid, Conflict)):
                    amount(offer.maximum_fen + step)
        hidden = {None, *(option.code for option in owed.options)} - {one.code for one in shown}
        for code in hidden:
            with pytest.raises((Invalid, Conflict)):
                pay(owed, None, code, on, terms)

    @given(st.none() | pay_terms())
    def test_a_bills_terms_come_back_from_json_as_they_were(self, terms):
        assert read_pay_terms(json.loads(json.dumps(pay_terms_json(terms)))) == terms

    @pytest.mark.parametrize("stored", [{"options": [{"code": "early"}]}, {"option": []}])
    def test_what_we_did_not_write_is_not_read(self, stored):
        with pytest.raises(ValueError, match="PayTerms"):
            read_pay_terms(stored)


def complaint(*options, rule=None, amount_fen=10_000):
    return check_pay_terms(
        PayTerms(rule, options), amount_fen=amount_fen, issued_on=ISSUED, due_on=DUE
    )


class TestComplaints:
    """Rules 2, 3 and 15: what a company states of a bill is checked when it states it."""

    def test_what_fits_together_is_taken(self):
        own = AmountRule(M.RANGE, 100, 10_000)
        late = LATE_OPTION._replace(from_on=LATE, rule=AmountRule(M.EXACT_AND_BELOW))

        assert complaint(rule=own) is None
        assert complaint(EARLY_OPTION, late, MINIMUM_OPTION) is None
        assert complaint(EARLY_OPTION._replace(until_on=None), *PARTS) is None
        assert complaint(amount_fen=-5) is None

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ([EARLY_OPTION, EARLY_OPTION], "option 'early' is stated twice"),
            ([*PARTS[:2]], "add up to 6667 fen, the bill is 10000 fen"),
            ([PARTS[0]._replace(amount_fen=3_333), *PARTS[1:]], "add up to 9999 fen"),
            ([PARTS[0]._replace(amount_fen=3_335), *PARTS[1:]], "add up to 10001 fen"),
            ([*PARTS, MINIMUM_OPTION], "exclude each other"),
            ([EARLY_OPTION._replace(amount_fen=10_001)], "'early': .* not above the bill's 10000"),
            ([MINIMUM_OPTION._replace(amount_fen=10_001)], "'minimum': .* not above"),
            ([LATE_OPTION._replace(amount_fen=9_999)], "'late': .* not below the bill's 10000"),
            ([EARLY_OPTION._replace(amount_fen=0)], "above zero"),
            ([EARLY_OPTION._replace(code="Early")], "1 to 32 of a-z"),
            ([EARLY_OPTION._replace(code="")], "1 to 32 of a-z"),
            ([EARLY_OPTION._replace(code="e" * 33)], "1 to 32 of a-z"),
            ([EARLY_OPTION._replace(code="１")], "1 to 32 of a-z"),
            ([EARLY_OPTION._replace(code="early\n")], "1 to 32 of a-z"),
            ([PARTS[0]._replace(code="part-1"), *PARTS[1:]], "instalment-1"),
            ([PARTS[0]._replace(code="instalment-0"), *PARTS[1:]], "instalment-1"),
            ([EARLY_OPTION._replace(code="instalment-4")], "nothing else"),
            ([EARLY_OPTION._replace(name=" ")], "no name"),
            ([EARLY_OPTION._replace(from_on=date(2026, 6, 26))], "ends before it begins"),
            ([EARLY_OPTION._replace(until_on=date(2026, 5, 31))], "before the bill is issued"),
            ([LATE_OPTION._replace(from_on=DUE)], "begins after the due date 2026-06-30"),
            ([EARLY_OPTION._replace(rule=AmountRule(M.ANY))], "leave its rule out"),
            ([MINIMUM_OPTION._replace(rule=AmountRule(M.RANGE, 1))], "'minimum': mode 'range'"),
        ],
    )  # fmt: skip
    def test_a_mistake_in_an_option_is_named(self, options, told):
        assert re.search(told, complaint(*options) or "")

    @pytest.mark.parametrize(
        ("rule", "told"),
        [
            (AmountRule(M.RANGE), "needs a minimum and a maximum"),
            (AmountRule(M.RANGE, 2, 1), "minimum is above its maximum"),
            (AmountRule(M.MULTIPLE_OF), "go together"),
            (AmountRule(M.ANY, multiple_fen=100), "go together"),
            (AmountRule(M.ANY, -1), "above zero"),
            (AmountRule(M.MULTIPLE_OF, multiple_fen=0), "above zero"),
        ],
    )
    def test_a_mistake_in_the_bills_rule_is_named(self, rule, told):
        assert told in (complaint(rule=rule) or "")

    @pytest.mark.parametrize("amount_fen", [0, -1])
    def test_a_bill_of_nothing_has_no_options(self, amount_fen):
        assert "no options" in (complaint(LATE_OPTION, amount_fen=amount_fen) or "")
