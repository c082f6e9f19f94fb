"""Residents on the console: found by anything, seen masked, and every look in the audit log."""

import re
from datetime import timedelta
from html import unescape

import pytest
from sqlalchemy import text

from billing.bills import format_ref
from core.db import transaction
from identity.duties import Duty
from identity.looking import LookReason
from identity.models import Role
from identity.people import get_person
from payments.autopay.models import Mandate
from tests.conftest import NOW
from tests.factories import Home, a_guest, a_home, a_paid_payment, a_person, a_record, bring_in
from tests.notifications.far import Far, a_notice, hand_over
from tests.payments.autopay.autopaying import a_mandate
from tests.web.conftest import Browser, signed_in
from tests.web.test_console_terms import main_of, told

pytestmark = pytest.mark.usefixtures("city")
ENGLISH = {"Accept-Language": "en"}


@pytest.fixture
def clerk(app) -> Browser:
    return signed_in(app, a_person(Role.STAFF, name="陈晓", duties=(Duty.SERVICE,)))


@pytest.fixture
def home() -> Home:
    return a_home(8_650, 1_000)


def why(browser: Browser, at: str, **changes: str):
    form = {"reason": "asked", "words": "来电 17", "back": at} | changes
    return browser.send_form(f"{at}/reason", form, headers=ENGLISH)


def resident(home: Home) -> str:
    return f"/console/residents/{home.owner_id}"


def log() -> list[tuple[str, str, str]]:
    """What stands in the audit log, in order: the deed, its subject, why."""
    with transaction() as session:
        rows = session.execute(
            text("SELECT what, subject_kind || ':' || subject_id, detail ->> 'reason'"
                 " FROM audit_entry WHERE what NOT IN ('duty_given', 'signed_in') ORDER BY id")
        )  # fmt: skip
        return [tuple(row) for row in rows]


def deeds() -> list[str]:
    return [what for what, _, _ in log()]


def find(browser: Browser, typed: str):
    return browser.send_form("/console/residents", {"q": typed}, headers=ENGLISH)


def secrets_of(person_id: int) -> list[str]:
    """What no page may hold before it is asked for: the whole contact, tokens, codes, forms'."""
    with transaction() as session:
        person = get_person(session, person_id)
        rows = session.execute(
            text("SELECT token_hash, csrf FROM web_session WHERE person_id = :id"),
            {"id": person_id},
        )
        return [person.contact, person.email, person.name, *(cell for row in rows for cell in row)]


class TestFinding:
    def test_one_hit_goes_straight(self, clerk, home):
        with transaction() as session:
            contact = get_person(session, home.owner_id).contact
        payment = a_paid_payment(home)

        assert find(clerk, contact).headers["location"] == resident(home)
        assert find(clerk, home.account_nos[0]).headers["location"] == resident(home)
        found = find(clerk, payment.order_no).headers["location"]
        assert found == f"/console/payments/{payment.id}"

    def test_an_account_nobody_has_signed_up_for_has_a_page_of_its_own(self, clerk):
        bring_in("gas", a_record("7700000001"))

        at = find(clerk, "7700000001").headers["location"]

        assert re.fullmatch(r"/console/accounts/\d+", at)
        assert why(clerk, at).headers["location"] == at
        assert "Nobody of this home has signed up" in main_of(clerk, at)

    def test_several_are_listed_masked_and_the_search_is_in_the_log(self, clerk, home):
        other = a_person(name="王珅琪")

        answer = find(clerk, "王珅")

        assert answer.status_code == 200
        shown = told(answer.text)
        assert "王*" in shown
        assert "汉口路****" in shown
        for secret in (*secrets_of(home.owner_id), *secrets_of(other)):
            assert secret not in answer.text.replace('value="王珅"', ""), secret
        assert log() == [("residents_sought", ":", None)]

    def test_nobody_is_said_kindly_and_what_was_typed_is_kept_out_of_the_log(self, clerk):
        answer = find(clerk, "19912345678")

        assert "Nobody fits" in told(answer.text)
        with transaction() as session:
            noted = session.execute(text("SELECT detail::text FROM audit_entry")).scalars().all()
        assert len(noted) > 0
        assert not any("19912345678" in detail for detail in noted)

    def test_an_empty_search_is_none(self, clerk):
        assert clerk.get("/console/residents").status_code == 200
        assert log() == []


class TestWhy:
    def test_nothing_of_anybody_is_shown_before_why_is_said(self, clerk, home):
        before = clerk.get(resident(home), headers=ENGLISH)

        assert "Why do you look?" in told(before.text)
        assert not any(secret in before.text for secret in secrets_of(home.owner_id))
        assert log() == []
        assert why(clerk, resident(home)).headers["location"] == resident(home)
        seen = main_of(clerk, resident(home))
        assert "You look because: The resident asked us · 来电 17" in seen
        assert log() == [("resident_seen", f"person:{home.owner_id}", "asked: 来电 17")]

    def test_it_is_asked_once_a_session_and_each_look_is_logged(self, app, clerk, home):
        why(clerk, resident(home))
        for _ in range(3):
            main_of(clerk, resident(home))

        assert deeds() == ["resident_seen"] * 3
        another = signed_in(app, a_person(Role.STAFF))
        assert "Why do you look?" in main_of(another, resident(home))

    @pytest.mark.parametrize(
        ("form", "said"),
        [({"reason": ""}, "Choose why"), ({"reason": "other", "words": " "}, "Say why in a few")],
    )
    def test_an_answer_that_is_none_is_asked_again(self, clerk, home, form, said):
        answer = why(clerk, resident(home), **form)

        assert answer.status_code == 422
        assert said in told(answer.text)

    @pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "/", "/pay"])
    def test_the_answer_leads_nowhere_else(self, clerk, home, back):
        assert why(clerk, resident(home), back=back).headers["location"] == resident(home)

    def test_every_reason_has_its_words(self, clerk, home):
        page = clerk.get(resident(home)).text

        assert {code in page for code in LookReason} == {True}


class TestTheirPage:
    def test_it_shows_what_they_see_what_is_open_and_what_happened(self, clerk, home):
        payment = a_paid_payment(home)
        why(clerk, resident(home))

        seen = main_of(clerk, resident(home))

        for said in ("1 payment", "Payment", "A bill came", "2 paid bills are not confirmed"):
            assert said in seen or said == "1 payment"
        assert f"/console/payments/{payment.id}" in clerk.get(resident(home)).text

    def test_the_contact_is_whole_by_an_act_of_its_own(self, clerk, home):
        why(clerk, resident(home))
        with transaction() as session:
            contact = get_person(session, home.owner_id).contact
        assert contact not in clerk.get(resident(home)).text

        shown = clerk.send_form(f"{resident(home)}/contact")

        assert contact in shown.text
        assert deeds() == ["resident_seen", "contact_seen"]
        assert contact not in clerk.get(resident(home)).text

    def test_no_act_goes_without_a_reason(self, clerk, home):
        mandate = a_mandate(home)

        for act in ("contact", "notices/1/again", f"autopay/{mandate.id}/pause"):
            answer = clerk.send_form(f"{resident(home)}/{act}", {"words": "x"}, headers=ENGLISH)
            asked = answer.status_code == 303 or "Why do you look?" in told(answer.text)
            assert asked, act

        assert log() == []

    def test_a_long_story_pages_to_its_end(self, clerk, home):
        with transaction() as session:
            person = get_person(session, home.owner_id)
        for number in range(95):
            at = NOW + timedelta(seconds=number % 7)
            a_notice(person, at, subject_ref=str(number), channel="inbox", title=f"第{number}号")
        why(clerk, resident(home))
        at, titles = resident(home), []

        while at:
            html = clerk.get(at, headers=ENGLISH).text
            story = html[html.index('class="steps story"') : html.index("</ol>")]
            titles += re.findall("第\\d+号", story)
            older = re.search(r'rel="next" href="([^"#]+)', html)
            at = unescape(older[1]) if older else ""

        assert sorted(titles) == sorted(f"第{number}号" for number in range(95))
        assert clerk.get(f"{resident(home)}?until=junk").status_code == 422

    def test_a_guest_has_a_page_without_a_home(self, clerk):
        at = f"/console/residents/{a_guest(email='li@city.example')}"
        why(clerk, at)

        seen = main_of(clerk, at)

        assert "Guest" in seen
        assert "l***@city.example" in seen
        assert "Their bills" not in seen


class TestForThem:
    def test_a_notice_goes_again_three_times_to_whom_it_was_for(self, clerk, home):
        with transaction() as session:
            person = get_person(session, home.owner_id)
        notice_id = a_notice(
            person, NOW, address=person.email, title="十月账单", body="秘密 483920"
        )
        hand_over(Far(), now=NOW)
        why(clerk, resident(home))
        page = clerk.get(resident(home)).text
        assert "十月账单" in page
        assert "483920" not in page

        answer = clerk.send_form(f"{resident(home)}/notices/{notice_id}/again")

        assert answer.headers["location"] == f"{resident(home)}#notices"
        assert "notice_again" in deeds()
        again = clerk.send_form(f"{resident(home)}/notices/{notice_id}/again", headers=ENGLISH)
        assert (again.status_code, "still on its way" in told(again.text)) == (409, True)
        others = f"/console/residents/{a_person()}"
        why(clerk, others)
        assert clerk.send_form(f"{others}/notices/{notice_id}/again").status_code == 404

    def test_autopay_is_paused_for_them_with_a_reason(self, clerk, home):
        mandate, at = a_mandate(home), resident(home)
        why(clerk, at)

        blank = clerk.send_form(f"{at}/autopay/{mandate.id}/pause", headers=ENGLISH)
        done = clerk.send_form(f"{at}/autopay/{mandate.id}/pause", {"words": "来电要求"})

        assert (blank.status_code, "Say why" in told(blank.text)) == (422, True)
        assert done.status_code == 303
        with transaction() as session:
            row = session.get_one(Mandate, mandate.id)
            assert (row.status, row.reason) == ("paused", "by_staff")
        assert "autopay_paused" in deeds()
        again = clerk.send_form(f"{at}/autopay/{mandate.id}/pause", {"words": "x"})
        assert again.status_code == 303  # it is paused already

    def test_a_staff_reason_stays_out_of_the_residents_pages(self, app, clerk, home):
        mandate = a_mandate(home)
        why(clerk, resident(home))
        clerk.send_form(f"{resident(home)}/autopay/{mandate.id}/pause", {"words": "内部备注"})

        theirs = signed_in(app, home.owner_id).get(f"/autopay/{mandate.id}", headers=ENGLISH)

        assert "on your behalf" in told(theirs.text)
        assert "内部备注" not in theirs.text


class TestAsTheySeeIt:
    def test_home_and_bill_are_theirs_and_nothing_can_be_done(self, app, clerk, home):
        bill = f"{resident(home)}/bills/{format_ref(home.refs[0])}"
        why(clerk, resident(home))

        for at, own in ((f"{resident(home)}/home", "/"), (bill, bill.removeprefix(resident(home)))):
            seen = clerk.get(at, headers=ENGLISH).text
            assert "You see what 王* sees" in unescape(seen)
            assert "<form" not in seen
            assert "csrf" not in seen
            assert "¥86.50" in seen
            links = set(re.findall(r'href="(/[^"]*)"', seen)) - {"/console/residents"}
            assert all(link.startswith(("/static/", resident(home))) for link in links), links
            assert "¥86.50" in signed_in(app, home.owner_id).get(own).text

        assert deeds() == ["seen_as", "seen_as"]

    def test_neither_is_seen_without_a_reason_nor_anybody_elses_bill(self, clerk, home):
        others = a_home(700)
        assert "Why do you look?" in main_of(clerk, f"{resident(home)}/home")
        why(clerk, resident(home))

        answer = clerk.get(f"{resident(home)}/bills/{format_ref(others.refs[0])}")

        assert answer.status_code == 404
        assert log() == []


PAGES = ("", "/home", "/bills/{ref}")


class TestSecrets:
    @pytest.mark.parametrize("page", PAGES)
    def test_no_page_holds_a_whole_contact_a_session_or_a_code(self, app, clerk, home, page):
        signed_in(app, home.owner_id)
        why(clerk, resident(home))

        shown = clerk.get(resident(home) + page.format(ref=format_ref(home.refs[0]))).text

        for secret in secrets_of(home.owner_id):
            assert secret not in shown, secret
        assert home.account_nos[0] not in shown

    def test_every_page_leaves_a_look_behind(self, clerk, home):
        """Each route that shows something of a resident, walked with a reason given."""
        payment = a_paid_payment(home)
        account = f"/console/accounts/{home.refs[0][0]}"
        why(clerk, resident(home))
        walked = [resident(home) + page.format(ref=format_ref(home.refs[0])) for page in PAGES]
        walked += [account, f"/console/payments/{payment.id}"]

        for number, at in enumerate(walked, start=1):
            assert clerk.get(at).status_code == 200, at
            assert len(log()) == number, at

        assert deeds() == ["resident_seen", "seen_as", "seen_as", "account_seen", "payment_seen"]

    @pytest.mark.parametrize("duty", [Duty.FINANCE, Duty.SETUP, Duty.ADMIN])
    def test_residents_are_customer_services_alone(self, app, home, duty):
        browser = signed_in(app, a_person(Role.STAFF, duties=(duty,)))

        for at in ("/console/residents", resident(home), f"{resident(home)}/home",
                   f"/console/accounts/{home.refs[0][0]}"):  # fmt: skip
            assert browser.get(at).status_code == 403, at

        assert "resident_seen" not in deeds()

    def test_a_reason_for_a_resident_covers_the_accounts_of_their_home(self, clerk, home):
        why(clerk, resident(home))

        seen = main_of(clerk, f"/console/accounts/{home.refs[0][0]}")

        assert "B1" in seen
        assert "Why do you look?" in main_of(clerk, f"/console/accounts/{a_home(1).refs[0][0]}")
