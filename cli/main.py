"""The command line. Names and exit codes are fixed, because scripts depend on them.

0 done · 1 the input was refused, nothing changed · 2 misuse. With ``--json`` one object goes to
standard output and nothing else; progress and complaints go to standard error.
"""

import json
import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import OperationalError

from billing.days import DayView
from cli import days, demo, doctor, importing, profiles, serve, terms
from cli.connect import connected
from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError
from core.settings import settings
from payments import reconciliation
from payments.gateways import gateway_named, load_gateways
from payments.verification import verify

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
ledger_app = typer.Typer(no_args_is_help=True, help="The books.")
demo_app = typer.Typer(no_args_is_help=True, help="A city to try things on.")
day_app = typer.Typer(no_args_is_help=True, help="A business day of the books.")
profile_app = typer.Typer(no_args_is_help=True, help="A company's file, described.")
app.add_typer(ledger_app, name="ledger")
app.add_typer(day_app, name="day")
app.add_typer(demo_app, name="demo")
app.add_typer(profile_app, name="profile")
terms_app = typer.Typer(no_args_is_help=True, help="What a company decides about its bills.")
app.add_typer(terms_app, name="terms")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
told = Console(stderr=True)


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


def say_json(value: dict[str, Any]) -> None:
    """Print the one JSON object of ``--json``."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")


@app.command(name="serve")
def serve_command(
    demo_city: Annotated[bool, typer.Option("--demo", help="With a simulated city.")] = False,
    port: Annotated[int | None, typer.Option(help="The web's port.", min=1, max=65533)] = None,
) -> None:
    """Run web, worker and scheduler, and the embedded servers where none are configured."""
    serve.serve(demo_city=demo_city, port=port)


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


@app.command(name="reconcile")
def reconcile_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    source: Annotated[str, typer.Option(help="Whose file it is: sandbox …")],
    day: Annotated[str, typer.Option(help="The day it is of, as 2026-11-20.")],
    as_json: Json = False,
) -> None:
    """Match a gateway's settlement file against our payments and the ledger."""
    gateway = gateway_named(load_gateways(settings()), source)
    with connected(), file.open("rb") as stream, transaction() as session:
        result = reconciliation.reconcile(
            session, gateway, stream, day=_day(day), file_name=file.name, now=utc_now()
        )
        breaks = reconciliation.list_breaks(session, source, _day(day))
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


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day: write 2026-11-20") from None


@ledger_app.command(name="verify")
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
            Console().print(f"{mark} {check.name}", highlight=False)
            if not check.ok:
                Console().print(
                    f"      {check.violations} violations, the first: {escape(check.detail)}"
                )
    raise typer.Exit(0 if holds else 1)


Day = Annotated[str, typer.Argument(metavar="DAY", help="A Shanghai day, as 2026-11-20.")]


@day_app.command(name="close")
def day_close_command(
    day: Day,
    with_earlier: Annotated[
        bool, typer.Option(help="Close the earlier days that are open as well, in their order.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Sum a day up and seal it: nothing is posted on it any more. Closing again changes nothing."""
    closing = _day(day)
    with connected():
        view = days.close(closing, with_earlier=with_earlier)
    _say_day(view, as_json=as_json)


@day_app.command(name="show")
def day_show_command(day: Day, as_json: Json = False) -> None:
    """Show a day: as it was sealed, or as it stands while it is open."""
    wanted = _day(day)
    with connected():
        view = days.show(wanted)
    _say_day(view, as_json=as_json)


def _say_day(view: DayView, *, as_json: bool) -> None:
    if as_json:
        say_json(days.as_object(view))
    else:
        days.print_view(view)


@profile_app.command(name="check")
def profile_check_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    profile: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The TOML.")],
    rows: Annotated[int, typer.Option(help="How many rows to show.")] = 5,
) -> None:
    """Show the first rows as they would land, and every complaint; nothing is imported."""
    raise typer.Exit(0 if profiles.check(file, profile, rows=rows) else 1)


@terms_app.command(name="check")
def terms_check_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
) -> None:
    """Read a company's terms and say what they decide; nothing is proposed."""
    terms.check(file)


@demo_app.command(name="seed")
def seed_command(
    households: Annotated[int, typer.Option(min=2)] = 60,
    months: Annotated[int, typer.Option(min=2, max=24)] = 13,
) -> None:
    """Make a demo city: households, their bills of some months, people who can sign in."""
    with connected():
        demo.seed(households=households, months=months, now=utc_now())


@demo_app.command(name="people")
def people_command(as_json: Json = False) -> None:
    """Add the demo's people and an API key for each company, without any bills."""
    with connected():
        keys, _ = demo.add_people(now=utc_now())
    if as_json:
        say_json(keys)
        return
    for code, key in keys.items():
        Console().print(f"{code:<10}{key}", highlight=False)


@app.command(name="migrate")
def migrate_command() -> None:
    """Bring the database to the newest schema."""
    with connected():
        told.print("the database has the newest schema")


@app.command(name="doctor")
def doctor_command() -> None:
    """Say what is configured, reachable and behind; exits 1 when something is wrong."""
    with connected():
        raise typer.Exit(0 if doctor.examine() else 1)
