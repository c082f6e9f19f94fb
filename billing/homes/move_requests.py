"""What residents who move ask of a company, as the company sees and answers it."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import NamedTuple

from sqlmodel import Session, col, select
from sqlmodel.sql.expression import Select

from billing.homes.models import Asked, HouseMove, MoveRequest
from billing.models import UtilityAccount
from core.errors import Invalid, NotFound


class CompanyRequest(NamedTuple):
    """A request as its company sees it; where to reach who moved is empty once it is forgotten."""

    id: int
    asks: Asked
    leaves_on: date
    new_address: str
    phone: str
    account_no: str
    address: str
    asked_at: datetime
    answer: str
    answered_at: datetime | None


def list_for_company(
    session: Session,
    provider_code: str,
    *,
    after: int | None = None,
    waiting: bool = False,
    limit: int = 50,
) -> list[CompanyRequest]:
    """Return what a company is asked for moves that are not called off, the newest first.

    Args:
        after: the id of the last one of the page before.
        waiting: only what has no answer.
    """
    found = _asked(provider_code, waiting=waiting).limit(limit)
    if after is not None:
        found = found.where(col(MoveRequest.id) < after)
    return [_request(*row) for row in session.exec(found)]


def every_request(
    session: Session, provider_code: str, *, waiting: bool
) -> Iterator[CompanyRequest]:
    """Yield all of them in the same order."""
    found = _asked(provider_code, waiting=waiting).execution_options(yield_per=1_000)
    for row in session.exec(found):
        yield _request(*row)


def _asked(provider_code: str, *, waiting: bool) -> Select[MoveRequest, HouseMove, UtilityAccount]:
    found = (
        select(MoveRequest, HouseMove, UtilityAccount)
        .join(HouseMove, col(HouseMove.id) == col(MoveRequest.move_id))
        .outerjoin(UtilityAccount, col(UtilityAccount.id) == col(MoveRequest.account_id))
        .where(MoveRequest.provider_code == provider_code, col(HouseMove.cancelled_at).is_(None))
        .order_by(col(MoveRequest.id).desc())
    )
    if waiting:
        found = found.where(col(MoveRequest.answered_at).is_(None))
    return found


def _request(one: MoveRequest, move: HouseMove, account: UtilityAccount | None) -> CompanyRequest:
    new_address = move.new_address if move.phone else ""  # both are forgotten together
    return CompanyRequest(
        one.id or 0, one.asks, move.leaves_on, new_address, move.phone,
        account.account_no if account else "", account.address if account else "",
        one.asked_at, one.answer, one.answered_at,
    )  # fmt: skip


def answer(
    session: Session, provider_code: str, request_id: int, words: str, *, by: int, now: datetime
) -> None:
    """Keep what a company says to a request; again, the newer words stand.

    Raises:
        NotFound: no request to this company, or one that was called off.
        Invalid: too many words.
    """
    one = session.exec(
        select(MoveRequest).where(MoveRequest.id == request_id).with_for_update()
    ).one_or_none()
    move = session.get(HouseMove, one.move_id) if one else None
    if one is None or move is None or one.provider_code != provider_code or move.cancelled_at:
        raise NotFound("there is no such request")
    if len(words.strip()) > 500:
        raise Invalid("at most 500 characters", code="move.answer")
    one.answer, one.answered_at, one.answered_by = words.strip(), now, by
    session.flush()
