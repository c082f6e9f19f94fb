"""The demo city: its households' bills come in as files, through the same door as anybody's."""

import json
import tempfile
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from sqlalchemy import text
from sqlmodel import Session, col, func, select

from billing.bills import list_bills
from billing.credits import consume_file
from billing.homes.households import (
    bind_accounts,
    create_household,
    find_household,
    visible_accounts,
)
from billing.late_fees import assess
from billing.ledger.books import last_closed
from billing.terms import list_terms, put_first_terms
from billing.views import BillView
from cli.demo_bank import bring_statements
from cli.demo_homes import share_homes
from cli.demo_news import tell_of_today
from cli.demo_papers import send_papers
from cli.demo_past import pay_in_cash, reconcile_cash, simulate, write_off
from cli.demo_remittances import close_and_remit
from cli.importing import import_path
from core.clock import BILLING_ZONE, add_months, billing_date
from core.db import transaction
from identity.duties import Duty, give_duty
from identity.keys import issue_key
from identity.models import Person, Role
from identity.people import add_person
from providers.registry import provider_codes

COMPANIES = {"water": "沈清", "power": "韩电", "gas": "方燃", "telecom": "孟信"}  # and their people
SIGN_INS = (
    ("resident", "19900000001"),
    ("resident, second household", "19900000002"),
    ("staff", "staff@citybill.example"),
    ("staff, for what takes two", "staff2@citybill.example"),
    ("second admin", "admin@citybill.example"),
    *((f"{code} company", f"{code}-ops@citybill.example") for code in COMPANIES),
)
STAFF = (
    ("陈晓", "staff@citybill.example", (*Duty,)),
    ("林岚", "staff2@citybill.example", (Duty.SERVICE, Duty.FINANCE, Duty.SETUP)),
    ("吴宁", "admin@citybill.example", (Duty.ADMIN,)),
)
TERMS = Path(__file__).parent / "demo_terms"  # a TOML for each of the demo's companies
YEARS_BACK = 3  # the terms stand from before the first bill
MONTHS_BEFORE = 12  # so that a year can be held against the one before, and a forecast drawn
_FORGOTTEN_DAYS = 8  # since the shop last left a payment out of its file
_DAY = timedelta(days=1)
_console = Console(stderr=True, highlight=False)


def keys_file(folder: Path) -> Path:
    """Return where the demo companies' API keys are kept."""
    return folder / "demo-api-keys.json"


def far_side(folder: Path) -> Path:
    """Return where the simulator keeps what it knows."""
    return folder / "simulator"


def seed_once(folder: Path, *, now: datetime) -> None:
    """Seed a city unless there is one, and keep its companies' API keys in a file."""
    with transaction() as session:
        there = session.exec(select(func.count(col(Person.id)))).one()
    if there:
        return
    keys = seed(
        households=60, months=13, months_before=MONTHS_BEFORE, memory=far_side(folder), now=now
    )  # fmt: skip
    share_homes(SIGN_INS[0][1], SIGN_INS[1][1], now=now)
    tell_of_today(now=now)
    path = keys_file(folder)
    path.touch(mode=0o600)
    path.write_text(json.dumps(keys, indent=2) + "\n")


def seed(
    *, households: int, months: int, memory: Path, now: datetime, months_before: int = 0
) -> dict[str, str]:
    """Fill the database with a demo city; returns an API key for each company.

    Everything is posted on the day it happened: bills the day after they were issued, payments
    before they were due, late fees as they came up. Files that were imported before change nothing,
    people who are there stay.

    Args:
        months_before: before these, of the first home alone: the city began with ``months``, and
            its companies brought along what that home had been billed until then.
        memory: the far side's; its companies are told there what was paid.
    """
    today = billing_date(now)
    span = [add_months(today, -back) for back in range(months, 0, -1)]
    earlier = [add_months(span[0], -back) for back in range(months_before, 0, -1)]
    began_on = add_months(span[0], 1) if earlier else date.min
    with transaction() as session:  # bills come in under their companies' terms
        clerks = _add_staff(session, now=now)
        _put_terms(session, clerks, now=now)
        closed_on = last_closed(session)
    past = _Past(now, max(closed_on + _DAY, began_on) if closed_on else began_on)
    landed = _import_files(past, households=1, span=earlier) if earlier else []
    landed += _import_files(
        past, "--extras", "--fresh-on", str(today), households=households, span=span
    )  # fmt: skip
    keys, residents = add_people(now=now)
    _pay_the_past(past, residents, memory)
    send_papers(residents, now=now)
    bring_statements(today, past.at)
    for bill_file_id, at in landed:  # a credit finds what was paid by then
        consume_file(bill_file_id, now=at)
    _assess_late_fees(past, span)
    with transaction() as session:  # the past is no news: nobody is sent a year of receipts
        session.execute(
            text("UPDATE outbox_event SET relayed_at = :now WHERE relayed_at IS NULL"), {"now": now}
        )
    # Yesterday is left for the staff to close.
    closed = close_and_remit(today, clerks, now=now)
    _console.print(f"  {closed:,} days closed and sealed")
    return keys


class _Past(NamedTuple):
    """When things of the past are posted: then, but on no closed day and not after ``now``."""

    now: datetime
    open_on: date

    def at(self, day: date, hour: int) -> datetime:
        at = datetime.combine(max(day, self.open_on), time(hour, 30), tzinfo=BILLING_ZONE)
        return min(at, self.now)


def _import_files(
    past: _Past, *more: str, households: int, span: list[date]
) -> list[tuple[int, datetime]]:
    """Import what the companies sent, in that order; returns the files and when they came."""
    landed = []
    with tempfile.TemporaryDirectory() as folder:
        told = simulate(
            "files", "--households", str(households), "--out", folder, *more,
            "--months", ",".join(f"{month:%Y-%m}" for month in span),
        )  # fmt: skip
        files = [line.split("\t") for line in told.splitlines()]
        for name, _, _, issued in sorted(files, key=lambda file: (file[3], file[0])):
            path, at = Path(name), past.at(date.fromisoformat(issued) + _DAY, 6)
            result = import_path(path, path.name.partition("-")[0], now=at)
            landed.append((result.bill_file_id, at))
            _console.print(f"  {path.name:<28}{result.created + result.reminded:>7,} bills")
    return landed


def add_people(*, now: datetime) -> tuple[dict[str, str], list[int]]:
    """Add residents with their households, staff, companies' terms and API keys.

    Whoever is there stays; accounts that have been billed since are bound to their household.

    Returns:
        The keys by company, shown this once, and the residents' ids.
    """
    with transaction() as session:
        residents = _add_residents(session, now=now)
        _put_terms(session, _add_staff(session, now=now), now=now)
        _add_operators(session, now=now)
        return {code: issue_key(session, code, now=now) for code in provider_codes()}, residents


def _add_staff(session: Session, *, now: datetime) -> tuple[int, int]:
    """Add two people for what takes two, and a second admin; return the first two."""
    ids = []
    for name, contact, duties in STAFF:
        person = add_person(session, role=Role.STAFF, name=name, contact=contact, now=now)
        assert person.id is not None
        for duty in duties:
            give_duty(session, person.id, duty, now=now)
        ids.append(person.id)
    return ids[0], ids[1]


def _add_operators(session: Session, *, now: datetime) -> None:
    """Add somebody at each company who sends its files by hand."""
    for code, name in COMPANIES.items():
        add_person(
            session, role=Role.OPERATOR, name=name, contact=f"{code}-ops@citybill.example",
            provider_code=code, now=now,
        )  # fmt: skip


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
        home: dict[str, Any] = json.loads(simulate("household", str(number)))
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


def _pay_the_past(past: _Past, residents: list[int], memory: Path) -> None:
    """Have the residents pay at the shop, tell the companies, and reconcile the days."""
    wanted = [one for person_id in residents for one in _earlier_bills(past, person_id)]
    wanted += _a_part(past, residents[-1])
    numbers = [
        number
        for person_id, bill, amount_fen, at in sorted(wanted, key=lambda one: one.at)
        for number in pay_in_cash(person_id, bill, amount_fen, at=at)
    ]
    write_off(numbers, memory)
    yesterday = billing_date(past.now) - _DAY
    days = {day for one in wanted if (day := billing_date(one.at)) <= yesterday}
    forgot_on = max(
        (day for day in days if day + _FORGOTTEN_DAYS * _DAY <= yesterday), default=None
    )
    after = {forgot_on + _DAY} if forgot_on else set()  # whose file might have had it
    for day in sorted(days | after):
        reconcile_cash(day, forgets_largest=day == forgot_on, now=past.at(day + _DAY, 8))


class _ToPay(NamedTuple):
    person_id: int
    bill: BillView
    amount_fen: int
    at: datetime


def _earlier_bills(past: _Past, person_id: int) -> list[_ToPay]:
    """Return all but each account's newest bills, for a day before they are due.

    What a reminder was sent for stays overdue.
    """
    shown = _bills_of(person_id, today=billing_date(past.now))
    newest: dict[int, date] = {}
    for bill in shown:
        account_id = bill.account.account_id
        newest[account_id] = max(newest.get(account_id, bill.billing_month), bill.billing_month)
    return [
        _ToPay(person_id, bill, bill.open_fen, past.at(bill.due_on - 3 * _DAY, 10))
        for bill in shown
        if bill.state.payable
        and bill.billing_month < newest[bill.account.account_id]
        and not bill.adjusted_fen
    ]


def _a_part(past: _Past, person_id: int) -> list[_ToPay]:
    """Return half of the newest power bill: its company takes parts."""
    shown = _bills_of(person_id, today=billing_date(past.now))
    power = next((one for one in shown if one.account.provider_code == "power"), None)
    if power is None or not power.state.payable or power.paid_fen:
        return []
    at = past.at(power.issued_on + 3 * _DAY, 10)
    return [_ToPay(person_id, power, power.open_fen // 2, at)]


def _assess_late_fees(past: _Past, span: list[date]) -> None:
    """Count late fees at each month's end and for yesterday; a run makes up for days before it."""
    yesterday = billing_date(past.now) - _DAY
    ends = [add_months(month, 1) - _DAY for month in span]
    for day in sorted({*(end for end in ends if end >= past.open_on), yesterday}):
        for code in provider_codes():
            assess(code, day, now=past.at(day + _DAY, 3))


def _bills_of(person_id: int, *, today: date) -> list[BillView]:
    with transaction() as session:
        return list_bills(session, visible_accounts(session, person_id), today=today)
