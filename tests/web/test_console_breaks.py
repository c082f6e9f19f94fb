"""Differences on the console and by API: found, accepted, decided by two, undone, exported."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from lxml import html
from sqlalchemy import text

from core.clock import billing_date, utc_now
from core.db import transaction
from core.settings import settings
from identity.models import Role
from payments.gateways.base import GatewayStatus
from payments.models import Payment
from payments.reconciliation.gateway.matching import reconcile
from payments.reconciliation.models import BreakState
from payments.reconciliation.repair.models import Act, ActState
from tests.factories import a_home, a_payment, a_person, balances, book, violations
from tests.payments.reconciliation.banking import Line, bank_says
from tests.payments.reconciliation.repairing import acts_of, the_break
from tests.payments.reconciliation.test_matching import GATEWAY, a_file, row_of
from tests.web.conftest import Browser, signed_in
from tests.web.test_console_terms import main_of, told

pytestmark = pytest.mark.usefixtures("city")
ENGLISH = {"Accept-Language": "en"}


@pytest.fixture
def colleagues(app) -> tuple[Browser, Browser]:
    people = (a_person(Role.STAFF, name="陈晓"), a_person(Role.STAFF, name="林岚"))
    one, other = (signed_in(app, person) for person in people)
    return one, other


@pytest.fixture(autouse=True)
def limits(monkeypatch, app):
    monkeypatch.setattr(settings(), "break_approval_above_fen", 5_000)
    monkeypatch.setattr(settings(), "break_tolerance_fen", 100)


def paid_yesterday() -> Payment:
    now = utc_now() - timedelta(days=1)
    return book(
        a_payment(a_home(8_650, now=now), now=now), GatewayStatus.PAID, now=now, paid_at=now
    )


def breaks(*theirs: str) -> list[int]:
    """Differences of yesterday, one for each of the gateway's amounts; ``""``: it has none."""
    now = utc_now()
    day = billing_date(now) - timedelta(days=1)
    rows = []
    for amount in theirs:
        payment = paid_yesterday()
        happened_at = payment.paid_at.isoformat().replace("+00:00", "Z")
        rows += [row_of(payment, amount=amount, happened_at=happened_at)] if amount else []
    with transaction() as session:
        reconcile(session, GATEWAY, io.BytesIO(a_file(rows, day=day)), day=day,
                  file_name="s.csv", now=now)  # fmt: skip
        found = session.execute(text("SELECT id FROM reconciliation_break ORDER BY theirs_fen"))
        return list(found.scalars())


def boxes_of(browser: Browser, path: str = "/console/breaks") -> list[str]:
    return [
        str(one) for one in html.fromstring(browser.get(path).text).xpath(
            "//input[@name='chosen']/@value"
        )
    ]  # fmt: skip


def shown_of(browser: Browser, found: int) -> str:
    page = html.fromstring(browser.get(f"/console/breaks/{found}").text)
    return str(page.xpath("//input[@name='shown']/@value")[0])


def send_act(browser: Browser, found: int, what: str = "accept", **changes: str) -> str:
    form = {"what": what, "reason": "银行已确认", "shown": shown_of(browser, found)} | changes
    answer = browser.send_form(f"/console/breaks/{found}/act", form, headers=ENGLISH)
    assert answer.status_code in {303, 404, 409, 422}, answer.text
    return "" if answer.status_code == 303 else told(answer.text)


def decide(browser: Browser, found: int, how: str, **form: str) -> str:
    act = acts_of(found)[-1]
    path = f"/console/breaks/{found}/acts/{act.id}/{how}"
    answer = browser.send_form(path, form, headers=ENGLISH)
    return "" if answer.status_code == 303 else told(answer.text)


class TestTheList:
    def test_a_city_without_differences_says_so(self, colleagues):
        assert "Nothing left unexplained" in main_of(colleagues[0], "/console/breaks")

    def test_it_counts_by_kind_and_age_and_each_number_leads_to_what_it_counts(self, colleagues):
        breaks("86.48", "86.49", "")
        browser = colleagues[0]

        page = html.fromstring(browser.get("/console/breaks", headers=ENGLISH).text)
        table = page.xpath("//table[contains(@class, 'table--ages')]")[0]
        said = [" ".join(" ".join(row.itertext()).split()) for row in table.xpath(".//tr")]
        assert said == [
            "What New today 1–3 days Older All",
            "Ours, not theirs 1 0 0 1",
            "Amounts differ 2 0 0 2",
            "All 3 0 0 3",
        ]  # fmt: skip
        for link in table.xpath(".//a"):
            assert len(boxes_of(browser, link.get("href"))) == int(link.text)

    def test_what_is_filtered_stands_in_the_address(self, colleagues):
        breaks("86.48", "")
        browser = colleagues[0]

        for query, count in {
            "": 2, "?kind=amount_differs": 1, "?leg=gateway&source=sandbox": 2, "?leg=bank": 0,
            "?source=gas": 0, "?state=resolved": 0, "?state=any": 2, "?age=today": 2,
            "?age=older": 0, "?mine=1": 0, "?kind=&leg=&state=&age=": 2, "?state=proposed": 0,
        }.items():  # fmt: skip
            assert len(boxes_of(browser, f"/console/breaks{query}")) == count, query
        assert browser.get("/console/breaks?kind=junk").status_code == 422
        assert browser.get("/console/breaks?after=999").status_code == 404

    def test_pages_follow_each_other_and_keep_the_filter(self, colleagues, monkeypatch):
        monkeypatch.setattr("payments.reconciliation.repair.workbench.PAGE", 2)
        breaks("86.48", "86.47", "86.46")
        browser, path, seen = colleagues[0], "/console/breaks?kind=amount_differs", []

        for _ in range(2):
            page = html.fromstring(browser.get(path).text)
            seen += page.xpath("//input[@name='chosen']/@value")
            path = next(iter(page.xpath("//a[@rel='next']/@href")), "")

        assert (len(set(seen)), path) == (3, "")

    def test_it_speaks_chinese(self, colleagues):
        (found,) = breaks("86.48")

        for path in ("/console/breaks", f"/console/breaks/{found}"):
            said = told(colleagues[0].get(path).text)
            assert "金额不" in said
            assert "differ" not in said

    def test_the_notice_of_today_and_the_navigation_lead_there(self, colleagues):
        breaks("86.48")

        page = html.fromstring(colleagues[0].get("/console", headers=ENGLISH).text)

        notice = page.xpath("//section[@aria-labelledby='attention']//a/@href")
        assert "/console/breaks" in notice
        assert page.xpath("//nav[contains(@class, 'side')]//a[@href='/console/breaks']")

    def test_what_is_filtered_comes_as_csv_without_formulas(self, colleagues):
        (found,) = breaks("86.48")
        with transaction() as session:
            session.execute(text("UPDATE reconciliation_break SET their_ref = '=1+1'"))

        path = "/console/breaks.csv?kind=amount_differs"
        answer = colleagues[0].get(path, headers=ENGLISH)
        (row,) = csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff")))

        assert (row["Number"], row["Their reference"]) == (str(found), "'=1+1")
        assert (row["Ours"], row["Theirs"], row["What"]) == ("86.50", "86.48", "Amounts differ")
        assert colleagues[0].get("/console/breaks.csv?leg=bank").text.count("\n") == 1
        sheet = colleagues[0].get("/console/breaks.xlsx?kind=amount_differs")
        assert sheet.content.startswith(b"PK")


class TestAcceptingMany:
    def accept(self, browser: Browser, chosen: list[str], reason: str = "已核实") -> str:
        answer = browser.send_form(
            "/console/breaks?leg=gateway", {"chosen": chosen, "reason": reason}, headers=ENGLISH
        )
        if answer.status_code != 303:
            return told(answer.text)
        return main_of(browser, answer.headers["location"])

    def test_what_is_ticked_is_accepted_and_the_filter_stays(self, colleagues):
        found = breaks("86.48", "86.47")

        said = self.accept(colleagues[0], boxes_of(colleagues[0]))

        assert "2 differences accepted." in said
        assert {the_break(one).state for one in found} == {BreakState.RESOLVED}

    def test_above_the_threshold_together_it_waits_for_a_colleague(self, colleagues):
        (found,) = breaks("")

        assert "1 proposal made" in self.accept(colleagues[0], boxes_of(colleagues[0]))

        assert "1 proposal waits for approval" in main_of(colleagues[1], "/console/breaks")
        assert boxes_of(colleagues[1]) == []
        assert "To be approved" in main_of(colleagues[1], "/console/breaks?state=proposed")
        assert the_break(found).state is BreakState.OPEN

    @pytest.mark.parametrize(
        ("chosen", "reason", "why"),
        [
            ([], "已核实", "Tick what this is about."),
            (["junk"], "已核实", "look at the amounts again"),
            (["1:amount_differs:8650:8648"], " ", "Say why"),
        ],
    )
    def test_what_is_missing_is_said(self, colleagues, chosen, reason, why):
        (found,) = breaks("86.48")

        assert why in self.accept(colleagues[0], chosen, reason)
        assert the_break(found).state is BreakState.OPEN


class TestDoingMuchAtOnce:
    def send(self, browser: Browser, **form: Any) -> str:
        chosen = boxes_of(browser)
        answer = browser.send_form("/console/breaks", {"chosen": chosen} | form, headers=ENGLISH)
        if answer.status_code != 303:
            return told(answer.text)
        return main_of(browser, answer.headers["location"])

    def test_gateways_are_asked_about_what_is_ticked(self, colleagues):
        found = breaks("", "86.48")

        said = self.send(colleagues[0], do="act", what="query_again", reason="对方漏了")

        assert "Asked about 2 differences" in said
        assert {acts_of(one)[0].act for one in found} == {Act.QUERY_AGAIN}

    def test_what_is_ticked_is_given_to_a_colleague(self, colleagues):
        found = breaks("", "86.48")
        one, other = colleagues
        page = html.fromstring(one.get("/console/breaks").text)
        (owner,) = page.xpath("//select[@name='owner']/option[text()='林岚']/@value")

        assert "have somebody who looks after them" in self.send(one, do="own", owner=owner)

        assert {str(the_break(each).owner_id) for each in found} == {owner}
        assert len(boxes_of(other, "/console/breaks?mine=1")) == 2
        assert "2 were left as they are" in self.send(one, do="own")  # a colleague has them

    def test_other_acts_are_not_for_many(self, colleagues):
        breaks("")

        assert "Choose what to do." in self.send(
            colleagues[0], do="act", what="suspend", reason="x"
        )


class TestOne:
    def test_its_life_is_told_from_the_bill_on(self, colleagues):
        (found,) = breaks("86.48")

        said = main_of(colleagues[0], f"/console/breaks/{found}")

        told_in_order = ["Bill issued", "Payment started", "Money received", "Difference found"]
        at = [said.index(one) for one in told_in_order]
        assert at == sorted(at)
        assert "In the gateway’s file · ¥86.48" in said
        assert "Write the difference off" in said

    def test_what_the_company_s_list_says_of_it_is_told_too(self, colleagues):
        (found,) = breaks("86.48")
        with transaction() as session:
            session.execute(
                text("""
                    WITH file AS (
                        INSERT INTO confirmation_file (provider_code, day, sha256, file_name, rows,
                                                       rejected, sum_fen, is_proven, received_at)
                        VALUES ('water', current_date, 'x', 'list.txt', 1, 0, 8650, true, now())
                        RETURNING id)
                    INSERT INTO confirmation_row (confirmation_file_id, row_no, line_no, kind,
                        write_off_no, account_no, bill_no, receipt_no, amount_fen, reason)
                    SELECT file.id, 1, 1, 'written_off', write_off_no, '1', 'B1', 'RC-7', 8650, ''
                    FROM file, payment_item
                """)
            )

        said = main_of(colleagues[0], f"/console/breaks/{found}")

        assert "In the company’s list · ¥86.50" in said
        assert "RC-7" in said

    def test_a_difference_about_nothing_of_ours_has_a_page_too(self, colleagues):
        now = utc_now()
        day = billing_date(now) - timedelta(days=1)
        payment = paid_yesterday()
        happened_at = payment.paid_at.isoformat().replace("+00:00", "Z")
        rows = [
            row_of(payment, happened_at=happened_at, **changes)
            for changes in ({}, {"order_no": "X9", "gateway_ref": "G9"})
        ]
        with transaction() as session:
            reconcile(session, GATEWAY, io.BytesIO(a_file(rows, day=day)), day=day,
                      file_name="s.csv", now=now)  # fmt: skip
            found = session.execute(text("SELECT id FROM reconciliation_break")).scalar_one()

        assert "X9" in main_of(colleagues[0], f"/console/breaks/{found}")
        assert "none of ours" in send_act(colleagues[0], found, "query_again")

    def test_accepted_written_off_and_undone(self, colleagues):
        (found,) = breaks("86.48")
        one, other = colleagues

        assert send_act(one, found, "write_off_difference") == ""
        assert "Difference written off" in main_of(other, f"/console/breaks/{found}")
        assert decide(other, found, "undo", reason="记错了") == ""

        assert the_break(found).state is BreakState.OPEN
        said = main_of(one, f"/console/breaks/{found}")
        assert "Undone" in said
        assert "记错了" in said

    def test_two_people_above_the_threshold(self, colleagues):
        (found,) = breaks("")
        one, other = colleagues
        assert send_act(one, found) == ""
        assert "You proposed this" in main_of(one, f"/console/breaks/{found}")

        assert "You proposed this" in decide(one, found, "approval")
        assert decide(other, found, "approval") == ""

        assert the_break(found).state is BreakState.RESOLVED
        said = main_of(one, f"/console/breaks/{found}")
        assert "Approved" in said
        assert "林岚" in said

    def test_declined_it_is_open(self, colleagues):
        (found,) = breaks("")
        send_act(colleagues[0], found)

        assert decide(colleagues[1], found, "decline") == ""

        assert acts_of(found)[0].state is ActState.DECLINED
        assert "What to do" in main_of(colleagues[1], f"/console/breaks/{found}")

    def test_what_changed_since_it_was_shown_is_looked_at_again(self, colleagues):
        (found,) = breaks("86.48")

        said = send_act(colleagues[0], found, shown=f"{found}:amount_differs:8650:8649")

        assert "look at the amounts again" in said
        assert acts_of(found) == []
        assert "Choose what to do." in send_act(colleagues[0], found, "")

    def test_somebody_looks_after_it(self, colleagues):
        (found,) = breaks("86.48")
        one, other = colleagues

        assert one.send_form(f"/console/breaks/{found}/owner").status_code == 303
        assert len(boxes_of(one, "/console/breaks?mine=1")) == 1
        assert boxes_of(other, "/console/breaks?mine=1") == []
        assert other.send_form(f"/console/breaks/{found}/owner").status_code == 409
        assert "陈晓" in main_of(other, f"/console/breaks/{found}")
        assert (
            other.send_form(f"/console/breaks/{found}/owner", {"give_up": "1"}).status_code == 303
        )
        assert the_break(found).owner_id is None

    def test_it_is_given_to_a_colleague(self, colleagues):
        (found,) = breaks("86.48")
        one, other = colleagues
        page = html.fromstring(one.get(f"/console/breaks/{found}").text)
        (owner,) = page.xpath("//select[@name='owner']/option[text()='林岚']/@value")

        assert one.send_form(f"/console/breaks/{found}/owner", {"owner": owner}).status_code == 303

        assert str(the_break(found).owner_id) == owner
        assert one.send_form(f"/console/breaks/{found}/owner", {"owner": "9"}).status_code == 422
        assert len(boxes_of(other, "/console/breaks?mine=1")) == 1

    def test_what_is_suggested_comes_first_with_why(self, colleagues):
        (found,) = breaks("86.48")

        said = main_of(colleagues[0], f"/console/breaks/{found}")

        assert said.index("Write the difference off Suggested") < said.index("Accept it")
        assert "So little may be written off" in said
        assert "Explain by" in said

    def test_a_form_of_somebody_elses_is_refused(self, colleagues):
        (found,) = breaks("86.48")

        for path in ("breaks", f"breaks/{found}/act", f"breaks/{found}/owner"):
            answer = colleagues[0].post(f"/console/{path}", data={"csrf": "x", "shown": "x"})
            assert answer.status_code == 403


class TestMoneyNobodyAnnounced:
    @pytest.fixture
    def found(self) -> int:
        bank_says(Line(4_000, no="E7", name="王小明"))
        with transaction() as session:
            return session.execute(text("SELECT id FROM reconciliation_break")).scalar_one()

    def test_it_goes_to_suspense_and_back(self, colleagues, found):
        one, other = colleagues
        assert "Move it to suspense Suggested" in main_of(one, f"/console/breaks/{found}")

        assert send_act(one, found, "suspend") == ""

        assert "Moved to suspense" in main_of(one, f"/console/breaks/{found}")
        assert balances()["suspense:bank"] == -4_000
        assert decide(other, found, "undo", reason="查明了") == ""
        assert (balances(), violations()) == ({}, [])

    def test_it_is_sent_back_by_two_people(self, colleagues, found):
        one, other = colleagues
        path = f"/console/breaks/{found}"
        assert send_act(one, found, "return_money") == ""
        payee = {"name": "王小明", "bank": "工商银行", "account": "6222000011112222"}

        wrong = one.send_form(f"{path}/payee", payee | {"account": "1"}, headers=ENGLISH)
        assert "6 to 34" in told(wrong.text)
        assert one.send_form(f"{path}/payee", payee).status_code == 303
        said = main_of(one, path)
        assert "6222000011112222" not in said
        whole = other.send_form(f"{path}/account", headers=ENGLISH)
        assert "6222000011112222" in told(whole.text).replace(" ", "")
        assert other.send_form(f"{path}/sent", {"bank_ref": "BR-1"}).status_code == 303

        assert "Our bank sent it back" in main_of(one, path)
        assert (balances(), violations()) == ({}, [])
        assert "cannot be taken back" in decide(other, found, "undo", reason="x")

    def test_its_transfers_number_leads_to_the_difference(self, colleagues, found):
        send_act(colleagues[0], found, "return_money")
        with transaction() as session:
            number = session.execute(text("SELECT number FROM bank_transfer")).scalar_one()

        answer = colleagues[0].get(f"/console/refunds/{number}", follow_redirects=False)

        assert answer.headers["location"] == f"/console/breaks/{found}"

    def test_its_life_is_told_to_the_bank(self, colleagues, found):
        assert "In our bank’s statement · ¥40.00" in main_of(
            colleagues[0], f"/console/breaks/{found}"
        )


class TestByApi:
    @staticmethod
    def path(found: int, what: str) -> str:
        one = the_break(found)
        return f"/api/v1/reconciliations/sandbox/{one.day}/breaks/{found}/{what}"

    @staticmethod
    def body(found: int, **changes: object) -> dict[str, object]:
        one = the_break(found)
        return {
            "act": "accept", "reason": "known", "kind": one.kind.value,
            "ours_fen": one.ours_fen, "theirs_fen": one.theirs_fen,
        } | changes  # fmt: skip

    def test_the_list_is_paged_and_filtered(self, colleagues, monkeypatch):
        monkeypatch.setattr("payments.reconciliation.repair.workbench.PAGE", 2)
        found = breaks("86.48", "86.47", "")
        browser = colleagues[0]

        first = browser.get("/api/v1/breaks").json()
        rest = browser.get("/api/v1/breaks", params={"cursor": first["next_cursor"]}).json()

        assert {one["id"] for one in first["breaks"] + rest["breaks"]} == set(found)
        assert rest["next_cursor"] is None
        only = browser.get("/api/v1/breaks?kind=missing_at_gateway&state=open&leg=gateway").json()
        assert [one["ours_fen"] for one in only["breaks"]] == [8_650]
        assert browser.get("/api/v1/breaks?owner=1&source=sandbox").json()["breaks"] == []

    def test_resolved_and_undone(self, colleagues):
        (found,) = breaks("86.48")
        browser = colleagues[0]

        for _ in range(2):  # sent again, it is the same
            answer = browser.post(self.path(found, "resolution"), json=self.body(found))
            assert answer.status_code == 201, answer.text
            assert (answer.json()["state"], answer.json()["break_state"]) == ("done", "resolved")
        undone = browser.post(self.path(found, "undo"), json={"reason": "wrong"})
        assert (undone.status_code, undone.json()["break_state"]) == (201, "open")
        again = browser.post(self.path(found, "undo"), json={"reason": "wrong"})
        assert (again.status_code, again.json()["code"]) == (404, "break.no_act")

    def test_approved_by_a_colleague_only(self, colleagues):
        (found,) = breaks("")
        one, other = colleagues
        made = one.post(self.path(found, "resolution"), json=self.body(found)).json()
        assert (made["state"], made["needs_two"]) == ("proposed", True)

        own = one.post(self.path(found, "approval"), json={"approve": True})
        assert (own.status_code, own.json()["code"]) == (403, "break.same_person")
        yes = other.post(self.path(found, "approval"), json={"approve": True})

        assert (yes.status_code, yes.json()["break_state"]) == (200, "resolved")

    def test_declined(self, colleagues):
        (found,) = breaks("")
        colleagues[0].post(self.path(found, "resolution"), json=self.body(found))

        answer = colleagues[1].post(self.path(found, "approval"), json={"approve": False})

        assert answer.json()["state"] == "declined"

    @pytest.mark.parametrize(
        ("changes", "status", "code"),
        [
            ({"theirs_fen": 1}, 409, "break.changed"), ({"reason": " "}, 422, "break.reason"),
            ({"act": "undo"}, 422, "break.wrong_act"),
            ({"act": "resend_write_off"}, 422, "break.wrong_act"),
            ({"ours_fen": 1.5}, 422, "request.malformed"),
        ],
    )  # fmt: skip
    def test_refusals(self, colleagues, changes, status, code):
        (found,) = breaks("86.48")

        answer = colleagues[0].post(
            self.path(found, "resolution"), json=self.body(found, **changes)
        )

        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert acts_of(found) == []

    def test_of_another_day_it_is_not_there(self, colleagues):
        (found,) = breaks("86.48")
        path = f"/api/v1/reconciliations/sandbox/2020-01-01/breaks/{found}/resolution"

        assert colleagues[0].post(path, json=self.body(found)).status_code == 404

    def test_a_match_without_our_number_is_listed_and_undone(self, colleagues):
        now = utc_now()
        day = billing_date(now) - timedelta(days=1)
        payment = paid_yesterday()
        happened_at = payment.paid_at.isoformat().replace("+00:00", "Z")
        rows = [row_of(payment, order_no="", gateway_ref="s1", happened_at=happened_at)]
        with transaction() as session:
            reconcile(session, GATEWAY, io.BytesIO(a_file(rows, day=day)), day=day,
                      file_name="s.csv", now=now)  # fmt: skip
        browser, path = colleagues[0], f"/api/v1/reconciliations/sandbox/{day}/matches"

        (one,) = browser.get(path).json()
        assert (one["found_by"], one["amount_fen"]) == ("amount", 8_650)
        gone = browser.post(f"{path}/{one['id']}/undo", json={"reason": "another"})

        assert (gone.status_code, browser.get(path).json()) == (204, [])
        kinds = {each["kind"] for each in browser.get("/api/v1/breaks").json()["breaks"]}
        assert kinds == {"missing_here", "missing_at_gateway"}

    def test_given_to_a_colleague(self, colleagues):
        (found,) = breaks("86.48")
        person = a_person(Role.STAFF)

        answer = colleagues[0].put(self.path(found, "owner"), json={"person_id": person})

        assert (answer.status_code, the_break(found).owner_id) == (204, person)

    def test_taken_and_released(self, colleagues):
        (found,) = breaks("86.48")
        one, other = colleagues

        assert one.post(self.path(found, "owner")).status_code == 204
        assert other.post(self.path(found, "owner")).json()["code"] == "break.taken"
        assert other.delete(self.path(found, "owner")).status_code == 204
        assert the_break(found).owner_id is None
