"""Nothing a resident types can leave its place in what we send."""

import json
from urllib.parse import parse_qs, unquote

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree

from core.errors import Invalid
from providers.clients.templates import (
    XmlTemplate,
    fill_bytes,
    fill_json,
    fill_path,
    form_body,
    json_body,
    places_in,
)

ANYTHING = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
PLAIN = st.characters(min_codepoint=32, max_codepoint=0xD7FF)
XML_TEXT = st.text(st.one_of(st.sampled_from("\t\n<>&'\"]"), PLAIN), max_size=40)
HOSTILE = ["</a><b>", "]]>", "<![CDATA[x]]>", "&lt;", "{amount}", '","x":"', "a&b=c", "../..", "\n"]


def hostile(test):
    for text in HOSTILE:
        test = example(text)(test)
    return test


@hostile
@given(ANYTHING)
def test_a_json_leaf_holds_the_value_and_nothing_else_moves(value):
    body = json_body({"a": {"b": ["{x}", "n={x}"]}, "c": 1}, {"x": value})

    assert json.loads(body) == {"a": {"b": [value, f"n={value}"]}, "c": 1}


@hostile
@given(ANYTHING)
def test_a_form_field_holds_the_value_and_no_field_is_added(value):
    body = form_body({"account": value, "trans": "Pay"}).decode()

    assert parse_qs(body, keep_blank_values=True) == {"account": [value], "trans": ["Pay"]}


@hostile
@given(XML_TEXT)
def test_an_xml_text_holds_the_value_and_no_element_is_added(value):
    template = XmlTemplate('<a k="{x}"><b>{x}</b><c/></a>')

    root = etree.fromstring(template.body({"x": value}))

    assert [one.tag for one in root.iter()] == ["a", "b", "c"]
    assert (root.get("k"), root.findtext("b")) == (value, value)


@hostile
@given(ANYTHING)
def test_a_value_stays_one_segment_of_the_path(value):
    try:
        path = fill_path("accounts/{x}/bills", {"x": value})
    except Invalid:
        assert not value.strip(". ")
        return
    request = httpx.Client(base_url="http://company/city").build_request("GET", path)

    segments = request.url.raw_path.decode().split("/")
    assert segments[:3] == ["", "city", "accounts"]
    assert [unquote(one) for one in segments[3:]] == [value, "bills"]


@pytest.mark.parametrize("value", ["\x00", "\x0b", "\ufffe", "\ud800"], ids=ascii)
def test_what_xml_cannot_write_is_refused_before_it_is_sent(value):
    with pytest.raises(Invalid, match="write plain characters"):
        XmlTemplate("<a>{x}</a>").body({"x": value})


@pytest.mark.parametrize("write", [json_body, lambda _, values: form_body(values)])
def test_half_a_character_is_refused_before_it_is_sent(write):
    with pytest.raises(Invalid, match="whole characters"):
        write({"a": "{x}"}, {"x": "\ud800"})


def test_a_place_alone_keeps_a_number_a_number():
    assert fill_json({"fen": "{fen}", "text": "{fen} fen"}, {"fen": 8_650}) == {
        "fen": 8_650,
        "text": "8650 fen",
    }


def test_a_body_of_any_bytes_can_be_signed():
    assert fill_bytes("{time}.{body}", {"time": b"1", "body": b"\xff{time}"}) == b"1.\xff{time}"


def test_places_are_found_in_keys_values_and_lists():
    assert places_in({"{a}": ["{b}", {"x": "{c}{d}"}], "n": 1}) == {"a", "b", "c", "d"}


@pytest.mark.parametrize(
    ("text", "why"),
    [("<a>", "is not XML"), ('<!DOCTYPE a SYSTEM "x"><a>{x}</a>', "must not have a DOCTYPE")],
)
def test_a_document_that_is_none_is_refused(text, why):
    with pytest.raises(ValueError, match=why):
        XmlTemplate(text)
