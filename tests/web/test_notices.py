"""The page of notices, the count beside its name, and the same by API."""

from datetime import timedelta

import pytest
from lxml import html

from core.clock import utc_now
from core.db import transaction
from identity.models import Person
from notifications.telling import Telling, tell_all
from notifications.wording.rendering import Facts
from tests.factories import a_guest, a_person
from tests.web.conftest import PUBLIC_URL, signed_in
from tests.web.forms import text_of
from web.pages.notices import PAGE

pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture
def person():
    return a_person()


@pytest.fixture
def browser(app, person):
    return signed_in(app, person)


def tells(person_id, *amounts, event="payment.receipt", link="", **values):
    with transaction() as session:
        person = session.get_one(Person, person_id)
        tellings = [
            Telling(
                event=event, person=person, subject_ref=amount,
                facts=Facts({"amount": amount, **values}, link=link),
            )
            for amount in amounts
        ]  # fmt: skip
        tell_all(session, tellings, now=utc_now() - timedelta(minutes=1))


def titles(page):
    found = [one.text for one in html.fromstring(page).xpath("//article//h2")]
    return [title.removeprefix("缴费回执：已收到 ") for title in found]


def amount_of(notice):
    return notice["title"].removeprefix("缴费回执：已收到 ")


def unread_in_the_menu(page):
    return html.fromstring(page).xpath("//*[contains(@class, 'nav__count')]/text()")


def test_the_menu_counts_what_was_not_seen_and_the_page_marks_what_it_shows(browser, person):
    tells(person, "1", "2")
    assert unread_in_the_menu(browser.get("/").text) == ["2"]

    shown = browser.get("/notices").text

    assert titles(shown) == ["2", "1"]
    assert shown.count("未读") >= 2
    assert unread_in_the_menu(browser.get("/").text) == []
    assert "未读" not in text_of(browser.get("/notices").text)


def test_what_lies_on_the_next_page_stays_unread(browser, person):
    tells(person, *(str(at) for at in range(PAGE + 3)))

    first = browser.get("/notices").text

    assert len(titles(first)) == PAGE
    assert unread_in_the_menu(browser.get("/").text) == ["3"]
    [following] = html.fromstring(first).xpath("//a[@rel='next']/@href")
    second = browser.get(following).text
    assert len(titles(second)) == 3
    assert {*titles(first)}.isdisjoint(titles(second))
    assert unread_in_the_menu(browser.get("/").text) == []


def test_a_choice_of_subject_goes_on_to_the_next_page(browser, person):
    tells(person, "x", event="outage.over", company="自来水公司", what="停水")
    tells(person, *(str(at) for at in range(PAGE + 1)))

    page = browser.get("/notices?subject=payments").text

    [following] = html.fromstring(page).xpath("//a[@rel='next']/@href")
    assert "subject=payments" in following
    assert titles(browser.get("/notices?subject=outages").text) == ["自来水公司：停水已结束"]
    assert "没有此类通知" in browser.get("/notices?subject=complaints").text
    assert browser.get("/notices?subject=nonsense").status_code == 422


def test_it_leads_to_what_it_is_about_by_a_link_of_ours_alone(browser, person):
    own = f"{PUBLIC_URL}/bills/1.2"
    tells(person, "1", link=own)
    tells(person, "2", link="https://elsewhere.example/x")

    page = browser.get("/notices").text

    assert html.fromstring(page).xpath("//article//a/@href") == ["/bills/1.2"]
    assert own not in page


def test_words_are_text_whatever_they_say(browser, person):
    tells(person, "<script>alert(1)</script>")

    assert "<script>alert" not in browser.get("/notices").text


def test_an_inbox_with_nothing_says_what_will_be_there(browser):
    page = browser.get("/notices").text

    assert "还没有通知" in page
    assert html.fromstring(page).xpath("//form[@role='search']") == []


def test_a_guest_has_no_inbox(app):
    assert signed_in(app, a_guest()).get("/notices").status_code == 303


class TestApi:
    def test_page_by_page_and_nothing_is_read_by_it(self, browser, person):
        tells(person, "1", "2", "3", link=f"{PUBLIC_URL}/bills/1.2")

        first = browser.get("/api/v1/notices?limit=2").json()
        second = browser.get(f"/api/v1/notices?limit=2&cursor={first['next_cursor']}").json()

        assert [amount_of(one) for one in first["notices"]] == ["3", "2"]
        assert [amount_of(one) for one in second["notices"]] == ["1"]
        assert second["next_cursor"] is None
        assert first["notices"][0]["link"] == f"{PUBLIC_URL}/bills/1.2"
        assert unread_in_the_menu(browser.get("/").text) == ["3"]

    def test_by_subject_and_nobody_elses(self, browser, person):
        tells(person, "1")
        tells(a_person(), "2")

        found = browser.get("/api/v1/notices?subject=payments").json()
        assert [amount_of(one) for one in found["notices"]] == ["1"]
        assert browser.get("/api/v1/notices?subject=bills").json()["notices"] == []
        assert browser.get("/api/v1/notices?subject=nonsense").status_code == 422
