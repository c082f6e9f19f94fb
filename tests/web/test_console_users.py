"""The console's users: found, invited, given duties by two, ended by one; and the audit log."""

import csv
import io
from datetime import timedelta

import openpyxl
import pytest
from fastapi import FastAPI

from core.clock import utc_now
from core.db import transaction
from identity import audit, colleagues, sign_in
from identity.audit import Deed, Subject, Wanted, person_subject
from identity.duties import Duty
from identity.models import Role
from identity.people import find_person, get_person
from tests.factories import a_person
from tests.web.conftest import Browser, a_browser, signed_in
from tests.web.test_console import main_of

SECRET = "signs the codes of these tests"


@pytest.fixture
def admins(app: FastAPI, city: str) -> tuple[Browser, Browser]:
    people = (a_person(Role.STAFF, name="陈晓"), a_person(Role.STAFF, name="林岚"))
    return signed_in(app, people[0]), signed_in(app, people[1])


@pytest.fixture
def clerk(city: str) -> int:
    return a_person(Role.STAFF, name="周敏", duties=[])


def duty_of(person_id: int, duty: Duty) -> str:
    """The address of a duty that stands."""
    with transaction() as session:
        rows = colleagues.duties_among(session, [person_id])[person_id]
    number = next(row.id for row in rows if row.duty is duty)
    return f"/console/users/{person_id}/duties/{number}"


def deeds() -> list[str]:
    with transaction() as session:
        entries = audit.find_entries(session, Wanted())
    return [one.what for one in entries if one.what != Deed.SIGNED_IN]


class TestDuties:
    def test_one_admin_proposes_another_gives_and_the_page_opens(self, app, admins, clerk):
        one, two = admins
        browser = signed_in(app, clerk)
        assert browser.get("/console/days").status_code == 403

        one.send_form(f"/console/users/{clerk}/duties", {"duty": "finance"})
        assert "周敏 Finance 陈晓" in main_of(two, "/console/users")
        assert browser.get("/console/days").status_code == 403
        at = duty_of(clerk, Duty.FINANCE)
        assert one.send_form(f"{at}/approval").status_code == 403
        assert two.send_form(f"{at}/approval").status_code == 303

        assert browser.get("/console/days").status_code == 200
        assert browser.get("/console/users").status_code == 403
        two.send_form(f"{at}/end")
        assert browser.get("/console/days").status_code == 403

    def test_a_missing_duty_is_told_with_what_to_do(self, app, clerk):
        answer = signed_in(app, clerk).get("/console/refunds", headers={"Accept-Language": "en"})

        assert answer.status_code == 403
        assert "An admin can propose more." in answer.text
        assert 'href="/console"' in answer.text

    def test_by_api_it_is_told_by_its_code(self, app, clerk):
        answer = signed_in(app, clerk).get("/api/v1/reconciliations/sandbox/2026-11-20")

        assert (answer.status_code, answer.json()["code"]) == (403, "duty.missing")
        assert answer.json()["duty"] == "finance"

    def test_nobody_is_offered_a_change_of_their_own(self, admins):
        with transaction() as session:
            [me] = colleagues.every_colleague(session, colleagues.Wanted("陈晓"))

        answer = admins[0].get(f"/console/users/{me.id}")
        assert "/duties/" not in answer.text
        assert f"/console/users/{me.id}/end" not in answer.text
        assert admins[0].send_form(f"/console/users/{me.id}/end").status_code == 403


class TestPeople:
    def test_somebody_is_invited_and_signs_in(self, app, admins):
        one, two = admins
        answer = one.send_form(
            "/console/users",
            {"name": "孙莉", "contact": "Sun.Li@city.example", "duty": ["service", "setup"]},
        )

        with transaction() as session:
            person = find_person(session, "sun.li@city.example")
            assert person is not None
            assert answer.headers["location"] == f"/console/users/{person.id}"
            issued = sign_in.issue_code(
                session, "sun.li@city.example", secret=SECRET, now=utc_now()
            )
        assert issued is not None
        for duty in (Duty.SERVICE, Duty.SETUP):
            two.send_form(f"{duty_of(person.id, duty)}/approval")
        browser = a_browser(app)
        browser.open_form("/sign-in")
        browser.send_form("/sign-in/code", {"contact": "sun.li@city.example", "code": issued[1]})
        assert browser.get("/console/bill-files").status_code == 200

    def test_a_companys_own_are_invited_by_one(self, app, admins):
        admins[0].send_form(
            "/console/users", {"name": "沈清", "contact": "shen@water.example", "of": "water"}
        )

        with transaction() as session:
            person = find_person(session, "shen@water.example")
        assert person is not None
        assert (person.role, person.provider_code) == (Role.OPERATOR, "water")
        assert signed_in(app, person.id).get("/company").status_code == 200

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"name": " "}, "Say who it is"),
            ({"contact": "a@b.example, c@d.example"}, "one phone number or one e-mail"),
            ({"contact": "taken@city.example"}, "Somebody has this contact already"),
            ({"of": "nobody"}, "there is no provider"),
            ({"duty": "king"}, "Choose a duty"),
        ],
    )  # fmt: skip
    def test_a_refused_invitation_keeps_what_was_typed(self, admins, changes, words):
        with transaction() as session:
            colleagues.invite(
                session, name="x", contact="taken@city.example", by=None, now=utc_now()
            )
        typed = {"name": "孙莉", "contact": "sun@city.example"} | changes

        answer = admins[0].send_form("/console/users", typed, headers={"Accept-Language": "en"})

        assert answer.status_code in {404, 409, 422}
        assert words in answer.text
        assert typed["contact"] in answer.text

    def test_who_leaves_is_out_at_once(self, app, admins):
        """ASVS 7.4.2."""
        clerk = a_person(Role.STAFF, name="周敏")
        browser, now = signed_in(app, clerk), utc_now()
        with transaction() as session:
            contact = get_person(session, clerk).contact or ""
            issued = sign_in.issue_code(session, contact, secret=SECRET, now=now)
        assert issued is not None

        assert admins[0].send_form(f"/console/users/{clerk}/end").status_code == 303

        assert browser.get("/console").status_code == 303
        with transaction() as session:
            assert sign_in.check_code(session, contact, issued[1], secret=SECRET, now=now) is None
            assert sign_in.issue_code(session, contact, secret=SECRET, now=now) is None
            assert colleagues.duties_among(session, [clerk]) == {}
        assert "周敏" not in main_of(admins[0], "/console/users")
        assert "周敏" in main_of(admins[0], "/console/users?left=1")
        assert Deed.ENDED in deeds()

    def test_who_comes_back_has_no_duty(self, app, admins):
        clerk = a_person(Role.STAFF, name="周敏")
        for _ in range(2):
            admins[0].send_form(f"/console/users/{clerk}/end")
        for _ in range(2):
            admins[1].send_form(f"/console/users/{clerk}/again")

        assert signed_in(app, clerk).get("/console").status_code == 200
        assert signed_in(app, clerk).get("/console/days").status_code == 403
        assert deeds().count(Deed.ENDED) == deeds().count(Deed.LET_IN_AGAIN) == 1

    def test_an_admin_sees_sessions_and_ends_them(self, app, admins, clerk):
        """ASVS 7.4.5."""
        first, second, third = (signed_in(app, clerk) for _ in range(3))
        with transaction() as session:
            browsers = colleagues.live_sessions(session, clerk, now=utc_now())
        assert len(browsers) == 3
        assert admins[0].get(f"/console/users/{clerk}").text.count('name="browser"') == 3

        at = f"/console/users/{clerk}/sessions/end"
        admins[0].send_form(at, {"browser": browsers[0].token_hash})
        assert sorted(one.get("/console").status_code for one in (first, second, third)) == [
            200, 200, 303,
        ]  # fmt: skip
        admins[0].send_form(at)
        assert {one.get("/console").status_code for one in (first, second, third)} == {303}

    def test_residents_are_nobody_here(self, admins):
        resident = a_person()

        assert admins[0].get(f"/console/users/{resident}").status_code == 404
        for what in ("end", "again", "sessions/end"):
            assert admins[0].send_form(f"/console/users/{resident}/{what}").status_code == 404

    def test_they_are_found_by_name_company_and_duty(self, admins, clerk):
        a_person(Role.OPERATOR, name="沈清")
        a_person(Role.STAFF, name="方燃", duties=[Duty.SETUP])

        def found(query: str) -> set[str]:
            text = main_of(admins[0], f"/console/users?{query}")
            return {name for name in ("陈晓", "林岚", "周敏", "沈清", "方燃") if name in text}

        assert found("words=周") == {"周敏"}
        assert found("of=companies") == found("of=water") == {"沈清"}
        assert found("of=city") == {"陈晓", "林岚", "周敏", "方燃"}
        assert found("duty=setup") == {"陈晓", "林岚", "方燃"}
        assert "Nobody like this" in main_of(admins[0], "/console/users?words=nobody")

    def test_pages_follow_one_another(self, admins, monkeypatch):
        for number in range(5):
            a_person(Role.STAFF, name=f"n{number}", duties=[])
        monkeypatch.setattr(colleagues, "PAGE", 2)
        seen, path = "", "/console/users"
        for _ in range(4):
            answer = admins[0].get(path)
            seen += answer.text
            path = answer.text.partition('rel="next" href="')[2].partition('"')[0]
            if not path:
                break
            path = path.replace("&amp;", "&")

        assert all(seen.count(f">n{number}<") == 1 for number in range(5))


class TestAudit:
    def test_it_is_filtered_by_who_what_whom_and_when(self, admins, clerk):
        resident, now = a_person(name="王小明"), utc_now()
        with transaction() as session:
            audit.note(session, clerk, Deed.RESIDENT_SEEN, subject=person_subject(resident),
                       detail={"reason": "来电"}, now=now)  # fmt: skip
            audit.note(session, clerk, Deed.PAYMENT_SEEN, subject=Subject("payment", "77"),
                       now=now - timedelta(days=40))  # fmt: skip

        def rows(query: str) -> str:
            return main_of(admins[0], f"/console/audit?{query}")

        assert "payment 77" in rows(f"who={clerk}")
        assert "来电" in rows(f"about=person:{resident}")
        assert "王小明" not in rows(f"about=person:{resident}")
        assert "payment 77" not in rows("what=resident_seen")
        assert "payment 77" not in rows(f"first={now.date()}")
        assert "No entry like this" in rows("last=2020-01-01")
        for junk in ("who=x", "who=٣", "what=x", "about=x", "first=x", "after=99999"):
            assert admins[0].get(f"/console/audit?{junk}").status_code in {404, 422}, junk

    def test_wrong_and_right_codes_are_in_it(self, clerk):
        """ASVS 16.3.1."""
        now = utc_now()
        with transaction() as session:
            contact = get_person(session, clerk).contact or ""
            issued = sign_in.issue_code(session, contact, secret=SECRET, now=now)
            assert issued is not None
            wrong = "000000" if issued[1] != "000000" else "000001"
            sign_in.check_code(session, contact, wrong, secret=SECRET, now=now)
            person = sign_in.check_code(session, contact, issued[1], secret=SECRET, now=now)
            assert person is not None
            sign_in.start_session(session, person, now=now)
            found = audit.find_entries(session, Wanted(subject=person_subject(clerk)))

        assert [one.what for one in found] == [Deed.SIGNED_IN, Deed.SIGN_IN_FAILED]

    def test_codes_nobody_asked_for_fill_no_log(self, clerk):
        now = utc_now()
        with transaction() as session:
            contact = get_person(session, clerk).contact or ""
            for _ in range(20):
                sign_in.check_code(session, contact, "123456", secret=SECRET, now=now)
            assert audit.find_entries(session, Wanted()) == []

    @pytest.mark.parametrize("path", ["/console/users", "/console/audit"])
    def test_both_lists_are_taken_out_and_that_is_in_it(self, admins, path):
        as_csv = admins[0].get(f"{path}.csv?words=陈")
        book = openpyxl.load_workbook(io.BytesIO(admins[0].get(f"{path}.xlsx").content))

        rows = list(csv.reader(io.StringIO(as_csv.content.decode("utf-8-sig"))))
        assert any("陈晓" in cell for row in rows for cell in row)
        assert book.active.max_row >= 3
        assert deeds()[:2] == [Deed.LIST_EXPORTED] * 2


@pytest.mark.parametrize(
    "path",
    [
        "/console/bill-files", "/console/refunds/all", "/console/chargebacks",
        "/console/reconciliations", "/console/arrivals", "/console/users", "/console/audit",
    ],
)  # fmt: skip
class TestLists:
    def test_a_list_is_taken_out_both_ways_with_nothing_in_it(self, admins, path):
        for kind in ("csv", "xlsx"):
            answer = admins[0].get(f"{path}.{kind}")
            assert answer.status_code == 200
            assert f"{kind}" in answer.headers["content-disposition"]
        assert admins[0].get(f"{path}.pdf").status_code == 422

    def test_a_filter_that_is_none_is_refused_and_no_fault(self, admins, path):
        for junk in ("first=x", "status=x&state=x&what=x&duty=x", "after=x:y:z&first=2026-13-01"):
            assert admins[0].get(f"{path}?{junk}").status_code in {200, 404, 422}
            assert admins[0].get(f"{path}.csv?{junk}").status_code in {200, 404, 422}
