"""The accounts of a home: bound by a proof, named, taken off, and put back for a while.

Whoever manages the home decides, one act at a time: ``home_people.manage`` locks the home. An
account may be of several homes, a landlord's and a tenant's. Each act is a row of
``home_account_deed``, which nobody can change.
"""

from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sqlalchemy import text, tuple_
from sqlalchemy.dialects.postgresql import Range
from sqlmodel import Session, col, func, select

from billing.bills import ONLINE_MONTHS
from billing.cycles import expected_by, next_billed
from billing.homes.challenges import LEFT_ON, Passed
from billing.homes.households import account_view
from billing.homes.models import AccountDeparture, HomeAccountDeed, HouseholdAccount, RemovedAccount
from billing.homes.people import list_standings, manage
from billing.homes.spans import SEEN_BY_PERSON, Span
from billing.models import UtilityAccount
from billing.terms import terms_of
from billing.views import AccountView
from core.clock import add_months, billing_date
from core.db import HotStatement
from core.errors import Conflict, Invalid, NotFound
from core.keys import month_of, month_range

UNDO_FOR: Final = timedelta(minutes=30)
MOST_ACCOUNTS: Final = 60  # of one home
LONGEST_NAME: Final = 40


class HomeDeed(StrEnum):
    """What was done with an account of a home."""

    BOUND = "bound"
    REMOVED = "removed"
    RESTORED = "restored"
    LEFT = "left"  # a move was planned
    STAYS = "stays"  # and called off
    GONE = "gone"  # long after a move, by itself


def note(
    session: Session,
    deed: HomeDeed,
    household_id: int,
    account_id: int,
    *,
    by: int | None,
    now: datetime,
) -> None:
    """Write down what was done with an account of a home."""
    session.add(
        HomeAccountDeed(
            household_id=household_id, account_id=account_id, deed=deed, by=by, at=now
        )
    )  # fmt: skip


class Bound(NamedTuple):
    """An account of a home; ``new``: it was none before."""

    household_id: int
    account_id: int
    new: bool


def bind(
    session: Session, person_id: int, household_id: int, passed: Passed, *, now: datetime
) -> Bound:
    """Add the account a challenge was passed for; the same again changes nothing.

    Raises:
        NotFound: no home of theirs; or what they know is from before somebody left the account,
            which is told as a wrong answer is.
        NotAllowed: they do not manage the home.
        Conflict: the home has as many accounts as a home can have.
    """
    manage(session, person_id, household_id)
    account_id = passed.account_id
    if passed.left_on is not None:
        raise NotFound("the number and what was typed with it do not match", code="challenge.no")
    today = billing_date(now)
    row = session.get(HouseholdAccount, (household_id, account_id))
    if row is not None and (row.left_on is None or row.left_on >= today):
        return Bound(household_id, account_id, new=False)
    if row is None:
        _check_room(session, household_id)
        row = HouseholdAccount(household_id=household_id, account_id=account_id, bound_at=now)
        session.add(row)
    row.since_on, row.left_on = last_departure(session, account_id, today=today), None
    own = session.get(AccountDeparture, (account_id, household_id))
    row.earlier = stays_of(own) if own else []
    if own is not None and own.left_on >= today:  # taken off and added anew: the plan stands
        row.left_on, row.earlier = own.left_on, own.earlier
    row.bound_at, row.bound_by = now, person_id
    removed = session.get(RemovedAccount, (household_id, account_id))
    if removed is not None:
        session.delete(removed)
    note(session, HomeDeed.BOUND, household_id, account_id, by=person_id, now=now)
    session.flush()
    return Bound(household_id, account_id, new=True)


def _check_room(session: Session, household_id: int) -> None:
    held = select(func.count()).where(HouseholdAccount.household_id == household_id)
    if session.exec(held.select_from(HouseholdAccount)).one() >= MOST_ACCOUNTS:
        raise Conflict(
            f"a home has {MOST_ACCOUNTS} accounts at most: make another home", code="home.full"
        )


def stays_of(departure: AccountDeparture) -> list[Range[date]]:
    """Return all stays of a home that left an account, the last one last."""
    return [*departure.earlier, *Span(departure.since_on, departure.left_on).stay()]


_LAST_DEPARTURE = HotStatement(f"""
    SELECT max({LEFT_ON}) FROM account_departure WHERE account_id = :account_id
""")  # noqa: S608  our own text


def last_departure(session: Session, account_id: int, *, today: date) -> date | None:
    """Return the last day of whoever left an account last, if anybody has."""
    rows = _LAST_DEPARTURE.rows(session, {"account_id": account_id, "today": today})
    left_on: date | None = rows[0][0]
    return left_on


def rename(session: Session, person_id: int, household_id: int, account_id: int, name: str) -> None:
    """Call an account by a name of the home's own; by none, if there is nothing in it.

    Raises:
        NotFound: no home of theirs, or no account of it.
        NotAllowed: they do not manage the home.
        Invalid: more than forty characters.
    """
    manage(session, person_id, household_id)
    plain = " ".join(name.split())
    if len(plain) > LONGEST_NAME or not plain.isprintable():
        raise Invalid("a name has forty characters at most", code="account.name")
    own_row(session, household_id, account_id).name = plain or None
    session.flush()


def own_row(session: Session, household_id: int, account_id: int) -> HouseholdAccount:
    """Return an account of a home (Raises NotFound)."""
    row = session.get(HouseholdAccount, (household_id, account_id))
    if row is None:
        raise NotFound("there is no such account in this home")
    return row


def remove(
    session: Session, person_id: int, household_id: int, account_id: int, *, now: datetime
) -> None:
    """Take an account off a home; for a while it can be put back. What it owes stays owed.

    Raises:
        NotFound: no home of theirs, or no account of it.
        NotAllowed: they do not manage the home.
    """
    manage(session, person_id, household_id)
    row = own_row(session, household_id, account_id)
    session.merge(
        RemovedAccount(**_kept(row), removed_at=now, removed_by=person_id)
    )  # one from long ago makes way
    session.delete(row)
    note(session, HomeDeed.REMOVED, household_id, account_id, by=person_id, now=now)
    session.flush()


def _kept(row: HouseholdAccount | RemovedAccount) -> dict[str, Any]:
    return {name: getattr(row, name) for name in HouseholdAccount.model_fields}


def restore(
    session: Session, person_id: int, household_id: int, account_id: int, *, now: datetime
) -> None:
    """Put an account back as it was; there already, it stays as it is.

    Raises:
        NotFound: no home of theirs, or no account that was taken off it.
        NotAllowed: they do not manage the home.
        Conflict: it was taken off too long ago: it takes the proof again.
    """
    manage(session, person_id, household_id)
    if session.get(HouseholdAccount, (household_id, account_id)) is not None:
        return
    removed = session.get(RemovedAccount, (household_id, account_id))
    if removed is None:
        raise NotFound("there is no such account in this home")
    if removed.removed_at <= now - UNDO_FOR:
        raise Conflict("too long ago: please add it again", code="account.undo_over")
    session.add(HouseholdAccount(**_kept(removed)))
    session.delete(removed)
    note(session, HomeDeed.RESTORED, household_id, account_id, by=person_id, now=now)
    session.flush()


def forget_removed(session: Session, *, now: datetime) -> None:
    """Forget accounts that cannot be put back any more."""
    session.execute(
        text("DELETE FROM removed_account WHERE removed_at < :before"),
        {"before": now - timedelta(days=1)},
    )


class Removed(NamedTuple):
    """An account that can still be put back."""

    household_id: int
    household_name: str
    account: AccountView
    name: str


def list_removed(session: Session, person_id: int, *, now: datetime) -> list[Removed]:
    """Return what somebody can still put back, the last one first."""
    homes = {one.home.id: one.home for one in list_standings(session, person_id) if one.manages}
    found = session.exec(
        select(RemovedAccount, UtilityAccount)
        .join(UtilityAccount, col(UtilityAccount.id) == col(RemovedAccount.account_id))
        .where(col(RemovedAccount.household_id).in_(homes))
        .where(col(RemovedAccount.removed_at) > now - UNDO_FOR)
        .order_by(
            col(RemovedAccount.removed_at).desc(), col(RemovedAccount.household_id),
            col(RemovedAccount.account_id),
        )
    )  # fmt: skip
    return [
        Removed(row.household_id, homes[row.household_id].name, account_view(account),
                row.name or "")
        for row, account in found
    ]  # fmt: skip


class Standing(NamedTuple):
    """What stands open of an account's bills that a home sees."""

    open_count: int
    open_fen: int
    in_payment: int


_OPEN = "b.amount_fen + b.adjusted_fen - b.paid_fen - b.credited_fen"
_STANDING = HotStatement(f"""
    SELECT h.account_id, count(*) FILTER (WHERE b.held_by IS NULL),
           coalesce(sum({_OPEN}) FILTER (WHERE b.held_by IS NULL), 0)::bigint,
           count(*) FILTER (WHERE b.held_by IS NOT NULL)
    FROM household_account h JOIN bill b ON b.account_id = h.account_id AND {SEEN_BY_PERSON}
    WHERE h.household_id = :household_id AND b.cancelled_at IS NULL AND {_OPEN} > 0
    GROUP BY h.account_id
""")  # noqa: S608  our own text


def standings_of(
    session: Session, household_id: int, *, person_id: int | None = None
) -> dict[int, Standing]:
    """Return what is open by account of a home; of one that owes nothing, nothing.

    Args:
        person_id: of what this one of its people sees alone.
    """
    values = {"household_id": household_id, "person_id": person_id}
    rows = _STANDING.rows(session, values)
    return {account_id: Standing(*figures) for account_id, *figures in rows}


class HomeAccount(NamedTuple):
    """An account of a home as its page shows it; ``manages``: this person may change it."""

    household_id: int
    household_name: str
    manages: bool
    account: AccountView
    name: str
    bound_on: date
    since_on: date | None
    left_on: date | None
    last_month: date | None  # of the newest bill
    next_month: date | None  # the next one that is billed; of one that was left, none
    next_by_on: date | None  # the last day on which its bill may come

    def is_left(self, today: date) -> bool:
        return self.left_on is not None and self.left_on < today


_NEWEST = HotStatement("""
    SELECT a.id, (SELECT max(b.id) FROM bill b WHERE b.account_id = a.id AND b.id >= :first_id)
    FROM unnest(CAST(:account_ids AS bigint[])) AS a (id)
""")


class Which(NamedTuple):
    """Which of somebody's accounts; what is None does not matter."""

    household_id: int | None = None
    provider: str | None = None
    after: tuple[int, int] | None = None  # the home and the account of the last one before
    limit: int | None = None


ALL: Final = Which()


def list_accounts(
    session: Session, person_id: int, which: Which = ALL, *, now: datetime
) -> list[HomeAccount]:
    """Return the accounts of all homes somebody belongs to: home by home, company by company."""
    homes = {one.home.id: one for one in list_standings(session, person_id)}
    wanted = [one for one in homes if which.household_id in (None, one)]
    place = (
        col(HouseholdAccount.household_id), col(UtilityAccount.provider_code),
        col(UtilityAccount.id),
    )  # fmt: skip
    listing = (
        select(HouseholdAccount, UtilityAccount)
        .join(UtilityAccount, col(UtilityAccount.id) == col(HouseholdAccount.account_id))
        .where(col(HouseholdAccount.household_id).in_(wanted))
        .order_by(*place)
        .limit(which.limit)
    )
    if which.provider is not None:
        listing = listing.where(UtilityAccount.provider_code == which.provider)
    if which.after is not None:
        home_id, account_id = which.after
        code = select(UtilityAccount.provider_code).where(UtilityAccount.id == account_id)
        before = tuple_(home_id, code.scalar_subquery(), account_id)
        listing = listing.where(tuple_(*place) > before)
    found = session.exec(listing).all()
    today = billing_date(now)
    cycles = terms_of(session, {account.provider_code for _, account in found}, today)
    newest = _newest_months(session, [row.account_id for row, _ in found], today)
    listed = []
    for row, account in found:
        home, last = homes[row.household_id], newest.get(row.account_id)
        cycle = cycles[account.provider_code].cycle
        month = next_billed(cycle, last) if last and row.left_on is None else None
        listed.append(
            HomeAccount(
                row.household_id, home.home.name, home.manages, account_view(account),
                row.name or "", billing_date(row.bound_at), row.since_on, row.left_on, last,
                month, expected_by(cycle, month) if month else None,
            )
        )  # fmt: skip
    return listed


def _newest_months(session: Session, account_ids: list[int], today: date) -> dict[int, date]:
    first_id = month_range(add_months(today, -ONLINE_MONTHS))[0]
    rows = _NEWEST.rows(session, {"account_ids": account_ids, "first_id": first_id})
    return {account_id: month_of(bill_id) for account_id, bill_id in rows if bill_id is not None}


def find_account(
    session: Session, person_id: int, household_id: int, account_id: int, *, now: datetime
) -> HomeAccount:
    """Return one of them (Raises NotFound)."""
    for one in list_accounts(session, person_id, now=now):
        if (one.household_id, one.account.account_id) == (household_id, account_id):
            return one
    raise NotFound("there is no such account in this home")
