"""What strangers' XML must not do, and that reading it costs no memory."""

import io

import pytest

from core.errors import BillFileError
from providers.standards.xml_guard import documents
from tests.providers.standards.documents import DECLARATION, cii_file, pdf, profile, read, ubl_file

UBL = profile()
LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">'
        for before, name in zip("abcdefghi", "bcdefghij", strict=True)
    )
    + "]>"
)


def hostile(prolog: str, number: str = "P-1") -> bytes:
    return ubl_file(number=number).replace(b"?>\n", b"?>\n" + prolog.encode(), 1)


class TestRefusals:
    @pytest.mark.parametrize(
        "data",
        [
            hostile("<!DOCTYPE Invoice>"),
            hostile('<!DOCTYPE Invoice SYSTEM "http://127.0.0.1:9/x.dtd">'),
            hostile('<!DOCTYPE Invoice [<!ENTITY x SYSTEM "file:///etc/passwd">]>', "&x;"),
            hostile(LAUGHS, "&j;"),
            hostile("<!-- " + "x" * 5_000 + " -->" + LAUGHS, "&j;"),
        ],
    )
    def test_a_document_type_is_refused(self, data):
        with pytest.raises(BillFileError, match="declares a DTD or entities"):
            read(data)

    def test_a_document_type_hidden_in_utf_16_is_refused(self):
        data = (LAUGHS + '<r a="&j;"/>').encode("utf-16")

        with pytest.raises(BillFileError):
            read(data)

    def test_an_entity_nobody_declared_is_refused(self):
        with pytest.raises(BillFileError, match="broken"):
            read(ubl_file(number="&x;"))

    @pytest.mark.parametrize("levels", [101, 150, 100_000])
    def test_depth_is_refused(self, levels):
        with pytest.raises(BillFileError, match=r"deep|depth"):
            read(("<a>" * levels + "</a>" * levels).encode())

    def test_a_document_without_end_is_refused(self):
        class Endless(io.RawIOBase):
            opening = ubl_file()[:-10]

            def read(self, size: int = -1) -> bytes:
                opening, self.opening = self.opening, b""
                return opening or b"<x/>" * (size // 4)

        with pytest.raises(BillFileError, match="without one whole document"):
            list(documents(Endless(), ("nothing",), budget=1_000_000))  # type: ignore[arg-type]

    @pytest.mark.parametrize("data", [b"", b"  \n", b"\xef\xbb\xbf \n"])
    def test_an_empty_file_is_refused(self, data):
        with pytest.raises(BillFileError, match="empty"):
            read(data)

    @pytest.mark.parametrize(
        "data", [b"plain text", b"{}", b"\x00" * 100, DECLARATION.encode(), b"<a></b>", b"<a/>junk"]
    )
    def test_what_is_no_xml_is_refused(self, data):
        with pytest.raises(BillFileError):
            read(data)

    def test_a_pdf_is_no_ubl(self):
        with pytest.raises(BillFileError, match="PDF"):
            read(pdf(cii_file()))

    def test_an_unknown_encoding_is_refused(self):
        with pytest.raises(BillFileError, match="broken"):
            read(ubl_file().replace(b"UTF-8", b"KLINGON"))

    def test_the_line_is_that_of_the_file_and_not_of_the_document(self):
        data = ubl_file() + b"\n\n" + ubl_file() + b"\n<broken"
        line_no = data.count(b"\n") + 1

        with pytest.raises(BillFileError) as refused:
            read(data)

        assert refused.value.line_no == line_no


class Trickle(io.BytesIO):
    """A stream that gives little at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        self.size = size

    def read(self, wanted: int | None = -1) -> bytes:
        return super().read(min(self.size, wanted or self.size))


class TestSplitting:
    @pytest.mark.parametrize("size", [1, 7, 64, 1_000])
    def test_however_little_comes_at_a_time_the_documents_are_the_same(self, size):
        data = b"<a><i>1</i></a>\n<a ><i>2</i></a ><b:a xmlns:b='u'/><?xml version='1.0'?><a/>"

        found = [
            (line_no, element.findtext("i"))
            for line_no, element in documents(Trickle(data, size), ("a", "{u}a"))
        ]

        assert found == [(1, "1"), (2, "2"), (2, None), (2, None)]

    def test_what_looks_like_an_end_inside_a_document_does_not_cut_it(self):
        data = b"<a><![CDATA[</a><?xml?><!DOCTYPE x>]]><a></a><!-- </a> --></a><a/>"

        assert len(list(documents(io.BytesIO(data), ("a",)))) == 2

    def test_memory_does_not_grow_with_the_file(self):
        """What was read is let go: an envelope holds no more than came at a time."""
        many = b"<All>" + b"<Head/>text<Invoice><ID>1</ID></Invoice>text" * 500 + b"</All>"

        held = [
            len(parent)
            for _, element in documents(Trickle(many, 100), ("Invoice",))
            if (parent := element.getparent()) is not None
        ]

        assert (len(held), max(held) < 50) == (500, True)
