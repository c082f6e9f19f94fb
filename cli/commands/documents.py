"""``citybill documents``: bills or household statements of a month as volumes to print."""

import re
from datetime import date
from typing import Annotated

import typer
from rich.console import Console

from billing.documents.batches import BatchKind, BatchState
from cli import documents
from cli.connect import connected
from cli.output import Json, say_json, told
from providers.registry import get_provider

app = typer.Typer(add_completion=False)


@app.command(name="documents")
def documents_command(
    company: Annotated[
        str | None, typer.Option(help="Whose bills, with --month: water, power …")
    ] = None,
    statements: Annotated[
        bool, typer.Option("--statements", help="Every household's statement, with --month.")
    ] = False,
    month: Annotated[str | None, typer.Option(help="Of which month: 2026-10.")] = None,
    file: Annotated[
        int | None, typer.Option(min=1, help="Only the bills that came in this file, by its No.")
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="List what was made.")] = False,
    cancel: Annotated[
        int | None, typer.Option(metavar="ID", min=1, help="Call these papers off.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Have a month's papers made by the bulk workers, and wait for them.

    Interrupted, it waits no more; the papers are made all the same. --cancel calls them off.
    """
    making = bool(company and not list_all) or statements
    if [making, list_all, cancel is not None].count(True) != 1 or (company and statements):
        raise typer.BadParameter("choose one: --company, --statements, --list or --cancel ID")
    if making != (month is not None):
        raise typer.BadParameter("--month belongs to --company and --statements: write 2026-10")
    if file is not None and (statements or not making):
        raise typer.BadParameter("--file belongs to --company: only bills come in files")
    code = None if company is None else get_provider(company).code
    if month is not None:
        kind = BatchKind.STATEMENTS if statements else BatchKind.BILLS
        _make(kind, code, _the_month(month), file, as_json=as_json)
    elif cancel is not None:
        with connected():
            _say([documents.cancel(cancel)], as_json=as_json)
    else:
        with connected():
            found = documents.listed(code)
        if as_json:
            say_json({"batches": [documents.as_object(one) for one in found]})
        else:
            Console().print(documents.table_of(found))


def _the_month(typed: str) -> date:
    if re.fullmatch(r"20[0-9]{2}-(0[1-9]|1[0-2])", typed) is None:
        raise typer.BadParameter(f"{typed!r} is not a month: write 2026-10")
    return date.fromisoformat(f"{typed}-01")


def _make(
    kind: BatchKind, code: str | None, month: date, file: int | None, *, as_json: bool
) -> None:
    with connected():
        batch_id = documents.order(kind, code, month, file=file)
        told.print(f"papers No. {batch_id} are ordered", highlight=False)
        papers = documents.follow(batch_id, quiet=as_json)
    _say([papers], as_json=as_json)
    if papers.state is BatchState.DONE and not as_json:
        told.print(f"in {papers.folder}", highlight=False)


def _say(found: list[documents.Papers], *, as_json: bool) -> None:
    if as_json:
        say_json(documents.as_object(found[0]))
    else:
        Console().print(documents.table_of(found))
