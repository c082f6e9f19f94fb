"""What a request may carry: only what the database can hold, so that junk is a 422 and no fault."""

from typing import Annotated

from fastapi import Form, Path

PLAIN = r"^[^\x00]*$"  # PostgreSQL's text holds every character but this one
Id = Annotated[int, Path(ge=1, lt=1 << 63)]
Text = Annotated[str, Form(max_length=200, pattern=PLAIN)]
# Left out is the same as wrong: refused by ``check_form``, with its words.
Csrf = Annotated[str, Form(max_length=200, default_factory=str)]
