"""Receipts are their payer's; volumes their company's and the staff's, and every taking is kept."""

import io
import zipfile
from pathlib import Path

import pypdfium2
import pytest
import zxingcpp
from fastapi import FastAPI
from pypdf import PdfReader
from sqlalchemy import text

from billing.documents import batches
from billing.documents.batches import BatchKind
from core.clock import utc_now
from core.db import transaction
from core.settings import settings
from identity.models import Role
from tests.billing.reading_aloud import read_aloud, unsaid
from tests.factories import (
    MONTH,
    a_home,
    a_paid_payment,
    a_payment,
    a_person,
    a_record,
    bring_in,
    topics,
)
from tests.web.conftest import Browser, signed_in
from workers.tasks.documents import cut_documents, draw_documents

pytestmark = pytest.mark.usefixtures("city")


def text_of(content: bytes) -> str:
    return "".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)


class TestReceipts:
    def test_a_payer_gets_what_they_paid_for_on_paper(self, app: FastAPI):
        home = a_home(8_650, 12_345)
        payment = a_paid_payment(home)
        browser = signed_in(app, home.owner_id)

        answer = browser.get(f"/payments/{payment.id}/receipt.pdf")

        said = text_of(answer.content)
        assert answer.headers["content-type"] == "application/pdf"
        assert f"/payments/{payment.id}/receipt.pdf" in browser.get(f"/payments/{payment.id}").text
        for words in (
            "缴费凭证", "王珅", "¥209.95", "人民币贰佰零玖元玖角伍分", "¥86.50", "¥123.45",
            payment.order_no, "已收款，待公司销账", "不是税务发票",
        ):  # fmt: skip
            assert words in said, words
        assert payment.gateway_ref not in said

    def test_its_codes_scan(self, app: FastAPI):
        home = a_home(8_650)
        payment = a_paid_payment(home)

        content = signed_in(app, home.owner_id).get(f"/payments/{payment.id}/receipt.pdf").content
        picture = pypdfium2.PdfDocument(content)[0].render(scale=2).to_pil().convert("L")

        assert {code.text for code in zxingcpp.read_barcodes(picture)} == {
            payment.order_no, f"{settings().public_url}/payments/{payment.id}"
        }  # fmt: skip
        assert unsaid(content) == []
        assert read_aloud(content)[0].text.strip() == "缴费凭证"

    def test_in_english_for_who_reads_english(self, app: FastAPI):
        home = a_home(8_650)
        payment = a_paid_payment(home)
        browser = signed_in(app, home.owner_id)
        browser.cookies.set("citybill_locale", "en")

        said = text_of(browser.get(f"/payments/{payment.id}/receipt.pdf").content)

        assert "Payment receipt" in said
        assert "it is not a tax invoice" in said
        assert "人民币捌拾陆元伍角整" in said

    def test_what_was_not_paid_has_none(self, app: FastAPI):
        home = a_home(8_650)
        payment = a_payment(home)
        browser = signed_in(app, home.owner_id)

        assert browser.get(f"/payments/{payment.id}/receipt.pdf").status_code == 404
        assert "receipt.pdf" not in browser.get(f"/payments/{payment.id}").text

    @pytest.mark.parametrize("role", [Role.RESIDENT, Role.STAFF])
    def test_nobody_else_gets_it(self, app: FastAPI, role: Role):
        payment = a_paid_payment(a_home(8_650))

        answer = signed_in(app, a_person(role)).get(f"/payments/{payment.id}/receipt.pdf")

        assert answer.status_code == 404


@pytest.fixture
def folder(app: FastAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings(), "documents_dir", tmp_path)
    return tmp_path


@pytest.fixture
def company(app: FastAPI) -> Browser:
    return signed_in(app, a_person(Role.OPERATOR))


@pytest.fixture
def staff(app: FastAPI) -> Browser:
    return signed_in(app, a_person(Role.STAFF))


def work_off(batch_id: str) -> None:
    """Do the jobs of a batch."""
    cut_documents(batch_id)
    with transaction() as session:
        due = session.execute(
            text(
                "SELECT subject_id FROM outbox_event WHERE topic = 'document_share.due' ORDER BY id"
            )
        ).scalars()
        shares = [one for one in due if one.startswith(f"{batch_id}.")]
    for share in shares:
        draw_documents(share)


def october() -> str:
    """The number of a batch of October's bills, ordered by somebody of the company."""
    with transaction() as session:
        batch = batches.order(
            session, BatchKind.BILLS, provider_code="water", month=MONTH,
            by=a_person(Role.OPERATOR), now=utc_now(),
        )  # fmt: skip
        return str(batch.id)


def deeds() -> list[str]:
    with transaction() as session:
        return list(
            session.execute(
                text("SELECT what FROM audit_entry WHERE subject_kind = 'documents' ORDER BY id")
            ).scalars()
        )


@pytest.mark.usefixtures("folder")
class TestCompanies:
    def order(self, browser: Browser) -> str:
        answer = browser.send_form("/company/documents", {"month": f"{utc_now():%Y-%m}"})
        assert answer.status_code == 303, answer.text
        return answer.headers["location"].rpartition("/")[2]

    def test_their_bills_are_followed_and_taken(self, company: Browser):
        bring_in("water", *(a_record(f"W{at}") for at in range(3)))
        number = october()
        waiting = company.get(f"/company/documents/{number}").text

        work_off(number)

        made = company.get(f"/company/documents/{number}").text
        one = company.get(f"/company/documents/{number}/1.pdf")
        every = company.get(f"/company/documents/{number}/volumes.zip")
        assert "data-refresh-seconds" in waiting
        assert "正在排队" in waiting
        assert "data-refresh-seconds" not in made
        assert "3份" in made
        assert one.content.startswith(b"%PDF")
        with zipfile.ZipFile(io.BytesIO(every.content)) as archive:
            assert archive.namelist() == ["water-2026-10-0001.pdf"]
            assert archive.read("water-2026-10-0001.pdf") == one.content
        assert deeds() == ["documents_taken", "documents_taken"]

    def test_what_is_ordered_waits_for_a_worker_and_is_written_down(self, company: Browser):
        number = self.order(company)

        assert "等待生成" in company.get(f"/company/documents/{number}").text
        assert deeds() == ["documents_ordered"]
        assert topics(like="document%") == ["document_batch.ordered"]

    def test_pressed_twice_they_are_made_once(self, company: Browser):
        self.order(company)

        again = company.send_form("/company/documents", {"month": f"{utc_now():%Y-%m}"})

        assert again.status_code == 409
        assert "正在生成" in again.text

    @pytest.mark.parametrize("month", ["1999-01", "2026-13", "x"])
    def test_a_month_that_is_none_of_the_list_is_refused(self, company: Browser, month: str):
        answer = company.send_form("/company/documents", {"month": month})

        assert answer.status_code == 422
        assert "请从列表中选择月份" in answer.text

    def test_called_off_they_say_so_and_give_nothing(self, company: Browser):
        number = self.order(company)

        company.send_form(f"/company/documents/{number}/cancellation")
        again = company.send_form(f"/company/documents/{number}/cancellation")

        assert again.status_code == 409
        assert "已取消生成" in company.get(f"/company/documents/{number}").text
        assert company.get(f"/company/documents/{number}/1.pdf").status_code == 404
        assert company.get(f"/company/documents/{number}/volumes.zip").status_code == 404

    def test_another_companys_are_not_there(self, company: Browser, staff: Browser):
        answer = staff.send_form("/console/documents", {"what": "gas", "month": last_month()})
        number = answer.headers["location"].rpartition("/")[2]

        assert company.get(f"/company/documents/{number}").status_code == 404
        assert company.get(f"/company/documents/{number}/1.pdf").status_code == 404
        assert "还没有打印文件" in company.get("/company/documents").text


def last_month() -> str:
    now = utc_now().date().replace(day=1)
    return f"{now.year - (now.month == 1)}-{(now.month - 2) % 12 + 1:02d}"


@pytest.mark.usefixtures("folder")
class TestStaff:
    def test_households_statements_are_made_of_a_month_that_is_over(self, staff: Browser):
        answer = staff.send_form(
            "/console/documents", {"what": "statements", "month": last_month()}
        )
        number = answer.headers["location"].rpartition("/")[2]

        work_off(number)

        shown = staff.get(f"/console/documents/{number}").text
        assert "家庭月度对账单" in shown
        assert "没有可打印的内容" in shown
        assert number in staff.get("/console/documents").text

    def test_a_company_there_is_not_is_not_found(self, staff: Browser):
        answer = staff.send_form("/console/documents", {"what": "coal", "month": last_month()})

        assert answer.status_code == 404


def test_without_a_folder_the_page_says_so(company: Browser):
    assert "尚未设置存放打印文件的文件夹" in company.get("/company/documents").text
