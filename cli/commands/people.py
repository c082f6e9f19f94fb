"""``citybill people``: a city's first admin, and what takes a second one where there is none."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from sqlmodel import Session

from cli.connect import connected
from cli.output import Json, say_json, told
from core.clock import utc_now
from core.db import transaction
from core.errors import NotFound
from identity import colleagues
from identity.duties import Duty, duties_among, give_duty
from identity.people import find_person
from providers.registry import get_provider

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Who works here, and what they may do."
)
Contact = Annotated[
    str, typer.Argument(metavar="CONTACT", help="A phone number or an e-mail address.")
]
Duties = Annotated[
    list[Duty] | None, typer.Option("--duty", help="What they may do; once for each.")
]


@app.command(name="add")
def people_add_command(
    contact: Contact,
    name: Annotated[str, typer.Option("--name", help="Who it is.")],
    duty: Duties = None,
    company: Annotated[
        str | None, typer.Option("--company", help="One of a company's people: water, power …")
    ] = None,
) -> None:
    """Let somebody sign in, with codes sent to CONTACT."""
    if company is not None and duty:
        raise typer.BadParameter("only the city's own staff have duties")
    with connected(), transaction() as session:
        colleagues.invite(
            session, name=name, contact=contact, duties=duty or (), by=None, now=utc_now(),
            provider_code=None if company is None else get_provider(company).code,
        )  # fmt: skip
    told.print(f"{name} can sign in as {contact}", highlight=False)


@app.command(name="give")
def people_give_command(
    contact: Contact,
    duty: Annotated[list[Duty], typer.Argument(metavar="DUTY…", help="What they may do.")],
) -> None:
    """Give somebody of the staff duties, or answer an admin's proposal of them."""
    with connected(), transaction() as session:
        for one in duty:
            give_duty(session, _find(session, contact), one, now=utc_now())
    told.print(f"{contact}: {', '.join(duty)}", highlight=False)


@app.command(name="end")
def people_end_command(contact: Contact) -> None:
    """End somebody's access at once: sessions, codes and duties."""
    with connected(), transaction() as session:
        colleagues.end_access(session, _find(session, contact), by=None, now=utc_now())
    told.print(f"{contact} is signed out and cannot sign in any more", highlight=False)


@app.command(name="list")
def people_list_command(as_json: Json = False) -> None:
    """List who works here, by name."""
    with connected(), transaction() as session:
        people = list(colleagues.every_colleague(session, colleagues.Wanted()))
        standing = duties_among(session, [one.id for one in people if one.id is not None])
        rows = [
            {
                "name": one.name, "contact": one.contact, "company": one.provider_code,
                "duties": [row.duty for row in standing.get(one.id or 0, []) if row.given_at],
                "proposed": [row.duty for row in standing.get(one.id or 0, []) if not row.given_at],
            }
            for one in people
        ]  # fmt: skip
    if as_json:
        say_json({"people": rows})
        return
    table = Table("name", "contact", "of", "duties", "proposed", box=None)
    for row in rows:
        duties, proposed = (", ".join(row[key] or []) for key in ("duties", "proposed"))
        table.add_row(
            str(row["name"]), str(row["contact"]), str(row["company"] or "the city"), duties,
            proposed,
        )  # fmt: skip
    Console().print(table)


def _find(session: Session, contact: str) -> int:
    person = find_person(session, contact)
    if person is None or person.id is None:
        raise NotFound(
            f"nobody has the contact {contact}: `citybill people list` shows who is here"
        )
    return person.id
