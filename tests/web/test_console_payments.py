"""Payments on the console: listed, filtered, taken out, and each from behind the counter."""

import csv
import io
from datetime import timedelta

import pytest
from lxml import html
from sqlalchemy import text

from core.clock import billing_date, utc_now
from core.db import transaction
from identity.duties import Duty
from identity.models import Role
from payments.desk import listing
from payments.gateways.base import GatewayStatus
from tests.factories import a_home, a_paid_payment, a_payment, a_person, book
from tests.payments.reconciliation.repairing import differs
from tests.payments.returns.returning import a_confirmed_payment, a_wish, propose, staff
from tests.web.conftest import Browser, signed_in
from tests.web.test_console_terms import main_of, told

pytestmark = pytest.mark.usefixtures("city")
AT = "/console/payments"
ENGLISH = {"Accept-Language": "en"}


@pytest.fixture
def clerk(app) -> Browser:
    return signed_in(app, a_person(Role.STAFF, duties=(Duty.SERVICE,)))


def listed(browser: Browser, query: str = "") -> list[str]:
    page = html.fromstring(browser.get(f"{AT}?{query}").text)
    return [str(one).rpartition("/")[2] for one in page.xpath("//tr[@data-row]//a/@href")]


def rows_of(browser: Browser, query: str = "") -> list[list[str]]:
    answer = browser.get(f"{AT}.csv?{query}")
    assert answer.status_code == 200
    return list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))


class TestList:
    def test_an_empty_city_says_so(self, clerk):
        assert "No payment yet" in main_of(clerk, AT)

    def test_filters_stand_in_the_address_and_are_kept_on_the_page(self, clerk):
        now = utc_now()
        paid = a_paid_payment(a_home(8_650, now=now), now=now)
        a_payment(a_home(700, now=now), now=now)
        today = billing_date(now)

        query = f"state=paid&amount=86.50&company=water&from_on={today}&to_on={today}"

        assert listed(clerk, query) == [str(paid.id)]
        assert 'value="86.50"' in clerk.get(f"{AT}?{query}").text
        assert listed(clerk, f"payer={paid.payer_id}") == [str(paid.id)]
        assert listed(clerk, f"to_on={today - timedelta(days=1)}") == []
        assert "No payment fits" in main_of(clerk, f"{AT}?state=refused")

    @pytest.mark.parametrize(
        "query", ["amount=1e3", "amount=x", "from_on=2026-13-01", "to_on=x", "payer=a", "state=x"]
    )
    def test_what_cannot_be_read_is_said_and_finds_nothing(self, clerk, query):
        a_payment(a_home(100))

        answer = clerk.get(f"{AT}?{query}", headers=ENGLISH)

        assert answer.status_code == 422
        assert "This cannot be read" in told(answer.text)
        assert listed(clerk, query) == []

    def test_pages_follow_each_other(self, clerk, monkeypatch):
        monkeypatch.setattr(listing, "PAGE", 2)
        made = [str(a_payment(a_home(100)).id) for _ in range(5)]
        query, found = "", []

        while True:
            found += listed(clerk, query)
            page = html.fromstring(clerk.get(f"{AT}?{query}").text)
            onward = page.xpath("//a[@rel='next']/@href")
            if not onward:
                break
            query = str(onward[0]).partition("?")[2]

        assert found == made[::-1]

    def test_what_is_filtered_is_taken_out_and_the_log_knows(self, clerk):
        paid = a_paid_payment(a_home(8_650))
        a_payment(a_home(700))

        head, *rows = rows_of(clerk, "state=paid")

        assert head[:4] == ["payment", "order_no", "status", "amount_yuan"]
        assert [row[:4] for row in rows] == [[str(paid.id), paid.order_no, "paid", "86.50"]]
        book_ = clerk.get(f"{AT}.xlsx?state=paid")
        assert book_.content[:2] == b"PK"
        with transaction() as session:
            noted = session.execute(
                text("SELECT subject_id, detail ->> 'format', detail ->> 'filter' FROM audit_entry"
                     " WHERE what = 'list_exported' ORDER BY id")
            ).all()  # fmt: skip
        assert [tuple(row) for row in noted] == [
            ("payments", "csv", "state=paid"), ("payments", "xlsx", "state=paid")
        ]  # fmt: skip

    def test_a_file_of_another_kind_is_none(self, clerk):
        assert clerk.get(f"{AT}.pdf").status_code in {404, 422}


class TestOne:
    def test_it_shows_the_gateway_the_ledger_and_what_goes_back(self, clerk):
        payment = a_confirmed_payment(8_650)
        refund = propose(a_wish(payment, 1_000), staff()[0])
        book(a_payment(a_home(1)), GatewayStatus.OPEN)

        seen = main_of(clerk, f"{AT}/{payment.id}")

        for said in (
            payment.order_no, payment.gateway_ref, refund.refund_no, f"paid:{payment.id}",
            f"refunded:{refund.refund_no}", "It never called us", "In no file of its yet", "¥86.50",
        ):  # fmt: skip
            assert said in seen, said

    def test_a_difference_of_it_is_linked(self, app):
        browser = signed_in(app, a_person(Role.STAFF, duties=(Duty.FINANCE,)))
        payment = a_paid_payment(a_home(8_650))
        found = differs(payment=payment)

        page = browser.get(f"{AT}/{payment.id}").text

        assert f"/console/breaks/{found}" in page
        assert "/console/residents/" not in page  # that is for customer service

    def test_the_payer_is_masked_and_the_look_is_logged(self, clerk):
        payment = a_paid_payment(a_home(8_650, owner_id=a_person(name="欧阳明月")))

        page = clerk.get(f"{AT}/{payment.id}").text

        assert "欧***" in page
        assert "欧阳明月" not in page
        with transaction() as session:
            entry = session.execute(
                text("SELECT what, subject_id FROM audit_entry ORDER BY id DESC LIMIT 1")
            ).one()
        assert tuple(entry) == ("payment_seen", str(payment.id))

    @pytest.mark.parametrize("junk", ["0", "-1", "9" * 25, "x", "1.5"])
    def test_what_is_none_is_not_found(self, clerk, junk):
        assert clerk.get(f"{AT}/{junk}").status_code in {404, 422}

    @pytest.mark.parametrize("duty", [Duty.SETUP, Duty.ADMIN])
    def test_others_have_no_business_here(self, app, duty):
        browser = signed_in(app, a_person(Role.STAFF, duties=(duty,)))

        for at in (AT, f"{AT}.csv", f"{AT}/{a_payment(a_home(100)).id}"):
            assert browser.get(at).status_code == 403, at
