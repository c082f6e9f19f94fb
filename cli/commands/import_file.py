"""``citybill import``: a bill file on this machine."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from billing.files.bill_files import iter_rejects
from billing.files.importing import ImportResult
from billing.models import BillFileReject
from cli import importing
from cli.connect import connected
from cli.output import Json, say_json
from core.clock import utc_now
from core.db import transaction
from core.settings import settings

app = typer.Typer(add_completion=False)
REJECTS_SHOWN = 10


@app.command(name="import")
def import_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    provider: Annotated[str, typer.Option(help="Whose file it is: water, power …")],
    as_json: Json = False,
) -> None:
    """Import a bill file into the ledger; the same file again changes nothing."""
    with connected():
        result = importing.import_path(file, provider, now=utc_now(), quiet=as_json)
        with transaction() as session:
            rejects = list(iter_rejects(session, result.bill_file_id, limit=REJECTS_SHOWN))
    if as_json:
        say_json(asdict(result) | {"seconds": json.loads(result.seconds)})
        return
    table = Table(show_header=False, box=None)
    for name, value in asdict(result).items():
        table.add_row(name, f"{value:,}" if isinstance(value, int) else value)
    Console().print(table)
    if rejects:
        _say_rejects(rejects, result)


def _say_rejects(rejects: list[BillFileReject], result: ImportResult) -> None:
    """Print the first rejected rows, and where all are to be had."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"rejected, the first {len(rejects)} of {result.rejected:,}:")
    for one in rejects:
        where = f"line {one.line_no}" + (f", {one.column_name}" if one.column_name else "")
        console.print(f"  {where}: {one.reason}")
    url = f"{settings().public_url}/console/bill-files/{result.bill_file_id}"
    console.print(f"all of them: {url}/rejects.csv")
