"""What must add up in every file of statements, and the numbers that must differ."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from core.money import yuan_text
from payments.statements.base import Statement, StatementFileError

_AGAIN = "ask the bank for the file again"


def check_balance(statement: Statement) -> Statement:
    """Hold the opening balance and the booked entries against the closing balance.

    Raises:
        StatementFileError: they do not add up.
    """
    opening_fen, closing_fen = statement.opening_fen, statement.closing_fen
    if opening_fen is None or closing_fen is None:
        return statement
    if opening_fen + statement.booked_fen != closing_fen:
        raise StatementFileError(
            f"the opening balance {yuan_text(opening_fen)} and the entries"
            f" {yuan_text(statement.booked_fen)} make"
            f" {yuan_text(opening_fen + statement.booked_fen)}, the closing balance is"
            f" {yuan_text(closing_fen)}: an entry is missing or changed; {_AGAIN}",
            line_no=statement.line_no,
        )
    return statement


def check_told(what: str, told: int, ours: int, *, line_no: int, place: str) -> None:
    """Hold a total the file states against ours: a count, or an amount in fen.

    Raises:
        StatementFileError: they differ.
    """
    if told != ours:
        raise StatementFileError(
            f"the file says {told} {what}, what was read comes to {ours}: {_AGAIN}",
            line_no=line_no,
            column=place,
        )


def finish(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """Hold the statements of a file against one another, and make their numbers differ.

    Raises:
        StatementFileError: a statement stands there twice, or a balance is not handed on.
    """
    whole = tuple(statements)
    _refuse_twice(whole)
    _check_chain(whole)
    return _numbered(whole)


def _refuse_twice(statements: Sequence[Statement]) -> None:
    """An account's statement sent twice in one file would count its money twice."""
    seen: dict[object, int] = {}
    for one in statements:
        told = (
            (one.account_no, one.statement_no, one.page_no, one.from_on, one.to_on),
            (one.opening_fen, one.closing_fen),
            tuple((entry.entry_no, entry.booked_on, entry.amount_fen) for entry in one.entries),
        )
        if one.entries and told in seen:
            raise StatementFileError(
                f"the statement {one.statement_no} stands in the file twice, first in line"
                f" {seen[told]}: take one out",
                line_no=one.line_no,
            )
        seen[told] = one.line_no


def _check_chain(statements: Sequence[Statement]) -> None:
    """What a page or a statement closes with, the next one opens with."""
    accounts: dict[str, list[tuple[int, int, Statement]]] = {}
    for one in statements:
        if one.sequence_no is not None:
            place = (one.sequence_no, one.page_no or 1, one)
            accounts.setdefault(one.account_no, []).append(place)
    for places in accounts.values():
        places.sort(key=lambda place: place[:2])
        for (number, page, one), (next_number, next_page, after) in pairwise(places):
            is_next_page = (next_number, next_page) == (number, page + 1)
            is_next = (next_number, next_page) == (number + 1, 1) and one.is_last_page is not False
            if is_next_page or is_next:
                _check_handed_on(one, after)


def _check_handed_on(one: Statement, after: Statement) -> None:
    if one.closing_fen is None or after.opening_fen is None:
        return
    if one.closing_fen != after.opening_fen:
        raise StatementFileError(
            f"it opens with {yuan_text(after.opening_fen)}, but the one before it, in line"
            f" {one.line_no}, closes with {yuan_text(one.closing_fen)}: something is missing"
            f" between them; {_AGAIN}",
            line_no=after.line_no,
        )


def _numbered(statements: Sequence[Statement]) -> tuple[Statement, ...]:
    """Tell apart what a bank has given the same reference: the second one is ``REF#2``."""
    times: Counter[tuple[str, str]] = Counter()
    taken: set[tuple[str, str]] = set()
    done = []
    for statement in statements:
        entries = []
        for entry in statement.entries:
            key = number = (statement.account_no, entry.entry_no)
            times[key] += 1
            while number in taken or (times[key] > 1 and number == key):
                number = (key[0], f"{entry.entry_no}#{max(times[key], 2)}")
                times[key] += number in taken
            taken.add(number)
            entries.append(entry if number == key else replace(entry, entry_no=number[1]))
        done.append(replace(statement, entries=tuple(entries)))
    return tuple(done)
