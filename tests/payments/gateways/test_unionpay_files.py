"""UnionPay's files of a day, by rows laid down byte by byte."""

import base64
import io
import zipfile
import zlib
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import SettlementFileError
from payments.gateways.base import SettlementRecord
from payments.gateways.unionpay_files import bundle, inflate, read_bundle
from tests.payments.gateways.unionpay_keys import MER_ID

DAY = date(2026, 11, 20)
SAMPLE = Path(__file__).parents[2] / "data" / "unionpay"


def row(*, amount="000000008650", fee="D000000000052", settled="C000000008598", kind="01",
        number="CB2611000000000001", query_id="202611201000071234567", at="1120100007",
        mer_id=MER_ID, memo="") -> bytes:  # fmt: skip
    """Lay a row down: each field at the byte the notes say it begins at."""
    line = bytearray(b" " * 607)
    laid = {
        0: "S22", 4: "48261000", 16: "48260000", 28: "234567", 35: at, 46: "621700*********0001",
        66: amount, 79: "4900", 84: "07", 87: query_id, 112: number, 145: "01", 166: fee,
        180: settled, 215: kind, 218: "01", 221: "000201", 293: mer_id, 400: memo,
    }  # fmt: skip
    for begin, text in laid.items():
        raw = text.encode("gbk")
        line[begin : begin + len(raw)] = raw
    return bytes(line)


def packed(*rows: bytes, day: date = DAY, mer_id: str = MER_ID, end: bytes = b"\r\n",
           rd: str | None = None, zme: bytes | None = None, zm: bool = True) -> bytes:  # fmt: skip
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        name = f"INN{day:%y%m%d}88"
        if zm:
            archive.writestr(f"{name}ZM_{mer_id}", b"".join(one + end for one in rows))
        if zme is not None:
            archive.writestr(f"{name}ZME_{mer_id}", zme)
        if rd is not None:
            archive.writestr(f"RD{name}_{mer_id}", rd.encode("gbk"))
    return made.getvalue()


def read(content: bytes, day: date = DAY) -> list[SettlementRecord]:
    return read_bundle(io.BytesIO(content), day=day, mer_id=MER_ID)


BACK = row(
    amount="000000001000", fee="C000000000000", settled="D000000001000", kind="04",
    number="R2611000000000001x01", query_id="202611202259597654321", at="1120225959",
)  # fmt: skip
BEFORE = row(
    amount="000000001250", fee="D000000000008", settled="C000000001242", at="1119233000",
    number="CB2611000000000002", query_id="202611192330001111111",
)  # fmt: skip


class TestRows:
    def test_a_payment_a_refund_and_the_evening_before(self):
        assert read(packed(BEFORE, row(), BACK)) == [
            SettlementRecord(
                1, "payment", "CB2611000000000002", "202611192330001111111", 1_250, 8,
                datetime(2026, 11, 19, 15, 30, tzinfo=UTC),
            ),
            SettlementRecord(
                2, "payment", "CB2611000000000001", "202611201000071234567", 8_650, 52,
                datetime(2026, 11, 20, 2, 0, 7, tzinfo=UTC),
            ),
            SettlementRecord(
                3, "refund", "R2611000000000001-01", "202611202259597654321", -1_000, 0,
                datetime(2026, 11, 20, 14, 59, 59, tzinfo=UTC),
            ),
        ]  # fmt: skip

    @pytest.mark.parametrize("end", [b"\r\n", b"\n"])
    def test_lines_end_either_way_and_words_take_two_bytes(self, end):
        assert len(read(packed(row(memo="十月水费"), row(), end=end))) == 2

    def test_a_fee_may_come_back_with_a_refund(self):
        back = row(
            amount="000000001000", fee="C000000000006", settled="D000000000994", kind="04",
            number="R2611000000000001x01",
        )  # fmt: skip

        assert [(one.amount_fen, one.fee_fen) for one in read(packed(back))] == [(-1_000, -6)]

    @pytest.mark.parametrize(
        ("cleared", "at", "year"),
        [
            (date(2027, 1, 1), "1231233000", 2026),
            (date(2027, 1, 1), "0101120000", 2027),
            (date(2028, 2, 29), "0229120000", 2028),
            (date(2028, 3, 1), "0229233000", 2028),
        ],
    )
    def test_the_year_is_of_the_files_name(self, cleared, at, year):
        (one,) = read(packed(row(at=at), day=cleared), cleared)

        assert one.happened_at.year == year

    def test_what_is_neither_is_told_as_other(self):
        void = row(kind="31", settled="D000000008650", fee="C000000000000")

        assert [(one.kind, one.amount_fen) for one in read(packed(void))] == [("other", -8_650)]

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            (row()[:-1], "606 bytes"),
            (row() + b" ", "608 bytes"),
            (b"", "0 bytes"),
            (row()[:78] + b"0" + row()[79:], "no blank"),
            (row(mer_id="777290058100002"), "another merchant"),
            (row(settled="C000000008597"), "settled"),
            (row(settled="C000000008599"), "settled"),
            (row(fee="C000000000052"), "settled"),
            (row(kind="04"), "settled"),
            (row(amount="0000000086.5"), "no amount"),
            (row(amount="+00000008650"), "no amount"),
            (row(fee="X000000000052"), "no amount"),
            (row(fee=" " * 13), "no amount"),
            (row(at="1131100007"), "MMDDhhmmss"),
            (row(at="noon"), "MMDDhhmmss"),
            (row(query_id=""), "queryId"),
            (row(number="水费"), "letters and digits"),
            (row(number="CB\x00"), "control character"),
        ],
    )
    def test_one_wrong_row_refuses_the_file_and_says_where(self, line, why):
        with pytest.raises(SettlementFileError, match=why) as refused:
            read(packed(row(), line, row()))

        assert refused.value.line_no == 2

    @given(st.binary(max_size=700))
    def test_whatever_stands_in_it_is_refused_or_read(self, raw):
        try:
            rows = read(packed(raw))
        except SettlementFileError:
            return
        assert rows == [] or len(raw) >= 607


RD = "商户清算汇总\r\n合计  {}\r\n"


class TestSample:
    def test_a_whole_day_as_it_comes(self):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            for path in SAMPLE.iterdir():
                if path.suffix != ".md":
                    archive.writestr(path.name, path.read_bytes())

        rows = read(made.getvalue())

        assert [(one.kind, one.reference, one.amount_fen, one.fee_fen) for one in rows] == [
            ("payment", "CB2611000000000002", 1_250, 8),
            ("payment", "CB2611000000000001", 8_650, 52),
            ("payment", "CB2611000000000003", 990, 6),
            ("refund", "R2611000000000001-01", -1_000, 0),
        ]


class TestTotals:
    @pytest.mark.parametrize(
        "figures",
        [
            "2  76.50  -0.52  75.98",
            "76.50,-0.52,75.98",
            "笔数 2 金额 76.50 手续费 -0.52 净额 75.98",
        ],
    )
    def test_they_add_up(self, figures):
        assert len(read(packed(row(), BACK, rd=RD.format(figures)))) == 2

    @pytest.mark.parametrize(
        "figures",
        ["76.51  -0.52  75.98", "76.49 -0.52 75.98", "76.50  0.52  75.98", "76.50  -0.52  75.99"],
    )
    def test_a_fen_off_refuses_the_file(self, figures):
        with pytest.raises(SettlementFileError, match="RD says") as refused:
            read(packed(row(), BACK, rd=RD.format(figures)))

        assert refused.value.line_no == 2

    def test_separators_are_read(self):
        much = row(amount="000001322700", fee="D000000007936", settled="C000001314764")

        assert read(packed(much, rd=RD.format("13,227.00  -79.36  13,147.64")))
        with pytest.raises(SettlementFileError):
            read(packed(much, rd=RD.format("3,227.00  -79.36  13,147.64")))

    def test_a_row_that_was_lost_shows(self):
        with pytest.raises(SettlementFileError, match="RD says"):
            read(packed(row(), rd=RD.format("76.50  -0.52  75.98")))

    @pytest.mark.parametrize(
        "text", ["", "无", "合计 2 笔\n", "合计 1.00 2.00\n", "金额 1.00 2.00 3.00\n"]
    )
    def test_a_summary_of_another_layout_is_left_alone(self, text):
        assert len(read(packed(row(), rd=text))) == 1


ZME = (
    b"E30 48261000    48260000    234568 1120110000 621700*********0001 000000000500 4900 07 01 "
    b"234567 1120100007 1120 000000008650 D000000000003 C000000000503                 "
    b"777290058100001   000000000000    "
).ljust(339)


class TestAdjustments:
    def test_they_are_rows_for_a_person(self):
        settled = ZME.replace(b"D000000000003 C000000000503", b"D000000000003 C000000000497")

        rows = read(packed(row(), zme=settled + b"\r\n"))

        assert [(one.kind, one.line_no) for one in rows] == [("payment", 1), ("other", 2)]
        assert (rows[1].reference, rows[1].amount_fen, rows[1].fee_fen) == ("", 500, 3)

    def test_another_width_refuses_the_file(self):
        with pytest.raises(SettlementFileError, match="339"):
            read(packed(row(), zme=ZME + b" \r\n"))

    def test_an_empty_one_is_no_row(self):
        assert len(read(packed(row(), zme=b""))) == 1


class TestDays:
    def test_both_days_of_a_bundle_make_the_shanghai_day(self):
        last_hour = row(at="1120233000", number="CB2611000000000003")
        next_day = row(at="1121090000", number="CB2611000000000004")
        whole = bundle(
            {DAY: packed(BEFORE, row()), date(2026, 11, 21): packed(
                last_hour, next_day, day=date(2026, 11, 21))},
            mer_id=MER_ID,
        )  # fmt: skip

        rows = read(whole)

        assert [one.reference[-1] for one in rows] == ["1", "3"]
        assert len({one.line_no for one in rows}) == 2

    @pytest.mark.parametrize("wrong", [0, 1])
    def test_each_of_a_bundle_is_held_against_its_own_totals(self, wrong):
        days = [DAY, date(2026, 11, 21)]
        rows = [row(), row(at="1120233000")]
        texts = [RD.format("1  86.50  -0.52  85.98"), RD.format("1  86.51  -0.52  85.98")]
        if wrong == 0:
            texts.reverse()
        parts = {
            day: packed(one, day=day, rd=rd) for day, one, rd in zip(days, rows, texts, strict=True)
        }

        with pytest.raises(SettlementFileError, match="RD says 8651"):
            read(bundle(parts, mer_id=MER_ID))

    def test_a_day_without_orders_is_empty_in_it(self):
        whole = bundle({DAY: packed(BEFORE, row()), date(2026, 11, 21): b""}, mer_id=MER_ID)

        assert [one.reference[-1] for one in read(whole)] == ["1"]

    @pytest.mark.parametrize("day", [date(2026, 11, 19), date(2026, 11, 21), date(2025, 11, 20)])
    def test_another_days_is_refused(self, day):
        with pytest.raises(SettlementFileError, match="2026-11-20"):
            read(packed(row()), day)

    def test_another_merchants_is_refused(self):
        with pytest.raises(SettlementFileError, match="another merchant"):
            read(packed(row(), mer_id="777290058100002"))

    def test_one_without_its_payments_is_refused(self):
        with pytest.raises(SettlementFileError, match="ZM of 261120 is missing"):
            read(packed(zme=b"", zm=False))

    def test_an_impossible_day_is_refused(self):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            archive.writestr(f"INN26113188ZM_{MER_ID}", row())
        with pytest.raises(SettlementFileError, match="261131"):
            read(made.getvalue())


class TestZip:
    @pytest.mark.parametrize("content", [b"", row(), b"PK\x03\x04", packed(row())[:-30]])
    def test_what_is_no_whole_zip_is_refused(self, content):
        with pytest.raises(SettlementFileError):
            read(content)

    def test_too_many_files_are_refused(self):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            for at in range(101):
                archive.writestr(f"{at}.txt", b"")
        with pytest.raises(SettlementFileError, match="100 files"):
            read(made.getvalue())

    def test_an_empty_zip_has_no_file_of_the_day(self):
        made = io.BytesIO()
        zipfile.ZipFile(made, "w").close()
        with pytest.raises(SettlementFileError, match="nothing"):
            read(made.getvalue())

    def test_it_comes_deflated_and_in_base64(self):
        content = packed(row())
        text = base64.b64encode(zlib.compress(content)).decode()

        assert inflate(text) == content
        for wrong in ("", text[:-8], "x" + text, base64.b64encode(content).decode(),
                      base64.b64encode(zlib.compress(b"no zip")).decode()):  # fmt: skip
            assert inflate(wrong) is None
