"""``citybill demo``: a city to try things on."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli import demo
from cli.connect import connected, data_dir
from cli.output import Json, say_json
from core.clock import utc_now

app = typer.Typer(no_args_is_help=True, add_completion=False, help="A city to try things on.")


@app.command(name="seed")
def seed_command(
    households: Annotated[int, typer.Option(min=2)] = 60,
    months: Annotated[int, typer.Option(min=2, max=24)] = 13,
    memory: Annotated[
        Path | None, typer.Option(help="The simulator's: its companies learn what was paid.")
    ] = None,
) -> None:
    """Make a demo city: households, their bills of some months, people who can sign in."""
    there = memory or demo.far_side(data_dir())
    with connected():
        demo.seed(households=households, months=months, memory=there, now=utc_now())


@app.command(name="people")
def people_command(as_json: Json = False) -> None:
    """Add the demo's people and an API key for each company, without any bills."""
    with connected():
        keys, _ = demo.add_people(now=utc_now())
    if as_json:
        say_json(keys)
        return
    for code, key in keys.items():
        Console().print(f"{code:<10}{key}", highlight=False)
