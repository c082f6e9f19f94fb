"""WeChat Pay's bill files of every shape, by hand: ``docs/wire/wechatpay.md``."""

import gzip
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from core.errors import SettlementFileError
from core.money import yuan_text
from payments.gateways.base import SettlementRecord
from payments.gateways.wechatpay_bills import trade_rows
from payments.gateways.wechatpay_fund import FundRecord, fund_rows

DAY, MCHID = date(2026, 11, 20), "1900000001"
ALL = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,"
    "付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,"
    "退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
)
OF_REFUNDS = ("微信退款单号", "商户退款单号", "退款金额", "充值券退款金额", "退款类型", "退款状态",
              "申请退款金额")  # fmt: skip
SUCCESS = ",".join(name for name in ALL.split(",") if name not in OF_REFUNDS)
REFUND = ALL.replace("微信退款单号", "退款申请时间,退款成功时间,微信退款单号")
OLD = (
    "交易时间：,公众账号ID,商户号,子商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,"
    "付款银行,货币种类,总金额,代金券或立减优惠金额,微信退款单号,商户退款单号,退款金额,"
    "代金券或立减优惠退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率"
)
TOTALS = (
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
)
OLD_TOTALS = "总交易单数,总交易额,总退款金额,总代金券或立减优惠退款金额,手续费总金额"
SUCCESS_TOTALS = "总交易单数,应结订单总金额,手续费总金额,订单总金额"

SALE = {
    "交易时间": "2026-11-20 12:00:03", "公众账号ID": "wx1", "商户号": MCHID, "特约商户号": "0",
    "微信订单号": "4200001", "商户订单号": "CB1", "用户标识": "oZhang", "交易类型": "NATIVE",
    "交易状态": "SUCCESS", "付款银行": "OTHERS", "货币种类": "CNY", "应结订单金额": "86.50",
    "代金券金额": "0.00", "微信退款单号": "0", "商户退款单号": "0", "退款金额": "0.00",
    "充值券退款金额": "0.00", "商品名称": "水费, 电费", "手续费": "0.51900", "费率": "0.60%",
    "订单金额": "86.50", "申请退款金额": "0.00",
}  # fmt: skip
BACK = SALE | {
    "交易状态": "REFUND", "应结订单金额": "0.00", "微信退款单号": "50300001", "商户退款单号": "R1",
    "退款金额": "12.50", "退款类型": "ORIGINAL", "退款状态": "SUCCESS", "手续费": "-0.07500",
    "订单金额": "0.00", "申请退款金额": "12.50", "交易时间": "2026-11-20 13:30:00",
}  # fmt: skip
GOOD = "2.0,86.50,12.50,0.00,0.44400,86.50,12.50"


def a_line(header: str, values: dict[str, str]) -> str:
    old = {"总金额": "应结订单金额", "子商户号": "特约商户号"}
    names = [name.rstrip("：") for name in header.split(",")]
    return ",".join(f"`{values.get(old.get(name, name), '')}" for name in names)


def a_bill(
    header: str, lines: Sequence[dict[str, str]], names: str, totals: str, end: str = "\r\n"
) -> bytes:
    told = ",".join(f"`{value}" for value in totals.split(","))
    rows = [header, *(a_line(header, one) for one in lines), names, told]
    return end.join([*rows, ""]).encode()


def rows(content: bytes, day: date = DAY) -> list[SettlementRecord]:
    return trade_rows(content, day=day, mchid=MCHID)


class TestShapes:
    def test_all_trades_in_27_columns(self):
        assert len(ALL.split(",")) == 27

        paid, back = rows(a_bill(ALL, [SALE, BACK], TOTALS, GOOD))

        assert paid == SettlementRecord(
            2, "payment", "CB1", "4200001", 8_650, 52, datetime(2026, 11, 20, 4, 0, 3, tzinfo=UTC),
        )  # fmt: skip
        assert back == SettlementRecord(
            3, "refund", "R1", "50300001", -1_250, -8, datetime(2026, 11, 20, 5, 30, tzinfo=UTC),
        )  # fmt: skip

    def test_payments_alone_in_20_columns(self):
        assert len(SUCCESS.split(",")) == 20

        (paid,) = rows(a_bill(SUCCESS, [SALE], SUCCESS_TOTALS, "1,86.50,0.51900,86.50"))

        assert (paid.reference, paid.amount_fen) == ("CB1", 8_650)

    def test_refunds_alone_in_29_columns_on_the_day_they_were_asked_for(self):
        assert len(REFUND.split(",")) == 29
        back = BACK | {
            "交易时间": "2026-11-02 09:00:00", "退款申请时间": "2026-11-20 13:30:00",
            "退款成功时间": "2026-11-21 00:10:00",
        }  # fmt: skip

        (found,) = rows(a_bill(REFUND, [back], TOTALS, "1.0,0.0,12.5,0.0,-0.07500,0.0,12.5"))

        assert (found.kind, found.amount_fen) == ("refund", -1_250)
        assert found.happened_at == datetime(2026, 11, 20, 5, 30, tzinfo=UTC)

    def test_the_old_one_in_24_columns_with_colons_of_full_width(self):
        assert len(OLD.split(",")) == 24

        paid, back = rows(a_bill(OLD, [SALE, BACK], OLD_TOTALS, "2,86.50,12.50,0.00,0.44400"))

        assert (paid.amount_fen, back.amount_fen) == (8_650, -1_250)

    def test_columns_in_another_order(self):
        header = ",".join(reversed(ALL.split(",")))

        assert rows(a_bill(header, [SALE, BACK], TOTALS, GOOD)) == rows(
            a_bill(ALL, [SALE, BACK], TOTALS, GOOD)
        )

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    @pytest.mark.parametrize("packed", [False, True])
    def test_with_or_without_a_byte_order_mark_any_line_end_and_gzip(self, end, mark, packed):
        content = mark + a_bill(ALL, [SALE, BACK], TOTALS, GOOD, end)

        assert len(rows(gzip.compress(content) if packed else content)) == 2

    def test_a_day_without_trades(self):
        assert rows(a_bill(ALL, [], TOTALS, "0,0.0,0.0,0.0,0.0,0.0,0.0")) == []


class TestLines:
    def test_what_is_settled_counts_and_not_what_was_ordered(self):
        sale = SALE | {"应结订单金额": "80.00", "代金券金额": "6.50"}

        (paid,) = rows(a_bill(ALL, [sale], TOTALS, "1,80.00,0.00,0.00,0.51900,86.50,0.00"))

        assert paid.amount_fen == 8_000

    @pytest.mark.parametrize(
        ("fee", "fee_fen"),
        [("0.00499", 0), ("0.00500", 1), ("0.01499", 1), ("0.01500", 2), ("-0.00500", -1),
         ("-0.00499", 0), ("0", 0)],
    )  # fmt: skip
    def test_a_fee_of_five_decimals_is_rounded_half_up(self, fee, fee_fen):  # rule 1
        sale = SALE | {"手续费": fee}

        (paid,) = rows(a_bill(ALL, [sale], TOTALS, f"1,86.50,0.00,0.00,{fee},86.50,0.00"))

        assert paid.fee_fen == fee_fen

    def test_a_refund_that_stands_again_once_it_is_done_is_one(self):
        pending = BACK | {"退款状态": "PROCESSING"}
        totals = "3.0,86.50,25.00,0.00,0.36900,86.50,25.00"

        found = rows(a_bill(ALL, [SALE, pending, BACK], TOTALS, totals))

        assert [(one.line_no, one.kind) for one in found] == [(2, "payment"), (4, "refund")]

    def test_a_refund_under_way_is_gone_from_the_account_all_the_same(self):
        pending = BACK | {"退款状态": "PROCESSING"}

        _, back = rows(a_bill(ALL, [SALE, pending], TOTALS, GOOD))

        assert (back.kind, back.amount_fen) == ("refund", -1_250)

    def test_a_refund_that_came_back_is_none(self):
        _, back = rows(a_bill(ALL, [SALE, BACK | {"退款状态": "FAIL"}], TOTALS, GOOD))

        assert back.kind == "other"

    def test_what_was_paid_twice_stands_twice(self):  # rule 39
        totals = "2,173.00,0.00,0.00,1.03800,173.00,0.00"

        assert len(rows(a_bill(ALL, [SALE, SALE], TOTALS, totals))) == 2

    @pytest.mark.parametrize(
        ("change", "column"),
        [
            ({"交易时间": "2026-11-21 00:00:00"}, "交易时间"),
            ({"交易时间": "20.11.2026 12:00"}, "交易时间"),
            ({"交易时间": "0001-01-01 00:00:00"}, "交易时间"),
            ({"商户号": "1900000009"}, "商户号"),
            ({"货币种类": "USD"}, "货币种类"),
            ({"交易状态": "PAID"}, "交易状态"),
            ({"手续费": "0.519000"}, "手续费"),
            ({"手续费": "５"}, "手续费"),
            ({"应结订单金额": "86.500"}, "应结订单金额"),
            ({"商户订单号": ""}, "商户订单号"),
            ({"商户订单号": "CB\x001"}, "商户订单号"),
        ],
    )
    def test_one_that_cannot_be_right_refuses_the_file_and_names_its_place(self, change, column):
        content = a_bill(ALL, [SALE | change], TOTALS, "1,86.50,0.00,0.00,0.51900,86.50,0.00")

        with pytest.raises(SettlementFileError) as refused:
            rows(content)

        assert (refused.value.column, refused.value.line_no) == (column, 2)

    def test_a_negative_refund_would_be_money_in(self):
        back = BACK | {"退款金额": "-12.50", "申请退款金额": "-12.50"}

        with pytest.raises(SettlementFileError, match="positive"):
            rows(a_bill(ALL, [SALE, back], TOTALS, "2,86.50,-12.50,0.00,0.44400,86.50,-12.50"))


class TestTotals:
    @pytest.mark.parametrize("told", ["0.44400", "0.44", "0.45"])
    def test_the_fees_total_may_be_rounded_or_cut_off(self, told):
        assert rows(a_bill(ALL, [SALE, BACK], TOTALS, GOOD.replace("0.44400", told)))

    @pytest.mark.parametrize("told", ["0.44401", "0.43", "0.46"])
    def test_another_total_of_the_fees_refuses_the_file(self, told):
        with pytest.raises(SettlementFileError, match="add up"):
            rows(a_bill(ALL, [SALE, BACK], TOTALS, GOOD.replace("0.44400", told)))

    @pytest.mark.parametrize("at", range(7))
    def test_each_one_that_does_not_add_up_refuses_the_file(self, at):  # rule 40
        totals = GOOD.split(",")
        totals[at] = str(Decimal(totals[at]) + Decimal("1.00"))

        with pytest.raises(SettlementFileError, match="add up"):
            rows(a_bill(ALL, [SALE, BACK], TOTALS, ",".join(totals)))

    @pytest.mark.parametrize("name", ["总交易单数", "应结订单总金额", "退款总金额", "手续费总金额"])
    def test_one_that_is_missing_refuses_the_file(self, name):
        at = TOTALS.split(",").index(name)
        names = [one for one in TOTALS.split(",") if one != name]
        totals = [one for place, one in enumerate(GOOD.split(",")) if place != at]

        with pytest.raises(SettlementFileError, match=name):
            rows(a_bill(ALL, [SALE, BACK], ",".join(names), ",".join(totals)))

    @given(some.lists(some.tuples(some.integers(1, 10**7), some.integers(0, 10**6)), max_size=6),
           some.integers(-3, 3))  # fmt: skip
    def test_a_file_is_read_exactly_when_its_money_adds_up(self, sales, off):
        lines = [
            SALE | {"应结订单金额": yuan_text(fen), "订单金额": yuan_text(fen),
                    "手续费": f"{Decimal(fee).scaleb(-5):f}"}
            for fen, fee in sales
        ]  # fmt: skip
        total_fen = sum(fen for fen, _ in sales)
        fees = f"{Decimal(sum(fee for _, fee in sales)).scaleb(-5):f}"
        told = yuan_text(total_fen + off) if total_fen + off >= 0 else "0.00"
        totals = f"{len(sales)},{told},0.00,0.00,{fees},{yuan_text(total_fen)},0.00"
        content = a_bill(ALL, lines, TOTALS, totals)

        if told == yuan_text(total_fen):
            assert sum(one.amount_fen for one in rows(content)) == total_fen
        else:
            with pytest.raises(SettlementFileError):
                rows(content)


class TestFiles:
    WHOLE = a_bill(ALL, [SALE, BACK], TOTALS, GOOD)

    @pytest.mark.parametrize(
        "content",
        [
            b"", b"\xff\xfe", b"<xml><return_code>FAIL</return_code></xml>",
            b'{"code":"NO_STATEMENT_EXIST"}', WHOLE[:300], gzip.compress(WHOLE)[:200],
            WHOLE.replace("交易状态".encode(), "交易时间".encode()),
            WHOLE.replace("商户订单号".encode(), "別".encode()),
            WHOLE.replace(b",`0.60%", b"", 1), WHOLE.replace(b"`2026", b"2026", 1),
            WHOLE + b"`1\r\n",
        ],
    )  # fmt: skip
    def test_what_is_no_bill_or_half_of_one_is_refused(self, content):
        with pytest.raises(SettlementFileError):
            rows(content)

    def test_any_part_of_a_file_is_refused(self):
        lines = self.WHOLE.split(b"\r\n")
        for gone in range(len(lines) - 1):
            with pytest.raises(SettlementFileError):
                rows(b"\r\n".join(lines[:gone] + lines[gone + 1 :]))

    @given(some.integers(0, len(WHOLE) - 1), some.binary(max_size=4))
    def test_what_was_changed_on_the_way_is_refused_or_has_the_same_money(self, at, other):
        spoilt = self.WHOLE[:at] + other + self.WHOLE[at + len(other) + 1 :]

        with suppress(SettlementFileError):
            assert sum(one.amount_fen for one in rows(spoilt)) == 8_650 - 1_250

    def test_another_days_file_is_refused(self):
        with pytest.raises(SettlementFileError, match="another day"):
            rows(self.WHOLE, date(2026, 11, 19))


FUND = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额（元）,账户结余（元）,"
    "资金变更提交申请人,备注,业务凭证号"
)
FUND_TOTALS = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"
IN = "`2026-11-20 12:00:03,`4200001,`1001,`交易,`交易,`收入,`86.50,`186.50,`system,`,`CB1"
FEE = "`2026-11-20 12:00:03,`4200001,`1002,`扣除交易手续费,`手续费,`支出,`0.52,`185.98,`s,`,`CB1"
OUT = "`2026-11-20 13:30:00,`50300001,`1003,`退款,`退款,`支出,`12.43,`173.55,`s,`退款总金额,`R1"


def a_fund_bill(lines: Sequence[str], totals: str, header: str = FUND) -> bytes:
    return "\n".join([header, *lines, FUND_TOTALS, totals, ""]).encode()


def movements(content: bytes, day: date = DAY) -> list[FundRecord]:
    return fund_rows(content, day=day)


class TestFundBill:
    TOLD = "`3,`1,`86.50,`2,`12.95"

    def test_a_payment_is_two_movements_and_a_refund_one(self):
        came, fee, back = movements(a_fund_bill([IN, FEE, OUT], self.TOLD))

        assert [came.amount_fen, fee.amount_fen, back.amount_fen] == [8_650, -52, -1_243]
        assert (back.business_ref, back.voucher_no, back.balance_fen) == ("50300001", "R1", 17_355)
        assert came.booked_at == datetime(2026, 11, 20, 4, 0, 3, tzinfo=UTC)

    def test_brackets_of_either_width(self):
        plain = FUND.replace("（", "(").replace("）", ")")

        assert len(movements(a_fund_bill([IN, FEE, OUT], self.TOLD, plain))) == 3

    def test_a_balance_that_does_not_follow_is_a_missing_line(self):
        with pytest.raises(SettlementFileError, match="balance"):
            movements(a_fund_bill([IN, OUT], "`2,`1,`86.50,`1,`12.43"))

    @pytest.mark.parametrize(
        "totals",
        ["`4,`1,`86.50,`2,`12.95", "`3,`2,`86.50,`2,`12.95", "`3,`1,`86.51,`2,`12.95",
         "`3,`1,`86.50,`1,`12.95", "`3,`1,`86.50,`2,`12.94", "`2,`1,`86.50,`1,`0.52"],
    )  # fmt: skip
    def test_totals_that_do_not_add_up_refuse_the_file(self, totals):
        with pytest.raises(SettlementFileError, match="add up"):
            movements(a_fund_bill([IN, FEE, OUT], totals))

    @pytest.mark.parametrize(("old", "new"), [("收入,", "转入,"), ("`86.50,`1", "`-86.50,`1")])
    def test_a_movement_goes_in_or_out_and_has_no_sign(self, old, new):
        with pytest.raises(SettlementFileError, match="without a sign"):
            movements(a_fund_bill([IN.replace(old, new), FEE, OUT], self.TOLD))

    def test_another_days_is_refused(self):
        with pytest.raises(SettlementFileError, match="another day"):
            movements(a_fund_bill([IN, FEE, OUT], self.TOLD), date(2026, 11, 19))
