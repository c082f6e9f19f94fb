"""``citybill ledger``: the books."""

import typer
from rich.console import Console
from rich.markup import escape

from cli.connect import connected
from cli.output import Json, say_json
from core.db import transaction
from payments.verification import verify

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The books.")


@app.callback()
def group() -> None:
    """The books."""


@app.command(name="verify")
def verify_command(as_json: Json = False) -> None:
    """Recompute every invariant; exits 1 when one does not hold."""
    with connected(), transaction() as session:
        checks = verify(session)
    holds = all(check.ok for check in checks)
    if as_json:
        say_json({"ok": holds, "checks": [check._asdict() for check in checks]})
    else:
        for check in checks:
            mark = "[green]true [/]" if check.ok else "[bold red]FALSE[/]"
            Console().print(f"{mark} {check.name}", highlight=False, soft_wrap=True)
            if not check.ok:
                Console().print(
                    f"      {check.violations} violations, the first: {escape(check.detail)}",
                    highlight=False, soft_wrap=True,
                )  # fmt: skip
    raise typer.Exit(0 if holds else 1)
