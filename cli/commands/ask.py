"""``citybill ask``: what a company says at this moment."""

from typing import Annotated

import typer

from cli import asking
from cli.connect import add_companies, data_dir, read_note
from cli.output import Json, say_json
from core.settings import settings

app = typer.Typer(add_completion=False)


@app.command(name="ask")
def ask_command(
    provider: Annotated[str, typer.Argument(metavar="CODE", help="The company: water, power …")],
    account_no: Annotated[str, typer.Argument(help="The account number (户号).")],
    as_json: Json = False,
) -> None:
    """Ask a company what is open on an account now; exits 1 when it is down. Nothing is kept."""
    read_note(data_dir())
    add_companies()
    told_now = asking.ask(settings(), provider, account_no)
    if as_json:
        say_json(told_now)
    else:
        asking.show(told_now)
    raise typer.Exit(1 if told_now["answer"] == "down" else 0)
