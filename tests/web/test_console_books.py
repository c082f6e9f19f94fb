"""Every file that came in, on the console and by API: watched, asked about, run again."""

import csv
import io

import pytest
from lxml import html

from core.clock import billing_date, utc_now
from core.db import transaction
from identity.models import Role
from payments.reconciliation.intake import receiving as intake
from payments.reconciliation.intake.models import BookFile, BookState
from tests.factories import a_home, a_paid_payment, a_person
from tests.payments.reconciliation.test_intake import DAY, STATEMENT, file_of
from tests.web.conftest import Browser, signed_in
from tests.workers.company_side import work

pytestmark = pytest.mark.usefixtures("city")
ENGLISH = {"Accept-Language": "en"}


@pytest.fixture
def staff(app) -> Browser:
    return signed_in(app, a_person(Role.STAFF, name="陈晓"))


def the_file(book_file_id: int = 1) -> BookFile:
    with transaction() as session:
        return intake.get_book_file(session, book_file_id)


def send(browser: Browser, content: bytes, *, name: str = "file.csv", **form: str) -> str:
    answer = browser.send_form(
        "/console/books", {"whose": "", "day": "", **form}, files={"file": (name, content)}
    )
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def words_of(browser: Browser, path: str) -> str:
    answer = browser.get(path, headers=ENGLISH)
    assert answer.status_code == 200, answer.text
    [main] = html.fromstring(answer.text).xpath("//main")
    return " ".join(main.text_content().split())


class TestPages:
    def test_a_file_is_brought_in_without_a_word_and_shown_as_it_goes(self, staff):
        at = send(staff, file_of(a_paid_payment(a_home())))

        assert "Waiting" in words_of(staff, at)
        assert "data-refresh-seconds" in staff.get(at).text
        work()
        assert "Read and compared" in words_of(staff, at)
        assert "data-refresh-seconds" not in staff.get(at).text
        [link] = html.fromstring(staff.get(at).text).xpath("//a[@class='button']/@href")
        assert link == f"/console/reconciliations/sandbox/{DAY}"

    def test_the_same_file_again_leads_to_the_same_page(self, staff):
        assert send(staff, STATEMENT) == send(staff, STATEMENT)

    def test_what_is_under_way_has_a_bar(self, staff):
        send(staff, STATEMENT)
        with transaction() as session:
            row = intake.get_book_file(session, 1, lock=True)
            row.state, row.rows_done, row.rows_of = BookState.READING, 250, 1_000

        page = html.fromstring(staff.get("/console/books").text)

        assert page.xpath("//progress[@max='100' and @value='25']/text()") == ["25%"]
        assert "250 of 1,000 rows" in words_of(staff, "/console/books")

    def test_one_nobody_can_tell_is_asked_about_and_read_as_said(self, staff):
        wrong = file_of(a_paid_payment(a_home())).replace(b"#TOTAL,1", b"#TOTAL,2")
        at = send(staff, wrong)
        work()
        page = html.fromstring(staff.get(at).text)
        assert page.xpath("//option[@selected]/@value") == ["gateway/sandbox"]
        assert page.xpath("//input[@name='day']/@value") == [str(DAY)]

        staff.send_form(at, {"whose": "gateway/sandbox", "day": str(DAY)})
        work()

        assert the_file().state is BookState.REFUSED
        assert "#TOTAL says rows 2" in words_of(staff, at)
        for path in (at, "/console/books"):
            chinese = staff.get(path, headers={"Accept-Language": "zh"}).text
            assert "#TOTAL 为 rows 2，各行合计为" in chinese
            assert "add up" not in chinese
        assert "1 file was refused" in words_of(staff, "/console/books")

    def test_a_file_is_run_again(self, staff):
        at = send(staff, file_of())
        work()
        a_paid_payment(a_home())

        staff.send_form(at)
        work()

        assert the_file().told["breaks"] == 1

    def test_it_can_be_had_back_as_it_came(self, staff):
        send(staff, STATEMENT, name="对账单 1120.sta")

        answer = staff.get("/console/books/1/file")

        assert answer.content == STATEMENT
        assert "1120.sta" in answer.headers["content-disposition"]

    def test_an_empty_file_is_turned_away_on_the_page(self, staff):
        answer = staff.send_form(
            "/console/books", {"whose": "", "day": ""}, files={"file": ("a", b"")}
        )

        assert answer.status_code == 422
        assert "empty" in answer.text

    @pytest.mark.parametrize("form", [{"whose": "moon/x"}, {"day": "tomorrow"}])
    def test_what_no_form_of_ours_sends_is_refused(self, staff, form):
        answer = staff.send_form(
            "/console/books", {"whose": "", "day": ""} | form, files={"file": ("a", b"x")}
        )

        assert answer.status_code == 422

    def test_the_list_is_filtered_paged_and_taken_out(self, staff, monkeypatch):
        monkeypatch.setattr("payments.reconciliation.intake.lists.PAGE", 2)
        for at in range(3):
            send(staff, b"what is this? %d" % at, name=f"f{at}.csv")
        send(staff, STATEMENT, name="good.sta")
        work()

        def names(path: str) -> list[str]:
            found = html.fromstring(staff.get(path).text).xpath("//tbody//td[1]/a/text()")
            return [str(one) for one in found]

        assert names("/console/books") == ["good.sta", "f2.csv"]
        [more] = html.fromstring(staff.get("/console/books").text).xpath("//a[@rel='next']/@href")
        assert names(more) == ["f1.csv", "f0.csv"]
        assert names("/console/books?leg=bank&state=done") == ["good.sta"]
        assert names("/console/books?way=sftp") == []
        taken_out = staff.get("/console/books.csv?state=unclear").content.decode("utf-8-sig")
        assert [row["file_name"] for row in csv.DictReader(io.StringIO(taken_out))] == [
            "f2.csv", "f1.csv", "f0.csv",
        ]  # fmt: skip
        assert staff.get("/console/books.xlsx").content.startswith(b"PK")


class TestApi:
    def test_a_file_is_taken_without_waiting_and_asked_about(self, staff):
        payment = a_paid_payment(a_home())

        answer = staff.post(
            f"/api/v1/reconciliations/sandbox/{DAY}/files", content=file_of(payment),
            headers={"Prefer": "respond-async", "X-File-Name": "s.csv"},
        )  # fmt: skip

        assert (answer.status_code, answer.json()["state"]) == (202, "waiting")
        at = answer.headers["location"]
        work()
        told = staff.get(at).json()
        assert (told["state"], told["told"]["matched"], told["file_name"]) == ("done", 1, "s.csv")

    def test_who_does_not_ask_for_it_waits_for_the_result_as_ever(self, staff):
        answer = staff.post(
            f"/api/v1/reconciliations/sandbox/{DAY}/files",
            content=file_of(a_paid_payment(a_home())),
        )

        assert (answer.status_code, answer.json()["matched"]) == (201, 1)
        assert (the_file().state, the_file().came_by) == (BookState.DONE, "api")

    def test_a_file_nobody_says_a_word_about_is_found_out(self, staff):
        answer = staff.post("/api/v1/book-files", content=STATEMENT)
        work()

        told = staff.get(answer.headers["location"]).json()

        assert (told["leg"], told["source"], told["state"]) == ("bank", "bank", "done")

    def test_a_file_there_is_not_is_not_found(self, staff):
        assert staff.get("/api/v1/book-files/9").status_code == 404
        assert staff.get("/console/books/9").status_code == 404


def test_a_gateway_has_no_day_after_today(staff):
    """The form asks for no day that is not over: a browser holds people to it."""
    page = html.fromstring(staff.get("/console/books").text)

    assert page.xpath("//input[@name='day']/@max") == [str(billing_date(utc_now()))]
