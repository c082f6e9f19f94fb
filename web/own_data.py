"""Somebody's own data as one JSON document, sent as it is read."""

import json
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

from fastapi.responses import StreamingResponse

from core.clock import billing_date
from core.db import transaction
from identity import own_data as of_identity
from identity.own_data import read
from notifications import own_data as of_notices
from support import own_data as of_the_rest

SECTIONS: Final = (*of_identity.SECTIONS, *of_the_rest.SECTIONS, *of_notices.SECTIONS)
_CHUNK_CHARS: Final = 64 * 1024


def export(person_id: int, *, now: datetime) -> StreamingResponse:
    """Answer with all we hold of somebody, by section; never whole in memory.

    Read in a transaction of its own: the request's is over before the first byte leaves.
    """
    return StreamingResponse(
        _chunks(_document(person_id, now=now)),
        media_type="application/json",
        headers={
            "Content-Disposition": f'attachment; filename="citybill-{billing_date(now)}.json"',
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        },
    )


def _document(person_id: int, *, now: datetime) -> Iterator[str]:
    yield f'{{"made_at": {_json(now)}'
    with transaction() as session:
        for section in SECTIONS:
            yield f',\n"{section.name}": ['
            yield from _rows(read(session, section, person_id))
            yield "]"
    yield "}\n"


def _rows(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    for place, row in enumerate(rows):
        yield (",\n  " if place else "\n  ") + _json(row)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: object) -> str:
    """Return what JSON has no form for: days and moments as ISO 8601, quantities as they stand."""
    assert isinstance(value, date | datetime | time | Decimal), value
    return str(value) if isinstance(value, Decimal) else value.isoformat()


def _chunks(texts: Iterator[str]) -> Iterator[bytes]:
    waiting: list[str] = []
    length = 0
    for one in texts:
        waiting.append(one)
        length += len(one)
        if length >= _CHUNK_CHARS:
            yield "".join(waiting).encode()
            waiting, length = [], 0
    yield "".join(waiting).encode()
