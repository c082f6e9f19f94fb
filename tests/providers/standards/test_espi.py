"""Green Button feeds: how entries are joined, and which figures of a summary are money."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BillFileError
from providers.base import BillRecord, LineItem, RecordKind
from providers.profiles import Profile
from providers.standards.espi_time import LocalTime
from tests.providers.standards.documents import one_bill, one_reject, profile, read

ESPI = "http://naesb.org/espi"
CUSTOMER = "http://naesb.org/espi/customer"
POINT = "RetailCustomer/9/UsagePoint/30012345"
OCTOBER, DAY = 1_790_784_000, 86_400  # 2026-10-01 00:00 at UTC+8
US_RULES = "<dstEndRule>B40E2000</dstEndRule><dstStartRule>360E2000</dstStartRule>"


def company(**changes: object) -> Profile:
    tables: dict[str, object] = {"currency": "CNY", "defaults": {"due_days": 15}}
    return profile("espi", **(tables | changes))


def entry(content: str, own: str = "", *links: tuple[str, str], title: str = "") -> str:
    told = "".join(f'<link rel="{rel}" href="{href}"/>' for rel, href in (("self", own), *links))
    head = f"<id>urn:uuid:1</id>{told}<title>{title}</title>"
    return f"<entry>{head}<content>{content}</content></entry>"


def point(own: str = POINT, kind: int = 0, *links: tuple[str, str]) -> str:
    held = f"<ServiceCategory><kind>{kind}</kind></ServiceCategory>"
    return entry(f'<UsagePoint xmlns="{ESPI}">{held}</UsagePoint>', own, *links)


def line(note: str, amount: str, kind: int = 3, scale: int | None = None, more: str = "") -> str:
    measured = (
        f"<measurement><powerOfTenMultiplier>{scale}</powerOfTenMultiplier><uom>80</uom></measurement>"
        if scale is not None
        else more
    )
    return (
        "<costAdditionalDetailLastPeriod>"
        f"<amount>{amount}</amount><note>{note}</note>{measured}<itemKind>{kind}</itemKind>"
        "</costAdditionalDetailLastPeriod>"
    )


USED = (
    "<overallConsumptionLastPeriod><powerOfTenMultiplier>{}</powerOfTenMultiplier><uom>{}</uom>"
    "<value>{}</value></overallConsumptionLastPeriod>"
)


def summary(
    *,
    own: str = f"{POINT}/UsageSummary/7",
    start: str = str(OCTOBER),
    duration: str = str(31 * DAY),
    bill: str | None = "8650000",
    lines: str = "",
    used: str = USED.format(0, 72, 250_000),
    currency: str = "156",
    quality: int = 0,
    name: str = "UsageSummary",
    links: tuple[tuple[str, str], ...] = (),
) -> str:
    money = "" if bill is None else f"<billLastPeriod>{bill}</billLastPeriod>"
    told = f"<currency>{currency}</currency>" if currency else ""
    return entry(
        f'<{name} xmlns="{ESPI}"><billingPeriod><duration>{duration}</duration>'
        f"<start>{start}</start></billingPeriod>{money}{lines}{told}{used}<qualityOfReading>{quality}</qualityOfReading>"
        f"<statusTimeStamp>1793548800</statusTimeStamp></{name}>",
        own,
        *links,
    )


def clock(own: str = "LocalTimeParameters/01", offset: int = -18_000, rules: str = US_RULES) -> str:
    held = f"{rules}<dstOffset>3600</dstOffset><tzOffset>{offset}</tzOffset>"
    return entry(f'<LocalTimeParameters xmlns="{ESPI}">{held}</LocalTimeParameters>', own)


def customer(content: str, own: str, *links: tuple[str, str]) -> str:
    return entry(content.replace(">", f' xmlns="{CUSTOMER}">', 1), own, *links)


def feed(*entries: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">\n'
        + "\n".join(entries)
        + "\n</feed>"
    ).encode()


class TestABill:
    def test_a_summary_is_read_whole(self):
        bill = one_bill(feed(point(), summary()), company())

        assert bill == BillRecord(
            line_no=4, kind=RecordKind.BILL, account_no="30012345", holder_name="", address="",
            billing_month=date(2026, 10, 1), bill_no="30012345-7", version=1,
            period_from_on=date(2026, 10, 1), period_to_on=date(2026, 10, 31),
            issued_on=date(2026, 10, 31), due_on=date(2026, 11, 15), usage=Decimal(250),
            usage_unit="kWh", amount_fen=8_650,
            items=(LineItem("本期用量", Decimal(250), "kWh", 8_650),),
        )  # fmt: skip

    def test_the_name_of_the_first_edition_is_read_as_well(self):
        bill = one_bill(feed(point(), summary(name="ElectricPowerUsageSummary")), company())

        assert bill.amount_fen == 8_650

    def test_a_prefix_and_another_order_of_entries_change_nothing(self):
        data = feed(summary(), point())
        prefixed = (
            data.replace(b"<feed xmlns=", b"<a:feed xmlns:a=")
            .replace(b"<entry>", b"<a:entry>").replace(b"</entry>", b"</a:entry>")
            .replace(b"<link ", b"<a:link ").replace(b"<content>", b"<a:content>")
            .replace(b"</content>", b"</a:content>").replace(b"</feed>", b"</a:feed>")
        )  # fmt: skip

        first, second = one_bill(data, company()), one_bill(prefixed, company())

        assert first == second

    def test_ids_that_are_the_same_in_every_entry_do_not_matter(self):
        own = [f"{POINT}/UsageSummary/{n}" for n in (1, 2)]

        bills = read(feed(point(), *(summary(own=each) for each in own)), company())

        assert [bill.bill_no for bill in bills] == ["30012345-1", "30012345-2"]

    def test_a_summary_called_after_its_usage_point_is_told_by_its_month(self):
        bill = one_bill(feed(summary(own=f"{POINT}/UsageSummary/30012345")), company())

        assert bill.bill_no == "30012345-20261001"

    @pytest.mark.parametrize(
        ("scale", "uom", "value", "usage", "unit"),
        [
            (0, 72, 250_500, Decimal("250.5"), "kWh"), (3, 72, 250, Decimal(250), "kWh"),
            (-3, 169, 85_263, Decimal("85.263"), "therm"), (0, 42, 12, Decimal(12), "m³"),
            (0, 119, 1_200, Decimal(1200), "ft³"), (0, 134, 5_500, Decimal("5.5"), "m³"),
            (0, 38, 7, None, ""),
        ],
    )  # fmt: skip
    def test_usage_is_value_times_ten_to_the_multiplier(self, scale, uom, value, usage, unit):
        bill = one_bill(feed(summary(used=USED.format(scale, uom, value))), company())

        assert (bill.usage, bill.usage_unit) == (usage, unit)

    def test_an_estimated_reading_says_so_in_the_line(self):
        bill = one_bill(feed(summary(quality=8)), company())

        assert [item.name for item in bill.items] == ["本期用量（估计）"]

    def test_a_bill_of_nothing_is_a_bill(self):
        bill = one_bill(feed(summary(bill="0")), company())

        assert (bill.amount_fen, bill.items) == (0, ())


class TestMoney:
    def test_it_is_in_hundred_thousandths_and_charges_are_lines(self):
        lines = line("Energy", "7000000", 3) + line("VAT", "1650000", 5)

        bill = one_bill(feed(summary(lines=lines)), company())

        assert bill.items == (
            LineItem("Energy", None, "", 7_000), LineItem("VAT", None, "", 1_650),
        )  # fmt: skip

    def test_half_a_fen_is_rounded_up_once(self):
        bill = one_bill(feed(summary(bill="8650500")), company())

        assert bill.amount_fen == 8_651

    def test_a_credit_is_negative(self):
        bill = one_bill(feed(summary(bill="-22514000")), company())

        assert bill.amount_fen == -22_514

    def test_lines_with_scales_of_their_own_tell_the_scale_of_the_total(self):
        lines = (
            line("Amount Due", "17203", 10, -2) + line("Balance Forward", "21432", 4, -2)
            + line("DELIVERY CHARGE", "45950000", 2, -6) + line("HST", "2499", 5, -2)
            + line("MID-PEAK", "101090", 3, -3)
        )  # fmt: skip

        bill = one_bill(feed(summary(bill="172030", lines=lines)), company())

        assert bill.amount_fen == 17_203
        assert [item.amount_fen for item in bill.items] == [4_595, 2_499, 10_109]

    def test_a_total_that_is_0_is_the_sum_of_the_charges_and_no_balance(self):
        lines = "".join(
            line(note, amount) for note, amount in (
                ("Off Peak-Charge", "7039000"), ("Delivery Charge", "6729000"),
                ("Ontario Electricity Rebate", "-4780000"), ("Balance Forward", "24184000"),
                ("Payments Received", "-24184000"), ("New Charges This Period", "50229000"),
                ("  TOTAL  Amount   due ", "50229000"),
            )
        )  # fmt: skip

        bill = one_bill(feed(summary(bill="0", lines=lines)), company())

        assert bill.amount_fen == 8_988
        assert len(bill.items) == 3

    def test_a_measurement_of_energy_is_no_scale_of_money(self):
        scale = "<powerOfTenMultiplier>-3</powerOfTenMultiplier>"
        metered = f"<measurement>{scale}<uom>72</uom></measurement>"

        bill = one_bill(feed(summary(lines=line("Energy", "8650000", more=metered))), company())

        assert bill.items == (LineItem("Energy", None, "", 8_650),)

    def test_a_total_no_scale_explains_is_rejected(self):
        told = one_reject(feed(summary(bill="5", lines=line("Energy", "8650", 3, -2))), company())

        assert told.column == "billLastPeriod"
        assert "86.5" in told.reason

    def test_a_summary_without_an_amount_is_rejected_alone(self):
        rows = read(feed(summary(bill=None), summary(own=f"{POINT}/UsageSummary/8")), company())

        assert [type(row).__name__ for row in rows] == ["Reject", "BillRecord"]
        assert "states no amount" in rows[0].reason

    @pytest.mark.parametrize("amount", ["86.50", "1e3", "８６", "9" * 30])
    def test_an_amount_that_is_no_int48_is_rejected(self, amount):
        assert one_reject(feed(summary(bill=amount)), company()).column == "billLastPeriod"

    def test_another_currency_is_rejected(self):
        assert one_reject(feed(summary(currency="840")), company()).column == "currency"

    def test_a_number_that_is_no_currency_is_rejected(self):
        assert "ISO 4217" in one_reject(feed(summary(currency="998")), company()).reason

    def test_a_summary_without_a_currency_has_that_of_the_readings(self):
        readings = entry(f'<ReadingType xmlns="{ESPI}"><currency>124</currency></ReadingType>')

        told = one_reject(feed(readings, summary(currency="")), company())

        assert "CAD" in told.reason

    @given(st.integers(-(10**9), 10**10))
    def test_every_whole_fen_comes_back(self, fen):
        bill = one_bill(feed(summary(bill=str(fen * 1_000))), company())

        assert bill.amount_fen == fen
        assert sum(item.amount_fen for item in bill.items) == fen


class TestThePeriod:
    def test_it_is_told_by_the_clock_of_the_place_summer_time_or_not(self):
        march = 1_772_341_200  # 2026-03-01 00:00 in New York, an hour short of 31 days

        bill = one_bill(
            feed(clock(), summary(start=str(march), duration=str(31 * DAY - 3_600))), company()
        )

        assert (bill.period_from_on, bill.period_to_on) == (date(2026, 3, 1), date(2026, 3, 31))

    def test_the_clock_a_usage_point_links_to_is_its_own(self):
        other = clock("LocalTimeParameters/02", 28_800, "")

        bill = one_bill(
            feed(
                clock(), other, point(POINT, 0, ("related", "/LocalTimeParameters/02")), summary()
            ),
            company(),
        )

        assert bill.period_from_on == date(2026, 10, 1)

    @pytest.mark.parametrize(
        ("start", "duration"),
        [("10", "10"), ("0", "2592000"), (str(OCTOBER), "10"), (str(OCTOBER), "0"),
         (str(OCTOBER), "-86400"), (str(OCTOBER), str(5 * 366 * DAY)), ("1790784000000", "2678400"),
         ("", ""), ("1790784000.5", "2678400")],
    )  # fmt: skip
    def test_a_placeholder_is_rejected(self, start, duration):
        told = one_reject(feed(summary(start=start, duration=duration)), company())

        assert told.column == "billingPeriod"

    def test_the_rules_of_both_halves_of_the_earth(self):
        new_york = LocalTime(-18_000, 3_600, 0x360E2000, 0xB40E2000)
        sydney = LocalTime(36_000, 3_600, 0xA40E2000, 0x440E3000)

        assert new_york.day(1_782_878_400) == date(2026, 7, 1)  # 2026-07-01 04:00 UTC
        assert new_york.day(1_782_878_399) == date(2026, 6, 30)
        assert sydney.day(1_767_186_000) == date(2026, 1, 1)  # 2025-12-31 13:00 UTC
        assert LocalTime(0, 3_600, 0xFFFFFFFF, 0xFFFFFFFF).day(0) == date(1970, 1, 1)


class TestWhoseItIs:
    ACCOUNT = "<CustomerAccount><accountId>88887777</accountId></CustomerAccount>"

    def test_the_account_above_the_agreement_of_the_usage_point(self):
        base = "RetailCustomer/9/Customer/1/CustomerAccount/5"
        people = [
            customer("<Customer><customerName>王 小明</customerName></Customer>",
                     "RetailCustomer/9/Customer/1"),
            customer(self.ACCOUNT, base),
            customer("<CustomerAgreement><agreementId>A</agreementId></CustomerAgreement>",
                     f"{base}/CustomerAgreement/6", ("related", f"/{POINT}")),
            customer("<CustomerAccount><accountId>11112222</accountId></CustomerAccount>",
                     "RetailCustomer/8/Customer/2/CustomerAccount/4"),
            customer("<ServiceLocation><mainAddress><streetDetail><number>7</number><name>示例路</name>"
                     "</streetDetail><townDetail><name>上海</name></townDetail></mainAddress>"
                     f"<UsagePoints><UsagePoint>https://a.example/{POINT}</UsagePoint></UsagePoints>"
                     "</ServiceLocation>", f"{base}/CustomerAgreement/6/ServiceLocation/1"),
        ]  # fmt: skip

        bill = one_bill(feed(summary(), *people, point()), company())

        assert bill.account_no == "88887777"
        assert (bill.holder_name, bill.address) == ("王 小明", "7, 示例路, 上海")

    def test_the_usage_point_is_found_by_its_own_link_to_its_summaries(self):
        own = "espi/1_1/resource/UsagePoint/22223333"
        links = (("related", "http://a.example/Batch/UsageSummary"),)

        bill = one_bill(
            feed(point(own, 0, *links), point("UsagePoint/44445555"),
                 summary(own="Batch/UsageSummary/3", links=(("up", "/Batch/UsageSummary"),))),
            company(),
        )  # fmt: skip

        assert (bill.account_no, bill.bill_no) == ("22223333", "22223333-3")

    def test_a_summary_no_link_leads_from_is_nobodys_where_there_are_two(self):
        told = one_reject(
            feed(point("UsagePoint/22223333"), point("UsagePoint/44445555"),
                 summary(own="UsageSummary/3")), company(),
        )  # fmt: skip

        assert told.column == "CustomerAccount"

    def test_a_summary_of_another_usage_point_is_not_given_to_the_only_one_listed(self):
        own = "RetailCustomer/9/UsagePoint/x/UsageSummary/3"

        assert one_reject(feed(point(), summary(own=own)), company()).column == "CustomerAccount"

    def test_a_statement_says_when_the_bill_was_issued(self):
        issued = OCTOBER + 34 * DAY
        told = f"<Statement><issueDateTime>{issued}</issueDateTime></Statement>"

        bill = one_bill(
            feed(summary(), customer(told, "Statement/1", ("related", POINT)), point()), company()
        )

        assert (bill.issued_on, bill.due_on) == (date(2026, 11, 4), date(2026, 11, 19))
        assert bill.billing_month == date(2026, 10, 1)

    def test_the_usage_point_of_another_service_is_another_companys(self):
        assert one_reject(feed(point(POINT, 1), summary()), company()).column == "ServiceCategory"


class TestAFeedRefused:
    def refusal(self, data: bytes) -> BillFileError:
        with pytest.raises(BillFileError) as refused:
            read(data, company())
        return refused.value

    def test_readings_without_a_summary(self):
        readings = entry(f'<IntervalBlock xmlns="{ESPI}"/>')

        assert "no UsageSummary" in self.refusal(feed(point(), readings)).message

    def test_another_document(self):
        assert "Green Button" in self.refusal(b"<html><body/></html>").message

    @pytest.mark.parametrize("data", [b"", b" \n"])
    def test_nothing(self, data):
        assert "empty" in self.refusal(data).message

    def test_a_document_type(self):
        data = b'<!DOCTYPE feed [<!ENTITY a "b">]><feed>&a;</feed>'

        assert "DTD" in self.refusal(data).message

    def test_one_cut_short(self):
        assert "broken" in self.refusal(feed(summary())[:-20]).message

    def test_more_usage_points_than_fit_in_memory(self, monkeypatch):
        monkeypatch.setattr("providers.standards.espi_links._LIMIT", 2)

        refused = self.refusal(feed(point("a"), point("b"), point("c"), summary()))

        assert "more than 2 usage points" in refused.message
