"""One's own data by API: all of it to take along, and leaving for good.

Both ask that who calls has signed in within the last fifteen minutes.
"""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from core.clock import utc_now
from identity import leaving
from support import own_data
from web.access import Db, Resident
from web.own_data import export

router = APIRouter(tags=["me"])


class LeavingOut(BaseModel):
    """That one's data will be erased."""

    asked_at: datetime
    erase_at: datetime = Field(description="until then `DELETE /me/erasure` takes it back")


@router.get("/me/export", response_class=StreamingResponse)
def take_along(db: Db, caller: Resident) -> StreamingResponse:
    """Return all we hold of the caller as one JSON document; three times a day at most."""
    now = utc_now()
    leaving.check_fresh(db, caller.token, now=now)
    leaving.take_turn(db, caller.id, now=now)
    return export(caller.id, now=now)


@router.delete("/me", status_code=202)
def leave(
    db: Db,
    caller: Resident,
    confirm: Literal["erase-my-data"] = Query(description="so that nobody does it by mistake"),
) -> LeavingOut:
    """Have the caller's data erased in seven days.

    Payments, refunds and consents stay in the books without a name. Refused while a payment or a
    refund is under way, and to whoever alone manages a home with other people.
    """
    del confirm
    now = utc_now()
    leaving.check_fresh(db, caller.token, now=now)
    row = own_data.ask_to_leave(db, caller.id, now=now)
    return LeavingOut(asked_at=row.asked_at, erase_at=row.erase_at)


@router.delete("/me/erasure", status_code=204)
def stay(db: Db, caller: Resident) -> None:
    """Take it back: the caller stays."""
    leaving.stay(db, caller.id)
