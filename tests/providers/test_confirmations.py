"""A company's list of a day's write-offs: what is read of it, and what is refused whole."""

import gzip
import io
import json
import tracemalloc
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import ConfirmationFileError
from providers.base import Confirmation, ConfirmationKind, Reject
from providers.confirmations import REJECTS_KEPT, ConfirmationFile, read_confirmations
from providers.registry import get_provider
from tests.providers.confirmation_writers import (
    ACCOUNTS,
    BACK,
    DAY,
    DONE,
    REFUSED,
    TELLS_REFUSALS,
    WRITERS,
    Told,
    expected,
    power,
    telecom,
    water,
)

SAMPLES = Path(__file__).parents[1] / "data" / "confirmations"
TEXTS = ("water", "power", "gas")  # a workbook takes two processes to read: fewer examples


def read(code: str, content: bytes, day: date = DAY) -> ConfirmationFile:
    layout = get_provider(code).confirmation
    assert layout is not None
    return read_confirmations(io.BytesIO(content), layout, day=day)


def rows_of(file: ConfirmationFile) -> list[Confirmation]:
    """Return the rows without where they stand, which each format counts for itself."""
    return [row._replace(line_no=0) for row in file]


def told(code: str, **changes: object) -> Told:
    return Told(account=ACCOUNTS[code])._replace(**changes)


@st.composite
def lists(draw: st.DrawFn, code: str, most: int = 12) -> list[Told]:
    """Draw what a company might tell of a day, a write-off twice among it."""
    words = st.text("珅弢䶮销账 重复缴费AZ09,'\"<&|", max_size=8).map(str.strip)
    kinds = (DONE, BACK, REFUSED) if code in TELLS_REFUSALS else (DONE, BACK)
    rows = []
    for _ in range(draw(st.integers(0, most))):
        kind = draw(st.sampled_from(kinds))
        fen = draw(st.integers(1, 10**10))
        serial = draw(st.integers(1, 9))
        rows.append(Told(
            f"W26110000000000{serial:02d}-01", kind, -fen if kind is BACK else fen,
            draw(st.integers(0, 86_399)), ACCOUNTS[code], f"B-{serial}",
            "" if kind is REFUSED else f"R{serial}", draw(words),
        ))  # fmt: skip
    return rows


class TestWhatIsRead:
    @pytest.mark.parametrize("code", TEXTS)
    @given(data=st.data())
    def test_is_what_an_independent_writer_wrote(self, code, data):
        rows = data.draw(lists(code))

        file = read(code, WRITERS[code](rows))

        assert rows_of(file) == expected(rows)
        assert (file.count, file.reject_count, file.is_proven) == (len(rows), 0, True)
        assert file.sum_fen == sum(row.fen for row in rows if row.kind is not REFUSED)

    @settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow])
    @given(rows=lists("telecom"))
    def test_is_what_an_independent_writer_wrote_into_a_workbook(self, rows):
        assert rows_of(read("telecom", telecom(rows))) == expected(rows)

    @pytest.mark.parametrize("code", WRITERS)
    def test_of_a_sample_is_what_its_page_says(self, code):
        [sample] = [path for path in SAMPLES.glob(f"{code}.*") if path.suffix != ".json"]
        pinned = json.loads((SAMPLES / f"{code}.expected.json").read_text("utf-8"))

        file = read(code, sample.read_bytes())

        as_read = [{**row._asdict(), "written_off_on": str(row.written_off_on),
                    "written_off_at": str(row.written_off_at)} for row in file]  # fmt: skip
        assert as_read == pinned["rows"]
        assert [one._asdict() for one in file.rejects] == pinned["rejects"]

    @pytest.mark.parametrize("code", WRITERS)
    def test_of_a_day_without_any_is_an_empty_list(self, code):
        file = read(code, WRITERS[code]([]))

        assert (list(file), file.count, file.sum_fen, file.rejects) == ([], 0, 0, ())

    def test_can_be_read_again_and_comes_packed(self):
        file = read("water", gzip.compress(water([told("water"), told("water")])))

        assert list(file) == list(file)
        assert [row.is_repeated for row in file] == [False, True]

    def test_of_one_write_off_told_twice_is_both_and_the_second_says_so(self):
        first = told("gas")
        rows = [first, first._replace(kind=BACK, fen=-first.fen), first._replace(fen=1)]

        file = read("gas", WRITERS["gas"](rows))

        assert [(row.kind, row.is_repeated) for row in file] == [
            (DONE, False), (BACK, False), (DONE, True),
        ]  # fmt: skip

    def test_has_a_number_of_its_own_for_each_row_where_all_stand_in_one_line(self):
        file = read("gas", WRITERS["gas"]([told("gas")] * 3))

        assert [row.row_no for row in file] == [1, 2, 3]

    def test_a_moment_counts_in_the_citys_time(self):
        [row] = read("water", water([told("water", seconds=1)]))

        assert row.written_off_at == datetime(2026, 11, 19, 16, 0, 1, tzinfo=UTC)
        assert row.written_off_on == DAY

    def test_memory_does_not_grow_with_the_rows(self):
        peaks = []
        for count in (2_000, 16_000):
            rows = [told("water", number=f"W{at:016d}-01") for at in range(count)]
            content = water(rows)
            del rows
            tracemalloc.start()
            read("water", content)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()

        assert peaks[1] - peaks[0] < 1_500_000


class TestARowThatIsWrong:
    def reject(self, file: ConfirmationFile) -> Reject:
        [found] = file.rejects
        assert file.reject_count == 1
        return found

    @pytest.mark.parametrize("code", WRITERS)
    def test_of_another_day_is_named_and_the_others_stand(self, code):
        rows = [told(code), told(code, number="W2", seconds=86_400)]

        file = read(code, WRITERS[code](rows))

        assert [row.write_off_no for row in file] == [rows[0].number]
        assert "the row is of 2026-11-21, not of 2026-11-20" in self.reject(file).reason

    @pytest.mark.parametrize(
        ("changes", "column", "reason"),
        [
            ({"account": "201800886"}, "户号", "account number '201800886'"),
            ({"bill": "b"}, "账单号", "bill number 'b'"),
            ({"number": "W 1"}, "平台流水号", "has a space in it"),
            ({"number": "", "bill": ""}, "平台流水号", "names no write-off"),
            ({"kind": DONE, "fen": -1}, "金额", "flagged as no reversal"),
            ({"kind": REFUSED, "fen": -1}, "金额", "flagged as no reversal"),
            ({"receipt": "R" * 65}, "公司回执号", "longer than 64"),
            ({"reason": "x\u200b"}, "原因", "invisible character"),
        ],
    )
    def test_is_named_with_its_column_and_counted(self, changes, column, reason):
        file = read("water", water([told("water"), told("water", **changes)]))

        found = self.reject(file)
        assert (found.line_no, found.column) == (3, column)
        assert reason in found.reason
        assert file.count == 1

    def test_names_the_flag_it_does_not_know(self):
        content = water([told("water")]).replace("成功".encode(), "未知".encode())

        assert (
            "'未知' is unknown: it is one of '成功', '冲正', '拒绝'"
            in self.reject(read("water", content)).reason
        )

    def test_is_kept_up_to_a_limit_and_counted_beyond_it(self):
        file = read("water", water([told("water", bill="b")] * (REJECTS_KEPT + 5)))

        assert (len(file.rejects), file.reject_count) == (REJECTS_KEPT, REJECTS_KEPT + 5)

    def test_with_an_amount_nobody_can_read_refuses_the_list_that_states_a_sum(self):
        content = water([told("water")]).replace(b'"86.50"', b'"86,50"')

        with pytest.raises(ConfirmationFileError, match="control sum cannot be proven") as refused:
            read("water", content)
        assert refused.value.line_no == 2


class TestAListThatIsRefused:
    @pytest.mark.parametrize("code", TEXTS)
    @given(data=st.data(), off=st.sampled_from([-1, 1]))
    def test_is_one_off_in_its_count_or_sum(self, code, data, off):
        rows = data.draw(lists(code))

        with pytest.raises(ConfirmationFileError):
            read(code, WRITERS[code](rows, fen=off))
        if rows or off > 0:
            with pytest.raises(ConfirmationFileError, match=f"says it holds {len(rows) + off}"):
                read(code, WRITERS[code](rows, count=off))

    @pytest.mark.parametrize("wrong", [{"count": 1}, {"count": -1}, {"fen": 1}, {"fen": -1}])
    def test_is_a_workbook_one_off(self, wrong):
        with pytest.raises(ConfirmationFileError):
            read("telecom", telecom([told("telecom")], **wrong))

    @pytest.mark.parametrize("code", TEXTS)
    @given(data=st.data())
    def test_is_cut_anywhere_but_where_nothing_is_lost(self, code, data):
        rows = data.draw(lists(code, most=4))
        whole = WRITERS[code](rows)

        cut = whole[: data.draw(st.integers(0, len(whole) - 1))]

        try:
            file = read(code, cut)
        except ConfirmationFileError:
            return
        assert rows_of(file) == expected(rows)  # the last zero of the sum, or the last line break

    @pytest.mark.parametrize("code", TEXTS)
    @given(data=st.data())
    def test_is_anything_that_is_none_and_nothing_breaks(self, code, data):
        whole = WRITERS[code](data.draw(lists(code, most=3)))
        at = data.draw(st.integers(0, len(whole)))
        end = data.draw(st.integers(at, len(whole)))

        with suppress(ConfirmationFileError):
            list(read(code, whole[:at] + data.draw(st.binary(max_size=20)) + whole[end:]))

    def test_is_xml_that_brings_entities(self):
        bomb = b'<!DOCTYPE c [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
        content = WRITERS["gas"]([told("gas", reason="x")])
        content = content.replace(b"<Confirmations", bomb + b"<Confirmations", 1)

        with pytest.raises(ConfirmationFileError, match="DTD or entities"):
            read("gas", content.replace(b">x<", b">&b;<"))

    def test_states_a_sum_of_nothing_that_is_not_nothing(self):
        with pytest.raises(ConfirmationFileError, match=r"0\.01 yuan but it holds no row"):
            read("power", power([], fen=1))

    @pytest.mark.parametrize("part", [1, 3, 5, 9])
    def test_is_a_workbook_that_was_cut(self, part):
        whole = telecom([told("telecom")])

        with pytest.raises(ConfirmationFileError):
            read("telecom", whole[: len(whole) * part // 10])

    @pytest.mark.parametrize("code", WRITERS)
    def test_is_that_of_another_day_even_without_a_row(self, code):
        for rows in ([], [told(code)]):
            content = WRITERS[code](rows, day=DAY + timedelta(days=1))
            with pytest.raises(ConfirmationFileError, match="is of 2026-11-21, not of 2026-11-20"):
                read(code, content)

    @pytest.mark.parametrize("code", WRITERS)
    def test_is_another_companys(self, code):
        other = {"water": "power", "power": "gas", "gas": "telecom", "telecom": "water"}[code]

        with pytest.raises(ConfirmationFileError):
            read(code, WRITERS[other]([told(other)]))

    @pytest.mark.parametrize(
        ("code", "content", "told"),
        [
            ("power", power([]).replace(b"CITYPOWR", b"CITYGASS"), "CITYPOWR must"),
            ("power", b"", "the file is empty: send it again with its rows in it"),
            ("water", water([]).replace("处理时间".encode(), b"time"), "has no column 处理时间"),
            ("gas", b"<Response><Code>41</Code></Response>", "this is the confirmation file of"),
            ("telecom", b"<html>502</html>", "is a web page"),
        ],
        ids=["company", "empty", "column", "answer", "page"],
    )
    def test_is_told_so_in_words_that_name_what_it_should_be(self, code, content, told):
        with pytest.raises(ConfirmationFileError) as refused:
            read(code, content)

        assert told in str(refused.value)
        assert "bill file" not in str(refused.value)
        assert refused.value.code == "confirmation_file.refused"


def test_a_refusal_is_no_money_and_a_reversal_is_less():
    rows = [told("water"), told("water", kind=REFUSED), told("water", kind=BACK, fen=-50)]

    file = read("water", water(rows))

    assert [(row.kind, row.amount_fen) for row in file] == [
        (ConfirmationKind.WRITTEN_OFF, 8_650), (ConfirmationKind.REFUSED, 8_650),
        (ConfirmationKind.REVERSED, -50),
    ]  # fmt: skip
    assert file.sum_fen == 8_600
