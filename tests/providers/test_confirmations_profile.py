"""``[confirmation]`` of a profile: other formats, and what is said of a wrong one."""

import io
import json
from datetime import UTC, date, datetime
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from cli.profiles import check
from core.errors import ConfirmationFileError, Invalid
from providers.base import ConfirmationKind
from providers.confirmations import ConfirmationFile, read_confirmations
from providers.profiles import parse_profile
from providers.registry import PROFILES, load_providers

SAMPLE = Path(__file__).parents[1] / "data" / "providers" / "water" / "sample.txt"
DAY = date(2026, 11, 20)
WATER_TOML = (PROFILES / "water.toml").read_text("utf-8")
POWER_TOML = (PROFILES / "power.toml").read_text("utf-8")
PLAIN = WATER_TOML[: WATER_TOML.index("[confirmation]")]

JSON_OF_A_BUSINESS_DAY = """
[confirmation]
amount_unit = "fen"
columns = [
    { name = "company", holds = "company", must_be = "SPRING" },
    { name = "account", path = "bill.account", holds = "account_no" },
    { name = "bill", path = "bill.no", holds = "bill_no" },
    { name = "fen", holds = "amount" },
    { name = "day", holds = "day", format = "yyyy-mm-dd" },
    { name = "at", holds = "written_off", format = "epoch_milliseconds" },
    { name = "state", holds = "kind" },
]
[confirmation.file]
format = "json"
rows = "rows"
[confirmation.header]
kind = "record"
fields = [{ name = "no", path = "no", holds = "sequence" }]
[confirmation.trailer]
fields = [{ name = "count", path = "count", holds = "row_count" }]
[confirmation.kinds]
"1" = "written_off"
"2" = "reversed"
"""
LINES = """
[confirmation]
columns = [
    { name = "no", holds = "write_off_no" },
    { name = "yuan", holds = "amount" },
    { name = "on", holds = "written_off", format = "yyyy-mm-dd" },
]
[confirmation.file]
format = "json_lines"
"""


def read(toml: str, content: str | bytes, folder: Any) -> ConfirmationFile:
    """Read a list by a profile that is ours but for its ``[confirmation]``."""
    (folder / "mine.toml").write_text(PLAIN + toml, "utf-8")
    layout = load_providers(folder, [])["water"].confirmation
    assert layout is not None
    data = content.encode() if isinstance(content, str) else content
    return read_confirmations(io.BytesIO(data), layout, day=DAY)


class TestOtherCompanies:
    def row(self, **changes: object) -> dict[str, object]:
        return {
            "company": "SPRING", "bill": {"account": "2018008869", "no": "B-1"}, "fen": 8650,
            "day": "2026-11-20", "at": 1_795_104_000_000, "state": 1,
        } | changes  # fmt: skip

    def test_may_name_account_and_bill_only_and_count_days_of_their_own(self, tmp_path):
        """One whose books close at 22:00 lists what comes later under the next day."""
        late = datetime(2026, 11, 19, 15, 0, tzinfo=UTC)
        rows = [self.row(at=int(late.timestamp()) * 1000), self.row(state="2", fen=1)]
        content = json.dumps({"no": "0042", "rows": rows, "count": 2})

        file = read(JSON_OF_A_BUSINESS_DAY, content, tmp_path)

        first, second = file
        assert (first.write_off_no, first.account_no, first.bill_no) == ("", "2018008869", "B-1")
        assert (first.written_off_on, first.written_off_at) == (DAY, late)
        assert (second.kind, second.amount_fen) == (ConfirmationKind.REVERSED, -1)
        assert (file.sequence_no, file.sum_fen) == ("42", 8_649)

    def test_have_their_rows_told_from_another_companys(self, tmp_path):
        rows = [self.row(), self.row(company="AUTUMN"), self.row(day="2026-11-19")]
        content = json.dumps({"no": "1", "rows": rows, "count": 3})

        file = read(JSON_OF_A_BUSINESS_DAY, content, tmp_path)

        assert [(one.line_no, one.column) for one in file.rejects] == [(2, "company"), (3, "day")]
        assert "'AUTUMN' is another company's row" in file.rejects[0].reason

    def test_say_the_day_of_what_was_written_off(self, tmp_path):
        moment = 'holds = "written_off", format = "epoch_milliseconds"'
        toml = JSON_OF_A_BUSINESS_DAY.replace(moment, 'holds = "unused"')
        rows = [self.row(day=""), self.row(day="", state="2")]
        content = json.dumps({"no": "1", "rows": rows, "count": 2})

        file = read(toml, content, tmp_path)

        assert [(one.column, one.line_no) for one in file.rejects] == [("day", 1)]
        assert [row.written_off_on for row in file] == [DAY]

    def test_who_state_no_totals_are_taken_and_it_is_said(self, tmp_path):
        line = '{"no": "W1", "yuan": 86.50, "on": "2026-11-20"}\n'

        file = read(LINES, line * 2, tmp_path)

        assert not file.is_proven
        [first, second] = file
        assert (first.amount_fen, first.written_off_at, second.is_repeated) == (8_650, None, True)
        with pytest.raises(ConfirmationFileError, match="empty"):
            read(LINES, "", tmp_path)

    def test_may_come_by_an_entry_point_and_are_held_to_the_same(self, monkeypatch):
        plugin = EntryPoint("t", "providers.telecom:CityTelecom", "citybill.providers")
        assert load_providers(PROFILES, [plugin])["telecom"].confirmation is not None

        table = parse_profile(PLAIN + LINES, "mine.toml").confirmation
        assert table is not None
        wrong = table.model_copy(update={"columns": table.columns[:1]})
        monkeypatch.setattr("providers.telecom.CityTelecom.confirmation", wrong)
        with pytest.raises(Invalid, match="telecom: confirmation: columns: no column holds 'amoun"):
            load_providers(PROFILES, [plugin])

    def test_may_have_none(self, tmp_path):
        (tmp_path / "mine.toml").write_text(PLAIN, "utf-8")

        assert load_providers(tmp_path, [])["water"].confirmation is None


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('holds = "amount" }', 'holds = "money" }', "confirmation.columns[5].holds: should be 'ro"),
        ('"冲正" = "reversed"', '"冲正" = "back"', "confirmation.kinds.冲正: should be 'written_"),
        ("[confirmation.kinds]", "[confirmation.kind]", "confirmation.kind: is no key of this"),
        ('holds = "kind"', 'holds = "unused"', "a column that holds 'kind' and a [confirmation.ki"),
        ('holds = "receipt_no"', 'holds = "reason"', "2 columns hold 'reason'; only one may"),
        ('"平台流水号", holds = "write_off_no"', '"户号", holds = "write_off_no"', "named twice"),
        ('must_be = "合计" }', 'holds = "text" }', "trailer: its first field needs a must_be"),
        ('holds = "amount_sum" }', 'holds = "amount_sum", of = "户号" }', "only the amounts"),
        ('format = "datetime"', 'format = "yyyymm"', "'处理时间': yyyymm names no day"),
        ('holds = "amount" }', 'holds = "amount", optional = true }', "holds 'amount': not option"),
        ('holds = "account_no" }', 'holds = "account_no", must_be = "1" }', "must_be goes with"),
        ('holds = "account_no" }', 'holds = "account_no", unit = "fen" }', "holds no amount"),
        ('delimiter = ","', 'delimiter = ",,,,,,,,,"', "confirmation.file.delimiter: "),
        ('format = "delimited"', 'format = "ubl"', "ubl is a standard of bills"),
        ('format = "delimited"', 'format = "xml"', "delimiter and row_bytes belong to"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_told_by_its_line_and_remedy(old, new, told):
    at = WATER_TOML.index("[confirmation]")
    head, tail = WATER_TOML[:at], WATER_TOML[at:]
    assert old in tail
    text = head + "\n" * 100 + tail.replace(old, new, 1)

    with pytest.raises(Invalid) as refused:
        parse_profile(text, "mine.toml")

    assert told in refused.value.message
    line_no = int(refused.value.message.removeprefix("mine.toml line ").partition(":")[0])
    assert line_no > 100 + head.count("\n")
    assert refused.value.code == "profile.invalid"


def test_a_table_that_names_no_write_off_or_no_day_is_refused():
    for old, new, told in (
        ('holds = "write_off_no"', 'holds = "unused"', "which write-off a row is about"),
        ('holds = "written_off"', 'holds = "unused"', "which day a list is of"),
    ):
        text = PLAIN + LINES.replace(old, new)
        text = text.replace('"unused", format = "yyyy-mm-dd"', '"unused"')
        with pytest.raises(Invalid, match=told):
            parse_profile(text, "mine.toml")


def test_widths_are_held_against_the_row():
    at = POWER_TOML.index("[confirmation]")
    text = POWER_TOML[:at] + POWER_TOML[at:].replace("row_bytes = 191", "row_bytes = 190")

    with pytest.raises(Invalid, match="confirmation: columns: they reach byte 191"):
        parse_profile(text, "power.toml")


def test_a_profile_with_a_table_reads_bills_as_before(tmp_path):
    (tmp_path / "mine.toml").write_text(WATER_TOML, "utf-8")

    trial = check(SAMPLE, tmp_path / "mine.toml", rows=1)

    assert (trial.refusal, trial.bills > 0) == (None, True)
