"""A PDF as it is drawn: pages of A4 with a pen, tags, properties and bookmarks.

One document or a volume of a thousand: a volume embeds its fonts once.
"""

from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any, Final

from reportlab import rl_config
from reportlab.pdfgen.canvas import Canvas

from billing.documents.fonts import MAIN, printable, require_fonts
from billing.documents.tagging import Tags
from billing.documents.typesetting import Pen

WIDTH, HEIGHT = 595, 842  # A4, in points
CHINESE: Final = "zh-CN"

rl_config.useA85 = 0  # text that survives seven-bit mail is a quarter longer, and slow to make


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """What a PDF says of itself to whoever lists it."""

    title: str
    author: str
    subject: str
    lang: str
    made_at: datetime


class Paper:
    """Draw on it with ``pen``; hold ``TYPESETTING`` while it is drawn on or saved."""

    def __init__(self, properties: Properties, *, volume: bool = False) -> None:
        require_fonts()
        self._buffer = BytesIO()
        self.volume = volume
        self.canvas = Canvas(
            self._buffer, pagesize=(WIDTH, HEIGHT), invariant=1, pageCompression=1,
            lang=properties.lang, initialFontName=MAIN,
        )  # fmt: skip
        self.tags = Tags(self.canvas)
        self.pen = Pen(self.canvas, self.tags)
        self.pages = 0
        self._bookmarks = 0
        self._describe(properties)

    def _describe(self, properties: Properties) -> None:
        canvas = self.canvas
        canvas.setTitle(printable(properties.title))
        canvas.setAuthor(printable(properties.author))
        canvas.setSubject(printable(properties.subject))
        canvas.setCreator("CityBill")
        made = properties.made_at.strftime("%Y%m%d%H%M%S%z")
        canvas.setDateFormatter(lambda *_: f"D:{made}")
        canvas.setViewerPreference("DisplayDocTitle", "true")
        if self.volume:
            canvas.showOutline()

    def bookmark(self, title: str, top: int = HEIGHT, *, level: int = 0) -> None:
        """Have the outline lead here; within a document of a volume only to its beginning."""
        if self.volume and level:
            return
        self._bookmarks += 1
        key = f"b{self._bookmarks}"
        self.canvas.bookmarkHorizontalAbsolute(key, top)
        self.canvas.addOutlineEntry(printable(title), key, level)

    def end_page(self) -> Any:
        """Finish the page; return it as reportlab keeps it until the document is saved."""
        self.pages += 1
        return self.tags.end_page()

    def save(self) -> bytes:
        """Return the document; the same drawing gives the same bytes."""
        self.tags.save()
        self.canvas.save()
        return self._buffer.getvalue()
