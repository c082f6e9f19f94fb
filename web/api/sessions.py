"""Signing in by API, for the apps of residents."""

from contextlib import suppress

from fastapi import APIRouter
from pydantic import BaseModel, Field

from core.clock import utc_now
from core.db import transaction
from core.errors import NotSignedIn, TooMany
from core.settings import settings
from identity import sign_in
from notifications.notices import send_sign_in_code
from web.access import Anyone, Db, Resident
from web.inputs import PLAIN

router = APIRouter(tags=["sessions"])


class CodeIn(BaseModel):
    contact: str = Field(
        max_length=200, pattern=PLAIN, description="a phone number or an e-mail address"
    )


class SessionIn(CodeIn):
    code: str = Field(max_length=12)


class SessionOut(BaseModel):
    token: str = Field(description="send it as Authorization: Bearer …")


@router.post("/sign-in-codes", status_code=202, dependencies=[Anyone])
def ask_for_code(body: CodeIn, db: Db) -> dict[str, str]:
    """Send a one-time code to a contact; the answer is the same whether anybody has it or not."""
    secret = settings().secret_key.get_secret_value()
    with suppress(TooMany):  # saying so would tell that somebody has this contact
        send_sign_in_code(db, body.contact, secret=secret, now=utc_now())
    return {"status": "sent if known"}


@router.post("/sessions", status_code=201, dependencies=[Anyone])
def start(body: SessionIn) -> SessionOut:
    """Exchange a code for a session."""
    secret = settings().secret_key.get_secret_value()
    with transaction() as session:  # of its own: a wrong try stays counted
        person = sign_in.check_code(session, body.contact, body.code, secret=secret, now=utc_now())
        token = sign_in.start_session(session, person, now=utc_now())[0] if person else None
    if token is None:
        raise NotSignedIn("the code is wrong or too old", code="sign_in.wrong_code")
    return SessionOut(token=token)


@router.delete("/sessions/current", status_code=204)
def end(db: Db, caller: Resident) -> None:
    """Sign out."""
    sign_in.end_session(db, caller.token, now=utc_now())
