"""Tag 86: what an entry says, in subfields (``?20``), between slashes (``/REMI/``), or freely.

Source: docs/wire/bank-statements.md, MT940.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from payments.statements.base import clean

_WIDTH: Final = 65  # of a line: one that is full goes on in the next without a blank
_SUBFIELD_WIDTH: Final = 27
_SUBFIELDS: Final = re.compile(r"([0-9]{3})?([?<>~^])(?=[0-9]{2})")
_REMITTANCE: Final = (*range(20, 30), *range(60, 64))
_KEYS: Final = re.compile(
    r"(?<![A-Z0-9])(EREF|KREF|MREF|CRED|DEBT|COAM|OAMT|SVWZ|ABWA|ABWE|PURP)\+"
)
_SLASHED: Final = re.compile(
    r"/(TRCD|TRTP|IBAN|BIC|NAME|REMI|EREF|KREF|IREF|PREF|MARF|CSID|ORDP|BENM|CNTP|RTRN|ID|ADDR"
    r"|EXCH|OCMT|CHGS|ULTB|ULTD|ULTC|ISDT|PURP|SUBID)/"
)
_OURS: Final = ("EREF", "KREF", "IREF", "PREF", "MARF", "MREF")


class Words(NamedTuple):
    words: str = ""
    references: tuple[str, ...] = ()
    other_name: str = ""
    other_account_no: str = ""
    code: str = ""


def read_words(lines: Sequence[str]) -> Words:
    """Read the lines of tag 86; whatever they are, there is nothing to refuse in words."""
    joined = "".join(lines)
    structured = _SUBFIELDS.match(joined)
    if structured is not None:
        return _subfields(joined[structured.end(1) if structured.group(1) else 0 :], structured)
    if _SLASHED.search(joined) is not None:
        return _slashed(_together(lines, _WIDTH, glue=""))
    text = _together(lines, _WIDTH)
    keyed = _keyed(text)
    return Words(words=clean(text), references=_references(keyed))


def _together(pieces: Sequence[str], width: int, glue: str = " ") -> str:
    """Join what was wrapped: a piece of the full width goes on, after another stands a blank."""
    text = ""
    for at, piece in enumerate(pieces):
        parted = at > 0 and (len(pieces[at - 1]) < width or _KEYS.match(piece) is not None)
        text += f"{glue}{piece}" if parted else piece
    return text


def _subfields(text: str, opening: re.Match[str]) -> Words:
    mark = re.escape(opening.group(2))
    parts = re.split(rf"{mark}([0-9]{{2}})", text)
    held: dict[int, str] = {}
    for key, value in zip(parts[1::2], parts[2::2], strict=True):
        held.setdefault(int(key), value)
    remittance = _together([held[key] for key in _REMITTANCE if key in held], _SUBFIELD_WIDTH)
    keyed = _keyed(remittance)
    return Words(
        words=clean(keyed.get("SVWZ", remittance) or held.get(0, "")),
        references=_references(keyed),
        other_name=clean(held.get(32, "") + held.get(33, "")),
        other_account_no="".join(held.get(31, "").split()),
        code=opening.group(1) or "",
    )


def _keyed(text: str) -> dict[str, str]:
    parts = _KEYS.split(text)
    return dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))


def _slashed(text: str) -> Words:
    parts = _SLASHED.split(text)
    held: dict[str, str] = {}
    for key, value in zip(parts[1::2], parts[2::2], strict=True):
        held.setdefault(key, value.strip("/ "))
    other = held.get("CNTP", "").split("/")
    name = held.get("NAME") or (other[2] if len(other) > 2 else "")
    remittance = re.sub(r"^(?:USTD|STRD)/+", "", held.get("REMI", ""))
    return Words(
        words=clean(remittance or parts[0]),
        references=_references(held),
        other_name=clean(name),
        other_account_no="".join((held.get("IBAN") or other[0]).split()),
        code=held.get("TRCD", ""),
    )


def _references(held: dict[str, str]) -> tuple[str, ...]:
    return tuple(held[key] for key in _OURS if key in held)
