"""A household's months as PDFs, for the people who belong to it."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from sqlmodel import Session

from billing.homes.people import Home, list_standings
from billing.household_statement import months_of
from core.clock import billing_date, utc_now
from core.errors import NotFound
from core.settings import settings
from notifications.attachments import statement_file
from web.access import Db, Resident
from web.pages.page import locale_of, page

router = APIRouter(prefix="/household/statement")
_Month = Annotated[str, Path(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$")]
HomeId = Annotated[int | None, Query(ge=1, lt=1 << 63)]


def _homes(session: Session, person_id: int) -> list[Home]:
    return [one.home for one in list_standings(session, person_id)]


def _chosen(homes: list[Home], home: int | None) -> Home | None:
    """Return the home that is asked for, or the first; None: there is none (Raises NotFound)."""
    if home is None:
        return homes[0] if homes else None
    chosen = next((one for one in homes if one.id == home), None)
    if chosen is None:
        raise NotFound("there is no such home")
    return chosen


@router.get("")
def show_statements(request: Request, db: Db, caller: Resident, home: HomeId = None) -> Response:
    homes = _homes(db, caller.id)
    household = _chosen(homes, home)
    today = billing_date(utc_now())
    home_id = household.id or 0 if household else 0
    months = months_of(db, home_id, person_id=caller.id, today=today) if household else []
    return page(request, "statements.html", months=months, homes=homes, chosen=household)


@router.get("/{month}.pdf")
def download(
    request: Request, month: _Month, db: Db, caller: Resident, home: HomeId = None
) -> Response:
    """Give a month that is over; of the running one nobody knows how it ends."""
    household = _chosen(_homes(db, caller.id), home)
    wanted = date.fromisoformat(f"{month}-01")
    if household is None or wanted >= billing_date(utc_now()).replace(day=1):
        raise NotFound("there is no statement of this month")
    paper = statement_file(
        db, household.id or 0, wanted, locale_of(request), person_id=caller.id,
        public_url=settings().public_url,
    )  # fmt: skip
    return Response(
        paper.content,
        media_type=paper.content_type,
        headers={"Content-Disposition": f'inline; filename="{paper.file_name}"'},
    )
