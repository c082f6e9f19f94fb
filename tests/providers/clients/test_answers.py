"""What is read of an answer, and what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.clients.answers import read_answer

BOMB = (
    b'<!DOCTYPE a [<!ENTITY b "' + b"x" * 1_000 + b'"><!ENTITY c "&b;&b;&b;&b;">]><a><k>&c;</k></a>'
)


class TestJson:
    def test_numbers_keep_their_digits(self):
        answer = read_answer(b'{"a": {"n": 86.50, "t": "x", "b": true, "z": null}}', "json")

        assert (answer.word("a.n"), answer.text("a.n")) == ("86.50", None)
        assert (answer.word("a.t"), answer.text("a.t")) == ("x", "x")
        assert (answer.said("a.b"), answer.said("a.n"), answer.word("a.b")) == (
            "true",
            "86.50",
            None,
        )
        assert (answer.word("a.z"), answer.word("a.n.x")) == (None, None)

    @pytest.mark.parametrize(
        "body",
        [
            b'{"result": "refused", "result": "accepted"}',
            b'{"n": NaN}', b"[1]", b"1", b"", b"\xff", b"[" * 50_000, b'{"a": 1', b"<html>",
        ],
        ids=lambda body: str(body)[:24],
    )  # fmt: skip
    def test_what_says_one_thing_twice_or_nothing_is_not_read(self, body):
        assert read_answer(body, "json") is None


class TestXml:
    def test_names_are_looked_at_without_namespaces_and_in_any_encoding(self):
        body = '<?xml version="1.0" encoding="GB18030"?>'
        body += '<n:R xmlns:n="u" k="1"><n:M> 王䶮 </n:M></n:R>'

        answer = read_answer(body.encode("gb18030"), "xml")

        assert (answer.text("M"), answer.text("@k"), answer.text("M.x")) == ("王䶮", "1", None)

    def test_an_element_that_comes_twice_says_nothing(self):
        answer = read_answer(b"<R><Code>11</Code><Code>00</Code></R>", "xml")

        assert (answer.word("Code"), answer.has("Code")) == (None, True)

    def test_rows_are_told_in_order(self):
        answer = read_answer(b"<R><B><x>1</x></B><B><x>2</x></B></R>", "xml")

        assert [row.word("x") for row in answer.rows("B")] == ["1", "2"]

    @pytest.mark.parametrize(
        "body",
        [
            BOMB,
            b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
            b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
            "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>".encode("utf-16"),
            b"<a>" * 5_000 + b"</a>" * 5_000, b"", b"<a>", b"{}", b"\xff",
        ],
        ids=lambda body: str(body)[:24],
    )  # fmt: skip
    def test_entities_doctypes_depth_and_rubbish_are_not_read(self, body):
        assert read_answer(body, "xml") is None


@given(st.binary(max_size=300), st.sampled_from(["json", "xml"]))
def test_no_bytes_whatever_make_a_reader_fail(body, kind):
    answer = read_answer(body, kind)

    assert answer is None or answer.word("a.b.@c") is None
