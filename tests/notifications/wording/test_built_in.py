"""The words that come with us: complete, readable, and short where each message costs money."""

import re
import tomllib

import pytest

from notifications.catalogue import EVENTS, Subject
from notifications.segments import segments
from notifications.wording.built_in import FOLDER, built_in
from notifications.wording.rendering import Key, words_of
from notifications.wording.samples import sample
from notifications.wording.template import Form, parse

LANGUAGES = ["zh_CN", "en"]
ALL = [
    Key(event, form, locale, edition)
    for event in EVENTS
    for form in Form
    for locale in LANGUAGES
    for edition in ("plain", "elder")
]
THERE = [key for key in ALL if key.edition == "plain" or built_in(*key)]


def named(key: Key) -> str:
    return "-".join(key)


@pytest.mark.parametrize("key", THERE, ids=named)
def test_they_say_everything_and_nothing_is_left_to_fill_in(key):
    source = built_in(*key)
    assert source is not None
    parse(*source, key.form, EVENTS[key.event].places)

    channel = "email" if key.form is Form.LETTER else "push"
    said = words_of(key, source, channel, sample(key.event, key.locale))

    text = f"{said.title}\n{said.body}"
    assert not re.search(r"[{}]|  \S*$|None", said.title), text
    assert not re.search(r"[{}]", said.body), text
    assert bool(re.search("[一-鿿]", text)) is (key.locale == "zh_CN"), text
    assert len(said.title) <= 80, said.title


@pytest.mark.parametrize("key", [key for key in THERE if key.form is Form.SHORT], ids=named)
def test_a_text_message_takes_two_parts_at_most_and_the_link_is_never_in_its_words(key):
    source = built_in(*key)
    assert source is not None

    text = words_of(key, source, "sms", sample(key.event, key.locale)).body

    assert segments(text).parts <= 2, text
    assert not re.search(r"[:：]$", source.body), source.body  # the link may not fit


@pytest.mark.parametrize("subject", Subject)
def test_a_file_has_the_events_of_its_subject_and_no_other(subject):
    found = tomllib.loads((FOLDER / f"{subject}.toml").read_text(encoding="utf-8"))

    assert found.keys() == {one.code for one in EVENTS.values() if one.subject == subject}
    forms = {"letter", "short", "elder_letter", "elder_short"}
    for event, locales in found.items():
        assert locales.keys() == {*LANGUAGES}, event
        for words in locales.values():
            assert {"letter", "short"} <= words.keys() <= forms, event
            assert all(one.keys() == {"title", "body"} for one in words.values()), event


@pytest.mark.parametrize("event", [
    "sign_in.code", "bill.ready", "bill.due_soon", "payment.receipt", "payment.returned",
    "autopay.announced", "outage.announced", "outage.over", "statement.monthly", "offer.made",
    "complaint.received", "complaint.answered", "complaint.closed", "complaint.lapsing",
])  # fmt: skip
@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("locale", LANGUAGES)
def test_what_is_told_most_is_told_elder_readers_in_their_own_words(event, form, locale):
    elder = built_in(event, form, locale, "elder")
    plain = built_in(event, form, locale, "plain")

    assert elder is not None
    assert plain is not None
    assert elder.body != plain.body
