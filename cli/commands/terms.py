"""``citybill terms``: what a company decides about its bills."""

from pathlib import Path
from typing import Annotated

import typer

from cli import terms

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="What a company decides about its bills."
)


@app.callback()
def group() -> None:
    """What a company decides about its bills."""


@app.command(name="check")
def terms_check_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
) -> None:
    """Read a company's terms and say what they decide; nothing is proposed."""
    terms.check(file)
