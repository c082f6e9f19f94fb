"""N-12: a template is sentences with places; whatever else stands in braces is never read."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import Invalid
from notifications.wording.template import LINES, LINK, Form, one_line, parse, seen

ALLOWED = frozenset({"amount", "company", "due_on"})
# What template engines, format strings and shells have been tricked with.
EVIL = [
    "{{7*7}}", "{{config}}", "{% import os %}", "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "${7*7}", "#{7*7}", "<%= 7*7 %>", "{amount.__class__}", "{amount!r}", "{amount:>10}",
    "{amount[0]}", "{0}", "{}", "{ amount }", "{AMOUNT}", "{amount", "amount}", "}{", "{{amount}}",
    "{amount}}", "{{", "}}", "{lines.x}", "{self}", "{link!s}", "{{ lipsum.__globals__ }}",
    "{php}echo 1;{/php}", "{{constructor.constructor('alert(1)')()}}", "{%25 7*7 %25}",
    "{a{amount}", "{# comment #}", "{amount\n}", "{а\u0443}",
]  # fmt: skip
HARMLESS_WITHOUT_BRACES = {"<%= 7*7 %>"}


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("where", ["title", "text"])
@pytest.mark.parametrize("evil", EVIL)
def test_anything_but_a_place_is_refused_with_where_it_stands(evil, where, form):
    title, body = (f"应缴 {evil}", "好") if where == "title" else ("好", f"应缴 {evil}")
    if evil in HARMLESS_WITHOUT_BRACES:
        parsed = parse(title, body, form, ALLOWED)
        assert evil in parsed.title.fill({}) + parsed.paragraphs[0][0].fill({})
        return

    with pytest.raises(Invalid) as refused:
        parse(title, body, form, ALLOWED)

    facts = refused.value.facts
    assert (facts["where"], facts["line"]) == (where, 1)
    assert 4 <= facts["character"] <= 3 + len(evil)


def test_a_place_of_another_event_is_refused_and_the_own_ones_are_named():
    with pytest.raises(Invalid, match=r"text, line 2, character 3: .*\{amount\}, \{company\}"):
        parse("好", "您好！\n收到{code}", Form.LETTER, ALLOWED)


@pytest.mark.parametrize(("body", "code"), [
    ("合计 {lines}", "alone"), ("{link} 点这里", "alone"), ("", "empty"), (" \n ", "empty"),
    ("好\x07", "unseen"), ("好\u202e", "unseen"), ("好\ud800", "unseen"),
])  # fmt: skip
def test_what_a_letter_cannot_hold_is_refused(body, code):
    with pytest.raises(Invalid) as refused:
        parse("好", body, Form.LETTER, ALLOWED)

    assert refused.value.code == f"template.{code}"


@pytest.mark.parametrize(("title", "body", "code"), [
    ("一\n二", "好", "lines"), ("一\r\nBcc: x@y", "好", "lines"), ("一", "好\n好", "lines"),
    ("{lines}", "好", "place"), ("一", "{link}", "place"),
])  # fmt: skip
def test_a_title_and_a_short_form_are_one_line(title, body, code):
    with pytest.raises(Invalid) as refused:
        parse(title, body, Form.SHORT, ALLOWED)

    assert refused.value.code == f"template.{code}"


def test_line_ends_of_every_kind_divide_paragraphs():
    parsed = parse("t", "a\r\n\r\nb\rc\n \t\n{lines}\n\n\n\n{link}\n", Form.LETTER, ALLOWED)

    shape = [[getattr(line, "between", line) for line in part] for part in parsed.paragraphs]
    assert shape == [["a"], ["b", "c"], [LINES], [LINK]]


PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="{}\n\r"), max_size=40)


@given(st.lists(PLAIN, min_size=2, max_size=5), st.lists(st.text(max_size=30), min_size=4))
@example(["100%", "%s%(x)s%%"], ["%s", "{amount}", "%", "{{7*7}}"])
def test_what_is_filled_in_is_never_read_again(between, values):
    """Law: the literal parts and the values come out as they went in, whatever they look like."""
    places = sorted(ALLOWED)
    between = [seen(part) for part in between]
    between[0], between[-1] = "a" + between[0], between[-1] + "z"  # no blank at either end
    body = between[0] + "".join(
        f"{{{places[number % 3]}}}{part}" for number, part in enumerate(between[1:])
    )
    filled = dict(zip(places, values, strict=False))

    [[sentence]] = parse("t", body, Form.SHORT, ALLOWED).paragraphs

    wanted = between[0] + "".join(
        filled[places[number % 3]] + part for number, part in enumerate(between[1:])
    )
    assert sentence.fill(filled) == wanted


@given(st.text())
@example("a\r\nBcc: x@example.com")
@example("a\u2028b\x00\ud800")
def test_a_line_made_of_anything_is_one_line_that_can_be_seen(text):
    line = one_line(text)

    assert not re.search(r"[\r\n\x00-\x1f\x7f\u2028\u2029\u202e]", line)
    line.encode()
    assert seen(seen(text)) == seen(text)
