"""JSON that is not as it should be, and JSON that is, in all its shapes."""

import io
import json
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BillFileError, Invalid
from core.money import yuan_text
from providers.base import BillRecord, Reject
from providers.formats import json_walk
from providers.profiles import Profile
from providers.registry import reader_from
from tests.providers.contract import Dripping
from tests.providers.samples_mapped import (
    GAS,
    GAS_ITEM,
    IN_A_DOCUMENT,
    LINES,
    LISTED,
    OBJECT,
    TELECOM,
    TELECOM_ITEM,
    WATER,
    WATER_ITEM,
    dumped,
    json_profile,
)


def read(data: bytes, profile: Profile = LISTED) -> list:
    return list(reader_from(profile).read(io.BytesIO(data)))


def one(profile: Profile = LISTED, **changes: object) -> BillRecord | Reject:
    (bill,) = read(dumped([OBJECT | changes]), profile)
    return bill


def refusal(data: bytes, profile: Profile = LISTED) -> str:
    with pytest.raises(BillFileError) as refused:
        read(data, profile)
    return str(refused.value)


def document(**changes: object) -> bytes:
    data = {"bills": [OBJECT], "count": 1, "sum": "86.50"}
    return dumped({"code": "0", "head": {"no": "42"}, "data": data} | changes)


class TestABrokenDocument:
    @pytest.mark.parametrize(
        ("data", "told"),
        [
            (b'[{"a": NaN}]', "the JSON is broken (lexical error"),
            (b'[{"a": -Infinity}]', "the JSON is broken"),
            (b'[{"a": 1,}]', "the JSON is broken"),
            (b'[{"a": 1}', "the JSON is broken (parse error: premature EOF"),
            (b"[] {}", "a second document follows the first"),
            (b'[{"a": 1, "a": 2}]', "the key 'a' is there twice in one object"),
            (b'[{"a": {"b": 1, "b": 2}}]', "the key 'b' is there twice"),
            (b'{"a": 1, "a": 2}', "the key 'a' is there twice"),
            (b"[" * 70 + b"]" * 70, "more than 64 deep"),
            (b'[{"a": ' + b"[" * 70 + b"]" * 70 + b"}]", "more than 64 deep"),
            (b'[{"a": "\\ud842"}]', "is half of a character"),
            (b'[{"a": "\\\\\\udfb7 "}]', "is half of a character"),
            (b'[{"a": ' + b"9" * 5_000 + b"}]", "hundreds of digits"),
            (b'[{"a": 1e' + b"9" * 30 + b"}]", "hundreds of digits"),
            (b'[{"a": "' + b"x" * 1_100_000 + b'"}]', "bytes go by without one whole bill"),
            (b'[{"a": "\xff"}]', "is not UTF-8"),
            (b'{"bills": null}', "the file holds no bill"),
            (b"[]", "the file holds no bill"),
            (b" \n", "the file is empty"),
            (b"PK\x03\x04", "archive"),
        ],
    )
    def test_is_refused_by_what_is_wrong(self, data, told):
        below = json_profile('format = "json"\nrows = "bills"')

        assert told in refusal(data, below if data.startswith(b'{"bills') else LISTED)

    def test_is_told_after_which_row(self):
        assert "(after row 2)" in refusal(dumped([OBJECT, OBJECT])[:-1] + b", {]")

    def test_may_hold_whole_characters_in_escapes(self):
        holder = json.dumps([OBJECT | {"account": {"no": "1000000001", "names": ["𠮷 \\ud8"]}}])

        (bill,) = read(holder.encode())
        drip = Dripping(bytes([byte]) for byte in holder.encode() + b" " * 500)

        assert bill.holder_name == "𠮷 \\ud8"
        assert list(reader_from(LISTED).read(drip)) == [bill]


class TestARow:
    def test_that_is_no_object_is_rejected_alone(self):
        rejected, bill = read(dumped([7, OBJECT]))

        assert (rejected.line_no, rejected.raw) == (1, "7")
        assert (bill.line_no, bill.amount_fen) == (2, 8_650)

    @pytest.mark.parametrize(
        ("key", "value", "column"),
        [
            ("no", {"a": 1}, "账单号"), ("no", None, "账单号"), ("amount", True, "金额"),
            ("amount", 86.499, "金额"), ("amount", "1e2", "金额"), ("period", "x", "起"),
            ("账期", 202613, "账期"), ("账期", 2026.1, "账期"), ("used", -1, "水量"),
        ],
    )  # fmt: skip
    def test_with_a_wrong_value_is_rejected_by_its_column(self, key, value, column):
        rejected = one(**{key: value})

        assert rejected.column == column
        assert rejected.reason
        assert json.loads(rejected.raw)

    def test_may_say_its_numbers_as_numbers_or_as_text(self):
        assert one(amount="86.5") == one(amount=86.5) == one()

    def test_has_no_digit_changed_however_long(self):
        profile = json_profile('format = "json"', '[bill_no]\npattern = "[0-9]+"\nwords = "digits"')

        assert one(profile, no=310012345678901234567).bill_no == "310012345678901234567"


class TestADocument:
    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"code": "1"}, "column 结果: in the header, '1' stands where 0 must"),
            ({"head": {}}, "column 序号: the file says nothing at head.no before its bills"),
            ({"head": {"no": "x"}}, "column 序号: in the header, 'x' is not a whole number"),
            ({"data": {"bills": [OBJECT], "sum": 86.5}}, "says nothing at data.count"),
            ({"data": {"bills": [OBJECT], "count": 2, "sum": 86.5}}, "it holds 2 bills but 1"),
            ({"data": {"bills": [OBJECT], "count": 1, "sum": 86.49}}, "86.49 yuan but they come"),
            ({"data": {"bills": [OBJECT], "count": 1, "sum": 86.51}}, "86.51 yuan but they come"),
        ],
    )
    def test_that_contradicts_itself_is_refused(self, changes, told):
        assert told in refusal(document(**changes), IN_A_DOCUMENT)

    def test_may_be_one_bill(self):
        assert len(read(dumped(OBJECT))) == 1

    def test_in_another_encoding_is_read_as_the_profile_says(self):
        data = dumped([OBJECT]).decode()
        for encoding in ("gb18030", "utf-16", "detect"):
            profile = json_profile(f'format = "json"\nencoding = "{encoding}"')
            coded = data.encode("gb18030" if encoding == "detect" else encoding)

            assert read(coded, profile)[0].holder_name == "张珅"

    def test_that_wants_to_be_gb18030_and_is_not_is_told_by_the_line(self):
        profile = json_profile('format = "json"\nencoding = "gb18030"')

        assert refusal(b'[\n"\xff"]', profile).startswith("line 2: a byte of the line (0xFF)")

    def test_of_several_accounts_gives_no_bill_to_the_wrong_one(self):
        profile = json_profile('format = "json"\nrows = "accounts.bills"',
                               columns=LISTED_ABOVE)  # fmt: skip
        accounts = [
            {"no": "1000000001", "bills": [OBJECT, OBJECT]},
            {"bills": [OBJECT], "no": "1000000002"},
        ]

        first, second, late = read(dumped({"accounts": accounts}), profile)

        assert first.account_no == second.account_no == "1000000001"
        assert (late.column, late.line_no) == ("户号", 3)


LISTED_ABOVE = """
columns = [
    { name = "户号", path = "/accounts.no", holds = "account_no" },
    { name = "账期", holds = "billing_month" },
    { name = "账单号", path = "no", holds = "bill_no" },
    { name = "起", path = "period[0]", holds = "period_from" },
    { name = "止", path = "period[1]", holds = "period_to" },
    { name = "出账", path = "issued", holds = "issued" },
    { name = "截止", path = "due", holds = "due" },
    { name = "金额", path = "amount", holds = "amount" },
]
"""


class TestJsonWithinJson:
    @pytest.mark.parametrize(
        ("inner", "told"),
        [("", "must be JSON"), ("[{]", "the JSON is broken"), ("[]", "holds no bill"),
         (json.dumps([{"a": "x" * 1_100_000}]), "a text is longer than 1048576")],
    )  # fmt: skip
    def test_that_is_broken_is_refused(self, inner, told):
        assert told in refusal(dumped({"code": "1", "data": inner}), WATER)

    def test_may_be_plain_after_all(self):
        plain = read(dumped({"code": "1", "data": [WATER_ITEM]}), WATER)

        assert plain == read(dumped({"code": "1", "data": json.dumps([WATER_ITEM])}), WATER)

    def test_is_bounded(self, monkeypatch):
        monkeypatch.setattr(json_walk, "INNER_LIMIT", 1_000)

        assert "longer than 1000" in refusal(dumped({"data": json.dumps([WATER_ITEM] * 9)}), WATER)


class TestItsOwnLines:
    @pytest.mark.parametrize(
        ("lines", "told"),
        [
            ("x", "no list of objects"),
            ([1], "no list of objects"),
            ([{"name": "费", "value": "x"}], "in the line '费', 'x' is not an amount"),
            ([{"name": "费", "value": "86.49"}], "the lines add up to 8649 fen"),
            ([{"name": "费", "value": 0}] * 1_001, "1000 are the limit"),
        ],
    )
    def test_that_do_not_hold_are_rejected(self, lines, told):
        item = TELECOM_ITEM | {"billInfoGroup": [{"feeInfo": lines}]}

        (rejected,) = read(dumped({"bills": [item]}), TELECOM)

        assert told in rejected.reason
        assert rejected.column == "billInfoGroup[0].feeInfo"

    def test_that_are_not_there_leave_the_amount(self):
        (bill,) = read(dumped({"bills": [TELECOM_ITEM | {"billInfoGroup": []}]}), TELECOM)

        assert [(item.name, item.amount_fen) for item in bill.items] == [("应付", 8_650)]


class TestJsonLines:
    @pytest.mark.parametrize(
        "line",
        [b"{", b"[]", b"7", b'{"a": 1, "a": 2}', b'{"a": NaN}', b'{"a": ' + b"[" * 9_000 + b"}",
         b'{"a":' + b"9" * 5_000 + b"}", b'{"a":' + b"[" * 70 + b"]" * 70 + b"}"],
    )  # fmt: skip
    def test_that_are_broken_are_rejected_alone(self, line):
        rejected, bill = read(line + b"\n" + dumped(OBJECT), LINES)

        assert rejected.line_no == 1
        assert rejected.reason
        assert bill.line_no == 2

    @pytest.mark.parametrize("key", ["rows", "inner"])
    def test_know_no_paths_to_rows(self, key):
        with pytest.raises(Invalid, match="each line"):
            reader_from(json_profile(f'format = "json_lines"\n{key} = "a"'))


@pytest.mark.parametrize("path", ["a..b", "a[x]", "[0]", "a[-1]", "a["])
def test_a_path_that_is_none_is_told(path):
    columns = LISTED_ABOVE.replace('"no"', f'"{path}"')
    with pytest.raises(Invalid, match="is no path in JSON"):
        reader_from(json_profile('format = "json"', columns=columns))


def test_a_key_may_hold_any_marks_where_no_path_is_given():
    columns = LISTED_ABOVE.replace('"/accounts.no"', '"id"').replace('"户号"', '"户 [号].x"', 1)
    columns = columns.replace('path = "id", ', "")
    profile = json_profile('format = "json"', columns=columns)

    (bill,) = read(dumped([OBJECT | {"户 [号].x": "1000000001"}]), profile)

    assert bill.account_no == "1000000001"


@settings(max_examples=60, deadline=None)
@given(
    fens=st.lists(st.integers(-99_999_999, 999_999_999), min_size=1, max_size=5),
    issued_on=st.dates(date(2026, 10, 1), date(2027, 10, 1)),
    holder=st.text(st.sampled_from('张珅瑋䶮𠮷\\"/?AZ09-'), min_size=1, max_size=10),
    as_text=st.booleans(),
    escaped=st.booleans(),
)
def test_every_fen_date_and_character_comes_back(fens, issued_on, holder, as_text, escaped):
    due_on = issued_on + timedelta(days=9)
    rows = [
        OBJECT | {
            "amount": yuan_text(fen) if as_text else float(yuan_text(fen)),
            "issued": f"{issued_on:%Y%m%d}", "due": int(f"{due_on:%Y%m%d}"),
            "account": {"no": "1000000001", "names": [holder]},
        }
        for fen in fens
    ]  # fmt: skip
    listed = read(json.dumps(rows, ensure_ascii=escaped).encode())
    lines = "\n".join(json.dumps(row, ensure_ascii=escaped) for row in rows)

    assert listed == read(lines.encode(), LINES)
    assert [bill.amount_fen for bill in listed] == fens
    assert {(bill.issued_on, bill.due_on, bill.holder_name) for bill in listed} == {
        (issued_on, due_on, holder)
    }


def test_a_company_that_says_its_code_last_is_believed_at_the_end():
    data = {"bills": [GAS_ITEM], "accountNo": "1000000001", "resultCode": "0001"}

    assert "'0001' stands where 0000 must" in refusal(dumped(data), GAS)
