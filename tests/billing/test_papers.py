"""What a company sends beside a bill: judged by its bytes, kept once, found by its number."""

import contextlib
import io
import tracemalloc
import zipfile
from datetime import date

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from billing.papers import (
    MOST_BYTES,
    Paper,
    PaperKind,
    check_paper,
    find_by_invoice_no,
    get_paper,
    list_papers,
    put_paper,
)
from core.db import transaction
from core.errors import Conflict, Invalid, NotFound
from tests.factories import NOW, a_home, the_bill
from tests.threads import at_once

NUMBER = "26312000000048542163"
DAY = date(2026, 11, 1)
PDF = b"%PDF-1.7\n1 0 obj <<>> endobj\n%%EOF\n"
XML = f"<EInvoice><InvoiceNumber>{NUMBER}</InvoiceNumber></EInvoice>".encode()
PNG = b"\x89PNG\r\n\x1a\n rest"


def an_ofd(number: str = NUMBER, **members: str) -> bytes:
    root = (
        '\ufeff<ofd:OFD xmlns:ofd="http://www.ofdspec.org/2016"><ofd:DocInfo><ofd:CustomDatas>'
        f'<ofd:CustomData Name="发票号码">{number}</ofd:CustomData></ofd:CustomDatas></ofd:DocInfo>'
        "</ofd:OFD>"
    )
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in ({"OFD.xml": root} | members).items():
            archive.writestr(name, content)
    return stored.getvalue()


def invoice(media_type: str = "application/pdf", content: bytes = PDF, no: str = NUMBER) -> Paper:
    return Paper(media_type, content, no, DAY)


def put(ref, paper: Paper) -> tuple[PaperKind, bool]:
    with transaction() as session:
        kept, is_new = put_paper(session, the_bill(ref), paper, now=NOW)
        return kept.kind, is_new


@pytest.fixture
def ref(city):
    return a_home().refs[0]


class TestKeeping:
    @pytest.mark.parametrize(
        ("paper", "kind"),
        [
            (invoice(), PaperKind.INVOICE_PDF),
            (invoice("application/ofd", an_ofd()), PaperKind.INVOICE_OFD),
            (invoice("application/xml", XML), PaperKind.INVOICE_XML),
            (Paper("image/png", PNG), PaperKind.METER_PHOTO),
            (Paper("image/jpeg", b"\xff\xd8\xff rest"), PaperKind.METER_PHOTO),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_each_kind_is_kept_as_it_came_and_once(self, ref, paper, kind):
        assert put(ref, paper) == (kind, True)
        assert put(ref, paper) == (kind, False)

        with transaction() as session:
            (kept,) = list_papers(session, ref)
            assert get_paper(session, ref, kept.sha256, {ref[0]}).content == paper.content

    def test_other_bytes_under_a_number_are_refused(self, ref):
        put(ref, invoice())

        with pytest.raises(Conflict) as refused:
            put(ref, invoice(content=PDF + b"\n"))
        assert refused.value.code == "paper.other_bytes"

    def test_one_file_has_one_number(self, ref):
        put(ref, invoice())

        with pytest.raises(Conflict) as refused:
            put(ref, invoice(no="26312000000048542164"))
        assert refused.value.code == "paper.number_taken"

    def test_a_newer_photo_takes_the_place_of_the_old(self, ref):
        put(ref, Paper("image/png", PNG))
        put(ref, Paper("image/png", PNG + b"!"))

        with transaction() as session:
            (kept,) = list_papers(session, ref)
            assert kept.content == PNG + b"!"

    def test_eight_at_once_keep_one(self, ref):
        found = at_once(8, lambda _: put(ref, invoice()))

        assert sorted(is_new for _, is_new in found) == [False] * 7 + [True]

    def test_the_database_itself_wants_an_invoice_to_have_its_number(self, ref):
        put(ref, invoice())

        with pytest.raises(IntegrityError, match="invoice_has_number"), transaction() as session:
            session.execute(text("UPDATE bill_paper SET invoice_no = ''"))


class TestRefusing:
    @pytest.mark.parametrize(
        ("paper", "code"),
        [
            (invoice("text/html", b"<html>"), "paper.type"),
            (invoice(content=b""), "paper.size"),
            (invoice(content=PDF + b"0" * MOST_BYTES), "paper.size"),
            (invoice(content=b"<html>%PDF-"), "paper.other_type"),
            (invoice("application/ofd", PDF), "paper.other_type"),
            (invoice("application/ofd", b"PK\x03\x04" + PDF), "paper.other_type"),
            (invoice("application/xml", b"<a><b></a>"), "paper.other_type"),
            (invoice("application/xml", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
             "paper.other_type"),
            (invoice("application/xml", PDF), "paper.other_type"),
            (Paper("image/png", b"\xff\xd8\xff"), "paper.other_type"),
            (Paper("image/png", PNG, NUMBER), "paper.number"),
            (Paper("application/pdf", PDF), "paper.number"),
            (invoice(no="A1234567"), "paper.number"),
            (invoice(no="1" * 21), "paper.number"),
            (invoice(no="１２３４５６７８"), "paper.number"),
            (Paper("application/pdf", PDF, NUMBER), "paper.number"),
            (invoice("application/ofd", an_ofd("26312000000048542164")), "paper.number_differs"),
            (invoice("application/xml", XML, no="12345678"), "paper.number_differs"),
        ],
        ids=[str(at) for at in range(18)],
    )  # fmt: skip
    def test_what_it_is_not_is_refused_and_nothing_kept(self, ref, paper, code):
        with pytest.raises(Invalid) as refused:
            put(ref, paper)

        assert refused.value.code == code
        with transaction() as session:
            assert list_papers(session, ref) == []

    def test_an_ofd_without_its_root_is_none(self, ref):
        stored = io.BytesIO()
        with zipfile.ZipFile(stored, "w") as archive:
            archive.writestr("Doc_0/Document.xml", "<a/>")

        with pytest.raises(Invalid) as refused:
            put(ref, invoice("application/ofd", stored.getvalue()))
        assert refused.value.code == "paper.other_type"

    def test_an_archive_that_swells_is_refused_before_it_is_read(self, ref):
        bomb = an_ofd(Swollen="0" * (21 << 20))
        assert len(bomb) < MOST_BYTES

        with pytest.raises(Invalid) as refused:
            put(ref, invoice("application/ofd", bomb))
        assert refused.value.code == "paper.size"

    def test_an_archive_that_lies_about_its_size_is_not_unpacked_beyond_it(self):
        stored = bytearray(an_ofd("0" * (80 << 20)))
        at = stored.index(b"PK\x01\x02") + 24  # what the directory says it unpacks to
        stored[at : at + 4] = (100).to_bytes(4, "little")
        assert len(stored) < MOST_BYTES

        tracemalloc.start()
        with pytest.raises(Invalid) as refused:
            check_paper(invoice("application/ofd", bytes(stored)))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert refused.value.code == "paper.other_type"
        assert most < 64 << 20

    def test_an_archive_packed_another_way_is_refused_before_it_is_read(self):
        stored = io.BytesIO()
        with zipfile.ZipFile(stored, "w", zipfile.ZIP_BZIP2) as archive:
            archive.writestr("OFD.xml", "<a/>")

        with pytest.raises(Invalid) as refused:
            check_paper(invoice("application/ofd", stored.getvalue()))
        assert refused.value.code == "paper.other_type"

    def test_an_archive_broken_anywhere_is_refused_or_read(self):
        whole = an_ofd()
        for at in range(4, len(whole)):
            for wrong in (0xFF, 0x01):
                broken = whole[:at] + bytes([whole[at] ^ wrong]) + whole[at + 1 :]
                with contextlib.suppress(Invalid):
                    check_paper(invoice("application/ofd", broken))


class TestFinding:
    def test_a_number_leads_to_its_bill_for_who_may_see_it(self, ref, session):
        put(ref, invoice())
        stranger = a_home().refs[0]

        assert find_by_invoice_no(session, {ref[0]}, f" {NUMBER[:10]} {NUMBER[10:]}") == [ref]
        assert find_by_invoice_no(session, None, NUMBER) == [ref]
        assert find_by_invoice_no(session, {stranger[0]}, NUMBER) == []
        assert find_by_invoice_no(session, set(), NUMBER) == []
        assert find_by_invoice_no(session, None, "王珅") == []

    def test_three_carriers_of_one_invoice_are_one_bill(self, ref, session):
        put(ref, invoice())
        put(ref, invoice("application/ofd", an_ofd()))
        put(ref, invoice("application/xml", XML))

        assert find_by_invoice_no(session, None, NUMBER) == [ref]

    def test_a_paper_of_somebody_else_is_not_there(self, ref, session):
        put(ref, invoice())
        (kept,) = list_papers(session, ref)

        with pytest.raises(NotFound):
            get_paper(session, ref, kept.sha256, {ref[0] + 1})
        with pytest.raises(NotFound):
            get_paper(session, ref, "0" * 64, {ref[0]})
