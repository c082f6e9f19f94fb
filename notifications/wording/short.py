"""The short form: one line, with a signature and where to go in a text message."""

from collections.abc import Mapping
from typing import Final

from notifications.segments import segments
from notifications.wording.template import Parsed, Sentence, one_line

# What a text message begins with: the law asks for it in Chinese, and carriers know it by this.
SIGNATURES: Final[Mapping[str, str]] = {"zh_CN": "【城市账单】", "en": "[CityBill] "}
_MOST_PARTS: Final = 2


class Short:
    """The short form of one template in one language, ready to be written many times."""

    def __init__(self, parsed: Parsed, *, locale: str) -> None:
        [[body]] = parsed.paragraphs
        assert isinstance(body, Sentence)
        self._title, self._body, self._signature = parsed.title, body, SIGNATURES[locale]
        self._places, self._english = body.places, locale == "en"

    def title(self, values: Mapping[str, str]) -> str:
        return one_line(self._title.fill(values))

    def body(self, values: Mapping[str, str]) -> str:
        return one_line(self._body.fill(values)).strip()

    def text_message(self, values: Mapping[str, str], link: str) -> str:
        """Return it signed; with the link if it then still takes two messages at most."""
        # One dot that GSM-7 lacks halves what a message holds; Chinese is UCS-2 anyway.
        text = self._signature + self.body(values).replace(" · ", ", " if self._english else " · ")
        with_link = f"{text} {link}"
        return with_link if link and segments(with_link).parts <= _MOST_PARTS else text

    def in_places(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return what fills the places of a carrier's own copy of these words."""
        return {place: one_line(values.get(place, "")) for place in self._places}
