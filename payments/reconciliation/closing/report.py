"""A day's report: what came in, what is matched, what differs and what is owed, at one moment.

Sums come from the ledger's rollup and from indexes that hold the day, so a report costs the same
however many days there are. ``day_report_pdf`` sets it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from billing.documents.typesetting import Term
from billing.ledger.days import DayAccount, DayView, show_day
from core.clock import billing_date
from payments.gateways import gateway_label
from payments.gateways.base import Gateway
from payments.reconciliation import standing
from payments.reconciliation.closing import closing
from payments.reconciliation.closing.checklist import Check, checklist
from payments.reconciliation.closing.whose import Namer, namer
from payments.reconciliation.models import BreakKind, Leg
from payments.reconciliation.repair import workbench
from payments.reconciliation.standing import Matched
from payments.takings import DayTaken, days_taken
from providers.registry import PROVIDERS

TREND_DAYS = 14
DIFFERENCES_SHOWN = 40


class GatewayLine(NamedTuple):
    """A gateway's day; ``unsettled_fen`` is what it had not paid out that evening."""

    name: Term
    payments: int
    amount_fen: int
    matched: Matched | None
    fee_fen: int
    unsettled_fen: int


class CompanyLine(NamedTuple):
    """A company's day in the books; ``owed_fen`` is what we owed it that evening."""

    name: str
    name_en: str
    billed_fen: int
    settled_fen: int  # paid, covered by credits, or taken back by the company
    confirmed_fen: int
    paid_out_fen: int  # to the company, or back to payers at its cost
    owed_fen: int


class Difference(NamedTuple):
    """A difference of the day that is still open."""

    leg: Leg
    source: str
    kind: BreakKind
    reference: str
    ours_fen: int | None
    theirs_fen: int | None
    age_days: int
    owner: str | None


class RemittanceLine(NamedTuple):
    """A remittance the day is in."""

    number: str
    company: str
    company_en: str
    from_on: date
    to_on: date
    net_fen: int
    state: str


class Back(NamedTuple):
    """Money on its way back: what came to it, what was sent, what was left that evening."""

    came_fen: int
    sent_fen: int
    left_fen: int
    suspended_fen: int
    disputed_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DayReport:
    """All of it. Of a closed day ``checks`` are what was open when it was closed."""

    day: date
    made_at: datetime
    view: DayView
    despite: str | None
    checks: tuple[Check, ...]
    checks_in_all: int
    trend: tuple[DayTaken, ...]  # the last is the day
    gateways: tuple[GatewayLine, ...]
    companies: tuple[CompanyLine, ...]
    matched: tuple[Matched, ...]
    counted: tuple[workbench.Counted, ...]  # open now, of all days
    differences: tuple[Difference, ...]
    differences_in_all: int
    whose: Namer
    back: Back
    remittances: tuple[RemittanceLine, ...]

    @property
    def taken(self) -> DayTaken:
        return self.trend[-1]

    @property
    def before(self) -> DayTaken:
        return self.trend[-2]


def day_report(
    session: Session, day: date, *, gateways: Mapping[str, Gateway], now: datetime
) -> DayReport:
    """Return a day's report; of a day that is open as it stands."""
    view = show_day(session, day)
    kept = closing.closing_of(session, day)
    checks = checklist(session, day, gateways=gateways, now=now) if view.closed_at is None else ()
    trend = tuple(days_taken(session, day, days=TREND_DAYS))
    matched = tuple(standing.matched_on(session, day))
    accounts = {one.code: one for one in view.accounts}
    differences, in_all = _differences(session, day, now)
    return DayReport(
        day=day,
        made_at=now,
        view=view,
        despite=kept.despite if kept else None,
        checks=kept.open if kept else tuple(one for one in checks if not one.done),
        checks_in_all=len(checks),
        trend=trend,
        gateways=_gateways(session, trend[-1], matched, accounts, gateways),
        companies=_companies(accounts),
        matched=matched,
        counted=tuple(workbench.count_open(session, workbench.Filter(), now=now)),
        differences=differences,
        differences_in_all=in_all,
        whose=namer(session, gateways),
        back=_back(accounts),
        remittances=_remittances(session, day),
    )


_NOTHING = DayAccount("", 0, 0, 0)


def _gateways(
    session: Session,
    taken: DayTaken,
    matched: tuple[Matched, ...],
    accounts: Mapping[str, DayAccount],
    gateways: Mapping[str, Gateway],
) -> tuple[GatewayLine, ...]:
    """Return the gateways that took money, have a file, or owe some; the most money first."""
    sums = {one.gateway: one for one in taken.by_gateway}
    runs = {one.source: one for one in matched if one.leg is Leg.GATEWAY}
    owing = {code.partition(":")[2]: one for code, one in accounts.items()
             if code.startswith("gateway:") and one.balance_fen}  # fmt: skip
    fees = session.execute(
        text("SELECT source, fee_total_fen FROM reconciliation WHERE day = :day"),
        {"day": taken.day},
    )
    fees_fen = {row.source: row.fee_total_fen for row in fees}
    lines = []
    for code in sums.keys() | runs.keys() | owing.keys():
        own = sums.get(code)
        lines.append(
            GatewayLine(
                Term(*gateway_label(gateways, code)), own.payments if own else 0,
                own.amount_fen if own else 0, runs.get(code), fees_fen.get(code, 0),
                owing.get(code, _NOTHING).balance_fen,
            )
        )  # fmt: skip
    return tuple(sorted(lines, key=lambda one: (-one.amount_fen, one.name)))


def _companies(accounts: Mapping[str, DayAccount]) -> tuple[CompanyLine, ...]:
    """Return the companies that have anything in the books, by name."""
    codes = {code.partition(":")[2] for code in accounts
             if code.startswith(("receivable:", "payable:"))}  # fmt: skip
    lines = []
    for code in codes:
        receivable = accounts.get(f"receivable:{code}", _NOTHING)
        payable = accounts.get(f"payable:{code}", _NOTHING)
        lines.append(
            CompanyLine(
                *_names(code),
                receivable.debit_fen, receivable.credit_fen, payable.credit_fen,
                payable.debit_fen, -payable.balance_fen,
            )
        )  # fmt: skip
    return tuple(sorted(lines))


def _names(code: str) -> tuple[str, str]:
    """Return a company's name in Chinese and in English, or its code if nobody knows it."""
    company = PROVIDERS.get(code)
    return (company.name, company.name_en) if company else (code, code)


def _back(accounts: Mapping[str, DayAccount]) -> Back:
    returns = accounts.get("returns", _NOTHING)
    suspended_fen = sum(
        one.balance_fen for code, one in accounts.items() if code.startswith("suspense:")
    )
    return Back(
        returns.credit_fen, returns.debit_fen, -returns.balance_fen, -suspended_fen,
        accounts.get("chargebacks", _NOTHING).balance_fen,
    )  # fmt: skip


_DIFFERENCES = text("""
    SELECT b.leg, b.source, b.kind, b.reference, b.ours_fen, b.theirs_fen, b.found_at,
           p.name AS owner, count(*) OVER () AS in_all
    FROM reconciliation_break b LEFT JOIN person p ON p.id = b.owner_id
    WHERE b.state = 'open' AND b.day = :day ORDER BY b.due_at, b.id LIMIT :limit
""")


def _differences(
    session: Session, day: date, now: datetime
) -> tuple[tuple[Difference, ...], int]:  # fmt: skip
    rows = session.execute(_DIFFERENCES, {"day": day, "limit": DIFFERENCES_SHOWN}).all()
    found = tuple(
        Difference(
            Leg(row.leg), row.source, BreakKind(row.kind), row.reference, row.ours_fen,
            row.theirs_fen, (billing_date(now) - billing_date(row.found_at)).days, row.owner,
        )
        for row in rows
    )  # fmt: skip
    return found, rows[0].in_all if rows else 0


_REMITTANCES = text("""
    SELECT number, provider_code, from_on, to_on, net_fen, state FROM remittance
    WHERE to_on >= :day AND to_on < :until AND from_on <= :day ORDER BY number
""")
_LONGEST = timedelta(days=92)


def _remittances(session: Session, day: date) -> tuple[RemittanceLine, ...]:
    rows = session.execute(_REMITTANCES, {"day": day, "until": day + _LONGEST})
    return tuple(
        RemittanceLine(
            row.number,
            *_names(row.provider_code),
            row.from_on, row.to_on, row.net_fen, row.state,
        )
        for row in rows
    )  # fmt: skip
