"""``citybill reconcile``: a gateway's or a company's file on this machine."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from cli.connect import connected
from cli.output import Json, say_json, the_day, told
from core.clock import utc_now
from core.db import transaction
from core.money import format_yuan
from core.progress import listening
from core.settings import settings
from payments.gateways import gateway_named, load_gateways
from payments.reconciliation.breaks import list_breaks
from payments.reconciliation.closing.report_words import KINDS
from payments.reconciliation.company import lists as company
from payments.reconciliation.gateway import matching
from payments.reconciliation.intake.models import CameBy
from payments.reconciliation.intake.receiving import Given, Way
from payments.reconciliation.intake.work import BankResult, take_now
from payments.reconciliation.models import BreakState, Leg, ReconciliationBreak

BREAK_STATES = {
    BreakState.OPEN: "to explain", BreakState.EXPLAINED: "explained",
    BreakState.RESOLVED: "resolved",
}  # fmt: skip
app = typer.Typer(add_completion=False)


@app.command(name="reconcile")
def reconcile_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    source: Annotated[str, typer.Option(help="Whose file it is: sandbox …, or a company: water …")],
    day: Annotated[str, typer.Option(help="The day it is of, as 2026-11-20.")],
    as_json: Json = False,
) -> None:
    """Match what a gateway or a company says of a day against our payments."""
    with connected(), file.open("rb") as stream:
        result, breaks = _reconcile(stream, source, the_day(day), file.name)
    shown = asdict(result) | {"balanced": result.balanced}
    if as_json:
        found = [one.model_dump(mode="json", exclude={"source", "day"}) for one in breaks]
        say_json(shown | {"breaks": found})
        return
    table = Table(show_header=False, box=None)
    for name, value in shown.items():
        table.add_row(name, f"{value:,}" if type(value) is int else str(value))
    Console().print(table)
    if breaks:
        Console().print(_differences(breaks))


def _differences(breaks: list[ReconciliationBreak]) -> Table:
    """Return them in words; ``--json`` has the codes."""
    table = Table("difference", "state", "reference", box=None)
    for heading in ("ours", "theirs"):
        table.add_column(heading, justify="right")
    for one in breaks:
        sums = (
            "none" if fen is None else format_yuan(fen) for fen in (one.ours_fen, one.theirs_fen)
        )
        table.add_row(KINDS[one.kind].en, BREAK_STATES[one.state], escape(one.reference), *sums)
    return table


@contextmanager
def _bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far the file is, on a terminal; matching itself takes as long again."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=told, disable=not told.is_terminal, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _reconcile(
    stream: BinaryIO, source: str, day: date, file_name: str
) -> tuple[matching.ReconciliationResult | company.CompanyResult, list[ReconciliationBreak]]:
    leg, gateways = Leg.COMPANY, {}
    if source not in company.companies_with_lists():
        # Only now: what a running city is set to is known once we are connected to it.
        leg, gateways = Leg.GATEWAY, load_gateways(settings())
        gateway_named(gateways, source)
    with _bar(file_name) as note, listening(note):
        result = take_now(
            stream, Given(leg, source, day), Way(CameBy.COMMAND), gateways, file_name=file_name,
            now=utc_now(),
        )  # fmt: skip
    assert not isinstance(result, BankResult)
    with transaction() as session:
        return result, list_breaks(session, source, day, leg=leg)
