"""Signing in by API, for the apps of residents."""

from fastapi import APIRouter, BackgroundTasks, Request
from pydantic import BaseModel, Field

from core.clock import utc_now
from core.db import transaction
from core.errors import NotSignedIn
from core.settings import settings
from identity import sign_in
from web.access import Anyone, Db, Resident
from web.inputs import PLAIN
from web.pages.guest import client_of
from web.pages.signing_in import send_code

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
def ask_for_code(request: Request, body: CodeIn, after: BackgroundTasks) -> dict[str, str]:
    """Send a one-time code to a contact; the answer is the same whether anybody has it or not.

    An address that asks for more than a hundred an hour is told so: 429, `sign_in.from_here`.
    """
    secret = settings().secret_key.get_secret_value()
    sign_in.note_asking(client_of(request), secret=secret, now=utc_now())
    after.add_task(send_code, body.contact)
    return {"status": "sent if known"}


@router.post("/sessions", status_code=201, dependencies=[Anyone])
def start(request: Request, body: SessionIn) -> SessionOut:
    """Exchange a code for a session; after sixty wrong ones from an address an hour it is 429."""
    secret, now = settings().secret_key.get_secret_value(), utc_now()
    with transaction() as session:  # of its own: a wrong try stays counted
        person = sign_in.check_code_from(
            session, client_of(request), body.contact, body.code, secret=secret, now=now
        )
        token = sign_in.start_session(session, person, now=now)[0] if person else None
    if token is None:
        raise NotSignedIn("the code is wrong or too old", code="sign_in.wrong_code")
    return SessionOut(token=token)


@router.delete("/sessions/current", status_code=204)
def end(db: Db, caller: Resident) -> None:
    """Sign out."""
    sign_in.end_session(db, caller.token, now=utc_now())
