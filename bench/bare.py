"""The limit of the pages bench: a bare FastAPI application with one indexed select.

Served like ours and on the same database: ``/session`` selects through a session as our code does,
``/driver`` through psycopg's own pool of connections, without SQLAlchemy.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from queue import SimpleQueue
from typing import Annotated, Any

import psycopg
from fastapi import Depends, FastAPI
from sqlmodel import Session, create_engine, select

from billing.models import Bill

_URL = os.environ["CITYBILL_DATABASE_URL"]
_POOL = int(os.environ["CITYBILL_DATABASE_POOL_SIZE"])
_ENGINE = create_engine(_URL.replace("postgresql://", "postgresql+psycopg://"), pool_size=_POOL)
_LINES: SimpleQueue[psycopg.Connection[Any]] = SimpleQueue()
_ONE = "SELECT amount_fen, paid_fen, due_on FROM bill WHERE account_id = %s AND id = %s"


@asynccontextmanager
async def _connected(_app: FastAPI) -> AsyncIterator[None]:
    for _ in range(_POOL):
        _LINES.put(psycopg.connect(_URL, autocommit=True))
    yield


def _session() -> Iterator[Session]:
    with Session(_ENGINE) as session:
        yield session


app = FastAPI(lifespan=_connected, openapi_url=None)


@app.get("/session/{account_id}.{bill_id}")
def by_session(
    account_id: int, bill_id: int, session: Annotated[Session, Depends(_session)]
) -> dict[str, Any]:
    wanted = select(Bill.amount_fen, Bill.paid_fen, Bill.due_on)
    row = session.exec(wanted.where(Bill.account_id == account_id, Bill.id == bill_id)).one()
    return {"amount_fen": row[0], "paid_fen": row[1], "due_on": row[2]}


@app.get("/driver/{account_id}.{bill_id}")
def by_driver(account_id: int, bill_id: int) -> dict[str, Any]:
    line = _LINES.get()
    try:
        row = line.execute(_ONE, [account_id, bill_id]).fetchone()
    finally:
        _LINES.put(line)
    assert row is not None
    return {"amount_fen": row[0], "paid_fen": row[1], "due_on": row[2]}
