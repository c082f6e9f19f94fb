"""A letter as plain text and as HTML, both from the same paragraphs.

The page needs no styles to be read, is dark where the reader's device is, and fetches nothing: no
image, no font, no way to learn that it was opened.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from notifications.wording.template import LINK, Parsed, Sentence, one_line, seen

Lines = Sequence[tuple[str, str]]


class _Said(NamedTuple):
    """What a letter says beside its template."""

    lang: str
    what: str
    amount: str
    go: str
    settings: str


_SAID: Final[Mapping[str, _Said]] = {
    "zh_CN": _Said("zh-CN", "项目", "金额", "在城市账单中打开", "选择通知内容和接收方式"),
    "en": _Said("en", "What", "Amount", "Open in CityBill", "Choose what we tell you, and where"),
}
_SIZES: Final[Mapping[str, tuple[int, int]]] = {"plain": (17, 22), "elder": (24, 30)}
_DARK: Final = (
    "@media (prefers-color-scheme:dark){body{background:#14191e!important;color:#e8edf1!important}"
    "a{color:#8fcdf5!important}a.go{background:#8fcdf5!important;color:#0d1b26!important}}"
)
_CELL: Final = "padding:.5em 0;border-bottom:1px solid #8795a1;font-weight:normal;text-align:"


class Letter:
    """The letter of one template, in one language and edition, ready to be written many times."""

    def __init__(self, parsed: Parsed, *, locale: str, edition: str) -> None:
        self._parsed = parsed
        self._said = said = _SAID[locale]
        self._title, self._paragraphs = _escaped(parsed)
        size, title_size = _SIZES[edition]
        self._head = (
            f'<!doctype html><html lang="{said.lang}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f'<meta name="color-scheme" content="light dark"><style>{_DARK}</style><title>'
        )
        self._begin = (
            f'</title></head><body style="margin:0;padding:1.5em;font:{size}px/1.6 sans-serif;'
            'color:#1b2733;background:#ffffff;overflow-wrap:anywhere">'
            f'<main style="max-width:36em;margin:auto"><h1 style="font-size:{title_size}px;'
            'line-height:1.3">'
        )

    def title(self, values: Mapping[str, str]) -> str:
        return one_line(self._parsed.title.fill(values))

    def text(self, values: Mapping[str, str], lines: Lines, link: str) -> str:
        """Return the plain text; a line that comes out empty is left out, and so is a paragraph."""
        paragraphs = []
        for paragraph in self._parsed.paragraphs:
            said = []
            for line in paragraph:
                if isinstance(line, Sentence):
                    said.append(line.fill(values).strip())
                elif line == LINK:
                    said.append(link)
                else:
                    said += [f"  {one_line(what)}  {one_line(amount)}" for what, amount in lines]
            if whole := "\n".join(filter(None, said)):
                paragraphs.append(whole)
        return seen("\n\n".join(paragraphs)) + "\n"

    def html(self, values: Mapping[str, str], lines: Lines, link: str) -> str:
        """Return the page; whatever is filled in is text."""
        safe = {place: escape(seen(value)) for place, value in values.items()}
        title = one_line(self._title.fill(safe))
        parts = [self._head, title, self._begin, title, "</h1>"]
        for paragraph in self._paragraphs:
            said: list[str] = []
            for line in paragraph:
                if isinstance(line, Sentence):
                    said.append(line.fill(safe).strip())
                    continue
                parts += _paragraph(said)
                said = []
                parts.append(self._link(link) if line == LINK else self._table(lines))
            parts += _paragraph(said)
        return "".join([*parts, "</main></body></html>"])

    def _link(self, link: str) -> str:
        if not link:
            return ""
        href = escape(link)
        return (
            f'<p><a class="go" href="{href}" style="display:inline-block;padding:.6em 1.2em;'
            'border-radius:.5em;background:#0b5c8c;color:#ffffff;text-decoration:none">'
            f'{self._said.go}</a></p><p style="font-size:.85em">{href}</p>'
        )

    def _table(self, lines: Lines) -> str:
        if not lines:
            return ""
        rows = "".join(
            f'<tr><th scope="row" style="{_CELL}left">{escape(one_line(what))}</th>'
            f'<td style="{_CELL}right;padding-left:1em;white-space:nowrap">'
            f"{escape(one_line(amount))}</td></tr>"
            for what, amount in lines
        )
        return (
            '<table style="width:100%;border-collapse:collapse;font-size:1em"><thead><tr>'
            f'<th scope="col" style="{_CELL}left">{self._said.what}</th>'
            f'<th scope="col" style="{_CELL}right;padding-left:1em">{self._said.amount}</th>'
            f"</tr></thead><tbody>{rows}</tbody></table>"
        )


def with_way_to_settings(text: str, page: str, *, link: str, locale: str) -> tuple[str, str]:
    """Return a mail's text and page with the way to the notice settings at their end.

    Args:
        link: where the mail leads: to a page of ours, whose address the settings share.
    """
    said, parts = _SAID["en" if locale == "en" else "zh_CN"].settings, urlsplit(link)
    address = f"{parts.scheme}://{parts.netloc}/preferences"
    foot = (
        '<p style="margin-top:2em;padding-top:1em;border-top:1px solid #8795a1;font-size:.85em">'
        f'<a href="{escape(address)}">{said}</a></p></main>'
    )
    return f"{text}\n{said}: {address}\n", page.replace("</main>", foot, 1)


def _paragraph(lines: list[str]) -> list[str]:
    said = "<br>".join(filter(None, lines)).replace("\n", "<br>")
    return [f"<p>{said}</p>"] if said else []


def _escaped(parsed: Parsed) -> tuple[Sentence, list[list[Sentence | str]]]:
    """Return what a template says as HTML; braces and ``%`` are no characters of HTML's."""
    return _safe(parsed.title), [
        [_safe(line) if isinstance(line, Sentence) else line for line in paragraph]
        for paragraph in parsed.paragraphs
    ]


def _safe(sentence: Sentence) -> Sentence:
    return Sentence(escape(sentence.between), sentence.places)
