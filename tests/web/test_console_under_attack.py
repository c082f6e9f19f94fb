"""The console as somebody meets it who means harm, or types what nobody expects."""

import re

import pytest
from fastapi.routing import iter_route_contexts
from lxml import html
from sqlalchemy import text
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartParser

from core.db import transaction
from identity.models import Role
from identity.people import get_person
from tests.factories import a_home, a_paid_payment, a_person
from tests.payments.reconciliation.test_intake import STATEMENT, file_of
from tests.web.conftest import Browser, a_browser, signed_in
from tests.workers.company_side import work
from web.bodies import SHORT_BYTES

pytestmark = pytest.mark.usefixtures("city")
ENGLISH = {"Accept-Language": "en"}
DAY = "2026-11-01"


@pytest.fixture
def staff(app) -> Browser:
    return signed_in(app, a_person(Role.STAFF, name="陈晓"))


def noted(what: str) -> list[tuple[str, str, dict]]:
    """What the audit log has of one deed: the subject and the details."""
    with transaction() as session:
        rows = session.execute(
            text("SELECT subject_kind, subject_id, detail FROM audit_entry WHERE what = :what"
                 " ORDER BY id"), {"what": what},
        )  # fmt: skip
        return [tuple(row) for row in rows]


def lists_of_the_console(app) -> list[str]:
    """Every address of the console that answers with a list as a file, and needs no number."""
    paths = {one.path or "" for one in iter_route_contexts(app.routes)}
    found = [
        path.replace("{kind}", "csv").replace("{form}", "csv")
        for path in paths
        if path.startswith("/console") and path.endswith((".{kind}", ".{form}"))
    ]
    return sorted(path for path in found if "{" not in path)


def stands_in(whole: str, told: str) -> bool:
    """Tell whether something stands in a text, and not by chance in a drawing's coordinates."""
    return re.search(rf"(?<![0-9.]){re.escape(whole)}(?![0-9])", told) is not None


class TestLooks:
    def test_whoever_takes_a_list_out_is_in_the_log(self, app, staff):
        paths = lists_of_the_console(app)
        assert len(paths) >= 14
        silent = []
        for path in paths:
            before = len(noted("list_exported"))
            assert staff.get(path).status_code == 200, path
            if len(noted("list_exported")) == before:
                silent.append(path)

        assert silent == []

    def test_whoever_takes_a_banks_file_out_as_it_came_is_in_the_log(self, staff):
        staff.send_form(
            "/console/books", {"whose": "", "day": ""}, files={"file": ("a.sta", STATEMENT)}
        )
        staff.get("/console/books/1/file")

        assert ("book_file", "1") in [one[:2] for one in noted("list_exported")]

    def test_no_whole_number_of_a_filter_stands_in_the_log(self, staff):
        staff.get("/console/bank/entries.csv?words=6222021234567890123&since=2026-11-01")

        [(_, _, detail)] = noted("list_exported")
        assert "6222021234567890123" not in str(detail)
        assert "0123" in str(detail)
        assert "2026-11-01" in str(detail)

    def test_a_payment_looked_at_for_a_refund_is_in_the_log(self, staff):
        payment = a_paid_payment(a_home())

        staff.get(f"/console/refunds/of/{payment.id}")

        assert [one[:2] for one in noted("payment_seen")] == [("payment", str(payment.id))]

    def test_a_search_for_a_refund_is_in_the_log_and_never_what_was_typed(self, staff):
        home = a_home()
        a_paid_payment(home)

        answer = staff.send_form("/console/refunds", {"wanted": home.account_nos[0]})

        assert answer.status_code == 200
        [(_, _, detail)] = noted("residents_sought")
        assert detail["payments"] == 1
        assert home.account_nos[0] not in str(detail)

    def test_the_desk_of_refunds_itself_is_no_search(self, staff):
        staff.get("/console/refunds")

        assert noted("residents_sought") == []


class TestWholeNumbers:
    def test_no_page_and_no_log_line_of_the_console_holds_one(self, app, staff, capsys):
        home = a_home(8_650)
        payment = a_paid_payment(home)
        staff.send_form(
            "/console/books", {"whose": "", "day": ""}, files={"file": ("a.csv", file_of())}
        )
        work()
        with transaction() as session:
            person = get_person(session, home.owner_id)
            breaks = session.execute(text("SELECT id FROM reconciliation_break")).scalars().all()
            whole = [*home.account_nos, person.contact, person.email, person.name]
        assert breaks
        capsys.readouterr()
        plain = {one.path or "" for one in iter_route_contexts(app.routes)}
        paths = [one for one in sorted(plain) if one.startswith("/console") and "{" not in one]
        paths += [f"/console/payments/{payment.id}", f"/console/refunds/of/{payment.id}"]
        paths += [f"/console/breaks/{one}" for one in breaks] + ["/console/books/1"]

        pages = {path: staff.get(path) for path in paths}
        pages["a search"] = staff.send_form("/console/refunds", {"wanted": home.account_nos[0]})
        logged = capsys.readouterr().out

        assert len(logged.splitlines()) >= len(paths)
        for path, answer in pages.items():
            assert answer.status_code < 500, path
            shown = answer.text.replace(f'value="{home.account_nos[0]}"', "")
            assert [one for one in whole if stands_in(one, shown)] == [], path
        assert [one for one in whole if stands_in(one, logged)] == []

    def test_nobody_learns_by_a_head_request_what_only_a_look_tells(self, staff):
        assert staff.head(f"/console/residents/{a_person()}").status_code == 405


class TestResidentsAlone:
    @pytest.mark.parametrize("role", [Role.STAFF, Role.OPERATOR])
    def test_a_colleague_is_no_resident(self, staff, role):
        at = f"/console/residents/{a_person(role)}"

        assert staff.send_form(f"{at}/reason", {"reason": "asked", "back": at}).status_code == 404
        for path in (at, f"{at}/home"):
            assert staff.get(path).status_code == 404
        for path in (f"{at}/contact", f"{at}/notices/1/again", f"{at}/autopay/1/pause"):
            assert staff.send_form(path, {"words": "x"}).status_code == 404


class TestJunk:
    @pytest.mark.parametrize(
        "path",
        [
            "/console/bank/entries?account=" + "9" * 60,
            "/console/bank/entries?account=" + "9" * 18 + "x",
            "/console/bank/entries?account=" + "9" * 18,
            "/console/bank/entries?amount=99999999999999999999.00",
            *(
                f"/console/{where}={day}"
                for day in ("0001-01-01", "9999-12-31")
                for where in (
                    "audit?first", "audit?last", "payments?from_on", "payments?to_on",
                    "refunds/all?first", "refunds/all?last", "remittances?from_on",
                    "remittances?to_on", "bank/entries?since", "bank/entries?until",
                    "bill-files?first", "bill-files?last", "chargebacks?first",
                    "chargebacks?last", "reconciliations?first", "arrivals?first", "breaks?first",
                    "breaks?last", "company-lists?after",
                )
            ),
            "/console/company-lists?after=9999-12-31%20water",
            "/console/payments?amount=1e9", "/console/payments?company=x&gateway=y",
            "/console/payments?payer=" + "9" * 18, "/console/audit?about=person:x",
            "/console/audit?about=person:" + "9" * 40, "/console/audit?who=" + "9" * 18,
            "/console/bank?after=9223372036854775807", "/console/books?after=9223372036854775807",
            "/console/books?source=x", "/console/company-lists?source=x",
            "/console/company-lists/x/2026-11-01", "/console/bank/expected?source=x",
        ],
    )  # fmt: skip
    def test_no_filter_is_a_fault_of_ours(self, staff, path):
        assert staff.get(path).status_code < 500

    @pytest.mark.parametrize("due", ["9" * 60, "9" * 18 + "x", "9" * 18, "1,,2", "-1"])
    def test_no_ticked_number_is_a_fault_of_ours(self, staff, due):
        staff.send_form("/console/bank", {"profile": ""}, files={"files": ("a.sta", STATEMENT)})

        assert staff.get(f"/console/bank/entries/1?due={due}&entry={due}").status_code == 200
        answer = staff.send_form("/console/bank/entries/1/match", {"due": due, "reason": "x"})
        assert answer.status_code in {303, 404, 409, 422}

    @pytest.mark.parametrize(
        "kind", ["refund", "transfer", "break_act", "terms", "remittance", "duty"]
    )
    @pytest.mark.parametrize("key", ["R1", "x", "9" * 80, "9" * 18, "S9", "S" + "9" * 60])
    @pytest.mark.parametrize("decision", ["approval", "decline"])
    def test_nothing_to_decide_is_a_fault_of_ours(self, staff, kind, key, decision):
        at = f"/console/approvals/{kind}/{key}/{decision}"

        assert staff.send_form(at, {"words": "x"}).status_code in {404, 409, 422}

    @pytest.mark.parametrize("day", ["2026-13-45", "0001-01-01", "9999-12-31"])
    def test_no_day_of_a_file_is_a_fault_of_ours(self, staff, day):
        answer = staff.send_form(
            "/console/books", {"whose": "gateway/sandbox", "day": day},
            files={"file": ("a.csv", b"x")},
        )  # fmt: skip
        assert answer.status_code in {303, 422}
        work()
        assert staff.get("/console/books").status_code == 200

    @pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "1999-01-01"])
    def test_no_day_of_a_settlement_file_is_a_fault_of_ours(self, staff, day):
        answer = staff.send_form(
            "/console/reconciliations", {"source": "sandbox", "day": day},
            files={"file": ("a.csv", b"")},
        )  # fmt: skip

        assert answer.status_code == 422

    @pytest.mark.parametrize("form", [{"whose": "moon/x"}, {"day": "2026-13-45"}, {"file": b""}])
    def test_what_is_wrong_with_a_file_is_said_in_chinese(self, staff, form):
        sent = {"whose": "", "day": "", "file": b"x"} | form

        answer = staff.send_form(
            "/console/books", {"whose": sent["whose"], "day": sent["day"]},
            files={"file": ("a", sent["file"])},
        )  # fmt: skip

        [said] = html.fromstring(answer.text).xpath("//*[@id='upload-error']")
        assert re.search("[\u4e00-\u9fff]", said.text_content()), said.text_content()

    @pytest.mark.parametrize("path", ["/console/books", "/console/bank", "/console/company-lists"])
    def test_no_name_of_a_file_is_a_fault_of_ours(self, staff, path):
        name = "a\x00b\r\nSet-Cookie: x=1\u2028<img src=x>=1+1.csv" + "长" * 300
        field = "files" if path.endswith("bank") else "file"
        answer = staff.send_form(
            path, {"whose": "", "profile": "", "source": "water", "day": DAY},
            files={field: (name, STATEMENT)},
        )  # fmt: skip

        assert answer.status_code < 500
        assert "<img src=x>" not in staff.get("/console/books").text
        got = staff.get("/console/books/1/file")
        assert got.status_code < 500
        assert "set-cookie" not in got.headers

    @pytest.mark.parametrize("whose", ["company/nobody", "gateway/nobody", "bank/nobody"])
    def test_a_file_of_nobody_we_know_takes_no_page_away(self, staff, whose):
        leg, _, source = whose.partition("/")
        staff.send_form(
            "/console/books", {"whose": whose, "day": DAY}, files={"file": ("a.csv", b"x")}
        )
        staff.post(
            f"/api/v1/book-files?leg={leg}&source={source}&day={DAY}", content=b"what is this"
        )
        work()

        assert staff.get("/console/books").status_code == 200
        assert staff.get("/console/books/1").status_code in {200, 404}


class TestUploads:
    """The framework puts a form's file on disk before it asks who sends it."""

    @pytest.fixture
    def parsed(self, monkeypatch) -> list[int]:
        """How many bytes of each form came as far as being kept."""
        seen: list[int] = []
        parse = MultiPartParser.parse

        async def counting(self: MultiPartParser) -> FormData:
            form = await parse(self)
            seen.append(sum(one.size or 0 for _, one in form.multi_items() if hasattr(one, "size")))
            return form

        monkeypatch.setattr(MultiPartParser, "parse", counting)
        return seen

    @pytest.mark.parametrize("path", ["/console/books", "/company/bill-files", "/sign-in"])
    def test_of_a_visitor_or_a_resident_nothing_is_kept(self, app, parsed, path):
        made_up = a_browser(app)
        made_up.cookies.set("__Host-citybill_session", "made-up")
        for browser in (a_browser(app), made_up, signed_in(app, a_person())):
            answer = browser.send_form(path, files={"file": ("a", b"x" * 9_000)})

            assert answer.status_code in {303, 403, 422}, answer.text
        assert sum(parsed) == 0

    def test_of_staff_it_is(self, staff, parsed):
        staff.send_form("/console/books", {"whose": "", "day": ""}, files={"file": ("a", b"x" * 9)})

        assert parsed == [9]

    def test_a_body_without_a_file_is_short(self, app, staff):
        long = {"contact": "1" * (SHORT_BYTES + 1)}

        answers = [
            a_browser(app).post("/api/v1/sign-in-codes", json=long),
            a_browser(app).send_form("/sign-in", long),
            staff.send_form("/console/residents", long),
        ]

        assert [answer.status_code for answer in answers] == [413] * 3

    def test_a_file_may_be_longer(self, app, staff):
        content = b"what is this?\n" * (SHORT_BYTES // 14 + 1)

        page = staff.send_form(
            "/console/books", {"whose": "", "day": ""}, files={"file": ("a", content)}
        )
        by_api = signed_in(app, a_person(Role.STAFF)).post("/api/v1/book-files", content=content)

        assert 413 not in {page.status_code, by_api.status_code}
