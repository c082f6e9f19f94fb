"""Told of autopay: what, how much and when; once; and not what is no longer so."""

import re
from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlmodel import col, select

from billing.bills import parse_ref
from billing.models import MemberRole
from billing.views import AccountView
from core.clock import utc_now
from core.db import transaction
from notifications.autopay_notices import tell_mandate, tell_owed_again, tell_run
from notifications.autopay_words import Run, mandate_facts, run_facts
from notifications.catalogue import EVENTS
from notifications.models import Notice
from notifications.notices import tell_paid
from notifications.wording.built_in import built_in
from notifications.wording.rendering import Facts, Key, words_of
from notifications.wording.template import Form
from payments import write_offs
from payments.autopay import mandates, planning
from payments.autopay.mandates import Scope
from payments.autopay.models import AutopayRun, Mandate
from payments.autopay.rules import CapKind, FirstBill, NotPaid, Rules
from payments.autopay.states import RunState
from payments.gateways.base import MandateReply, MandateState
from payments.models import Payment
from tests.conftest import as_owner
from tests.factories import (
    NOW,
    REFUSED,
    Home,
    a_home,
    a_paid_payment,
    at_once,
    items_of,
    the_terms,
)
from tests.notifications.far import Far, hand_over
from tests.notifications.test_notices import Shown
from tests.payments.autopay.autopaying import (
    ENROLLED,
    UP_TO_200,
    FarDebits,
    a_mandate,
    debit,
    live_through,
    noon,
    plan,
    poll,
    the_run,
)
from workers import jobs, tasks
from workers.relay import FOLLOWS, relay

URL = "https://citybill.example"
DUE = date(2026, 11, 30)
TELL_ON, AFTER = DUE - timedelta(days=5), DUE + timedelta(days=1)
REGISTERED = tasks  # importing it registers every job
LOCALES = ["zh_CN", "en"]
EVENTS_OF_RUNS = [event for event in EVENTS if event.startswith("autopay.")]


@pytest.fixture
def far() -> FarDebits:
    return FarDebits()


def a_mandated_home(
    *amounts_fen: int, rules: Rules = UP_TO_200, locale: str = "en", **changes: object
) -> Home:
    home = a_home(*(amounts_fen or (8_650,)), due_on=DUE, **changes)
    with transaction() as session:
        session.execute(text("UPDATE person SET locale = :locale"), {"locale": locale})
    a_mandate(home, rules)
    return home


def told() -> list[Notice]:
    """The inbox of everybody, in order."""
    with transaction() as session:
        wanted = select(Notice).where(Notice.channel == "inbox").order_by(col(Notice.id))
        return list(session.exec(wanted))


def titles() -> list[str]:
    return [one.title for one in told()]


def events() -> list[str]:
    return [one.event for one in told()]


def tell(far: FarDebits, now: datetime = NOW) -> None:
    """Do the notices' jobs of every event there ever was, as if each had been repeated."""
    jobs = {
        "notices.autopay": (int, tell_run), "notices.mandate": (int, tell_mandate),
        "notices.owed_again": (parse_ref, tell_owed_again),
    }  # fmt: skip
    with transaction() as session:
        found = session.execute(text("SELECT topic, subject_id FROM outbox_event ORDER BY id"))
        follow = [(task, row[1]) for row in found for task in FOLLOWS[row[0]] if task in jobs]
    for task, subject_id in follow:
        read, tell_of = jobs[task]
        with transaction() as session:
            tell_of(session, read(subject_id), {far.code: far}, public_url=URL, now=now)


def live_and_tell(far: FarDebits, first: date, last: date) -> None:
    """Let the days pass, with the notices of each told on it."""
    day = first
    while day <= last:
        live_through(far, day, day)
        tell(far, noon(day))
        day += timedelta(days=1)


def refuse(payment: Payment, now: datetime) -> None:
    """Have the companies refuse what was paid, so that its bills are owed again."""
    for item in items_of(payment):
        with transaction() as session:
            write_offs.book(session, item.write_off_no, REFUSED, now=now)


def drop(now: datetime) -> None:
    with transaction() as session:
        planning.drop(session, now=now)


@pytest.mark.usefixtures("city")
class TestAnnounced:
    """Rule 42."""

    @pytest.mark.parametrize(("locale", "title", "words"), [
        ("zh_CN", "自动缴费预告：11月30日扣款 ¥86.50",
         ["2026年11月30日（星期一）", "¥86.50", "2026年10月", "暂停", "余额"]),
        ("en", "Autopay takes ¥86.50 on 30 November",
         ["Monday 30 November 2026", "¥86.50", "October 2026", "pause", "enough money"]),
    ])  # fmt: skip
    def test_it_says_what_how_much_when_and_how_to_stop_it(self, far, locale, title, words):
        home = a_mandated_home(locale=locale)

        live_and_tell(far, TELL_ON, TELL_ON)

        with transaction() as session:
            made = session.exec(select(Notice).order_by(col(Notice.channel))).all()
        assert [one.channel for one in made] == ["email", "inbox", "sms"]
        for one in made:
            assert one.title == title
        for one in made[:2]:
            for shown in (one.body, Shown(one.body_html or "").text or one.body):
                assert [word for word in words if word not in shown] == []
                assert f"****{home.account_nos[0][-4:]}" in shown
                assert home.account_nos[0] not in shown
                assert f"{URL}/autopay/{the_run().mandate_id}" in shown

    def test_told_at_once_by_twenty_it_is_told_once(self, far):
        a_mandated_home()
        plan(far, TELL_ON)

        failed = [one for one in at_once([lambda: tell(far)] * 20) if one is not None]

        assert failed == []
        assert events() == ["autopay.announced"]

    @pytest.mark.parametrize("why", ["paid", "cancelled", "corrected", "ended"])
    def test_called_off_before_its_notice_nothing_is_said_of_it(self, far, why):
        home = a_mandated_home()
        plan(far, TELL_ON)
        match why:
            case "paid":
                a_paid_payment(home)
            case "cancelled":
                home.cancel(0, version=2)
            case "corrected":
                home.correct(0, version=2, amount_fen=9_000, due_on=DUE)
            case "ended":
                with transaction() as session:
                    mandate = session.get_one(Mandate, the_run().mandate_id)
                    mandates.end_because(session, mandate, "by_payer", now=noon(TELL_ON))

        tell(far, noon(TELL_ON))  # before the planner has looked
        drop(noon(TELL_ON))
        tell(far, noon(TELL_ON))

        assert [one for one in events() if one.startswith("autopay.")] == []

    @pytest.mark.parametrize(("why", "words"), [
        ("paid", "the bill is paid already"),
        ("cancelled", "the company has cancelled the bill"),
        ("corrected", "the company has corrected the bill"),
    ])  # fmt: skip
    def test_called_off_after_its_notice_it_is_taken_back(self, far, why, words):
        home = a_mandated_home()
        live_and_tell(far, TELL_ON, TELL_ON)
        match why:
            case "paid":
                a_paid_payment(home)
            case "cancelled":
                home.cancel(0, version=2)
            case "corrected":
                home.correct(0, version=2, amount_fen=9_000, due_on=DUE)

        drop(noon(TELL_ON))
        tell(far)

        assert titles()[1] == "Nothing is taken on 30 November"
        assert words in told()[1].body
        assert "¥86.50" in told()[1].body

    def test_called_off_while_it_is_told_it_is_taken_back(self, far):
        home = a_mandated_home()
        plan(far, TELL_ON)

        with transaction() as session:
            tell_run(session, the_run().id, {far.code: far}, public_url=URL, now=noon(TELL_ON))
            a_paid_payment(home)
            drop(noon(TELL_ON))
            meanwhile = the_run().state
        drop(noon(TELL_ON))
        tell(far)

        assert meanwhile is RunState.ANNOUNCED
        assert events() == ["autopay.announced", "autopay.called_off"]

    def test_a_mail_that_was_held_up_until_it_is_no_longer_so_is_not_sent(self, far):
        home, mailbox = a_mandated_home(), Far()
        live_and_tell(far, TELL_ON, TELL_ON)
        a_paid_payment(home)
        drop(noon(TELL_ON))
        tell(far)

        hand_over(mailbox, now=noon(TELL_ON))

        assert [mail.title for mail in mailbox.sent] == ["Nothing is taken on 30 November"]

    def test_from_the_planners_event_to_the_inbox_by_the_workers_jobs(self, far):
        a_mandated_home()
        plan(far, TELL_ON)
        with transaction() as session:
            relay(session, now=utc_now())
            due = session.execute(text("SELECT id FROM job WHERE task = 'notices.autopay'"))
            job_ids = list(due.scalars())

        assert jobs.run(*job_ids) == 1

        assert events() == ["autopay.announced"]

    @pytest.mark.parametrize("role", [MemberRole.SEE, None])
    def test_nobody_is_told_of_bills_they_may_no_longer_pay(self, far, role):
        a_mandated_home()
        plan(far, TELL_ON)
        with as_owner(unguarded=True) as connection:
            if role is None:
                connection.execute(text("DELETE FROM household_member"))
            else:
                connection.execute(text("UPDATE household_member SET role = :role"), {"role": role})

        live_and_tell(far, TELL_ON, AFTER)

        assert the_run().reason is NotPaid.NOT_ALLOWED
        assert events() == []

    def test_that_a_bill_is_no_longer_theirs_is_told_who_was_told_of_it(self, far):
        home = a_mandated_home()
        live_and_tell(far, TELL_ON, TELL_ON)
        with as_owner(unguarded=True) as connection:
            connection.execute(text("UPDATE household_member SET role = 'see'"))

        live_and_tell(far, TELL_ON, AFTER)

        assert events() == ["autopay.announced", "autopay.called_off"]
        assert "you may no longer pay" in told()[1].body
        assert home.account_nos[0] not in told()[1].body


@pytest.mark.usefixtures("city")
class TestNotPaid:
    """Rule 41: told in time to pay by hand."""

    @pytest.mark.parametrize(("locale", "words"), [
        ("zh_CN", ["超过您设定的上限", "¥200.01", "请最晚在2026年11月30日（星期一）自己缴费"]),
        ("en", ["more than you have allowed", "¥200.01",
                "Please pay it yourself by Monday 30 November 2026"]),
    ])  # fmt: skip
    def test_above_the_cap_it_is_told_on_the_day_of_announcing(self, far, locale, words):
        home = a_mandated_home(20_001, locale=locale)

        live_and_tell(far, TELL_ON, TELL_ON)

        (notice,) = told()
        assert [word for word in words if word not in notice.body] == []
        assert f"{URL}/bills/{home.refs[0][0]}.{home.refs[0][1]}" in notice.body

    def test_paid_by_hand_meanwhile_it_is_not_told(self, far):
        home = a_mandated_home(20_001)
        plan(far, TELL_ON)
        a_paid_payment(home)

        tell(far)

        assert events() == []

    def test_a_first_bill_that_is_only_told_of_is_told(self, far):
        rules = Rules(cap_kind=CapKind.MAX, cap_fen=20_000, first_bill=FirstBill.TELL)
        a_mandated_home(rules=rules)

        live_and_tell(far, TELL_ON, AFTER)

        assert titles() == ["Please pay ¥86.50 yourself: not paid by autopay"]
        assert "the first bill of an account is only told of" in told()[0].body

    def test_paused_on_its_day_it_is_to_pay_by_hand(self, far):
        home = a_mandated_home()
        live_and_tell(far, TELL_ON, TELL_ON)
        with transaction() as session:
            mandates.pause(session, the_run().mandate_id, home.owner_id, now=noon(TELL_ON))

        live_and_tell(far, TELL_ON, AFTER)

        assert events() == ["autopay.announced", "autopay.skipped"]
        assert "Autopay was paused on its day" in told()[1].body

    def test_told_of_while_it_stood_paid_it_is_told_once_it_is_owed_again(self, far):
        rules = Rules(cap_kind=CapKind.MAX, cap_fen=20_000, first_bill=FirstBill.TELL)
        home = a_mandated_home(rules=rules)
        plan(far, TELL_ON)
        payment = a_paid_payment(home)
        tell(far, noon(TELL_ON))
        assert titles() == []

        refuse(payment, now=noon(DUE))
        tell(far, noon(DUE))
        tell(far, noon(DUE))

        assert titles() == ["Please pay ¥86.50 yourself: not paid by autopay"]

    @pytest.mark.parametrize(("locale", "words"), [
        ("en", "It had been paid, but the money went back and it is owed again."),
        ("zh_CN", "它曾经缴清，后来款项退回，又需要缴纳。因此这份账单不会自动缴纳。"),
    ])  # fmt: skip
    def test_called_off_as_paid_and_owed_again_it_is_to_pay_by_hand(self, far, locale, words):
        home = a_mandated_home(locale=locale)
        live_and_tell(far, TELL_ON, TELL_ON)
        payment = a_paid_payment(home)
        live_and_tell(far, TELL_ON, TELL_ON + timedelta(days=1))
        assert events() == ["autopay.announced", "autopay.called_off"]

        refuse(payment, now=noon(DUE))
        live_and_tell(far, DUE, AFTER)

        assert events() == ["autopay.announced", "autopay.called_off", "autopay.skipped"]
        assert words in told()[2].body

    def test_short_of_funds_is_told_once_with_all_tries_and_then_that_it_failed(self, far):
        a_mandated_home()
        far.says = "short"

        live_and_tell(far, TELL_ON, DUE + timedelta(days=10))

        assert events() == ["autopay.announced", "autopay.retry", "autopay.failed"]
        again, failed = told()[1:]
        assert "again on Tuesday 1 December 2026, then once a day until Sunday 6" in again.body
        assert "Its last day to pay was Monday 30 November 2026" in failed.body

    def test_money_that_came_after_all_is_told_by_its_receipt_only(self, far):
        a_mandated_home()

        live_and_tell(far, TELL_ON, AFTER)

        assert events() == ["autopay.announced"]

    def test_half_paid_in_the_end_the_rest_is_told(self, far):
        the_terms("water", '[amount]\nmode = "any"\nminimum_fen = 1\n')
        rules = Rules(cap_kind=CapKind.MAX, cap_fen=20_000, in_parts=True)
        a_mandated_home(8_651, rules=rules)
        far.says = "short"
        live_and_tell(far, TELL_ON, DUE + timedelta(days=5))
        far.says = "pays"

        live_and_tell(far, DUE + timedelta(days=6), DUE + timedelta(days=7))

        assert titles()[-1] == "¥43.25 of this bill is still to pay"

    def test_the_receipt_of_a_debit_says_that_autopay_paid(self, far, now):
        a_mandated_home()
        live_through(far, TELL_ON, AFTER)
        with transaction() as session:
            (payment,) = session.exec(select(Payment)).all()

        tell_receipt(payment.id, now)

        assert "made by autopay" in told()[-1].body


def tell_receipt(payment_id: int, now: datetime) -> None:
    with transaction() as session:
        tell_paid(session, payment_id, public_url=URL, now=now)


@pytest.mark.usefixtures("city")
class TestTheMandate:
    def test_frozen_it_says_which_bills_are_to_pay_by_hand(self, far):
        home = a_home(8_650, 5_000, due_on=DUE)
        a_mandate(home, at=None)
        plan(far, TELL_ON)
        run_id = the_first_debited(far)
        assert run_id

        tell(far)

        assert events()[-1] == "mandate.frozen"
        assert "¥50.00" in told()[-1].body
        assert "本户全部户号" in told()[-1].body

    def test_resumed_before_its_notice_nothing_is_said_and_frozen_again_it_is(self, far):
        home = a_mandated_home()
        live_through(far, TELL_ON, AFTER)
        for hour in (1, 2):
            bounce(far, noon(AFTER) + timedelta(hours=hour))
            if hour == 2:
                tell(far)
            resume(home, noon(AFTER) + timedelta(hours=hour, minutes=1))
            tell(far)
        bounce(far, noon(AFTER) + timedelta(hours=3))
        tell(far)

        assert [one for one in events() if one.startswith("mandate.")] == ["mandate.frozen"] * 2

    @pytest.mark.parametrize(("locale", "words"), [
        ("zh_CN", ["您终止了", "下面的账单请您自己缴", "最晚11月30日", "¥86.50"]),
        ("en", ["You have ended autopay of", "Please pay these bills yourself",
                "by 30 November", "¥86.50"]),
    ])  # fmt: skip
    def test_ended_by_its_payer_it_says_which_bills_are_theirs_now(self, far, locale, words):
        home = a_mandated_home(locale=locale)
        live_and_tell(far, TELL_ON, TELL_ON)
        with transaction() as session:
            mandates.end(session, the_run().mandate_id, home.owner_id, now=noon(TELL_ON))

        tell(far)

        assert events() == ["autopay.announced", "mandate.ended"]
        assert [word for word in words if word not in told()[1].body] == []
        assert home.account_nos[0] not in told()[1].body

    def test_ended_at_the_gateway_it_names_the_gateway(self, far):
        a_mandated_home()
        ended = MandateReply(state=MandateState.ENDED)
        with transaction() as session:
            (mandate,) = session.exec(select(Mandate)).all()
            mandates.book_mandate(session, mandate.id, ended, now=noon(TELL_ON))

        tell(far)

        assert f"was ended at {far.name.en}" in told()[0].body
        assert "these bills" not in told()[0].body

    @pytest.mark.parametrize(("why", "expected"), [
        ("refused", ["Autopay was not set up"]), ("not_signed", ["Autopay was not set up"]),
        ("by_payer", []), ("replaced", []),
    ])  # fmt: skip
    def test_one_never_agreed_to_is_told_unless_its_payer_knows(self, far, why, expected):
        home = a_home(due_on=DUE)
        with transaction() as session:
            session.execute(text("UPDATE person SET locale = 'en'"))
            made = mandates.create_mandate(
                session, person_id=home.owner_id, scope=Scope(account_id=home.refs[0][0]),
                gateway="sandbox", rules=UP_TO_200, return_url="", key="k", now=ENROLLED,
            )  # fmt: skip
            refused = MandateReply(state=MandateState.REFUSED)
            if why == "refused":
                mandates.book_mandate(session, made.id, refused, now=ENROLLED)
            else:
                mandates.end_because(session, made, why, now=ENROLLED)

        tell(far)

        assert titles() == expected


def the_first_debited(far: FarDebits) -> bool:
    """Have one of two announced bills debited, and its money taken back by the bank."""
    with transaction() as session:
        first = session.execute(text("SELECT min(id) FROM autopay_run")).scalar_one()
    debit(far, first, noon(DUE))
    poll(far, noon(DUE))
    with transaction() as session:
        payment_id = session.get_one(AutopayRun, first).payment_id
        assert payment_id is not None
        return mandates.freeze(session, payment_id, now=noon(DUE))


def bounce(far: FarDebits, now: datetime) -> None:
    payment_id = the_run().payment_id
    assert payment_id is not None
    with transaction() as session:
        assert mandates.freeze(session, payment_id, now=now)


def resume(home: Home, now: datetime) -> None:
    with transaction() as session:
        mandates.resume(session, the_run().mandate_id, home.owner_id, now=now)


class TestWords:
    """Every kind and reason is said in both languages, and nothing is left to fill in."""

    @pytest.mark.parametrize("locale", LOCALES)
    @pytest.mark.parametrize("reason", NotPaid)
    @pytest.mark.parametrize("event", EVENTS_OF_RUNS)
    def test_of_a_bill(self, event, reason, locale):
        run = Run(
            account=ACCOUNT, billing_month=date(2026, 10, 1), amount_fen=8_650, open_fen=8_600,
            debit_on=DUE, last_on=DUE, pay_by_on=DUE, today=DUE, gateway="Wallet", reason=reason,
        )  # fmt: skip

        complete(event, run_facts(run, still_open=True, link=URL, locale=locale), locale)

    @pytest.mark.parametrize("locale", LOCALES)
    @pytest.mark.parametrize("reason", ["by_payer", "by_gateway", "not_allowed", None])
    @pytest.mark.parametrize("event", ["mandate.frozen", "mandate.ended", "mandate.not_begun"])
    def test_of_autopay_itself(self, event, reason, locale):
        facts = mandate_facts(
            reason=reason, account=ACCOUNT, gateway="Wallet", bills=[], link=URL, locale=locale
        )

        complete(event, facts, locale)


ACCOUNT = AccountView(
    account_id=1, provider_code="water", provider_name="自来水公司", provider_name_en="Water",
    account_no_masked="****1234", holder_masked="王*", address="汉口路1弄2号",
)  # fmt: skip


def complete(event: str, facts: Facts, locale: str) -> None:
    assert facts.values.keys() == EVENTS[event].places
    for form, channel in ((Form.LETTER, "email"), (Form.SHORT, "push")):
        key = Key(event, form, locale, "plain")
        made = words_of(key, built_in(*key), channel, facts)
        said = f"{made.title}\n{made.body}"
        assert not re.search(r"[{}]|  \n|None", said), said
        assert bool(re.search("[一-鿿]", said)) is (locale == "zh_CN"), said
        assert URL in made.body or form is Form.SHORT
