"""Processes that die: at a commit, just before or after it, or at a call to a far side.

A step of the week runs in a process of its own. ``Deaths.process`` may doom it: after so many
points it passes, ``Crash`` is raised there. It is no ``Exception``, so nothing in the code under
test can catch it; what was not committed is rolled back, a lease stays until it runs out.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session as AnySession

from core.db import HotStatement

LATEST_POINT = 8  # the longest job passes about so many


class Crash(BaseException):
    """The process is gone. Raised at a point, caught only by the week."""


class Deaths:
    """Who dies where; ``often`` is how likely a process is doomed, in a thousand."""

    def __init__(self, dice: Random, often: int) -> None:
        self.dice, self.often = dice, often
        self._left: list[int] = []  # points each process may still pass; the innermost runs
        self.counted = 0

    @contextmanager
    def process(self) -> Iterator[None]:
        """Run a process inside; it may be doomed."""
        doomed = self.dice.randrange(1_000) < self.often
        self._left.append(self.dice.randint(1, LATEST_POINT) if doomed else -1)
        try:
            yield
        finally:
            self._left.pop()

    def point(self, where: str) -> None:
        """Pass a point; the doomed process dies at its last."""
        if not self._left or self._left[-1] <= 0:
            return
        self._left[-1] -= 1
        if self._left[-1] == 0:
            self.counted += 1
            raise Crash(where)

    def commit(self) -> None:
        """Pass the two points of a commit."""
        self.point("before a commit")
        self.point("after a commit")

    @contextmanager
    def watching(self, *engines: Engine) -> Iterator[None]:
        """Make every commit on a database two points: one before it and one after."""

        def before(connection: Connection) -> None:
            try:
                self.point("before a commit")
            except Crash:
                connection.connection.rollback()  # what a server does when its client is gone
                raise

        def after(_session: AnySession) -> None:
            self.point("after a commit")

        def alone(statement: HotStatement, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
            self.point("before a commit")
            rows = by_itself(statement, values)
            self.point("after a commit")
            return rows

        by_itself = HotStatement.alone
        HotStatement.alone = alone  # type: ignore[method-assign]
        for engine in engines:
            event.listen(engine, "commit", before)
        event.listen(AnySession, "after_commit", after)
        try:
            yield
        finally:
            HotStatement.alone = by_itself  # type: ignore[method-assign]
            for engine in engines:
                event.remove(engine, "commit", before)
            event.remove(AnySession, "after_commit", after)
