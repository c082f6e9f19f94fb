"""A resident's inbox."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from notifications.catalogue import Subject
from notifications.inbox import list_inbox
from web.access import Db, Resident

router = APIRouter(tags=["notices"])
Cursor = Annotated[int | None, Query(ge=1, lt=1 << 63)]


class NoticeOut(BaseModel):
    id: int
    event: str
    title: str
    body: str
    link: str
    created_at: datetime
    read_at: datetime | None


class NoticesOut(BaseModel):
    notices: list[NoticeOut]
    next_cursor: int | None


@router.get("/notices")
def list_notices(
    db: Db,
    caller: Resident,
    subject: Subject | None = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> NoticesOut:
    """Return what the caller was told, the newest first; reading them here marks none as read."""
    found = list_inbox(db, caller.id, subject=subject, after=cursor, limit=limit + 1)
    shown = found[:limit]
    return NoticesOut(
        notices=[NoticeOut.model_validate(one, from_attributes=True) for one in shown],
        next_cursor=shown[-1].id if len(found) > limit else None,
    )
