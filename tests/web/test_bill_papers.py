"""A bill's page says why it is what it is, and hands out what its company sent beside it."""

import json
from datetime import date
from decimal import Decimal
from urllib.parse import urlencode

import pytest

from billing.bills import format_ref
from providers.base import LineItem, MeterReading, ReadingKind
from tests.billing.test_papers import DAY, NUMBER, PDF, PNG, an_ofd
from tests.factories import a_home, a_record, bring_in, the_terms
from tests.web.conftest import signed_in
from tests.web.forms import text_of
from tests.web.signing import a_signer, content_digest

pytestmark = pytest.mark.usefixtures("city")

STEPS = """
[tiers]
unit = "m³"
more_from_people = 5
steps = [{ upto = 220, yuan = "4.00" }, { upto = 300, yuan = "6.00" }, { yuan = "9.00" }]
"""
PAPERS = "/api/v1/providers/water/bills/papers"
READINGS = "/api/v1/providers/water/bills/readings"


def page_of(app, home, *, english: bool = False) -> str:
    browser = signed_in(app, home.owner_id)
    if english:
        browser.headers["accept-language"] = "en"
    answer = browser.get(f"/bills/{format_ref(home.refs[0])}")
    assert answer.status_code == 200
    return answer.text


def before(home, month: date, usage: str, fen: int, **changes) -> None:
    row = a_record(
        home.account_nos[0], bill_no=f"M{month:%y%m}", billing_month=month, usage=Decimal(usage),
        amount_fen=fen, issued_on=date(2026, 11, 1), due_on=date(2026, 12, 1),
        items=(LineItem("水费", Decimal(usage), "m³", fen),), **changes,
    )  # fmt: skip
    bring_in("water", row)


class TestWhatChanged:
    def test_in_a_sentence_since_last_month_and_since_last_year(self, app):
        the_terms("water", STEPS)
        home = a_home(6_400, usage=Decimal(14))
        before(home, date(2026, 9, 1), "8", 3_200)
        before(home, date(2026, 1, 1), "202", 80_800)
        before(home, date(2025, 10, 1), "16", 6_400)

        told = text_of(page_of(app, home))

        assert "比上月（¥32.00）多 ¥32.00：用水多了 6 立方米，有 4 立方米按第二阶梯计价。" in told
        assert "和去年同期（2025年10月）一样多。" in told

    def test_in_english_too(self, app):
        home = a_home(5_600, usage=Decimal(14))
        before(home, date(2026, 8, 1), "8", 3_200)

        told = text_of(page_of(app, home, english=True))

        lead = "¥24.00 more than the bill before (August 2026, ¥32.00)"
        assert f"{lead}: water used rose by 6 m³." in told

    def test_two_bills_of_a_month_are_one_month(self, app):
        home = a_home(4_000, usage=Decimal(10))
        before(home, date(2026, 9, 1), "8", 3_200)
        bring_in(
            "water",
            a_record(
                home.account_nos[0], bill_no="EXTRA", billing_month=date(2026, 9, 1),
                usage=Decimal(2), amount_fen=800,
            ),
        )  # fmt: skip

        assert "和上月一样多。" in text_of(page_of(app, home))

    def test_a_first_bill_and_a_credit_are_compared_with_nothing(self, app):
        first = a_home(4_000, usage=Decimal(10))
        credit = a_home(-4_000)
        before(credit, date(2026, 9, 1), "8", 3_200)

        for home in (first, credit):
            assert "和以前比" not in text_of(page_of(app, home))

    def test_what_was_long_ago_is_not_the_bill_before(self, app):
        home = a_home(4_000, usage=Decimal(10))
        before(home, date(2026, 2, 1), "8", 3_200)

        assert "上一期" not in text_of(page_of(app, home))


class TestSteps:
    def test_how_much_is_left_until_the_next(self, app):
        the_terms("water", STEPS)
        home = a_home(4_000, usage=Decimal(10))
        before(home, date(2026, 1, 1), "198", 79_200)

        page = page_of(app, home)

        assert "离第二阶梯还有 12 立方米，今年已用 208 立方米。" in text_of(page)
        assert "家里有 5 口人或更多的" in text_of(page)
        assert "<desc>离第二阶梯还有 12 立方米" in page

    def test_a_company_without_steps_says_nothing(self, app):
        assert "阶梯" not in text_of(page_of(app, a_home()))

    def test_steps_of_a_later_day_do_not_explain_an_older_bill(self, app):
        the_terms("water", STEPS, effective_on=date(2026, 11, 2))

        assert "阶梯" not in text_of(page_of(app, a_home()))


class TestTheMeter:
    def test_an_estimate_says_so_and_how_to_send_ones_own_figure(self, app):
        home = a_home(
            reading=MeterReading(Decimal(814), Decimal(822), DAY, ReadingKind.ESTIMATED, "SW-9")
        )

        page = page_of(app, home)

        for words in ("估算", "814", "822", "SW-9", "这一期没有抄到表"):
            assert words in text_of(page)
        assert f'href="/complaints/new?from=/bills/{format_ref(home.refs[0])}"' in page

    def test_a_new_meter_is_told(self, app):
        home = a_home(reading=MeterReading(Decimal(825), Decimal(3), kind=ReadingKind.READ))

        assert "中间换过表" in text_of(page_of(app, home))

    def test_without_a_reading_there_is_no_card(self, app):
        assert "抄表" not in text_of(page_of(app, a_home()))


def target(home, **changes) -> str:
    named = {
        "account_no": home.account_nos[0], "billing_month": "2026-10", "bill_no": "B1",
        "invoice_no": NUMBER, "issued_on": "2026-11-01",
    }  # fmt: skip
    wanted = named | changes
    return f"{PAPERS}?{urlencode({name: one for name, one in wanted.items() if one})}"


def send(app, path: str, body: bytes, media_type: str, company: str = "water"):
    signer = a_signer(app, company)
    return signer.send("PUT", path, body, extra={"Content-Type": media_type})


class TestTheCompanysPapers:
    def test_an_invoice_comes_signed_and_is_handed_out_as_it_came(self, app):
        home = a_home()
        ofd = an_ofd()

        first = send(app, target(home), ofd, "application/ofd")
        again = send(app, target(home), ofd, "application/ofd")

        assert (first.status_code, first.json()["is_new"]) == (200, True)
        assert (again.status_code, again.json()["is_new"]) == (200, False)
        page = page_of(app, home)
        assert NUMBER in text_of(page)
        browser = signed_in(app, home.owner_id)
        got = browser.get(
            f"/bills/{format_ref(home.refs[0])}/papers/{first.json()['sha256']}"
        )  # fmt: skip
        assert got.content == ofd
        assert got.headers["content-type"] == "application/ofd"
        assert got.headers["x-content-type-options"] == "nosniff"
        assert (
            got.headers["content-disposition"]
            == f'attachment; filename="water-2026-10-{NUMBER}.ofd"'
        )

    def test_only_a_pdf_opens_in_the_browser(self, app):
        home = a_home()
        pdf = send(app, target(home), PDF, "application/pdf").json()
        photo = send(app, target(home, invoice_no="", issued_on=""), PNG, "image/png").json()
        browser = signed_in(app, home.owner_id)

        ways = [
            browser.get(f"/bills/{format_ref(home.refs[0])}/papers/{one['sha256']}").headers[
                "content-disposition"
            ]
            for one in (pdf, photo)
        ]

        assert [way.partition(";")[0] for way in ways] == ["inline", "attachment"]
        assert "看看表的照片" in text_of(page_of(app, home))

    def test_nobody_else_gets_it(self, app):
        home, stranger = a_home(), a_home()
        mark = send(app, target(home), PDF, "application/pdf").json()["sha256"]

        for ref in (home.refs[0], stranger.refs[0]):
            path = f"/bills/{format_ref(ref)}/papers/{mark}"
            assert signed_in(app, stranger.owner_id).get(path).status_code == 404

    @pytest.mark.parametrize(
        ("changes", "body", "media_type", "status", "code"),
        [
            ({"bill_no": "B2"}, PDF, "application/pdf", 404, "paper.no_bill"),
            ({"account_no": "0000000000"}, PDF, "application/pdf", 404, "paper.no_bill"),
            ({}, PDF, "application/zip", 422, "paper.type"),
            ({}, PDF, "application/ofd", 422, "paper.other_type"),
            ({"invoice_no": ""}, PDF, "application/pdf", 422, "paper.number"),
            ({}, an_ofd("26312000000048542164"), "application/ofd", 422, "paper.number_differs"),
        ],
        ids=["other bill", "other account", "type", "bytes", "number", "other number"],
    )
    def test_what_does_not_fit_is_refused(self, app, changes, body, media_type, status, code):
        answer = send(app, target(a_home(), **changes), body, media_type)

        assert (answer.status_code, answer.json()["code"]) == (status, code)

    def test_a_company_sends_to_its_own_bills_only(self, app):
        home = a_home()

        assert send(app, target(home), PDF, "application/pdf", "gas").status_code == 403

    def test_a_body_of_another_hash_is_not_taken(self, app):
        home = a_home()
        signer = a_signer(app)
        extra = {"Content-Type": "application/pdf"} | content_digest(PDF)
        target_ = target(home)
        headers = signer.headers("PUT", target_, PDF) | extra

        from_wire = signed_in(app, home.owner_id)
        answer = from_wire.request("PUT", target_, content=PDF + b"!", headers=headers)

        assert (answer.status_code, answer.json()["code"]) == (422, "request.body_differs")

    def test_a_reading_may_come_later(self, app):
        home = a_home()
        said = {
            "account_no": home.account_nos[0], "bill_no": "B1", "billing_month": "2026-10",
            "reading": {"before": 814, "after": 822.5, "read_on": "2026-10-28", "kind": "remote"},
        }  # fmt: skip

        answer = send(app, READINGS, json.dumps(said).encode(), "application/json")

        assert (answer.status_code, answer.json()) == (200, {"version": 1})
        told = text_of(page_of(app, home))
        assert "822.5" in told
        assert "远程抄表" in told

    @pytest.mark.parametrize(
        ("reading", "told"),
        [
            ({}, "says nothing"),
            ({"after": -1}, "reading.after"),
            ({"kind": "guessed"}, "reading.kind"),
            ({"night": 1}, "reading.night"),
        ],
        ids=str,
    )
    def test_a_reading_that_is_none_is_refused(self, app, reading, told):
        said = {
            "account_no": a_home().account_nos[0], "bill_no": "B1", "billing_month": "2026-10",
            "reading": reading,
        }  # fmt: skip

        answer = send(app, READINGS, json.dumps(said).encode(), "application/json")

        assert answer.status_code == 422
        assert told in answer.json()["detail"]


def test_a_page_with_all_of_it_stays_light(app):
    the_terms("water", STEPS)
    home = a_home(
        usage=Decimal(10), reading=MeterReading(Decimal(1), Decimal(11), DAY, ReadingKind.ESTIMATED)
    )
    for month in range(1, 10):
        before(home, date(2026, month, 1), "8", 3_200)
    send(app, target(home), PDF, "application/pdf")

    assert len(page_of(app, home).encode()) < 40_000
