"""Home and a bill's own page: what is owed, what was taken off it, and what it said before."""

from datetime import date, timedelta

import pytest
from lxml import html
from sqlalchemy import text

from billing.bills import format_ref
from billing.rules.workdays import is_working_day
from core.clock import billing_date, utc_now
from core.db import transaction
from payments.gateways.base import GatewayStatus
from providers.base import OptionKind, PayOption, PayTerms, RecordKind
from tests.factories import a_payment, a_record, book, bring_in, the_bill, the_terms
from tests.web.conftest import signed_in
from tests.web.forms import a_due_home, text_of

pytestmark = pytest.mark.usefixtures("city")


def the_day() -> date:
    """Midnight may come while tests run."""
    return billing_date(utc_now())


def dates_of(ref) -> dict[str, date]:
    bill = the_bill(ref)
    return {name: getattr(bill, name) for name in ("billing_month", "issued_on", "due_on")}


def change(**columns: int) -> None:
    """Set amounts of every bill, as late fees, credits and payments would."""
    with transaction() as session:
        for name, fen in columns.items():
            session.execute(text(f"UPDATE bill SET {name} = :fen"), {"fen": fen})


def shown_bill(app, home, *, english: bool = False) -> str:
    browser = signed_in(app, home.owner_id)
    if english:
        browser.headers["accept-language"] = "en"
    return text_of(browser.get(f"/bills/{format_ref(home.refs[0])}").text)


class TestHome:
    def test_a_credit_does_not_make_less_due_and_is_shown_beside_it(self, app):  # rule 8
        home = a_due_home(1_000, -300)

        page = signed_in(app, home.owner_id).get("/").text

        (due,) = html.fromstring(page).xpath("//p[@class='band__amount']")
        assert due.text_content().strip() == "¥10.00"
        assert "另有结余 ¥3.00" in text_of(page)
        assert "剩余结余 ¥3.00" in text_of(page)

    def test_what_is_due_has_late_fees_in_it_and_payments_off_it(self, app):
        home = a_due_home(1_000)
        change(adjusted_fen=75, paid_fen=300)

        page = signed_in(app, home.owner_id).get("/").text

        assert "¥7.75" in text_of(page)
        assert 'data-fen="775"' in page

    def test_a_bill_being_paid_is_neither_clear_nor_to_be_paid_again(self, app):
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        payment = a_payment(home, now=utc_now())

        begun = text_of(browser.get("/").text)
        book(payment, GatewayStatus.PAID, now=utc_now(), paid_at=utc_now())
        paid = text_of(browser.get("/").text)

        assert "款项尚未到账" in begun
        assert "无需缴费" not in begun
        assert "都缴清了" not in begun
        assert "都缴清了" in paid

    def test_the_first_day_due_is_the_rolled_one(self, app):  # rule 19
        the_terms("water", '[due]\nroll = "next_working_day"\n')
        off = next(d for d in days_ahead(8) if not is_working_day("CN", d))
        until = next(d for d in days_ahead(40) if d > off and is_working_day("CN", d))
        home = a_due_home(1_000, due_on=off)

        shown = text_of(signed_in(app, home.owner_id).get("/").text)

        assert f"{until.month}月{until.day}日" in shown


def days_ahead(count: int) -> list[date]:
    return [the_day() + timedelta(days=at) for at in range(1, count)]


class TestBill:
    def test_every_line_between_the_bill_and_what_is_to_pay(self, app):
        home = a_due_home(1_000)
        change(adjusted_fen=75, credited_fen=200, paid_fen=300)

        shown = shown_bill(app, home).replace(" ", "")

        assert "账单金额¥10.00滞纳金及附加费¥0.75已由结余抵扣-¥2.00已缴-¥3.00尚需缴纳¥5.75" in shown

    def test_a_plain_bill_has_no_such_lines(self, app):
        shown = shown_bill(app, a_due_home(1_000))

        assert "尚需缴纳" not in shown
        assert "更正前的内容" not in shown
        assert "今天可以这样缴" not in shown

    def test_what_the_company_took_off_is_below_zero(self, app):
        home = a_due_home(1_000)
        change(adjusted_fen=-50)

        assert "公司减免-¥0.50" in shown_bill(app, home).replace(" ", "")

    def test_a_credit_shows_what_is_left_of_it(self, app):  # rule 8
        home = a_due_home(-500)
        change(credited_fen=-200)

        shown = shown_bill(app, home).replace(" ", "")

        assert "结余-¥5.00已抵扣其他账单¥2.00剩余结余-¥3.00" in shown

    @pytest.mark.parametrize(
        ("amount_fen", "credited_fen", "said"),
        [(-500, -500, "结余已用完"), (1_000, 1_000, "已由结余抵扣"), (0, 0, "无需缴费")],
    )
    def test_bills_nobody_has_to_pay_say_why(self, app, amount_fen, credited_fen, said):
        home = a_due_home(amount_fen)
        change(credited_fen=credited_fen)

        assert said in shown_bill(app, home)
        assert shown_bill(app, home, english=True)

    def test_a_due_day_off_says_until_when(self, app):  # rule 19
        the_terms("water", '[due]\nroll = "next_working_day"\n')
        off = next(d for d in days_ahead(30) if not is_working_day("CN", d))
        home = a_due_home(1_000, due_on=off)

        assert "是休息日，可缴至" in shown_bill(app, home)
        assert "a day off: payable until" in shown_bill(app, home, english=True)

    def test_a_last_working_day_before_is_said(self, app):
        the_terms("water", '[due]\nroll = "last_working_day_of_month"\n')
        months = (the_day().replace(day=1) + timedelta(days=31 * at) for at in range(2, 30))
        ends = [month.replace(day=1) - timedelta(days=1) for month in months]
        off = next(d for d in ends if not is_working_day("CN", d))
        home = a_due_home(1_000, due_on=off)

        assert "最后一个可缴的工作日" in shown_bill(app, home)

    def test_its_options_and_until_when(self, app):  # rule 3
        until_on = the_day() + timedelta(days=5)
        option = PayOption("early", OptionKind.EARLY, "提前缴费优惠", 950, until_on=until_on)
        home = a_due_home(1_000, pay_terms=PayTerms(options=(option,)))

        shown = shown_bill(app, home)

        assert "今天可以这样缴" in shown
        assert "提前缴费优惠" in shown
        assert f"{until_on.year}年{until_on.month}月{until_on.day}日（含当天）" in shown
        assert "¥9.50" in shown

    def test_what_it_said_before(self, app):
        home = a_due_home(1_000)
        dates = dates_of(home.refs[0])
        home.correct(0, version=2, amount_fen=900, **dates)
        home.correct(0, version=3, amount_fen=800, **dates)

        browser = signed_in(app, home.owner_id)
        page = browser.get(f"/bills/{format_ref(home.refs[0])}").text

        (table,) = html.fromstring(page).xpath("//section[@aria-labelledby='versions']//tbody")
        rows = [[cell.text_content().split()[0] for cell in row.xpath("td")] for row in table]
        assert [(row[0][0], row[-1]) for row in rows] == [
            ("3", "¥8.00"), ("2", "¥9.00"), ("1", "¥10.00"),
        ]  # fmt: skip

    def test_its_reminders_with_number_day_and_fee(self, app):  # rule 11
        home = a_due_home(1_000)
        dates = dates_of(home.refs[0])
        dates |= {"issued_on": the_day(), "due_on": the_day() + timedelta(days=30)}
        bring_in(
            "water",
            a_record(
                home.account_nos[0], "R-77", kind=RecordKind.REMIND, original_no="B1",
                amount_fen=150, items=(), **dates,
            ),
            now=utc_now(),
        )  # fmt: skip

        shown = shown_bill(app, home)

        assert "R-77" in shown
        assert "催缴费 ¥1.50" in shown
        assert f"{the_day().year}年{the_day().month}月{the_day().day}日 发出" in shown

    def test_the_pdf_is_made_in_every_state(self, app):
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        path = f"/bills/{format_ref(home.refs[0])}.pdf"

        for credited_fen in (0, 400, 1_000):
            change(credited_fen=credited_fen)
            assert browser.get(path).content.startswith(b"%PDF-")
