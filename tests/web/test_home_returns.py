"""Who moved away and came back, and the tenant between: what every door shows to each of them."""

import re
from datetime import date, datetime, timedelta
from typing import NamedTuple

import pytest
from fastapi import FastAPI

from billing.bills import format_ref
from billing.homes import moving
from billing.homes.accounts import bind
from billing.homes.challenges import pass_challenge, read_answer
from billing.homes.households import create_household
from billing.models import HouseholdMember, MemberRole
from core.clock import billing_date, month_start, utc_now
from core.db import transaction
from core.keys import named_key
from tests.factories import Home, a_home, a_person, a_record, bring_in
from tests.web.conftest import Browser, signed_in
from tests.web.test_home_accounts import DOORS

pytestmark = pytest.mark.usefixtures("city")
SECRET = "x"


class Bill(NamedTuple):
    """A bill whose number and amount stand nowhere else."""

    number: str
    fen: int
    first_on: date
    last_on: date

    def ref(self, home: Home) -> str:
        return format_ref((home.refs[0][0], named_key(month_start(self.first_on), self.number)))

    @property
    def telling(self) -> tuple[str, ...]:
        return self.number, f"{self.fen // 100}.{self.fen % 100:02d}", f":{self.fen},"


class Returned(NamedTuple):
    """A home that left and came back, and who was there in between."""

    home: Home
    tenant_id: int
    own: Bill
    tenants: Bill
    again: Bill


def add(person_id: int, household_id: int, home: Home, bill: Bill, now: datetime) -> None:
    with transaction() as session:
        told = read_answer(
            session, home.companies[0], home.account_nos[0], amount_yuan=bill.telling[1], name="",
            now=now,
        )  # fmt: skip
    passed = pass_challenge(told, client=bill.number, person_id=person_id, secret=SECRET, now=now)
    with transaction() as session:
        bind(session, person_id, household_id, passed, now=now)


def leave(person_id: int, household_id: int, home: Home, now: datetime) -> None:
    with transaction() as session:
        plan = moving.Plan(billing_date(now), "南京路8号", "139 0000 0000", [home.refs[0][0]])
        moving.make(session, person_id, household_id, plan, secret=SECRET, now=now)


@pytest.fixture
def returned(app: FastAPI) -> Returned:
    now = utc_now()

    def ago(days: int) -> datetime:
        return now - timedelta(days=days)

    def a_bill(number: str, fen: int, first: int, last: int) -> Bill:
        return Bill(number, fen, billing_date(ago(first)), billing_date(ago(last)))

    own = a_bill("OWNEARLIER", 27_183, 150, 121)
    tenants, again = a_bill("TENANTS", 31_417, 118, 90), a_bill("ONCEAGAIN", 16_187, 58, 30)
    home = a_home(8_650, now=now, period_from_on=billing_date(ago(200)),
                  period_to_on=billing_date(ago(170)))  # fmt: skip
    for bill in (own, tenants, again):
        bring_in(
            home.companies[0],
            a_record(
                home.account_nos[0], bill.number, billing_month=month_start(bill.first_on),
                period_from_on=bill.first_on, period_to_on=bill.last_on, issued_on=bill.last_on,
                due_on=bill.last_on + timedelta(days=20), amount_fen=bill.fen,
            ),
            now=now,
        )  # fmt: skip
    leave(home.owner_id, home.household_id, home, ago(120))
    tenant_id = a_person(name="李雷")
    with transaction() as session:
        theirs = create_household(session, name="李家", owner_id=tenant_id, now=now).id or 0
    add(tenant_id, theirs, home, tenants, ago(80))
    leave(tenant_id, theirs, home, ago(60))
    add(home.owner_id, home.household_id, home, again, ago(20))
    return Returned(home, tenant_id, own, tenants, again)


def opened(browser: Browser, home: Home, *hidden: Bill) -> None:
    """Open every door with the addresses of what is hidden, and find nothing of it."""
    for bill in hidden:
        names = {
            "ref": bill.ref(home), "account_id": str(home.refs[0][0]), "sha256": "0" * 64,
            "month": f"{bill.last_on:%Y-%m}", "household_id": str(home.household_id),
            "kind": "csv", "form": "pdf",
        }  # fmt: skip
        for door in DOORS:
            path = re.sub(r"{(\w+)[^}]*}", lambda found: names.get(found[1], "1"), door)  # noqa: B023
            answer = browser.get(path)
            assert answer.status_code < 500, door
            for telling in bill.telling:
                assert telling.encode() not in answer.content, (door, telling)
            if "{ref}" in door and "/bills/" in door:
                assert answer.status_code == 404, door


class TestWhoCameBack:
    def test_no_door_shows_the_tenants_bill(self, app, returned):
        opened(signed_in(app, returned.home.owner_id), returned.home, returned.tenants)

    def test_no_door_shows_the_tenant_what_was_before_or_after(self, app, returned):
        browser = signed_in(app, returned.tenant_id)

        opened(browser, returned.home, returned.own, returned.again)
        assert browser.get(f"/bills/{returned.tenants.ref(returned.home)}").status_code == 200

    def test_every_door_shows_ones_own_bills_of_both_times(self, app, returned):
        browser, home = signed_in(app, returned.home.owner_id), returned.home
        said = {
            "list": browser.get("/bills").text,
            "table": browser.get("/bills.csv").text,
            "api": browser.get("/api/v1/bills?limit=200").text,
            "export": browser.get("/api/v1/me/export").text,
            "usage": browser.get("/api/v1/usage").text,
        }

        for bill in (returned.own, returned.again):
            number, yuan, fen = bill.telling
            ref = bill.ref(home)
            assert browser.get(f"/bills/{ref}").status_code == 200
            assert browser.get(f"/bills/{ref}.pdf").content.startswith(b"%PDF")
            assert browser.get(f"/api/v1/bills/{ref}").json()["bill_no"] == number
            assert ref in browser.get(f"/search?q={number}").text
            due = bill.last_on + timedelta(days=20)
            assert yuan in browser.get(f"/calendar?month={due:%Y-%m}").text
            for door in ("list", "table"):
                assert yuan in said[door], door
            for door in ("api", "export"):
                assert number in said[door], door
            assert fen in said["usage"]


class TestTenants:
    def test_no_door_shows_a_tenant_what_was_before_the_lease(self, app, returned):
        home, me = returned.home, a_person(name="韩梅梅")
        with transaction() as session:
            session.add(HouseholdMember(
                household_id=home.household_id, person_id=me, role=MemberRole.PAY,
                from_on=returned.again.first_on, earlier_bills=False,
            ))  # fmt: skip
        browser = signed_in(app, me)

        opened(browser, home, returned.own, returned.tenants)
        assert browser.get(f"/bills/{returned.again.ref(home)}").status_code == 200
        paid = browser.post(
            "/api/v1/payments",
            json={"bill_ids": [returned.own.ref(home)], "gateway": "sandbox",
                  "return_url": "https://city.example/payments/{payment}"},
            headers={"Idempotency-Key": "k"},
        )  # fmt: skip
        assert paid.status_code in (404, 422)
