"""A calendar to subscribe to: a secret link that reads, and nothing else."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from lxml import html
from sqlmodel import select

from billing.bills import format_ref
from billing.homes import people
from billing.models import MemberRole
from core import crypto
from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import Conflict
from identity import calendar_links, colleagues, misses
from identity.calendar_links import MISSES_AN_HOUR, MOST, READS_AN_HOUR, CalendarLink
from identity.misses import Miss
from identity.people import get_person
from support import own_data
from tests.factories import a_person, join
from tests.threads import at_once
from tests.web.conftest import Browser, a_browser, signed_in
from tests.web.forms import a_due_home

pytestmark = pytest.mark.usefixtures("city")


def the_day() -> date:
    """Midnight may come while tests run."""
    return billing_date(utc_now())


def make(browser: Browser, **form: str) -> str:
    """Make a link on the page; returns its path."""
    answer = browser.send_form("/calendar/links", form)
    assert answer.status_code == 200, answer.text
    (url,) = html.fromstring(answer.text).xpath("//input[@id='https']/@value")
    return str(url).removeprefix("https://city.example")


def links_of(person_id: int) -> list[CalendarLink]:
    with transaction() as session:
        return list(
            session.exec(
                select(CalendarLink)
                .where(CalendarLink.person_id == person_id)
                .order_by(CalendarLink.id)
            )
        )


def unfolded(text: str) -> str:
    return text.replace("\r\n ", "")


class TestReading:
    def test_whoever_has_the_link_reads_without_a_session_and_without_amounts(self, app):
        home, neighbour = a_due_home(8_650), a_due_home(1_234)
        path = make(signed_in(app, home.owner_id))

        answer = a_browser(app).get(path)

        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
        assert answer.headers["cache-control"].startswith("private")
        assert "set-cookie" not in answer.headers
        content = unfolded(answer.text)
        assert f"UID:due-{format_ref(home.refs[0])}@city.example" in content
        assert f"DTSTART;VALUE=DATE:{the_day() + timedelta(days=20):%Y%m%d}" in content
        assert "86.50" not in content
        assert home.account_nos[0] not in content
        assert format_ref(neighbour.refs[0]) not in content
        assert "REFRESH-INTERVAL;VALUE=DURATION:PT12H" in content

    def test_amounts_are_told_where_somebody_ticked_so(self, app):
        home = a_due_home(8_650)
        path = make(signed_in(app, home.owner_id), amounts="1")

        assert "缴费截止 ¥86.50" in unfolded(a_browser(app).get(path).text)

    def test_it_speaks_the_language_it_was_made_in(self, app):
        home = a_due_home(8_650)
        browser = signed_in(app, home.owner_id)
        browser.cookies.set("citybill_locale", "en")

        content = a_browser(app).get(make(browser)).text

        assert "X-WR-CALNAME:Bills of my home" in content

    def test_what_has_not_changed_is_not_sent_again_and_what_has_is(self, app):
        home = a_due_home(8_650)
        path = make(signed_in(app, home.owner_id))
        reader = a_browser(app)
        first = reader.get(path)
        tag = first.headers["etag"]

        for said in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = reader.get(path, headers={"If-None-Match": said})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == tag
            assert again.headers["cache-control"].startswith("private")
        home.cancel(0)
        changed = reader.get(path, headers={"If-None-Match": tag})

        assert changed.status_code == 200
        assert changed.headers["etag"] != tag

    def test_who_leaves_a_home_reads_nothing_of_it_from_then_on(self, app):
        home, guest = a_due_home(8_650), a_person()
        join(home, guest, MemberRole.SEE)
        path = make(signed_in(app, guest))
        assert format_ref(home.refs[0]) in unfolded(a_browser(app).get(path).text)

        with transaction() as session:
            people.leave(session, guest, home.household_id)

        answer = a_browser(app).get(path)
        assert answer.status_code == 200
        assert "BEGIN:VEVENT" not in answer.text


class TestWhatIsKept:
    def test_of_a_link_only_its_fingerprint_is_kept_and_it_is_shown_once(self, app):
        home = a_due_home(8_650)
        browser = signed_in(app, home.owner_id)
        path = make(browser)
        token = path.removeprefix("/calendar/").removesuffix(".ics")

        (row,) = links_of(home.owner_id)

        assert len(token) * 6 >= 128
        assert row.token_hash == crypto.fingerprint(token)
        assert token not in repr(row.model_dump())
        assert token not in browser.get("/calendar/links").text

    def test_no_log_says_a_link(self, app, capsys):
        path = make(signed_in(app, a_due_home(8_650).owner_id))
        token = path.removeprefix("/calendar/").removesuffix(".ics")
        reader = a_browser(app)

        for asked in (path, f"/calendar/{token}", f"/calendar/{token}.ics/", f"{path}?a={token}"):
            reader.get(asked)

        written = capsys.readouterr()
        assert "/calendar/…" in written.out
        assert token not in written.out + written.err

    def test_the_page_says_when_it_was_read_last(self, app):
        home = a_due_home(8_650)
        browser = signed_in(app, home.owner_id)
        path = make(browser)
        assert "尚未被读取" in browser.get("/calendar/links").text

        a_browser(app).get(path)

        assert "最近读取" in browser.get("/calendar/links").text

    def test_both_forms_of_the_address_are_shown_with_how_to_use_them(self, app):
        browser = signed_in(app, a_due_home(8_650).owner_id)

        page = html.fromstring(browser.send_form("/calendar/links").text)

        https, webcal = page.xpath("//input[@readonly]/@value")
        assert https.startswith("https://city.example/calendar/")
        assert webcal == https.replace("https:", "webcal:")
        assert page.xpath("//a/@href[starts-with(., 'webcal:')]") == [webcal]
        words = page.text_content()
        assert all(one in words for one in ("iPhone", "安卓", "Outlook"))


class TestEnding:
    def test_an_ended_link_and_one_that_never_was_get_the_very_same_answer(self, app):
        home = a_due_home(8_650)
        browser = signed_in(app, home.owner_id)
        path = make(browser)

        done = browser.send_form(f"/calendar/links/{links_of(home.owner_id)[0].id}/end")

        assert done.status_code == 303
        reader = a_browser(app)
        answers = [
            reader.get(one, headers={"X-Request-Id": "same"})
            for one in (path, "/calendar/never.ics", f"/calendar/{'x' * 500}.ics")
        ]
        for one, other in pairwise(answers):
            assert one.status_code == other.status_code == 404
            assert (one.content, dict(one.headers)) == (other.content, dict(other.headers))
        assert "set-cookie" not in answers[0].headers

    def test_nobody_ends_anybody_elses(self, app):
        home = a_due_home(8_650)
        path = make(signed_in(app, home.owner_id))
        other = signed_in(app, a_person())

        answer = other.send_form(f"/calendar/links/{links_of(home.owner_id)[0].id}/end")

        assert answer.status_code == 404
        assert a_browser(app).get(path).status_code == 200

    @pytest.mark.parametrize("how", ["signed out elsewhere", "erased", "access ended", "unread"])
    def test_it_ends_with_what_its_person_does(self, app, how):
        home = a_due_home(8_650)
        browser = signed_in(app, home.owner_id)
        path = make(browser)
        if how == "signed out elsewhere":
            assert browser.send_form("/me/sign-out-others").status_code == 303
        elif how == "erased":
            with transaction() as session:
                own_data.erase(session, home.owner_id, now=utc_now())
            assert links_of(home.owner_id) == []
        elif how == "access ended":
            with transaction() as session:
                get_person(session, home.owner_id).ended_at = utc_now()
        else:
            with transaction() as session:
                row = session.get_one(CalendarLink, links_of(home.owner_id)[0].id)
                row.made_at -= calendar_links.UNREAD

        assert a_browser(app).get(path).status_code == 404

    def test_ending_sessions_of_a_colleague_does_not_reach_residents(self, app):
        home = a_due_home(8_650)
        path = make(signed_in(app, home.owner_id))
        with transaction() as session:
            colleagues.end_sessions(session, a_person(), now=utc_now())

        assert a_browser(app).get(path).status_code == 200

    def test_long_ended_links_and_yesterdays_misses_are_forgotten(self, app):
        home = a_due_home(8_650)
        make(signed_in(app, home.owner_id))
        a_browser(app).get("/calendar/never.ics")
        later = utc_now() + timedelta(days=91)
        with transaction() as session:
            calendar_links.end_links(session, home.owner_id, now=utc_now())
        with transaction() as session:
            calendar_links.forget(session, now=later)
            misses.forget(session, now=later)

        assert links_of(home.owner_id) == []
        with transaction() as session:
            assert session.exec(select(Miss)).all() == []


class TestHowMany:
    def test_at_most_five_however_many_ask_at_once(self, app):
        person_id = a_person()

        def ask(_number: int) -> str:
            try:
                with transaction() as session:
                    return calendar_links.make_link(
                        session, person_id, locale="en", shows_amounts=False, now=utc_now()
                    )
            except Conflict:
                return ""

        tokens = [one for one in at_once(2 * MOST, ask) if one]

        assert len(set(tokens)) == MOST
        assert len(links_of(person_id)) == MOST

    def test_one_more_is_refused_with_what_to_do_and_an_ended_one_makes_room(self, app):
        person_id = a_person()
        browser = signed_in(app, person_id)
        for _ in range(MOST):
            make(browser)

        refused = browser.send_form("/calendar/links")

        assert refused.status_code == 409
        assert "请先停用其中一个" in refused.text
        browser.send_form(f"/calendar/links/{links_of(person_id)[0].id}/end")
        assert make(browser)

    def test_a_link_is_not_read_without_end(self, app):
        home = a_due_home(8_650)
        path = make(signed_in(app, home.owner_id))
        with transaction() as session:
            row = session.get_one(CalendarLink, links_of(home.owner_id)[0].id)
            row.reads, row.counted_from_at = READS_AN_HOUR, utc_now() - timedelta(minutes=50)

        refused = a_browser(app).get(path)

        assert (refused.status_code, refused.headers["retry-after"]) == (429, "3600")
        assert "set-cookie" not in refused.headers
        with transaction() as session:
            row = session.get_one(CalendarLink, links_of(home.owner_id)[0].id)
            assert row.reads == READS_AN_HOUR + 1
            row.counted_from_at = utc_now() - timedelta(minutes=61)
        assert a_browser(app).get(path).status_code == 200

    def test_an_address_that_guesses_is_held_up_and_still_reads_what_is_true(self, app):
        home = a_due_home(8_650)
        path = make(signed_in(app, home.owner_id))
        reader = a_browser(app)
        reader.get("/calendar/guess.ics")
        with transaction() as session:
            miss = session.exec(select(Miss)).one()
            assert "testclient" not in miss.client
            miss.misses = MISSES_AN_HOUR

        assert reader.get("/calendar/guess.ics").status_code == 429
        assert reader.get(path).status_code == 200

    def test_every_read_is_counted_though_many_come_at_once(self, app):
        home = a_due_home(8_650)
        path = make(signed_in(app, home.owner_id))

        answers = at_once(8, lambda _: a_browser(app).get(path).status_code)

        assert answers == [200] * 8
        assert links_of(home.owner_id)[0].reads == 8
