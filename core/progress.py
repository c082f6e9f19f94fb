"""How far a long piece of work is, told to whoever listens: nobody, as a rule.

Readers of files tell of their rows as they go on, and know nothing of who shows it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

EVERY = 5_000  # rows; told oftener, it would cost more than the work

_LISTENER: ContextVar[Callable[[int, int], None] | None] = ContextVar("progress", default=None)


@contextmanager
def listening(listener: Callable[[int, int], None]) -> Iterator[None]:
    """Have ``listener(done, of)`` called by what tells within."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def tell(done: int, of: int, *, always: bool = False) -> None:
    """Say that so many of so many rows are done; called for every row, told now and then."""
    if always or done % EVERY == 0 or done == of:
        listener = _LISTENER.get()
        if listener is not None:
            listener(done, of)
