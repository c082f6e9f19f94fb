"""Finding bills among a person's own: by company, month, place, state, number or item.

Everything is asked of the bills of some accounts, by their keys: a few hundred rows however many
the city has. The newest month comes first; within a month, account by account.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session, select

from billing.bills import DUE_SOON_DAYS, ONLINE_MONTHS, BillRef, parse_ref, views
from billing.homes.spans import WITHIN, spans_of
from billing.models import Bill
from billing.rows import AnyAccount
from billing.rules.calendars import pay_by
from billing.rules.terms import Due
from billing.terms import terms_of
from billing.views import BillState, BillView
from core.clock import add_months, month_start
from core.db import HotStatement
from core.keys import month_of, month_range
from core.masking import SHOWN
from providers.registry import get_provider

PAGE: Final = 40
_FARTHEST_ROLL: Final = 31  # days between what a company prints and the last day to pay, either way
_AHEAD: Final = 13  # billing months: some are billed a year before they begin
_BY_HAND: Final = 1_000  # rows of a file read at once


class Shown(StrEnum):
    """What somebody looks for: bills by what is to be done about them."""

    TO_PAY = "to_pay"
    UNDER_WAY = "under_way"  # being paid, or paid and not yet confirmed
    SETTLED = "settled"
    CREDITS = "credits"


_S = BillState
STATES: Mapping[Shown, frozenset[BillState]] = {
    Shown.TO_PAY: frozenset({_S.OPEN, _S.DUE_SOON, _S.OVERDUE}),
    Shown.UNDER_WAY: frozenset({_S.IN_PAYMENT, _S.PAID}),
    Shown.SETTLED: frozenset(
        {_S.CONFIRMED, _S.COVERED, _S.NOTHING_DUE, _S.CANCELLED, _S.PAID_ELSEWHERE}
    ),
    Shown.CREDITS: frozenset({_S.CREDIT, _S.CREDIT_USED}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which bills; what is None or empty does not matter.

    ``words``: the end of a bill's or account's number, or part of an item's, a company's or a
    place's name. ``amount_fen``: or a bill of just this amount.
    """

    states: frozenset[BillState] = frozenset()
    provider: str | None = None
    place: str | None = None  # an account's address
    from_month: date | None = None
    to_month: date | None = None
    words: str = ""
    amount_fen: int | None = None


class MonthSum(NamedTuple):
    """What was found of one billing month: how many, what they say, and what of it is to pay."""

    month: date
    bills: int
    amount_fen: int
    open_fen: int


# The same as billing.bills.state_of; a test compares them. ``over_on`` and ``soon_on`` are the
# latest printed due dates that are overdue and due soon, by the terms of the account's company.
_STATE = """
    CASE WHEN b.paid_elsewhere_at IS NOT NULL THEN 'paid_elsewhere'
         WHEN b.cancelled_at IS NOT NULL THEN 'cancelled'
         WHEN b.amount_fen < 0 THEN CASE WHEN o.fen = 0 THEN 'credit_used' ELSE 'credit' END
         WHEN o.fen = 0 AND b.paid_fen = 0
         THEN CASE WHEN b.credited_fen <> 0 THEN 'covered' ELSE 'nothing_due' END
         WHEN o.fen = 0
         THEN CASE WHEN b.written_off_fen = b.paid_fen THEN 'confirmed' ELSE 'paid' END
         WHEN b.held_by IS NOT NULL THEN 'in_payment'
         WHEN b.due_on <= a.over_on THEN 'overdue'
         WHEN b.due_on <= a.soon_on THEN 'due_soon'
         ELSE 'open' END
"""
# A bill ``b`` of an account that is seen whole, or that one of its spans shows.
OF_SPANS: Final = f"""
    (b.account_id <> ALL (CAST(:span_ids AS bigint[])) OR EXISTS (
            SELECT FROM unnest(CAST(:span_ids AS bigint[]), CAST(:since_on AS date[]),
                               CAST(:left_on AS date[])) AS h (account_id, since_on, left_on)
            WHERE h.account_id = b.account_id AND {WITHIN}))
"""
_AMONG = f"""
    FROM unnest(CAST(:account_ids AS bigint[]), CAST(:fits AS boolean[]),
                CAST(:over_on AS date[]), CAST(:soon_on AS date[]))
         AS a (account_id, fits, over_on, soon_on)
    JOIN bill b ON b.account_id = a.account_id AND b.id >= :first_id AND b.id < :after_id
    CROSS JOIN LATERAL (SELECT b.amount_fen + b.adjusted_fen - b.paid_fen - b.credited_fen AS fen) o
    WHERE {OF_SPANS}
      AND (CAST(:states AS text[]) IS NULL OR {_STATE} = ANY(CAST(:states AS text[])))
      AND (a.fits OR right(lower(b.bill_no), length(CAST(:words AS text))) = CAST(:words AS text)
           OR b.amount_fen = CAST(:amount_fen AS bigint)
           OR EXISTS (SELECT FROM json_array_elements(b.items) i
                      WHERE position(CAST(:words AS text) IN lower(i ->> 0)) > 0))
"""  # noqa: S608  our own text
_ORDER = "b.id >> 51 DESC, b.account_id, b.id"

# ``last_id`` is 0 on the first page; then the range ends with the month of the last bill.
_PAGE = text(f"""
    SELECT b.* {_AMONG}
      AND (CAST(:last_id AS bigint) = 0 OR b.id >> 51 < CAST(:last_id AS bigint) >> 51
           OR (b.account_id, b.id) > (:last_account_id, CAST(:last_id AS bigint)))
    ORDER BY {_ORDER} LIMIT :limit
""")
_SUMS = HotStatement(f"""
    SELECT b.id >> 51, count(*),
           coalesce(sum(b.amount_fen + b.adjusted_fen) FILTER (WHERE b.cancelled_at IS NULL), 0),
           coalesce(sum(o.fen) FILTER (WHERE {_STATE} IN ('open', 'due_soon', 'overdue')), 0)
    {_AMONG} GROUP BY 1 ORDER BY 1 DESC
""")


def find_bills(
    session: Session,
    accounts: Mapping[int, AnyAccount],
    wanted: Wanted,
    *,
    today: date,
    after: BillRef | None = None,
    limit: int = PAGE,
) -> list[BillView]:
    """Return the bills of some accounts that fit, going on after ``after``."""
    among = _among(session, accounts, wanted, today=today)
    if not among["account_ids"]:
        return []
    last_account_id, last_id = after or (0, 0)
    if after is not None:
        among["after_id"] = min(among["after_id"], month_range(month_of(last_id))[1])
    values = among | {"last_account_id": last_account_id, "last_id": last_id, "limit": limit}
    found = session.scalars(select(Bill).from_statement(_PAGE), values)
    return views(session, found, accounts, today=today)


def every_bill(
    session: Session, accounts: Mapping[int, AnyAccount], wanted: Wanted, *, today: date
) -> Iterator[BillView]:
    """Yield all that ``find_bills`` finds, page by page."""
    after: BillRef | None = None
    while found := find_bills(
        session, accounts, wanted, today=today, after=after, limit=_BY_HAND
    ):  # fmt: skip
        yield from found
        after = parse_ref(found[-1].ref)
        session.expunge_all()


def sum_months(
    session: Session, accounts: Mapping[int, AnyAccount], wanted: Wanted, *, today: date
) -> list[MonthSum]:
    """Return each month's sums of all that fits, the newest first."""
    among = _among(session, accounts, wanted, today=today)
    if not among["account_ids"]:
        return []
    return [
        MonthSum(month_of(month << 51), bills, int(amount_fen), int(open_fen))
        for month, bills, amount_fen, open_fen in _SUMS.rows(session, among)
    ]


def by_month(found: Iterable[BillView]) -> list[tuple[date, list[BillView]]]:
    """Return bills under their months, in the order they are in."""
    return [(month, list(own)) for month, own in groupby(found, lambda bill: bill.billing_month)]


def months_online(today: date) -> list[date]:
    """Return the billing months whose bills are kept online, the newest first."""
    this = month_start(today)
    return [add_months(this, -back) for back in range(ONLINE_MONTHS + 1)]


def find_accounts(accounts: Mapping[int, AnyAccount], words: str) -> list[AnyAccount]:
    """Return the accounts that words fit: the end of a number, a company, a place."""
    typed = _plain(words)
    return [one for one in accounts.values() if typed and _fits(one, typed)]


def places_of(accounts: Mapping[int, AnyAccount]) -> list[tuple[int, str]]:
    """Return each address once, with the lowest account there as its name: it stands in links."""
    lowest: dict[str, int] = {}
    for account_id in sorted(accounts):
        lowest.setdefault(accounts[account_id].address, account_id)
    return sorted(((account_id, place) for place, account_id in lowest.items()), key=lambda p: p[1])


def _among(
    session: Session, accounts: Mapping[int, AnyAccount], wanted: Wanted, *, today: date
) -> dict[str, Any]:
    """Return whose bills are looked at, of which months, and as what."""
    own = [
        one for one in accounts.values()
        if wanted.provider in {None, one.provider_code} and wanted.place in {None, one.address}
    ]  # fmt: skip
    terms = terms_of(session, {one.provider_code for one in own}, today)
    soon = today + timedelta(days=DUE_SOON_DAYS)
    ends = {
        code: (latest_due(one.due, today - timedelta(days=1)), latest_due(one.due, soon))
        for code, one in terms.items()
    }
    online = add_months(month_start(today), -ONLINE_MONTHS)
    words = _plain(wanted.words)
    return span_values(accounts) | {
        "account_ids": [one.id for one in own],
        "fits": [not words or _fits(one, words) for one in own],
        "over_on": [ends[one.provider_code][0] for one in own],
        "soon_on": [ends[one.provider_code][1] for one in own],
        "first_id": month_range(max(online, wanted.from_month or online))[0],
        "after_id": month_range(wanted.to_month or add_months(month_start(today), _AHEAD))[1],
        "states": sorted(wanted.states) or None,
        "words": words,
        "amount_fen": wanted.amount_fen,
    }


def span_values(accounts: Mapping[int, AnyAccount]) -> dict[str, Any]:
    """Return what ``OF_SPANS`` asks for."""
    rows = [(one, span) for one, spans in spans_of(accounts).items() for span in spans]
    return {
        "span_ids": [account_id for account_id, _ in rows],
        "since_on": [span.since_on for _, span in rows],
        "left_on": [span.left_on for _, span in rows],
    }


def latest_due(due: Due, last_on: date) -> date:
    """Return the latest day a company may print as due so that it is to be paid by ``last_on``.

    A later due day is never payable until an earlier one, so there is one such day.
    """
    day = last_on + timedelta(days=_FARTHEST_ROLL)
    while pay_by(day, due) > last_on:
        day -= timedelta(days=1)
    return day


def _plain(words: str) -> str:
    return " ".join(words.lower().split())


def _fits(account: AnyAccount, typed: str) -> bool:
    provider = get_provider(account.provider_code)
    number = account.account_no.lower()
    # What is masked is not to be felt out digit by digit: the end that is seen, or all of it.
    if typed == number or (len(typed) <= SHOWN and number.endswith(typed)):
        return True
    names = (provider.name, provider.name_en, account.address)
    return not typed.isdecimal() and any(typed in name.lower() for name in names)
