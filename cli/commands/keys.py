"""``citybill keys``: what companies and agents sign their requests with."""

from typing import Annotated

import typer
from rich.console import Console

from cli import company_keys
from cli.connect import connected
from cli.output import Json, say_json, told

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="What companies sign their requests with."
)


@app.command(name="issue")
def keys_issue_command(
    code: Annotated[str, typer.Argument(metavar="CODE", help="The company: water, power …")],
    agent: Annotated[
        bool, typer.Option("--agent", help="CODE is of an agent that takes cash for us.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a key for a company or agent, two may be live; its secret is shown this once."""
    with connected():
        issued = company_keys.issue_to_agent(code) if agent else company_keys.issue(code)
    if as_json:
        say_json(issued._asdict())
        return
    Console().print(f"key     {issued.id}\nsecret  {issued.secret}", highlight=False)


@app.command(name="list")
def keys_list_command(
    code: Annotated[str | None, typer.Argument(metavar="CODE", help="Of one company.")] = None,
    as_json: Json = False,
) -> None:
    """List companies' keys, the newest first, with when they were last used."""
    with connected():
        rows = company_keys.listed(code)
    if as_json:
        say_json({"keys": rows})
    else:
        company_keys.print_list(rows)


@app.command(name="revoke")
def keys_revoke_command(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id, as `list` shows it.")],
) -> None:
    """Make a key worthless from this moment."""
    with connected():
        revoked = company_keys.revoke(key)
    told.print(f"{revoked.id} of {revoked.provider_code} is revoked")
