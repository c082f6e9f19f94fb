"""Adding, naming and taking off accounts, and moving house, on pages and by API."""

import csv
import io
import re
from datetime import timedelta
from typing import Any

import openpyxl
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlmodel import select

from billing.bills import format_ref
from billing.homes import moving
from billing.homes.challenges import PERSON_TRIES
from billing.homes.households import create_household
from billing.models import MemberRole
from core import crypto
from core.clock import billing_date, month_start, utc_now
from core.db import transaction
from core.keys import named_key
from core.settings import settings
from identity import audit
from identity.audit import Deed
from identity.models import Role
from payments.autopay.models import Mandate
from tests.factories import Home, a_home, a_person, a_record, bring_in, join, the_terms
from tests.payments.autopay.autopaying import a_mandate
from tests.web.conftest import Browser, a_browser, signed_in
from tests.web.forms import a_due_home, text_of
from tests.web.test_access import ROUTES

pytestmark = pytest.mark.usefixtures("city")
NEXT_FEN = 31_415


def a_manager(name: str = "李雷") -> tuple[int, int]:
    """Somebody with an empty home."""
    me, now = a_person(name=name), utc_now()
    with transaction() as session:
        home = create_household(session, name="新家", owner_id=me, now=now)
        return me, home.id or 0


def add(browser: Browser, home: Home, **typed: Any) -> Any:
    browser.open_form("/household/accounts/new")
    form = {"company": home.companies[0], "account_no": home.account_nos[0], "amount": "86.50"}
    return browser.send_form("/household/accounts/new", form | typed)


def by_api(browser: Browser, home: Home, **changes: Any) -> Any:
    body = {"provider": home.companies[0], "account_no": home.account_nos[0],
            "amount_yuan": "86.50"}  # fmt: skip
    return browser.post("/api/v1/utility-accounts", json=body | changes)


class TestAdding:
    def test_who_knows_a_bill_has_it_among_theirs_and_twice_is_once(self, app):
        home, (me, _) = a_due_home(8_650), a_manager()
        browser = signed_in(app, me)

        first, again = add(browser, home), add(browser, home)

        assert first.headers["location"].startswith("/household/accounts?did=bound")
        assert again.headers["location"].startswith("/household/accounts?did=same")
        page = browser.get("/household/accounts?did=bound").text
        assert "户号已添加" in text_of(page)
        assert home.account_nos[0] not in page  # masked, here as everywhere
        assert format_ref(home.refs[0]) in browser.get("/").text

    def test_what_is_wrong_is_said_the_same_whether_or_not_there_is_such_an_account(self, app):
        home, (me, _) = a_due_home(8_650), a_manager()
        browser = signed_in(app, me)

        pages = [
            add(browser, home, amount="1.23"),
            add(browser, home, account_no="0000000000", amount="1.23"),
        ]

        assert {page.status_code for page in pages} == {404}
        said = [re.sub(r'value="[0-9]+"', "", text_of(page.text)) for page in pages]
        assert said[0] == said[1]
        assert "剩" not in said[0]  # how many tries are left is nobody's to know
        assert browser.get("/api/v1/utility-accounts").json() == []

    def test_too_many_tries_say_until_when(self, app):
        (me, _), homes = a_manager(), [a_due_home(8_650) for _ in range(7)]
        with transaction() as session:
            session.execute(text("UPDATE challenge_try SET tries = 0"))
        browser = signed_in(app, me)
        counted = crypto.sign(
            settings().secret_key.get_secret_value(), f"challenge:person:{me}".encode()
        )
        for at in range(PERSON_TRIES + 1):
            with transaction() as session:  # from another address each time
                session.execute(
                    text("DELETE FROM challenge_try WHERE subject <> :counted"),
                    {"counted": counted},
                )
            last = by_api(browser, homes[at % 7], amount_yuan="0.01")

        assert last.status_code == 429
        assert last.json()["code"] == "challenge.too_many"
        assert "free_at" in last.json()
        assert "之后可以再试" in text_of(add(browser, homes[0]).text)

    def test_the_company_says_which_proof_it_takes(self, app):
        the_terms("water", '[guest]\nproofs = ["name"]\n')
        home, (me, _) = a_due_home(8_650), a_manager()
        browser = signed_in(app, me)

        assert "核对户名" in text_of(browser.get("/household/accounts/new").text)
        assert add(browser, home).status_code == 422
        assert add(browser, home, amount="", name="王珅").status_code == 303

    def test_who_only_sees_or_pays_is_turned_away_before_a_try_is_counted(self, app):
        home, other, me = a_due_home(8_650), a_due_home(100), a_person()
        join(other, me, MemberRole.PAY)
        browser = signed_in(app, me)

        assert by_api(browser, home, household_id=other.household_id).status_code == 403
        assert by_api(browser, home).status_code == 404
        assert "没有您管理的家" in text_of(browser.get("/household/accounts/new").text)
        with transaction() as session:
            assert session.execute(text("SELECT count(*) FROM challenge_try")).scalar_one() == 0

    def test_of_several_homes_the_chosen_one_has_it(self, app):
        home, (me, first) = a_due_home(8_650), a_manager()
        with transaction() as session:
            second = create_household(session, name="父母家", owner_id=me, now=utc_now()).id
        browser = signed_in(app, me)

        assert "父母家" in browser.get("/household/accounts/new").text
        assert by_api(browser, home).json()["code"] == "home.several"
        made = by_api(browser, home, household_id=second)
        assert (made.status_code, made.json()["household_id"]) == (201, second)
        assert first != second


class TestTheApi:
    def test_binding_listing_and_taking_off(self, app):
        home, (me, mine) = a_due_home(8_650), a_manager()
        browser = signed_in(app, me)

        made, again = by_api(browser, home), by_api(browser, home)

        assert made.status_code == again.status_code == 201
        assert made.json() == again.json()
        one = made.json()
        assert (one["id"], one["household_id"]) == (home.refs[0][0], mine)
        assert home.account_nos[0] not in made.text
        assert browser.get("/api/v1/utility-accounts").json() == [one]
        gone = browser.delete(f"/api/v1/utility-accounts/{one['id']}")
        assert gone.status_code == 204
        assert browser.get("/api/v1/utility-accounts").json() == []
        assert browser.delete(f"/api/v1/utility-accounts/{one['id']}").status_code == 404

    def test_pages_of_it_have_each_account_once(self, app):
        home = a_due_home(8_650)
        for _ in range(4):
            a_home(100, owner_id=home.owner_id)
        browser = signed_in(app, home.owner_id)
        path, found, cursor = "/api/v1/utility-accounts", [], None

        while cursor is not None or not found:
            tail = f"&cursor={cursor}" if cursor else ""
            page = browser.get(f"{path}?limit=2{tail}").json()
            found += page["accounts"]
            cursor = page["next_cursor"]

        assert found == browser.get(path).json()  # as it was before there were pages
        assert len({one["id"] for one in found}) == 5
        assert browser.get(f"{path}?limit=5").json()["next_cursor"] is None
        one = browser.get(f"{path}?limit=9&household={home.household_id}&provider=water").json()
        assert [each["id"] for each in one["accounts"]] == [home.refs[0][0]]
        assert browser.get(f"{path}?limit=9&provider=gas").json()["accounts"] == []
        assert browser.get(f"{path}?cursor=junk").status_code == 404
        assert browser.get(f"{path}?limit=201").status_code == 422

    def test_a_wrong_proof_is_problem_details_with_a_code(self, app):
        home, (me, _) = a_due_home(8_650), a_manager()

        answer = by_api(signed_in(app, me), home, amount_yuan="1.00")

        assert (answer.status_code, answer.json()["code"]) == (404, "challenge.no")


class TestTakingOff:
    def test_what_ends_and_what_stays_is_said_and_it_can_be_undone(self, app):
        home = a_due_home(8_650)
        browser = signed_in(app, home.owner_id)
        path = f"/household/accounts/{home.household_id}/{home.refs[0][0]}"

        asked = text_of(browser.get(f"{path}/remove").text)
        gone = browser.send_form(f"{path}/remove")
        after = browser.get(gone.headers["location"])
        home_after = browser.get("/").text
        back = browser.send_form(f"{path}/restore")

        assert "还有¥86.50未缴" in asked
        assert "撤销" in text_of(after.text)
        assert format_ref(home.refs[0]) not in home_after
        assert "did=restored" in back.headers["location"]
        assert format_ref(home.refs[0]) in browser.get("/").text

    def test_autopay_of_the_account_ends_with_it_and_says_so_before(self, app):
        home = a_due_home(8_650)
        mandate = a_mandate(home, now=utc_now())
        browser = signed_in(app, home.owner_id)
        path = f"/household/accounts/{home.household_id}/{home.refs[0][0]}/remove"

        asked = text_of(browser.get(path).text)
        browser.send_form(path)

        with transaction() as session:
            kept = session.exec(select(Mandate).where(Mandate.id == mandate.id)).one()
        assert "自动缴费将终止" in asked
        assert (kept.status, kept.reason) == ("ended", "by_payer")

    def test_a_name_of_ones_own(self, app):
        home = a_due_home(8_650)
        browser = signed_in(app, home.owner_id)
        path = f"/household/accounts/{home.household_id}/{home.refs[0][0]}/name"

        browser.send_form(path, {"name": "妈妈家的水"})

        assert "妈妈家的水" in browser.get("/household/accounts").text


class TestTheCamera:
    @pytest.mark.parametrize(
        ("path", "may"), [("/pay", True), ("/household/accounts/new", True), ("/", False),
                          ("/household/accounts", False), ("/sign-in", False)],
    )  # fmt: skip
    def test_only_pages_that_read_barcodes_may_use_it(self, app, path, may):
        me, _ = a_manager()
        browser = signed_in(app, me)

        policy = browser.get(path).headers["permissions-policy"]

        assert ("camera=(self)" in policy) is may
        assert ("camera=()" in policy) is not may


@pytest.fixture
def left(app: FastAPI) -> tuple[Home, str]:
    """A home that moved ten days ago, and the next tenant's bill; and its reference."""
    now = utc_now()
    today = billing_date(now)
    day = today - timedelta(days=10)
    home = a_due_home(8_650)
    with transaction() as session:
        plan = moving.Plan(day, "南京路8号", "139 0000 0000", [home.refs[0][0]])
        moving.make(session, home.owner_id, home.household_id, plan, secret="x", now=now)
    month = month_start(today)
    bring_in(
        home.companies[0],
        a_record(
            home.account_nos[0], "NEXTTENANT", billing_month=month, amount_fen=NEXT_FEN,
            period_from_on=day + timedelta(days=1), period_to_on=today, issued_on=today,
            due_on=today + timedelta(days=3),
        ),
        now=now,
    )  # fmt: skip
    return home, format_ref((home.refs[0][0], named_key(month, "NEXTTENANT")))


# Doors of a resident that only look; what stands in their addresses is the hidden bill's.
DOORS = sorted(
    path for method, path, rules in ROUTES
    if method == "GET" and set(rules) & {"resident", "looker", "payer", "visitor"}
)  # fmt: skip


class TestWhoLeft:
    @pytest.mark.parametrize("door", DOORS)
    def test_no_door_shows_the_next_tenants_bill(self, app, left, door):
        home, ref = left
        browser = signed_in(app, home.owner_id)
        names = {
            "ref": ref, "account_id": str(home.refs[0][0]), "sha256": "0" * 64,
            "month": f"{billing_date(utc_now()):%Y-%m}",
            "household_id": str(home.household_id), "kind": "csv", "form": "pdf",
        }  # fmt: skip
        path = re.sub(r"{(\w+)[^}]*}", lambda found: names.get(found[1], "1"), door)

        answer = browser.get(path)

        assert answer.status_code < 500
        for telling in (b"NEXTTENANT", b"314.15", b"31415", ref.encode()):
            if telling == ref.encode() and ref in path:
                continue
            assert telling not in answer.content, telling
        if "{ref}" in door and "/bills/" in door:
            assert answer.status_code == 404

    def test_it_cannot_be_paid_by_who_left(self, app, left):
        home, ref = left
        browser = signed_in(app, home.owner_id)

        answer = browser.post(
            "/api/v1/payments",
            json={"bill_ids": [ref], "gateway": "sandbox",
                  "return_url": "https://city.example/payments/{payment}"},
            headers={"Idempotency-Key": "k"},
        )  # fmt: skip

        assert answer.status_code in (404, 422)
        assert browser.send_form("/pay", {"bill": ref}).status_code == 404

    def test_an_old_bill_lets_nobody_bind_it_any_more(self, app, left):
        home, _ = left
        me, _ = a_manager()

        assert by_api(signed_in(app, me), home).status_code == 404
        assert by_api(signed_in(app, home.owner_id), home).status_code == 404
        made = by_api(signed_in(app, me), home, amount_yuan="314.15")
        assert made.status_code == 201
        bills = signed_in(app, me).get("/api/v1/bills").json()["bills"]
        assert [one["bill_no"] for one in bills] == ["NEXTTENANT"]


class TestMovingPages:
    def plan(self, home: Home, **changes: Any) -> dict[str, Any]:
        day = billing_date(utc_now()) + timedelta(days=7)
        return {
            "home": home.household_id, "leaves_on": day.isoformat(), "new_address": "南京路8号",
            "phone": "139 0000 0000", "close": home.refs[0][0], "open": "gas",
        } | changes  # fmt: skip

    def test_a_plan_is_made_answered_changed_and_called_off(self, app):
        home = a_due_home(8_650)
        browser = signed_in(app, home.owner_id)
        clerk = signed_in(app, a_person(Role.OPERATOR))

        made = browser.send_form("/household/move", self.plan(home))
        asked = clerk.get("/company/moves")
        number = re.search(r"/company/moves/([0-9]+)/answer", asked.text)
        clerk.send_form(f"/company/moves/{number[1]}/answer", {"words": "25日上门抄表"})
        shown = text_of(browser.get(made.headers["location"]).text)
        changed = browser.send_form("/household/move/change", self.plan(home, phone="021 1"))
        asked_anew = text_of(browser.get(changed.headers["location"]).text)
        off = browser.send_form("/household/move/cancel", {"home": home.household_id})

        assert home.account_nos[0] in asked.text
        assert "25日上门抄表" in shown
        assert "公司已答复" in shown
        assert "25日上门抄表" not in asked_anew
        assert "已取消" in text_of(browser.get(off.headers["location"]).text)
        assert "139 0000 0000" not in clerk.get("/company/moves").text

    @pytest.mark.parametrize("kind", ["csv", "xlsx"])
    def test_the_company_takes_its_requests_along_and_that_is_noted(self, app, kind):
        home = a_due_home(8_650)
        signed_in(app, home.owner_id).send_form("/household/move", self.plan(home))
        clerk_id = a_person(Role.OPERATOR)
        clerk = signed_in(app, clerk_id)

        file = clerk.get(f"/company/moves.{kind}?waiting=1")
        listed = clerk.get("/company/moves").text

        assert f'href="/company/moves.{kind}"' in listed
        if kind == "csv":
            head, row = csv.reader(io.StringIO(file.content.decode("utf-8-sig")))
        else:
            sheet = openpyxl.load_workbook(io.BytesIO(file.content)).active
            head, row = sheet.iter_rows(values_only=True)
        told = dict(zip(head, row, strict=True))
        assert told["户号"] == home.account_nos[0]
        assert (told["新地址"], told["电话"]) == ("南京路8号", "139 0000 0000")
        with transaction() as session:
            [entry] = audit.find_entries(session, audit.Wanted(what=Deed.LIST_EXPORTED))
        assert (entry.person_id, entry.subject_id) == (clerk_id, "moves")

    @pytest.mark.parametrize(
        ("changes", "field"),
        [({"leaves_on": ""}, "leaves_on"), ({"leaves_on": "2020-01-01"}, "leaves_on"),
         ({"new_address": ""}, "new_address"), ({"phone": ""}, "phone")],
    )  # fmt: skip
    def test_what_is_wrong_stands_beside_its_field(self, app, changes, field):
        home = a_due_home(8_650)
        browser = signed_in(app, home.owner_id)

        answer = browser.send_form("/household/move", self.plan(home, **changes))

        assert answer.status_code == 422
        assert f'id="{field}-error"' in answer.text
        assert "南京路8号" in answer.text or field == "new_address"

    def test_another_company_sees_nothing_of_it(self, app):
        home = a_due_home(8_650)
        signed_in(app, home.owner_id).send_form("/household/move", self.plan(home, open="gas"))
        with transaction() as session:
            number = session.execute(
                text("SELECT id FROM move_request WHERE provider_code = 'gas'")
            ).scalar_one()

        clerk = signed_in(app, a_person(Role.OPERATOR))  # of water
        assert clerk.send_form(f"/company/moves/{number}/answer", {}).status_code == 404

    def test_a_stranger_plans_nothing(self, app):
        home, (me, _) = a_due_home(8_650), a_manager()

        answer = signed_in(app, me).send_form("/household/move", self.plan(home))

        assert answer.status_code == 404
        assert a_browser(app).get("/household/move").status_code == 303
        assert a_home(100).owner_id != me
