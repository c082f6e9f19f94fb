"""What commands share: where words go, the one JSON object, a day as people write it."""

import json
import sys
from datetime import date
from typing import Annotated, Any

import typer
from rich.console import Console

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
told = Console(stderr=True)


def say_json(value: dict[str, Any]) -> None:
    """Print the one JSON object of ``--json``."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")


def the_day(text: str) -> date:
    """Read a day.

    Raises:
        typer.BadParameter: it is none.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day: write 2026-11-20") from None
