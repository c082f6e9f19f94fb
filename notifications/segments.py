"""How many messages a phone company makes of one text, and so what it costs.

Source: 3GPP TS 23.038: 140 bytes a message, six of them gone once there are several; the default
alphabet in table 6.2.1, its extension in table 6.2.1.1. A text with any other character goes as
UCS-2, which in practice is UTF-16.
"""

from enum import StrEnum
from typing import Final, NamedTuple


class Encoding(StrEnum):
    GSM_7 = "GSM-7"
    UCS_2 = "UCS-2"


class Segments(NamedTuple):
    """What a text takes; a unit is a septet of GSM-7 or 16 bits of UCS-2.

    ``left_in_part`` is how many units may still be written before one more part begins.
    """

    encoding: Encoding
    units: int
    parts: int
    left_in_part: int


_ALPHABET: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_ESCAPED: Final = "\f^{}\\[~]|€"
_SEPTETS: Final = dict.fromkeys(_ALPHABET, 1) | dict.fromkeys(_ESCAPED, 2)
_ALONE: Final = {Encoding.GSM_7: 160, Encoding.UCS_2: 70}
_OF_SEVERAL: Final = {Encoding.GSM_7: 153, Encoding.UCS_2: 67}


def segments(text: str) -> Segments:
    """Count a whole text, its signature 【…】 included; an empty one still is a message."""
    encoding, widths = Encoding.GSM_7, [_SEPTETS.get(char, 0) for char in text]
    if 0 in widths:
        encoding, widths = Encoding.UCS_2, [2 if char > "\uffff" else 1 for char in text]
    units, size = sum(widths), _ALONE[encoding]
    if units <= size:
        return Segments(encoding, units, 1, size - units)
    size = _OF_SEVERAL[encoding]
    parts, filled = 1, 0
    for width in widths:
        if filled + width > size:  # what takes two units is never torn apart
            parts, filled = parts + 1, 0
        filled += width
    return Segments(encoding, units, parts, size - filled)
