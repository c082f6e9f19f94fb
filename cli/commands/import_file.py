"""``citybill import``: a bill file on this machine."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli import importing
from cli.connect import connected
from cli.output import Json, say_json
from core.clock import utc_now

app = typer.Typer(add_completion=False)


@app.command(name="import")
def import_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    provider: Annotated[str, typer.Option(help="Whose file it is: water, power …")],
    as_json: Json = False,
) -> None:
    """Import a bill file into the ledger; the same file again changes nothing."""
    with connected():
        result = importing.import_path(file, provider, now=utc_now(), quiet=as_json)
    if as_json:
        say_json(asdict(result) | {"seconds": json.loads(result.seconds)})
        return
    table = Table(show_header=False, box=None)
    for name, value in asdict(result).items():
        table.add_row(name, f"{value:,}" if isinstance(value, int) else value)
    Console().print(table)
