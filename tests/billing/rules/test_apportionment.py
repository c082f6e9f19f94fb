"""What a payment covers, whatever order the bills are read in."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.apportionment import Claim, Part, apportion, consume_credits, heads_paid
from billing.rules.terms import Apportion, Head, Period
from core.errors import Invalid

JUNE, JULY, AUGUST = (date(2026, month, 1) for month in (6, 7, 8))


def claim(bill_id, month, charge_fen, late_fee_fen=0):
    return Claim((1, bill_id), month, month.replace(day=28), charge_fen, late_fee_fen)


def order(periods=Period.OLDEST_FIRST, heads=(Head.CHARGE, Head.LATE_FEE)):
    return Apportion(periods=periods, heads=heads)


def covered(amount_fen, claims, by=None):
    """Return what a payment covers, as (bill id, head, fen)."""
    parts = apportion(amount_fen, claims, by or order()).parts
    return [(part.key[1], part.head, part.amount_fen) for part in parts]


OLD, NEW = claim(1, JUNE, 1_000, 50), claim(2, JULY, 3_000, 20)
FEN = st.integers(0, 5_000)
ORDERS = st.builds(Apportion, periods=st.sampled_from(Period), heads=st.permutations(list(Head)))


@st.composite
def ledgers(draw, least=-5_000):
    """Bills with unique keys; few months and amounts, so that ties are common."""
    months, fen = st.sampled_from([JUNE, JULY, AUGUST]), st.sampled_from([0, 1, 700, 5_000])
    signs = st.sampled_from([1, 1, -1]) if least < 0 else st.just(1)
    return [
        claim(at, draw(months), draw(fen) * draw(signs), draw(fen))
        for at in range(draw(st.integers(0, 6)))
    ]


class TestOrder:
    """Rule 9: oldest period first, then by head, unless the company says otherwise."""

    @pytest.mark.parametrize(
        ("amount_fen", "parts"),
        [
            (0, []),
            (1, [(1, "charge", 1)]),
            (1_000, [(1, "charge", 1_000)]),
            (1_001, [(1, "charge", 1_000), (1, "late_fee", 1)]),
            (1_051, [(1, "charge", 1_000), (1, "late_fee", 50), (2, "charge", 1)]),
            (
                4_069,
                [(1, "charge", 1_000), (1, "late_fee", 50), (2, "charge", 3_000),
                 (2, "late_fee", 19)],
            ),
        ],
    )  # fmt: skip
    def test_the_oldest_bill_is_covered_whole_before_the_next(self, amount_fen, parts):
        assert covered(amount_fen, [NEW, OLD]) == parts

    def test_late_fees_first_is_the_companys_choice(self):
        by = order(heads=(Head.LATE_FEE, Head.CHARGE))

        assert covered(51, [OLD, NEW], by) == [(1, "late_fee", 50), (1, "charge", 1)]

    @pytest.mark.parametrize("periods", [Period.NEWEST_FIRST, Period.LARGEST_FIRST])
    def test_so_are_the_newest_and_the_largest(self, periods):
        assert covered(3_021, [OLD, NEW], order(periods)) == [
            (2, "charge", 3_000), (2, "late_fee", 20), (1, "charge", 1),
        ]  # fmt: skip

    def test_of_two_as_large_the_older_is_covered(self):
        twin = claim(3, AUGUST, 1_000, 50)

        assert covered(1, [twin, OLD], order(Period.LARGEST_FIRST)) == [(1, "charge", 1)]

    def test_the_late_fee_counts_to_the_size(self):
        with_fee = claim(3, AUGUST, 990, 61)

        assert covered(1, [OLD, with_fee], order(Period.LARGEST_FIRST)) == [(3, "charge", 1)]

    def test_of_one_month_the_earlier_due_then_the_lower_key_is_covered(self):
        sooner = claim(9, JUNE, 10)._replace(due_on=date(2026, 6, 27))
        twin = claim(0, JUNE, 10)

        assert covered(21, [OLD, twin, sooner]) == [
            (9, "charge", 10), (0, "charge", 10), (1, "charge", 1),
        ]  # fmt: skip


class TestAdvance:
    """Rule 9: a surplus is an advance on the newest period."""

    @pytest.mark.parametrize("surplus_fen", [1, 5_000])
    def test_what_is_left_is_on_the_newest_bill(self, surplus_fen):
        result = apportion(4_070 + surplus_fen, [NEW, OLD], order())

        assert result.parts[-1] == Part((1, 2), "advance", surplus_fen)
        assert result.advance_fen == surplus_fen

    @pytest.mark.parametrize("short_fen", [0, 1])
    def test_there_is_none_while_something_is_due(self, short_fen):
        assert apportion(4_070 - short_fen, [NEW, OLD], order()).advance_fen == 0

    def test_even_when_newest_is_covered_first(self):
        result = apportion(4_071, [OLD, NEW], order(Period.NEWEST_FIRST))

        assert result.parts[-1] == Part((1, 2), "advance", 1)

    def test_without_a_bill_there_is_nothing_to_put_it_on(self):
        assert apportion(5, [], order()) == ((), 5)


class TestCreditsBeforeMoney:
    """Rule 9: rebates and credits before charges."""

    def test_a_credit_covers_the_oldest_bill_before_money_does(self):
        credit = claim(3, AUGUST, -1_001)

        assert covered(50, [credit, OLD, NEW]) == [(1, "late_fee", 49), (2, "charge", 1)]

    def test_a_credit_larger_than_all_leaves_the_money_an_advance(self):
        credit = claim(3, AUGUST, -5_000)

        assert apportion(7, [OLD, credit, NEW], order()) == (
            (Part((1, 3), "advance", 7),), 7,
        )  # fmt: skip

    def test_credits_come_first_whatever_the_order_of_the_money(self):
        credit = claim(3, AUGUST, -1_000)

        assert covered(3_021, [OLD, NEW, credit], order(Period.NEWEST_FIRST)) == [
            (2, "charge", 3_000), (2, "late_fee", 20), (1, "late_fee", 1),
        ]  # fmt: skip


class TestWhateverTheBills:
    """Rule 9, as a whole."""

    @given(FEN, ledgers(), ORDERS)
    def test_the_parts_and_the_advance_are_the_money(self, amount_fen, claims, by):
        """Rule 1: ints only, and not a fen more or less."""
        result = apportion(amount_fen, claims, by)

        on_heads = sum(part.amount_fen for part in result.parts if part.head != "advance")
        assert on_heads + result.advance_fen == amount_fen
        assert all(type(part.amount_fen) is int and part.amount_fen > 0 for part in result.parts)
        assert not claims or sum(part.amount_fen for part in result.parts) == amount_fen

    @given(FEN, ledgers(), ORDERS, st.randoms())
    def test_the_order_in_which_bills_are_read_is_nothing(self, amount_fen, claims, by, random):
        shuffled = random.sample(claims, len(claims))

        assert apportion(amount_fen, shuffled, by) == apportion(amount_fen, claims, by)

    @given(FEN, ledgers(), ORDERS)
    def test_no_head_gets_more_than_is_open_of_it(self, amount_fen, claims, by):
        of = {one.key: one for one in claims}
        result = apportion(amount_fen, claims, by)

        heads = [(part.key, part.head) for part in result.parts]
        assert len(set(heads)) == len(heads)
        for part in result.parts:
            if part.head != "advance":
                assert part.amount_fen <= getattr(of[part.key], f"{part.head}_fen")

    @given(FEN, FEN, ledgers(least=0), ORDERS.filter(lambda by: by.periods != "largest_first"))
    def test_paying_in_two_goes_covers_what_one_payment_would(self, first, second, claims, by):
        def totals(*results):
            sums = {}
            for part in (part for result in results for part in result.parts):
                sums[part.key, part.head] = sums.get((part.key, part.head), 0) + part.amount_fen
            return sums

        one = apportion(first, claims, by)
        paid = totals(one)
        rest = [
            claim._replace(
                charge_fen=claim.charge_fen - paid.get((claim.key, "charge"), 0),
                late_fee_fen=claim.late_fee_fen - paid.get((claim.key, "late_fee"), 0),
            )
            for claim in claims
        ]

        assert totals(one, apportion(second, rest, by)) == totals(
            apportion(first + second, claims, by)
        )

    @pytest.mark.parametrize(
        ("amount_fen", "claims"), [(-1, [OLD]), (1, [claim(1, JUNE, 5, late_fee_fen=-1)])]
    )
    def test_what_cannot_be_is_refused(self, amount_fen, claims):
        with pytest.raises(Invalid):
            apportion(amount_fen, claims, order())


class TestHeads:
    """Rules 9 and 36: heads follow from what was paid in all, never from a memory of receipts."""

    @pytest.mark.parametrize(
        ("paid_fen", "charge", "late_fee"),
        [(0, 0, 0), (999, 999, 0), (1_000, 1_000, 0), (1_001, 1_000, 1), (1_051, 1_000, 50)],
    )
    def test_the_charge_is_paid_before_the_late_fee(self, paid_fen, charge, late_fee):
        paid = heads_paid(1_000, 50, paid_fen, order())

        assert paid == {Head.CHARGE: charge, Head.LATE_FEE: late_fee}

    def test_or_after_it(self):
        by = order(heads=(Head.LATE_FEE, Head.CHARGE))

        assert heads_paid(1_000, 50, 51, by) == {Head.LATE_FEE: 50, Head.CHARGE: 1}

    def test_a_credit_has_no_head_to_pay(self):
        assert heads_paid(-1_000, 0, 5, order()) == {Head.CHARGE: 0, Head.LATE_FEE: 0}

    @given(FEN, FEN, FEN, FEN, ORDERS)
    def test_cancelling_the_older_of_two_receipts_leaves_what_the_newer_alone_had_done(
        self, charge_fen, late_fee_fen, older_fen, newer_fen, by
    ):
        """Rule 36: everything after the cancelled receipt is apportioned anew."""
        both = heads_paid(charge_fen, late_fee_fen, older_fen + newer_fen, by)
        first = heads_paid(charge_fen, late_fee_fen, older_fen, by)
        second = {head: both[head] - first[head] for head in Head}

        cancelled = heads_paid(charge_fen, late_fee_fen, older_fen + newer_fen - older_fen, by)

        bill = Claim((1, 1), JUNE, JUNE, charge_fen, late_fee_fen)
        alone = {part.head: part.amount_fen for part in apportion(newer_fen, [bill], by).parts}
        assert cancelled == {head: alone.get(head, 0) for head in Head}
        assert min(second.values()) >= 0
        assert sum(both.values()) == min(older_fen + newer_fen, charge_fen + late_fee_fen)

    def test_the_older_receipts_charge_becomes_the_newers(self):
        """Rule 36: 1000 then 50 paid the late fee second; without the 1000, the 50 is charge."""
        assert heads_paid(1_000, 50, 1_050, order())[Head.LATE_FEE] == 50
        assert heads_paid(1_000, 50, 50, order()) == {Head.CHARGE: 50, Head.LATE_FEE: 0}


class TestConsumingCredits:
    """Rule 9: credits in the declared order, debts from the oldest."""

    SMALL, LARGE = claim(8, JUNE, -100), claim(9, AUGUST, -2_000)

    @pytest.mark.parametrize(
        ("by", "first"), [("oldest_first", 8), ("newest_first", 9), ("largest_first", 9)]
    )
    def test_the_credit_used_first_is_the_companys_choice(self, by, first):
        consumed = consume_credits([self.LARGE, self.SMALL], [NEW, OLD], Period(by))

        assert consumed[0][0] == (1, first)
        assert sum(fen for *_, fen in consumed) == 2_100

    @pytest.mark.parametrize("by", Period)
    def test_the_oldest_bill_is_covered_first_whichever_credit_does_it(self, by):
        consumed = consume_credits([self.LARGE, self.SMALL], [NEW, OLD], by)

        assert [debt for _, debt, _ in consumed] == sorted(debt for _, debt, _ in consumed)

    def test_one_credit_may_cover_several_bills_and_one_bill_take_several_credits(self):
        assert consume_credits([self.LARGE, self.SMALL], [NEW, OLD], Period.OLDEST_FIRST) == [
            ((1, 8), (1, 1), 100), ((1, 9), (1, 1), 950), ((1, 9), (1, 2), 1_050),
        ]  # fmt: skip

    @pytest.mark.parametrize("credit_fen", [1_049, 1_050, 1_051])
    def test_a_credit_covers_no_fen_more_than_is_due(self, credit_fen):
        consumed = consume_credits([claim(8, JUNE, -credit_fen)], [OLD], Period.OLDEST_FIRST)

        assert consumed == [((1, 8), (1, 1), min(credit_fen, 1_050))]

    def test_nothing_is_consumed_when_nothing_is_due(self):
        assert consume_credits([self.LARGE], [claim(1, JUNE, 0)], Period.OLDEST_FIRST) == []
        assert consume_credits([], [OLD], Period.OLDEST_FIRST) == []

    @given(ledgers(), st.sampled_from(Period), st.randoms())
    def test_no_credit_and_no_bill_is_used_beyond_itself_and_one_side_is_used_up(
        self, claims, by, random
    ):
        credits = [one for one in claims if one.charge_fen < 0]
        debts = [one for one in claims if one.charge_fen >= 0]
        consumed = consume_credits(credits, debts, by)

        given_fen = {one.key: 0 for one in claims}
        for credit, debt, fen in consumed:
            assert fen > 0
            given_fen[credit] += fen
            given_fen[debt] += fen
        has_fen = {one.key: -one.charge_fen for one in credits}
        needs_fen = {one.key: one.charge_fen + one.late_fee_fen for one in debts}
        assert all(given_fen[key] <= fen for key, fen in (has_fen | needs_fen).items())
        total = min(sum(has_fen.values()), sum(needs_fen.values()))
        assert sum(fen for *_, fen in consumed) == total
        assert consumed == consume_credits(
            random.sample(credits, len(credits)), random.sample(debts, len(debts)), by
        )
