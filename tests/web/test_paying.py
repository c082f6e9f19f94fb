"""Paying on pages: what somebody saw before they confirmed is taken, or it is shown again."""

from datetime import timedelta
from typing import Any

import pytest
from lxml import html
from sqlalchemy import text

from billing.bills import format_ref
from billing.models import MemberRole
from core.clock import billing_date, day_bounds, utc_now
from core.db import transaction
from payments.models import Payment
from providers.base import OptionKind, PayOption, PayTerms
from tests.factories import a_payment, a_person, items_of, join, the_bill, the_terms, violations
from tests.web.conftest import Browser, a_browser, signed_in
from tests.web.forms import a_due_home, fields_of, text_of

pytestmark = pytest.mark.usefixtures("city")

FEE = """
[fee]
tax_ppm = 60_000
slabs = [{ fixed_fen = 50, rate_ppm = 10_000 }]
"""
ANY_AMOUNT = 'surplus = "advance"\n[amount]\nmode = "any"\nminimum_fen = 500\nmaximum_fen = 5_000\n'


def early(amount_fen: int = 950) -> PayTerms:
    until_on = billing_date(utc_now()) + timedelta(days=5)
    option = PayOption("early", OptionKind.EARLY, "提前缴费优惠", amount_fen, until_on=until_on)
    return PayTerms(options=(option,))


def reviewed(browser: Browser, *refs: str, **fields: str) -> Any:
    return browser.send_form("/pay", {"bill": list(refs), **fields})


def confirmed(browser: Browser, page: Any, **changes: str) -> Any:
    return browser.post("/payments", data=fields_of(page.text) | changes)


def the_payment() -> Payment:
    with transaction() as session:
        payment_id = session.execute(text("SELECT id FROM payment")).scalar_one()
        return session.get_one(Payment, payment_id)


def error_beside(page: str) -> tuple[str, str]:
    """What is said beside the field that is marked wrong, and what stands in it."""
    tree = html.fromstring(page)
    (field,) = tree.xpath("//input[@aria-invalid='true']")
    said = tree.get_element_by_id(field.get("aria-describedby").split()[-1])
    return " ".join(said.text_content().split()), field.get("value")


class TestLanguage:
    @pytest.mark.parametrize(("locale", "said"), [("en", "Sandbox Pay"), ("zh_CN", "沙箱支付")])
    def test_ways_to_pay_are_named_in_the_readers_language_alone(self, app, locale, said):
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        browser.send_form("/language", {"locale": locale, "back": "/"})

        review = reviewed(browser, *map(format_ref, home.refs))
        confirmed(browser, review)
        pages = [review.text, browser.get("/payments").text]

        for page in map(text_of, pages):
            assert [name for name in ("Sandbox Pay", "沙箱支付") if name in page] == [said]


class TestReview:
    def test_ticked_reviewed_confirmed_and_sent_to_the_gateways_page(self, app):
        home = a_due_home(1_000, 2_000)
        browser = signed_in(app, home.owner_id)

        page = reviewed(browser, *map(format_ref, home.refs))
        paid, again = confirmed(browser, page), confirmed(browser, page)

        assert page.status_code == 200
        assert "¥30.00" in text_of(page.text)
        assert paid.status_code == 303
        assert "/sandbox/pay/" in paid.headers["location"]
        assert again.headers["location"] == paid.headers["location"]
        assert (the_payment().channel, the_payment().amount_fen) == ("web", 3_000)
        assert violations() == []

    def test_a_bill_with_one_amount_leaves_nothing_to_choose(self, app):
        home = a_due_home(1_000)

        page = reviewed(signed_in(app, home.owner_id), format_ref(home.refs[0]))

        assert 'inputmode="decimal"' not in page.text
        assert "formaction" not in page.text
        assert "缴费手续费" not in page.text

    def test_it_says_on_which_day_it_counts_and_until_when_it_holds(self, app):  # rules 17, 21
        the_terms("water", "[cut_off]\nat = 00:00:00\n\n[quote]\nminutes = 5\n")
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        browser.headers["accept-language"] = "en"

        shown = text_of(reviewed(browser, format_ref(home.refs[0])).text)

        tomorrow = billing_date(utc_now()) + timedelta(days=1)
        assert f"Counts as paid on {tomorrow.day} {tomorrow:%b} {tomorrow.year}" in shown
        assert "Shanghai time" in shown

    def test_days_that_differ_stand_beside_each_bill(self, app):  # rule 21
        the_terms("water", "[cut_off]\nat = 00:00:00\n")
        home = a_due_home(1_000, 2_000)

        page = reviewed(signed_in(app, home.owner_id), *map(format_ref, home.refs))

        assert text_of(page.text).count("计为") == 2

    def test_after_the_last_day_is_said_before_somebody_pays(self, app):
        the_terms("water", "[cut_off]\nat = 00:00:00\n")
        home = a_due_home(1_000, due_on=billing_date(utc_now()))

        page = reviewed(signed_in(app, home.owner_id), format_ref(home.refs[0]))

        assert "滞纳金" in text_of(page.text)

    def test_nothing_ticked_leads_home(self, app):
        answer = reviewed(signed_in(app, a_person()))

        assert (answer.status_code, answer.headers["location"]) == (303, "/")

    def test_somebody_elses_bill_and_one_that_may_only_be_seen_are_not_shown(self, app):
        home, other = a_due_home(1_000), a_due_home(1_000)
        guest = a_person()
        join(home, guest, MemberRole.SEE)

        answers = [
            reviewed(signed_in(app, other.owner_id), format_ref(home.refs[0])),
            reviewed(signed_in(app, guest), format_ref(home.refs[0])),
        ]

        assert [answer.status_code for answer in answers] == [404, 404]

    @pytest.mark.parametrize(
        "fields",
        [{"shown:{}": "x"}, {"shown:{}": "9" * 40}, {"shown:{}": "-1"}, {"option:{}": "no-such"},
         {"option:{}": "\x00"}, {"option:{}": "early", "amount:{}:early": "9" * 500},
         {"gateway": "no-such"}],
    )  # fmt: skip
    def test_junk_in_the_form_is_no_fault_of_ours(self, app, fields):
        home = a_due_home(1_000)
        ref = format_ref(home.refs[0])

        answer = reviewed(
            signed_in(app, home.owner_id), ref,
            **{name.format(ref): value for name, value in fields.items()},
        )  # fmt: skip

        assert answer.status_code in {200, 409}
        assert "¥10.00" in answer.text

    def test_too_many_bills_are_refused(self, app):
        refs = [f"1.{at}" for at in range(51)]

        assert reviewed(signed_in(app, a_person()), *refs).status_code == 422


class TestFees:
    def test_fee_and_its_tax_are_lines_of_their_own(self, app):  # rule 4
        the_terms("water", FEE)
        home = a_due_home(1_000, 2_000)
        browser = signed_in(app, home.owner_id)

        page = reviewed(browser, *map(format_ref, home.refs))
        confirmed(browser, page)

        shown = text_of(page.text)
        assert "缴费手续费¥0.60" in shown
        assert "手续费税费¥0.04" in shown
        assert "¥30.64" in shown
        payment = the_payment()
        assert (payment.amount_fen, payment.fee_fen, payment.fee_tax_fen) == (3_064, 60, 4)
        after = text_of(browser.get(f"/payments/{payment.id}").text)
        assert "缴费手续费¥0.60" in after.replace(" ", "")
        assert "¥30.64" in after

    def test_a_fee_that_changed_is_shown_again_with_both_totals(self, app):  # rules 4, 17
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        page = reviewed(browser, format_ref(home.refs[0]))
        the_terms("water", FEE)

        refused = confirmed(browser, page)

        assert refused.status_code == 409
        assert "合计原为 ¥10.00，现为 ¥10.64" in text_of(refused.text)
        assert the_bill(home.refs[0]).held_by is None
        assert confirmed(browser, refused).status_code == 303
        assert the_payment().amount_fen == 1_064

    @pytest.mark.parametrize("off", ["1001", "999"])
    def test_a_fen_off_in_the_total_is_another_total(self, app, off):
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)

        answer = confirmed(browser, reviewed(browser, format_ref(home.refs[0])), total_fen=off)

        assert answer.status_code == 409
        assert the_bill(home.refs[0]).held_by is None


class TestWhatChanged:
    def test_a_corrected_bill_is_shown_again_with_both_amounts(self, app):
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        page = reviewed(browser, format_ref(home.refs[0]))
        bill = the_bill(home.refs[0])
        dates = {n: getattr(bill, n) for n in ("billing_month", "issued_on", "due_on")}
        home.correct(0, version=2, amount_fen=900, **dates)

        answer = confirmed(browser, page)

        assert answer.status_code == 409
        assert "原为 ¥10.00，现为 ¥9.00" in text_of(answer.text)
        assert the_bill(home.refs[0]).held_by is None
        assert confirmed(browser, answer).status_code == 303

    def test_amounts_shown_too_long_ago_are_shown_again(self, app):  # rule 17
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        page = reviewed(browser, format_ref(home.refs[0]))
        long_ago = (utc_now() - timedelta(minutes=31)).isoformat()

        answer = confirmed(browser, page, quoted_at=long_ago)

        assert answer.status_code == 409
        assert "显示的时间过久" in text_of(answer.text)
        assert confirmed(browser, answer).status_code == 303

    def test_what_became_late_while_the_page_stood_open_is_shown_again(self, app):  # rule 21
        the_terms("water", "[cut_off]\nat = 00:00:01\n\n[quote]\nminutes = 1440\n")
        today = billing_date(utc_now())
        home = a_due_home(1_000, due_on=today)
        browser = signed_in(app, home.owner_id)
        page = reviewed(browser, format_ref(home.refs[0]))
        in_time = day_bounds(today)[0].isoformat()  # a second before the cut-off

        answer = confirmed(browser, page, quoted_at=in_time)

        assert answer.status_code == 409
        assert "现在缴费会算作逾期" in text_of(answer.text)
        assert the_bill(home.refs[0]).held_by is None
        assert confirmed(browser, answer).status_code == 303

    @pytest.mark.parametrize("moment", ["", "yesterday", "0001-01-01T00:00:00Z", "2026-11-20"])
    def test_a_moment_that_is_none_is_no_fault_of_ours(self, app, moment):
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)

        answer = confirmed(
            browser, reviewed(browser, format_ref(home.refs[0])), quoted_at=moment
        )  # fmt: skip

        assert answer.status_code == 422

    def test_a_bill_being_paid_is_left_out_with_the_time_it_is_free(self, app):  # rule 31
        home = a_due_home(1_000, 2_000)
        browser = signed_in(app, home.owner_id)
        page = reviewed(browser, *map(format_ref, home.refs))
        first = a_payment(home, home.refs[0], now=utc_now())

        answer = confirmed(browser, page)

        shown = text_of(answer.text)
        assert answer.status_code == 409
        assert "正在缴费" in shown
        assert f"{first.expires_at + timedelta(hours=8):%H:%M} 起可以重新缴费" in shown
        assert fields_of(answer.text)["bill"] == [format_ref(home.refs[1])]
        assert confirmed(browser, answer).status_code == 303

    def test_when_nothing_is_left_the_page_says_so_and_asks_for_nothing(self, app):
        home = a_due_home(1_000)
        a_payment(home, now=utc_now())

        answer = reviewed(signed_in(app, home.owner_id), format_ref(home.refs[0]))

        assert answer.status_code == 409
        assert "total_fen" not in fields_of(answer.text)

    def test_an_option_that_is_gone_is_said_and_the_open_amount_stands(self, app):
        home = a_due_home(1_000, pay_terms=early())
        browser = signed_in(app, home.owner_id)
        ref = format_ref(home.refs[0])
        page = reviewed(browser, ref, **{f"option:{ref}": "early"})
        bill = the_bill(home.refs[0])
        dates = {n: getattr(bill, n) for n in ("billing_month", "issued_on", "due_on")}
        home.correct(0, version=2, amount_fen=1_000, **dates)

        answer = confirmed(browser, page)

        assert answer.status_code == 422  # the bill has no such option any more
        assert "已不可用" in text_of(answer.text)
        assert fields_of(answer.text)["total_fen"] == ["1000"]
        assert the_bill(home.refs[0]).held_by is None


class TestChoosing:
    def test_an_early_amount_is_a_discount_on_a_line_of_its_own(self, app):  # rule 3
        home = a_due_home(1_000, pay_terms=early())
        browser = signed_in(app, home.owner_id)
        ref = format_ref(home.refs[0])
        first = reviewed(browser, ref)

        page = browser.post("/pay", data=fields_of(first.text) | {f"option:{ref}": "early"})
        paid = confirmed(browser, page)

        assert fields_of(first.text)["total_fen"] == ["1000"]
        assert "提前缴费优惠-¥0.50" in text_of(page.text).replace(" ", "")
        assert fields_of(page.text)["total_fen"] == ["950"]
        assert paid.status_code == 303
        (item,) = items_of(the_payment())
        assert (item.amount_fen, item.adjust_fen, item.option_code) == (950, -50, "early")

    def test_confirmed_without_updating_first_shows_the_new_total(self, app):
        home = a_due_home(1_000, pay_terms=early())
        browser = signed_in(app, home.owner_id)
        ref = format_ref(home.refs[0])

        answer = confirmed(browser, reviewed(browser, ref), **{f"option:{ref}": "early"})

        assert answer.status_code == 409
        assert "合计原为 ¥10.00，现为 ¥9.50" in text_of(answer.text)
        assert the_bill(home.refs[0]).held_by is None
        assert confirmed(browser, answer).status_code == 303

    def test_a_part_is_paid_and_the_rest_is_said(self, app):  # rule 2
        the_terms("water", ANY_AMOUNT)
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        ref = format_ref(home.refs[0])

        page = reviewed(browser, ref, **{f"amount:{ref}:": "6.5"})

        assert "还有 ¥3.50 未缴" in text_of(page.text)
        assert fields_of(page.text)["total_fen"] == ["650"]
        assert fields_of(page.text)[f"amount:{ref}:"] == ["6.5"]
        assert confirmed(browser, page).status_code == 303
        assert the_payment().amount_fen == 650

    def test_more_than_is_open_is_kept_for_the_next_bill(self, app):
        the_terms("water", ANY_AMOUNT)
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        ref = format_ref(home.refs[0])

        page = reviewed(browser, ref, **{f"amount:{ref}:": "12"})
        confirmed(browser, page)

        assert "预缴" in text_of(page.text)
        payment = the_payment()
        assert [item.advance_fen for item in items_of(payment)] == [200]
        assert "其中 ¥2.00" in text_of(browser.get(f"/payments/{payment.id}").text)

    def test_the_range_is_said_in_words(self, app):
        the_terms("water", ANY_AMOUNT)
        home = a_due_home(1_000)

        page = reviewed(signed_in(app, home.owner_id), format_ref(home.refs[0]))

        assert "可填 ¥5.00 至 ¥50.00" in text_of(page.text)

    @pytest.mark.parametrize(
        ("typed", "told"),
        [("abc", "86.50"), ("１２", "86.50"), ("1e3", "86.50"), ("6.123", "86.50"),
         (" 6", "86.50"), ("6,00", "86.50"), ("-6", "至少缴 ¥5.00"), ("4.99", "至少缴 ¥5.00"),
         ("0", "至少缴 ¥5.00"), ("50.01", "最多缴 ¥50.00"), ("9999999999", "最多缴 ¥50.00")],
    )  # fmt: skip
    def test_what_is_wrong_is_said_beside_the_field_and_what_was_typed_stays(
        self, app, typed, told
    ):
        the_terms("water", ANY_AMOUNT)
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        ref = format_ref(home.refs[0])
        before = reviewed(browser, ref)
        wrong = {f"amount:{ref}:": typed}

        updated = browser.post("/pay", data=fields_of(before.text) | wrong)
        confirmed_at_once = confirmed(browser, before, **wrong)

        for answer in (updated, confirmed_at_once):
            said, kept = error_beside(answer.text)
            assert answer.status_code == 422
            assert told in said
            assert kept == typed
            assert "total_fen" not in fields_of(answer.text)
        assert the_bill(home.refs[0]).held_by is None

    def test_what_was_typed_beside_another_option_stays_too(self, app):
        the_terms("water", ANY_AMOUNT)
        home = a_due_home(1_000, pay_terms=early())
        browser = signed_in(app, home.owner_id)
        ref = format_ref(home.refs[0])

        page = reviewed(browser, ref, **{f"option:{ref}": "early", f"amount:{ref}:": "7"})

        assert fields_of(page.text)[f"amount:{ref}:"] == ["7"]
        assert fields_of(page.text)["total_fen"] == ["950"]

    def test_a_step_is_said_and_held(self, app):
        the_terms("water", '[amount]\nmode = "multiple_of"\nmultiple_fen = 500\n')
        home = a_due_home(2_000)
        browser = signed_in(app, home.owner_id)
        ref = format_ref(home.refs[0])

        answer = reviewed(browser, ref, **{f"amount:{ref}:": "7.50"})

        assert "整数倍" in error_beside(answer.text)[0]
        assert reviewed(browser, ref, **{f"amount:{ref}:": "15"}).status_code == 200

    def test_a_limit_of_a_company_is_said_and_nothing_can_be_confirmed(self, app):  # rule 5
        limit = '[[limits]]\nmode = "wallet"\nchannels = ["web"]\nmaximum_fen = 999\n'
        the_terms("water", limit)
        home = a_due_home(1_000)

        answer = reviewed(signed_in(app, home.owner_id), format_ref(home.refs[0]))

        assert answer.status_code == 422
        assert "最多收 ¥9.99" in text_of(answer.text)
        assert "total_fen" not in fields_of(answer.text)

    @pytest.mark.parametrize(
        "limit",
        ['mode = "cash"\nchannels = ["counter"]', 'mode = "wallet"\nchannels = ["counter"]'],
    )
    def test_a_way_to_pay_that_is_not_taken_is_said(self, app, limit):  # rule 5
        the_terms("water", f"[[limits]]\n{limit}\n")
        home = a_due_home(1_000)

        answer = reviewed(signed_in(app, home.owner_id), format_ref(home.refs[0]))

        assert answer.status_code == 422
        assert "不接受这种支付方式" in text_of(answer.text)

    def test_late_fees_and_what_was_paid_are_lines_of_their_own(self, app):
        home = a_due_home(1_000)
        with transaction() as session:
            session.execute(text("UPDATE bill SET adjusted_fen = 75, paid_fen = 300"))

        page = reviewed(signed_in(app, home.owner_id), format_ref(home.refs[0]))

        shown = text_of(page.text).replace(" ", "")
        assert "账单金额¥10.00滞纳金及附加费¥0.75已缴-¥3.00" in shown
        assert fields_of(page.text)["total_fen"] == ["775"]


class TestNothingToPay:
    def test_a_bill_of_zero_is_confirmed_without_a_gateway(self, app):  # rule 7
        home = a_due_home(0)
        browser = signed_in(app, home.owner_id)
        ref = format_ref(home.refs[0])
        assert 'action="/pay"' in browser.get(f"/bills/{ref}").text

        page = reviewed(browser, ref)
        paid = confirmed(browser, page)

        assert "无需缴费，不会扣款" in text_of(page.text)
        payment = the_payment()
        assert paid.headers["location"] == f"/payments/{payment.id}"
        assert (payment.gateway, payment.amount_fen) == ("none", 0)
        assert browser.get(f"/payments/{payment.id}").status_code == 200
        assert "1 笔账单 · 无需缴费" in text_of(browser.get("/payments").text)
        assert 'action="/pay"' not in browser.get(f"/bills/{ref}").text
        assert violations() == []

    def test_it_does_not_go_together_with_others(self, app):
        home = a_due_home(0, 1_000)

        answer = reviewed(signed_in(app, home.owner_id), *map(format_ref, home.refs))

        assert answer.status_code == 422
        assert "单独确认" in text_of(answer.text)

    def test_a_credit_is_left_out(self, app):  # rule 8
        home = a_due_home(-500, 1_000)

        answer = reviewed(signed_in(app, home.owner_id), *map(format_ref, home.refs))

        assert "无需缴费，已移出" in text_of(answer.text)
        assert fields_of(answer.text)["total_fen"] == ["1000"]

    def test_a_form_that_says_zero_of_a_bill_that_is_not_pays_nothing(self, app):
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        ref = format_ref(home.refs[0])
        page = reviewed(browser, ref)

        for lie in ({"total_fen": "0"}, {f"amount:{ref}:": "0"}, {"gateway": "none"}):
            answer = confirmed(browser, page, **lie)
            assert answer.status_code in {404, 409, 422}
        assert the_bill(home.refs[0]).held_by is None


class TestMoneyThatGoesBack:
    def test_both_steps_are_on_the_payments_page(self, app):  # rule 29
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        confirmed(browser, reviewed(browser, format_ref(home.refs[0])))
        payment = the_payment()
        with transaction() as session:
            session.execute(
                text("""
                    INSERT INTO receipt (id, source, source_ref, payment_id, amount_fen, reason,
                                         state, received_at)
                    VALUES (1, 'sandbox', 'r-1', :payment, 1000, 'paid a second time',
                            'suspended', now())
                """),
                {"payment": payment.id},
            )

        waiting = text_of(browser.get(f"/payments/{payment.id}").text)
        with transaction() as session:
            session.execute(text("UPDATE receipt SET state = 'returned', returned_at = now()"))
        sent = text_of(browser.get(f"/payments/{payment.id}").text)

        assert "重复收到 ¥10.00" in waiting
        assert "正在退回途中" in waiting
        assert f"已于 {billing_date(utc_now()).year}年" in sent


def test_both_pages_speak_english_too(app):
    the_terms("water", ANY_AMOUNT + FEE)
    home = a_due_home(1_000, pay_terms=early())
    browser = signed_in(app, home.owner_id)
    browser.headers["accept-language"] = "en"
    ref = format_ref(home.refs[0])

    shown = text_of(reviewed(browser, ref, **{f"amount:{ref}:": "x"}).text)

    assert "Write the amount in yuan" in shown
    assert "From ¥5.00 to ¥50.00." in shown
    assert "Update the total" in shown


def test_nobody_pays_without_signing_in(app):
    assert (
        a_browser(app).post("/pay", data={"bill": "1.1"}).headers["location"].startswith("/sign-in")
    )
