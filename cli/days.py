"""``citybill day close`` and ``citybill day show``: a business day of the books."""

import getpass
import os
from dataclasses import asdict
from datetime import date
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from billing.days import DayView, close_day, close_through, show_day
from core.clock import utc_now
from core.db import transaction
from core.money import format_yuan


def close(day: date, *, with_earlier: bool) -> DayView:
    """Close a day in the name of whoever runs the command; a closed day is left as it is."""
    if with_earlier:
        with Console(stderr=True).status("closing …") as shown:
            close_through(
                day, closed_by=_clerk(), now=utc_now(),
                progress=lambda closed: shown.update(f"closed {closed} …"),
            )  # fmt: skip
    with transaction() as session:
        close_day(session, day, closed_by=_clerk(), now=utc_now())
        return show_day(session, day)


def show(day: date) -> DayView:
    """Look at a day, closed or open."""
    with transaction() as session:
        return show_day(session, day)


def _clerk() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have a number only
        return f"user {os.getuid()}"


def as_object(view: DayView) -> dict[str, Any]:
    """Return a day as the object of ``--json``."""
    return asdict(view) | {
        "day": view.day.isoformat(),
        "closed_at": view.closed_at.isoformat() if view.closed_at else None,
        "accounts": [account._asdict() for account in view.accounts],
    }


def print_view(view: DayView) -> None:
    """Print a day for people."""
    console = Console()
    facts = Table(show_header=False, box=None)
    facts.add_row("day", str(view.day))
    if view.closed_at is None:
        facts.add_row("state", "open: these figures are not sealed")
    else:
        facts.add_row("closed", f"{view.closed_at.isoformat()} by {escape(view.closed_by or '')}")
        facts.add_row("seal", view.seal)
        facts.add_row("day before", view.before or "none: the books begin here")
    facts.add_row("transfers", f"{view.transfers:,}")
    facts.add_row("moved", format_yuan(view.amount_fen))
    console.print(facts)
    accounts = Table("account", box=None)
    for heading in ("debits", "credits", "balance"):
        accounts.add_column(heading, justify="right")
    for one in view.accounts:
        amounts = (one.debit_fen, one.credit_fen, one.balance_fen)
        if any(amounts):
            accounts.add_row(escape(one.code), *map(format_yuan, amounts))
    if accounts.row_count:
        console.print(accounts)
