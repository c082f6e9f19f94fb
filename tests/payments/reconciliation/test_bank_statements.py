"""A bank statement is kept once, whole or not at all; in whatever order the files come."""

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from core.db import transaction
from core.errors import Conflict
from payments.reconciliation.bank.accounts import list_statements
from payments.statements.base import StatementFileError
from tests.conftest import as_owner, empty_city
from tests.factories import at_once
from tests.payments.reconciliation.banking import ACCOUNT, Line, a_statement, take
from tests.payments.statements.samples import sample

pytestmark = pytest.mark.usefixtures("city")


def kept() -> list[tuple[object, ...]]:
    with transaction() as session:
        rows = session.execute(
            text("SELECT entry_no, booked_on, amount_fen FROM bank_entry ORDER BY 2, 1")
        )
        return [tuple(row) for row in rows]


def statements() -> list[int | None]:
    """What each opens with above the close of the one before it, oldest first."""
    with transaction() as session:
        return [one.gap_fen for one in reversed(list_statements(session))]


class TestOnce:
    def test_a_statement_is_kept_with_its_entries(self):
        (taken,) = take(a_statement(Line(10_000, name="甲"), Line(-500)))

        assert (taken.entries, taken.new_entries, taken.is_new) == (2, 2, True)
        assert [fen for *_, fen in kept()] == [-500, 10_000]

    def test_the_same_again_changes_nothing(self):
        content = a_statement(Line(10_000), Line(-500))
        take(content)
        before = kept()

        (taken,) = take(content, name="another name.csv")

        assert (taken.new_entries, taken.is_new) == (0, False)
        assert (kept(), statements()) == (before, [None])

    def test_a_longer_export_of_the_same_days_adds_what_is_new(self):
        take(a_statement(Line(1, no="a")))

        (taken,) = take(a_statement(Line(1, no="a"), Line(2, no="b")))

        assert (taken.entries, taken.new_entries) == (2, 1)

    @pytest.mark.parametrize("other", [Line(101, no="a"), Line(99, no="a"), Line(100, 2, no="a")])
    def test_an_entry_that_comes_again_differently_refuses_the_whole_file(self, other):
        take(a_statement(Line(100, no="a")))

        with pytest.raises(Conflict, match="ask the bank which is right") as refused:
            take(a_statement(Line(7, no="new"), other))

        assert refused.value.code == "bank_entry.differs"
        assert ([no for no, *_ in kept()], statements()) == (["a"], [None])

    def test_two_accounts_may_have_one_number(self):
        take(a_statement(Line(100, no="a")))
        take(a_statement(Line(200, no="a"), ours="6200000000000000002"))

        assert len(kept()) == 2

    def test_one_that_is_handed_in_twice_at_once_is_kept_once(self):
        content = a_statement(Line(10_000), Line(-500))

        done = at_once([partial(take, content)] * 4)

        assert sorted(taken.is_new for (taken,) in done) == [False, False, False, True]
        assert len(kept()) == 2

    def test_the_database_holds_each_once(self):
        take(a_statement(Line(10_000, no="a")))

        for table, names in (
            ("bank_entry", "account_id, statement_id, entry_no, booked_on, amount_fen, refs,"
             " other_name, other_account_no, words, bank_code"),
            ("bank_statement", "account_id, digest, statement_no, source_format, entries,"
             " file_name, taken_at"),
        ):  # fmt: skip
            with pytest.raises(IntegrityError, match="uq_"), as_owner() as connection:
                connection.execute(
                    text(f"INSERT INTO {table} ({names}) SELECT {names} FROM {table}")
                )


class TestFiles:
    @pytest.mark.parametrize("name", ["camt052.xml", "camt054.xml"])
    def test_what_is_told_again_in_a_statement_is_refused(self, name):
        with pytest.raises(StatementFileError, match=r"camt\.053"):
            take(sample(name), profile=None)

        assert kept() == []

    @pytest.mark.parametrize("modifier", ["1", "3"])
    def test_a_bai2_of_a_day_that_is_not_over_is_refused(self, modifier):
        so_far = sample("bai2.txt").replace(b",2/\n03", f",{modifier}/\n03".encode())
        assert so_far != sample("bai2.txt")

        with pytest.raises(StatementFileError, match="not over"):
            take(so_far, profile=None)

        assert kept() == []

    @pytest.mark.parametrize("name", ["bai2.txt", "camt053.xml", "mt940-swift.txt"])
    def test_a_statement_of_every_standard_is_taken(self, name):
        taken = take(sample(name), profile=None)

        assert sum(one.new_entries for one in taken) == len(kept()) > 0

    def test_the_account_is_masked(self):
        (taken,) = take(a_statement(Line(1)))
        with transaction() as session:
            (shown,) = list_statements(session)

        assert (taken.account_masked, shown.account_masked) == ("*" * 15 + "0001",) * 2
        assert ACCOUNT not in repr(shown)

    def test_it_is_masked_in_the_numbers_banks_make_of_it(self):
        other = "6222020000001234"
        line = Line(7, no=f"S-{ACCOUNT}-1", ref=f"{other}/9", account=other)

        take(a_statement(line))
        take(a_statement(line, Line(8)))

        with transaction() as session:
            refs = session.execute(
                text("SELECT refs FROM bank_entry WHERE amount_fen = 7")
            ).scalar_one()
        assert "************1234/9" in refs
        assert other not in str(refs)
        assert [no for no, *_ in kept()][1:] == ["S-***************0001-1"]


def an_mt940(number: int, day: int, opening_fen: int, *fen: int) -> bytes:
    closing = opening_fen + sum(fen)
    moved = "".join(
        f":61:2611{day}11{day}C0,{one:02d}NTRFNONREF//B{day}{at}\n" for at, one in enumerate(fen)
    )
    return (
        f":20:S\n:25:{ACCOUNT}\n:28C:{number}/1\n:60F:C2611{day - 1}CNY{opening_fen // 100},"
        f"{opening_fen % 100:02d}\n{moved}:62F:C2611{day}CNY{closing // 100},{closing % 100:02d}\n-"
    ).encode()


class TestGaps:
    def test_a_statement_that_does_not_follow_is_kept_and_told(self):
        take(an_mt940(1, 17, 1_000, 50), profile=None)
        take(an_mt940(3, 19, 1_090, 5), profile=None)
        assert statements() == [None, 40]

        take(an_mt940(2, 18, 1_050, 40), profile=None)
        assert statements() == [None, None, None]

    @settings(max_examples=10)
    @given(st.permutations(range(4)))
    def test_the_order_in_which_they_come_makes_no_difference(self, order):
        opening, files = 1_000, []
        for at in range(4):
            files.append(an_mt940(at, 16 + at, opening, at + 1, at + 2))
            opening += 2 * at + 3

        for at in [*order, order[0]]:
            take(files[at], profile=None)

        assert statements() == [None] * 4
        assert [fen for *_, fen in kept()] == [1, 2, 2, 3, 3, 4, 4, 5]
        empty_city()
