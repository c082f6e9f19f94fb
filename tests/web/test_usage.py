"""The pages of usage: what somebody is told of their own accounts, and nothing of others'."""

import json
import re
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from billing.bills import format_ref
from billing.usage.levels import count_month
from core.clock import add_months, billing_date, month_start, utc_now
from core.db import transaction
from providers.base import BillRecord
from tests.factories import Home, a_home, a_person, a_record, bring_in
from tests.web.conftest import a_browser, signed_in

pytestmark = pytest.mark.usefixtures("city")
USED = 10


def last_month() -> date:
    return add_months(month_start(billing_date(utc_now())), -1)


def dates(month: date) -> dict[str, date]:
    """Never in the future, whatever the day today."""
    return {
        "billing_month": month,
        "issued_on": month + timedelta(days=28),
        "due_on": month + timedelta(days=60),
    }


def a_used_home(months: int = 25, newest: int = USED, before: Sequence[int] = ()) -> Home:
    """A home with water of so many months: the newest, those before it, and ten before these."""
    home = a_home(4_000, usage=Decimal(newest), now=utc_now(), **dates(last_month()))
    bring_in("water", *_rows(home, [*before, *[USED] * months][: months - 1]), now=utc_now())
    return home


def _rows(home: Home, usages: Sequence[int]) -> list[BillRecord]:
    return [
        a_record(
            home.account_nos[0], bill_no=f"M{back}", usage=Decimal(used), amount_fen=used * 400,
            **dates(add_months(last_month(), -back)),
        )
        for back, used in enumerate(usages, start=1)
    ]  # fmt: skip


def account_of(home: Home) -> int:
    return home.refs[0][0]


class TestTheAccount:
    def test_two_years_are_drawn_by_month_and_side_by_side(self, app):
        home = a_used_home()

        page = signed_in(app, home.owner_id).get(f"/usage?account={account_of(home)}").text

        assert page.count('class="usage-chart"') == 2
        assert "看表格" in page
        assert "和上年同月一样" in page
        assert "style=" not in page

    def test_money_is_shown_when_asked_for(self, app):
        home = a_used_home()
        browser = signed_in(app, home.owner_id)

        usage = browser.get(f"/usage?account={account_of(home)}").text
        money = browser.get(f"/usage?account={account_of(home)}&show=money").text

        assert "¥40.00" not in usage
        assert "¥40.00" in money

    def test_the_next_bill_is_a_range_with_its_reason(self, app):
        home = a_used_home()

        page = signed_in(app, home.owner_id).get(f"/usage?account={account_of(home)}").text

        assert '大约 <span class="nowrap">¥35–45</span>' in page
        assert "根据 24 张账单估算" in page

    def test_of_three_bills_nothing_is_foretold(self, app):
        home = a_used_home(3)

        page = signed_in(app, home.owner_id).get(f"/usage?account={account_of(home)}").text

        assert "下一张账单现在还说不准" in page
        assert "还没有上一年" in page

    def test_what_it_is_at_home_says_where_the_figures_are_from(self, app):
        home = a_used_home(2, newest=8)

        page = signed_in(app, home.owner_id).get(f"/usage?account={account_of(home)}").text

        assert "129</strong> 次淋浴" in page
        assert "2.5 千克" in page
        assert "生态环境部" not in page  # that is of electricity
        assert "researcher.life" in page

    def test_what_is_not_metered_is_told_in_money(self, app):
        home = a_home(100, usage=None, now=utc_now(), **dates(last_month()))

        page = signed_in(app, home.owner_id).get(f"/usage?account={account_of(home)}").text

        assert "¥1.00" in page
        assert "相当于家里的什么" not in page

    def test_an_account_without_bills_says_so(self, app):
        home = a_home(100, billing_month=date(2020, 1, 1), now=utc_now())
        browser = signed_in(app, home.owner_id)

        assert "还没有账单" in browser.get(f"/usage?account={account_of(home)}").text
        assert "还没有账单" in browser.get("/usage").text

    def test_in_english_too(self, app):
        home = a_used_home()
        browser = signed_in(app, home.owner_id)
        browser.cookies.set("citybill_locale", "en")

        page = browser.get(f"/usage?account={account_of(home)}").text

        assert "as much as a year before" in page
        assert 'will come to about <span class="nowrap">¥35–45</span>' in page

    def test_what_the_company_estimated_is_marked(self, app):
        home = a_used_home(3)
        with transaction() as session:
            session.execute(
                text(
                    "INSERT INTO bill_reading (account_id, bill_id, version, kind, meter_no,"
                    " recorded_at) VALUES (:account_id, :bill_id, 1, 'estimated', '', now())"
                ),
                {"account_id": home.refs[0][0], "bill_id": home.refs[0][1]},
            )

        page = signed_in(app, home.owner_id).get(f"/usage?account={account_of(home)}").text

        assert "估算读数" in page
        assert "立方米 估</text>" in page

    def test_another_unit_than_the_newest_is_left_out_and_said(self, app):
        home = a_used_home(3)
        month = add_months(last_month(), -3)
        bring_in(
            "water",
            a_record(home.account_nos[0], bill_no="old", usage_unit="kWh", **dates(month)),
            now=utc_now(),
        )  # fmt: skip

        page = signed_in(app, home.owner_id).get(f"/usage?account={account_of(home)}").text

        assert "有 1 张账单的用量是别的单位" in page

    def test_two_meters_are_added_up(self, app):
        home = a_used_home(2, newest=8)
        bring_in(
            "water",
            a_record(
                home.account_nos[0], bill_no="second", usage=Decimal(5),
                **dates(last_month()),
            ),
            now=utc_now(),
        )  # fmt: skip

        page = signed_in(app, home.owner_id).get(f"/usage?account={account_of(home)}").text

        assert "用了 13 立方米" in page

    def test_among_at_least_twenty_homes_it_says_where_one_stands(self, app):
        home = a_used_home(2, newest=30)
        neighbours = [
            a_record(
                f"90000000{number:02d}", usage=Decimal(10), **dates(last_month()))
            for number in range(20)
        ]  # fmt: skip
        bring_in("water", *neighbours, now=utc_now())
        with transaction() as session:
            count_month(session, "water", last_month(), now=utc_now())

        page = signed_in(app, home.owner_id).get(f"/usage?account={account_of(home)}").text

        assert "比多数人家用得多" in page
        assert "汉口路1弄的人家" in page
        assert "由 20 户以上算出" in page


class TestOthers:
    def test_nobody_elses_account_is_shown(self, app):
        home, other = a_used_home(2), a_used_home(2)
        browser = signed_in(app, other.owner_id)

        for path in ("/usage", "/api/v1/usage"):
            answer = browser.get(f"{path}?account={account_of(home)}")
            assert answer.status_code == 404
            assert browser.get(path).status_code == 200

    def test_somebody_without_accounts_is_told_what_to_do(self, app):
        page = signed_in(app, a_person()).get("/usage").text

        assert "还没有" in page
        assert "usage-charts" not in page

    @pytest.mark.parametrize("junk", ["0", "-1", "x", "9" * 30])
    def test_junk_is_no_fault_of_ours(self, app, junk):
        browser = signed_in(app, a_person())

        assert browser.get(f"/usage?account={junk}").status_code == 422

    def test_a_visitor_is_asked_to_sign_in(self, app):
        assert a_browser(app).get("/usage").headers["location"].startswith("/sign-in")


class TestHints:
    def test_an_unusual_usage_is_hinted_at_with_steps(self, app):
        home = a_used_home(newest=60)

        page = signed_in(app, home.owner_id).get(f"/usage?account={account_of(home)}").text

        assert "比平常多出不少" in page
        assert "关紧所有水龙头" in page
        assert "000-0000-0001" in page

    def test_water_whose_lowest_use_keeps_rising_looks_like_a_leak(self, app):
        home = a_used_home(newest=30, before=(12, 7, 8, 6, 5))

        page = signed_in(app, home.owner_id).get(f"/usage?account={account_of(home)}").text

        assert "可能漏水：用了" in page
        assert "一路升高" in page

    def test_it_stands_on_the_home_page_in_one_line(self, app):
        home = a_used_home(newest=60)
        browser = signed_in(app, home.owner_id)

        page = browser.get("/").text
        browser.send_form(f"/usage/hints/{format_ref(home.refs[0])}")

        assert "比平常多出不少" in page
        assert f"/usage?account={account_of(home)}#hint" in page
        assert "比平常多出不少" not in browser.get("/").text

    def test_it_is_put_aside_once_its_reason_is_known_and_brought_back(self, app):
        home = a_used_home(newest=60)
        browser, ref = signed_in(app, home.owner_id), format_ref(home.refs[0])

        for _ in range(2):
            answer = browser.send_form(f"/usage/hints/{ref}", {"known": "yes"})
            assert answer.headers["location"] == f"/usage?account={account_of(home)}#hint"
        aside = browser.get(answer.headers["location"]).text
        home_page = browser.get("/usage").text
        browser.send_form(f"/usage/hints/{ref}", {"known": "no"})
        back = browser.get(answer.headers["location"]).text

        assert "已说明知道原因" in aside
        assert "比平常多出不少" not in home_page
        assert "我们知道原因" in back

    def test_each_puts_it_aside_for_themselves(self, app):
        home = a_used_home(newest=60)
        other = a_person()
        with transaction() as session:
            session.execute(
                text(
                    "INSERT INTO household_member (household_id, person_id, role)"
                    " VALUES (:household_id, :person_id, 'see')"
                ),
                {"household_id": home.household_id, "person_id": other},
            )
        signed_in(app, home.owner_id).send_form(f"/usage/hints/{format_ref(home.refs[0])}")

        assert "比平常多出不少" in signed_in(app, other).get("/usage").text

    def test_nobody_puts_aside_what_they_may_not_see(self, app):
        home = a_used_home(newest=60)

        answer = signed_in(app, a_person()).send_form(f"/usage/hints/{format_ref(home.refs[0])}")

        assert answer.status_code == 404


class TestTheApi:
    def test_it_says_what_the_page_says(self, app):
        home = a_used_home(newest=60)
        browser = signed_in(app, home.owner_id)

        (told,) = browser.get(f"/api/v1/usage?account={account_of(home)}").json()["accounts"]

        assert told["usage_unit"] == "m³"
        assert len(told["months"]) == 24
        assert Decimal(told["months"][-1]["usage"]) == 60
        assert told["months"][-1]["amount_fen"] == 4_000
        low, high = told["next_amount"]["low_fen"], told["next_amount"]["high_fen"]
        assert low < told["next_amount"]["likely_fen"] < high
        assert told["hint"]["known"] is False
        assert told["emission"]["month_grams"] == 18_570  # 60 m³ at 0.3095 kg
        assert told["compared"] is None

    def test_no_figure_of_it_is_inexact(self, app):
        home = a_used_home()
        answer = signed_in(app, home.owner_id).get("/api/v1/usage")

        def refuse(figure: str) -> None:
            raise AssertionError(figure)

        json.loads(answer.text, parse_float=refuse)


class TestOneHome:
    def test_the_switch_shows_one_homes_usage_and_its_accounts_lead_back_to_it(self, app):
        home = a_used_home()
        other = a_home(5_000, owner_id=home.owner_id, now=utc_now(), **dates(last_month()))
        browser = signed_in(app, home.owner_id)
        here, there = account_of(home), account_of(other)

        whole = browser.get("/usage").text
        one = browser.get(f"/usage?home={home.household_id}").text
        account = browser.get(f"/usage?account={here}&home={home.household_id}").text

        assert {f"account={here}", f"account={there}"} <= set(re.findall(r"account=[0-9]+", whole))
        assert set(re.findall(r"account=[0-9]+", one)) == {f"account={here}"}
        assert f"account={here}&amp;home={home.household_id}" in one
        assert f'href="/usage?home={home.household_id}"' in account
        assert f'value="{there}"' not in account
        assert browser.get(f"/usage?account={there}&home={home.household_id}").status_code == 404

    def test_with_one_home_there_is_no_switch(self, app):
        home = a_used_home()

        assert "/usage?home=" not in signed_in(app, home.owner_id).get("/usage").text

    def test_of_somebody_elses_home_there_is_nothing(self, app):
        home, other = a_used_home(), a_home(5_000)
        browser = signed_in(app, home.owner_id)

        assert browser.get(f"/usage?home={other.household_id}").status_code == 404
        told = browser.get(f"/api/v1/usage?household={other.household_id}")
        assert told.json() == {"accounts": []}
        mine = browser.get(f"/api/v1/usage?household={home.household_id}").json()
        assert [one["account_id"] for one in mine["accounts"]] == [account_of(home)]
