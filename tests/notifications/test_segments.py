"""N-11: how many messages a text takes, against an oracle that cuts real bytes.

``CITYBILL_TEXTS=100000 pytest tests/notifications/test_segments.py`` is the long run.
"""

import os
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications.channels.smpp_text import parts_of
from notifications.segments import Encoding, Segments, segments

TEXTS = int(os.environ.get("CITYBILL_TEXTS", "2000"))

# The two tables of 3GPP TS 23.038 by their places, as the standard prints them.
PLACES = {
    0x00: "@£$¥èéùìòÇ\nØø\rÅå", 0x10: "Δ_ΦΓΛΩΠΨΣΘΞ", 0x1C: "ÆæßÉ", 0x20: " !\"#¤%&'()*+,-./",
    0x30: "0123456789:;<=>?", 0x40: "¡ABCDEFGHIJKLMNO", 0x50: "PQRSTUVWXYZÄÖÑÜ§",
    0x60: "¿abcdefghijklmno", 0x70: "pqrstuvwxyzäöñüà",
}  # fmt: skip
ESCAPE = 0x1B
AFTER_ESCAPE = {
    0x0A: "\f", 0x14: "^", 0x28: "{", 0x29: "}", 0x2F: "\\", 0x3C: "[", 0x3D: "~", 0x3E: "]",
    0x40: "|", 0x65: "€",
}  # fmt: skip
CODES = {
    char: bytes([first + offset])
    for first, row in PLACES.items()
    for offset, char in enumerate(row)
} | {char: bytes([ESCAPE, code]) for code, char in AFTER_ESCAPE.items()}


class Cut(NamedTuple):
    """What the oracle found: the payloads that go over the air, two bytes a unit of UCS-2."""

    encoding: Encoding
    payloads: list[bytes]


def cut(text: str) -> Cut:
    if all(char in CODES for char in text):
        septets = b"".join(CODES[char] for char in text)
        return Cut(Encoding.GSM_7, list(pieces(septets, 160, 153, step=1)))
    return Cut(Encoding.UCS_2, list(pieces(text.encode("utf-16-be"), 140, 134, step=2)))


def pieces(coded: bytes, alone: int, of_several: int, *, step: int):
    size = alone if len(coded) <= alone else of_several
    while len(coded) > size:
        end = size
        last = coded[end - step : end]
        if last == bytes([ESCAPE]) or (step == 2 and 0xD8 <= last[0] <= 0xDB):
            end -= step
        yield coded[:end]
        coded = coded[end:]
    yield coded


def counted(text: str) -> Segments:
    encoding, payloads = cut(text)
    step = 1 if encoding is Encoding.GSM_7 else 2
    whole = {Encoding.GSM_7: (160, 153), Encoding.UCS_2: (70, 67)}[encoding][len(payloads) > 1]
    return Segments(
        encoding, sum(map(len, payloads)) // step, len(payloads), whole - len(payloads[-1]) // step
    )


PLAIN = st.sampled_from(sorted(CODES))
ASTRAL = st.sampled_from("😀𠮷🏳𝄞")
CHINESE = st.sampled_from("您的水费单已出，请于月底前缴纳。")
ANY = st.characters(exclude_categories=["Cs"])
BODIES = st.one_of(
    st.text(PLAIN, max_size=20),
    st.text(st.one_of(CHINESE, ASTRAL, ANY, PLAIN), max_size=20),
)
# A long text is pieces, each many times over: so that every boundary is met at every offset.
LONG = st.lists(st.tuples(BODIES, st.integers(1, 60)), max_size=4).map(
    lambda parts: "".join(body * times for body, times in parts)
)
SIGNATURES = st.sampled_from(["", "【城市账单】", "[CityBill] "])


@settings(
    max_examples=TEXTS, deadline=None, suppress_health_check=[HealthCheck.too_slow],
    database=None,
)  # fmt: skip
@given(signature=SIGNATURES, text=LONG)
def test_any_text_takes_what_the_cut_bytes_take(signature, text):
    assert segments(signature + text) == counted(signature + text)


@settings(max_examples=200, deadline=None)
@given(text=LONG)
def test_what_is_counted_is_what_goes_to_an_sms_centre(text):
    assert segments(text).parts == len(parts_of(text, reference=7))


@settings(max_examples=100, deadline=None)
@given(text=LONG)
def test_the_oracle_loses_nothing_and_tears_nothing(text):
    encoding, payloads = cut(text)

    if encoding is Encoding.UCS_2:
        assert "".join(payload.decode("utf-16-be") for payload in payloads) == text
    else:
        assert b"".join(payloads) == b"".join(CODES[char] for char in text)
        assert not any(payload.endswith(bytes([ESCAPE])) for payload in payloads)


class TestBoundaries:
    @pytest.mark.parametrize(
        ("length", "parts", "left"),
        [(70, 1, 0), (71, 2, 63), (134, 2, 0), (135, 3, 66), (201, 3, 0), (202, 4, 66)],
    )
    def test_of_chinese(self, length, parts, left):
        assert segments("水" * length) == (Encoding.UCS_2, length, parts, left)

    @pytest.mark.parametrize(
        ("length", "parts", "left"),
        [(160, 1, 0), (161, 2, 145), (306, 2, 0), (307, 3, 152), (459, 3, 0), (460, 4, 152)],
    )
    def test_of_plain_letters(self, length, parts, left):
        assert segments("x" * length) == (Encoding.GSM_7, length, parts, left)

    def test_the_signature_is_part_of_the_text(self):
        body = "水" * 64

        assert segments(body).parts == 1
        assert segments("【城市账单】" + body).parts == 1
        assert segments("【城市账单】" + body + "费").parts == 2

    def test_a_signature_makes_plain_letters_dear(self):
        assert segments("x" * 71).parts == 1
        assert segments("【水】" + "x" * 68).parts == 2

    def test_one_character_is_enough(self):
        assert segments("x" * 159 + "ç").encoding is Encoding.UCS_2  # only the capital Ç is plain
        assert segments("x" * 159 + "Ç").encoding is Encoding.GSM_7

    def test_an_empty_text_is_a_message(self):
        assert segments("") == (Encoding.GSM_7, 0, 1, 160)


class TestPairs:
    def test_an_emoji_is_two_units(self):
        assert segments("😀") == (Encoding.UCS_2, 2, 1, 68)

    def test_a_surrogate_pair_is_not_torn(self):
        """66 and a pair are 68: the pair moves on, and the first part stays one short."""
        text = "水" * 66 + "😀" + "水" * 65

        assert segments(text) == (Encoding.UCS_2, 133, 2, 0)
        assert segments(text + "水") == (Encoding.UCS_2, 134, 3, 66)

    def test_an_escape_is_two_units_and_not_torn(self):
        assert segments("€" * 80) == (Encoding.GSM_7, 160, 1, 0)
        assert segments("x" * 152 + "€" + "x" * 151) == (Encoding.GSM_7, 305, 2, 0)
        assert segments("x" * 152 + "€" + "x" * 152) == (Encoding.GSM_7, 306, 3, 152)
