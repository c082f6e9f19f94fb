"""A resident's inbox."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel

from notifications.notices import list_inbox
from web.access import Db, Resident

router = APIRouter(tags=["notices"])


class NoticeOut(BaseModel):
    id: int
    event: str
    title: str
    body: str
    created_at: datetime
    read_at: datetime | None


@router.get("/notices")
def list_notices(db: Db, caller: Resident) -> list[NoticeOut]:
    """Return the newest fifty notices."""
    return [
        NoticeOut.model_validate(one, from_attributes=True) for one in list_inbox(db, caller.id)
    ]
