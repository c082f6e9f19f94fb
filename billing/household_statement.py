"""How a household's month went, from the ledger alone: so the same month is always the same.

What an account owed before, what was billed, paid and covered by credits, and what it owes after:
the last is the sum of the others, because each is a sum of postings on ``receivable``.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from sqlmodel import Session, col, select

from billing.bills import ONLINE_MONTHS, BillRef
from billing.homes.households import account_view
from billing.homes.models import HouseholdAccount
from billing.homes.spans import SEEN, SEEN_BY_PERSON, seen_by
from billing.models import Household, UtilityAccount
from billing.views import AccountView
from core.clock import add_months, day_bounds, month_start
from core.db import HotStatement
from core.errors import NotFound
from core.keys import month_range

CHART_MONTHS = 12


class Figures(NamedTuple):
    """An account's month in fen; below zero, the company owes."""

    before_fen: int = 0
    billed_fen: int = 0  # late fees and corrections included
    paid_fen: int = 0  # less what came back
    credited_fen: int = 0
    bills: int = 0

    @property
    def after_fen(self) -> int:
        return self.before_fen + self.billed_fen - self.paid_fen - self.credited_fen

    @property
    def is_nothing(self) -> bool:
        return not any(self)


class Line(NamedTuple):
    """A bill that came in the month."""

    account: AccountView
    billing_month: date
    issued_on: date
    usage: Decimal | None
    usage_unit: str
    amount_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A household's month; ``usage`` is by account, a month after the other, the oldest first."""

    number: str  # by which a desk finds it
    name: str
    month: date
    accounts: tuple[tuple[AccountView, Figures], ...]
    lines: tuple[Line, ...]
    usage: tuple[tuple[AccountView, str, tuple[tuple[date, Decimal], ...]], ...]

    @property
    def total(self) -> Figures:
        return add_up([figures for _, figures in self.accounts])


def add_up(figures: Collection[Figures]) -> Figures:
    """Return the sum of several accounts' figures."""
    return Figures(*(sum(column) for column in zip(*figures, strict=True)))


# A bill is counted in the month it came in, if it stands at its end: a correction is no second one.
_FIGURES = HotStatement("""
    SELECT account_id, coalesce(sum(before_fen), 0)::bigint, coalesce(sum(billed_fen), 0)::bigint,
           -coalesce(sum(paid_fen), 0)::bigint, -coalesce(sum(credited_fen), 0)::bigint,
           count(*) FILTER (WHERE issued_fen <> 0 AND came_on >= :first_on)::int
    FROM (
        SELECT account_id, sum(fen) FILTER (WHERE posted_on < :first_on) AS before_fen,
               sum(fen) FILTER (WHERE posted_on >= :first_on AND kind = 'b') AS billed_fen,
               sum(fen) FILTER (WHERE posted_on >= :first_on AND kind = 'p') AS paid_fen,
               sum(fen) FILTER (WHERE posted_on >= :first_on AND kind = 'c') AS credited_fen,
               sum(fen) FILTER (WHERE entry_key LIKE 'issued.%'
                                   OR entry_key LIKE 'reversed.%') AS issued_fen,
               min(posted_on) FILTER (WHERE entry_key LIKE 'issued.%') AS came_on
        FROM (
            SELECT t.account_id, t.subject_id, t.entry_key, t.posted_on,
                   CASE WHEN t.debit_account_id = l.id THEN t.amount_fen
                        ELSE -t.amount_fen END AS fen,
                   CASE WHEN t.entry_key LIKE 'paid:%' OR t.entry_key LIKE 'unpaid:%'
                             OR t.entry_key LIKE 'owes_again:%' THEN 'p'
                        WHEN t.entry_key LIKE 'credited.%' OR t.entry_key LIKE 'spent.%' THEN 'c'
                        ELSE 'b' END AS kind
            FROM ledger_transfer t
            JOIN ledger_account l ON l.id IN (t.debit_account_id, t.credit_account_id)
                                 AND l.code LIKE 'receivable:%'
            WHERE t.account_id = ANY(:account_ids) AND t.posted_on <= :last_on
              AND (t.account_id, t.subject_id) NOT IN (
                  SELECT * FROM unnest(CAST(:hidden_accounts AS bigint[]),
                                       CAST(:hidden_bills AS bigint[])))) t
        GROUP BY account_id, subject_id) b
    GROUP BY account_id
""")
# Of who left an account, or came after somebody who did: the bills that are not theirs to see.
_HIDDEN = HotStatement(f"""
    SELECT h.household_id, b.account_id, b.id
    FROM household_account h JOIN bill b ON b.account_id = h.account_id
    WHERE h.household_id = ANY(:household_ids)
      AND (h.since_on IS NOT NULL OR h.left_on IS NOT NULL) AND NOT {SEEN}
    ORDER BY h.household_id, b.account_id, b.id
""")  # noqa: S608  our own text


def hidden_bills(session: Session, household_ids: Collection[int]) -> dict[int, list[BillRef]]:
    """Return by household the bills of its accounts that are not its to see."""
    found: dict[int, list[BillRef]] = {}
    for household_id, *ref in _HIDDEN.rows(session, {"household_ids": list(household_ids)}):
        found.setdefault(household_id, []).append((ref[0], ref[1]))
    return found


_HIDDEN_FROM = HotStatement(f"""
    SELECT m.household_id, m.person_id, b.account_id, b.id
    FROM household_member m JOIN household_account h ON h.household_id = m.household_id
    JOIN bill b ON b.account_id = h.account_id
    WHERE m.household_id = ANY(:household_ids) AND NOT m.earlier_bills AND NOT {seen_by("m")}
    ORDER BY m.household_id, m.person_id, b.account_id, b.id
""")  # noqa: S608  our own text


def hidden_from(
    session: Session, household_ids: Collection[int]
) -> dict[tuple[int, int], list[BillRef]]:
    """Return by household and person the bills a tenant is not to see, the home's own included.

    Of who sees all that their home sees there is nothing.
    """
    found: dict[tuple[int, int], list[BillRef]] = {}
    rows = _HIDDEN_FROM.rows(session, {"household_ids": list(household_ids)})
    for household_id, person_id, *ref in rows:
        found.setdefault((household_id, person_id), []).append((ref[0], ref[1]))
    return found


def _without(hidden: Collection[BillRef]) -> dict[str, list[int]]:
    return {
        "hidden_accounts": [account_id for account_id, _ in hidden],
        "hidden_bills": [bill_id for _, bill_id in hidden],
    }


def figures_of(
    session: Session, account_ids: Collection[int], month: date, *, hidden: Collection[BillRef] = ()
) -> dict[int, Figures]:
    """Return the month of each of several accounts; of one that never had a posting, nothing.

    Args:
        hidden: bills that do not count.
    """
    last_on = add_months(month, 1) - timedelta(days=1)
    values = {"account_ids": list(account_ids), "first_on": month, "last_on": last_on}
    values |= _without(hidden)
    return {
        account_id: Figures(*figures) for account_id, *figures in _FIGURES.rows(session, values)
    }


def statement_of(
    session: Session, household_id: int, month: date, *, person_id: int | None = None
) -> Statement:
    """Return how a household's month went.

    Args:
        person_id: of what this one of its people sees alone.

    Raises:
        NotFound: there is no such household, or nothing was billed, paid or owed in the month.
    """
    hidden = hidden_from(session, [household_id]).get((household_id, person_id or 0))
    if hidden is None:
        found = statements_of(session, [household_id], month)
    else:
        found = [*_together(session, [household_id], month, hidden=hidden).values()]
    if not found:
        raise NotFound("there is no statement of this month")
    return found[0]


def statements_of(session: Session, household_ids: Collection[int], month: date) -> list[Statement]:
    """Return how households' months went, in their order; of one that had none, nothing."""
    hidden = hidden_bills(session, household_ids)
    whole = [one for one in household_ids if one not in hidden]
    found = _together(session, whole, month, hidden=())
    for household_id, bills in hidden.items():
        found |= _together(session, [household_id], month, hidden=bills)
    return [found[one] for one in sorted(found)]


def _together(
    session: Session, household_ids: Collection[int], month: date, *, hidden: Collection[BillRef]
) -> dict[int, Statement]:
    """Return the statements of households from which the same bills are hidden, by household."""
    rows = session.exec(
        select(Household, UtilityAccount)
        .join(HouseholdAccount, col(HouseholdAccount.household_id) == col(Household.id))
        .join(UtilityAccount, col(UtilityAccount.id) == col(HouseholdAccount.account_id))
        .where(col(Household.id).in_(household_ids))
        .order_by(col(Household.id), col(UtilityAccount.provider_code), col(UtilityAccount.id))
    ).all()
    accounts = {account.id or 0: account_view(account) for _, account in rows}
    figures = figures_of(session, accounts, month, hidden=hidden)
    lines = _lines(session, accounts, month, hidden)
    usage = _usage(session, accounts, month, hidden)
    found: dict[int, Statement] = {}
    for household, bound in groupby(rows, key=itemgetter(0)):
        own = [account.id or 0 for _, account in bound]
        shown = [one for one in own if one in figures and not figures[one].is_nothing]
        if shown:
            found[household.id or 0] = Statement(
                number=f"S{household.id}-{month:%Y%m}", name=household.name, month=month,
                accounts=tuple((accounts[one], figures[one]) for one in shown),
                lines=tuple(line for line in lines if line.account.account_id in own),
                usage=tuple(one for one in usage if one[0].account_id in own),
            )  # fmt: skip
    return found


# As it stood when its month was over: what a company changes of a bill afterwards is of a later.
# Of a version that was replaced the day of issue is not kept; that of its posting is.
_AS_IT_STOOD = """
    LEFT JOIN LATERAL (
        SELECT true AS found, v.usage FROM bill_version v
        WHERE v.account_id = b.account_id AND v.id = b.id AND v.replaced_at >= :after_at
        ORDER BY v.version LIMIT 1) v ON true
"""
_USED = "CASE WHEN v.found THEN v.usage ELSE b.usage END"
_LINES = HotStatement(f"""
    SELECT t.account_id, b.billing_month,
           CASE WHEN b.issued_on <= :last_on THEN b.issued_on ELSE t.posted_on END,
           {_USED}, b.usage_unit, t.fen
    FROM (
        SELECT t.account_id, t.subject_id, max(t.posted_on) AS posted_on,
               sum(CASE WHEN l.id = t.debit_account_id THEN t.amount_fen
                        ELSE -t.amount_fen END)::bigint AS fen
        FROM ledger_transfer t
        JOIN ledger_account l ON l.id IN (t.debit_account_id, t.credit_account_id)
                             AND l.code LIKE 'receivable:%'
        WHERE t.account_id = ANY(:account_ids) AND t.posted_on BETWEEN :first_on AND :last_on
          AND (t.account_id, t.subject_id) NOT IN (
              SELECT * FROM unnest(CAST(:hidden_accounts AS bigint[]),
                                   CAST(:hidden_bills AS bigint[])))
          AND (t.entry_key LIKE 'issued.%' OR t.entry_key LIKE 'reversed.%')
        GROUP BY t.account_id, t.subject_id) t
    JOIN bill b ON b.account_id = t.account_id AND b.id = t.subject_id {_AS_IT_STOOD}
    WHERE t.fen <> 0
    ORDER BY t.account_id, b.billing_month, b.id
""")  # noqa: S608  our own text


def _end(month: date) -> dict[str, Any]:
    last_on = add_months(month, 1) - timedelta(days=1)
    return {"last_on": last_on, "after_at": day_bounds(last_on)[1]}


def _lines(
    session: Session, accounts: dict[int, AccountView], month: date, hidden: Collection[BillRef]
) -> tuple[Line, ...]:
    values = {"account_ids": list(accounts), "first_on": month, **_end(month), **_without(hidden)}
    rows = _LINES.rows(session, values)
    return tuple(Line(accounts[account_id], *row) for account_id, *row in rows)


_USAGE = HotStatement(f"""
    SELECT b.account_id, b.billing_month, max(b.usage_unit), sum({_USED})
    FROM bill b {_AS_IT_STOOD}
    WHERE b.account_id = ANY(:account_ids) AND b.id >= :first_id AND b.id < :after_id
      AND {_USED} IS NOT NULL AND (b.cancelled_at IS NULL OR b.cancelled_at >= :after_at)
      AND (b.issued_on <= :last_on OR v.found AND EXISTS (
          SELECT FROM ledger_transfer t
          WHERE t.account_id = b.account_id AND t.subject_id = b.id AND t.posted_on <= :last_on
            AND t.entry_key LIKE 'issued.%'))
      AND (b.account_id, b.id) NOT IN (
          SELECT * FROM unnest(CAST(:hidden_accounts AS bigint[]), CAST(:hidden_bills AS bigint[])))
    GROUP BY b.account_id, b.billing_month ORDER BY b.account_id, b.billing_month
""")  # noqa: S608  our own text


def _usage(
    session: Session, accounts: dict[int, AccountView], month: date, hidden: Collection[BillRef]
) -> tuple[tuple[AccountView, str, tuple[tuple[date, Decimal], ...]], ...]:
    values = {
        "account_ids": list(accounts),
        "first_id": month_range(add_months(month, 1 - CHART_MONTHS))[0],
        "after_id": month_range(month)[1],
        **_end(month),
        **_without(hidden),
    }
    found: dict[int, list[tuple[date, Decimal]]] = {}
    units: dict[int, str] = {}
    for account_id, billed, unit, usage in _USAGE.rows(session, values):
        found.setdefault(account_id, []).append((billed, usage))
        units[account_id] = unit
    return tuple(
        (accounts[account_id], units[account_id], tuple(points))
        for account_id, points in found.items()
    )


_MONTHS = HotStatement(f"""
    SELECT DISTINCT date_trunc('month', t.posted_on)::date
    FROM household_account h JOIN ledger_transfer t ON t.account_id = h.account_id
    JOIN bill b ON b.account_id = t.account_id AND b.id = t.subject_id AND {SEEN_BY_PERSON}
    JOIN ledger_account l ON l.id IN (t.debit_account_id, t.credit_account_id)
                         AND l.code LIKE 'receivable:%'
    WHERE h.household_id = :household_id AND t.posted_on < :before AND t.posted_on >= :since
    ORDER BY 1 DESC
""")  # noqa: S608  our own text


def months_of(
    session: Session, household_id: int, *, person_id: int | None = None, today: date
) -> list[date]:
    """Return the months of the last two years, the newest first, in which something happened.

    Args:
        person_id: to bills this one of its people sees.
    """
    before = month_start(today)
    values = {
        "household_id": household_id, "person_id": person_id, "before": before,
        "since": add_months(before, -ONLINE_MONTHS),
    }  # fmt: skip
    return [month for (month,) in _MONTHS.rows(session, values)]
