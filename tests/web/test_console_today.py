"""The console's first page at a glance: money in, what is matched, queues; and the way on."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from lxml import html
from sqlalchemy import text

from core.clock import billing_date, day_bounds, utc_now
from core.db import transaction
from identity.duties import Duty
from identity.models import Role
from payments.gateways.base import GatewayStatus
from payments.reconciliation.repair import workbench
from tests.factories import a_home, a_payment, a_person, book
from tests.payments.reconciliation.repairing import missing_there
from tests.web.conftest import Browser, signed_in
from tests.web.forms import text_of

pytestmark = pytest.mark.usefixtures("city")
ENGLISH = {"Accept-Language": "en"}


@pytest.fixture
def staff(app) -> Browser:
    return signed_in(app, a_person(Role.STAFF))


def the_page(staff: Browser) -> Any:
    answer = staff.get("/console", headers=ENGLISH)
    assert answer.status_code == 200, answer.text
    return html.fromstring(answer.text)


def figures(staff: Browser) -> dict[str, list[str]]:
    """Return each figure of the page: its value and its hints."""
    found = {}
    for one in the_page(staff).xpath("//*[contains(@class, 'card figure')]"):
        label, *rest = [" ".join(part.text_content().split()) for part in one.xpath("./span")]
        found[label] = rest
    return found


def pays(fen: int, at: datetime) -> None:
    payment = a_payment(a_home(fen, now=at), now=at)
    book(payment, GatewayStatus.PAID, now=at, paid_at=at)


def a_moment_ago() -> datetime:
    """A moment of today, whatever time it is, that has been."""
    now = utc_now()
    return max(now - timedelta(seconds=1), day_bounds(billing_date(now))[0])


class TestMoney:
    def test_today_stands_beside_other_days_until_this_time(self, staff):
        at = a_moment_ago()
        pays(15_000, at)
        pays(10_000, at - timedelta(days=1))
        pays(20_000, at - timedelta(days=7))
        pays(99_900, at - timedelta(days=7) + timedelta(minutes=30))

        seen = figures(staff)

        assert seen["Taken today"] == ["¥150.00", "1 payment"]
        assert seen["Yesterday until this time"] == ["¥100.00", "50 % more"]
        assert seen["A week ago until this time"] == ["¥200.00", "25 % less"]

    def test_a_day_without_money_is_compared_with_nothing(self, staff):
        assert figures(staff)["Yesterday until this time"] == ["¥0.00", "nothing then"]

    def test_the_drawings_tell_their_figures_to_who_listens(self, staff):
        pays(15_000, a_moment_ago())

        hours, days = the_page(staff).xpath("//figure//*[@role='img']")

        assert hours.get("aria-label").startswith("Money in by hour")
        assert "¥150.00" in hours.xpath("./desc")[0].text
        assert days.xpath("./desc")[0].text.count("¥") == 14


class TestYesterday:
    def test_a_day_with_nothing_matched_says_so(self, staff):
        assert figures(staff)["With gateways"] == ["nothing yet", "0 of 0 files here"]

    def test_a_share_is_rounded_down_and_a_late_file_told(self, staff):
        yesterday = billing_date(utc_now()) - timedelta(days=1)
        with transaction() as session:
            file_id = session.execute(
                text("INSERT INTO settlement_file (source, day, sha256, file_name, received_at)"
                     " VALUES ('sandbox', :day, 'x', 'f', :now) RETURNING id"),
                {"day": yesterday, "now": utc_now()},
            ).scalar_one()  # fmt: skip
            session.execute(
                text("INSERT INTO reconciliation (source, day, settlement_file_id, matched,"
                     " our_count, their_count, our_total_fen, their_total_fen, fee_total_fen,"
                     " run_at) VALUES ('sandbox', :day, :file, 1999, 2000, 2000, 0, 0, 0, :now)"),
                {"day": yesterday, "file": file_id, "now": utc_now()},
            )  # fmt: skip
            session.execute(
                text("INSERT INTO settlement_arrival (source, day, state, due_at)"
                     " VALUES ('slow', :day, 'waiting', :due_at)"),
                {"day": yesterday, "due_at": utc_now() - timedelta(hours=4)},
            )  # fmt: skip

        assert figures(staff)["With gateways"] == [
            "99.9 %", "1,999 of 2,000 matched · 0 of 1 files here", "1 late"
        ]  # fmt: skip


class TestDifferences:
    def test_many_are_told_as_so_many_and_more(self, staff, monkeypatch):
        missing_there()
        monkeypatch.setattr(workbench, "MOST", 1)
        page = the_page(staff)

        (row,) = page.xpath("//table[contains(@class, 'table--ages')]/tbody/tr")
        assert "1+" in row.text_content()
        (notices,) = page.xpath("//section[@aria-labelledby='attention']")
        assert "1+ difference to explain" in notices.text_content()


class TestQueues:
    def test_a_queue_that_waits_for_a_worker_is_behind(self, staff):
        with transaction() as session:
            session.execute(
                text("INSERT INTO job (task, subject_id, state, attempts, due_at)"
                     " VALUES ('payments.callback', '1', 'waiting', 0, :due_at)"),
                {"due_at": utc_now() - timedelta(minutes=5, seconds=30)},
            )  # fmt: skip

        (row,) = the_page(staff).xpath("//section[@aria-labelledby='under-way']//tbody/tr")
        told = [" ".join(cell.text_content().split()) for cell in row]
        assert told == ["Payments Behind", "1", "5"]

    def test_a_quiet_city_has_none(self, staff):
        assert "No queue is behind" in text_of(staff.get("/console", headers=ENGLISH).text)


def take_duties(person_id: int, *kept: Duty) -> None:
    """Leave somebody of the staff with these duties."""
    with transaction() as session:
        session.execute(
            text("UPDATE staff_duty SET taken_at = :now"
                 " WHERE person_id = :person AND NOT duty = ANY(:kept)"),
            {"person": person_id, "kept": [one.value for one in kept], "now": utc_now()},
        )  # fmt: skip


class TestMenu:
    def links(self, staff: Browser) -> list[str]:
        return list(the_page(staff).xpath("//nav[@id='menu']//a/@href"))

    def test_every_page_of_it_is_there(self, staff):
        links = self.links(staff)

        assert len(links) == len(set(links)) == 26
        assert {href: staff.get(href).status_code for href in links} == dict.fromkeys(links, 200)

    def test_where_one_is_is_told_also_on_a_page_below(self, staff):
        page = html.fromstring(staff.get(f"/console/days/{billing_date(utc_now())}").text)

        assert page.xpath("//nav[@id='menu']//a[@aria-current='page']/@href") == ["/console/days"]

    @pytest.mark.parametrize("duty", Duty)
    def test_it_shows_what_ones_duty_opens_and_nothing_else(self, app, duty):
        person_id = a_person(Role.STAFF)
        take_duties(person_id, duty)
        everything = self.links(signed_in(app, a_person(Role.STAFF)))

        own = signed_in(app, person_id)

        shown = set(self.links(own))
        assert {href for href in everything if own.get(href).status_code == 200} == shown

    def test_the_search_is_for_those_who_look_after_residents(self, app, staff):
        assert the_page(staff).xpath("//form[@role='search']/@action") == ["/console/residents"]

        person_id = a_person(Role.STAFF)
        take_duties(person_id, Duty.SETUP)

        assert not the_page(signed_in(app, person_id)).xpath("//input[@id='quick']")

    def test_a_notice_of_anothers_duty_is_told_and_leads_nowhere(self, app):
        a_home(1_000, now=utc_now() - timedelta(days=1))
        person_id = a_person(Role.STAFF)
        take_duties(person_id, Duty.SETUP)

        page = the_page(signed_in(app, person_id))

        (notices,) = page.xpath("//section[@aria-labelledby='attention']")
        assert "1 day waits to be closed." in notices.text_content()
        assert not notices.xpath(".//a")
