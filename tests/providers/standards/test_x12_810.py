"""X12 810 interchanges: separators, what envelopes promise, and what an invoice becomes."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BillFileError
from providers.base import (
    BillRecord,
    Heading,
    LineItem,
    OptionKind,
    PayOption,
    PayTerms,
    RecordKind,
    Reject,
)
from providers.profiles import Profile
from tests.providers.standards.documents import profile, read

ISA = (
    "ISA*00*          *00*          *01*006929509      *01*CITYBILL       *261101*0915*U*00401"
    "*000000042*0*P*>"
)
BILL = (
    "BIG*20261101*INV-1*****ME*00",
    "REF*BLT*LDC",
    "N1*8R*ADA BEISPIEL",
    "N3*7 EXAMPLE ST",
    "N4*SPRING TOWN*NY*12345",
    "REF*11*ESP-1",
    "REF*12*30012345",
    "N1*RE*BANK OF EXAMPLES",
    "REF*11*99998888",
    "ITD*******20",
    "DTM*150*20261001",
    "DTM*151*20261031",
    "BAL*P*YB*55.55",
    "IT1*1*****SV*ELECTRIC*C3*ACCOUNT",
    "SAC*C**EU*BAS001*1000*******01***BASIC SERVICE",
    "SAC*C**EU*ENC001*7000***.28*KH*250*****ENERGY",
    "TXI*LS*6.50**CD*NY***A",
    "MEA*AA*PRQ*250*KH***51",
)


def company(**changes: object) -> Profile:
    tables: dict[str, object] = {"currency": "USD"}
    return profile("x12_810", **(tables | changes))


def invoice(*segments: str, total: str = "8650", end: tuple[str, ...] = ()) -> list[str]:
    held = [*(segments or BILL), f"TDS*{total}", *end]
    return ["ST*810*0001", *held, f"SE*{len(held) + 2}*0001"]


def changed(at: int, segment: str) -> tuple[str, ...]:
    return (*BILL[:at], segment, *BILL[at + 1 :])


def interchange(*sets: list[str], isa: str = ISA, end: str = "~", between: str = "\n") -> bytes:
    segments = [
        isa, "GS*IN*006929509*CITYBILL*20261101*0915*7*X*004010",
        *(segment for each in sets for segment in each), f"GE*{len(sets)}*7", "IEA*1*000000042",
    ]  # fmt: skip
    return (end + between).join([*segments, ""]).encode()


def rows(data: bytes, of: Profile | None = None) -> list[BillRecord | Reject]:
    return [row for row in read(data, of or company()) if not isinstance(row, Heading)]


def one(data: bytes, of: Profile | None = None) -> BillRecord:
    [row] = rows(data, of)
    assert isinstance(row, BillRecord), row
    return row


def rejected(data: bytes, of: Profile | None = None) -> Reject:
    [row] = rows(data, of)
    assert isinstance(row, Reject), row
    return row


class TestABill:
    def test_an_invoice_is_read_whole(self):
        heading, bill = read(interchange(invoice()), company())

        assert heading == Heading("261101-0915-000000042")
        assert bill == BillRecord(
            line_no=3, kind=RecordKind.BILL, account_no="30012345", holder_name="ADA BEISPIEL",
            address="7 EXAMPLE ST, SPRING TOWN, NY, 12345", billing_month=date(2026, 10, 1),
            bill_no="INV-1", version=1, period_from_on=date(2026, 10, 1),
            period_to_on=date(2026, 10, 31), issued_on=date(2026, 11, 1), due_on=date(2026, 11, 21),
            usage=Decimal(250), usage_unit="kWh", amount_fen=8_650,
            items=(
                LineItem("BASIC SERVICE", None, "", 1_000),
                LineItem("ENERGY", Decimal(250), "kWh", 7_000), LineItem("Tax LS", None, "", 650),
            ),
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("separator", "end", "between"),
        [("*", "~", ""), ("*", "\n", ""), ("*", "\r", "\n"), ("~", "\n", ""), ("|", "'", "\r\n"),
         ("\x1d", "\x1c", ""), ("^", "!", "\n  \t")],
    )  # fmt: skip
    def test_every_separator_that_the_isa_says_is_good(self, separator, end, between):
        data = interchange(invoice(), end=end, between=between).replace(b"*", separator.encode())

        assert one(data) == one(interchange(invoice()))

    def test_an_isa_without_its_blanks_and_a_last_end_left_out_are_read(self):
        isa = "ISA*00* *00* *ZZ*SPRING *ZZ*CITY*261101*0915*U*00401*000000042*0*P*>"

        assert (
            one(b"\xef\xbb\xbf" + interchange(invoice(), isa=isa).rstrip(b"~\n")).amount_fen
            == 8_650
        )

    def test_several_sets_groups_and_interchanges_are_in_one_file(self):
        data = interchange(invoice(), invoice(*changed(0, "BIG*20261101*INV-2")))
        other = interchange(invoice(), end="\n", between="")

        found = rows(data + other.replace(b"*", b"|"))

        assert [bill.bill_no for bill in found] == ["INV-1", "INV-2", "INV-1"]

    def test_sets_of_another_kind_are_passed_over(self):
        usage = ["ST*867*0002", "BPT*00*X*20261101", "SE*3*0002"]

        assert one(interchange(usage, invoice())).line_no == 6

    def test_utf_8_cp1252_and_gb18030_are_read(self):
        named = changed(2, "N1*8R*Zoë")
        chinese = interchange(invoice(*changed(2, "N1*8R*珅瀪"))).decode()

        assert one(interchange(invoice(*named))).holder_name == "Zoë"
        data = interchange(invoice(*named)).decode().encode("cp1252")
        assert one(data).holder_name == "Zoë"
        told = company(file={"format": "x12_810", "encoding": "gb18030"})
        assert one(chinese.encode("gb18030"), told).holder_name == "珅瀪"

    def test_the_account_of_whom_is_paid_is_nobodys(self):
        without = tuple(segment for segment in BILL if segment != "REF*12*30012345")

        assert rejected(interchange(invoice(*without))).column == "REF"

    def test_goods_with_prices_are_lines_and_a_summary_that_says_them_again_is_not(self):
        goods = (
            *BILL[:13],
            "IT1*1*2*EA*19.99**VP*A-1",
            "PID*F****Sealed meter box",
            "SAC*C*G830***300",
        )

        bill = one(interchange(invoice(*goods, total="4298", end=("SAC*C*G830***300", "CTT*1*2"))))

        assert [(item.name, item.amount_fen) for item in bill.items] == [
            ("Sealed meter box", 3_998), ("shipping and handling", 300),
        ]  # fmt: skip

    def test_an_allowance_takes_off(self):
        allowed = (*BILL, "SAC*A**EU*ADJ002*150**********REBATE")

        bill = one(interchange(invoice(*allowed, total="8500")))

        assert bill.items[2] == LineItem("REBATE", None, "", -150)

    def test_balances_are_added_nowhere(self):
        assert sum(item.amount_fen for item in one(interchange(invoice())).items) == 8_650

    def test_usage_is_that_of_the_whole_and_not_of_peak_and_valley_once_more(self):
        metered = (*BILL, "MEA*AA*PRQ*100*KH***41", "MEA*AA*PRQ*150*KH***42")

        assert one(interchange(invoice(*metered))).usage == Decimal(250)

    def test_usage_in_hundreds_of_cubic_feet_is_cubic_feet(self):
        bill = one(interchange(invoice(*changed(17, "MEA*AA*PRQ*3.5*HH"))))

        assert (bill.usage, bill.usage_unit) == (Decimal(350), "ft³")


class TestDates:
    def test_years_of_two_digits_are_those_of_the_older_versions(self):
        assert one(interchange(invoice(*changed(0, "BIG*261101*INV-1")))).issued_on.year == 2026

    def test_the_net_due_date_comes_before_the_days(self):
        data = interchange(invoice(*changed(9, "ITD*01*3****20261125*20")))

        assert one(data).due_on == date(2026, 11, 25)

    def test_a_discount_for_paying_early_is_an_option(self):
        data = interchange(invoice(*changed(9, "ITD*01*3*2*20261110**20261125*20*173")))

        assert one(data).pay_terms == PayTerms(
            options=(
                PayOption("early", OptionKind.EARLY, "ITD08", 8_477, until_on=date(2026, 11, 10)),
            )
        )

    def test_no_due_date_is_the_profiles_or_a_reject(self):
        without = tuple(segment for segment in BILL if not segment.startswith("ITD"))

        told = company(defaults={"due_days": 10})
        assert one(interchange(invoice(*without)), told).due_on == date(2026, 11, 11)
        assert rejected(interchange(invoice(*without))).column == "ITD06"

    def test_a_day_that_is_none_is_rejected(self):
        assert rejected(interchange(invoice(*changed(10, "DTM*150*20260230")))).column == "DTM02"


class TestCorrections:
    def bill(self, purpose: str, *references: str, order: str = "") -> bytes:
        named = [f"REF*OI*{reference}" for reference in references]
        return interchange(
            invoice(f"BIG*20261105*INV-2****{order}*ME*{purpose}", *named, *BILL[1:])
        )

    @pytest.mark.parametrize("purpose", ["01", "03", "17"])
    def test_a_cancellation_is_of_the_invoice_it_names(self, purpose):
        bill = one(self.bill(purpose, "INV-1"))

        assert (bill.kind, bill.bill_no) == (RecordKind.CANCEL, "INV-1")
        assert bill.billing_month == date(2026, 10, 1)

    def test_a_replacement_is_the_next_version_of_the_invoice_it_names(self):
        bill = one(self.bill("05", "INV-1"))

        assert (bill.kind, bill.bill_no, bill.version) == (RecordKind.CORRECT, "INV-1", 2)

    def test_a_later_replacement_says_so_and_a_cancellation_outdoes_them_all(self):
        replaced = one(self.bill("05", "INV-1", order="3")).version
        cancelled = one(self.bill("01", "INV-1")).version
        issued_again = one(self.bill("18", "INV-1")).version

        assert replaced == 5
        assert replaced < cancelled < issued_again <= 99

    @pytest.mark.parametrize("references", [(), ("INV-1", "INV-9")])
    @pytest.mark.parametrize("purpose", ["01", "05"])
    def test_one_that_does_not_name_it_is_rejected(self, purpose, references):
        told = rejected(self.bill(purpose, *references))

        assert told.column == "REF*OI"
        assert "one REF*OI" in told.reason

    def test_one_without_a_period_cannot_be_told_the_month_of(self):
        without = [segment for segment in BILL[1:] if not segment.startswith("DTM")]
        data = interchange(invoice("BIG*20261105*INV-2*****ME*01", "REF*OI*INV-1", *without))

        assert "month" in rejected(data).reason

    def test_an_unknown_purpose_is_rejected(self):
        assert rejected(self.bill("44")).column == "BIG08"

    @pytest.mark.parametrize("total", ["8650", "-8650"])
    def test_a_credit_memo_is_negative_whatever_its_sign(self, total):
        data = interchange(invoice(*changed(0, "BIG*20261101*CM-1*****CR*00"), total=total))

        bill = one(data)

        assert bill.amount_fen == -8_650
        assert sum(item.amount_fen for item in bill.items) == -8_650


class TestARowRejected:
    @pytest.mark.parametrize("total", ["86.50", "", "8,650", "1e3", "８６５０"])
    def test_a_total_that_is_no_number_of_hundredths(self, total):
        assert rejected(interchange(invoice(total=total))).column == "TDS01"

    def test_another_currency(self):
        assert rejected(interchange(invoice(*BILL, "CUR*SE*CAD"))).column == "CUR02"

    def test_no_total_and_no_big(self):
        empty = ["ST*810*0001", "REF*12*30012345", "SE*3*0001"]
        without = ["ST*810*0001", *BILL, f"SE*{len(BILL) + 2}*0001"]

        found = rows(interchange(empty, without, invoice()))

        assert [getattr(row, "column", "") for row in found] == ["BIG", "TDS01", ""]


class TestAFileRefused:
    def refusal(self, data: bytes) -> BillFileError:
        with pytest.raises(BillFileError) as refused:
            read(data, company())
        return refused.value

    @pytest.mark.parametrize(
        ("good", "bad", "column"),
        [
            (b"SE*21*0001", b"SE*20*0001", "SE01"), (b"SE*21*0001", b"SE*21*0002", "SE02"),
            (b"GE*1*7", b"GE*2*7", "GE01"), (b"GE*1*7", b"GE*1*8", "GE02"),
            (b"IEA*1*000000042", b"IEA*2*000000042", "IEA01"),
            (b"IEA*1*000000042", b"IEA*1*000000043", "IEA02"),
        ],
    )  # fmt: skip
    def test_a_promise_an_envelope_does_not_keep(self, good, bad, column):
        data = interchange(invoice())
        assert good in data

        refused = self.refusal(data.replace(good, bad))

        assert refused.column == column
        assert refused.line_no == data[: data.index(good)].count(b"~") + 1

    @pytest.mark.parametrize(("count", "column"), [("CTT*2", "CTT01"), ("CTT*1*5", "CTT02")])
    def test_lines_that_are_not_as_many_as_ctt_says(self, count, column):
        goods = (*BILL[:13], "IT1*1*4*EA*1.00")

        assert self.refusal(interchange(invoice(*goods, end=(count,)))).column == column

    @pytest.mark.parametrize("lost", [b"ISA", b"GS*", b"ST*", b"SE*", b"GE*", b"IEA"])
    def test_one_that_lost_a_segment(self, lost):
        whole = interchange(invoice()).split(b"~\n")
        data = b"~\n".join(segment for segment in whole if not segment.startswith(lost))

        assert self.refusal(data).message

    @pytest.mark.parametrize("data", [b"", b" \r\n\t"])
    def test_nothing(self, data):
        assert "empty" in self.refusal(data).message

    def test_what_is_no_interchange(self):
        assert "ISA" in self.refusal(b"UNA:+.? 'UNB+UNOC:3+A+B+").message
        assert "16 elements" in self.refusal(b"ISA*00*~").message

    def test_an_interchange_without_an_invoice(self):
        assert "997" in self.refusal(interchange(["ST*997*1", "SE*2*1"])).message

    def test_a_segment_without_an_end(self):
        data = interchange(invoice()).split(b"GE*")[0] + b"N1*" + b"x" * 200_000

        assert "longer than" in self.refusal(data).message

    def test_a_set_without_an_end(self):
        data = interchange(invoice()).split(b"SE*")[0] + b"NTE*ADD*x~\n" * 60_000

        assert "more than 50000 segments" in self.refusal(data).message


@given(st.lists(st.integers(-(10**6), 10**12), min_size=1, max_size=4))
def test_every_fen_comes_back(fens):
    sets = [invoice(total=str(fen)) for fen in fens]

    found = rows(interchange(*sets))

    assert [bill.amount_fen for bill in found] == fens
    assert all(sum(i.amount_fen for i in bill.items) == bill.amount_fen for bill in found)
