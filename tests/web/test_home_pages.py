"""The page of a home, its forms, and the home page of somebody with several homes."""

import re
from datetime import timedelta

import pytest
from lxml import html
from sqlmodel import select

from billing.bills import format_ref
from billing.homes.households import create_household
from billing.homes.people import add_home
from billing.models import HomeKind, Household, HouseholdMember, MemberRole
from core.clock import billing_date, utc_now
from core.db import transaction
from identity.people import find_person, get_person
from payments.autopay.models import Mandate
from payments.autopay.states import MandateStatus
from tests.factories import Home, a_home, a_paid_payment, a_person, join
from tests.payments.autopay.autopaying import a_mandate
from tests.web.conftest import signed_in
from tests.web.forms import a_due_home

pytestmark = pytest.mark.usefixtures("city")


def role_of(home: Home, person_id: int) -> MemberRole | None:
    with transaction() as session:
        row = session.get(HouseholdMember, (home.household_id, person_id))
        return row and MemberRole(row.role)


def contact_of(person_id: int) -> str:
    with transaction() as session:
        return get_person(session, person_id).contact or ""


class TestSeveralHomes:
    def test_all_of_them_say_which_home_a_bill_is_of(self, app):
        mine, parents = a_home(8_650, now=utc_now()), a_home(4_300, now=utc_now())
        join(parents, mine.owner_id, MemberRole.PAY)
        with transaction() as session:
            session.get_one(HouseholdMember, (parents.household_id, parents.owner_id))
        browser = signed_in(app, mine.owner_id)

        everything = browser.get("/").text
        assert "¥129.50" in everything
        assert everything.count("汉口路") > 2

        one = browser.get(f"/?home={parents.household_id}").text
        assert "¥43.00" in one
        assert "¥86.50" not in one

    def test_a_home_of_somebody_else_is_not_found(self, app):
        other = a_home(8_650)
        browser = signed_in(app, a_home(100).owner_id)
        for path in ("/", "/household", "/household/statement"):
            assert browser.get(f"{path}?home={other.household_id}").status_code == 404

    def test_with_one_home_nothing_is_to_switch(self, app):
        home = a_home(8_650, now=utc_now())
        assert f"?home={home.household_id}" not in signed_in(app, home.owner_id).get("/").text

    def test_of_who_only_sees_no_bill_can_be_ticked(self, app):
        home, member_id = a_home(8_650, now=utc_now()), a_person()
        join(home, member_id, MemberRole.SEE)
        shown = signed_in(app, member_id).get("/").text
        assert "¥86.50" in shown
        assert 'name="bill"' not in shown
        assert "由家里其他人缴" in shown

    def test_somebody_new_is_asked_to_make_a_home(self, app):
        shown = signed_in(app, a_person()).get("/").text
        assert "/household/new" in shown


class TestTheHome:
    def test_making_one_naming_it_and_removing_it(self, app):
        person_id = a_person()
        browser = signed_in(app, person_id)
        made = browser.send_form("/household/new", {"name": "爸妈家", "kind": "parents"})
        assert made.status_code == 303
        number = re.search(r"home=([0-9]+)", made.headers["location"])[1]
        assert "爸妈不需要有手机" in browser.get(made.headers["location"]).text

        browser.send_form("/household/name", {"home": number, "name": "外婆家"})
        assert "外婆家" in browser.get(f"/household?home={number}").text

        browser.send_form("/household/remove", {"home": number})
        assert browser.get(f"/household?home={number}").status_code == 404

    @pytest.mark.parametrize("kind", [*HomeKind, "castle"])
    def test_every_kind_says_how_it_works(self, app, kind):
        shown = signed_in(app, a_person()).get(f"/household/new?kind={kind}")
        assert shown.status_code == 200
        assert shown.text.count('class="steps__dot"') == 3

    def test_a_name_that_is_none_is_told_so_and_kept(self, app):
        refused = signed_in(app, a_person()).send_form(
            "/household/new", {"name": "长" * 41, "kind": "own"}
        )
        assert refused.status_code == 422
        assert "长" * 41 in refused.text

    def test_inviting_accepting_and_what_each_sees(self, app):
        home, guest_id = a_home(8_650, now=utc_now()), a_person(name="李小龙")
        host, guest = signed_in(app, home.owner_id), signed_in(app, guest_id)
        sent = host.send_form(
            "/household/invite",
            {"home": home.household_id, "contact": contact_of(guest_id), "role": "pay"},
        )
        assert sent.status_code == 303
        assert "****" + contact_of(guest_id)[-4:] in host.get("/household").text
        assert "李" not in host.get("/household").text

        for path in ("/", "/household"):
            shown = guest.get(path).text
            assert "王*邀请您加入一个家" in shown
        number = re.search(r'name="invitation" value="([0-9]+)"', shown)[1]
        joined = guest.send_form("/household/answer", {"invitation": number, "choice": "accept"})
        assert joined.headers["location"].startswith(f"/household?home={home.household_id}")
        assert role_of(home, guest_id) is MemberRole.PAY
        assert "李**" in host.get("/household").text
        assert "¥86.50" in guest.get("/").text

    def test_declining_is_nobodys_business(self, app):
        home, guest_id = a_home(100), a_person()
        host, guest = signed_in(app, home.owner_id), signed_in(app, guest_id)
        host.send_form(
            "/household/invite",
            {"home": home.household_id, "contact": contact_of(guest_id), "role": "see"},
        )
        number = re.search(r'name="invitation" value="([0-9]+)"', guest.get("/household").text)[1]
        guest.send_form("/household/answer", {"invitation": number, "choice": "decline"})
        assert role_of(home, guest_id) is None
        assert "invitation" not in guest.get("/household").text

    def test_a_lease_is_taken_with_its_days(self, app):
        home, today = a_home(100), billing_date(utc_now())
        host = signed_in(app, home.owner_id)
        form = {
            "home": home.household_id, "contact": "+8613700000009", "role": "pay",
            "from_on": today.isoformat(), "until_on": (today + timedelta(days=30)).isoformat(),
        }  # fmt: skip
        assert host.send_form("/household/invite", form).status_code == 303
        late = host.send_form("/household/invite", form | {"until_on": "2020-01-01"})
        assert late.status_code == 422
        assert "最后一天" in late.text
        assert "+8613700000009" in late.text  # what was typed stays
        assert host.send_form("/household/invite", form | {"until_on": "soon"}).status_code == 422

    @pytest.mark.parametrize(("kind", "ticked"), [("let", False), ("own", True), ("parents", True)])
    def test_earlier_bills_are_a_tick_that_is_off_for_a_tenant(self, app, kind, ticked):
        home, guest_id = a_due_home(8_650), a_person(name="李小龙")
        with transaction() as session:
            session.get_one(Household, home.household_id).kind = HomeKind(kind)
        host, guest = signed_in(app, home.owner_id), signed_in(app, guest_id)
        form = html.fromstring(host.get("/household").text).xpath(
            "//form[@action='/household/invite']"
        )[0]  # fmt: skip
        tick = form.xpath(".//input[@name='earlier_bills' and @type='checkbox']")[0]
        assert (tick.get("checked") is not None) is ticked

        sent = ["no", "yes"] if ticked else "no"  # as a browser sends the field and its tick
        typed = {"home": home.household_id, "contact": contact_of(guest_id), "role": "pay"}
        host.send_form("/household/invite", typed | {"earlier_bills": sent})
        assert ("不看以前的账单" in guest.get("/household").text) is not ticked
        number = re.search(r'name="invitation" value="([0-9]+)"', guest.get("/household").text)[1]
        guest.send_form("/household/answer", {"invitation": number, "choice": "accept"})

        assert (format_ref(home.refs[0]) in guest.get("/").text) is ticked
        form = {"home": home.household_id, "person": guest_id, "role": "see"}
        host.send_form("/household/role", form | {"earlier_bills": ["no", "yes"]})
        assert format_ref(home.refs[0]) in guest.get("/").text

    def test_a_role_is_changed_and_somebody_taken_out(self, app):
        home, member_id = a_home(100), a_person()
        join(home, member_id, MemberRole.SEE)
        host = signed_in(app, home.owner_id)
        form = {"home": home.household_id, "person": member_id}
        host.send_form("/household/role", form | {"role": "pay"})
        assert role_of(home, member_id) is MemberRole.PAY
        host.send_form("/household/take-out", form)
        assert role_of(home, member_id) is None

    def test_the_last_manager_is_told_why_they_cannot_leave(self, app):
        home, member_id = a_home(100), a_person()
        join(home, member_id, MemberRole.SEE)
        host = signed_in(app, home.owner_id)
        refused = host.send_form("/household/leave", {"home": home.household_id})
        assert refused.status_code == 409
        assert "请先让别人管理，再退出" in refused.text

    def test_who_leaves_has_no_autopay_there_any_more(self, app):
        home, second_id = a_home(8_650, now=utc_now()), a_person()
        join(home, second_id, MemberRole.MANAGE)
        a_mandate(home, at=None)
        browser = signed_in(app, home.owner_id)
        browser.send_form("/household/leave", {"home": home.household_id})
        with transaction() as session:
            assert session.exec(select(Mandate.status)).one() is MandateStatus.ENDED
        assert role_of(home, home.owner_id) is None


class TestWhoOnlySees:
    """`see` looks and does nothing, whatever is typed by hand."""

    @pytest.fixture
    def home(self) -> Home:
        return a_home(8_650, now=utc_now())

    @pytest.fixture
    def seer(self, app, home):
        member_id = a_person()
        join(home, member_id, MemberRole.SEE)
        browser = signed_in(app, member_id)
        browser.person_id = member_id
        return browser

    def test_what_they_may_look_at(self, seer, home):
        ref = format_ref(home.refs[0])
        for path in (f"/bills/{ref}", f"/bills/{ref}.pdf", "/household", "/household/statement"):
            assert seer.get(path).status_code == 200, path
        assert 'action="/pay"' not in seer.get(f"/bills/{ref}").text

    def test_they_cannot_pay(self, seer, home):
        ref = format_ref(home.refs[0])
        assert seer.send_form("/pay", {"bill": ref}).status_code == 404
        paid = seer.post(
            "/api/v1/payments",
            json={"bill_ids": [ref], "gateway": "sandbox"},
            headers={"Idempotency-Key": "k"},
        )
        assert paid.status_code in {404, 422}

    def test_they_cannot_start_autopay(self, seer, home):
        assert "还没有您可以缴的户号" in seer.get("/autopay/new").text or "home" not in re.findall(
            r'name="scope" value="([^"]+)"', seer.get("/autopay/new").text
        )
        for scope in ("home", str(home.refs[0][0]), f"home-{home.household_id}"):
            assert seer.get(f"/autopay/new?scope={scope}").status_code == 404

    def test_they_cannot_change_the_home(self, seer, home):
        forms = {
            "/household/name": {"name": "我的"},
            "/household/remove": {},
            "/household/invite": {"contact": "+8613700000001", "role": "see"},
            "/household/role": {"person": seer.person_id, "role": "manage"},
            "/household/take-out": {"person": home.owner_id},
        }
        for path, form in forms.items():
            refused = seer.send_form(path, {"home": home.household_id} | form)
            assert refused.status_code == 403, path
        assert role_of(home, seer.person_id) is MemberRole.SEE
        assert role_of(home, home.owner_id) is MemberRole.MANAGE
        with transaction() as session:
            assert find_person(session, "+8613700000001") is None

    def test_they_see_no_payment_of_somebody_else(self, seer, home):
        payment = a_paid_payment(home, now=utc_now())
        assert seer.get(f"/payments/{payment.id}").status_code == 404
        about = {"about": f"payment:{payment.id}", "kind": "question", "words": "?"}
        assert seer.send_form("/complaints", about | {"key": "1"}).status_code == 404


def test_statements_and_autopay_are_of_the_home_that_is_chosen(app):
    now = utc_now()
    mine = a_home(8_650, now=now)
    other = a_home(4_300, now=now)
    join(other, mine.owner_id, MemberRole.PAY)
    browser = signed_in(app, mine.owner_id)
    shown = browser.get(f"/household/statement?home={other.household_id}").text
    assert f'href="/household/statement?home={other.household_id}" aria-current' in shown
    scopes = re.findall(r'name="scope" value="([^"]+)"', browser.get("/autopay/new").text)
    assert scopes[:2] == ["home", f"home-{other.household_id}"]
    assert browser.get(f"/autopay/new?scope=home-{other.household_id}").status_code == 200


def test_thirty_accounts_and_forty_characters_fit(app):
    now = utc_now()
    home = a_home(*[99_999_999] * 30, now=now)
    with transaction() as session:
        add_home(session, home.owner_id, name="长" * 40, kind=HomeKind.LET, now=now)
        create_household(session, name="第三个", owner_id=home.owner_id, now=now)
    browser = signed_in(app, home.owner_id)
    assert browser.get("/").text.count("data-fen=") == 30
    assert "长" * 40 in browser.get("/household").text
