"""What a sample of a standard leaves open: its currency, and which number is the customer's.

A standard fixes the places, not what a company writes there. Its own reader is asked which numbers
may be a customer's; the proposal names their places and forms, never the numbers.
"""

import re
from dataclasses import dataclass
from itertools import islice
from pkgutil import resolve_name
from typing import BinaryIO, Final, NamedTuple

from core.errors import BillFileError
from providers.base import BillRecord, Reject
from providers.formats.unwrapping import unwrapped
from providers.profile_tables import STANDARDS
from providers.profiles import Profile
from providers.proposing.guesses import ASK
from providers.proposing.sniffing import Sample
from providers.proposing.toml_text import OPEN, remark, text
from providers.registry import READERS
from providers.standards.drafts import Draft, Judge

_DOCUMENTS: Final = 50  # that are looked at
_PLACES: Final = 6
_SHAPE: Final = 24  # characters
_IN_PATH: Final = re.compile(r"the (\w+) of its path")  # a name in any language's sentence: …/User/
_SERVICES: Final = ("power", "gas", "water", "telecom")
_WITHOUT_CURRENCY: Final = ("espi", "x12_810")  # may leave it out
_FACTS: Final = {"code": "sample", "name": "样本", "name_en": "Sample", "phone": "000",
                 "biller_no": "0000"}  # fmt: skip


class Place(NamedTuple):
    """Where a number stands that may be the customer's, and its form: 9 a digit, A a letter."""

    name: str
    shape: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What the first documents of a sample say, best places first; "" is no currency."""

    currencies: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()


class _Noting(Judge):
    """Judges as ever, and keeps what it is given."""

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile)
        self.drafts: list[Draft] = []

    def __call__(self, draft: Draft) -> BillRecord | Reject:
        self.drafts.append(draft)
        return super().__call__(draft)


def look(sample: Sample, stream: BinaryIO) -> Seen:
    """Look at a sample's first documents; the stream is left where it was."""
    if sample.format not in STANDARDS:
        return Seen()
    start = stream.tell()
    drafts: list[Draft] = []
    for service in _SERVICES:
        with unwrapped(stream) as plain:
            rows, drafts = _read(sample, plain, service)
        stream.seek(start)
        if drafts or not rows:  # else they are another service's
            break
    places: dict[str, Place] = {}
    for draft in drafts:
        for number, name in draft.accounts:
            if number:
                places.setdefault(name, Place(_IN_PATH.sub(r"…/\1/", name), _shape(number)))
    currencies = dict.fromkeys(draft.currency for draft in drafts)
    return Seen(tuple(currencies), tuple(places.values())[:_PLACES])


def _read(sample: Sample, plain: BinaryIO, service: str) -> tuple[int, list[Draft]]:
    """Return how many documents there are for a service, and what of them could be read."""
    shape: dict[str, object] = {"format": sample.format, **_encoding(sample)}
    profile = Profile.model_validate({**_FACTS, "service": service, "file": shape})
    judge = _Noting(profile)
    reader = resolve_name(READERS[sample.format])(profile, judge)
    rows = 0
    try:
        for _ in islice(reader.read(plain), _DOCUMENTS):
            rows += 1
    except BillFileError:  # told when the sample is tried
        pass
    return rows, judge.drafts


def _encoding(sample: Sample) -> dict[str, object]:
    told = sample.format == "x12_810" and sample.encoding not in ("", "detect", "utf-8")
    return {"encoding": sample.encoding} if told else {}


def _shape(number: str) -> str:
    shape = re.sub(r"[^\W\d_]", "A", re.sub(r"\d", "9", number))
    return shape if len(shape) <= _SHAPE else f"{shape[:_SHAPE]}…"


def standard_lines(sample: Sample, seen: Seen) -> list[str]:
    """Write what a profile says of a standard, with what its company is asked."""
    lines = [*_currency(sample, seen), "", "[file]"]
    lines.append(f"format = {text(sample.format)}  # {remark(sample.why_format)}")
    lines += [f"{key} = {text(value)}" for key, value in _encoding(sample).items()]
    if not seen.places:
        return lines
    told = ", ".join(f"{place.name} {place.shape}" for place in seen.places)
    asked = f"which of these is the customer's number? {told}"
    return [
        *lines, "", "[account_no]", f"{ASK}{remark(asked)}",
        f"{ASK}what is it like? The first that fits is taken, whatever it is for",
        '# pattern = "[0-9]{10}"', '# words = "10 digits"',
    ]  # fmt: skip


def _currency(sample: Sample, seen: Seen) -> list[str]:
    if "" in seen.currencies and sample.format in _WITHOUT_CURRENCY:
        asked = "the file does not say in which currency its amounts are: which? CNY is yuan"
        return [f'currency = "{OPEN}"  {ASK}{asked}']
    codes = [code for code in seen.currencies if re.fullmatch("[A-Z]{3}", code)]
    if not codes or codes == ["CNY"]:
        return []
    told = ", ".join(codes)
    return [
        f'# currency = "{codes[0]}"  {ASK}are all amounts in {told}, as those of the sample are?'
    ]
