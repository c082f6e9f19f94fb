"""``citybill doctor``."""

import typer

from cli import doctor
from cli.connect import connected

app = typer.Typer(add_completion=False)


@app.command(name="doctor")
def doctor_command() -> None:
    """Say what is configured, reachable and behind; exits 1 when something is wrong."""
    with connected():
        raise typer.Exit(0 if doctor.examine() else 1)
