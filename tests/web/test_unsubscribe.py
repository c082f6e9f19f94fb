"""N-14: the way out of offers, by one click without a cookie, and by a text's answer."""

import pytest
from sqlmodel import select

from core.clock import utc_now
from core.db import transaction
from core.settings import settings
from identity.models import Person
from notifications.catalogue import Subject
from notifications.choice import consents
from notifications.choice.models import Consent
from notifications.choice.preferences import choose
from notifications.choice.unsubscribing import unsubscribe_url
from notifications.models import Notice
from notifications.telling import Telling, tell
from notifications.wording.rendering import Facts
from tests.factories import a_person
from tests.web.conftest import PUBLIC_URL, a_browser

ONE_CLICK = {"content": "List-Unsubscribe=One-Click",
             "headers": {"content-type": "application/x-www-form-urlencoded"}}  # fmt: skip
OFFER = Facts({"company": "自来水公司", "text": "水质检测，本月免费。"}, link=PUBLIC_URL)

pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture
def person(app):
    """Somebody who agreed to offers, by mail first and then by text."""
    found = a_person()
    with transaction() as session:
        consents.agree(session, found, proof="yes, tell me", now=utc_now())
        choose(session, found, Subject.OFFERS, ["email", "sms"], now=utc_now())
    return found


def offers(person, ref="1"):
    with transaction() as session:
        told = Telling(
            event="offer.made", person=session.get_one(Person, person), subject_ref=ref, facts=OFFER
        )
        return tell(session, told, now=utc_now())


def rows(model):
    with transaction() as session:
        return list(session.exec(select(model).order_by(model.id)))


def way_out(person, channel="email"):
    secret = settings().secret_key.get_secret_value()
    return unsubscribe_url(PUBLIC_URL, person, channel, secret=secret).removeprefix(PUBLIC_URL)


def refusals():
    return [(one.channel, one.source) for one in rows(Consent) if not one.given]


class TestOneClick:
    def test_a_bare_post_is_enough_and_leaves_its_proof(self, app, person):
        answer = a_browser(app).post(way_out(person), **ONE_CLICK)

        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers or "session" not in answer.headers["set-cookie"]
        [refused] = [one for one in rows(Consent) if not one.given]
        assert (refused.person_id, refused.channel, refused.source) == (
            person,
            "email",
            "one_click",
        )
        assert "email" in refused.proof

    def test_it_holds_for_the_very_next_send(self, app, person):
        """Not a second later: there is nothing that would have to hear of it."""
        a_browser(app).post(way_out(person), **ONE_CLICK)
        offers(person)

        assert {one.channel for one in rows(Notice)} == {"inbox", "sms"}

    def test_what_waits_is_dropped_with_all_behind_it(self, app, person):
        offers(person)

        a_browser(app).post(way_out(person), **ONE_CLICK)

        found = {one.channel: (one.state, one.reason) for one in rows(Notice)}
        assert found["email"] == found["sms"] == ("dropped", "unsubscribed")
        assert found["inbox"][0] == "delivered"

    def test_a_bill_goes_on(self, app, person):
        a_browser(app).post(way_out(person), **ONE_CLICK)
        with transaction() as session:
            told = Telling(
                event="bill.ready", person=session.get_one(Person, person), subject_ref="1.1.1",
                facts=Facts({"company": "x", "month": "y", "amount": "z", "due_on": "w"},
                            [("x", "z")], PUBLIC_URL),
            )  # fmt: skip
            tell(session, told, now=utc_now())

        assert {one.channel for one in rows(Notice)} == {"inbox", "email", "sms"}
        assert {one.state for one in rows(Notice)} == {"delivered", "created"}

    def test_said_twice_it_is_one_row(self, app, person):
        for _ in range(2):
            assert a_browser(app).post(way_out(person), **ONE_CLICK).status_code == 200

        assert refusals() == [("email", "one_click")]

    def test_a_yes_after_it_counts_again(self, app, person):
        a_browser(app).post(way_out(person), **ONE_CLICK)
        with transaction() as session:
            consents.agree(session, person, proof="yes, again", now=utc_now())

        offers(person)

        assert "email" in {one.channel for one in rows(Notice)}

    def test_opening_the_page_changes_nothing(self, app, person):
        """Mail programs and their guards open every link."""
        page = a_browser(app).get(way_out(person))

        assert page.status_code == 200
        assert "不再接收优惠信息" in page.text
        assert refusals() == []

    @pytest.mark.parametrize("act", ["get", "post"])
    def test_no_address_but_ours_does_anything(self, app, person, act):
        other = a_person()
        own, foreign = way_out(person), way_out(other)
        signature = own.rpartition(".")[2]
        for token in (
            own[:-1] + ("0" if own[-1] != "0" else "1"), own.replace(".email.", ".sms."),
            foreign.rpartition(".")[0] + "." + signature, "/unsubscribe/x", "/unsubscribe/1.email.",
            "/unsubscribe/99999999999999999999.email.0", "/unsubscribe/1.fax.0",
            "/unsubscribe/٣.email.0",
        ):  # fmt: skip
            assert getattr(a_browser(app), act)(token).status_code == 404, token
        assert refusals() == []
