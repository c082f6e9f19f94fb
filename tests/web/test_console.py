"""The console's first page and its way back: what needs a person, in words that count right."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from lxml import html
from sqlalchemy import text

from billing.terms import propose
from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import BillFileError
from identity.models import Role
from payments.gateways.base import GatewayStatus
from payments.gateways.counter import COLUMNS, TITLE, Counter, order_code
from tests.factories import (
    CAN,
    FarGateway,
    a_home,
    a_paid_payment,
    a_payment,
    a_person,
    book,
    bring_in,
)
from tests.web.conftest import Browser, signed_in
from tests.web.forms import text_of

pytestmark = pytest.mark.usefixtures("city")
ENGLISH = {"Accept-Language": "en"}
AT = "2026-11-20T12:00:00+08:00"


@pytest.fixture
def staff(app) -> Browser:
    return signed_in(app, a_person(Role.STAFF))


def main_of(staff: Browser, path: str = "/console", *, english: bool = True) -> str:
    answer = staff.get(path, headers=ENGLISH if english else {})
    assert answer.status_code == 200, answer.text
    return text_of(answer.text)


def notices(page: str) -> dict[str, str | None]:
    """Return what needs a person, each with where its link leads, if it has one."""
    found = {}
    for one in html.fromstring(page).xpath("//section[@aria-labelledby='attention']"):
        for notice in one.xpath(".//div[@class='notice__text']"):
            links = notice.xpath(".//a/@href")
            found[" ".join(notice.text_content().split())] = links[0] if links else None
    return found


class TestNeedsAPerson:
    def test_nothing_waits_in_a_quiet_city(self, staff):
        assert "Nothing is waiting for a person." in main_of(staff)

    def test_everything_that_waits_is_listed_and_leads_to_its_page(self, staff):
        now = utc_now()
        home = a_home(8_650, now=now - timedelta(days=1))
        payment = a_payment(home, now=now)
        done = home.correct(0, version=2, amount_fen=8_000, now=now)
        book(payment, GatewayStatus.PAID, now=now, paid_at=now)
        with pytest.raises(BillFileError):
            bring_in("water", refuse="the file is torn")
        with transaction() as session:
            propose(
                session, provider_code="water", content="", reason="a test", now=now,
                effective_on=billing_date(now) + timedelta(days=1),
                proposed_by=a_person(Role.STAFF),
            )  # fmt: skip
            session.execute(
                text("INSERT INTO missing_bill SELECT id, '2026-10-01', '2026-10-31', :now, NULL "
                     "FROM utility_account"), {"now": now},
            )  # fmt: skip

        assert notices(staff.get("/console", headers=ENGLISH).text) == {
            "1 bill file was refused": "/console/bill-files",
            "1 correction that came during a payment was refused in the last 7 days":
                f"/console/bill-files/{done.bill_file_id}",
            "1 bill has not come in its time": None,
            "1 proposal of terms waits for approval": "/console/terms",
            "1 day waits to be closed.": "/console/days",
        }  # fmt: skip
        assert len(notices(staff.get("/console").text)) == 5
        assert not any(words.isascii() for words in notices(staff.get("/console").text))

    def test_days_wait_for_closing_and_for_their_file(self, staff):
        now = utc_now()
        for days in (2, 3):
            at = now - timedelta(days=days)
            book(a_payment(a_home(100, now=at), now=at), GatewayStatus.PAID, now=at, paid_at=at)

        assert notices(staff.get("/console", headers=ENGLISH).text) == {
            "3 days wait to be closed.": "/console/days",
            "2 days are not reconciled yet": "/console/reconciliations",
        }


class TestReconciliation:
    path = "/console/reconciliations"

    def send(self, staff: Browser, content: bytes, **changes: str) -> Any:
        data = {"csrf": staff.csrf, "source": "sandbox", "day": "2026-11-20"} | changes
        return staff.post(self.path, data=data, files={"file": ("a.csv", content)}, headers=ENGLISH)

    def test_no_source_is_chosen_for_anybody(self, staff, app, monkeypatch):
        monkeypatch.setitem(
            app.state.gateways, "silent",
            FarGateway(code="silent", capabilities=replace(CAN, settlement_file=False)),
        )  # fmt: skip
        page = html.fromstring(staff.get(self.path).text)

        (chosen,) = page.xpath("//select[@name='source'][@required]")

        assert chosen.value == ""
        assert chosen.value_options == ["", "sandbox"]
        refused = self.send(staff, b"x", source="")
        assert refused.status_code == 422
        assert "Choose whose file it is." in text_of(refused.text)

    def test_another_sources_file_is_told_by_its_name(self, staff, app, monkeypatch):
        monkeypatch.setitem(app.state.gateways, "counter", Counter())
        row = f"corner,payment,1,{order_code('CB2611000000000012')},10.00,{AT},"
        cash = f"{TITLE},2026-11-20\n{','.join(COLUMNS)}\n{row}\n#TOTAL,1,10.00\n".encode()

        mistaken = self.send(staff, cash)
        nonsense = self.send(staff, b"x")

        assert (mistaken.status_code, nonsense.status_code) == (422, 422)
        assert f"This is a file of {Counter.name.en}: choose that source." in text_of(mistaken.text)
        page = html.fromstring(mistaken.text)
        assert [one.value for one in page.xpath("//form//*[@id='source' or @id='day']")] == [
            "sandbox", "2026-11-20",
        ]  # fmt: skip
        assert "Line 1" in text_of(nonsense.text)

    def test_as_many_days_wait_in_the_list_as_today_says(self, staff):
        now = utc_now()
        for days in range(1, 19):
            at = now - timedelta(days=days)
            book(a_payment(a_home(100, now=at), now=at), GatewayStatus.PAID, now=at, paid_at=at)

        today = notices(staff.get("/console", headers=ENGLISH).text)
        assert "18 days are not reconciled yet" in today
        assert main_of(staff, self.path).count("Sandbox Pay Not yet") == 18


class TestFigures:
    @pytest.mark.parametrize(("count", "words"), [(1, "1 payment "), (2, "2 payments ")])
    def test_payments_are_counted_in_words_that_fit(self, staff, count, words):
        now = utc_now()
        for _ in range(count):
            payment = a_payment(a_home(1_000, now=now), now=now)
            book(payment, GatewayStatus.PAID, now=now, paid_at=now)

        assert words in main_of(staff)
        assert f"{count} 笔缴费" in main_of(staff, english=False)

    def test_suspended_money_is_on_its_way_back(self, staff):
        now = utc_now()
        payment = a_payment(a_home(1_000, now=now), now=now)
        book(payment, GatewayStatus.PAID, amount_fen=123_400, paid_at=now)

        assert "On the way back ¥1,234.00" in main_of(staff)


class TestCompanies:
    @pytest.mark.parametrize(("english", "name"), [(True, "City Water"), (False, "城市自来水")])
    def test_bill_files_name_them_in_the_readers_language(self, staff, english, name):
        a_home(1_000)
        with transaction() as session:
            file_id = session.execute(text("SELECT id FROM bill_file")).scalar_one()
        headers = ENGLISH if english else {}

        for path in ("/console/bill-files", f"/console/bill-files/{file_id}"):
            assert name in text_of(staff.get(path, headers=headers).text)
        if english:
            page = html.fromstring(staff.get("/console/bill-files", headers=headers).text)
            assert all(one.isascii() for one in page.xpath("//select/option/text()"))


class TestTheWayBack:
    @pytest.mark.parametrize(
        "path", ["/console/days/2026-02-30", "/console/bill-files/999", "/console/nothing-here"]
    )
    def test_from_a_page_that_is_not_there_staff_go_back_to_the_console(self, staff, path):
        page = staff.get(path, headers=ENGLISH).text

        assert html.fromstring(page).xpath("//main//a/@href") == ["/console"]
        assert "Back to the bills" not in text_of(page)

    def test_a_resident_goes_back_to_the_bills(self, app):
        resident = signed_in(app, a_person())

        for path in ("/console", "/console/days/2026-02-30", "/bills/9"):
            page = html.fromstring(resident.get(path).text)
            assert page.xpath("//main//a/@href") == ["/"]


def test_the_sign_in_page_does_not_promise_that_paying_is_free(browser):
    for headers in ({}, ENGLISH):
        page = text_of(browser.get("/sign-in", headers=headers).text)
        assert "no fee" not in page
        assert "免手续费" not in page


def test_the_seal_has_one_name_in_chinese(staff):
    a_paid_payment(a_home(1_000, now=utc_now() - timedelta(days=2)))

    page = main_of(staff, "/console/days", english=False)

    assert "封账印记" in page
    assert "封印" not in page
