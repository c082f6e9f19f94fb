"""What a television's pages tell: a number and a line without amounts, and the words on OK."""

import pytest

from core.clock import utc_now
from core.db import transaction
from identity import televisions
from identity.models import Person
from notifications.telling import Telling, tell
from notifications.wording.rendering import Facts
from tests.factories import a_home, a_person
from tests.web.conftest import PUBLIC_URL, a_browser, signed_in

pytestmark = pytest.mark.usefixtures("city")
BILL = Facts({"company": "市水务", "month": "10月", "amount": "¥86.50", "due_on": "30日"},
             link=PUBLIC_URL)  # fmt: skip


@pytest.fixture
def home():
    return a_home(8_650, now=utc_now())


@pytest.fixture
def tv(app, home):
    now = utc_now()
    with transaction() as session:
        device, user = televisions.begin_pairing(session, now=now)
        televisions.decide_pairing(session, user, home.owner_id, allow=True, now=now)
        token = televisions.ask_pairing(session, device, now=now).token
    browser = a_browser(app)
    browser.cookies.set("__Host-citybill_tv", token)
    return browser


def say(person_id, ref="1.1.1"):
    with transaction() as session:
        reader = session.get_one(Person, person_id)
        told = Telling(event="bill.ready", person=reader, subject_ref=ref, facts=BILL)
        tell(session, told, now=utc_now())


def links(page):
    return [part.split('"')[0] for part in page.text.split('href="') if part.startswith("/tv/not")]


@pytest.mark.parametrize("path", ["/tv/bills", "/tv/rest"])
def test_a_line_says_that_there_is_something_and_nothing_of_anybody(tv, home, path):
    assert links(tv.get(path)) == []
    say(home.owner_id)

    page = tv.get(path)

    assert "来了一份新账单" in page.text
    assert len(links(page)) == 1
    assert "市水务" not in page.text.replace("市自来水公司", "")
    assert "86.50" not in page.text


def test_ok_shows_it_whole_and_the_line_is_gone(tv, home):
    say(home.owner_id)
    [link] = links(tv.get("/tv/bills"))

    shown = tv.get(link)

    assert "¥86.50" in shown.text
    assert 'http-equiv="refresh"' in shown.text  # it rests after a while, as every page does
    assert links(tv.get("/tv/rest")) == []
    assert tv.get(link).status_code == 200


def test_after_one_comes_the_next(tv, home):
    say(home.owner_id, "1.1.1")
    say(home.owner_id, "1.1.2")
    [newest] = links(tv.get("/tv/bills"))

    [next_one] = set(links(tv.get(newest)))

    assert next_one != newest
    assert links(tv.get(next_one)) == []


def test_a_television_that_is_not_paired_shows_nothing(app, home):
    say(home.owner_id)

    assert links(a_browser(app).get("/tv/rest")) == []
    assert a_browser(app).get("/tv/notices/1").status_code in {303, 401}


def test_anothers_notice_is_not_there(tv):
    other = a_home(1, now=utc_now())
    say(other.owner_id)

    assert tv.get("/tv/notices/1").status_code == 404


def test_the_preferences_offer_it_where_one_is_paired(app, tv, home):
    browser = signed_in(app, home.owner_id)
    assert "同时显示在电视上" in browser.get("/preferences").text
    assert "同时显示在电视上" not in signed_in(app, a_person()).get("/preferences").text

    saved = browser.send_form(
        "/preferences/subject",
        {"subject": "bills", "how": "own", "first": "email", "tv": "1"},
    )
    assert saved.status_code == 303
    say(home.owner_id)
    assert links(tv.get("/tv/bills"))
    undone = browser.get(saved.headers["location"])
    assert "Saved" in undone.text or "已保存" in undone.text

    browser.send_form("/preferences/subject", {"subject": "bills", "how": "own", "first": "email"})
    before = len(links(tv.get("/tv/bills")))
    say(home.owner_id, "1.1.9")
    assert len(links(tv.get("/tv/bills"))) == before
