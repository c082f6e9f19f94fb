"""What residents ask and complain of: written from any page, and answered on all three sides."""

import csv
import io
from datetime import timedelta

import pytest
from fastapi import FastAPI
from lxml import html
from sqlalchemy import text

from core.clock import utc_now
from core.db import transaction
from identity.duties import Duty
from identity.models import Role
from support import indicators
from support.models import Complaint, Kind
from tests.factories import a_guest, a_home, a_paid_payment, a_person
from tests.support.complaining import answer, ask, company_says, pass_on, said, take, the
from tests.web.conftest import Browser, a_browser, signed_in
from tests.web.test_console import main_of, notices

ENGLISH = {"Accept-Language": "en"}
pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture
def person(city: str) -> int:
    return a_person()


@pytest.fixture
def resident(app: FastAPI, person: int) -> Browser:
    return signed_in(app, person)


@pytest.fixture
def clerk_id(city: str) -> int:
    return a_person(Role.STAFF, name="周敏", duties=(Duty.SERVICE,))


@pytest.fixture
def clerk(app: FastAPI, clerk_id: int) -> Browser:
    return signed_in(app, clerk_id)


@pytest.fixture
def operator(app: FastAPI, city: str) -> Browser:
    return signed_in(app, a_person(Role.OPERATOR, name="吴工"))


def send(browser: Browser, **changes: str) -> str:
    """Write to us on the page; where it leads then."""
    form = {"kind": "complaint", "about": "", "words": "水表走得太快", "key": "k"} | changes
    found = browser.send_form("/complaints", form, headers=ENGLISH)
    assert found.status_code == 303, found.text
    return str(found.headers["location"])


def looks() -> list[tuple[str, str | None]]:
    with transaction() as session:
        rows = session.execute(
            text("SELECT subject_id, detail ->> 'reason' FROM audit_entry "
                 "WHERE what = 'complaint_seen' ORDER BY id")
        )  # fmt: skip
        return [(row[0], row[1]) for row in rows]


class TestResident:
    def test_from_a_bill_it_is_about_the_bill(self, app):
        home = a_home(8_650)
        browser, ref = signed_in(app, home.owner_id), "{}.{}".format(*home.refs[0])
        foot = html.fromstring(browser.get(f"/bills/{ref}").text)
        (href,) = foot.xpath("//footer//a[starts-with(@href, '/complaints')]/@href")

        form = html.fromstring(browser.get(href).text)
        (chosen,) = form.xpath("//select[@name='about']/option[@selected]/@value")
        at = send(browser, about=chosen)

        assert chosen == f"bill:{ref}"
        page = main_of(browser, at)
        assert "We have it. Its number is C2" in page
        assert "水表走得太快" in page
        assert f'href="/bills/{ref}"' in browser.get(at).text

    def test_from_a_payment_it_is_about_the_payment(self, app):
        home = a_home(8_650)
        payment, browser = a_paid_payment(home), signed_in(app, home.owner_id)

        form = html.fromstring(browser.get(f"/complaints/new?from=/payments/{payment.id}").text)
        (chosen,) = form.xpath("//select[@name='about']/option[@selected]/@value")

        assert chosen == f"payment:{payment.id}"
        assert f'href="/payments/{payment.id}"' in browser.get(send(browser, about=chosen)).text

    def test_of_somebody_elses_nothing_is_taken_over_nor_kept(self, resident):
        home = a_home(8_650)
        payment, ref = a_paid_payment(home), "{}.{}".format(*home.refs[0])

        for page, about in ((f"/bills/{ref}", f"bill:{ref}"),
                            (f"/payments/{payment.id}", f"payment:{payment.id}")):  # fmt: skip
            form = html.fromstring(resident.get(f"/complaints/new?from={page}").text)
            assert about not in form.xpath("//select[@name='about']/option/@value")
            told = resident.send_form("/complaints", {"kind": "fault", "about": about,
                                                      "words": "x", "key": "k"})  # fmt: skip
            assert told.status_code == 404
        assert "You have not written to us yet" in main_of(resident, "/complaints")

    def test_what_was_typed_is_kept_when_something_is_wrong(self, resident):
        for changes, words in (({"words": " "}, "Write a few words."),
                               ({"words": "水" * 2_001}, "2,000 characters at most"),
                               ({"kind": "odd"}, "Choose what it is."),
                               ({"about": "company:x"}, "Choose what it is about.")):  # fmt: skip
            form = {
                "kind": "fault",
                "about": "company:gas",
                "words": "没有气",
                "key": "k",
            } | changes
            told = resident.send_form("/complaints", form, headers=ENGLISH)
            assert told.status_code == 422
            assert words in told.text
            assert form["words"].strip() in told.text

    def test_the_form_sent_twice_is_one(self, resident):
        assert send(resident) == send(resident)

    def test_they_see_all_that_is_theirs_and_nothing_from_inside(self, resident, person, clerk_id):
        one = ask(person, now=utc_now())
        take(one, clerk_id)
        pass_on(one, clerk_id, words="内部问题")
        company_says(one, a_person(Role.OPERATOR), "公司说法")
        answer(one, clerk_id, "给您的答复", now=utc_now())

        page = main_of(resident, f"/complaints/{one.number}")

        assert "给您的答复" in page
        for inside in ("内部问题", "公司说法", "周敏"):
            assert inside not in page
        assert "Answered" in main_of(resident, "/complaints")

    def test_they_answer_back_close_and_reopen(self, resident, person, clerk_id):
        one = ask(person, now=utc_now())
        at = f"/complaints/{one.number}"
        take(one, clerk_id)
        answer(one, clerk_id, now=utc_now())

        resident.send_form(f"{at}/words", {"words": "不对"})
        assert the(one).state == "in_hand"
        resident.send_form(f"{at}/close")
        assert "You closed it" in main_of(resident, at)
        resident.send_form(f"{at}/words", {"words": "还是不对"})
        resident.send_form(f"{at}/close")
        told = resident.send_form(f"{at}/words", {"words": "第三次"}, headers=ENGLISH)

        assert told.status_code == 409
        assert "Please write to us anew." in told.text
        assert "第三次" not in main_of(resident, at)
        assert the(one).reopened == 2

    def test_somebody_elses_is_not_there(self, resident):
        one = ask(a_person())

        for answered in (resident.get(f"/complaints/{one.number}"),
                         resident.send_form(f"/complaints/{one.number}/words", {"words": "x"}),
                         resident.send_form(f"/complaints/{one.number}/close")):  # fmt: skip
            assert answered.status_code == 404
        assert len(said(one)) == 1

    def test_a_guest_is_shown_the_hotline_and_no_form(self, app):
        guest = signed_in(app, a_guest(now=utc_now()))

        foot = html.fromstring(guest.get("/pay").text).xpath("//footer")[0]

        assert "12345" in foot.text_content()
        assert foot.xpath(".//a/@href") == []
        assert guest.get("/complaints/new").headers["location"].startswith("/sign-in")

    def test_whoever_is_not_signed_in_comes_back_to_the_form(self, app):
        answered = a_browser(app).get("/complaints/new?from=/bills/1.2")

        assert answered.headers["location"] == (
            "/sign-in?next=/complaints/new%3Ffrom%3D/bills/1.2"
        )  # fmt: skip

    def test_page_by_page_is_all_of_them(self, app, monkeypatch):
        person = a_person()
        numbers = {ask(person).number for _ in range(3)}
        monkeypatch.setattr("web.pages.complaints.PAGE", 2)
        browser, href, found = signed_in(app, person), "/complaints", set()

        while href:
            page = html.fromstring(browser.get(href).text)
            found |= {str(row).rpartition("/")[2] for row in page.xpath("//ul/li/a/@href")}
            href = next(iter(page.xpath("//a[@rel='next']/@href")), "")

        assert numbers <= found


class TestConsole:
    def test_it_is_taken_seen_answered_and_closed(self, clerk, person):
        one = ask(person, "水费太高", about="company:water", now=utc_now())
        at = f"/console/complaints/{one.number}"
        assert one.number in main_of(clerk, "/console/complaints")
        assert "水费太高" not in main_of(clerk, "/console/complaints")

        clerk.send_form(f"{at}/take")
        assert "水费太高" in main_of(clerk, at)
        clerk.send_form(f"{at}/note", {"words": "查一下"})
        clerk.send_form(f"{at}/answer", {"words": "读数无误"})
        clerk.send_form(f"{at}/close", {"words": ""})

        assert [each.said for each in said(one)] == ["asked", "taken", "note", "answered", "closed"]
        assert "Everybody has an answer" in main_of(clerk, "/console/complaints")

    def test_who_does_not_have_it_says_why_and_the_log_keeps_it(self, clerk, person):
        one = ask(person, "水费太高", now=utc_now())
        at = f"/console/complaints/{one.number}"

        asked = clerk.get(at, headers=ENGLISH)
        assert "水费太高" not in asked.text
        assert "Why do you look?" in asked.text
        assert looks() == []
        form = {"reason": "asked", "words": "来电", "back": at}
        assert clerk.send_form(f"{at}/reason", form).headers["location"] == at
        assert "水费太高" in main_of(clerk, at)
        clerk.send_form(f"{at}/take")
        clerk.get(at)

        assert looks() == [(one.number, "asked: 来电")] * 2

    def test_of_two_clerks_the_second_is_told(self, app, clerk, person):
        one = ask(person, now=utc_now())
        other = signed_in(app, a_person(Role.STAFF, name="林岚"))
        other.send_form(f"/console/complaints/{one.number}/take")

        told = clerk.send_form(f"/console/complaints/{one.number}/take", headers=ENGLISH)

        assert told.status_code == 409
        assert "Somebody else has taken it in the meantime" in told.text
        assert "林岚" in told.text

    def test_another_takes_it_over(self, app, clerk, clerk_id, person):
        one = ask(person, now=utc_now())
        take(one, clerk_id)
        at, other = f"/console/complaints/{one.number}", signed_in(app, a_person(Role.STAFF))
        other.send_form(f"{at}/reason", {"reason": "complaint", "words": "", "back": at})
        form = html.fromstring(other.get(at).text)
        (holder,) = form.xpath("//input[@name='instead_of']/@value")

        other.send_form(f"{at}/take", {"instead_of": holder})
        told = clerk.send_form(f"{at}/answer", {"words": "迟了"}, headers=ENGLISH)

        assert told.status_code == 200  # they are asked why: it is not theirs any more
        assert "Why do you look?" in told.text
        assert [each.said for each in said(one)] == ["asked", "taken", "taken"]

    def test_what_was_typed_is_kept_when_it_is_refused(self, clerk, clerk_id, person):
        one = ask(person, now=utc_now())
        take(one, clerk_id)
        at = f"/console/complaints/{one.number}"

        told = clerk.send_form(f"{at}/close", {"words": "再见"}, headers=ENGLISH)

        assert told.status_code == 409
        assert "Answer it before you close it." in told.text
        assert clerk.send_form(f"{at}/answer", {"words": " "}).status_code == 422
        assert (
            clerk.send_form(f"{at}/company", {"company": "nobody", "words": "x"}).status_code == 404
        )

    def test_filters_stand_in_the_address(self, clerk, clerk_id, person):
        now = utc_now()
        late = ask(person, kind=Kind.FAULT, about="company:gas", now=now - timedelta(days=20))
        fresh = ask(person, now=now)
        done = ask(person, now=now)
        for one in (fresh, done):
            take(one, clerk_id)
        answer(done, clerk_id, now=now)

        for query, found in {
            "": [late, fresh], "overdue=1": [late], "mine=1": [fresh], "company=gas": [late],
            "what=fault": [late], "state=answered": [done], "state=any": [done, fresh, late],
            "state=any&mine=1": [done, fresh], "company=power": [],
        }.items():  # fmt: skip
            assert listed(clerk, query) == [one.number for one in found], query
        assert clerk.get("/console/complaints?state=odd").status_code == 422

    def test_what_is_overdue_stands_on_the_first_page(self, clerk, person):
        ask(person, now=utc_now() - timedelta(days=20))

        told = notices(clerk.get("/console", headers=ENGLISH).text)

        assert told["1 question or complaint is not answered in its time"] == (
            "/console/complaints?overdue=1"
        )  # fmt: skip

    def test_taken_out_it_says_how_each_stands_and_nothing_of_whose_it_is(self, clerk, clerk_id):
        one = ask(a_person(name="欧阳修"), "水费太高", about="company:water", now=utc_now())
        take(one, clerk_id)

        taken_out = clerk.get("/console/complaints.csv?mine=1", headers=ENGLISH)

        (row,) = list(csv.reader(io.StringIO(taken_out.text.removeprefix("\ufeff"))))[1:]
        assert row[:3] == [one.number, "Question", "In hand"]
        assert row[-1] == "周敏"
        assert "欧阳修" not in taken_out.text
        assert "水费太高" not in taken_out.text
        assert clerk.get("/console/complaints.xlsx").status_code == 200

    def test_who_has_no_such_duty_sees_nothing(self, app, person):
        one = ask(person)
        other = signed_in(app, a_person(Role.STAFF, duties=(Duty.FINANCE,)))

        for path in ("", ".csv", f"/{one.number}"):
            assert other.get(f"/console/complaints{path}").status_code == 403
        assert other.send_form(f"/console/complaints/{one.number}/take").status_code == 403


def listed(browser: Browser, query: str = "") -> list[str]:
    page = html.fromstring(browser.get(f"/console/complaints?{query}").text)
    return [str(one).rpartition("/")[2] for one in page.xpath("//tr[@data-row]//td[1]/a/@href")]


class TestCompany:
    @pytest.fixture
    def passed(self, clerk_id) -> Complaint:
        home = a_home(8_650)
        one = ask(home.owner_id, "水表走得太快", about="bill:{}.{}".format(*home.refs[0]))
        take(one, clerk_id)
        pass_on(one, clerk_id, words="请核实")
        return one

    def test_its_people_see_what_was_passed_to_them_and_answer_staff(self, operator, clerk, passed):
        at = f"/company/complaints/{passed.number}"
        assert "Waits for you" in main_of(operator, "/company/complaints")
        page = main_of(operator, at)
        with transaction() as session:
            [number] = session.execute(text("SELECT account_no FROM utility_account")).scalars()
        for shown in ("水表走得太快", "请核实", number):
            assert shown in page
        assert "王珅" not in page
        assert "周敏" not in page

        operator.send_form(f"{at}/words", {"words": "已核实"})

        assert "You have answered" in main_of(operator, "/company/complaints")
        assert "已核实" in main_of(clerk, f"/console/complaints/{passed.number}")
        assert "has answered" in main_of(clerk, "/console/complaints")
        assert (passed.number, None) in looks()

    def test_what_was_not_passed_to_it_is_not_there(self, operator, clerk_id, person):
        alone, gas = ask(person, about="company:water"), ask(person)
        take(gas, clerk_id)
        pass_on(gas, clerk_id, "gas")

        for one in (alone, gas):
            assert operator.get(f"/company/complaints/{one.number}").status_code == 404
            told = operator.send_form(f"/company/complaints/{one.number}/words", {"words": "x"})
            assert told.status_code == 404
        assert "Nothing was passed on to you" in main_of(operator, "/company/complaints")

    def test_notes_and_another_companys_words_are_not_shown(self, operator, clerk, passed):
        at = f"/console/complaints/{passed.number}"
        clerk.send_form(f"{at}/note", {"words": "内部备注"})
        clerk.send_form(f"{at}/company", {"company": "gas", "words": "问燃气"})
        clerk.send_form(f"{at}/company", {"company": "water", "words": "再问水务"})

        page = main_of(operator, f"/company/complaints/{passed.number}")

        assert "再问水务" in page
        assert "内部备注" not in page
        assert "问燃气" not in page

    def test_when_it_is_answered_there_is_nothing_more_to_say(self, operator, clerk_id, passed):
        answer(passed, clerk_id)
        at = f"/company/complaints/{passed.number}"

        assert "<textarea" not in operator.get(at).text
        assert operator.send_form(f"{at}/words", {"words": "x"}).status_code == 409


class TestApi:
    def test_a_resident_writes_and_reads_theirs(self, app, person, clerk_id):
        browser = signed_in(app, person)
        body = {"kind": "question", "words": "怎么算？", "about": "company:gas"}
        key = {"Idempotency-Key": "k"}

        made = browser.post("/api/v1/complaints", json=body, headers=key)
        again = browser.post("/api/v1/complaints", json=body, headers=key)
        other = browser.post("/api/v1/complaints", json=body | {"words": "x"}, headers=key)
        with transaction() as session:
            one = session.get_one(Complaint, 1)
        take(one, clerk_id)
        answer(one, clerk_id)

        assert (made.status_code, made.json()["number"]) == (201, one.number)
        assert again.json() == made.json()
        assert (other.status_code, other.json()["code"]) == (409, "idempotency.other_body")
        (listed_one,) = browser.get("/api/v1/complaints").json()["complaints"]
        assert (listed_one["state"], listed_one["company"]) == ("answered", "gas")
        assert [(e["said"], e["by_you"]) for e in listed_one["entries"]] == [
            ("asked", True), ("answered", False),
        ]  # fmt: skip
        assert signed_in(app, a_person()).get("/api/v1/complaints").json()["complaints"] == []

    @pytest.mark.parametrize(
        ("change", "status", "code"),
        [
            ({"about": "bill:1.1"}, 404, "not_found"),
            ({"about": "x"}, 422, "complaint.about"),
            ({"words": " "}, 422, "complaint.no_words"),
            ({"kind": "odd"}, 422, "request.malformed"),
        ],
    )
    def test_what_is_wrong_is_told_by_a_code(self, resident, change, status, code):
        body = {"kind": "fault", "words": "没有水"} | change

        answered = resident.post("/api/v1/complaints", json=body)

        assert (answered.status_code, answered.json()["code"]) == (status, code)

    def test_figures_are_open_to_everybody(self, app):
        now = utc_now()
        a_home(8_650, now=now)
        with transaction() as session:
            indicators.count(session, now=now)

        found = a_browser(app).get("/api/v1/indicators")

        assert found.status_code == 200
        assert set(found.json()["indicators"][0]) == {
            "company", "month", "bills_issued", "bills_due", "bills_paid_in_time",
            "paid_in_time_per_mille", "write_offs", "write_offs_in_a_day", "complaints",
            "complaints_answered_in_time", "median_answer_minutes", "counted_at",
        }  # fmt: skip
