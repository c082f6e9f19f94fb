"""Whose turn it is: chunks are made ready side by side and committed in the order of the file.

One row of a file may correct another, and the rows of one bill are taken in file order. So a chunk
is committed only when every chunk before it is; and one that meets bills we hold already is landed
*alone*, while no later chunk has anything open that could be in its way.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class GiveWay(Exception):
    """An earlier chunk wants to be alone: roll back, and begin this one again."""


class Stopped(Exception):
    """The import has stopped: leave everything as it is."""


class Turns:
    """The turns of chunks ``first`` to ``chunks`` - 1, for as many lanes as like."""

    def __init__(self, chunks: int, *, first: int = 0) -> None:
        self._changed = threading.Condition()
        self._chunks = chunks
        self._untaken = self._committed = first
        self._open: set[int] = set()
        self._alone: int | None = None
        self._stopped = False

    def take(self) -> int | None:
        """Return a chunk to make ready, or None when there is none left."""
        with self._changed:
            if self._stopped or self._untaken == self._chunks:
                return None
            self._untaken += 1
            return self._untaken - 1

    @contextmanager
    def opened(self, chunk_no: int) -> Iterator[None]:
        """Hold this while a transaction of the chunk is open; begins when nobody is alone."""
        with self._changed:
            self._wait(lambda: self._alone in (None, chunk_no))
            self._open.add(chunk_no)
        try:
            yield
        finally:
            with self._changed:
                self._open.discard(chunk_no)
                self._changed.notify_all()

    def await_turn(self, chunk_no: int) -> None:
        """Wait until every chunk before this one is committed.

        Raises:
            GiveWay: one of them wants to be alone.
        """
        with self._changed:
            self._wait(lambda: self._committed == chunk_no or self._alone is not None)
            if self._committed != chunk_no:
                raise GiveWay

    def await_alone(self, chunk_no: int) -> None:
        """Wait until every chunk before this one is committed and none after it is open.

        To be called with nothing open.
        """
        with self._changed:
            self._wait(lambda: self._committed == chunk_no)
            self._alone = chunk_no
            self._changed.notify_all()
            self._wait(lambda: not self._open)

    def committed(self, chunk_no: int) -> None:
        """Say that a chunk, whose turn it was, is committed."""
        with self._changed:
            self._committed = chunk_no + 1
            self._alone = None
            self._changed.notify_all()

    def stop(self) -> None:
        """Let everybody stop where they are."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def progress(self) -> Iterator[int]:
        """Yield how many chunks are committed, until all are or it stops."""
        told = 0
        while told < self._chunks:
            with self._changed:
                while self._committed == told and not self._stopped:
                    self._changed.wait()
                if self._committed == told:
                    return
                told = self._committed
            yield told

    def _wait(self, until: Callable[[], bool]) -> None:
        """Wait with the lock held.

        Raises:
            Stopped: nobody works any more.
        """
        self._changed.wait_for(lambda: self._stopped or until())
        if self._stopped:
            raise Stopped
