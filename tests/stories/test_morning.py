"""A morning in the office: yesterday is looked at, explained, closed, and the companies are paid.

Told in order, in a running town with two months behind it; both clerks are browsers.
"""

import csv
import json
import shutil
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

import pytest
from lxml import etree
from playwright.sync_api import Browser, Page
from pypdfium2 import PdfDocument

from core.clock import BILLING_ZONE, utc_now
from core.money import format_yuan, parse_yuan, yuan_text
from tests.chromium import opened
from tests.stories.town import Town, eventually, sign_in

STAFF, COLLEAGUE = "staff@citybill.example", "staff2@citybill.example"
DESK = {"width": 1280, "height": 900}
SHOP = "counter"
LISTS_DUE, LATE_FEES_DUE = time(6), time(2)  # in the city's time
_DAY = timedelta(days=1)

pytestmark = pytest.mark.timeout(400)


class Paid(NamedTuple):
    """A line of the shop's file."""

    order_no: str
    fen: int


class OldTown(Town):
    """A town with a past, whose yesterday nobody has looked at."""

    def begin(self) -> dict[str, str]:
        told = json.loads(self.run("tests.stories.yesterday").stdout)
        self.day = date.fromisoformat(told["day"])
        self.balances: dict[str, int] = told["balances"]
        self.shop_file: list[list[str]] = list(csv.reader(told["shop_file"].splitlines()))
        keys: dict[str, str] = told["keys"]
        return keys

    @property
    def paid(self) -> list[Paid]:
        """Return what was paid yesterday, the smallest sum first."""
        rows = self.shop_file[2:-1]
        return sorted((Paid(row[2], parse_yuan(row[4])) for row in rows), key=lambda one: one.fen)

    @property
    def total_fen(self) -> int:
        return sum(one.fen for one in self.paid)

    def file_of(self, paid: list[Paid]) -> bytes:
        """Write the shop's file as if this were all it had taken."""
        sums = {one.order_no: one.fen for one in paid}
        rows = [
            [*row[:4], yuan_text(sums[row[2]]), *row[5:]]
            for row in self.shop_file[2:-1]
            if row[2] in sums
        ]
        total = ["#TOTAL", str(len(rows)), yuan_text(sum(sums.values()))]
        lines = [*self.shop_file[:2], *rows, total]
        return "".join(",".join(line) + "\r\n" for line in lines).encode()


@pytest.fixture(scope="module")
def town() -> Iterator[OldTown]:
    running = OldTown()
    yield running
    assert running.stop() == 0
    shutil.rmtree(running.data_dir, ignore_errors=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened() as browser:
        yield browser


@pytest.fixture(scope="module")
def clerk(browser: Browser, town: OldTown) -> Page:
    return sign_in(browser, town, STAFF, DESK)


@pytest.fixture(scope="module")
def colleague(browser: Browser, town: OldTown) -> Page:
    return sign_in(browser, town, COLLEAGUE, DESK)


def go(page: Page, town: Town, path: str) -> str:
    """Open a page of the console; returns what it says."""
    page.goto(f"{town.web}/console{path}")
    return page.inner_text("main")


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def down_to(page: Page, words: str) -> None:
    """Press ``j`` until the row that says something has the focus."""
    row = page.locator("[data-row]:focus-within", has_text=words)
    for _ in range(page.locator("[data-row]").count()):
        if row.count():
            return
        press(page, "j")
    assert row.count(), f"no row says {words}"


def say_why(page: Page, reason: str) -> str:
    """Type into the field that ``a`` has gone to, and send it; returns what the page says then."""
    page.keyboard.type(reason)
    with page.expect_navigation():
        press(page, "Enter")
    return page.inner_text("main")


def hand_in(page: Page, town: OldTown, content: bytes) -> str:
    """Bring yesterday's file of the shop; returns what is said of the day."""
    go(page, town, "/reconciliations")
    page.select_option("#source", SHOP)
    page.fill("#day", str(town.day))
    name = f"corner-{town.day}.csv"
    page.set_input_files("#file", {"name": name, "mimeType": "text/csv", "buffer": content})
    page.click("form:has(#file) button")
    page.wait_for_url(f"**/console/reconciliations/{SHOP}/{town.day}")
    return page.inner_text("main")


def mt940(account: str, since: date, balance_fen: int, *, on: date, fen: int = 0) -> bytes:
    """Write what a bank says of the days since, in which one sum came or none."""

    def said(amount_fen: int) -> str:
        return yuan_text(amount_fen).replace(".", ",")

    entry = [f":61:{on:%y%m%d}{on:%m%d}C{said(fen)}NTRFNONREF//M1", ":86:166?20代收水电燃气费"]
    lines = [
        f":20:M{on:%Y%m%d}", f":25:{account}", f":28C:{on:%j}/1",
        f":60F:C{since:%y%m%d}CNY{said(balance_fen)}", *(entry if fen else []),
        f":62F:C{on:%y%m%d}CNY{said(balance_fen + fen)}", "-", "",
    ]  # fmt: skip
    return "\n".join(lines).encode()


def text_of(pdf: bytes) -> str:
    document = PdfDocument(pdf)
    return "\n".join(page.get_textpage().get_text_range() for page in document)


class TestWhatTheShopSaysOfYesterday:
    def test_today_says_that_a_day_waits_to_be_closed(self, clerk, town):
        assert "有 1 天待结账" in go(clerk, town, "")

    def test_a_file_with_faults_makes_differences(self, clerk, town):
        smallest, *rest, largest = town.paid
        wrong = rest[0]._replace(fen=rest[0].fen + 1)

        said = hand_in(clerk, town, town.file_of([wrong, *rest[1:]]))

        assert all(one.order_no in said for one in (smallest, wrong, largest))

    def test_a_fen_is_accepted_by_keyboard_with_a_reason(self, clerk, town):
        odd = town.paid[1]
        go(clerk, town, "/breaks?leg=gateway")
        press(clerk, "j", "j", "k")
        down_to(clerk, odd.order_no)
        press(clerk, "x", "a")

        said = say_why(clerk, "店里多收了一分")

        assert "已确认 1 条差异" in said
        assert odd.order_no not in clerk.inner_text("form[data-breaks]")

    def test_what_is_large_is_only_proposed(self, clerk, town):
        go(clerk, town, "/breaks?leg=gateway")
        down_to(clerk, town.paid[-1].order_no)
        press(clerk, "a")

        assert "已提出 1 条" in say_why(clerk, "店里说明天补")
        assert "待批准" in clerk.inner_text("form[data-breaks]")

    def test_what_was_paid_to_our_bank_instead_is_said_and_approved(self, clerk, colleague, town):
        go(clerk, town, "/breaks?leg=gateway&kind=other_route")
        press(clerk, "j", "Enter")
        clerk.wait_for_selector("[value=rematch]")
        clerk.check("[value=rematch]")
        clerk.fill("[data-reason]", "住户带来了转账回单")
        with clerk.expect_navigation():
            clerk.click("form[action$='/act'] button")
        page = colleague if "待批准" in clerk.inner_text("main") else clerk
        page.goto(clerk.url)
        if page is colleague:
            with page.expect_navigation():
                page.click("form[action$='/approval'] button")

        said = page.inner_text("main")
        assert "已处理" in said
        assert "已见于银行对账单" in said

    def test_what_the_bank_left_over_is_accepted_at_once(self, clerk, town):
        go(clerk, town, "/breaks?leg=bank")
        clerk.click("[data-all]")

        assert "已提出" in say_why(clerk, "上月的事，主管知道")

    def test_a_colleague_approves_all_of_it_by_keyboard(self, colleague, town):
        said = go(colleague, town, "/approvals")
        assert town.paid[-1].order_no in said
        while colleague.locator("[id^=break_act-] [data-approve]").count():
            down_to(colleague, "确认无误")
            press(colleague, "a")
            with colleague.expect_navigation():
                press(colleague, "Enter")

        assert town.paid[-1].order_no not in go(colleague, town, "/approvals")
        assert town.paid[-1].order_no in go(colleague, town, "/breaks?state=resolved")

    def test_the_true_file_explains_what_was_left(self, clerk, town):
        left = town.paid[0].order_no
        assert left in go(clerk, town, "/breaks")

        said = hand_in(clerk, town, town.file_of(town.paid))

        assert format_yuan(town.total_fen) in said
        assert left not in said
        assert left in go(clerk, town, "/breaks?state=explained")
        assert "全部对平，没有差异" in go(clerk, town, "/breaks")


class TestTheBankAndTheCompanies:
    def test_statements_come_in_and_the_shops_money_is_found(self, clerk, town):
        ours, paying = sorted(town.balances, reverse=True)
        since, today = town.day - 8 * _DAY, town.day + _DAY
        files = {
            "ours.sta": mt940(ours, since, town.balances[ours], on=today, fen=town.total_fen),
            "paying.sta": mt940(paying, since, town.balances[paying], on=today),
        }
        go(clerk, town, "/bank")
        clerk.set_input_files(
            "#files",
            [{"name": name, "mimeType": "", "buffer": it} for name, it in files.items()],
        )
        clerk.click("form:has(#files) button")

        said = clerk.locator(".notice", has_text="ours.sta").inner_text()
        assert "新增流水 1 笔。勾对 1 笔。" in said
        matched = go(clerk, town, f"/bank/expected?source={SHOP}&state=matched")
        assert format_yuan(town.total_fen) in matched

    def test_each_list_of_a_company_that_is_due_is_here_and_agrees(self, clerk, town):
        shown = clerk.locator("[data-row]", has=clerk.locator(f"a[href$='/{town.day}']"))

        def balanced() -> bool:
            go(clerk, town, "/company-lists")
            return shown.filter(has_text="已对平").count() == shown.count() >= 1

        if is_past(town.day, LISTS_DUE):
            eventually(balanced, what="every company's list of yesterday agrees")
        assert "差异" not in " ".join(shown.locator("[data-label=状态]").all_inner_texts())


def is_past(day: date, hour: time) -> bool:
    """Tell whether it is later than an hour of the day after."""
    return utc_now() > datetime.combine(day + _DAY, hour, tzinfo=BILLING_ZONE)


class TestYesterdayIsClosed:
    def test_its_checklist_turns_green(self, clerk, town):
        comes_later = 2 - is_past(town.day, LATE_FEES_DUE) - is_past(town.day, LISTS_DUE)

        def green() -> bool:
            go(clerk, town, f"/days/{town.day}")
            return (
                clerk.locator(".check--problem").count() == 0
                and clerk.locator(".check--waiting").count() <= comes_later
            )

        eventually(green, seconds=60, what="the checklist of yesterday is green")

    def test_it_is_closed_with_a_seal(self, clerk, town):
        go(clerk, town, f"/days/{town.day}")
        if clerk.locator("#despite").count():  # the companies' lists come at six
            clerk.fill("#despite", "名单要到六点")
        clerk.check("[name=sure]")
        clerk.click("form[action$='/closing'] button")

        facts = clerk.locator("dl.facts").first.inner_text()
        assert "封账印记" in facts
        assert STAFF in facts
        assert "天待结账" not in go(clerk, town, "")

    def test_its_report_has_the_days_total(self, clerk, town):
        pdf = clerk.request.get(f"{town.web}/console/days/{town.day}/report.pdf").body()

        assert format_yuan(town.total_fen) in text_of(pdf)


class TestACompanyIsPaid:
    def test_one_releases_and_the_other_approves(self, clerk, colleague, town):
        go(clerk, town, "/remittances?stage=proposed")
        clerk.locator("[data-row] a").first.click()
        clerk.click("form[action$='/release'] button")
        assert "待批准" in clerk.inner_text("main")

        go(colleague, town, "/approvals")
        down_to(colleague, "划拨")
        press(colleague, "a")
        with colleague.expect_navigation():
            press(colleague, "Enter")

        clerk.reload()
        assert "已批准" in clerk.inner_text("main")

    def test_its_advice_names_the_sum(self, clerk, town):
        number = clerk.locator("h1").inner_text()
        pdf = clerk.request.get(f"{clerk.url}/advice.pdf").body()

        assert any(word in text_of(pdf) for word in number.split())

    def test_the_banks_file_has_that_payment_and_no_other(self, clerk, town):
        go(clerk, town, "/remittances")
        clerk.click("form[action$='/remittances/files'] button")
        clerk.wait_for_url("**/remittances/files/*")
        shown = clerk.inner_text("main")

        xml = clerk.request.get(f"{clerk.url}/pain.001.xml").body()

        told = etree.fromstring(xml)
        space = {None: etree.QName(told).namespace}
        sums = [parse_yuan(one.text or "") for one in told.findall(".//InstdAmt", space)]
        assert told.findtext(".//GrpHdr/NbOfTxs", namespaces=space) == str(len(sums)) == "1"
        assert format_yuan(sum(sums)) in shown
        assert (told.findtext(".//EndToEndId", namespaces=space) or "-") in shown


class TestWhoLookedAtWhom:
    def test_a_resident_is_found_by_account_no_and_the_look_is_on_record(self, clerk, town):
        account_no = json.loads(town.run("simulator", "household", "1").stdout)["accounts"]["water"]
        go(clerk, town, "/residents")
        clerk.fill("#q", account_no)
        clerk.click("form:has(#q) button")
        clerk.check("input[name=reason][value=asked]")
        clerk.fill("#words", "来电 42 号")
        clerk.click("form[action$='/reason'] button")
        assert "来电 42 号" in clerk.inner_text("main")

        log = go(clerk, town, "/audit")

        assert "查看居民" in log
        assert "来电 42 号" in log
        assert account_no not in log


def test_every_invariant_of_the_ledger_is_true_afterwards(town):
    told = json.loads(town.citybill("ledger", "verify", "--json").stdout)

    assert told["ok"] is True, told
    assert all(one["ok"] for one in told["checks"])
