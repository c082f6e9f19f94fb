"""XML by mapping: attacks on it, mistakes in it, and what a path finds."""

import io
import tracemalloc
from datetime import date
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BillFileError, Invalid
from core.money import yuan_text
from providers.base import BillRecord, Reject
from providers.profiles import Profile, parse_profile
from providers.registry import reader_from
from tests.providers.contract import FACTS, Dripping
from tests.providers.samples_mapped import NESTED, NESTED_BILL, NESTED_FILE, ROW, XML, XML_ROW, xml


def read(data: str | bytes, profile: Profile = XML) -> list:
    raw = data.encode() if isinstance(data, str) else data
    rows = reader_from(profile).read(io.BytesIO(raw))
    return [row for row in rows if isinstance(row, BillRecord | Reject)]


def refusal(data: str | bytes, profile: Profile = XML) -> str:
    with pytest.raises(BillFileError) as refused:
        read(data, profile)
    return str(refused.value)


def one(old: str, new: str) -> BillRecord | Reject:
    assert old in ROW
    (bill,) = read(xml(ROW.replace(old, new, 1)))
    return bill


class TestAnAttack:
    @pytest.mark.parametrize(
        "doctype",
        [
            "<!DOCTYPE x>",
            '<!DOCTYPE x SYSTEM "file:///etc/passwd">',
            '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
            '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        ],
    )
    def test_by_a_document_type_is_refused(self, doctype):
        data = xml(ROW.replace("上海", "&a;" if "ENTITY" in doctype else "上海"))

        assert "the file declares a DTD or entities" in refusal(data.replace("?>", f"?>{doctype}"))

    def test_by_a_document_type_on_another_root_is_refused(self):
        assert "declares a DTD" in refusal('<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>')

    def test_by_including_another_file_is_refused(self):
        xinclude = '<i:include xmlns:i="http://www.w3.org/2001/XInclude" href="/etc/passwd"/>'

        assert "XInclude" in refusal(xml(ROW, xinclude))

    @pytest.mark.parametrize("depth", [70, 300, 5_000])
    def test_by_depth_is_refused(self, depth):
        deep = "<a>" * depth + "</a>" * depth
        data = xml(ROW.replace("<u:Used>", f"{deep}<u:Used>"))
        try:
            (bill,) = read(data)
        except BillFileError:
            return
        assert "more than 64 deep" in bill.reason

    @pytest.mark.parametrize(
        "endless",
        ["<a>" + "x" * 2_000_000 + "</a>", "<a/>" * 600_000, f'<a b="{"x" * 2_000_000}"/>'],
    )
    def test_by_endless_text_is_refused(self, endless):
        told = refusal(xml(ROW.replace("<u:Used>", f"{endless}<u:Used>")))

        assert "without one whole bill" in told or "the XML is broken" in told

    def test_by_elements_beside_the_bills_does_not_fill_the_memory(self):
        chunks = [f"{ROW}<junk>{'x' * 1_000}</junk>".encode() * 20] * 200
        start, end = xml("!").encode().split(b"!")
        stream = Dripping(iter([start, *chunks, end]))

        tracemalloc.start()
        seen = sum(1 for _ in reader_from(XML).read(stream))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

        assert seen == 4_001
        assert peak < 3_000_000

    def test_by_elements_that_must_be_kept_is_refused(self):
        bill = NESTED_BILL.format("B-1")
        crowd = "<No>1</No>" * 1_001
        data = f"<Export><Account>{crowd}<Bills>{bill}</Bills></Account></Export>"

        assert "more than 1000 elements stand beside the bills" in refusal(data, NESTED)


class TestAnEncoding:
    def test_that_is_not_the_declared_one_is_told_by_the_line(self):
        told = refusal(xml(ROW, declared="UTF-8").encode("gb18030"))

        assert told.startswith("line 3: byte ")
        assert "GB18030" in told

    def test_that_is_declared_and_not_kept_is_told(self):
        told = refusal(xml(ROW, declared="Big5").encode())

        assert told.startswith("line ")
        assert "is not Big5, as the file declares" in told

    @pytest.mark.parametrize(
        ("declared", "told"),
        [("EBCDIC-CP-US", "which is not read"), ("UTF-16", "but its bytes are not")],
    )
    def test_that_nobody_reads_is_told(self, declared, told):
        assert told in refusal(xml(ROW, declared=declared))

    def test_may_go_undeclared(self):
        bare = xml(ROW).partition("?>")[2]

        assert read(b"\xef\xbb\xbf" + bare.encode())[0].holder_name == "张珅"


class TestACell:
    @pytest.mark.parametrize(
        ("old", "new", "column", "told"),
        [
            ("<u:Used>25</u:Used>", "<u:Used>25</u:Used>" * 2, "水量", "twice: which one"),
            ("<u:Used>25", "<u:Used><x/>25", "水量", "holds further elements"),
            ("<u:Used>25</u:Used>", "", "水量", "blank"),
            ("<u:Used>25</u:Used>", "<Used>25</Used>", "水量", "blank"),
            (' no="B-1"', "", "账单号", "the bill number is blank"),
            ("86.50", "86.5O", "金额", "not an amount"),
            ("<u:Line>上海</u:Line>", "", "", ""),
        ],
    )
    def test_that_is_wrong_rejects_its_row_alone(self, old, new, column, told):
        bill = one(old, new)
        if not column:
            assert bill.address == ""
            return
        assert (bill.line_no, bill.column) == (3, column)
        assert told in bill.reason
        assert bill.raw.startswith("<u:Bill")

    def test_of_an_account_is_not_given_to_the_next_one(self):
        data = NESTED_FILE.replace("<No>1000000002</No>", "")

        first, second, third = read(data, NESTED)

        assert first.account_no == second.account_no
        assert third.column == "户号"

    def test_of_the_lines_must_add_up(self):
        data = NESTED_FILE.replace('fen="2500"', 'fen="2499"', 1)

        rejected = read(data, NESTED)[0]

        assert (rejected.column, rejected.line_no) == ("Items/Item", 1)
        assert "8649 fen but the amount is 8650" in rejected.reason


class TestADocument:
    @pytest.mark.parametrize(
        ("data", "told"),
        [
            (xml(ROW)[:-20], "the XML is broken"),
            (xml(), "the file holds no bill"),
            (xml(ROW, count=2), "it holds 2 bills but 1 were read"),
            ("<Other/>", "the file begins with 'Other', not with BillFile"),
            (xml(ROW).replace("urn:sample", "urn:other"), "not with BillFile"),
            (xml(ROW).replace(' no="42"', "", 1), "nothing at b:BillFile/@no before its bills"),
            ("", "the file is empty"),
            ("户号,金额", "the XML is broken"),
        ],
    )
    def test_that_is_not_the_agreed_one_is_refused(self, data, told):
        assert told in refusal(data)

    def test_of_many_lines_still_tells_the_line_or_the_next(self):
        """The parser counts elements to 65,535 lines, and beyond by the texts within them."""
        data = xml("\n" * 70_000, XML_ROW.format("x"))

        assert read(data)[0].line_no in (70_003, 70_004)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('path = "@month"', 'path = "../@month"', "is no path in XML"),
        ('path = "@month"', 'path = "c:a"', "says nothing of the prefix c"),
        ('path = "@month"', 'path = "a[0]"', "is no path in XML"),
        ('path = "@month"', 'path = "/Other/@month"', "begin with BillFile/"),
        ('rows = "b:BillFile', '#', "xml needs rows"),
        ('b:Bill"', 'b:Bill/@no"', "names and / only"),
    ],
)  # fmt: skip
def test_a_profile_that_no_document_can_keep_is_told(old, new, told):
    text = XML_TOML.replace(old, new, 1)
    assert text != XML_TOML
    with pytest.raises(Invalid, match=told):
        reader_from(parse_profile(FACTS + text, "x.toml"))


XML_TOML = """
columns = [
    { name = "户号", path = "b:No", holds = "account_no" },
    { name = "账期", path = "@month", holds = "billing_month" },
    { name = "金额", path = "b:Amount", holds = "amount" },
]
[file]
format = "xml"
rows = "b:BillFile/b:Bill"
namespaces = { b = "urn:sample:bills" }
[defaults]
due_days = 15
period = "billing_month"
issued = "period_end"
bill_no = "account_month"
"""


@settings(max_examples=60, deadline=None)
@given(
    fens=st.lists(st.integers(-99_999_999, 999_999_999), min_size=1, max_size=5),
    holder=st.text(st.sampled_from("张珅瑋䶮𠮷&<>'\"AZ09-"), min_size=1, max_size=10),
    encoding=st.sampled_from(["utf-8", "utf-16", "gb18030"]),
    quoted=st.booleans(),
)
def test_every_fen_and_character_comes_back(fens, holder, encoding, quoted):
    name = f"<![CDATA[{holder}]]>" if quoted and "]]>" not in holder else escape(holder)
    rows = [ROW.replace("86.50", yuan_text(fen)).replace("张珅", name) for fen in fens]

    bills = read(xml(*rows, declared=encoding).encode(encoding))

    assert [bill.amount_fen for bill in bills] == fens
    assert {(bill.holder_name, bill.due_on) for bill in bills} == {(holder, date(2026, 11, 20))}


@given(number=st.text(st.sampled_from("0123456789&<'\""), min_size=1, max_size=20))
def test_an_attribute_comes_back_or_is_rejected_by_its_column(number):
    (bill,) = read(xml(ROW.replace('"1000000001"', quoteattr(number))))

    if isinstance(bill, Reject):
        assert bill.column == "户号"
    else:
        assert bill.account_no == number
