"""What stands once for several rows: an account number in a merged cell, or above blank ones."""

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from core.errors import Invalid
from providers.base import BillRecord, Reject
from providers.profiles import Profile, parse_profile
from tests.providers.contract import profile_of
from tests.providers.samples_text import COLUMNS
from tests.providers.test_headings import book, found_in, read

NAMES = ("户号", "户名", "账期", "账单号", "起", "止", "出账日", "最后缴费日", "用量", "金额")


def bill(no: int, account: str | None, holder: str | None = None) -> list[Any]:
    return [account, holder, "202610", f"B-{no}", date(2026, 10, 1), date(2026, 10, 31),
            date(2026, 11, 1), date(2026, 11, 20), 5, 80.5 + no]  # fmt: skip


def total(label: str | None, amount: float, at: int = 1) -> list[Any]:
    cells: list[Any] = [None] * 9 + [amount]
    cells[at] = label
    return cells


FIRST = [bill(1, "1000000001", "张珅"), bill(2, None), bill(3, None)]
SECOND = [bill(4, "1000000002", "王芳"), bill(5, None)]
GROUPED = [NAMES, *FIRST, *SECOND]
ACCOUNTS = ["1000000001"] * 3 + ["1000000002"] * 2


def filled(*names: str, of: Sequence[Sequence[Any]] = GROUPED) -> Profile:
    """Return the profile proposed, with the columns that are filled."""
    text = found_in(book(of)).text.replace(', fill_down = "?"', "")
    for name in names:
        text = re.sub(rf'(name = "{name}", holds = "[a-z_]+")', r"\1, fill_down = true", text)
    return parse_profile(text, "the proposal")


WHOLE = filled("户号", "户名")


def accounts(rows: list) -> list[str]:
    return [row.account_no if isinstance(row, BillRecord) else row.column for row in rows]


class TestMergedCells:
    MERGED = ("A2:A4", "B2:B4", "A5:A6", "B5:B6")

    def test_are_proposed_with_a_question_and_count_for_every_row(self):
        data = book(GROUPED, self.MERGED)
        found = found_in(data)

        rows = read(data)

        assert found.text.count("fill_down = true") == 2
        assert any("merged cells of 户号, 户名" in asked for asked in found.questions)
        assert accounts(rows) == ACCOUNTS
        assert [row.holder_name for row in rows] == ["张珅"] * 3 + ["王芳"] * 2
        assert [row.amount_fen for row in rows] == [8_150, 8_250, 8_350, 8_450, 8_550]

    def test_count_for_one_row_where_the_profile_does_not_say_more(self):
        rows = read(book(GROUPED, self.MERGED), filled())

        assert accounts(rows) == ["1000000001", "户号", "户号", "1000000002", "户号"]
        assert rows[1].reason.endswith("for its first row only, unless fill_down is said of it")

    def test_end_where_they_end(self):
        data = book([*GROUPED, bill(6, None)], self.MERGED)

        assert accounts(read(data, WHOLE)) == [*ACCOUNTS, "户号"]

    def test_count_wherever_the_table_stands(self):
        rows = [[], [], *([None, *cells] for cells in GROUPED)]
        data = book(rows, ("B4:B6", "C4:C6", "B7:B8", "C7:C8"))

        assert accounts(read(data)) == ACCOUNTS

    def test_of_the_heading_do_not_count(self):
        heading = [NAMES, [None] * 10]
        data = book([*heading, *FIRST], ("A1:A2", "B1:B2"))

        assert accounts(read(data, WHOLE)) == ACCOUNTS[:3]

    def test_of_amounts_count_once(self):
        rows = [NAMES, bill(1, "1000000001", "张珅"), [*bill(2, "1000000002")[:-1], None]]

        first, second = read(book(rows, ["J2:J3"]), WHOLE)

        assert first.amount_fen == 8_150
        assert (second.column, second.reason[:19]) == ("金额", "the amount is blank")


class TestWhatIsWrittenOnce:
    def test_is_asked_about_and_refused_until_somebody_answers(self):
        found = found_in(book(GROUPED))

        assert found.text.count('fill_down = "?"') == 2
        assert any("does the one above hold?" in asked for asked in found.questions)
        assert found.fault is not None
        assert "fill_down" in found.fault

    def test_counts_for_the_rows_below_where_the_profile_says_so(self):
        assert accounts(read(book(GROUPED), WHOLE)) == ACCOUNTS

    def test_counts_in_text_too(self):
        text = "".join(",".join(str(cell or "") for cell in row) + "\n" for row in GROUPED)
        proposed = found_in(text.encode()).text.replace('"?"', "true")

        rows = read(text.encode(), parse_profile(proposed, "the proposal"))

        assert accounts(rows) == ACCOUNTS

    def test_of_a_row_that_is_too_short_is_that_rows_reject(self):
        text = "".join(",".join(str(cell or "") for cell in row) + "\n" for row in GROUPED)
        profile = parse_profile(found_in(text.encode()).text.replace('"?"', "true"), "the proposal")

        (*_, short) = read(f"{text}1000000009\n".encode(), profile)

        assert short.reason.startswith("the row has 1 cells")

    def test_is_a_reject_where_the_profile_says_nothing(self):
        assert accounts(read(book(GROUPED), filled()))[1:3] == ["户号", "户号"]

    @pytest.mark.parametrize("at", [1, 2, 3])
    @pytest.mark.parametrize("label", ["小计", "合 计", "Subtotal", "1000000001 汇总", None])
    def test_never_becomes_the_account_of_a_sum(self, label, at):
        data = book([NAMES, *FIRST, total(label, 246.0, at), *SECOND])

        rows = read(data, WHOLE)

        assert accounts(rows) == [*ACCOUNTS[:3], "户号", *ACCOUNTS[3:]]
        assert isinstance(rows[3], Reject)

    @pytest.mark.parametrize(
        "between",
        [total("小计", 246.0), [None] * 10, NAMES],
        ids=["a sum", "a blank row", "the column names"],
    )
    def test_does_not_count_beyond(self, between):
        rows = read(book([NAMES, FIRST[0], between, bill(2, None), *SECOND]), WHOLE)

        assert accounts(rows)[-3:] == ["户号", *ACCOUNTS[3:]]

    def test_of_one_person_never_counts_for_the_next(self):
        rows = read(book([*GROUPED, bill(6, "1000000003")]), WHOLE)

        assert (rows[-1].account_no, rows[-1].holder_name) == ("1000000003", "")

    def test_beside_the_account_counts_for_all_accounts(self):
        """The month, left of the account, is of the whole sheet."""
        names = ["账期", *NAMES[:2], *NAMES[3:]]
        rows = [
            [cells[2] if at == 0 else None, f"100000000{at}", "张珅", *cells[3:]]
            for at, cells in enumerate([*FIRST, *SECOND])
        ]
        profile = parse_profile(
            found_in(book([names, *rows])).text.replace('"?"', "true"), "the proposal"
        )

        bills = read(book([names, *rows]), profile)

        assert {bill.billing_month for bill in bills} == {date(2026, 10, 1)}

    def test_is_told_from_one_account_that_is_missing(self):
        rows = [bill(at, f"100000000{at}", "张珅") for at in range(1, 9)]
        rows[4] = [None, "王芳", *rows[4][2:]]
        found = found_in(book([NAMES, *rows]))

        assert "fill_down" not in found.text
        assert (
            "1 rows have no account number, and are rejected: what do they say?" in found.questions
        )
        assert accounts(read(book([NAMES, *rows]), filled("户号", of=[NAMES, *rows])))[4] == "户号"


class TestTheRowsOfOneBill:
    HEAD = (*NAMES[:8], "费用项目", "费用", "金额")

    def test_may_say_its_account_its_number_and_its_amount_once(self):
        rows: list[list[Any]] = []
        for no in range(1, 5):
            own = bill(no, f"100000000{no}", "张珅")[:8]
            rows += [[*own, "水费", 60.0, 80.5 + no], [*[None] * 8, "污水费", 20.5 + no, None]]
        merged = [f"{column}{at}:{column}{at + 1}" for at in (2, 4, 6, 8) for column in "ABCDEFGHK"]
        data = book([self.HEAD, *rows], merged)

        found = found_in(data)
        bills = read(data)

        assert 'amount = "first"' in found.text
        assert [bill.amount_fen for bill in bills] == [8_150, 8_250, 8_350, 8_450]
        assert [item.amount_fen for item in bills[0].items] == [6_000, 2_150]


@pytest.mark.parametrize(
    ("column", "more"),
    [
        ('name = "金额", holds = "amount"', 'format = "spreadsheet"'),
        ('name = "水量", holds = "quantity"', 'format = "spreadsheet"'),
        ('name = "账单号", holds = "bill_no"', 'format = "spreadsheet"'),
        ('name = "户号", holds = "account_no"', 'format = "json"'),
    ],
)
def test_money_and_a_bills_own_number_are_never_filled(column, more):
    table = COLUMNS.replace(column, f"{column}, fill_down = true")
    with pytest.raises(Invalid, match="cannot say fill_down"):
        profile_of(f"{table}\n[file]\n{more}")
