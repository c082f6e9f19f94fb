"""Files as programs and people hand them in: written otherwise, packed, and the same money."""

import base64
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import BILLING_ZONE
from core.errors import Invalid, SettlementFileError
from core.money import format_yuan, yuan_text
from payments.gateways.alipay_files import read_trade_bill
from payments.gateways.as_written import is_day, moment, plain_header, yuan
from payments.gateways.bank_files import read_returns
from payments.gateways.base import SettlementRecord
from payments.gateways.counter import Counter
from payments.gateways.sandbox import Sandbox
from payments.gateways.stripe_settlement import read_report
from payments.gateways.unionpay_files import read_bundle
from payments.gateways.wechatpay_bills import trade_rows
from tests.payments.gateways.test_alipay_files import BUSINESS, SELLER_ID, SUMMARY, zipped
from tests.payments.gateways.test_bank_debit import US, returns
from tests.payments.gateways.test_counter import PAYMENT, RETURN
from tests.payments.gateways.test_counter import a_file as a_counter_file
from tests.payments.gateways.test_stripe import HEADER, ROW
from tests.payments.gateways.test_unionpay_files import BACK as UNION_BACK
from tests.payments.gateways.test_unionpay_files import packed, row
from tests.payments.gateways.test_wechatpay_bills import ALL, BACK, GOOD, SALE, TOTALS, a_bill
from tests.payments.gateways.unionpay_keys import MER_ID

DAY = date(2026, 11, 20)
SANDBOX = Sandbox("http://127.0.0.1:9", "no secret is needed to read a file")
Rows = list[SettlementRecord]


def archive(*members: tuple[str, str | bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as packing:
        for name, content in members:
            packing.writestr(name, content)
    return made.getvalue()


def padded(text: str, width: int) -> str:
    """Return a CSV as a spreadsheet saves it: every row as wide as the widest."""
    return "\n".join(line + "," * (width - line.count(",")) for line in text.split("\n"))


def facts(rows: Rows) -> list[tuple[str, str, int, int]]:
    return [(one.kind, one.reference, one.amount_fen, one.fee_fen) for one in rows]


def alipay(content: str | bytes) -> Rows:
    raw = content.encode("gb18030") if isinstance(content, str) else content
    return read_trade_bill(io.BytesIO(raw), day=date(2026, 11, 19), seller_id=SELLER_ID)


def wechatpay(content: str | bytes) -> Rows:
    raw = content.encode() if isinstance(content, str) else content
    return trade_rows(raw, day=DAY, mchid="1900000001")


def unionpay(content: bytes) -> Rows:
    return read_bundle(io.BytesIO(content), day=DAY, mer_id=MER_ID)


def stripe(content: str | bytes) -> Rows:
    return read_report(content.encode() if isinstance(content, str) else content, DAY)


def sandbox(content: str | bytes) -> Rows:
    raw = content.encode() if isinstance(content, str) else content
    return list(SANDBOX.read_settlement(io.BytesIO(raw), day=DAY))


def counter(content: str | bytes) -> Rows:
    raw = content.encode() if isinstance(content, str) else content
    return list(Counter().read_settlement(io.BytesIO(raw), day=DAY))


WECHAT = a_bill(ALL, [SALE, BACK], TOTALS, GOOD, "\n").decode()
REPORT = f"{HEADER}\n{ROW}\n"
DAY_FILE = (
    "#SANDBOX SETTLEMENT,2026-11-20\n"
    "kind,order_no,gateway_ref,refund_no,refund_ref,amount,fee,happened_at\n"
    "payment,CB1,r1,,,86.50,0.33,2026-11-20T04:01:00Z\n"
    "refund,CB1,,R1,b1,-10.00,0.00,2026-11-20T12:01:00+08:00\n"
    "#TOTAL,2,76.50,0.33\n"
)
CASH = a_counter_file(PAYMENT, RETURN).decode()
Way = Callable[[str], str | bytes]
ANYWHERE: dict[str, Way] = {
    "with a byte order mark": lambda text: text.encode("utf-8-sig"),
    "in UTF-8": lambda text: text.encode(),
    "in UTF-16": lambda text: text.encode("utf-16"),
    "in GB18030": lambda text: text.encode("gb18030"),
    "with the lines of Windows": lambda text: text.replace("\n", "\r\n"),
    "with the lines of old programs": lambda text: text.replace("\n", "\r"),
    "with blank lines around it": lambda text: f"\n{text}\n\n\n",
    "ended by a program of DOS": lambda text: f"{text}\x1a",
    "gzipped": lambda text: gzip.compress(text.encode()),
    "in a ZIP with a folder": lambda text: archive(("d/", ""), ("d/bill.csv", text)),
    "gzipped in a ZIP": lambda text: archive(("bill.csv.gz", gzip.compress(text.encode()))),
    "with the litter of a Mac": lambda text: archive(
        ("bill.csv", text), ("__MACOSX/._bill.csv", b"\0\5")
    ),
}


@pytest.mark.parametrize("way", ANYWHERE)
@pytest.mark.parametrize(
    ("read", "text"),
    [
        (alipay, BUSINESS), (wechatpay, WECHAT), (stripe, REPORT), (sandbox, DAY_FILE),
        (counter, CASH),
    ],
    ids=["alipay", "wechatpay", "stripe", "sandbox", "counter"],
)  # fmt: skip
def test_whatever_was_done_to_a_file_it_says_the_same(read, text, way):
    assert facts(read(ANYWHERE[way](text))) == facts(read(text))


class TestAlipay:
    @pytest.mark.parametrize(
        "written",
        [
            padded(BUSINESS, 24),
            BUSINESS.replace("\t", ""),
            BUSINESS.replace("（元）", ""),
            BUSINESS.replace("商户订单号", "商戶訂單號").replace("商家实收", "商家實收"),
            BUSINESS.replace("商户订单号", " 商户订单号 "),
            BUSINESS.replace(",1250.00,1250.00,", ',"1,250.00","1,250.00",').replace(
                "共1336.50", "共1,336.50"
            ),
            BUSINESS.replace("-1000.00", "(1000.00)"),
            BUSINESS.replace("2026-11-19 ", "2026/11/19 "),
            BUSINESS.replace("[2026年11月20日 00:00:00]", "[2026年11月19日 23:59:59]"),
            re.sub("(2026)年(11)月(19|20)日", r"\1-\2-\3", BUSINESS),
            BUSINESS.replace(f"{SELLER_ID}0156", SELLER_ID),
            BUSINESS.partition("#导出")[0],
        ],
        ids=["padded", "no tabs", "no units", "traditional", "blanks", "thousands", "brackets",
             "slashes", "to the last second", "dashes", "no currency", "no export time"],
    )  # fmt: skip
    def test_written_otherwise_it_is_the_same_bill(self, written):
        assert facts(alipay(written)) == facts(alipay(BUSINESS))

    def test_a_column_more_is_none_of_ours(self):
        more = "\n".join(
            f"{line},新列" if line.startswith("支付宝交易号") else
            f"{line},x" if re.match(r"[0-9]{20}", line) else line
            for line in BUSINESS.split("\n")
        )  # fmt: skip

        assert facts(alipay(more)) == facts(alipay(BUSINESS))

    def test_the_archive_may_lie_in_another(self):
        assert facts(alipay(archive(("a.zip", zipped(BUSINESS, SUMMARY))))) == facts(
            alipay(zipped(BUSINESS, SUMMARY))
        )

    def test_a_total_of_what_there_was_none_of_may_be_left_out(self):
        rows = [line for line in BUSINESS.split("\n") if "退款" not in line or "商户" in line]

        assert [one.kind for one in alipay("\n".join(rows))] == ["payment", "payment"]


class TestWechatPay:
    @pytest.mark.parametrize(
        "written",
        [
            padded(WECHAT, 26).rstrip(","),
            "\n".join(
                ",".join(f'"{cell}"' for cell in line[1:].split(",`")) if line[:1] == "`" else line
                for line in WECHAT.split("\n")
            ),
            WECHAT.replace("水费, 电费", "水费").replace("`", ""),
            WECHAT.replace("总交易单数", "\n\n总交易单数"),
            f"微信支付交易账单\n{WECHAT}",
            WECHAT.replace("交易时间", "交易時間").replace("手续费,", "手續費,"),
            WECHAT.replace("2026-11-20 ", "2026/11/20 "),
            WECHAT.replace("SUCCESS,`OTHERS", "支付成功,`OTHERS").replace("`REFUND", "`转入退款"),
            WECHAT.replace("CNY", "人民币"),
        ],
        ids=["padded", "quoted", "no backticks", "blank lines", "a title", "traditional", "slashes",
             "states in words", "currency in words"],
    )  # fmt: skip
    def test_written_otherwise_it_is_the_same_bill(self, written):
        assert facts(wechatpay(written)) == facts(wechatpay(WECHAT))

    def test_two_bills_in_one_archive_are_not_one_day(self):
        with pytest.raises(SettlementFileError, match="2 bill files"):
            wechatpay(archive(("a.csv", WECHAT), ("b.csv", WECHAT)))

    def test_what_stands_behind_the_totals_belongs_to_something_else(self):
        with pytest.raises(SettlementFileError, match="more behind"):
            wechatpay(f"{WECHAT}hello\n")

    def test_without_its_totals_nobody_knows_that_it_is_whole(self):
        with pytest.raises(SettlementFileError, match="cut short"):
            wechatpay(WECHAT.partition("总交易单数")[0])


class TestUnionPay:
    @pytest.mark.parametrize(
        "handed_in",
        [
            archive((f"d/INN26112088ZM_{MER_ID}", row() + b"\r\n" + UNION_BACK + b"\r\n")),
            archive((f"INN26112088ZM_{MER_ID}.txt", row() + b"\n" + UNION_BACK + b"\n\n\n")),
            archive(("a.zip", packed(row(), UNION_BACK))),
            gzip.compress(packed(row(), UNION_BACK)),
            base64.b64encode(zlib.compress(packed(row(), UNION_BACK))),
        ],
        ids=["in a folder", "as text", "a ZIP in a ZIP", "gzipped", "as their answer has it"],
    )
    def test_however_it_is_packed(self, handed_in):
        assert facts(unionpay(handed_in)) == facts(unionpay(packed(row(), UNION_BACK)))


class TestStripe:
    def test_the_dashboards_export_is_read_as_well(self):
        names = (
            "id,Type,Source,Amount,Fee,Net,Currency,Created (UTC),Available On (UTC),Description,"
            "order_no (metadata),refund_no (metadata)\n"
        )
        charge = "txn_1,charge,ch_1,86.50,5.29,81.21,cny,2026-11-20 04:00,2026-11-22 00:00,x,CB1,\n"
        refund = "txn_2,refund,re_1,-10.00,0,-10.00,CNY,2026-11-20 05:00,2026-11-22 00:00,x,CB1,R1"

        assert [(*one[1:6],) for one in stripe(names + charge + refund)] == [
            ("payment", "CB1", "ch_1", 8_650, 529), ("refund", "R1", "re_1", -1_000, 0),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        "written",
        [
            REPORT.replace(",", "\t"),
            REPORT.replace("2026-11-20 04:00:03", "2026-11-20T04:00:03Z"),
            REPORT.replace("currency", "Currency").replace("cny", "CNY"),
        ],
    )
    def test_written_otherwise_it_is_the_same_report(self, written):
        assert facts(stripe(written)) == facts(stripe(REPORT))

    def test_a_report_without_refunds_needs_no_column_of_theirs(self):
        cut = "\n".join(line.rpartition(",")[0] for line in REPORT.strip().split("\n"))

        assert facts(stripe(cut)) == facts(stripe(REPORT))
        with pytest.raises(SettlementFileError, match="whose refund"):
            stripe(cut.replace("charge", "refund", 1))


class TestOurOwnLayout:
    @pytest.mark.parametrize(
        "written",
        [
            padded(DAY_FILE, 7),
            DAY_FILE.replace("SETTLEMENT,2026-11-20", "SETTLEMENT,2026/11/20"),
            DAY_FILE.replace("kind,order_no", "order_no,kind").replace(
                "payment,CB1", "CB1,payment").replace("refund,CB1", "CB1,refund"),
            DAY_FILE.replace("-10.00", "10.00-"),
            DAY_FILE.replace(",fee,", ",fee,note,").replace(",0.33,2026", ",0.33,x,2026").replace(
                ",0.00,2026", ",0.00,,2026"),
        ],
        ids=["padded", "slashes", "another order", "a minus behind", "a column more"],
    )  # fmt: skip
    def test_written_otherwise_it_is_the_same_day(self, written):
        assert facts(sandbox(written)) == facts(sandbox(DAY_FILE))

    def test_an_empty_day_has_its_totals_still(self):
        empty = "\n".join([*DAY_FILE.split("\n")[:2], "#TOTAL,0,0.00,0.00"])

        assert sandbox(empty) == []
        with pytest.raises(SettlementFileError):
            sandbox("\n".join(DAY_FILE.split("\n")[:2]))

    def test_a_comma_in_a_name_shifts_no_amount_into_another_column(self):
        with pytest.raises(SettlementFileError, match="9 fields where the header has 8"):
            sandbox(DAY_FILE.replace("r1,,,", "r,1,,,"))


class TestReturnsOfADebit:
    @pytest.mark.parametrize("done", [
        lambda raw: raw.replace(b"\r\n", b"\n"),
        lambda raw: b"\r\n".join(line.rstrip() for line in raw.split(b"\r\n")),
        lambda raw: b"\xef\xbb\xbf" + raw + b"\r\n\x1a",
    ])  # fmt: skip
    def test_what_is_lost_on_the_way_from_line_ends_was_nothing(self, done):
        whole = returns(("CB1", 8_650, "AM04"))

        assert read_returns(done(whole), US) == read_returns(whole, US)

    @pytest.mark.parametrize("version", ["03", "08", "10", "12"])
    def test_any_version_of_pain_002(self, version):
        content = (
            f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.{version}">'
            "<CstmrPmtStsRpt><GrpHdr><MsgId>R7</MsgId></GrpHdr><OrgnlPmtInfAndSts><TxInfAndSts>"
            "<OrgnlEndToEndId>CB1</OrgnlEndToEndId><TxSts>RJCT</TxSts><OrgnlTxRef><Amt>"
            '<InstdAmt Ccy="CNY">86.50</InstdAmt></Amt></OrgnlTxRef></TxInfAndSts>'
            "</OrgnlPmtInfAndSts></CstmrPmtStsRpt></Document>"
        ).encode()

        assert [one.amount_fen for one in read_returns(content, US).returns] == [8_650]


class TestAmounts:
    @pytest.mark.parametrize(
        ("text", "fen"),
        [("1,234.50", 123_450), ("(12.50)", -1_250), ("12.50-", -1_250), ("¥1.00", 100),
         ("-¥2.5", -250), ("−5.00", -500), (".50", 50), ("+3", 300), ("1.00元", 100), ("-0.00", 0)],
    )  # fmt: skip
    def test_each_way_that_has_one_meaning(self, text, fen):
        assert yuan(text) == fen

    @pytest.mark.parametrize(
        "text",
        ["1,23", "1,2345.00", "--3", "(-3)", "-3-", "1.234", "", "-", "1e3", "１２", "1 000"],
    )
    def test_what_could_mean_two_things_means_none(self, text):
        with pytest.raises(Invalid):
            yuan(text)

    @given(st.integers(-(10**12), 10**12))
    def test_every_fen_comes_through_either_way(self, fen):
        assert yuan(yuan_text(fen)) == yuan(format_yuan(fen)) == fen


class TestTimes:
    @pytest.mark.parametrize(
        "text",
        ["2026-11-20 12:00:03", "2026/11/20 12:00:03", "2026.11.20 12:00:03", "20261120120003",
         "2026年11月20日 12:00:03", "2026-11-20T12:00:03+08:00", "2026-11-20T04:00:03Z",
         "2026-11-20T04:00:03.250Z", "2026-11-20 04:00:03 UTC"],
    )  # fmt: skip
    def test_each_way_of_one_moment(self, text):
        assert moment(text, BILLING_ZONE) == datetime(2026, 11, 20, 4, 0, 3, tzinfo=UTC)

    @pytest.mark.parametrize(
        "text", ["20.11.2026 12:00", "2026-11/20 12:00", "2026-11-20", "12:00", "2026-13-20 12:00"]
    )
    def test_what_is_none_is_refused(self, text):
        with pytest.raises(ValueError, match=r"is not a time|must be in"):
            moment(text, BILLING_ZONE)

    def test_a_day_is_a_day_in_any_writing(self):
        for text in ("2026-11-20", "20261120", "2026/11/20", "2026年11月20日"):
            assert is_day(text, DAY)
        assert not is_day("2026-11-21", DAY)


def test_headers_are_the_same_in_either_script_width_and_with_or_without_units():
    written = [
        "商家实收",
        " 商家實收（元） ",
        "商家实收(元)",
        '"商家实收"',
        "\ufeff商家 实收",
        "商家实收：",
    ]

    assert {plain_header(name) for name in written} == {"商家实收"}


@settings(max_examples=200)
@given(st.binary(max_size=300), st.integers(0, 5), st.data())
def test_no_bytes_are_a_fault_of_ours(noise, which, data):
    read, whole = [
        (alipay, BUSINESS.encode("gb18030")), (wechatpay, WECHAT.encode()),
        (unionpay, packed(row())), (stripe, REPORT.encode()), (sandbox, DAY_FILE.encode()),
        (counter, CASH.encode()),
    ][which]  # fmt: skip
    at = data.draw(st.integers(0, len(whole)))
    for content in (noise, whole[:at] + noise + whole[at:], whole[:at] + noise):
        for given_in in (content, gzip.compress(content), archive(("a.csv", content))):
            with suppress(SettlementFileError):
                read(given_in)
