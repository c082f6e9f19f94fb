"""``citybill profile``: a company's file, described."""

from pathlib import Path
from typing import Annotated

import typer

from cli import profiles
from cli.connect import add_companies, data_dir, read_note
from cli.output import Json, say_json, told
from providers.proposing.proposal import Company

app = typer.Typer(no_args_is_help=True, add_completion=False, help="A company's file, described.")
Rows = Annotated[int, typer.Option(help="How many rows to show.", min=1, max=200)]


@app.command(name="check")
def profile_check_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    profile: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The TOML.")],
    rows: Rows = 5,
    as_json: Json = False,
) -> None:
    """Show the first rows as they would land, and every complaint; nothing is imported."""
    trial = profiles.check(file, profile, rows=rows)
    if as_json:
        say_json(profiles.as_object(trial))
    else:
        profiles.print_trial(trial)
    raise typer.Exit(0 if trial.is_clean else 1)


@app.command(name="propose")
def profile_propose_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    code: Annotated[str, typer.Option(help="How this system will call the company.")] = "",
    name: Annotated[str, typer.Option(help="Its name as residents know it.")] = "",
    name_en: Annotated[str, typer.Option(help="The same in English.")] = "",
    trade: Annotated[str, typer.Option("--service", help="water, power, gas or telecom.")] = "",
    phone: Annotated[str, typer.Option(help="Customer service.")] = "",
    biller_no: Annotated[str, typer.Option(help="4 digits, nobody else's.")] = "",
    out: Annotated[Path | None, typer.Option(help="Write the TOML there.")] = None,
    rows: Rows = 5,
    as_json: Json = False,
) -> None:
    """Propose a profile from a sample file, with a reason beside each guess; nothing is applied."""
    company = Company(code, name, name_en, trade, phone, biller_no)
    proposal, trial = profiles.proposed(file, company, out=out, rows=rows)
    if as_json:
        say_json(profiles.proposal_object(proposal, trial))
    else:
        profiles.print_proposal(proposal, trial, out)


@app.command(name="install")
def profile_install_command(
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", exists=True, dir_okay=False)],
    replace: Annotated[bool, typer.Option(help="Put it in the place of an older one.")] = False,
) -> None:
    """Put a profile into CITYBILL_PROFILES_DIR; it counts after web and workers were restarted."""
    read_note(data_dir())
    add_companies()
    told.print(f"{profiles.install(file, replace=replace)} is in place")
    told.print("restart web, workers and the SFTP server (`citybill serve`): they read it at start")
