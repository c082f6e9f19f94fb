"""The command line. Names and exit codes are fixed, because scripts depend on them.

0 done · 1 the input was refused, nothing changed · 2 misuse. With ``--json`` one object goes to
standard output and nothing else; progress and complaints go to standard error.

A command is loaded when it is called: a night of files is many short commands.
"""

import gc
import sys
from pkgutil import resolve_name
from typing import Any, Final, NoReturn

import typer
from pydantic import ValidationError
from rich.markup import escape
from sqlalchemy.exc import OperationalError
from typer.core import TyperGroup

from cli.output import told
from core.errors import CityBillError

COMMANDS: Final = {
    "serve": "cli.commands.serve:app",
    "import": "cli.commands.import_file:app",
    "profile": "cli.commands.profile:app",
    "reconcile": "cli.commands.reconcile:app",
    "day": "cli.commands.day:app",
    "ledger": "cli.commands.ledger:app",
    "documents": "cli.commands.documents:app",
    "terms": "cli.commands.terms:app",
    "keys": "cli.commands.keys:app",
    "people": "cli.commands.people:app",
    "sftp": "cli.sftp:app",
    "ask": "cli.commands.ask:app",
    "demo": "cli.commands.demo:app",
    "migrate": "cli.commands.migrate:app",
    "doctor": "cli.commands.doctor:app",
}


class Commands(TyperGroup):
    """Finds a command in its module when it is called for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        command = typer.main.get_command(_loaded(place))
        command.name = cmd_name
        return command


def _loaded(place: str) -> Any:
    """Import a command; collecting garbage between modules takes a quarter of the time it takes."""
    gc.disable()
    try:
        found = resolve_name(place)
        gc.freeze()
    finally:
        gc.enable()
    return found


app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


@app.callback()
def citybill() -> None:
    """A city's utility bills in one place."""


def run() -> None:
    """Run the command line; an error of ours is a line and an exit code, never a trace."""
    try:
        app()
    except CityBillError as refused:
        _stop("refused", str(refused), code=1)
    except OperationalError as away:
        _stop("the database cannot be reached", str(away.orig).splitlines()[0], code=1)
    except ValidationError as wrong:
        told_of = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'settings'}: {one['msg']}"
            for one in wrong.errors()
        )
        _stop("the configuration is wrong", told_of, code=2)


def _stop(what: str, why: str, *, code: int) -> NoReturn:
    told.print(f"[bold red]{what}[/] {escape(why)}", highlight=False, soft_wrap=True)
    sys.exit(code)
