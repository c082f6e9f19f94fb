"""``citybill day``: a business day of the books."""

from typing import Annotated

import typer

from billing.days import DayView
from cli import days
from cli.connect import connected
from cli.output import Json, say_json, the_day

app = typer.Typer(no_args_is_help=True, add_completion=False, help="A business day of the books.")
Day = Annotated[str, typer.Argument(metavar="DAY", help="A Shanghai day, as 2026-11-20.")]


@app.command(name="close")
def day_close_command(
    day: Day,
    with_earlier: Annotated[
        bool, typer.Option(help="Close the earlier days that are open as well, in their order.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Sum a day up and seal it: nothing is posted on it any more. Closing again changes nothing."""
    closing = the_day(day)
    with connected():
        view = days.close(closing, with_earlier=with_earlier)
    _say_day(view, as_json=as_json)


@app.command(name="show")
def day_show_command(day: Day, as_json: Json = False) -> None:
    """Show a day: as it was sealed, or as it stands while it is open."""
    wanted = the_day(day)
    with connected():
        view = days.show(wanted)
    _say_day(view, as_json=as_json)


def _say_day(view: DayView, *, as_json: bool) -> None:
    if as_json:
        say_json(days.as_object(view))
    else:
        days.print_view(view)
