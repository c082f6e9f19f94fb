"""A company's people send papers of bills by hand, and are told of each file."""

import io
import zipfile
from datetime import date
from typing import Any

import pytest
from lxml import html
from sqlmodel import select

from billing.papers import MOST_BYTES, BillPaper, list_papers
from core.db import transaction
from identity.audit import AuditEntry
from identity.models import Role
from identity.people import get_person
from tests.billing.test_papers import NUMBER, PDF, PNG, XML, an_ofd
from tests.factories import MONTH, a_person, a_record, bring_in
from tests.web.conftest import Browser, signed_in

pytestmark = pytest.mark.usefixtures("city")


DATED = XML.replace(b"</EInvoice>", b"<IssueTime>2026-11-01 08:00</IssueTime></EInvoice>")
JPEG = b"\xff\xd8\xff rest"


@pytest.fixture
def company(app) -> Browser:
    return signed_in(app, a_person(Role.OPERATOR))


@pytest.fixture
def bills(city) -> None:
    bring_in(
        "water",
        *(a_record(f"W{no}", bill_no=f"B{no}", billing_month=MONTH) for no in (1, 2)),
        *(a_record(f"T{no}", bill_no="TWICE", billing_month=MONTH) for no in (1, 2)),
    )  # fmt: skip
    bring_in("gas", a_record("G1", bill_no="GAS1", billing_month=MONTH))


def send(browser: Browser, **files: bytes) -> Any:
    return browser.send_form(
        "/company/papers", {"month": f"{MONTH:%Y-%m}"},
        files=[("files", (name.replace("__", "."), content)) for name, content in files.items()],
    )  # fmt: skip


def a_zip(**members: bytes) -> bytes:
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return stored.getvalue()


def told(browser: Browser, answer: Any) -> dict[str, str]:
    """What the page says of each file."""
    assert answer.status_code == 303, answer.text
    page = html.fromstring(browser.get(answer.headers["location"]).text)
    return {
        line.xpath("string(./td[1]/text())").strip(): line.xpath("string(./td[3])").strip()
        for line in page.xpath("//tbody/tr")
    }


def kept() -> list[tuple[str, str]]:
    with transaction() as session:
        rows = session.exec(select(BillPaper).order_by(BillPaper.kind, BillPaper.sha256)).all()
        return [(row.kind.value, row.invoice_no) for row in rows]


@pytest.mark.usefixtures("bills")
class TestSending:
    def test_files_find_their_bills_by_name_and_what_they_state(self, company):
        answer = send(
            company,
            **{"B1__png": PNG, "B1__xml": DATED, f"B2_{NUMBER}_20261101__pdf": PDF},
        )

        assert set(told(company, answer).values()) == {"已保存"}
        assert kept() == [
            ("invoice_pdf", NUMBER), ("invoice_xml", NUMBER), ("meter_photo", ""),
        ]  # fmt: skip
        with transaction() as session:
            (xml,) = session.exec(select(BillPaper).where(BillPaper.kind == "invoice_xml"))
            assert xml.issued_on == date(2026, 11, 1)
            assert len(list_papers(session, (xml.account_id, xml.bill_id))) == 2

    def test_a_zip_with_an_index_names_account_number_and_day(self, company):
        index = (
            "file,bill_no,account_no,billing_month,invoice_no,issued_on\n"
            f"scan-7.ofd,TWICE,T2,{MONTH:%Y-%m},{NUMBER},2026-11-01\nphoto.jpg,B2,,,,\n"
        )

        answer = send(
            company,
            all__zip=a_zip(
                **{"a/scan-7__ofd": an_ofd(), "photo__jpg": JPEG, "index__csv": index.encode(),
                   "__MACOSX/._photo__jpg": b"litter"}
            ),
        )  # fmt: skip

        assert told(company, answer) == {"scan-7.ofd": "已保存", "photo.jpg": "已保存"}
        assert kept() == [("invoice_ofd", NUMBER), ("meter_photo", "")]

    def test_again_changes_nothing_and_a_newer_photo_takes_the_olders_place(self, company):
        send(company, B1__png=PNG)

        again = told(company, send(company, B1__png=PNG))
        newer = told(company, send(company, B1__jpg=JPEG))

        assert (again, newer) == ({"B1.png": "已存在"}, {"B1.jpg": "已替换旧照片"})
        assert kept() == [("meter_photo", "")]

    def test_each_refused_file_says_why_and_the_others_stand(self, company):
        answer = send(
            company, B1__png=PNG, NOPE__png=PNG, GAS1__png=PNG, TWICE__png=PNG, B2__pdf=PDF,
            B2__png=b"no picture", B1__txt=b"words", B1__jpg=JPEG + b"x" * MOST_BYTES,
        )  # fmt: skip

        page = company.get(answer.headers["location"]).text
        assert list(told(company, answer).values()).count("未通过") == 7 or page.count(
            "row__reason"
        )
        for words in (
            "当月没有贵公司的这张账单", "请在 index.csv 中写明户号", "发票需要号码和开票日期",
            "文件内容与扩展名不符", "只接受 PDF", "超过 2 MB",
        ):  # fmt: skip
            assert words in page, words
        assert kept() == [("meter_photo", "")]
        rejects = company.get(f"{answer.headers['location']}/rejects.csv")
        lines = rejects.text.removeprefix("\ufeff").splitlines()
        assert lines[0] == "file,bill_no,code,reason"
        assert [one.split(",")[2] for one in lines[1:]] == [
            "paper.no_bill", "paper.no_bill", "paper.two_bills", "paper.number",
            "paper.other_type", "paper.type", "paper.size",
        ]  # fmt: skip

    def test_a_name_the_database_cannot_hold_is_refused_alone(self, company):
        files = b'--X\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n%s\r\n'
        field = b'--X\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        form = field % (b"csrf", company.csrf.encode()) + field % (b"month", b"2026-10")
        form += files % (b"B1\0.png", PNG) + files % (b"B2.png", PNG) + b"--X--\r\n"

        answer = company.post(
            "/company/papers", content=form,
            headers={"Content-Type": "multipart/form-data; boundary=X"},
        )  # fmt: skip

        assert list(told(company, answer)) == ["B1?.png", "B2.png"]
        assert kept() == [("meter_photo", "")]

    def test_another_companys_bill_takes_nothing_though_its_account_is_named(self, company):
        index = b"file,bill_no,account_no\nx.png,GAS1,G1\n"

        send(company, index__csv=index, x__png=PNG)

        assert kept() == []

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            ("a__zip", b"PK no archive", "zip 文件已损坏"),
            ("a__zip", a_zip(**{f"B{no}__png": PNG for no in range(501)}), "一次上传 1 到 500"),
            ("a__zip", a_zip(B1__png=b"\0" * (257 << 20)), "一次上传 1 到 500"),
            ("index__csv", b"bill\n", "index.csv 无法读取"),
            ("index__csv", b"file,bill_no,issued_on\nB1.png,B1,soon\n", "line 2"),
        ],
        ids=["broken", "too many", "a bomb", "no columns", "no day"],
    )
    def test_a_sending_that_is_broken_or_too_much_is_refused_whole(
        self, company, name, content, words
    ):
        answer = send(company, **{"B1__png": PNG, name: content})

        assert answer.status_code == 422
        assert words in answer.text
        assert kept() == []
        assert "还没有上传过" in company.get("/company/papers").text


@pytest.mark.usefixtures("bills")
class TestLooking:
    def test_what_was_sent_is_found_by_bill_number_and_written_down(self, company):
        send(company, B1__png=PNG, NOPE__png=PNG)
        send(company, B2__png=PNG)

        found = html.fromstring(company.get("/company/papers?bill_no=B1").text)
        none = company.get("/company/papers?bill_no=B").text

        assert len(found.xpath("//tbody/tr")) == 1
        assert "没有为这张账单上传过附件" in none
        with transaction() as session:
            entries = session.exec(
                select(AuditEntry).where(AuditEntry.what == "papers_sent").order_by(AuditEntry.id)
            ).all()
        assert [one.detail for one in entries] == [
            {"files": 2, "refused": 1}, {"files": 1, "refused": 0},
        ]  # fmt: skip

    def test_another_companys_people_see_none_of_it(self, app, company):
        path = send(company, B1__png=PNG).headers["location"]
        somebody = a_person(Role.OPERATOR)
        with transaction() as session:
            get_person(session, somebody).provider_code = "gas"
        other = signed_in(app, somebody)

        assert other.get(path).status_code == 404
        assert other.get(f"{path}/rejects.csv").status_code == 404
        assert "还没有上传过" in other.get("/company/papers").text
