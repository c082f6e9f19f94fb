"""``citybill reconcile``: a gateway's or a company's file on this machine."""

from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console
from rich.table import Table

from cli.connect import connected
from cli.output import Json, say_json, the_day
from core.clock import utc_now
from core.db import transaction
from core.settings import settings
from payments.gateways import gateway_named, load_gateways
from payments.reconciliation import company, matching
from payments.reconciliation.breaks import list_breaks
from payments.reconciliation.models import Leg, ReconciliationBreak

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
    for one in breaks:
        Console().print(
            f"  {one.kind}  {one.reference}  ours {one.ours_fen}  theirs {one.theirs_fen}"
        )


def _reconcile(
    stream: BinaryIO, source: str, day: date, file_name: str
) -> tuple[matching.ReconciliationResult | company.CompanyResult, list[ReconciliationBreak]]:
    with transaction() as session:
        if source in company.companies_with_lists():
            return company.reconcile_company(
                session, source, stream, day=day, file_name=file_name, now=utc_now()
            ), list_breaks(session, source, day, leg=Leg.COMPANY)
        # Only now: what a running city is set to is known once we are connected to it.
        gateway = gateway_named(load_gateways(settings()), source)
        return matching.reconcile(
            session, gateway, stream, day=day, file_name=file_name, now=utc_now()
        ), list_breaks(session, source, day)
