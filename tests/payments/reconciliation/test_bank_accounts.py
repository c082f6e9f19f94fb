"""Our accounts: what statements cover and lack, whatever order they come in, and the ledger."""

import re
from datetime import timedelta
from itertools import permutations

import pytest

from core.db import transaction
from core.errors import Invalid, NotFound
from identity.models import Role
from payments.reconciliation.bank import accounts as bank_accounts
from payments.reconciliation.bank.accounts import KeptStatement, OurAccount, Position
from tests.factories import a_person, at_once
from tests.payments.reconciliation.banking import (
    DAY,
    Line,
    a_day_of_ours,
    a_statement,
    bank_says,
    match,
    match_by_hand,
    take,
    takes,
    the_entry,
    the_match,
    undo,
)

pytestmark = pytest.mark.usefixtures("city")


def hand_in(*files: bytes) -> None:
    for content in files:
        take(content, profile=None, name="s.sta")


def gaps() -> list[tuple[int | None, int | None, int | None]]:
    """What is missing, newest first: the days from Friday on, and by how much it is off."""
    with transaction() as session:
        return [
            (one.missing_from and (one.missing_from - DAY).days,
             one.missing_to and (one.missing_to - DAY).days, one.gap_fen)
            for one in bank_accounts.list_gaps(session)
        ]  # fmt: skip


def listed(**page: int | None) -> list[KeptStatement]:
    with transaction() as session:
        return bank_accounts.list_statements(session, **page)  # type: ignore[arg-type]


def accounts() -> list[OurAccount]:
    with transaction() as session:
        return bank_accounts.list_accounts(session)


def position() -> Position:
    with transaction() as session:
        return bank_accounts.position(session)


class TestGaps:
    def test_the_days_without_a_statement_are_named_and_by_how_much(self):
        hand_in(a_day_of_ours(0, 1_000, 500), a_day_of_ours(4, 1_800, 1))

        assert gaps() == [(1, 3, 300)]

    @pytest.mark.parametrize("order", list(permutations(range(3))))
    def test_the_missing_one_closes_it_whenever_it_comes(self, order):
        files = [
            a_day_of_ours(0, 1_000, 500, number=1), a_day_of_ours(2, 1_500, 300, number=2),
            a_day_of_ours(4, 1_800, 1, number=3),
        ]  # fmt: skip

        hand_in(*(files[at] for at in order))

        assert gaps() == []

    def test_days_on_which_nothing_moved_are_no_gap(self):
        hand_in(a_day_of_ours(0, 1_000, 500), a_day_of_ours(9, 1_500, 1))

        assert gaps() == []

    @pytest.mark.parametrize("opens_fen", [1_499, 1_501])
    def test_one_fen_off_on_the_next_day_is_a_gap_without_days_between(self, opens_fen):
        hand_in(a_day_of_ours(0, 1_000, 500), a_day_of_ours(1, opens_fen, 1))

        assert gaps() == [(None, None, opens_fen - 1_500)]

    def test_an_export_that_begins_within_the_days_before_is_no_gap(self):
        long = a_day_of_ours(2, 1_000, 500, number=1)
        hand_in(a_day_of_ours(0, 1_000, 500, number=9), of_days(long, since=-1))

        assert gaps() == []

    def test_each_account_has_its_own(self):
        other = "6200000000000000002"
        hand_in(a_day_of_ours(0, 1_000, 500), a_day_of_ours(1, 7, 1, ours=other))

        assert gaps() == []


def of_days(statement: bytes, *, since: int) -> bytes:
    """Have a statement begin on another day, counted from Friday."""
    opens = f"{DAY + timedelta(days=since):%y%m%d}".encode()
    return re.sub(rb"(:60F:C)[0-9]{6}", rb"\g<1>" + opens, statement)


class TestStatements:
    def test_pages_hold_each_once_newest_first(self):
        hand_in(*(a_day_of_ours(on, 1_000, number=on) for on in range(1, 8)))

        shown, after = [], None
        while page := listed(after=after, limit=3):
            shown += page
            after = page[-1].id

        assert [(one.covers_to - DAY).days for one in shown if one.covers_to] == [*range(7, 0, -1)]
        assert [one.id for one in shown] == [one.id for one in listed()]
        with transaction() as session:
            assert [one.id for one in bank_accounts.every_statement(session)] == [
                one.id for one in shown
            ]

    def test_a_day_dated_with_the_evening_before_is_told_of_by_its_own(self):
        hand_in(a_day_of_ours(0, 1_000, 500))

        (one,) = listed()

        assert (one.first_on, one.covers_to, one.from_on) == (DAY, DAY, DAY - timedelta(days=1))


class TestAccounts:
    def test_an_account_is_known_from_its_statement_with_its_last_balance(self):
        hand_in(a_day_of_ours(0, 1_000, 500), a_day_of_ours(1, 1_500, -200))

        (one,) = accounts()

        assert (one.masked, one.label) == ("*" * 15 + "0001", "")
        assert (one.covers_to, one.balance_fen) == (DAY + timedelta(days=1), 1_300)
        assert one.open_entries == 2

    def test_a_balance_nobody_told_is_none(self):
        take(a_statement(Line(100)))

        assert accounts()[0].balance_fen is None

    def test_it_is_called_something(self):
        take(a_statement(Line(100)))

        for said, kept in (("  settlement \n account ", "settlement account"), ("", "")):
            with transaction() as session:
                bank_accounts.name_account(session, accounts()[0].id, said)
            assert accounts()[0].label == kept

    def test_not_too_long_and_only_one_that_is_there(self):
        take(a_statement(Line(100)))

        with transaction() as session, pytest.raises(Invalid):
            bank_accounts.name_account(session, accounts()[0].id, "x" * 61)
        with transaction() as session, pytest.raises(NotFound):
            bank_accounts.name_account(session, 99, "x")
        assert accounts()[0].label == ""

    def test_named_at_once_by_several_it_has_one_of_the_names(self):
        take(a_statement(Line(100)))
        (account,) = accounts()

        def name(label: str) -> None:
            with transaction() as session:
                bank_accounts.name_account(session, account.id, label)

        at_once([lambda label=label: name(label) for label in ("a", "b", "c")])

        assert accounts()[0].label in {"a", "b", "c"}


class TestAgainstTheLedger:
    def test_nothing_is_unexplained_before_and_after_each_act(self):
        takes("alpha", 0, 10_000, 10)
        bank_says(Line(9_990), Line(8_650), Line(-1_500))
        assert position() == Position(9_990, 7_150, 2, 0, 17_140)
        assert position().off_fen == 0

        undo(the_match(), a_person(Role.STAFF))
        assert (position().ledger_fen, position().unmatched, position().off_fen) == (0, 3, 0)

        match_by_hand(the_entry(9_990), 9_990, by=a_person(Role.STAFF))
        assert (position().ledger_fen, position().off_fen) == (9_990, 0)
        match()
        assert position().off_fen == 0
