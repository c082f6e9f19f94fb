"""``citybill day``: a business day of the books, with what it waits for before it is closed."""

import getpass
import os
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from billing.ledger.days import DayView, show_day
from core.clock import utc_now
from core.db import transaction
from core.money import format_yuan
from core.settings import settings
from payments.gateways import load_gateways
from payments.reconciliation.closing import closing
from payments.reconciliation.closing.checklist import Check, State, Weight, checklist
from payments.reconciliation.closing.report import day_report
from payments.reconciliation.closing.report_pdf import day_report_pdf
from payments.reconciliation.closing.whose import Namer, namer

_STATES = {
    State.DONE: "[green]done[/]",
    State.WAITING: "[bold yellow]waits[/]",
    State.PROBLEM: "[bold red]to do[/]",
}
_WEIGHTS = {
    Weight.BLOCKS: "keeps it open",
    Weight.ASKS: "a reason is asked for",
    Weight.TELLS: "is only told",
}


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the books; of a closed one ``checks`` are those that were not done then."""

    view: DayView
    checks: tuple[Check, ...]
    despite: str | None
    whose: Namer


def close(day: date, *, with_earlier: bool, despite: str) -> None:
    """Close a day in the name of whoever runs the command; a closed day is left as it is.

    Raises:
        Conflict: as ``closing.close``.
    """
    gateways, now = load_gateways(settings()), utc_now()
    if with_earlier:
        with Console(stderr=True).status("closing …") as shown:
            closing.close_all(
                day, gateways=gateways, closed_by=_clerk(), despite=despite, now=now,
                progress=lambda closed: shown.update(f"closed {closed} …"),
            )  # fmt: skip
    with transaction() as session:
        closing.close(session, day, gateways=gateways, closed_by=_clerk(), despite=despite, now=now)


def show(day: date) -> Day:
    """Look at a day, closed or open."""
    with transaction() as session:
        view, gateways = show_day(session, day), load_gateways(settings())
        whose = namer(session, gateways)
        if view.closed_at is None:
            checks = checklist(session, day, gateways=gateways, now=utc_now())
            return Day(view, checks, None, whose)
        kept = closing.closing_of(session, day)
    return Day(view, kept.open if kept else (), kept.despite if kept else None, whose)


def report(day: date, out: Path, *, locale: str) -> int:
    """Write a day's report to a file; returns its size in bytes."""
    with transaction() as session:
        facts = day_report(session, day, gateways=load_gateways(settings()), now=utc_now())
    content = day_report_pdf(facts, locale=locale)
    out.write_bytes(content)
    return len(content)


def _clerk() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have a number only
        return f"user {os.getuid()}"


def as_object(shown: Day) -> dict[str, Any]:
    """Return a day as the object of ``--json``."""
    view = shown.view
    return asdict(view) | {
        "day": view.day.isoformat(),
        "closed_at": view.closed_at.isoformat() if view.closed_at else None,
        "accounts": [account._asdict() for account in view.accounts],
        "despite": shown.despite,
        "checks": [one._asdict() | {"weight": one.weight} for one in shown.checks],
    }


def print_view(shown: Day) -> None:
    """Print a day for people."""
    console, view = Console(), shown.view
    facts = Table(show_header=False, box=None)
    facts.add_row("day", str(view.day))
    if view.closed_at is None:
        facts.add_row("state", "open: these figures are not sealed")
    else:
        facts.add_row("closed", f"{view.closed_at.isoformat()} by {escape(view.closed_by or '')}")
        if shown.despite:
            facts.add_row("despite", escape(shown.despite))
        facts.add_row("seal", view.seal)
        facts.add_row("day before", view.before or "none: the books begin here")
    facts.add_row("transfers", f"{view.transfers:,}")
    facts.add_row("moved", format_yuan(view.amount_fen))
    console.print(facts)
    print_checks(console, shown)
    _print_accounts(console, view)


def print_checks(console: Console, shown: Day) -> None:
    """Print a day's checklist, in words; ``as_object`` has the codes."""
    if not shown.checks:
        return
    table = Table("", "check", "open", "to close", "what to do", box=None)
    for one in shown.checks:
        whose = f" {', '.join(shown.whose(code).en for code in one.who)}" if one.who else ""
        count = f"{one.how_many:,}{whose}" if one.how_many else ""
        closing = "" if one.done else _WEIGHTS[one.weight]
        table.add_row(_STATES[one.state], one.title, escape(count), closing, escape(one.remedy))
    console.print(table)


def _print_accounts(console: Console, view: DayView) -> None:
    accounts = Table("account", box=None)
    for heading in ("debits", "credits", "balance"):
        accounts.add_column(heading, justify="right")
    for one in view.accounts:
        amounts = (one.debit_fen, one.credit_fen, one.balance_fen)
        if any(amounts):
            accounts.add_row(escape(one.code), *map(format_yuan, amounts))
    if accounts.row_count:
        console.print(accounts)
