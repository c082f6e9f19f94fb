"""What holds of every statement in every format, whatever moved on the account."""

import io
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from payments.statements.base import Statement, StatementFileError
from payments.statements.profiles import BankProfile, parse_bank_profile
from payments.statements.reading import read_statements
from tests.payments.statements import writers
from tests.payments.statements.writers import ACCOUNT, DAYS, Day, Purse

PROFILES = {
    order: parse_bank_profile(writers.PROFILE.replace("ORDER", order), "law.toml")
    for order in ("oldest_first", "newest_first")
}
Write = Callable[[Day, Purse], bytes]
FORMATS: dict[str, Write] = {
    "mt940": writers.mt940, "camt": writers.camt, "bai2": writers.bai2, "sheet": writers.sheet,
}  # fmt: skip
in_every_format = pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)


def read(content: bytes, profile: BankProfile = PROFILES["oldest_first"]) -> tuple[Statement, ...]:
    return read_statements(io.BytesIO(content), name="bank.txt", profile=profile)


def bare(statement: Statement) -> tuple[object, ...]:
    """Return a statement without where it stood in its file."""
    entries = tuple(replace(entry, line_no=0) for entry in statement.entries)
    return replace(statement, entries=entries, line_no=0, source_format=""), entries


@in_every_format
@given(day=DAYS)
def test_what_was_written_is_what_is_read(write, day):
    (statement,) = read(write(day, Purse()))

    assert statement.account_no == ACCOUNT
    assert (statement.currency, statement.booked_fen) == (
        "CNY",
        day.closing_fen - day.opening_fen,
    )
    assert (statement.opening_fen, statement.closing_fen) == (day.opening_fen, day.closing_fen)
    assert len(statement.entries) == len(day.movements)
    for entry, one in zip(statement.entries, day.movements, strict=True):
        assert entry.amount_fen == one.fen
        assert one.booked_on in (entry.booked_on, entry.value_on)
        assert one.reference in entry.references
        assert entry.words.removesuffix("，水费") == one.words
        assert entry.is_booked
        if write is not writers.bai2:  # which has no mark for it
            assert entry.is_reversal == one.is_reversal
        if one.bank_ref:
            assert entry.entry_no == one.bank_ref


@in_every_format
@given(day=DAYS)
def test_no_two_entries_have_one_number_and_the_same_file_again_has_the_same(write, day):
    entries = [entry for one in read(write(day, Purse())) for entry in one.entries]

    assert len({entry.entry_no for entry in entries}) == len(entries)
    assert [entry for one in read(write(day, Purse())) for entry in one.entries] == entries


@in_every_format
@example(day=Day(0, ()), at=0)
@given(day=DAYS, at=st.integers(0, 60))
def test_a_fen_too_much_anywhere_refuses_the_file(write, day, at):
    purse = Purse(false_one=at)
    content = write(day, purse)
    assume(at < purse.count)

    with pytest.raises(StatementFileError):
        read(content)


@in_every_format
@given(day=DAYS, share=st.integers(0, 999))
def test_a_file_cut_short_is_refused_or_says_the_same(write, day, share):
    content = write(day, Purse())
    whole = [bare(one) for one in read(content)]

    with suppress(StatementFileError):
        assert [bare(one) for one in read(content[: len(content) * share // 1000])] == whole


@pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)
def test_wherever_a_file_is_cut_nothing_of_it_goes_missing_unsaid(write):
    day = Day(
        12_345,
        tuple(
            writers.Movement(fen, writers.FIRST_DAY, f"CB{at}", "WATER BILL", f"B{at}")
            for at, fen in enumerate((10_000, -2_550, 5))
        ),
    )
    content = write(day, Purse())
    whole = [bare(one) for one in read(content)]

    for length in range(len(content)):
        with suppress(StatementFileError):
            assert [bare(one) for one in read(content[:length])] == whole, content[:length]


@given(day=DAYS)
def test_line_ends_and_envelopes_change_nothing_of_an_mt940(day):
    plain = read(writers.mt940(day, Purse()))

    for newline, envelope in (("\r\n", False), ("\n", True), ("\r\n", True), ("\n\n", False)):
        other = read(writers.mt940(day, Purse(), newline=newline, envelope=envelope))
        assert list(map(bare, other)) == list(map(bare, plain))


@given(day=DAYS)
def test_versions_prefixes_and_blanks_change_nothing_of_a_camt(day):
    plain = read(writers.camt(day, Purse()))

    for version, prefix, indent in (("02", "", ""), ("13", "n:", ""), ("04", "ns2:", "\r\n  ")):
        other = read(writers.camt(day, Purse(), version=version, prefix=prefix, indent=indent))
        assert list(map(bare, other)) == list(map(bare, plain))


@given(day=DAYS, width=st.integers(60, 132))
def test_the_width_of_lines_changes_nothing_of_a_bai2(day, width):
    plain = read(writers.bai2(day, Purse()))

    other = read(writers.bai2(day, Purse(), width=width, newline="\r\n"))
    assert list(map(bare, other)) == list(map(bare, plain))


@given(day=DAYS)
def test_order_and_encoding_change_nothing_of_a_csv(day):
    plain = read(writers.sheet(day, Purse()))

    for encoding in ("gb18030", "utf-8-sig", "utf-16"):
        turned = writers.sheet(day, Purse(), order="newest_first", encoding=encoding)
        assert list(map(bare, read(turned, PROFILES["newest_first"]))) == list(map(bare, plain))


@given(content=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content):
    with suppress(StatementFileError):
        read(content)


@in_every_format
@given(day=DAYS, at=st.integers(0, 999), mark=st.integers(0, 255))
def test_any_one_byte_changed_keeps_the_money_or_refuses_the_file(write, day, at, mark):
    """A change may hide in a reference or a word; what moved on the account is proved."""
    content = bytearray(write(day, Purse()))
    content[len(content) * at // 1000] = mark

    try:
        read_again = read(bytes(content))
    except StatementFileError:
        return
    moved = sum(one.booked_fen for one in read_again if one.currency == "CNY")
    assert moved == day.closing_fen - day.opening_fen
