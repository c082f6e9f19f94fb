"""A resident finds everything: bills, calendar, search, payments, refunds; and only their own."""

import csv
import io
from datetime import date, timedelta

import openpyxl
import pytest
from lxml import html

from billing.bills import format_ref
from billing.models import MemberRole
from core.clock import add_months, billing_date, month_start, utc_now
from identity.models import Role
from tests.factories import Home, a_paid_payment, a_person, a_record, bring_in, join
from tests.payments.returns.returning import a_wish, confirm, propose
from tests.support import complaining
from tests.web.conftest import Browser, signed_in
from tests.web.forms import a_due_home, text_of

pytestmark = pytest.mark.usefixtures("city")


def the_day() -> date:
    """Midnight may come while tests run."""
    return billing_date(utc_now())


def the_page(browser: Browser, path: str) -> html.HtmlElement:
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    return html.fromstring(answer.text)


def refs_on(page: html.HtmlElement) -> list[str]:
    return [
        link.removeprefix("/bills/")
        for link in page.xpath("//table[contains(@class, 'bills')]//a/@href")
    ]


def with_months(home: Home, months: int) -> None:
    """Bills of the months before this home's, of its first account."""
    last = add_months(month_start(the_day()), -1)
    bring_in(
        home.companies[0],
        *(
            a_record(
                home.account_nos[0], billing_month=add_months(last, -back),
                issued_on=add_months(last, 1 - back), due_on=add_months(last, 2 - back),
            )
            for back in range(1, months + 1)
        ),
        now=utc_now(),
    )  # fmt: skip


class TestNavigation:
    def test_a_resident_has_five_pages_in_the_bar_of_a_phone_and_one_more_on_a_desk(self, app):
        page = the_page(signed_in(app, a_person()), "/bills")

        links = page.xpath("//nav[contains(@class, 'nav--own')]//li")
        on_phone = [one for one in links if "only-wide" not in one.get("class", "")]
        assert [one.xpath("./a/@href")[0] for one in links] == [
            "/", "/bills", "/usage", "/household", "/notices", "/me",
        ]  # fmt: skip
        assert len(on_phone) == 5
        assert page.xpath("//nav//a[@aria-current='page']/@href") == ["/bills", "/bills"]
        assert page.xpath("//header//a[@href='/search']")
        assert page.xpath("//footer//form[@action='/sign-out']")

    @pytest.mark.parametrize("path", ["/", "/calendar", "/search", "/payments", "/refunds"])
    def test_each_page_says_where_one_is(self, app, path):
        page = the_page(signed_in(app, a_person()), path)

        assert len(page.xpath("//header//*[@aria-current='page']")) == 1


class TestBills:
    def test_bills_stand_under_their_months_with_the_months_sums(self, app):
        home = a_due_home(8_650, 1_000)
        with_months(home, 2)

        page = the_page(signed_in(app, home.owner_id), "/bills")

        heads = [
            " ".join(one.text_content().split())
            for one in page.xpath("//tr[@class='bills__month']")
        ]
        assert len(heads) == 3
        assert "2 笔账单 · 共 ¥96.50 · 待缴 ¥96.50" in heads[0]
        assert len(refs_on(page)) == 4

    def test_filters_stand_in_the_address_and_each_can_be_taken_away(self, app):
        home = a_due_home(8_650, 1_000)
        browser = signed_in(app, home.owner_id)

        page = the_page(browser, "/bills?company=power&state=to_pay")

        assert refs_on(page) == [format_ref(home.refs[1])]
        chips = page.xpath("//ul[@class='chips']//a[@class='chip']/@href")
        assert chips == ["/bills?state=to_pay", "/bills?company=power"]
        assert len(refs_on(the_page(browser, chips[0]))) == 2

    def test_nothing_with_these_filters_says_so_and_how_to_reset_them(self, app):
        home = a_due_home(8_650)

        page = the_page(signed_in(app, home.owner_id), "/bills?q=99999")

        assert "没有符合条件的账单" in page.text_content()
        assert page.xpath("//section[contains(@class, 'empty')]//a/@href") == ["/bills"]

    @pytest.mark.parametrize(
        "query", ["state=nonsense", "from_month=2026-13", "to_month=x", "after=1", "after=x.y"]
    )
    def test_filters_nobody_can_read_are_told_and_no_fault(self, app, query):
        answer = signed_in(app, a_due_home(100).owner_id).get(f"/bills?{query}")

        assert answer.status_code in {200, 422}
        assert answer.status_code == 422 or query.startswith("after")

    def test_all_pages_together_hold_every_bill_once(self, app):
        home = a_due_home(*([1_000] * 4))
        with_months(home, 23)
        a_more = a_due_home(*([500] * 30), owner_id=home.owner_id)
        browser, seen, path = signed_in(app, home.owner_id), [], "/bills"

        while path:
            page = the_page(browser, path)
            seen += refs_on(page)
            path = next(iter(page.xpath("//a[@rel='next']/@href")), None)

        assert len(seen) == len(set(seen)) == 4 + 23 + len(a_more.refs)

    def test_only_who_may_pay_can_tick(self, app):
        home = a_due_home(8_650)
        looker = a_person()
        join(home, looker, MemberRole.SEE)

        assert the_page(signed_in(app, home.owner_id), "/bills").xpath("//input[@name='bill']")
        page = the_page(signed_in(app, looker), "/bills")
        assert refs_on(page) == [format_ref(home.refs[0])]
        assert not page.xpath("//input[@name='bill']")

    def test_what_is_ticked_goes_on_to_the_review(self, app):
        home = a_due_home(8_650, 1_000)
        browser = signed_in(app, home.owner_id)

        review = browser.send_form("/pay", {"bill": format_ref(home.refs[1])})

        assert review.status_code == 200
        assert "¥10.00" in text_of(review.text)

    def test_a_neighbours_bills_are_nowhere(self, app):
        home, neighbour = a_due_home(8_650), a_due_home(1_234)
        browser = signed_in(app, neighbour.owner_id)

        for path in ("/bills", f"/bills?home={home.household_id}",
                     f"/bills?place={home.refs[0][0]}", "/bills?q=86.50"):  # fmt: skip
            assert format_ref(home.refs[0]) not in browser.get(path).text
        assert not refs_on(the_page(browser, f"/bills?home={home.household_id}"))

    def test_somebody_without_accounts_is_shown_the_way(self, app):
        page = the_page(signed_in(app, a_person()), "/bills")

        assert page.xpath("//section[contains(@class, 'empty')]//a/@href") == ["/household"]


class TestFiles:
    def test_a_file_holds_what_is_filtered_and_runs_nothing(self, app):
        home = a_due_home(8_650, 1_000, address="=HYPERLINK(1)")

        answer = signed_in(app, home.owner_id).get("/bills.csv?company=power")

        head, row = csv.reader(io.StringIO(answer.content.decode("utf-8-sig")))
        assert head[0] == "公司"
        assert row[2] == "'=HYPERLINK(1)"
        assert row[-2:] == ["10.00", "待缴"]
        assert home.account_nos[1] not in answer.text

    def test_a_spreadsheet_has_every_bill(self, app):
        home = a_due_home(8_650, 1_000)
        with_months(home, 3)

        answer = signed_in(app, home.owner_id).get("/bills.xlsx")

        sheet = openpyxl.load_workbook(io.BytesIO(answer.content)).active
        assert sheet.max_row == 1 + 5

    def test_a_neighbour_takes_out_their_own(self, app):
        a_due_home(8_650)

        for path in ("/bills.csv", "/payments.csv"):
            answer = signed_in(app, a_person()).get(path)
            assert len(answer.content.decode("utf-8-sig").splitlines()) == 1


class TestCalendar:
    def test_today_is_marked_and_months_lead_on(self, app):
        page = the_page(signed_in(app, a_due_home(8_650).owner_id), "/calendar")

        (today,) = page.xpath("//td[@aria-current='date']//time/@datetime")
        assert today == the_day().isoformat()
        after = add_months(month_start(the_day()), 1)
        assert page.xpath("//a[@rel='next']/@href") == [f"/calendar?month={after:%Y-%m}"]

    def test_a_bill_stands_on_its_days_in_month_and_list(self, app):
        home = a_due_home(8_650)
        due_on = the_day() + timedelta(days=20)

        page = the_page(
            signed_in(app, home.owner_id), f"/calendar?month={due_on:%Y-%m}&view=list"
        )  # fmt: skip

        assert not page.xpath("//table")
        (day,) = page.xpath(f"//section[.//h3[@id='d{due_on.day}']]")
        assert "缴费截止" in day.text_content()
        assert day.xpath(".//a/@href") == [f"/bills/{format_ref(home.refs[0])}"]

    @pytest.mark.parametrize("month", ["", "x", "1999-01", "2999-12", "2026-13"])
    def test_a_month_nobody_can_read_is_this_one(self, app, month):
        page = the_page(signed_in(app, a_person()), f"/calendar?month={month}")

        assert f"{the_day().year}年{the_day().month}月" in page.text_content()

    def test_days_paid_are_in_it(self, app):
        home = a_due_home(8_650)
        payment = a_paid_payment(home, now=utc_now())
        assert payment.paid_at is not None
        on = billing_date(payment.paid_at)

        page = the_page(signed_in(app, home.owner_id), f"/calendar?month={on:%Y-%m}&view=list")

        assert "已缴" in page.text_content()

    def test_the_file_is_a_calendar_of_ones_own(self, app):
        home, neighbour = a_due_home(8_650), a_due_home(1_234)

        answer = signed_in(app, home.owner_id).get("/calendar.ics")

        assert answer.headers["content-type"].startswith("text/calendar")
        content = answer.text.replace("\r\n ", "")
        assert f"UID:due-{format_ref(home.refs[0])}@city.example" in content
        assert f"DTSTART;VALUE=DATE:{the_day() + timedelta(days=20):%Y%m%d}" in content
        assert "缴费截止 ¥86.50" in content
        assert format_ref(neighbour.refs[0]) not in content


class TestSearch:
    def test_one_box_finds_each_kind_and_a_neighbour_finds_none_of_it(self, app):
        home = a_due_home(8_650)
        payment = a_paid_payment(home, now=utc_now())
        asked = complaining.ask(home.owner_id, "煤气味道很重", now=utc_now())
        mine, neighbours = signed_in(app, home.owner_id), signed_in(app, a_due_home(1).owner_id)
        ref = format_ref(home.refs[0])

        for q, link in (
            (home.account_nos[0][-4:], f"/bills?q={home.account_nos[0][-4:]}"),
            ("自来水", f"/bills/{ref}"),
            ("86.50", f"/bills/{ref}"),
            (payment.order_no[-6:], f"/payments/{payment.id}"),
            (payment.order_no, f"/payments/{payment.id}"),
            ("煤气味道", f"/complaints/{asked.number}"),
            (asked.number, f"/complaints/{asked.number}"),
        ):
            assert the_page(mine, f"/search?q={q}").xpath(f"//main//a[@href='{link}']"), q
            found = neighbours.get(f"/search?q={q}").text
            assert f'href="{link}"' not in found or link.startswith("/bills?q"), q
            assert ref not in found

    @pytest.mark.parametrize("q", ["", "12", "没有这样的东西", "%", "' OR 1=1"])
    def test_without_results_there_are_hints(self, app, q):
        page = the_page(signed_in(app, a_due_home(8_650).owner_id), "/search?q=" + q)

        assert page.xpath("//ul[contains(@class, 'hints')]/li")

    def test_junk_is_refused(self, app):
        browser = signed_in(app, a_person())

        assert browser.get("/search?q=%00").status_code == 422
        assert browser.get("/search?q=" + "x" * 101).status_code == 422


class TestPaymentsAndRefunds:
    def test_payments_are_listed_with_their_receipts(self, app):
        home = a_due_home(8_650, 1_000)
        paid = a_paid_payment(home, home.refs[0], now=utc_now())

        page = the_page(signed_in(app, home.owner_id), "/payments")

        assert page.xpath(f"//a[@href='/payments/{paid.id}']")
        assert page.xpath(f"//a[@href='/payments/{paid.id}/receipt.pdf']")
        assert paid.order_no in page.text_content()
        others = the_page(signed_in(app, a_person()), "/payments")
        assert paid.order_no not in others.text_content()

    def test_a_payment_is_found_by_the_end_of_its_number(self, app):
        home = a_due_home(8_650, 1_000)
        first = a_paid_payment(home, home.refs[0], now=utc_now())
        a_paid_payment(home, home.refs[1], now=utc_now())

        page = the_page(signed_in(app, home.owner_id), f"/payments?q={first.order_no[-5:]}")

        assert len(page.xpath("//main//ul[@class='rows']/li")) == 1

    def test_money_that_comes_back_is_tracked_step_by_step_and_by_nobody_else(self, app):
        home = a_due_home(8_650)
        payment = a_paid_payment(home, now=utc_now())
        confirm(payment)
        refund = propose(a_wish(payment, 8_650), a_person(Role.STAFF))

        page = the_page(signed_in(app, home.owner_id), "/refunds")

        shown = page.text_content()
        assert refund.refund_no in shown
        assert "重复缴费" in shown
        assert [
            one.text_content().strip() for one in page.xpath("//ol[@aria-label='退款进度']//b")
        ] == ["已申请", "在支付机构", "退款途中", "到账"]
        found = the_page(signed_in(app, home.owner_id), f"/search?q={refund.refund_no[-5:]}")
        assert found.xpath(f"//section//a[@href='/payments/{payment.id}']")
        assert refund.refund_no not in signed_in(app, a_person()).get("/refunds").text

    def test_without_any_there_are_words(self, app):
        browser = signed_in(app, a_person())

        for path in ("/payments", "/refunds", "/calendar"):
            assert the_page(browser, path).xpath("//section[contains(@class, 'empty')]"), path
