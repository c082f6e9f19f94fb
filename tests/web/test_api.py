"""The API at work: files in, payments out, days reconciled."""

import csv
import io
import time
from datetime import date
from typing import Any

import pytest
from sqlalchemy import text

from billing.bills import format_ref
from billing.files.bill_files import get_bill_file
from billing.files.importing import import_bills
from core.clock import utc_now
from core.db import transaction
from identity.models import Role
from payments.gateways.base import GatewayStatus
from payments.models import Payment
from providers.base import Reject
from tests.factories import (
    Rows,
    a_home,
    a_paid_payment,
    a_person,
    a_record,
    book,
    bring_in,
    the_bill,
)
from tests.payments.reconciliation.test_matching import a_file, row_of
from tests.simulator.conftest import hmac_hex
from tests.web.conftest import PUBLIC_URL, Browser, a_browser, signed_in, with_key

pytestmark = pytest.mark.usefixtures("city")


class TestBillFiles:
    def test_a_file_is_taken_once_and_its_counts_can_be_read(self, app):
        water = with_key(app, "water")
        path = "/api/v1/providers/water/bill-files"

        first = water.post(path, content=b"H|WATER|1", headers={"X-File-Name": "w.txt"})
        again = water.post(path, content=b"H|WATER|1")

        assert (first.status_code, first.json()["status"]) == (202, "received")
        assert again.json()["id"] == first.json()["id"]
        file_id = first.json()["id"]
        rows = Rows(a_record("1"), Reject(3, "应缴金额", "finer than a fen", "D|1|12.345"))
        import_bills(file_id, rows, lambda: io.BytesIO(), now=utc_now())
        told = water.get(f"/api/v1/bill-files/{file_id}").json()
        assert (told["status"], told["file_name"], told["provider"]) == (
            "imported",
            "w.txt",
            "water",
        )
        assert (told["rows"], told["created"], told["rejected"], told["total_fen"]) == (
            2,
            1,
            1,
            8_650,
        )

    @pytest.mark.parametrize(
        ("stated", "shown"),
        [("水费.txt".encode(), "水费.txt"), (b"\xe9t\xe9.txt", "été.txt"), (b"w.txt", "w.txt")],
    )
    def test_a_name_is_shown_as_it_was_sent(self, app, stated, shown):
        water = with_key(app, "water")

        sent = water.post(
            "/api/v1/providers/water/bill-files", content=b"x", headers=[(b"X-File-Name", stated)]
        )

        told = water.get(f"/api/v1/bill-files/{sent.json()['id']}").json()
        assert told["file_name"] == shown

    def test_an_empty_file_is_refused(self, app):
        answer = with_key(app, "water").post("/api/v1/providers/water/bill-files")

        assert (answer.status_code, answer.json()["code"]) == (422, "bill_file.empty")

    def test_another_companys_key_neither_sends_nor_reads(self, app):
        file = bring_in("water", a_record("1"))
        gas = with_key(app, "gas")

        pushed = gas.post("/api/v1/providers/water/bill-files", content=b"x")
        read = [
            gas.get(f"/api/v1/bill-files/{file.bill_file_id}{end}") for end in ("", "/rejects.csv")
        ]

        assert (pushed.status_code, pushed.json()["code"]) == (403, "api_key.other_company")
        assert [answer.status_code for answer in read] == [404, 404]

    def test_a_revoked_key_opens_nothing(self, app):
        water = with_key(app, "water")
        with transaction() as session:
            session.execute(text("UPDATE api_key SET revoked_at = now()"))

        answer = water.post("/api/v1/providers/water/bill-files", content=b"x")

        assert (answer.status_code, answer.json()["code"]) == (401, "api_key.unknown")

    def test_rejects_open_in_a_spreadsheet_as_text(self, app):
        run = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", " =1", "\n=1", "＝1", "＋1", "－1", "＠x"]
        raws = [*run, 'D|1|"q",2', "水费"]
        rejects = [Reject(0, "=c", "=why", raw) for raw in raws]
        file = bring_in("water", *rejects)

        answer = with_key(app, "water").get(f"/api/v1/bill-files/{file.bill_file_id}/rejects.csv")

        assert answer.headers["content-type"].startswith("text/csv")
        assert "attachment" in answer.headers["content-disposition"]
        head, *rows = csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""))
        assert head == ["line", "column", "reason", "raw"]
        assert [row[3] for row in rows] == [f"'{raw}" for raw in run] + raws[len(run) :]
        assert {(row[1], row[2]) for row in rows} == {("'=c", "'=why")}
        assert [row[0] for row in rows] == [str(at) for at in range(2, 2 + len(raws))]


def start(browser: Browser, refs: list[str], key: str = "k", **body: Any) -> Any:
    return browser.post(
        "/api/v1/payments", json={"bill_ids": refs, "gateway": "sandbox", **body},
        headers={"Idempotency-Key": key},
    )  # fmt: skip


class TestPayments:
    def test_several_bills_are_paid_from_start_to_end(self, app, far_side):
        home = a_home(1_000, 2_000, now=utc_now())
        browser = signed_in(app, home.owner_id)
        refs = [format_ref(ref) for ref in home.refs]

        made = start(browser, refs)
        again = start(browser, refs[::-1])

        assert made.status_code == 201, made.text
        told = made.json()
        assert (told["status"], told["amount_fen"]) == ("processing", 3_000)
        assert {item["outcome"] for item in told["items"]} == {"waiting"}
        assert again.json()["id"] == told["id"]
        page = far_side.client.get(told["pay_url"])
        assert "30.00" in page.text
        with transaction() as session:
            payment = session.get_one(Payment, int(told["id"]))
        book(payment, GatewayStatus.PAID, now=utc_now())
        after = browser.get(f"/api/v1/payments/{told['id']}").json()
        assert (after["status"], after["pay_url"]) == ("paid", None)
        assert {item["outcome"] for item in after["items"]} == {"paid"}

    def test_a_key_answers_the_same_also_when_the_bills_are_paid(self, app):  # rule 30
        home = a_home(1_000, now=utc_now())
        browser, refs = signed_in(app, home.owner_id), [format_ref(home.refs[0])]
        made = start(browser, refs).json()
        with transaction() as session:
            payment = session.get_one(Payment, int(made["id"]))
        book(payment, GatewayStatus.PAID, now=utc_now())

        again = start(browser, refs)

        assert (again.status_code, again.json()["id"]) == (201, made["id"])
        assert again.json()["status"] == "paid"

    @pytest.mark.parametrize("change", ["bills", "return_url"])
    def test_the_same_key_with_another_body_is_409(self, app, change):  # rule 30
        home = a_home(1_000, 2_000, now=utc_now())
        browser, refs = signed_in(app, home.owner_id), [format_ref(ref) for ref in home.refs]
        start(browser, refs)

        other = (
            start(browser, refs[:1])
            if change == "bills"
            else start(browser, refs, return_url=f"{PUBLIC_URL}/elsewhere")
        )

        assert (other.status_code, other.json()["code"]) == (409, "idempotency.other_request")

    def test_a_bill_being_paid_is_409_with_the_time_it_is_free(self, app):  # rule 31
        home = a_home(1_000, now=utc_now())
        browser, refs = signed_in(app, home.owner_id), [format_ref(home.refs[0])]
        made = start(browser, refs, "one").json()

        answer = start(browser, refs, "two")

        assert (answer.status_code, answer.json()["code"]) == (409, "bill.being_paid")
        assert answer.json()["free_at"][:19] == made["expires_at"][:19]

    def test_without_a_key_or_with_too_many_bills_nothing_starts(self, app):
        home = a_home(1_000, now=utc_now())
        browser = signed_in(app, home.owner_id)
        ref = format_ref(home.refs[0])

        answers = [
            browser.post("/api/v1/payments", json={"bill_ids": [ref], "gateway": "sandbox"}),
            start(browser, []),
            start(browser, [ref] * 51),
            start(browser, [ref, ref]),
            browser.post("/api/v1/payments", content=b"{", headers={"Idempotency-Key": "k"}),
        ]

        assert {answer.status_code for answer in answers} == {422}
        assert the_bill(home.refs[0]).held_by is None

    @pytest.mark.parametrize(
        "url",
        ["https://evil.example/", f"{PUBLIC_URL}.evil.example/", f"{PUBLIC_URL}@evil.example/",
         "//evil.example", "javascript:alert(1)", f"{PUBLIC_URL}/\x00"],
    )  # fmt: skip
    def test_the_way_back_leads_to_nobody_elses_site(self, app, url):
        home = a_home(1_000, now=utc_now())

        answer = start(signed_in(app, home.owner_id), [format_ref(home.refs[0])], return_url=url)

        assert answer.status_code == 422
        assert the_bill(home.refs[0]).held_by is None

    @pytest.mark.parametrize(
        "hole", ["{0}", "{", "{x}", "{payment.__class__}", "{payment:>99999999}"]
    )
    def test_the_way_back_is_no_template(self, app, hole):
        home = a_home(1_000, now=utc_now())
        url = f"{PUBLIC_URL}/back/{hole}"

        answer = start(signed_in(app, home.owner_id), [format_ref(home.refs[0])], return_url=url)

        assert answer.status_code == 201, answer.text
        with transaction() as session:
            assert session.get_one(Payment, int(answer.json()["id"])).return_url == url

    def test_somebody_elses_bill_and_no_gateway_are_404(self, app):
        mine, theirs = a_home(1_000, now=utc_now()), a_home(1_000, now=utc_now())
        browser = signed_in(app, mine.owner_id)

        assert start(browser, [format_ref(theirs.refs[0])]).status_code == 404
        assert start(browser, [format_ref(mine.refs[0])], gateway="x").status_code == 404

    def test_a_gateways_callback_is_taken_and_taken_again(self, app):
        body = '{"event_id": "e1", "event": "order.paid", "order_no": "CB1"}'
        sent_at = str(int(time.time()))
        headers = {
            "X-Sandbox-Time": sent_at,
            "X-Sandbox-Signature": hmac_hex("agreed-for-these-tests", f"{sent_at}.{body}"),
        }

        answers = [
            a_browser(app).post("/api/v1/callbacks/sandbox", content=body, headers=headers)
            for _ in range(2)
        ]

        assert [answer.status_code for answer in answers] == [204, 204]
        with transaction() as session:
            kept = session.execute(text("SELECT count(*) FROM gateway_callback")).scalar_one()
        assert kept == 1

    def test_a_callback_of_any_size_is_not_read(self, browser):
        answer = browser.post("/api/v1/callbacks/sandbox", content=b"x" * (65 << 10))

        assert (answer.status_code, answer.json()["code"]) == (422, "callback.too_large")


class TestReconciliations:
    def test_staff_send_a_file_and_read_what_it_says(self, app):
        payment = a_paid_payment(a_home(8_650))
        day = date(2026, 11, 20)
        staff = signed_in(app, a_person(Role.STAFF))
        path = f"/api/v1/reconciliations/sandbox/{day}"
        assert staff.get(path).status_code == 404

        sent = staff.post(f"{path}/files", content=a_file([row_of(payment, amount="86.49")]))

        assert sent.status_code == 201, sent.text
        assert (sent.json()["amount_differs"], sent.json()["balanced"]) == (1, False)
        (found,) = staff.get(f"{path}/breaks").json()
        assert (found["kind"], found["ours_fen"], found["theirs_fen"]) == (
            "amount_differs", 8_650, 8_649,
        )  # fmt: skip
        assert found["remedy"]
        mended = staff.post(f"{path}/files", content=a_file([row_of(payment)]))
        assert mended.json()["balanced"]
        assert staff.get(path).json() == mended.json()

    def test_a_wrong_file_is_refused_with_its_line(self, app):
        staff = signed_in(app, a_person(Role.STAFF))

        answer = staff.post("/api/v1/reconciliations/sandbox/2026-11-20/files", content=b"x")

        assert answer.status_code == 422
        assert (answer.json()["code"], answer.json()["line_no"]) == ("settlement_file.refused", 1)

    def test_nobody_but_staff(self, app):
        path = "/api/v1/reconciliations/sandbox/2026-11-20/files"

        answers = [
            one.post(path, content=a_file([])).status_code
            for one in (a_browser(app), signed_in(app, a_person()), with_key(app, "water"))
        ]

        assert answers == [401, 403, 401]
        with transaction() as session:
            files = session.execute(text("SELECT count(*) FROM settlement_file")).scalar_one()
        assert files == 0


class TestBills:
    def test_pages_of_the_list_hold_every_bill_once(self, app):
        home = a_home(*range(1, 8), now=utc_now())
        browser = signed_in(app, home.owner_id)
        seen, cursor = [], ""

        for _ in range(10):
            told = browser.get(f"/api/v1/bills?limit=3{cursor}").json()
            seen += [bill["id"] for bill in told["bills"]]
            if told["next_cursor"] is None:
                break
            cursor = f"&cursor={told['next_cursor']}"

        assert sorted(seen) == sorted(format_ref(ref) for ref in home.refs)

    def test_a_list_is_filtered_and_shows_no_number_in_full(self, app):
        home = a_home(100, 200, now=utc_now())
        browser = signed_in(app, home.owner_id)

        told = browser.get("/api/v1/bills?provider=power")

        assert [bill["provider"] for bill in told.json()["bills"]] == ["power"]
        assert not any(number in told.text for number in home.account_nos)

    def test_filters_hold_on_every_page_of_the_list(self, app):
        home = a_home(*([1_000] * 8), now=utc_now())
        browser, seen, cursor = signed_in(app, home.owner_id), [], ""

        for _ in range(4):
            told = browser.get(f"/api/v1/bills?limit=1&provider=gas{cursor}").json()
            seen += [bill["id"] for bill in told["bills"]]
            if told["next_cursor"] is None:
                break
            cursor = f"&cursor={told['next_cursor']}"

        assert seen == [format_ref(ref) for ref in sorted((home.refs[2], home.refs[6]))]

    def test_by_status(self, app):
        home = a_home(100, -200, now=utc_now())
        browser = signed_in(app, home.owner_id)

        told = browser.get("/api/v1/bills?status=credit").json()

        assert [bill["id"] for bill in told["bills"]] == [format_ref(home.refs[1])]
        assert browser.get("/api/v1/bills?status=nonsense").status_code == 422

    def test_by_household_of_ones_own_only(self, app):
        mine = a_home(100, now=utc_now())
        second = a_home(200, owner_id=mine.owner_id, now=utc_now())
        others = a_home(300, now=utc_now())
        browser = signed_in(app, mine.owner_id)

        def listed(household_id: int) -> list[str]:
            told = browser.get(f"/api/v1/bills?household={household_id}").json()
            return [bill["id"] for bill in told["bills"]]

        assert listed(second.household_id) == [format_ref(second.refs[0])]
        assert listed(others.household_id) == []
        assert len(browser.get("/api/v1/bills").json()["bills"]) == 2

    def test_the_pdf_is_one_and_has_a_name(self, app):
        home = a_home(100, now=utc_now())

        answer = signed_in(app, home.owner_id).get(f"/api/v1/bills/{format_ref(home.refs[0])}.pdf")

        assert answer.content.startswith(b"%PDF-")
        assert 'filename="water-2026-10-B1.pdf"' in answer.headers["content-disposition"]


def test_a_file_row_is_where_the_api_says_it_is(app):
    sent = with_key(app, "gas").post("/api/v1/providers/gas/bill-files", content=b"1").json()

    with transaction() as session:
        assert get_bill_file(session, sent["id"]).provider_code == "gas"
