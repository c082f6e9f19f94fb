"""A bill on paper: it says what it must, its codes scan, and no name breaks it."""

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import pypdfium2
import pytest
import reportlab
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from pypdf import PdfReader

from billing.documents.barcodes import barcode_digits, parse_barcode
from billing.documents.charts import usage_chart_svg
from billing.documents.fonts import EXTRA, MAIN, printable, register_fonts, runs
from billing.documents.pdf import bill_pdf, day_text
from billing.documents.typesetting import fitted, text_width, wrap
from billing.rules.payable import Offer
from billing.views import AccountView, BillState, BillView
from core.errors import Invalid
from providers.base import LineItem, OptionKind

LATIN_FONT = Path(reportlab.__file__).parent / "fonts" / "Vera.ttf"
PAY_URL = "https://pay.haicheng.example/b/7.91?t=8Jq2vK1m0sX4"
NOW = datetime(2026, 11, 18, 3, 0, tzinfo=UTC)
NOVEMBER = date(2026, 11, 1)
HISTORY = [(date(2026, month, 1), 9_000 + month * 417) for month in range(1, 12)]

A_BILL = BillView(
    ref="7.91",
    account=AccountView(
        account_id=7,
        provider_code="power",
        provider_name="海城市电力有限公司",
        provider_name_en="Haicheng Power Co., Ltd.",
        account_no_masked="3100****5678",
        holder_masked="王*珅",
        address="海城市静安区南京西路1266号恒隆花园3幢1单元1802室",
    ),
    account_no="3100012345678",
    billing_month=NOVEMBER,
    bill_no="P20261100012345",
    version=1,
    period_from_on=date(2026, 10, 11),
    period_to_on=date(2026, 11, 10),
    issued_on=date(2026, 11, 12),
    due_on=date(2026, 11, 30),
    pay_by_on=date(2026, 11, 30),
    usage=Decimal(286),
    usage_unit="kWh",
    items=(
        LineItem("峰时电量 第一档", Decimal(180), "kWh", 11_106),
        LineItem("谷时电量 第一档", Decimal("80.50"), "kWh", 4_733),
        LineItem("上期余额抵扣", None, "", -500),
    ),
    amount_fen=15_339,
    adjusted_fen=0,
    credited_fen=0,
    paid_fen=0,
    paid_late_fee_fen=0,
    open_fen=15_339,
    state=BillState.OPEN,
    days_left=12,
)


def pdf_of(bill: BillView = A_BILL, **more: object) -> bytes:
    arguments = {"biller_no": "0002", "phone": "95598", "pay_url": PAY_URL, "now": NOW}
    return bill_pdf(bill, **(arguments | more))


def pages_of(pdf: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(BytesIO(pdf)).pages]


def text_of(pdf: bytes) -> str:
    return "\n".join(pages_of(pdf))


def codes_of(pdf: bytes) -> dict[str, str]:
    """Scan the first page as a camera would see it, at 144 dots an inch."""
    picture = pypdfium2.PdfDocument(pdf)[0].render(scale=2).to_pil().convert("L")
    return {str(code.format): code.text for code in zxingcpp.read_barcodes(picture)}


def barcode_of(pdf: bytes) -> str | None:
    found = [text for kind, text in codes_of(pdf).items() if "128" in kind]
    return found[0] if found else None


def with_account(**changes: str) -> BillView:
    return replace(A_BILL, account=replace(A_BILL.account, **changes))


@pytest.fixture
def latin_font():
    register_fonts(LATIN_FONT)
    yield
    register_fonts()


class TestWhatABillSays:
    @pytest.mark.parametrize(
        "words",
        [
            "账单",
            "Bill",
            "海城市电力有限公司",
            "Haicheng Power Co., Ltd.",
            "王*珅",
            "3100012345678",
            "P20261100012345",
            "2026年11月12日",
            "2026年11月30日",
            "2026年10月11日 至 2026年11月10日",
            "¥153.39",
            "286 kWh",
            "谷时电量 第一档",
            "80.50",
            "-¥5.00",
            "95598",
            "本账单不是税务发票",
            "This bill is not a tax invoice",
        ],
    )
    def test_it_says(self, words):
        assert words in text_of(pdf_of())

    def test_it_never_calls_itself_an_invoice(self):
        text = text_of(pdf_of())

        assert re.findall(r"..发票", text) == ["税务发票", "如需发票"]

    def test_the_document_describes_itself(self):
        reader = PdfReader(BytesIO(pdf_of()))

        assert reader.metadata.title == "账单 Bill P20261100012345 海城市电力有限公司"
        assert reader.metadata.author == "海城市电力有限公司"
        assert reader.metadata.subject == "海城市电力有限公司 2026年11月账单"
        assert reader.metadata.creation_date == NOW
        assert reader.trailer["/Root"]["/Lang"] == "zh-CN"

    def test_every_font_is_embedded(self):
        (page,) = PdfReader(BytesIO(pdf_of(history=HISTORY))).pages
        fonts_used = [font.get_object() for font in page["/Resources"]["/Font"].values()]

        assert all("NotoSansSC" in font["/BaseFont"] for font in fonts_used)
        assert all("/FontFile2" in font["/FontDescriptor"] for font in fonts_used)

    def test_the_same_bill_at_the_same_moment_is_the_same_bytes(self):
        assert pdf_of(history=HISTORY) == pdf_of(history=HISTORY)

    def test_threads_do_not_mix_their_letters(self):
        bills = [with_account(holder_masked=mark * 3) for mark in "赵钱孙李周吴郑王"]
        alone = [pdf_of(bill) for bill in bills]

        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(pdf_of, bills))

        assert together == alone

    def test_a_later_edition_says_so(self):
        assert "第3版" in text_of(pdf_of(replace(A_BILL, version=3)))

    @pytest.mark.parametrize("state", BillState)
    def test_every_state_has_its_words(self, state):
        text = text_of(pdf_of(replace(A_BILL, state=state)))

        assert ("Scan to pay" in text) == state.payable


class TestWhatCameToIt:
    def test_every_line_between_the_total_and_what_is_to_pay(self):
        bill = replace(
            A_BILL, adjusted_fen=75, credited_fen=339, paid_fen=5_000, open_fen=10_075
        )  # fmt: skip

        text = text_of(pdf_of(bill))

        for words in ("滞纳金及附加费", "¥0.75", "-¥3.39", "-¥50.00", "尚需缴纳", "¥100.75"):
            assert words in text

    def test_a_plain_bill_has_none(self):
        assert "尚需缴纳" not in text_of(pdf_of())

    def test_a_credit_says_what_is_left(self):
        bill = replace(
            A_BILL, amount_fen=-500, credited_fen=-200, open_fen=-300, state=BillState.CREDIT
        )  # fmt: skip

        text = text_of(pdf_of(bill))

        assert "抵扣其他账单" in text
        assert "-¥3.00" in text

    def test_a_rolled_day_is_printed_with_the_companys_own(self):  # rule 19
        text = text_of(pdf_of(replace(A_BILL, pay_by_on=date(2026, 12, 1))))

        assert "2026年12月1日" in text
        assert "原定2026年11月30日" in text

    def test_options_are_printed_with_their_last_day(self):
        offers = (
            Offer(None, None, "", 15_339, None, 15_339, 15_339, None),
            Offer("early", OptionKind.EARLY, "提前" * 30, 15_000, date(2026, 11, 25), 15_000,
                  15_000, None),
        )  # fmt: skip

        text = text_of(pdf_of(offers=offers))

        assert "2026年11月25日" in text
        assert "¥150.00" in text

    def test_where_the_late_amount_alone_is_taken_it_is_what_there_is_to_pay(self):  # rule 3
        late = Offer("late", OptionKind.LATE, "逾期金额", 16_000, None, 16_000, 16_000, None)
        page = text_of(pdf_of(replace(A_BILL, state=BillState.OVERDUE), offers=(late,)))

        stub = page[page.index("应缴") :]
        assert "¥160.00" in stub
        assert "¥153.39" not in stub

    @pytest.mark.parametrize("times", [0, 1, 9, 10, 11, 12, 13, 14, 40, 41, 42, 43, 44, 45])
    def test_they_stay_above_the_stub_and_the_foot(self, times):
        bill = replace(
            A_BILL, items=A_BILL.items[:1] * times, adjusted_fen=75, credited_fen=339,
            paid_fen=5_000, open_fen=10_075,
        )  # fmt: skip

        pages = pages_of(pdf_of(bill))

        assert sum(page.count("峰时电量") for page in pages) == times
        assert "尚需缴纳" in pages[-1]


class TestCodesOnABill:
    def test_the_barcode_scans_and_names_the_bill(self):
        fields = parse_barcode(barcode_of(pdf_of()))

        assert fields.biller_no == "0002"
        assert fields.account_no == "3100012345678"
        assert fields.billing_month == NOVEMBER
        assert fields.amount_fen == 15_339

    def test_the_qr_code_scans_and_leads_to_the_page(self):
        assert PAY_URL in codes_of(pdf_of()).values()

    def test_a_long_address_still_scans(self):
        pay_url = PAY_URL + "a" * 160

        assert pay_url in codes_of(pdf_of(pay_url=pay_url)).values()

    def test_the_digits_stand_under_the_bars(self):
        pdf = pdf_of()

        assert barcode_of(pdf) in text_of(pdf).replace(" ", "")

    def test_a_bill_paid_in_part_asks_for_the_rest(self):
        pdf = pdf_of(replace(A_BILL, open_fen=5_339))

        assert parse_barcode(barcode_of(pdf)).amount_fen == 5_339
        assert "¥53.39" in text_of(pdf)

    def test_nine_digits_of_fen_ask_the_counter_to_look_it_up(self):
        pdf = pdf_of(replace(A_BILL, amount_fen=123_456_789, open_fen=123_456_789))

        assert parse_barcode(barcode_of(pdf)).amount_fen is None
        assert "¥1,234,567.89" in text_of(pdf)

    @pytest.mark.parametrize("state", [s for s in BillState if not s.payable])
    def test_a_bill_nobody_should_pay_has_no_barcode(self, state):
        assert barcode_of(pdf_of(replace(A_BILL, state=state))) is None

    @pytest.mark.parametrize("account_no", ["31000123456789", "0571-3100.01", "A123"])
    def test_an_account_no_barcode_can_hold_is_shown_in_words(self, account_no):
        pdf = pdf_of(replace(A_BILL, account_no=account_no))

        assert barcode_of(pdf) is None
        assert PAY_URL in codes_of(pdf).values()
        assert "在柜台缴费请出示户号" in text_of(pdf)
        assert account_no in text_of(pdf)

    def test_a_wrong_biller_number_is_not_passed_over(self):
        with pytest.raises(Invalid, match="four digits"):
            pdf_of(biller_no="2")


class TestBillsOutOfTheOrdinary:
    def test_rare_characters_survive(self):
        text = text_of(pdf_of(with_account(holder_masked="王*珅瑋䶮㛃")))

        assert "王*珅瑋䶮㛃" in text

    def test_a_character_no_font_has_is_marked_and_the_rest_is_untouched(self, caplog):
        register_fonts()  # a character is reported once per loading
        with caplog.at_level(logging.WARNING):
            text = text_of(pdf_of(with_account(holder_masked="王𠮷瑋", address="上海路𠮷园1号")))

        assert "王□瑋" in text
        assert "上海路□园1号" in text
        assert caplog.messages == ["no font has U+20BB7: printed as □"]

    @pytest.mark.parametrize(("amount_fen", "shown"), [(0, "¥0.00"), (-1_234, "-¥12.34")])
    def test_nothing_due_and_credits(self, amount_fen, shown):
        state = BillState.CREDIT if amount_fen else BillState.NOTHING_DUE
        bill = replace(A_BILL, amount_fen=amount_fen, open_fen=0, state=state, items=(), usage=None)
        pdf = pdf_of(bill)

        assert shown in text_of(pdf)
        assert "无需缴费" in text_of(pdf)
        assert barcode_of(pdf) is None

    @pytest.mark.parametrize("times", [1, 3, 20])
    def test_every_item_is_printed_once_and_the_total_on_the_last_page(self, times):
        names = [f"第{number}项费用" for number in range(times * 5)]
        items = tuple(LineItem(name, Decimal(1), "次", 100) for name in names)
        pages = pages_of(pdf_of(replace(A_BILL, items=items), history=HISTORY))

        assert [name for name in names if "\n".join(pages).count(name) == 1] == names
        assert [("Total" in page) for page in pages] == [False] * (len(pages) - 1) + [True]
        assert all(f"{at} of {len(pages)}" in page for at, page in enumerate(pages, start=1))
        assert ["缴费截止" in page for page in pages] == [True] + [False] * (len(pages) - 1)

    def test_nothing_runs_over_the_margins(self):
        bill = replace(
            with_account(
                provider_name="海城市浦江新区自来水及污水处理综合服务股份有限公司第三营业管理所供水服务分中心",
                provider_name_en="Haicheng Pujiang New District Integrated Water Services " * 2,
                holder_masked="海" * 40,
                address="浦江新区世纪大道与张杨路交叉口" * 8,
            ),
            account_no="0571-3100.0123456.78901",
            bill_no="WATER-2026-11-" + "0" * 40,
            items=(LineItem("用水" * 60, Decimal("1234567890.12345"), "立方米每月", 10**14),),
            usage=Decimal("123456789.123456789"),
            amount_fen=10**14,
            open_fen=10**14,
        )
        (page,) = pypdfium2.PdfDocument(pdf_of(bill, phone="021-12345678 转 1234", history=HISTORY))
        text = page.get_textpage()
        boxes = [text.get_charbox(at) for at in range(text.count_chars())]

        assert min(left for left, _, right, _ in boxes if right > left) >= 53
        assert max(right for _, _, right, _ in boxes) <= 542
        assert min(bottom for _, bottom, _, _ in boxes) >= 30
        assert max(top for *_, top in boxes) <= 836


class TestFonts:
    def test_the_second_font_is_asked_for_what_the_first_lacks(self, latin_font):
        assert runs("Łód电") == [(EXTRA, "Ł"), (MAIN, "ód电")]

    def test_both_fonts_are_embedded_and_read_back(self, latin_font):
        assert "Łukasz 王" in text_of(pdf_of(with_account(holder_masked="Łukasz 王")))

    def test_without_a_second_font_it_is_marked(self):
        assert printable("Łód") == "□ód"

    def test_a_font_that_cannot_be_embedded_is_refused(self, tmp_path):
        (tmp_path / "not-a-font.ttf").write_bytes(b"OTTO" + bytes(400))

        with pytest.raises(Invalid, match="TrueType outlines"):
            register_fonts(tmp_path / "not-a-font.ttf")
        with pytest.raises(Invalid, match=r"missing\.ttf"):
            register_fonts(tmp_path / "missing.ttf")

        assert printable("电") == "电"

    def test_what_cannot_be_seen_is_not_printed(self):
        assert printable("a\u202eb\u200bc\n\x00d\ufe0f") == "abc  d"

    def test_half_a_character_is_marked(self):
        assert printable("a\ud842b") == "a□b"


class TestSetting:
    def test_a_number_stays_with_its_counter(self):
        assert wrap("南京西路1266号", size=10, width=60) == ["南京西路", "1266号"]

    def test_no_line_starts_with_a_comma(self):
        lines = wrap("水费，电费，燃气费，" * 6, size=10, width=50)

        assert not [line for line in lines if line.startswith("，")]

    @settings(deadline=None)
    @given(st.text(max_size=80), st.integers(40, 200))
    def test_no_line_is_too_wide_and_nothing_is_lost(self, text, width):
        lines = wrap(text, size=10, width=width)

        assert all(text_width(line, 10) <= width for line in lines)
        assert "".join("".join(lines).split()) == "".join(text.split())

    def test_what_does_not_fit_ends_in_an_ellipsis(self):
        cut = fitted("水" * 40, width=100, sizes=(10,), lines=2)

        assert cut.lines == ["水" * 10, "水" * 9 + "…"]


class TestBarcode:
    @given(
        st.from_regex(r"[0-9]{4}", fullmatch=True),
        st.from_regex(r"[0-9]{1,13}", fullmatch=True),
        st.dates(date(2000, 1, 1), date(2099, 12, 31)).map(lambda day: day.replace(day=1)),
        st.integers(0, 10**10),
    )
    def test_it_reads_back_what_was_written(self, biller_no, account_no, month, amount_fen):
        digits = barcode_digits(biller_no, account_no, month, amount_fen)
        fields = parse_barcode(digits)

        assert re.fullmatch(r"[0-9]{30}", digits)
        assert (fields.biller_no, fields.billing_month) == (biller_no, month)
        assert fields.account_no == account_no.zfill(13)
        assert fields.amount_fen == (amount_fen if 0 < amount_fen < 10**8 else None)

    def test_the_layout_is_as_published(self):
        digits = barcode_digits("0002", "12345", NOVEMBER, 8_651)

        assert digits == "0002" + "0000000012345" + "2611" + "00008651" + "7"

    @given(st.integers(0, 29), st.integers(1, 9))
    def test_any_one_wrong_digit_is_caught(self, at, by):
        digits = barcode_digits("0002", "3100012345678", NOVEMBER, 15_339)
        wrong = digits[:at] + str((int(digits[at]) + by) % 10) + digits[at + 1 :]

        with pytest.raises(Invalid, match="check digit") as refused:
            parse_barcode(wrong)

        assert refused.value.code == "barcode.check_digit"

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"biller_no": "002"}, "barcode.biller_no"),
            ({"biller_no": "０００２"}, "barcode.biller_no"),
            ({"account_no": ""}, "barcode.account_no"),
            ({"account_no": "1" * 14}, "barcode.account_no"),
            ({"account_no": "12 34"}, "barcode.account_no"),
            ({"account_no": "１２３"}, "barcode.account_no"),
            ({"billing_month": date(1999, 12, 1)}, "barcode.billing_month"),
            ({"billing_month": date(2100, 1, 1)}, "barcode.billing_month"),
            ({"amount_fen": -1}, "barcode.amount"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, change, code):
        fits = {
            "biller_no": "0002",
            "account_no": "12345",
            "billing_month": NOVEMBER,
            "amount_fen": 1,
        }

        with pytest.raises(Invalid) as refused:
            barcode_digits(**(fits | change))

        assert refused.value.code == code

    @pytest.mark.parametrize(
        "digits",
        ["", "1" * 29, "1" * 31, "0002 0000000012345 2611 0000865O 1", "０" * 30],
    )
    def test_what_is_no_barcode_is_refused(self, digits):
        with pytest.raises(Invalid, match="thirty digits"):
            parse_barcode(digits)

    def test_a_thirteenth_month_is_refused(self):
        with pytest.raises(Invalid, match="month 13"):
            parse_barcode("0002" + "0000000012345" + "2613" + "00008650" + "4")


class TestUsageChart:
    POINTS = ((date(2026, 9, 1), 8_650), (date(2026, 10, 1), -2_500), (NOVEMBER, 0))

    def test_it_may_stand_in_a_page_with_a_strict_policy(self):
        svg = usage_chart_svg(self.POINTS, label="近期电费 <&>")
        root = etree.fromstring(svg)
        attributes = {name for node in root.iter() for name in node.attrib}
        tags = {etree.QName(node).localname for node in root.iter()}

        assert svg.startswith("<svg ")
        assert not attributes & {"style", "id", "font-family"}
        assert tags == {"svg", "title", "desc", "rect", "text"}

    def test_it_says_what_it_shows(self):
        root = etree.fromstring(usage_chart_svg(self.POINTS, label="近期电费 <&>"))
        words = [node.text for node in root.iter("{*}text")]

        assert root.get("role") == "img"
        assert root[0].tag.endswith("title")
        assert root[0].text == "近期电费 <&>"
        assert root[1].text == "2026年9月 ¥86.50；2026年10月 -¥25.00；2026年11月 ¥0.00"
        assert words[:4] == ["2026年9月", "¥86.50", "2026年10月", "-¥25.00"]

    def test_text_takes_the_colour_around_it_and_a_credit_is_an_outline(self):
        root = etree.fromstring(usage_chart_svg(self.POINTS, label="近期电费"))
        bars = list(root.iter("{*}rect"))

        assert {node.get("fill") for node in root.iter("{*}text")} == {"currentColor"}
        assert [bar.get("fill") == "none" for bar in bars] == [False, True, False]
        assert int(bars[0].get("width")) > int(bars[1].get("width")) > int(bars[2].get("width"))

    def test_no_bills_make_an_empty_picture(self):
        root = etree.fromstring(usage_chart_svg((), label="近期电费"))

        assert not list(root.iter("{*}rect"))

    def test_a_chart_does_not_unload_the_second_font(self, latin_font):
        usage_chart_svg(self.POINTS, label="近期电费")

        assert printable("Ł") == "Ł"


def test_days_are_written_as_residents_write_them():
    assert day_text(date(2026, 1, 5)) == "2026年1月5日"
