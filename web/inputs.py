"""What a request may carry: only what the database can hold, so that junk is a 422 and no fault."""

from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import Form, Path, Request
from pydantic import AwareDatetime, Field

PLAIN = r"^[^\x00]*$"  # PostgreSQL's text holds every character but this one
MAX_FEN = 10**12
Id = Annotated[int, Path(ge=1, lt=1 << 63)]
Day = Annotated[date, Path(ge=date(2000, 1, 1), lt=date(2100, 1, 1))]
Named = Annotated[str, Path(max_length=100, pattern=PLAIN)]  # a code of something, or a key's id
Text = Annotated[str, Form(max_length=200, pattern=PLAIN)]
# Left out is the same as wrong: refused by ``check_form``, with its words.
Csrf = Annotated[str, Form(max_length=200, default_factory=str)]
Fen = Annotated[int, Field(strict=True, ge=0, le=MAX_FEN)]
# When amounts were shown: a moment that can be reckoned with.
ShownAt = Annotated[
    AwareDatetime, Field(ge=datetime(2020, 1, 1, tzinfo=UTC), lt=datetime(2100, 1, 1, tzinfo=UTC))
]


def stated_name(request: Request) -> str:
    """Return what ``X-File-Name`` calls a body: it comes as Latin-1, and most send UTF-8."""
    name = request.headers.get("x-file-name", "upload")
    try:
        return name.encode("latin-1").decode()
    except UnicodeError:
        return name
