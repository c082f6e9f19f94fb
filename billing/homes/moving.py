"""Moving house: accounts are closed on a day, others opened, and the last bills stay in sight.

From the day on, the home that left sees no bill that begins after it (``billing.homes.spans``),
and what it knows of the account proves nothing to anybody any more (``billing.homes.challenges``):
so until that day the plan may be changed or called off, and from then on not.
"""

from collections.abc import Collection
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.bills import BillRef
from billing.homes.accounts import HomeDeed, note, own_row
from billing.homes.challenges import holder_mark
from billing.homes.households import account_view
from billing.homes.models import (
    AccountDeparture,
    Asked,
    HouseholdAccount,
    HouseMove,
    MoveRequest,
    RemovedAccount,
)
from billing.homes.people import manage
from billing.homes.spans import SEEN, Span
from billing.models import UtilityAccount
from billing.views import AccountView
from core.clock import billing_date
from core.db import HotStatement, count_changed
from core.errors import Conflict, Invalid, NotFound
from providers.registry import provider_codes

LATEST: Final = timedelta(days=180)  # a plan's day, from today
EARLIEST: Final = timedelta(days=30)  # who moved and forgot to say so
KEPT_FOR: Final = timedelta(days=90)  # an account that was left, once nothing of it is open
REACHED_FOR: Final = timedelta(days=30)  # who moved, once a move is done or called off
READ_BEFORE: Final = 3  # days before the last one, on which a meter may be read for the last bill


class Plan(NamedTuple):
    """What somebody wants: which accounts end and which companies are asked for a new one."""

    leaves_on: date
    new_address: str
    phone: str
    close: Collection[int]
    open: Collection[str] = ()


def make(
    session: Session, person_id: int, household_id: int, plan: Plan, *, secret: str, now: datetime
) -> HouseMove:
    """Plan a move and ask the companies.

    Raises:
        NotFound: no home of theirs, or an account that is not of it.
        NotAllowed: they do not manage the home.
        Invalid: a day, an address or a choice that cannot be.
        Conflict: another move of the home is under way.
    """
    manage(session, person_id, household_id)
    before = under_way(session, household_id)
    if before is not None and may_change(before, now=now):
        raise Conflict("a move of this home is planned already", code="move.under_way")
    if before is not None:
        before.done_at = now
        session.flush()
    accounts = [session.get_one(UtilityAccount, one) for one in sorted(set(plan.close))
                if own_row(session, household_id, one).left_on is None]  # fmt: skip
    codes = sorted(set(plan.open) & set(provider_codes()))
    if not accounts and not codes:
        raise Invalid("choose at least one account or company", code="move.nothing")
    move = HouseMove(
        household_id=household_id, made_by=person_id, made_at=now, leaves_on=plan.leaves_on,
        new_address="", phone="",
    )  # fmt: skip
    _write(move, plan, now=now)
    session.add(move)
    session.flush()
    for account in accounts:
        _ask(session, move, Asked.CLOSE, account.provider_code, account.id, now=now)
        note(session, HomeDeed.LEFT, household_id, account.id or 0, by=person_id, now=now)
    for code in codes:
        _ask(session, move, Asked.OPEN, code, None, now=now)
    session.flush()
    _set_day(session, move, accounts, secret=secret)
    return move


def _write(move: HouseMove, plan: Plan, *, now: datetime) -> None:
    address, phone = " ".join(plan.new_address.split()), " ".join(plan.phone.split())
    today = billing_date(now)
    if not today - EARLIEST <= plan.leaves_on <= today + LATEST:
        raise Invalid("a day of the last month or of the next half year", code="move.day")
    if not address or len(address) > 120:
        raise Invalid("say where the last bill is to go", code="move.address")
    if len(phone) > 30 or not any(sign.isdigit() for sign in phone):
        raise Invalid("say where the company can call", code="move.phone")
    move.leaves_on, move.new_address, move.phone = plan.leaves_on, address, phone


def _ask(
    session: Session,
    move: HouseMove,
    asks: Asked,
    provider_code: str,
    account_id: int | None,
    *,
    now: datetime,
) -> None:
    session.add(
        MoveRequest(
            move_id=move.id or 0, asks=asks, provider_code=provider_code, account_id=account_id,
            asked_at=now,
        )
    )  # fmt: skip


def _set_day(
    session: Session, move: HouseMove, accounts: Collection[UtilityAccount], *, secret: str
) -> None:
    """Let the home leave these accounts on the move's day, and remember who was their holder."""
    for account in accounts:
        account_id = account.id or 0
        departure = session.get(AccountDeparture, (account_id, move.household_id))
        mark = holder_mark(account.holder_name, secret=secret)
        if departure is None:
            departure = AccountDeparture(
                account_id=account_id, household_id=move.household_id, left_on=move.leaves_on,
                holder_mark=mark,
            )  # fmt: skip
        departure.left_on, departure.holder_mark = move.leaves_on, mark
        for row in _rows(session, move.household_id, account_id):
            row.left_on = move.leaves_on
            departure.since_on, departure.earlier = row.since_on, row.earlier
        session.add(departure)
    session.flush()


def _rows(
    session: Session, household_id: int, account_id: int
) -> list[HouseholdAccount | RemovedAccount]:
    """Return an account of a home, or what it would be put back as."""
    key = household_id, account_id
    found = (session.get(HouseholdAccount, key), session.get(RemovedAccount, key))
    return [row for row in found if row is not None]


def under_way(session: Session, household_id: int) -> HouseMove | None:
    """Return the move of a home that is neither called off nor done."""
    return session.exec(
        select(HouseMove).where(
            HouseMove.household_id == household_id,
            col(HouseMove.cancelled_at).is_(None),
            col(HouseMove.done_at).is_(None),
        )
    ).one_or_none()


def change(
    session: Session,
    person_id: int,
    household_id: int,
    plan: Plan,
    *,
    secret: str,
    now: datetime,
) -> HouseMove:
    """Change a plan's day, address and phone; the companies are asked anew.

    Raises:
        NotFound: no home of theirs, or no plan.
        NotAllowed: they do not manage the home.
        Invalid: a day or an address that cannot be.
        Conflict: the day has come.
    """
    move = _open_plan(session, person_id, household_id, now=now)
    _write(move, plan, now=now)
    for one in requests_of(session, move):
        one.asked_at, one.answer, one.answered_at, one.answered_by = now, "", None, None
    _set_day(session, move, _closed(session, move), secret=secret)
    return move


def cancel(session: Session, person_id: int, household_id: int, *, now: datetime) -> None:
    """Call a plan off: all is as before.

    Raises:
        NotFound: no home of theirs, or no plan.
        NotAllowed: they do not manage the home.
        Conflict: the day has come.
    """
    move = _open_plan(session, person_id, household_id, now=now)
    move.cancelled_at = now
    for account in _closed(session, move):
        account_id = account.id or 0
        for row in _rows(session, household_id, account_id):
            row.left_on = None
        _call_off(session, session.get(AccountDeparture, (account_id, household_id)))
        note(session, HomeDeed.STAYS, household_id, account_id, by=person_id, now=now)
    session.flush()


def _call_off(session: Session, departure: AccountDeparture | None) -> None:
    """Take a departure back; of who has left before, the one before stands again."""
    if departure is not None and departure.earlier:
        *departure.earlier, last = departure.earlier
        departure.since_on, left_on = Span.of_stay(last)
        assert left_on is not None  # every stay that is kept has ended
        departure.left_on = left_on
    elif departure is not None:
        session.delete(departure)


def may_change(move: HouseMove, *, now: datetime) -> bool:
    """Tell whether a plan's day is still ahead, or today."""
    return move.leaves_on >= billing_date(now)


def _open_plan(session: Session, person_id: int, household_id: int, *, now: datetime) -> HouseMove:
    manage(session, person_id, household_id)
    move = under_way(session, household_id)
    if move is None:
        raise NotFound("there is no plan to move")
    if not may_change(move, now=now):
        raise Conflict("the day has come: it cannot be changed any more", code="move.day_has_come")
    return move


def requests_of(session: Session, move: HouseMove) -> list[MoveRequest]:
    """Return what the companies are asked for a move: accounts to close first."""
    asked = select(MoveRequest).where(MoveRequest.move_id == move.id)
    return list(session.exec(asked.order_by(col(MoveRequest.asks), col(MoveRequest.id))))


def _closed(session: Session, move: HouseMove) -> list[UtilityAccount]:
    return list(
        session.exec(
            select(UtilityAccount)
            .join(MoveRequest, col(MoveRequest.account_id) == col(UtilityAccount.id))
            .where(MoveRequest.move_id == move.id)
            .order_by(col(UtilityAccount.id))
        )
    )


class Stage(StrEnum):
    """How far one thing of a move has come."""

    ASKED = "asked"
    ANSWERED = "answered"
    LAST_BILL = "last_bill"  # here, and to be paid
    PAID = "paid"


class Step(NamedTuple):
    """One thing a company was asked, and how far it is; of an account that is opened no bill."""

    asks: Asked
    provider_code: str
    account: AccountView | None
    stage: Stage
    asked_at: datetime
    answered_at: datetime | None
    answer: str
    bill: BillRef | None
    open_fen: int


_LAST_BILLS = HotStatement("""
    SELECT r.id, b.account_id, b.id,
           b.amount_fen + b.adjusted_fen - b.paid_fen - b.credited_fen
    FROM move_request r JOIN house_move m ON m.id = r.move_id
    JOIN LATERAL (
        SELECT * FROM bill
        WHERE account_id = r.account_id AND cancelled_at IS NULL AND amount_fen >= 0
          AND period_from_on <= m.leaves_on
          AND period_to_on >= m.leaves_on - CAST(:read_before AS int)
        ORDER BY id DESC LIMIT 1) b ON true
    WHERE r.move_id = :move_id
""")


def steps_of(session: Session, move: HouseMove) -> list[Step]:
    """Return how far each thing of a move has come."""
    values = {"move_id": move.id, "read_before": READ_BEFORE}
    bills = {one: ((account_id, bill_id), fen) for one, account_id, bill_id, fen
             in _LAST_BILLS.rows(session, values)}  # fmt: skip
    accounts = {account.id: account_view(account) for account in _closed(session, move)}
    steps = []
    for one in requests_of(session, move):
        ref, open_fen = bills.get(one.id or 0, (None, 0))
        stage = Stage.ANSWERED if one.answered_at else Stage.ASKED
        if ref is not None:
            stage = Stage.LAST_BILL if open_fen > 0 else Stage.PAID
        steps.append(
            Step(
                one.asks, one.provider_code, accounts.get(one.account_id), stage, one.asked_at,
                one.answered_at, one.answer, ref, open_fen,
            )
        )  # fmt: skip
    return steps


_LET_GO = text(f"""
    WITH gone AS (
        DELETE FROM household_account h
        WHERE h.left_on < :before AND NOT EXISTS (
            SELECT FROM bill b
            WHERE b.account_id = h.account_id AND {SEEN} AND b.cancelled_at IS NULL
              AND (b.held_by IS NOT NULL
                   OR b.amount_fen + b.adjusted_fen - b.paid_fen - b.credited_fen <> 0))
        RETURNING household_id, account_id
    )
    INSERT INTO home_account_deed (household_id, account_id, deed, at)
    SELECT household_id, account_id, 'gone', :now FROM gone
    RETURNING account_id
""")  # noqa: S608  our own text


def let_go(session: Session, *, now: datetime) -> list[int]:
    """Take accounts off homes that left them long ago, once nothing of them is open; return them.

    Who might still pay them by autopay is the caller's to look after.
    """
    before = billing_date(now) - KEPT_FOR
    gone = session.execute(_LET_GO, {"before": before, "now": now}).scalars().all()
    session.execute(
        text("""
            UPDATE house_move SET done_at = :now
            WHERE leaves_on < :before AND cancelled_at IS NULL AND done_at IS NULL
        """),
        {"before": before, "now": now},
    )
    return sorted(gone)


_FORGET = text("""
    UPDATE house_move SET new_address = '-', phone = ''
    WHERE coalesce(done_at, cancelled_at) < :before AND (new_address <> '-' OR phone <> '')
""")


def forget_reached(session: Session, *, now: datetime) -> int:
    """Forget where who moved was to be reached, long after the move; returns of how many moves."""
    return count_changed(session.execute(_FORGET, {"before": now - REACHED_FOR}))
