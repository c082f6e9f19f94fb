"""``citybill serve``."""

from typing import Annotated

import typer

from cli import serve

app = typer.Typer(add_completion=False)


@app.command(name="serve")
def serve_command(
    demo_city: Annotated[bool, typer.Option("--demo", help="With a simulated city.")] = False,
    port: Annotated[int | None, typer.Option(help="The web's port.", min=1, max=65528)] = None,
) -> None:
    """Run web, worker and scheduler, and the embedded servers where none are configured."""
    serve.serve(demo_city=demo_city, port=port)
