"""What turns an amount or a day round if it is overlooked, and numbers and days of more writers."""

import gzip
import io
import json
from datetime import date

import pytest

from providers.formats.dates import date_reader
from providers.profiles import parse_profile
from providers.proposing.trial import try_out
from tests.providers.test_from_elsewhere import columns, renamed
from tests.providers.test_written_by_others import (
    AMOUNTS,
    BILLS,
    FEN,
    HEAD,
    fen,
    proposal,
    proposed,
    read,
)

CELLS = [bill.cells(at) for at, bill in enumerate(BILLS)]
UNSIGNED = [amount.removeprefix("-") for amount in AMOUNTS]
SIGNS = ["-" if amount.startswith("-") else "+" for amount in AMOUNTS]


def unsigned(name: str, flags: list[str]) -> str:
    """Write the bills' amounts without their signs, and a column that may say them."""
    rows = [[*c[:8], flag, amount, *c[9:]]
            for c, flag, amount in zip(CELLS, flags, UNSIGNED, strict=True)]  # fmt: skip
    return "".join(",".join(row) + "\n" for row in [[*HEAD[:8], name, *HEAD[8:]], *rows])


class TestACredit:
    @pytest.mark.parametrize("name", ["Sign", "正负号", "F7"])
    def test_is_one_by_a_sign_in_a_column_of_its_own(self, name):
        assert fen(proposed(unsigned(name, SIGNS))) == FEN

    @pytest.mark.parametrize(
        ("name", "bill", "credit"),
        [
            ("Type", "Invoice", "Credit Note"), ("InvoiceTypeCode", "380", "381"),
            ("CdtDbtInd", "DBIT", "CRDT"), ("isCredit", "false", "true"), ("退费", "否", "是"),
            ("票种", "蓝票", "红票"),
        ],
    )  # fmt: skip
    def test_is_asked_about_by_whatever_its_column_is_called(self, name, bill, credit):
        flags = [credit if sign == "-" else bill for sign in SIGNS]

        found = proposal(unsigned(name, flags))

        assert found.fault is not None
        assert f"status.{credit}" in found.fault

    def test_beside_a_status_is_asked_about_too(self):
        flags = ["Credit Note" if sign == "-" else "Invoice" for sign in SIGNS]
        found = proposal(columns(("状态", ["正常"] * 5), ("Type", flags)))

        assert any("credit note in Type" in asked for asked in found.questions)

    def test_may_stand_in_a_list_beside_that_of_the_bills(self):
        names = ("户号", "账单号", "账期", "应缴金额", "出账日")
        bills = [dict(zip(names, (c[0], c[4], c[3], c[8], c[9]), strict=True)) for c in CELLS]
        document = {"bills": bills, "credits": [bills[0] | {"账单号": "C-1"}]}

        asked = proposal(json.dumps(document)).questions

        assert any("are those of credits bills as well" in one for one in asked)


class TestDays:
    @pytest.mark.parametrize(
        ("layout", "written"),
        [
            ("mm-dd-yyyy", "11-03-2026"), ("mm-dd-yyyy", "11-3-2026 00:00"),
            ("ddmmyyyy", "03112026"), ("mmddyyyy", "11032026"), ("dd.mm.yyyy", "3. 11. 2026"),
            ("dd-mon-yyyy", "Tue, 03 Nov 2026 08:00:00"),
            ("mon-dd-yyyy", "Tuesday, November 3, 2026"),
            ("yyyy-m-d", "2026-11-03+08:00"), ("yyyy-m-d", "2026-11-03Z"),
        ],
    )  # fmt: skip
    def test_are_read_as_more_programs_write_them(self, layout, written):
        assert date_reader(layout)(written) == date(2026, 11, 3)

    def test_a_month_may_have_a_point(self):
        assert date_reader("mm/yyyy")("10.2026") == date(2026, 10, 1)

    @pytest.mark.parametrize("layout", ["%m-%d-%Y", "%d-%m-%Y", "%m%d%Y", "%d%m%Y"])
    def test_that_may_be_a_month_first_are_asked_about(self, layout):
        days = [date(2026, 10, 1), date(2026, 11, 2), date(2026, 11, 3), date(2026, 11, 8)]
        cells = [f"{day:{layout}}" for day in days]
        rows = [[*c[:5], cells[0], cells[1], *c[7:9], cells[2], cells[3]] for c in CELLS]
        text = "".join(",".join(row) + "\n" for row in [list(HEAD), *rows])

        found = proposal(text)

        assert found.fault is not None
        assert "dates.day" in found.fault

    @pytest.mark.parametrize("layout", ["%m-%d-%Y", "%m%d%Y", "%d%m%Y"])
    def test_that_cannot_be_otherwise_are_not(self, layout):
        days = [date(2026, 10, 1), date(2026, 10, 31), date(2026, 11, 3), date(2026, 11, 20)]
        cells = [f"{day:{layout}}" for day in days]
        rows = [[*c[:5], cells[0], cells[1], *c[7:9], cells[2], cells[3]] for c in CELLS]

        found = proposed("".join(",".join(row) + "\n" for row in [list(HEAD), *rows]))

        assert {(one.issued_on, one.due_on) for one in found} == {(days[2], days[3])}


class TestNumbers:
    @pytest.mark.parametrize(
        ("mark", "written"),
        [(",", "12,34,567.89"), (" ", "1 23 45 678.90"), (",", "1,23,456"), (",", "1,234,567.00")],
    )
    def test_may_be_grouped_as_india_does(self, mark, written):
        rows = ["86.50", written, "8.20", "0.50", "975.31"]

        found = proposed(renamed("应缴金额", rows))[1] if mark != "," else None
        quoted = proposed(renamed("应缴金额", [f'"{one}"' for one in rows]))[1]

        plain = written.replace(mark, "")
        whole, _, fraction = plain.partition(".")
        assert quoted.amount_fen == int(whole + (fraction or "00").ljust(2, "0"))
        assert found is None or found.amount_fen == quoted.amount_fen

    @pytest.mark.parametrize("written", ["12,34,56.00", "1,2,345.00", "123,45,678.00"])
    def test_grouped_as_nobody_does_are_rejected(self, written):
        text = renamed(
            "应缴金额", [f'"{one}"' for one in ("1,086.50", "8.20", written, "0.50", "9.31")]
        )
        profile = parse_profile(
            proposal(renamed("应缴金额", ['"1,086.50"', "8.20", "7.00", "0.50", "9.31"])).text, "it"
        )

        found = read(text, profile)

        assert "is not a number" in found[2].reason

    @pytest.mark.parametrize("form", ["({} CNY)", "-{} CNY", "{}元-", "CN¥{}-", "({}圆)"])
    def test_may_have_their_currency_within_the_sign(self, form):
        usual = form.replace("-", "").strip("()")
        rows = [(form if sign == "-" else usual).format(one) for one, sign in
                zip(UNSIGNED, SIGNS, strict=True)]  # fmt: skip

        assert fen(proposed(renamed("应缴金额", rows))) == FEN

    @pytest.mark.parametrize("mark", ["HK$", "£", "NT$", "₹"])
    def test_with_a_mark_of_another_currency_are_asked_about(self, mark):
        found = proposal(renamed("应缴金额", [f"{mark}{one}" for one in UNSIGNED]))

        assert any(f"The sample says {mark}" in asked for asked in found.questions)

    def test_that_cannot_be_read_are_asked_about_by_one_of_them(self):
        found = proposal(renamed("应缴金额", [f"{one} Cr." for one in UNSIGNED]))

        assert "how are the amounts of 应缴金额 written? 86.50 Cr. cannot be read as one" in (
            found.questions
        )
        assert not any("whole numbers" in asked for asked in found.questions)


def fixed(mark: str, first: str, last: str) -> str:
    """Write the bills as lines of one length, between a header and a trailer."""
    rows = [
        f"{mark}{c[0]:<11}{c[1]:<4}202610{c[4]:<12}"
        + "".join(c[at].replace("-", "") for at in (5, 6, 9, 10))
        + f"{c[8]:>12}"
        for c in CELLS
    ]
    return "".join(f"{row}\n" for row in [f"{first}SPRING 20261103", *rows, f"{last}00005"])


class TestTheFirstFigureOfALine:
    @pytest.mark.parametrize(("first", "last"), [("H", "T"), ("0", "9")])
    def test_that_may_be_a_mark_is_asked_about(self, first, last):
        found = proposal(fixed("3", first, last).encode("gb18030"))

        assert found.fault is not None
        assert "columns[1].holds" in found.fault
        assert any("does the first 3 say that a line is a bill" in one for one in found.questions)

    @pytest.mark.parametrize(("mark", "first", "last"), [("D", "H", "T"), ("2", "1", "9")])
    def test_that_is_a_mark_is_none_of_the_number(self, mark, first, last):
        found = proposal(fixed(mark, first, last).encode("gb18030"))

        assert f'holds = "row_type", must_be = "{mark}"' in found.text

    def test_a_trailer_is_told_from_rows_that_have_no_mark(self):
        text = proposal(fixed("3", "H", "T").encode("gb18030")).text
        profile = parse_profile(text.replace('holds = "?"', 'holds = "account_no"'), "the profile")

        found = read(fixed("3", "H", "T").encode("gb18030"), profile)

        assert fen(found) == FEN
        assert found[0].account_no == "3" + CELLS[0][0]


def test_what_stands_around_a_row_is_its_own_and_not_its_neighbours():
    bills = "".join(
        f"<Customer id='{c[0]}'><Bill no='{c[4]}'><Month>{c[3]}</Month><From>{c[5]}</From>"
        f"<To>{c[6]}</To><Issued>{c[9]}</Issued><Due>{c[10]}</Due><Amount>{c[8]}</Amount></Bill>"
        "</Customer>"
        for c in CELLS
    )

    found = proposed(f"<Customers>{bills}</Customers>")

    assert [one.account_no for one in found] == [c[0] for c in CELLS]
    assert fen(found) == FEN


def test_what_is_packed_beyond_belief_is_refused_in_words_by_a_trial():
    row = ",".join(CELLS[0]) + "\n"
    data = gzip.compress((",".join(HEAD) + "\n" + row * 400_000).encode())
    profile = parse_profile(proposal(",".join(HEAD) + "\n" + row).text, "the proposal")

    trial = try_out(profile, io.BytesIO(data), rows=3)

    assert "more than 200 times its size" in str(trial.refusal)
