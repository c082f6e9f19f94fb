"""``citybill day``: a business day of the books."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli import days
from cli.connect import connected
from cli.output import Json, say_json, the_day, told

app = typer.Typer(no_args_is_help=True, add_completion=False, help="A business day of the books.")
Day = Annotated[str, typer.Argument(metavar="DAY", help="A Shanghai day, as 2026-11-20.")]


@app.command(name="close")
def day_close_command(
    day: Day,
    with_earlier: Annotated[
        bool, typer.Option(help="Close the earlier days that are open as well, in their order.")
    ] = False,
    despite: Annotated[
        str,
        typer.Option(metavar="REASON", help="Why it is closed although it waits for something."),
    ] = "",
    as_json: Json = False,
) -> None:
    """Sum a day up and seal it: nothing is posted on it any more. Closing again changes nothing.

    What the day waits for is shown. Unless all of it is done, a reason is asked for, and kept.
    """
    closing = the_day(day)
    with connected():
        if told.is_terminal:
            days.print_checks(told, days.show(closing))
        days.close(closing, with_earlier=with_earlier, despite=despite)
        shown = days.show(closing)
    _say_day(shown, as_json=as_json)


@app.command(name="show")
def day_show_command(day: Day, as_json: Json = False) -> None:
    """Show a day: as it was sealed; or as it stands while it is open, and what it waits for."""
    wanted = the_day(day)
    with connected():
        shown = days.show(wanted)
    _say_day(shown, as_json=as_json)


@app.command(name="report")
def day_report_command(
    day: Day,
    out: Annotated[Path, typer.Option(dir_okay=False, help="The PDF to write.")],
    language: Annotated[Literal["zh_CN", "en"], typer.Option(help="Of its words.")] = "zh_CN",
) -> None:
    """Write a day's report as a PDF to print and sign."""
    wanted = the_day(day)
    with connected():
        size = days.report(wanted, out, locale=language)
    told.print(f"{out}: {size:,} bytes")


def _say_day(shown: days.Day, *, as_json: bool) -> None:
    if as_json:
        say_json(days.as_object(shown))
    else:
        days.print_view(shown)
