"""The demo city: its households' bills come in as files, through the same door as anybody's."""

import json
import subprocess
import sys
import tempfile
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from sqlalchemy import text
from sqlmodel import Session, col, func, select

from billing.bills import list_bills, parse_ref
from billing.days import close_through
from billing.households import (
    bind_accounts,
    create_household,
    find_household,
    visible_accounts,
)
from billing.terms import list_terms, put_first_terms
from billing.views import BillView
from cli.importing import import_path
from core.clock import BILLING_ZONE, add_months, billing_date
from core.db import transaction
from identity.keys import issue_key
from identity.models import Person, Role
from identity.people import add_person
from payments.checkout import create_payment
from payments.gateways.base import GatewayReply, GatewayStatus
from payments.models import list_items
from payments.quotes import Wanted
from payments.settlement import book_reply
from payments.write_offs import book
from providers.base import WriteOffOutcome, WriteOffReply
from providers.registry import provider_codes

SIGN_INS = (
    ("resident", "19900000001"),
    ("resident, second household", "19900000002"),
    ("staff", "staff@citybill.example"),
    ("staff, for what takes two", "staff2@citybill.example"),
)
STAFF = (("陈晓", "staff@citybill.example"), ("林岚", "staff2@citybill.example"))
COUNTER = "counter"  # the bills of earlier months were paid over a counter
TERMS = Path(__file__).parent / "demo_terms"  # a TOML for each of the demo's companies
YEARS_BACK = 3  # the terms stand from before the first bill
_console = Console(stderr=True, highlight=False)


def keys_file(folder: Path) -> Path:
    """Return where the demo companies' API keys are kept."""
    return folder / "demo-api-keys.json"


def seed_once(folder: Path, *, now: datetime) -> None:
    """Seed a city unless there is one, and keep its companies' API keys in a file."""
    with transaction() as session:
        there = session.exec(select(func.count(col(Person.id)))).one()
    if there:
        return
    keys = seed(households=60, months=13, now=now)
    path = keys_file(folder)
    path.touch(mode=0o600)
    path.write_text(json.dumps(keys, indent=2) + "\n")


def seed(*, households: int, months: int, now: datetime) -> dict[str, str]:
    """Fill the database with a demo city; returns an API key for each company.

    Files that were imported before change nothing, people who are there stay.
    """
    today = billing_date(now)
    span = [add_months(today, -back) for back in range(months, 0, -1)]
    with transaction() as session:  # bills come in under their companies' terms
        _put_terms(session, _add_staff(session, now=now), now=now)
    with tempfile.TemporaryDirectory() as folder:
        _simulate(
            "files", "--households", str(households), "--out", folder,
            "--months", ",".join(f"{month:%Y-%m}" for month in span), "--fresh-on", str(today),
        )  # fmt: skip
        for path in sorted(Path(folder).iterdir()):
            result = import_path(path, path.name.partition("-")[0])
            _console.print(f"  {path.name:<24}{result.created:>7,} bills")
    keys, residents = add_people(now=now)
    for person_id in residents:
        _pay_earlier_bills(person_id, now=now)
    with transaction() as session:  # the past is no news: nobody is sent a year of receipts
        session.execute(
            text("UPDATE outbox_event SET relayed_at = :now WHERE relayed_at IS NULL"), {"now": now}
        )
    # Yesterday is left for the staff to close.
    closed = close_through(today - timedelta(days=2), closed_by="demo", now=now)
    _console.print(f"  {closed:,} days closed and sealed")
    return keys


def _simulate(*arguments: str) -> str:
    """Run the simulator, which we talk to but never import."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "simulator", *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    return done.stdout


def add_people(*, now: datetime) -> tuple[dict[str, str], list[int]]:
    """Add residents with their households, two of the staff, companies' terms and API keys.

    Whoever is there stays; accounts that have been billed since are bound to their household.

    Returns:
        The keys by company, shown this once, and the residents' ids.
    """
    with transaction() as session:
        residents = _add_residents(session, now=now)
        _put_terms(session, _add_staff(session, now=now), now=now)
        return {code: issue_key(session, code, now=now) for code in provider_codes()}, residents


def _add_staff(session: Session, *, now: datetime) -> tuple[int, int]:
    """Add two people of the staff: money and terms take a second one."""
    first, second = (
        add_person(session, role=Role.STAFF, name=name, contact=contact, now=now).id
        for name, contact in STAFF
    )
    assert first is not None
    assert second is not None
    return first, second


def _put_terms(session: Session, people: tuple[int, int], *, now: datetime) -> None:
    """Give each of the demo's companies its terms, unless it has some."""
    today = billing_date(now)
    for path in sorted(TERMS.glob("*.toml")):
        if not list_terms(session, path.stem):
            put_first_terms(
                session, path.stem, path.read_text(encoding="utf-8"), proposed_by=people[0],
                approved_by=people[1], effective_on=add_months(today, -12 * YEARS_BACK), now=now,
            )  # fmt: skip


def _add_residents(session: Session, *, now: datetime) -> list[int]:
    residents = []
    for number, contact in ((1, "19900000001"), (2, "19900000002")):
        home: dict[str, Any] = json.loads(_simulate("household", str(number)))
        person = add_person(
            session, role=Role.RESIDENT, name=home["holder"], contact=contact,
            email=f"resident{number}@citybill.example", now=now,
        )  # fmt: skip
        assert person.id is not None
        household = find_household(session, person.id) or create_household(
            session, name=f"{home['holder']}的家", owner_id=person.id, now=now
        )
        assert household.id is not None
        bind_accounts(session, household.id, list(home["accounts"].items()), now=now)
        residents.append(person.id)
    return residents


def _pay_earlier_bills(person_id: int, *, now: datetime) -> None:
    """Settle all but each account's newest bill, on a day before it was due, company included."""
    today = billing_date(now)
    with transaction() as session:
        shown = list_bills(session, visible_accounts(session, person_id), today=today)
    newest: dict[int, date] = {}
    for bill in shown:
        account_id = bill.account.account_id
        newest[account_id] = max(newest.get(account_id, bill.billing_month), bill.billing_month)
    for bill in sorted(shown, key=lambda one: one.due_on):
        if bill.state.payable and bill.billing_month < newest[bill.account.account_id]:
            _pay_over_the_counter(person_id, bill)


def _pay_over_the_counter(person_id: int, bill: BillView) -> None:
    paid_on = bill.due_on - timedelta(days=3)
    at = datetime.combine(paid_on, time(10, 30), tzinfo=BILLING_ZONE)
    with transaction() as session:
        payment = create_payment(
            session, payer_id=person_id, wanted=[Wanted(parse_ref(bill.ref), bill.open_fen)],
            gateway=COUNTER, return_url="", idempotency_key=f"demo:{bill.ref}", now=at,
        )  # fmt: skip
        paid = GatewayReply(
            status=GatewayStatus.PAID, gateway_ref=f"C{payment.order_no}",
            amount_fen=payment.amount_fen, paid_at=at,
        )  # fmt: skip
        book_reply(session, payment.id, paid, now=at)
        accepted = WriteOffReply(
            outcome=WriteOffOutcome.ACCEPTED, utility_ref=f"D{payment.order_no}"
        )
        for item in list_items(session, payment.id):
            book(session, item.write_off_no, accepted, now=at)
