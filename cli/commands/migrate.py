"""``citybill migrate``."""

import typer

from cli.connect import connected
from cli.output import told

app = typer.Typer(add_completion=False)


@app.command(name="migrate")
def migrate_command() -> None:
    """Bring the database to the newest schema."""
    with connected():
        told.print("the database has the newest schema")
