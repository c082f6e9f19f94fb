"""What our bank says against what should have come: each way it is found, and what is left."""

import io
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from core.db import transaction
from core.errors import CityBillError
from core.settings import SourceTerms
from payments.gateways.sandbox import Sandbox
from payments.reconciliation.bank.by_hand import match_by_hand
from payments.reconciliation.bank.matching import match_bank
from payments.reconciliation.gateway.matching import reconcile
from tests.conftest import as_owner, empty_city
from tests.factories import NOW, a_home, a_paid_payment, at_once, balances, violations
from tests.payments.reconciliation.banking import (
    ACCOUNT,
    DAY,
    Line,
    a_day,
    a_statement,
    bank_says,
    left,
    match,
    matched,
    take,
    takes,
    the_entry,
    transfers,
)
from tests.payments.reconciliation.test_matching import a_file, row_of
from tests.payments.returns.returning import confirm_sent, enter_payee, staff
from tests.payments.returns.test_transfers import stuck

pytestmark = pytest.mark.usefixtures("city")


class TestOneSum:
    def test_a_gateways_day_comes_less_its_fee(self):
        payment = a_paid_payment(a_home(8_650))
        gateway = Sandbox("http://127.0.0.1:9", "no secret is needed to read a file")
        with transaction() as session:
            reconcile(
                session, gateway, io.BytesIO(a_file([row_of(payment, fee="0.52")])), day=DAY,
                file_name="s.csv", now=NOW,
            )  # fmt: skip

        assert bank_says(Line(8_598)) == (1, 0, 0)

        assert matched() == [("amount", [8_598], [8_598], 52)]
        after = balances()
        assert (after["bank"], after["gateway_fees"]) == (8_598, 52)
        assert "gateway:sandbox" not in after
        assert (left(), violations()) == ([], [])

    def test_a_day_of_refunds_is_drawn_from_our_account(self):
        a_day("alpha", 0, ("refund", -1_000, -6, "x"))

        bank_says(Line(-994))

        assert matched() == [("amount", [-994], [-994], -6)]
        assert balances() == {"bank": -994, "gateway:alpha": 1_000, "gateway_fees": -6}
        assert violations() == []

    def test_a_disputes_fee_is_in_the_books_already(self):
        a_day("alpha", 0, ("payment", 5_000, 30, "x"), ("chargeback", -1_000, 1_500, "y"))

        bank_says(Line(2_470))

        assert matched() == [("amount", [2_470], [2_470], 30)]
        assert balances()["gateway_fees"] == 30

    def test_a_fee_of_its_own_row_is_a_fee(self):
        a_day("alpha", 0, ("payment", 5_000, 30, "x"), ("fee", -200, 0, "y"))

        bank_says(Line(4_770))

        assert matched() == [("amount", [4_770], [4_770], 230)]
        assert balances() == {"bank": 4_770, "gateway:alpha": -5_000, "gateway_fees": 230}

    @pytest.mark.parametrize("fen", [9_999, 10_001])
    def test_one_fen_off_is_two_differences(self, fen):
        takes("alpha", 0, 10_000)

        bank_says(Line(fen), Line(-1, on=9, no="late"))

        assert matched() == []
        assert left() == [
            ("account-1", 1, "unknown_credit", f"N1121-{fen}-0", None, fen),
            ("account-1", 9, "unknown_debit", "late", None, -1),
            ("alpha", 0, "not_settled", "alpha 2026-11-20", 10_000, None),
        ]

    @pytest.mark.parametrize(("fen", "found"), [(9_998, 1), (10_002, 1), (9_997, 0), (10_003, 0)])
    def test_a_source_may_be_off_by_so_much_and_no_more(self, fen, found):
        takes("alpha", 0, 10_100, 100)
        take(a_statement(Line(fen)))

        assert match(sources={"alpha": SourceTerms(tolerance_fen=2)}).made == found

        if found:
            assert balances() == {
                "bank": fen, "gateway:alpha": -10_100, "gateway_fees": 10_100 - fen
            }  # fmt: skip
        assert violations() == []

    @pytest.mark.parametrize(("on", "found"), [(-1, 0), (0, 1), (10, 1), (11, 0)])
    def test_it_comes_within_so_many_days_or_is_other_money(self, on, found):
        takes("alpha", 0, 10_000)

        assert bank_says(Line(10_000, on=on)).made == found

    def test_what_could_be_two_things_is_taken_for_neither(self):
        takes("alpha", 0, 10_000)
        takes("beta", 0, 10_000)

        assert bank_says(Line(10_000)).made == 0
        assert [kind for _, _, kind, *_ in left()] == ["unknown_credit"]

    def test_two_entries_that_could_be_one_day_are_taken_for_neither(self):
        takes("alpha", 0, 10_000)

        assert bank_says(Line(10_000, no="1"), Line(10_000, no="2")).made == 0

    def test_nothing_is_late_before_the_banks_statement_of_that_day_is_here(self):
        takes("alpha", 0, 10_000)

        for on, kinds in ((5, []), (6, ["not_settled"])):
            bank_says(Line(-1, on=on, no=f"{on}"))
            assert [kind for source, _, kind, *_ in left() if source == "alpha"] == kinds

        bank_says(Line(10_000, on=6))
        assert [one for one in left() if one[0] == "alpha"] == []


class TestChains:
    def test_a_weekend_comes_as_one_sum(self):
        for on, fen in ((0, 10_000), (1, 2_000), (2, -300)):
            takes("alpha", on, fen, 10)

        assert bank_says(Line(11_670, on=3)) == (1, 0, 0)

        assert matched() == [("amount", [11_670], [9_990, 1_990, -310], 30)]
        assert violations() == []

    @pytest.mark.parametrize("fen", [11_999, 12_001])
    def test_a_weekend_one_fen_off_is_no_chain(self, fen):
        takes("alpha", 0, 10_000)
        takes("alpha", 1, 2_000)

        assert bank_says(Line(fen, on=3)).made == 0

    def test_days_with_another_between_them_are_no_chain(self):
        for on, fen in ((0, 10_000), (1, 555), (2, 2_000)):
            takes("alpha", on, fen)

        assert bank_says(Line(12_000, on=3)).made == 0

    @pytest.mark.parametrize(("days", "found"), [(7, 1), (8, 0)])
    def test_a_chain_has_seven_days_and_no_more(self, days, found):
        for on in range(days):
            takes("alpha", on - days, 1_000 * 2**on)

        assert bank_says(Line(1_000 * (2**days - 1))).made == found

    def test_days_of_two_gateways_are_no_chain(self):
        takes("alpha", 0, 10_000)
        takes("beta", 1, 2_000)

        assert bank_says(Line(12_000, on=3)).made == 0

    def test_a_day_comes_in_several_sums_of_one_sender(self):
        takes("alpha", 0, 10_000, 100)

        bank_says(Line(4_000, name="甲支付"), Line(5_900, on=2, name="甲支付"))

        assert matched() == [("amount", [4_000, 5_900], [9_900], 100)]
        assert (left(), violations()) == ([], [])

    @pytest.mark.parametrize("names", [("甲支付", "乙支付"), ("", "")])
    def test_sums_of_two_senders_are_no_day(self, names):
        takes("alpha", 0, 9_900)

        lines = [Line(fen, name=name) for fen, name in zip((4_000, 5_900), names, strict=True)]

        assert bank_says(*lines).made == 0

    def test_a_chain_that_shares_a_day_with_a_single_sum_is_a_guess(self):
        takes("alpha", 0, 10_000)
        takes("alpha", 1, 2_000)

        assert bank_says(Line(10_000, on=3), Line(12_000, on=3)).made == 0


class TestReferences:
    def test_a_payout_is_known_by_its_number(self):
        a_day("stripe", 0, ("payment", 10_000, 300, "a"))
        a_day("stripe", 1, ("payment", 5_000, 150, "b"), ("payout", -14_550, 0, "po_1"))

        bank_says(Line(14_550, on=3, ref="po_1"))

        assert matched() == [("reference", [14_550], [14_550], 450)]
        assert balances() == {"bank": 14_550, "gateway:stripe": -15_000, "gateway_fees": 450}
        assert (left(), violations()) == ([], [])

    def test_a_late_file_adds_its_fees_to_the_payout(self):
        a_day("stripe", 1, ("payout", -14_550, 0, "po_1"))
        bank_says(Line(14_550, on=3, ref="po_1"))
        a_day("stripe", 0, ("payment", 15_000, 450, "a"))

        assert match() == (1, 1, 0)

        assert matched() == [("reference", [14_550], [14_550], 450)]
        assert violations() == []

    def test_a_payout_that_a_corrected_file_takes_out_is_waited_for_no_more(self):
        a_day("stripe", 1, ("payout", -14_550, 0, "po_1"))
        bank_says(Line(14_550, on=3, ref="po_1"))
        a_day("stripe", 1, ("payout", -99, 0, "po_2"))

        assert match() == (0, 1, 1)

        assert [one[2] for one in left()] == ["unknown_credit"]
        assert (balances(), violations()) == ({}, [])

    @pytest.mark.parametrize("fen", [14_549, 14_551])
    def test_the_right_number_with_another_sum_is_one_difference(self, fen):
        a_day("stripe", 1, ("payout", -14_550, 0, "po_1"))

        bank_says(Line(fen, on=3, ref="po_1"), Line(14_550, on=4, no="other"))

        assert matched() == []
        assert left()[1] == ("stripe", 1, "amount_differs", "po_1", 14_550, fen)
        assert left()[0][2:4] == ("unknown_credit", "other")

    def test_a_payout_that_came_twice_is_taken_once(self):
        a_day("stripe", 1, ("payout", -14_550, 0, "po_1"))

        bank_says(*(Line(14_550, on=on, no=f"n{on}", ref="po_1") for on in (4, 3)))

        assert matched() == [("reference", [14_550], [14_550], 0)]
        assert left() == [("account-1", 4, "duplicate", "n4", None, 14_550)]

    def test_a_payout_in_two_parts_and_two_payouts_in_one_sum(self):
        a_day("stripe", 0, ("payout", -500, 0, "po_1"))
        a_day("stripe", 1, ("payout", -700, 0, "po_2"), ("payout", -800, 0, "po_3"))
        with transaction() as session:
            take_entry = text("UPDATE bank_entry SET refs = '{po_2,po_3}' WHERE entry_no = 'both'")
            take(a_statement(Line(1_500, on=2, no="both"), Line(200, ref="po_1"),
                             Line(300, on=2, ref="po_1")))  # fmt: skip
            session.execute(take_entry)

        match()

        assert matched() == [
            ("reference", [200, 300], [500], 0), ("reference", [1_500], [700, 800], 0)
        ]  # fmt: skip
        assert violations() == []


class TestTransfers:
    @pytest.mark.parametrize("ref", ["ICBC-0001", "the number"])
    def test_what_we_sent_is_known_by_either_number_and_posted_once(self, ref):
        _, number = stuck(1_000)
        one, _ = staff()
        enter_payee(number, one)
        confirm_sent(number, one)
        before = transfers()

        bank_says(Line(-1_000, on=0, ref=number if ref == "the number" else ref))

        assert matched() == [("reference", [-1_000], [-1_000], 0)]
        assert transfers() == before
        assert (left(), violations()) == ([], [])

    @pytest.mark.parametrize(("on", "found"), [(-3, 1), (-4, 0), (10, 1), (11, 0)])
    def test_without_a_number_it_is_known_by_its_sum_and_day(self, on, found):
        _, number = stuck(1_000)
        one, _ = staff()
        enter_payee(number, one)
        confirm_sent(number, one)

        assert bank_says(Line(-1_000, on=on, name="王珅")).made == found

    def test_several_make_no_chain(self):
        for ref, fen in (("A-1", 1_000), ("A-2", 1_100)):
            _, number = stuck(fen)
            one, _ = staff()
            enter_payee(number, one)
            confirm_sent(number, one, ref)

        assert bank_says(Line(-2_100)).made == 0

    def test_money_that_came_back_opens_it_again(self):
        _, number = stuck(1_000)
        one, _ = staff()
        enter_payee(number, one)
        confirm_sent(number, one)
        bank_says(Line(-1_000, on=0, ref=number))

        assert bank_says(Line(1_000, on=2, ref=number)) == (0, 1, 1)

        assert left() == [("transfers", 0, "amount_differs", number, -1_000, 0)]
        assert violations() == []


class TestAgain:
    def test_a_second_run_changes_nothing(self):
        takes("alpha", 0, 10_000)
        bank_says(Line(10_000), Line(77))
        before = transfers(), left(), matched()

        assert match() == (0, 0, 1)
        assert (transfers(), left(), matched()) == before

    def test_a_corrected_file_undoes_what_no_longer_agrees(self):
        takes("alpha", 0, 10_000, 20)
        bank_says(Line(9_980))
        takes("alpha", 0, 10_000, 30)

        assert match() == (0, 1, 1)
        assert balances() == {}
        assert violations() == []

    def test_a_file_corrected_long_after_changes_what_was_matched(self):
        takes("alpha", -40, 10_000, 20)
        take(a_statement(Line(9_980, on=-38)))
        with transaction() as session:
            match_bank(session, DAY - timedelta(days=40), now=NOW)
        assert match() == (0, 0, 0)
        takes("alpha", -40, 10_000, 30)

        assert match()[:2] == (0, 1)
        assert (balances(), violations()) == ({}, [])

    def test_what_a_person_places_after_long_is_explained(self):
        takes("alpha", -40, 10_000)
        takes("beta", -40, 10_000)
        take(a_statement(Line(10_000, on=-38), Line(-1, on=-30)))
        with transaction() as session:
            match_bank(session, DAY - timedelta(days=40), now=NOW)
        assert len([one for one in left() if one[0] != "account-1"]) == 2
        with transaction() as session:
            due = session.execute(text("SELECT id FROM bank_due WHERE source = 'beta'"))
            match_by_hand(
                session, the_entry(10_000).id, [due.scalar_one()], by=staff()[0], reason="told",
                now=NOW,
            )  # fmt: skip

        match()

        assert [one[0] for one in left() if one[2] != "unknown_debit"] == ["alpha"]

    def test_what_becomes_two_things_is_undone(self):
        takes("alpha", 0, 10_000)
        bank_says(Line(10_000))
        takes("beta", 0, 10_000)

        assert match().undone == 1
        assert (matched(), balances(), violations()) == ([], {}, [])

    def test_two_runs_at_once_post_once(self):
        takes("alpha", 0, 10_000, 10)
        take(a_statement(Line(9_990)))

        done = at_once([match] * 4)

        assert not [one for one in done if isinstance(one, CityBillError)]
        assert sorted(one.made for one in done) == [0, 0, 0, 1]
        assert balances()["bank"] == 9_990

    def test_a_match_and_its_transfers_that_part_are_seen(self):
        takes("alpha", 0, 10_000)
        bank_says(Line(10_000))

        with as_owner(unguarded=True) as connection:
            connection.execute(text("UPDATE bank_match SET amount_fen = amount_fen + 1"))
        assert any("each matched bank entry" in one for one in violations())

        with as_owner(unguarded=True) as connection:
            connection.execute(text("UPDATE bank_entry SET match_id = NULL"))
            connection.execute(text("UPDATE bank_due SET match_id = NULL"))
            connection.execute(text("DELETE FROM bank_match"))
        assert any("every payout in the ledger" in one for one in violations())


FEN = st.sampled_from([100, 200, 300])
DAYS = st.lists(
    st.tuples(st.sampled_from(["alpha", "beta"]), st.integers(0, 4), FEN), min_size=2, max_size=5
)
LINES = st.lists(
    st.tuples(FEN, st.integers(0, 6), st.sampled_from(["", "甲"])), min_size=1, max_size=4
)


def outcome() -> tuple[object, ...]:
    return matched(), left(), balances(), violations()


class TestLaws:
    @settings(max_examples=20)
    @given(DAYS, LINES, st.randoms(use_true_random=False))
    def test_the_order_of_files_and_runs_makes_no_difference(self, days, lines, random):
        days = {(source, on): fen for source, on, fen in days}
        acts = [lambda one=one, fen=fen: takes(*one, fen + 1, 1) for one, fen in days.items()]
        acts += [
            lambda line=line, at=at: take(
                a_statement(Line(line[0], on=line[1], name=line[2], no=f"n{at}"))
            )
            for at, line in enumerate(lines)
        ]
        take(a_statement(Line(-1, no="first")))
        for act in acts:
            act()
        match()
        once = outcome()
        empty_city()

        random.shuffle(acts)
        take(a_statement(Line(-1, no="first")))
        for act in [*acts, *random.sample(acts, len(acts) // 2)]:
            act()
            match()

        assert outcome() == once
        assert once[3] == []
        empty_city()

    @settings(max_examples=20)
    @given(DAYS, LINES)
    def test_every_fen_is_in_one_match_or_in_one_difference(self, days, lines):
        for source, on, fen in days:
            takes(source, on, fen)
        entries = [Line(fen, on, f"n{at}", "", name) for at, (fen, on, name) in enumerate(lines)]

        bank_says(Line(-1, on=20, no="last"), *entries)

        placed = sum(sum(found) for _, found, _, _ in matched())
        unknown = sum(theirs for *_, kind, _, _, theirs in left() if kind == "unknown_credit")
        assert placed + unknown == sum(fen for fen, _, _ in lines)
        assert all(sum(found) == sum(dues) for _, found, dues, _ in matched())
        assert balances().get("bank", 0) == placed
        empty_city()


def test_our_account_is_never_told_whole():
    takes("alpha", 0, 10_000)
    taken = take(a_statement(Line(77)))
    match()

    assert ACCOUNT not in f"{taken} {left()}"
    assert DAY + timedelta(days=1) == taken[0].covers_to
