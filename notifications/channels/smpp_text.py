"""A text as the octets of short messages: one, or parts that a phone puts together again.

Source: 3GPP TS 23.038, 6.2.1 (alphabet) and 6.2.3 (UCS-2); 3GPP TS 23.040, 9.2.3.24.1 (parts); SMPP
3.4, 5.2.12 (esm_class) and 5.2.19 (data_coding). A septet travels as an octet of its own: packing
is the centre's affair. smpplib splits too, but through the middle of a character.
"""

from typing import Final, NamedTuple

GSM_7: Final = 0x00
UCS_2: Final = 0x08
_ALPHABET: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_ESCAPE: Final = 0x1B
_ESCAPED: Final = {
    "\f": 0x0A, "^": 0x14, "{": 0x28, "}": 0x29, "\\": 0x2F,
    "[": 0x3C, "~": 0x3D, "]": 0x3E, "|": 0x40, "€": 0x65,
}  # fmt: skip
_OCTETS: Final = {char: bytes([code]) for code, char in enumerate(_ALPHABET) if code != _ESCAPE} | {
    char: bytes([_ESCAPE, code]) for char, code in _ESCAPED.items()
}
_ALONE: Final = {GSM_7: 160, UCS_2: 140}  # octets
_OF_SEVERAL: Final = {GSM_7: 153, UCS_2: 134}
_MOST_PARTS: Final = 255


_CHARS: Final = {code: char for code, char in enumerate(_ALPHABET) if code != _ESCAPE}
_AFTER_ESCAPE: Final = {code: char for char, code in _ESCAPED.items()}
# SMPP 3.4, 5.2.19; 15 is what operators in China use for GBK.
_CODECS: Final = {0x01: "ascii", 0x03: "latin-1", UCS_2: "utf-16-be", 0x0F: "gb18030"}


def read_text(octets: bytes, data_coding: int) -> str:
    """Return what a phone wrote; what cannot be read stands as U+FFFD."""
    if data_coding in _CODECS:
        return octets.decode(_CODECS[data_coding], "replace")
    chars, rest = [], iter(octets)
    for octet in rest:
        known = _AFTER_ESCAPE if octet == _ESCAPE else _CHARS
        chars.append(known.get(next(rest, 0) if octet == _ESCAPE else octet, "\ufffd"))
    return "".join(chars)


class Part(NamedTuple):
    """One short message; ``joined``: it begins with a header that says of which it is a part."""

    octets: bytes
    data_coding: int
    joined: bool


def parts_of(text: str, *, reference: int) -> list[Part]:
    """Return the short messages of a text, in order; no character is torn apart.

    Args:
        reference: 0 to 255; by it a phone knows the parts of one text.

    Raises:
        ValueError: a text of more parts than can be numbered.
    """
    coding = GSM_7 if _OCTETS.keys() >= set(text) else UCS_2
    chars = [_OCTETS[char] if coding == GSM_7 else char.encode("utf-16-be") for char in text]
    whole = b"".join(chars)
    if len(whole) <= _ALONE[coding]:
        return [Part(whole, coding, joined=False)]
    pieces = _filled(chars, _OF_SEVERAL[coding])
    if len(pieces) > _MOST_PARTS:
        raise ValueError(f"{len(pieces)} parts")
    return [
        Part(bytes([5, 0, 3, reference, len(pieces), number]) + piece, coding, joined=True)
        for number, piece in enumerate(pieces, 1)
    ]


def _filled(chars: list[bytes], size: int) -> list[bytes]:
    pieces = [bytearray()]
    for char in chars:
        if len(pieces[-1]) + len(char) > size:
            pieces.append(bytearray())
        pieces[-1] += char
    return [bytes(piece) for piece in pieces]
