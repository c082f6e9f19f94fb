"""In which encoding a file is: declared, detected, contradicted."""

import io
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BillFileError
from providers.formats.text import numbered_lines

SIMPLIFIED = "1|张三|上海市浦东新区示例路12号|应缴水费\n"
TRADITIONAL = "1|張東億|臺北市信義區示例路一段|應繳水費\n"


def lines(data: bytes, encoding: str) -> list[tuple[int, str]]:
    return list(numbered_lines(io.BytesIO(data), encoding))


def refusal(data: bytes, encoding: str) -> BillFileError:
    with pytest.raises(BillFileError) as refused:
        lines(data, encoding)
    return refused.value


class TestDetecting:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
    def test_tells_simplified_chinese(self, encoding):
        assert lines(SIMPLIFIED.encode(encoding), "detect") == [(1, SIMPLIFIED.rstrip())]

    @pytest.mark.parametrize("encoding", ["utf-8", "big5", "gb18030", "utf-16-le", "utf-16-be"])
    def test_tells_traditional_chinese(self, encoding):
        assert lines(TRADITIONAL.encode(encoding), "detect") == [(1, TRADITIONAL.rstrip())]

    @pytest.mark.parametrize("text", ["Müller;Große Straße", "café;à la carte", "50 €"])
    def test_tells_western_text(self, text):
        assert lines(text.encode("cp1252"), "detect") == [(1, text)]

    def test_waits_for_the_first_line_that_tells(self):
        data = b"1|plain\n" * 20_000 + SIMPLIFIED.encode("gb18030")

        assert lines(data, "detect")[-1] == (20_001, SIMPLIFIED.rstrip())

    def test_names_the_byte_of_damaged_utf8(self):
        good = (SIMPLIFIED * 30).encode()

        refused = refusal(good + b"1|\xe5\xbc|x\n", "detect")

        assert refused.line_no == 31
        assert "byte 3 of the line (0xE5) is not UTF-8" in refused.message

    def test_holds_to_what_it_told(self):
        data = SIMPLIFIED.encode() * 5_000 + "张三".encode("gb18030")

        assert refusal(data, "detect").line_no == 5_001

    def test_refuses_what_is_in_no_encoding(self):
        assert (
            "neither UTF-8 nor GB18030" in refusal(b"a\n\xff\xff\xfe\xff\xff\n", "detect").message
        )


class TestDeclaring:
    @pytest.mark.parametrize("encoding", ["gbk", "gb2312", "gb18030"])
    def test_any_of_the_gb_family_reads_as_gb18030(self, encoding):
        assert lines("王䶮".encode("gb18030"), encoding) == [(1, "王䶮")]

    @pytest.mark.parametrize("encoding", ["gb18030", "latin-1", "cp1252", "big5", "ascii"])
    def test_is_contradicted_by_utf8_with_chinese(self, encoding):
        refused = refusal(b"head\n" + SIMPLIFIED.encode() * 3, encoding)

        assert refused.line_no == 2
        assert "looks like UTF-8" in refused.message

    @pytest.mark.parametrize("encoding", ["gb18030", "latin-1", "big5"])
    def test_is_contradicted_by_a_byte_order_mark(self, encoding):
        assert "byte order mark" in refusal(SIMPLIFIED.encode("utf-8-sig"), encoding).message

    @pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
    def test_another_than_utf16_is_contradicted_by_its_mark(self, encoding):
        assert "UTF-16" in refusal(SIMPLIFIED.encode("utf-16"), encoding).message

    def test_utf16_of_what_is_not(self):
        assert "must be UTF-16" in refusal(b"1|2|3\n", "utf-16").message

    def test_utf16_that_was_cut(self):
        data = SIMPLIFIED.encode("utf-16")[:-1]

        assert "broken" in refusal(data, "utf-16").message

    def test_a_nul_in_utf16_text_is_refused_all_the_same(self):
        assert "NUL" in refusal("1|2\n3|\0\n".encode("utf-16"), "utf-16").message


@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60))
def test_utf16_comes_back_character_by_character(text):
    data = f"1|{text}".encode("utf-16")

    assert lines(data, "utf-16") == [(1, f"1|{text}")]


@given(data=st.binary(max_size=200))
@pytest.mark.parametrize("encoding", ["detect", "utf-16", "big5", "cp1252", "ascii"])
def test_any_bytes_raise_nothing_but_a_bill_file_error(encoding, data):
    with suppress(BillFileError):
        lines(data, encoding)
