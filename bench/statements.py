"""What a page asks the database: how many statements, and how long they take, in this process."""

import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import psycopg
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event

from bench.load import Wanted
from web.app import create_app

_TIMES = 20


class _Counting(psycopg.Cursor[Any]):
    """A cursor that keeps what was asked and how long each took."""

    asked: list[tuple[str, float]] = []  # noqa: RUF012  of all cursors together

    def execute(self, query: Any, *arguments: Any, **options: Any) -> "_Counting":
        began = time.perf_counter()
        super().execute(query, *arguments, **options)
        text = query.decode() if isinstance(query, bytes) else str(query)
        self.asked.append((" ".join(text.split()), time.perf_counter() - began))
        return self


def statements(pages: Mapping[str, Wanted]) -> dict[str, dict[str, float]]:
    """Return by page how many statements it takes, and what they and all of it take."""
    found = {}
    with TestClient(create_app()) as client, redirect_stdout(StringIO()):  # its log
        event.listen(Engine, "connect", _count)  # of those that look as well
        for name, wanted in pages.items():
            for _ in range(_TIMES):
                _Counting.asked.clear()
                began = time.perf_counter()
                answer = client.get(wanted.path, headers={"Cookie": wanted.cookie})
                took = time.perf_counter() - began
                assert answer.is_success, answer.status_code
            found[name] = {
                "statements": len(_Counting.asked),
                "statements_ms": round(sum(one for _, one in _Counting.asked) * 1000, 1),
                "alone_ms": round(took * 1000, 1),
            }
    return found


def _count(connection: Any, _record: Any) -> None:
    connection.cursor_factory = _Counting
