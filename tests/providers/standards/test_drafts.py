"""What a company's profile makes of a document that leaves things open."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from core.errors import Invalid
from providers.base import BillRecord, LineItem, RecordKind, Reject
from providers.standards.drafts import Draft, flat, judge, line_item, read_decimal
from tests.providers.standards.documents import profile

OPEN: dict[str, Any] = {
    "line_no": 7, "raw": "a bill", "accounts": [("00001234", "Customer")], "bill_no": "P-1",
    "issued_on": date(2026, 11, 1), "due_on": date(2026, 11, 20), "amount": Decimal("86.50"),
}  # fmt: skip


def bill(of: dict[str, Any] | None = None, **changes: Any) -> BillRecord:
    row = judge(profile(**(of or {})), Draft(**OPEN | changes))
    assert isinstance(row, BillRecord), row
    return row


def refused(of: dict[str, Any] | None = None, **changes: Any) -> Reject:
    row = judge(profile(**(of or {})), Draft(**OPEN | changes))
    assert isinstance(row, Reject), row
    return row


class TestDefaults:
    def test_what_the_document_lacks_the_profile_supplies(self):
        defaults = {"bill_no": "account_month", "holder_name": "Holder", "address": "Somewhere"}

        made = bill({"defaults": defaults}, bill_no="")

        assert (made.bill_no, made.holder_name, made.address) == (
            "00001234-202611", "Holder", "Somewhere",
        )  # fmt: skip

    def test_the_period_may_be_the_month_before(self):
        made = bill({"defaults": {"period": "previous_month"}})

        assert (made.period_from_on, made.period_to_on) == (date(2026, 10, 1), date(2026, 10, 31))

    def test_the_day_of_issue_may_be_the_periods_last(self):
        made = bill(
            {"defaults": {"issued": "period_end"}}, issued_on=None, period_to_on=date(2026, 10, 31)
        )

        assert made.issued_on == date(2026, 10, 31)

    @pytest.mark.parametrize("half", ["period_from_on", "period_to_on"])
    def test_half_a_period_is_made_whole(self, half):
        made = bill(**{half: date(2026, 10, 15)})

        assert made.period_from_on <= made.period_to_on
        assert getattr(made, half) == date(2026, 10, 15)

    @pytest.mark.parametrize("left_out", ["issued_on", "due_on", "amount"])
    def test_what_nobody_supplies_is_asked_for(self, left_out):
        assert "add it" in refused(**{left_out: None}).reason

    def test_a_standard_may_know_when_a_bill_is_due(self):
        assert bill(due_on=None, due_days=30).due_on == date(2026, 12, 1)
        of = {"defaults": {"due_days": 5}}
        assert bill(of, due_on=None, due_days=30).due_on == date(2026, 11, 6)

    def test_due_before_issue_needs_the_days_of_the_profile(self):
        assert "set due_days" in refused(due_on=date(2026, 10, 1)).reason
        of = {"defaults": {"due_days": 5}}
        assert bill(of, due_on=date(2026, 10, 1)).due_on == date(2026, 11, 6)


class TestNumbers:
    @pytest.mark.parametrize("number", ["0000\t1234", "00001234\u202e", "a\nb"])
    def test_no_number_holds_what_cannot_be_seen(self, number):
        """However much the pattern allows: the books are one line a bill."""
        anything = {name: {"pattern": "(?s).+", "words": "x"} for name in ("account_no", "bill_no")}

        assert refused(anything, accounts=[(number, "Customer")]).column == "account_no"
        assert refused(anything, bill_no=number).column == "bill_no"

    def test_a_rules_padding_and_check_digit_hold_here_as_well(self):
        rule = {"pattern": "[0-9]{8}", "words": "8 digits", "length": 8, "pad": True}

        assert bill({"account_no": rule}, accounts=[("1234", "Customer")]).account_no == "00001234"
        luhn = {"account_no": rule | {"check": "luhn"}}
        made = bill(luhn, accounts=[("00001234", "Order"), ("79927397", "X"), ("18", "Customer")])
        assert made.account_no == "00000018"

    @pytest.mark.parametrize("version", [0, 100])
    def test_a_version_is_from_1_to_99(self, version):
        assert refused(version=version).column == "version"

    def test_a_reminder_names_its_bill(self):
        assert "names the bill" in refused(kind=RecordKind.REMIND).reason


class TestLines:
    @pytest.mark.parametrize(
        ("currency", "line", "name"),
        [
            ("CNY", "86.00", "尾差"), ("CNY", "80.00", "其他"), ("EUR", "86.00", "Rounding"),
            ("EUR", "80.00", "Other amounts"),
        ],
    )  # fmt: skip
    def test_what_the_lines_lack_has_a_name(self, currency, line, name):
        made = bill({"currency": currency}, items=[line_item("Energy", Decimal(line))])

        assert made.items[-1].name == name
        assert sum(item.amount_fen for item in made.items) == 8_650

    def test_the_profile_may_name_it(self):
        made = bill({"rounding_item": "抹零"}, items=[line_item("Energy", Decimal(80))])

        assert made.items[-1] == LineItem("抹零", None, "", 650)

    @pytest.mark.parametrize("usage", ["-1", "1e12", "999999999"])
    def test_a_usage_that_cannot_be_one_is_left_open(self, usage):
        assert bill(usage=Decimal(usage)).usage is None

    def test_a_usage_is_as_fine_as_it_is_kept(self):
        assert bill(usage=Decimal("1.23456")).usage == Decimal("1.235")


class TestWords:
    @pytest.mark.parametrize("text", ["", " ", ".", "-", "1,5", "1e5", "１", "1 2", "inf", "0x1"])
    def test_no_number(self, text):
        with pytest.raises(Invalid):
            read_decimal(text)

    @pytest.mark.parametrize(("text", "value"), [("+1.50", "1.5"), (" .5\n", "0.5"), ("007", "7")])
    def test_a_number_as_xml_writes_it(self, text, value):
        assert read_decimal(text) == Decimal(value)

    def test_a_text_becomes_one_line(self):
        assert flat(" Ada\n\t\u00a0B\u200beispiel \u202e") == "Ada Beispiel"
