"""PDFs read aloud: everything on a page is said or passed over, in the order of reading."""

from dataclasses import replace
from decimal import Decimal
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from billing.documents.bill_sheet import Printed
from billing.documents.fonts import printable
from billing.documents.paper import CHINESE, Properties
from billing.documents.pdf import bill_volume
from billing.documents.sheets import Column, Sheets, sheets_pdf
from billing.documents.typesetting import Term
from providers.base import LineItem
from tests.billing.documents.test_documents import (
    A_BILL,
    HISTORY,
    NOW,
    PAY_URL,
    codes_of,
    pdf_of,
    text_of,
    with_account,
)
from tests.billing.documents.test_sheets import about
from tests.billing.reading_aloud import Said, read_aloud, unsaid

LONG = replace(
    A_BILL,
    items=tuple(LineItem(f"第{at}项费用", Decimal(at), "次", 100 + at) for at in range(60)),
)


def texts(said: list[Said], role: str) -> list[str]:
    return [one.text.strip() for one in said if one.role == role]


def outline(pdf: bytes) -> list[object]:
    def told(entries: list[object]) -> list[object]:
        return [told(one) if isinstance(one, list) else one.title for one in entries]

    return told(PdfReader(BytesIO(pdf)).outline)


class TestABill:
    def test_it_is_read_from_its_title_to_its_foot(self):
        said = read_aloud(pdf_of(history=HISTORY))
        words = [one.text for one in said]

        assert said[0].path == ("Document", "H1")
        assert words[0].split() == ["账单", "Bill"]
        order = ["海城市电力有限公司", "户名", "户号", "本期账单金额", "缴费截止", "峰时电量",
                 "合计", "近期账单", "应缴", "0002", "扫码缴费", "本账单不是税务发票"]  # fmt: skip
        places = [next(at for at, text in enumerate(words) if one in text) for one in order]
        assert places == sorted(places)

    @pytest.mark.parametrize("bill", [A_BILL, LONG, replace(A_BILL, items=(), usage=None)])
    def test_nothing_on_it_is_left_out(self, bill):
        assert unsaid(pdf_of(bill, history=HISTORY)) == []

    def test_a_table_has_heads_of_columns_and_every_row_as_many_cells(self):
        pdf = pdf_of(LONG)
        said = read_aloud(pdf)

        assert [one.split()[0] for one in texts(said, "TH")] == [
            "项目",
            "数量",
            "单位",
            "金额",
            "合计",
        ]
        cells = texts(said, "TD")[:-1]
        rows = [cells[at : at + 4] for at in range(0, len(cells), 4)]
        assert [row[0] for row in rows] == [item.name for item in LONG.items]
        assert b"/Scope/Column" in pdf

    def test_pictures_and_codes_are_said_in_words(self):
        said = read_aloud(pdf_of(history=HISTORY))
        chart, barcode = texts(said, "Figure")
        (link,) = texts(said, "Link")

        assert "2026年11月 ¥135.87" in chart
        assert barcode == "条形码：000231000123456782611000153391"
        assert PAY_URL in link

    def test_the_links_area_belongs_to_its_element(self):
        reader = PdfReader(BytesIO(pdf_of()))
        (annotation,) = [one.get_object() for one in reader.pages[0]["/Annots"]]
        pairs = reader.trailer["/Root"]["/StructTreeRoot"]["/ParentTree"]["/Nums"]
        parents = dict(zip(pairs[::2], pairs[1::2], strict=True))

        assert annotation["/A"]["/URI"] == PAY_URL
        assert annotation["/Contents"] == "扫码缴费"
        assert parents[annotation["/StructParent"]].get_object()["/S"] == "/Link"

    def test_it_says_that_it_is_tagged_titled_and_in_which_language(self):
        root = PdfReader(BytesIO(pdf_of())).trailer["/Root"]

        assert root["/MarkInfo"]["/Marked"]
        assert root["/ViewerPreferences"]["/DisplayDocTitle"]
        assert root["/Lang"] == "zh-CN"
        page = PdfReader(BytesIO(pdf_of())).pages[0]
        assert b"/Span<</Lang(en)>>BDC" in page.get_contents().get_data()

    def test_what_each_page_repeats_is_said_once(self):
        said = [one.text for one in read_aloud(pdf_of(LONG))]
        pages = PdfReader(BytesIO(pdf_of(LONG))).pages

        assert len(pages) > 2
        assert sum("本账单不是税务发票" in text for text in said) == 1
        assert all("本账单不是税务发票" in page.extract_text() for page in pages)
        assert not [text for text in said if "续下页" in text]

    def test_each_page_follows_its_structure(self):
        pages = PdfReader(BytesIO(pdf_of(LONG))).pages

        assert {page["/Tabs"] for page in pages} == {"/S"}
        keys = [page["/StructParents"] for page in pages]
        assert keys == sorted(set(keys))

    def test_its_outline_leads_to_its_parts(self):
        assert outline(pdf_of()) == [
            "账单 Bill P20261100012345", ["费用明细 Items", "缴费 Payment"]
        ]  # fmt: skip

    @settings(max_examples=25)
    @given(
        st.text(st.characters(exclude_categories=["Cs", "Co"]), min_size=1, max_size=12),
        st.text(st.sampled_from("𠮷䶮㛃珅瑋Łλ1号 "), max_size=12),
    )
    def test_no_character_is_lost_and_none_is_another(self, holder, address):
        pdf = pdf_of(with_account(holder_masked=f"<{holder}>", address=f"<{address}>"))
        whole = "".join(text_of(pdf).split())

        for text in (holder, address):
            assert "".join(f"<{printable(text)}>".split()) in whole


class TestAVolume:
    def volume(self, count: int) -> bytes:
        bills = (
            Printed(
                bill=replace(with_account(holder_masked=f"第{at}户"), bill_no=f"B{at}"),
                biller_no="0002", phone="95598", pay_url=PAY_URL, now=NOW, history=HISTORY,
            )
            for at in range(count)
        )  # fmt: skip
        return bill_volume(
            bills,
            Properties(title="十月账单 第1册", author="电力", subject="账单", lang=CHINESE,
                       made_at=NOW),
        )  # fmt: skip

    def test_each_bill_is_a_part_and_an_entry_of_the_outline(self):
        pdf = self.volume(5)
        said = read_aloud(pdf)

        assert outline(pdf) == [f"3100012345678 · B{at}" for at in range(5)]
        assert {one.path[:2] for one in said} == {("Document", "Part")}
        assert [one.page for one in said if one.role == "H1"] == list(range(5))
        assert unsaid(pdf) == []

    def test_it_embeds_its_fonts_once(self):
        one, many = self.volume(1), self.volume(20)

        assert many.count(b"/FontFile2") == one.count(b"/FontFile2")
        assert len(many) < 20 * len(pdf_of(history=HISTORY)) // 2


class TestSheets:
    def test_a_table_over_pages_is_one_table_and_its_head_is_read_once(self):
        def draw(sheets: Sheets) -> None:
            sheets.heading(Term("明细", "Items"))
            sheets.table(
                (Column(Term("项目", "What"), 3), Column(Term("金额", "Amount"), 1, True)),
                [(f"row-{at}", "" if at % 2 else "¥1.00") for at in range(100)],
            )

        pdf = sheets_pdf(draw, about("en"))
        said = read_aloud(pdf)

        assert texts(said, "TH") == ["What", "Amount"]
        assert [one for one in texts(said, "TD") if one != "¥1.00"] == [
            f"row-{at}" for at in range(100)
        ]
        assert unsaid(pdf) == []
        assert pdf.count(b"/S/Table") == 1
        assert pdf.count(b"/S/TD") == 200  # a cell without words is a cell

    def test_codes_scan_and_are_said(self):
        def draw(sheets: Sheets) -> None:
            sheets.codes(
                url=PAY_URL, scan=Term("扫码", "Scan"), number="S17-202610",
                name=Term("编号", "No."),
            )  # fmt: skip

        pdf = sheets_pdf(draw, about("en"))

        assert texts(read_aloud(pdf), "Figure") == ["No.: S17-202610"]
        assert set(codes_of(pdf).values()) == {"S17-202610", PAY_URL}
        assert unsaid(pdf) == []
