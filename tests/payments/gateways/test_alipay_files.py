"""Alipay's bills: files written by hand, each quirk and each way to be wrong."""

import io
import zipfile
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import SettlementFileError
from core.money import yuan_text
from payments.gateways import alipay_frames
from payments.gateways.alipay_files import FundRow, read_fund_bill, read_trade_bill
from payments.gateways.base import SettlementRecord

DATA = Path(__file__).parents[2] / "data" / "alipay"
DAY = date(2026, 11, 19)
SELLER_ID = "2088000000000001"
BUSINESS, SUMMARY, FUNDS = (
    (DATA / f"{name}.csv").read_bytes().decode("gb18030")
    for name in ("business", "summary", "funds")
)
NAME = "20880000000000010156_20261119_业务明细"


class GbkNamed(zipfile.ZipInfo):
    """A member named in GBK without saying so."""

    def _encodeFilenameFlags(self):
        return self.filename.encode("gbk"), self.flag_bits


def zipped(*texts: str, names: tuple[str, ...] = (f"{NAME}.csv", f"{NAME}(汇总).csv")) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in zip(names, texts, strict=False):
            archive.writestr(GbkNamed(name), text.encode("gb18030"), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def read(content: bytes | str, day: date = DAY) -> list[SettlementRecord]:
    raw = content.encode("gb18030") if isinstance(content, str) else content
    return read_trade_bill(io.BytesIO(raw), day=day, seller_id=SELLER_ID)


def read_funds(text: str) -> list[FundRow]:
    return read_fund_bill(io.BytesIO(text.encode("gb18030")), day=DAY, seller_id=SELLER_ID)


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


ZIPPED = zipped(BUSINESS, SUMMARY)
READ = read(ZIPPED)


class TestTheBusinessBill:
    def test_a_payment_and_a_refund_in_our_words(self):
        rows = read(zipped(BUSINESS, SUMMARY))

        assert rows[0] == SettlementRecord(
            line_no=6, kind="payment", reference="CB2611000000000001",
            gateway_ref="2026111922001400000000000001", amount_fen=8_650, fee_fen=52,
            happened_at=datetime(2026, 11, 18, 16, 0, 7, tzinfo=UTC),
        )  # fmt: skip
        assert rows[3] == SettlementRecord(
            line_no=9, kind="refund", reference="R2611000000000002-01",
            gateway_ref="2026111922001400000000000002:R2611000000000002-01",
            amount_fen=-100_000, fee_fen=-600,
            happened_at=datetime(2026, 11, 19, 15, 59, 59, tzinfo=UTC),
        )  # fmt: skip
        assert [row.fee_fen for row in rows] == [52, 750, 0, -600]

    def test_the_list_alone_is_read_too(self):
        assert read(BUSINESS) == read(zipped(BUSINESS, SUMMARY))

    def test_utf_8_with_its_mark_is_read_too(self):
        assert read(BUSINESS.encode("utf-8-sig")) == read(BUSINESS)

    def test_either_order_of_the_members_and_line_ends_of_windows(self):
        assert read(zipped(SUMMARY, BUSINESS.replace("\n", "\r\n"))) == read(BUSINESS)

    def test_columns_go_by_name(self):
        swapped = "\n".join(
            ",".join([*cells[1:], cells[0]]) if len(cells := line.split(",")) == 25 else line
            for line in BUSINESS.split("\n")
        )

        assert read(swapped) == read(BUSINESS)

    def test_half_width_headers_and_frames_are_the_same(self):
        half = BUSINESS.translate(str.maketrans("（），：", "(),:"))

        assert read(half) == read(BUSINESS)

    def test_an_empty_day_is_no_rows(self):
        assert read(bill_of([])) == []

    def test_a_kind_of_business_we_do_not_know_is_kept_as_other(self):
        row = BUSINESS.split("\n")[5]
        other = changed(row, "交易\t", "转账\t")

        rows = read(changed(BUSINESS, row, f"{row}\n{other}"))

        assert [one.kind for one in rows][:2] == ["payment", "other"]


class TestFees:
    """Whether a fee above zero costs or gives is told by the summary, else by the rows."""

    POSITIVE = BUSINESS.replace(",-0.52,", ",0.52,").replace(",-7.50,", ",7.50,")
    POSITIVE = POSITIVE.replace("\t,6.00,", "\t,-6.00,")

    def test_both_ways_of_writing_them_mean_the_same(self):
        summary = SUMMARY.replace("-2.02", "2.02")

        def facts(rows: list[SettlementRecord]) -> list[int]:
            return [row.fee_fen for row in rows]

        assert facts(read(zipped(self.POSITIVE, summary))) == facts(read(BUSINESS))
        assert facts(read(self.POSITIVE)) == facts(read(BUSINESS))

    def test_the_summary_decides_against_the_look_of_the_rows(self):
        given_back = SUMMARY.replace("334.47", "338.51")  # fees below zero are given to us

        assert [row.fee_fen for row in read(zipped(BUSINESS, given_back))] == [-52, -750, 0, 600]

    @pytest.mark.parametrize("net", ["334.46", "334.48", "336.49"])
    def test_a_net_that_does_not_add_up_refuses_the_file(self, net):
        with pytest.raises(SettlementFileError, match="after fees"):
            read(zipped(BUSINESS, SUMMARY.replace("334.47", net)))

    def test_both_signs_and_no_summary_are_refused(self):
        with pytest.raises(SettlementFileError, match="some fees are above zero"):
            read(BUSINESS.replace(",-7.50,", ",7.50,"))

    def test_a_zero_below_zero_is_a_zero(self):
        text = BUSINESS.replace(",-0.52,", ",-0.00,")

        assert read(text)[0].fee_fen == 0


class TestRefusedWhole:
    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ("#支付宝业务明细查询", "#支付宝业务查询", "line 1: .*支付宝业务明细查询"),
            ("20880000000000010156", "20880000000000020156", "line 2: .*another's"),
            ("[2026年11月19日", "[2026年11月18日", "line 3: .*another day"),
            ("终止日期：[2026年11月20日", "终止日期：[2026年11月21日", "line 3"),
            ("业务明细列表结束", "业务明细", "cut short"),
            ("#交易合计", "#合计", "交易合计.* is missing"),
            ("#退款合计", "#交易合计", "交易合计.* twice|退款合计"),
            ("2笔，商家实收共1336.50", "3笔，商家实收共1336.50", "line 11: the total says 3"),
            ("共1336.50元", "共1336.51元", "line 11: the total says 2 and 133651"),
            ("共1336.50元", "共1336.49元", "line 11: the total says 2 and 133649"),
            ("共-1000.01元", "共1000.01元", "line 12: the total says"),
            ("共1336.50元", "共1336.505元", "line 11: the total cannot be read"),
            (",1250.00,1250.00,", ",1250.00,1249.99,", "line 11: the total says"),
            (",86.50,86.50,", ",86.50,８6.50,", "line 6: unreadable row"),
            (",86.50,86.50,", ",86.50,-86.50,", "line 6, column 商家实收"),
            ("2026-11-19 00:00:07", "19.11.2026", "line 6: unreadable row"),
            ("Utility bills,", "Utility, bills,", "line 6: 26 fields"),
            ("商家实收（元）", "实收（元）", "column 商家实收.元.: there is no such column"),
            ("商家实收（元）", "订单金额（元）", "line 5: a column stands there twice"),
            ("CB2611000000000001", "CB\x002611", "line 6: a control character"),
        ],
    )
    def test_with_the_place_and_what_is_wrong(self, old, new, says):
        with pytest.raises(SettlementFileError) as refused:
            read(changed(BUSINESS, old, new))

        assert refused.match(says)

    def test_another_days_file(self):
        with pytest.raises(SettlementFileError, match="another day"):
            read(BUSINESS, day=date(2026, 11, 20))

    @pytest.mark.parametrize("at", [10, 300, 900, 1_500])
    def test_one_that_was_cut_short(self, at):
        with pytest.raises(SettlementFileError):
            read(BUSINESS.encode("gb18030")[:at])

    @pytest.mark.parametrize(
        "content", [b"", b"\xff\xff", b"PK\x03\x04", "﻿".encode(), b"\x00" * 99]
    )
    def test_what_is_no_bill_at_all(self, content):
        with pytest.raises(SettlementFileError):
            read(content)

    def test_two_lists_in_one_zip(self):
        with pytest.raises(SettlementFileError, match="2 times"):
            read(zipped(BUSINESS, BUSINESS))

    def test_a_summary_of_another_day_or_count(self):
        with pytest.raises(SettlementFileError, match="another day"):
            read(zipped(BUSINESS, SUMMARY.replace("11月19日", "11月18日")))
        with pytest.raises(SettlementFileError, match="counts 3 payments"):
            read(zipped(BUSINESS, SUMMARY.replace(",2,2,", ",3,2,")))
        with pytest.raises(SettlementFileError, match="合计"):
            read(zipped(BUSINESS, SUMMARY.replace("合计\t", "总计\t")))


class TestBombs:
    @pytest.mark.parametrize(
        "name", ["../业务明细.csv", "/etc/业务明细.csv", "..\\x.csv", "a/../../x.csv", "C:x.csv"]
    )
    def test_a_name_that_leaves_its_folder_refuses_the_zip(self, name):
        with pytest.raises(SettlementFileError, match="outside its folder"):
            read(zipped(BUSINESS, names=(name,)))

    def test_one_that_unpacks_to_more_than_a_bill_is_refused(self, monkeypatch):
        monkeypatch.setattr(alipay_frames, "MAX_BYTES", 1 << 20)
        bomb = zipped(BUSINESS, "0" * (1 << 20))
        assert len(bomb) < 10_000

        with pytest.raises(SettlementFileError, match="unpacks to more than"):
            read(bomb)

    def test_what_a_zip_says_of_its_size_is_not_believed(self, monkeypatch):
        monkeypatch.setattr(alipay_frames, "MAX_BYTES", 1 << 20)
        bomb = zipped("0" * (2 << 20))
        size = (2 << 20).to_bytes(4, "little")
        assert size in bomb

        with pytest.raises(SettlementFileError):
            read(bomb.replace(size, (1_000).to_bytes(4, "little")))

    def test_too_many_members_are_refused(self):
        names = tuple(f"{at}.csv" for at in range(101))

        with pytest.raises(SettlementFileError, match="more than 100"):
            read(zipped(*["x"] * 101, names=names))

    @settings(max_examples=300)
    @given(st.data())
    def test_one_that_is_damaged_is_refused_or_reads_the_same(self, data):
        whole = bytearray(ZIPPED)
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(whole) - 1))
            whole[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))

        with suppress(SettlementFileError):
            assert read(bytes(whole)) == READ

    def test_one_that_is_locked_is_refused(self):
        whole = bytearray(zipped(BUSINESS))
        whole[6] |= 1  # the flag of encryption, in the member and in the list of members
        at = whole.index(b"PK\x01\x02")
        whole[at + 8] |= 1

        with pytest.raises(SettlementFileError, match="cannot be unpacked"):
            read(bytes(whole))

    def test_what_is_no_csv_is_left_alone(self):
        with_more = zipped(BUSINESS, "x", names=(f"{NAME}.csv", "readme.txt"))

        assert read(with_more) == read(BUSINESS)


class TestTheFundBill:
    def test_a_payment_is_what_came_and_the_fee_that_went(self):
        rows = read_funds(FUNDS)

        assert [(row.kind, row.amount_fen, row.balance_fen) for row in rows] == [
            ("在线支付", 8_650, 1_008_650), ("收费", -52, 1_008_598), ("退款", -1, 1_008_597),
        ]  # fmt: skip
        assert rows[0].order_no == "CB2611000000000001"
        assert rows[0].trade_no == "2026111922001400000000000001"
        assert rows[0].happened_at == datetime(2026, 11, 18, 16, 0, 7, tzinfo=UTC)

    def test_what_went_may_be_written_with_or_without_its_sign(self):
        bare = FUNDS.replace(",-0.52,", ",0.52,").replace("共-0.53元", "共0.53元")

        assert read_funds(bare) == read_funds(FUNDS)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("#支出合计：2笔", "#支出合计：1笔"), ("共-0.53元", "共-0.52元"),
            ("共86.50元", "共86.51元"), ("#收入合计", "#合计"), ("账务明细列表结束", ""),
            (",86.50,0.00,", ",86.50,0.01,"), (",86.50,0.00,", ",0.00,0.00,"),
            (",86.50,0.00,", ",-86.50,0.00,"), ("#支付宝账务明细查询", "#支付宝业务明细查询"),
            ("账户余额（元）", "余额"),
        ],
    )  # fmt: skip
    def test_what_does_not_add_up_is_refused(self, old, new):
        with pytest.raises(SettlementFileError):
            read_funds(changed(FUNDS, old, new))


def bill_of(amounts: list[int], wrong_fen: int = 0) -> str:
    """Write a bill of payments and refunds by their signs; ``wrong_fen`` is off in a total."""
    top, rows = BUSINESS.split("\n")[:5], []
    for at, fen in enumerate(amounts):
        kind, request_no = ("交易", "") if fen > 0 else ("退款", f"R{at}")
        yuan = yuan_text(fen)
        rows.append(
            f"T{at}\t,CB{at}\t,{kind}\t,x,2026-11-19 10:00:00,2026-11-19 10:00:07,,,,,x\t,{yuan},"
            f"{yuan},0,0,0,0,0,,0\t,0,{request_no}\t,0.00,0.00,"
        )
    paid, back = [f for f in amounts if f > 0], [f for f in amounts if f < 0]
    paid_text, back_text = yuan_text(sum(paid) + wrong_fen), yuan_text(sum(back))
    return "\n".join([
        *top, *rows, "#---业务明细列表结束---",
        f"#交易合计：{len(paid)}笔，商家实收共{paid_text}元，商家优惠共0.00元",
        f"#退款合计：{len(back)}笔，商家实收退款共{back_text}元，商家优惠退款共0.00元",
    ])  # fmt: skip


amounts = st.lists(st.integers(-(10**9), 10**9).filter(bool), max_size=20)


@given(amounts)
def test_every_fen_of_a_bill_arrives(found):
    assert [row.amount_fen for row in read(bill_of(found))] == found


@given(amounts, st.sampled_from([-1, 1]))
def test_a_total_one_fen_off_refuses_it(found, off):
    with pytest.raises(SettlementFileError):
        read(bill_of(found, off))
