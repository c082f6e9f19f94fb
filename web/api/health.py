"""Whether this process lives, and whether it can work."""

from fastapi import APIRouter
from sqlalchemy import text

from web.access import Anyone, Db

router = APIRouter()


@router.get("/healthz", dependencies=[Anyone])
def healthy() -> dict[str, str]:
    """Answer as long as the process lives."""
    return {"status": "ok"}


@router.get("/readyz", dependencies=[Anyone])
def ready(db: Db) -> dict[str, str]:
    """Answer 200 when the database answers too. Redis is not asked: no request needs it."""
    db.execute(text("SELECT 1"))
    return {"status": "ready"}
