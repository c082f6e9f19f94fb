"""What planting differences needs: a clean day, and what is to be said and kept instead of it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg

from bench.reconcile_city import yuan

Row = list[str]
Break = tuple[str, str]  # its class, its reference


class Day:
    """What others say of a clean day, row by row, and what is to be said instead."""

    def __init__(self, owner: psycopg.Connection[Any], rows: Sequence[bytes]) -> None:
        self.owner, self._rows = owner, rows
        self._instead: dict[int, list[Row]] = {}
        self._besides: list[Row] = []

    def row(self, number: int) -> Row:
        return self._rows[number].decode().rstrip("\r\n").replace('"', "").split(",")

    def instead(self, number: int, *rows: Row) -> None:
        """Have these rows stand where the clean one stood; none: it is missing."""
        self._instead[number] = list(rows)

    def besides(self, row: Row) -> None:
        self._besides.append(row)

    def told(self) -> Iterator[bytes]:
        """Yield every row as it is told, in the order of the clean ones."""
        for number, row in enumerate(self._rows):
            if number in self._instead:
                yield from (line(one) for one in self._instead[number])
            else:
                yield row
        yield from (line(one) for one in self._besides)


def line(cells: Row) -> bytes:
    return ",".join(cells).encode() + b"\r\n"


Planter = Callable[[Day, Sequence[int]], Iterator[str]]
"""Spoils the rows of these numbers, and yields the references under which that must be found."""


def as_owner(day: Day, statement: str, **values: Any) -> None:
    """Spoil the books, as nobody can but the owner of the database."""
    with day.owner.transaction():
        day.owner.execute("SET LOCAL session_replication_role = replica")
        day.owner.execute(statement.encode(), values)


def more(amount: str, fen: int) -> str:
    whole, _, part = amount.lstrip("-").partition(".")
    told = (int(whole) * 100 + int(part)) * (-1 if amount.startswith("-") else 1) + fen
    return ("-" if told < 0 else "") + yuan(abs(told))
