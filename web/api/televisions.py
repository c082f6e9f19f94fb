"""Pairing a television that is a program of its own: RFC 8628, sections 3.1 to 3.5."""

from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import JSONResponse

from core.clock import utc_now
from core.settings import settings
from identity import televisions
from identity.televisions import CODE_SECONDS, INTERVAL_SECONDS, Progress
from web.access import Anyone, Db
from web.inputs import PLAIN

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
router = APIRouter(tags=["televisions"])
_Field = Annotated[str, Form(max_length=200, pattern=PLAIN)]


@router.post("/television-codes", dependencies=[Anyone])
def begin(db: Db) -> dict[str, Any]:
    """Give a television its codes; the address is opened, or scanned, on the owner's phone."""
    device_code, user_code = televisions.begin_pairing(db, now=utc_now())
    page = f"{settings().public_url}/televisions"
    return {
        "device_code": device_code, "user_code": user_code, "verification_uri": page,
        "verification_uri_complete": f"{page}?code={user_code}", "expires_in": CODE_SECONDS,
        "interval": INTERVAL_SECONDS,
    }  # fmt: skip


@router.post("/television-tokens", dependencies=[Anyone])
def ask(db: Db, grant_type: _Field, device_code: _Field) -> JSONResponse:
    """Tell a television how its pairing stands; the errors are RFC 8628's own."""
    if grant_type != GRANT_TYPE:
        return JSONResponse({"error": "unsupported_grant_type"}, 400)
    asked = televisions.ask_pairing(db, device_code, now=utc_now())
    if asked.progress is not Progress.DONE:
        return JSONResponse({"error": asked.progress}, 400)
    return JSONResponse({"access_token": asked.token, "token_type": "Bearer"})
