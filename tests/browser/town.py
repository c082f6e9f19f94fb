"""A town in which every page of a resident has something to show, and where those pages are."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text

from billing.bills import format_ref
from billing.homes.challenges import pass_challenge, read_answer
from billing.homes.pay_grants import admit
from core.clock import add_months, billing_date, month_start, utc_now
from core.db import transaction
from core.settings import settings
from identity import sign_in, televisions
from identity.models import Person, Role
from notifications.catalogue import EVENTS, Subject
from notifications.choice import consents, preferences
from notifications.choice.unsubscribing import unsubscribe_url
from notifications.models import NoticeState
from notifications.telling import Telling, tell_all
from notifications.wording.samples import sample
from payments.gateways.base import GatewayStatus
from payments.receipt_links import receipt_path
from tests.factories import Home, a_paid_payment, a_payment, a_person, a_record, book, bring_in
from tests.notifications.far import a_notice
from tests.notifications.test_offers import written as an_offer
from tests.notifications.test_outage_notices import a_message
from tests.payments.autopay.autopaying import a_mandate
from tests.support import complaining
from tests.web.forms import a_due_home


class Page(NamedTuple):
    """A page, and how somebody comes to it."""

    route: str
    who: str = "resident"  # or nobody, guest, plenty
    query: str = ""
    click: str = ""  # what is tapped there to come to what is looked at

    @property
    def name(self) -> str:
        return " ".join(part for part in (self.route + self.query, self.click, self.who) if part)


PAGES = (
    Page("/sign-in", "nobody"),
    Page("/sign-in", "nobody", click=".people button"),  # the page of the code
    Page("/pay", "nobody"),
    Page("/pay", "nobody", click="main .button--wide"),  # with what is wrong
    Page("/receipts/{payment_id}/{until}/{signature}", "nobody"),
    Page("/unsubscribe/{token}", "nobody"),
    Page("/unsubscribe/{token}", "nobody", click="main .button"),
    Page("/offline", "nobody"),
    Page("/nowhere", "nobody"),
    Page("/pay", "guest"),
    Page("/pay/bills", "guest"),
    Page("/pay/bills", "guest", click=".pay-bar .button"),
    Page("/"),
    Page("/", click=".pay-bar .button"),
    Page("/bills"),
    Page("/bills", query="?company=water&state=to_pay"),
    Page("/calendar"),
    Page("/calendar/links"),
    Page("/calendar/links", click="main form .button"),  # with the link just made
    Page("/search", query="?q=水"),
    Page("/refunds"),
    Page("/bills/{ref}"),
    Page("/bills/{paid_ref}"),
    Page("/pay/now", query="?bill={ref}"),
    Page("/payments"),
    Page("/payments/{payment_id}"),
    Page("/payments/{open_id}"),
    Page("/payments/{code_id}"),
    Page("/payments/{refused_id}"),
    Page("/notices"),
    Page("/preferences"),
    Page("/preferences", click="[action='/preferences/settings'] .button"),  # what was saved
    Page("/complaints"),
    Page("/complaints/new"),
    Page("/complaints/{number}"),
    Page("/autopay"),
    Page("/autopay/new"),
    Page("/autopay/new", query="?scope=home"),
    Page("/autopay/check", query="?scope=home&cap_kind=max&cap=200"),
    Page("/autopay/{mandate_id}"),
    Page("/household"),
    Page("/household/new"),
    Page("/me"),
    Page("/me/export"),
    Page("/me/leave"),
    Page("/televisions"),
    Page("/televisions", query="?code={code}"),
    Page("/household/statement"),
    Page("/household/accounts"),
    Page("/household/accounts/new"),
    Page("/household/accounts/new", click="main .button--wide"),  # with what is wrong
    Page("/household/accounts/{household_id}/{account_id}/remove"),
    Page("/household/move"),
    Page("/usage", query="?account={account_id}"),
    Page("/service-messages/{message_id}"),
    Page("/offers/{offer_id}"),
    Page("/preferences/wechat"),
    Page("/nowhere"),
)
SCREENS = (
    Page("/tv", "nobody"),
    Page("/tv/rest", "tv"),
    Page("/tv/bills", "tv"),
    Page("/tv/bills", "tv", query="?show=1"),
    Page("/tv/bills/{ref}", "tv", query="?show=1"),
    Page("/tv/bills/{ref}/chart", "tv", query="?show=1"),
    Page("/tv/pay", "tv", query="?bill={ref}"),
    Page("/tv/notices/{tv_notice_id}", "tv", query="?show=1"),  # no other has news from then on
)
PLENTY = tuple(
    Page(route, "plenty") for route in ("/", "/bills", "/calendar", "/usage", "/bills/{large_ref}")
)
PLENTY_SCREENS = tuple(
    Page(route, "plenty_tv", query="?show=1")
    for route in ("/tv/bills", "/tv/bills/{large_ref}", "/tv/bills/{large_ref}/chart")
)


@dataclass(frozen=True)
class Town:
    """Who can look, each with their cookie's value; and what stands in addresses."""

    url: str
    tokens: dict[str, str]
    places: dict[str, str]


def build(url: str) -> Town:
    """Fill the town; served at ``url``."""
    now = utc_now()
    (home, numbers), plenty = _usual_home(now), _home_of_plenty(now)
    return Town(
        url,
        {
            "resident": _session_of(home.owner_id), "plenty": _session_of(plenty.owner_id),
            "guest": _guest_of(home, now), "tv": _television_of(home.owner_id, now),
            "plenty_tv": _television_of(plenty.owner_id, now),
        },
        _places(home, now) | numbers | {"large_ref": format_ref(plenty.refs[0])},
    )  # fmt: skip


def _usual_home(now: datetime) -> tuple[Home, dict[str, str]]:
    """A home with bills to pay and some before them, with autopay, and one who wrote to us."""
    home = a_due_home(8_650, 123_456, 40_000, 2_000, 1_500, 3_000, 4_000)
    _add_months(home, [8_650], range(2, 5), now)
    mandate = a_mandate(home, now=now)
    asked, clerk = complaining.ask(home.owner_id, now=now), a_person(Role.STAFF)
    complaining.take(asked, clerk, now=now)
    complaining.answer(asked, clerk, now=now)
    message, offer = str(a_message()), str(an_offer())
    about = {"outage.announced": message, "offer.made": offer}
    with transaction() as session:
        person = session.get_one(Person, home.owner_id)
        tell_all(
            session,
            [
                Telling(
                    event=event,
                    person=person,
                    subject_ref=about.get(event, "1"),
                    facts=sample(event, "zh_CN"),
                )
                for event in EVENTS
            ],
            now=now - timedelta(minutes=1),
        )
        consents.agree(session, home.owner_id, proof="yes", now=now)
        preferences.choose(session, home.owner_id, Subject.BILLS, ["sms"], now=now)
    on_tv = a_notice(person, now, channel="tv", address="", state=NoticeState.ACCEPTED, due_at=None)
    return home, {
        "number": asked.number, "mandate_id": str(mandate.id), "message_id": message,
        "offer_id": offer, "tv_notice_id": str(on_tv),
    }  # fmt: skip


def _home_of_plenty(now: datetime) -> Home:
    """Thirty accounts, two years of bills, nine digits to pay, and names of forty characters."""
    name = "阿卜杜热合曼·买买提依明江" * 3 + "之家人"
    amounts = [999_999_999] * 30
    home = a_due_home(*amounts, owner_id=a_person(name=name), holder_name=name, address=name)
    _add_months(home, amounts, range(2, 25), now)
    with transaction() as session:
        session.execute(
            text("UPDATE household SET name = :name WHERE id = :id"),
            {"name": name[:40], "id": home.household_id},
        )
    return home


def _add_months(home: Home, amounts: list[int], back: range, now: datetime) -> None:
    """Bring in bills of months before, of as many accounts as there are amounts."""
    this = month_start(billing_date(now))
    for company in dict.fromkeys(home.companies):
        bring_in(
            company,
            *(
                a_record(number, amount_fen=fen, **_dates(add_months(this, -months)))
                for number, own, fen in zip(home.account_nos, home.companies, amounts, strict=False)
                if own == company
                for months in back
            ),
            now=now,
        )


def _dates(month: date) -> dict[str, date]:
    return {
        "billing_month": month, "issued_on": add_months(month, 1),
        "due_on": add_months(month, 1) + timedelta(days=20),
    }  # fmt: skip


def _session_of(person_id: int) -> str:
    with transaction() as session:
        return sign_in.start_session(session, session.get_one(Person, person_id), now=utc_now())[0]


def _guest_of(home: Home, now: datetime) -> str:
    secret = settings().secret_key.get_secret_value()
    with transaction() as session:
        told = read_answer(
            session, "water", home.account_nos[0], amount_yuan="86.50", name="", now=now
        )  # fmt: skip
    passed = pass_challenge(told, client="192.0.2.1", secret=secret, now=now)
    with transaction() as session:
        admitted = admit(session, passed, person_id=None, email=None, locale="zh_CN", now=now)
    assert admitted.token is not None
    return admitted.token


def _television_of(person_id: int, now: datetime) -> str:
    with transaction() as session:
        device_code, user_code = televisions.begin_pairing(session, now=now)
        televisions.decide_pairing(session, user_code, person_id, allow=True, now=now)
        return televisions.ask_pairing(session, device_code, now=now).token or ""


def _places(home: Home, now: datetime) -> dict[str, str]:
    paid = a_paid_payment(home, home.refs[3], now=now)
    waiting, refused, coded = (a_payment(home, home.refs[at], now=now) for at in (4, 5, 6))
    book(waiting, GatewayStatus.OPEN, now=now)
    book(refused, GatewayStatus.REFUSED, now=now)
    book(coded, GatewayStatus.OPEN, now=now, pay_url=None, pay_code="weixin://pay?x=1")
    secret = settings().secret_key.get_secret_value()
    until, signature = receipt_path(paid.id, secret=secret, now=now).split("/")[-2:]
    with transaction() as session:
        _, code = televisions.begin_pairing(session, now=now)
    return {
        "account_id": str(home.refs[0][0]), "household_id": str(home.household_id),
        "ref": format_ref(home.refs[0]), "paid_ref": format_ref(home.refs[3]), "code": code,
        "payment_id": str(paid.id), "open_id": str(waiting.id), "code_id": str(coded.id),
        "refused_id": str(refused.id), "until": until, "signature": signature,
        "token": unsubscribe_url("", home.owner_id, "email", secret=secret).rpartition("/")[2],
    }  # fmt: skip
