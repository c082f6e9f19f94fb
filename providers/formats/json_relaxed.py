"""JSON as people write it by hand: with comments, and with a comma before a closing bracket.

They are taken out as the file is read, before the parser, which knows neither, sees them. Line ends
stay, so that lines still count.
"""

import re
from typing import BinaryIO, Final

from core.errors import BillFileError

_TO_STAR: Final = rb"/\*[^*]*\*+(?:[^/*][^*]*\*+)*"
_BLOCK: Final = _TO_STAR + rb"/"
_GAP: Final = rb"(?:[ \t\r\n]|//[^\n]*\n|" + _BLOCK + rb")*"
_STRING: Final = rb'"[^"\\]*(?:\\.[^"\\]*)*'
_OPEN_COMMENT: Final = rb"(?://[^\n]*|" + _TO_STAR + rb"(?:[^/*][^*]*)?|/\*[^*]*|/)"
_TOKEN = re.compile(
    rb"(?P<text>" + _STRING + rb'")'
    rb"|(?P<comment>//[^\n]*\n|" + _BLOCK + rb")"
    rb"|(?P<comma>,(?=" + _GAP + rb"[\]}]))"
    rb"|(?P<open>(?:" + _STRING + rb"\\?|" + _OPEN_COMMENT + rb"|,"
    + _GAP + rb"(?:" + _OPEN_COMMENT + rb")?)\Z)",
    re.DOTALL,
)  # fmt: skip
_LIMIT: Final = 1024 * 1024
_CHUNK: Final = 64 * 1024


class Relaxed:
    """A stream of JSON without its comments and its last commas."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._held = b""
        self._line_no = 1

    def read(self, size: int = -1) -> bytes:
        """Read on; what was held back may come with it.

        Raises:
            BillFileError: a text or a comment has no end.
        """
        while True:
            chunk = self._stream.read(size if size > 0 else _CHUNK)
            seen, self._held = self._held + chunk, b""
            plain = _TOKEN.sub(self._kept if chunk else _last, seen)
            if len(self._held) > _LIMIT:
                raise BillFileError(
                    "a text or a comment has no end within 1 MB: is a quotation mark or a */"
                    " missing?",
                    line_no=self._line_no,
                )
            self._line_no += plain.count(b"\n")
            if plain or not chunk:
                return plain

    def _kept(self, found: re.Match[bytes]) -> bytes:
        """Return what stays of a token; one whose end is still to come is held back."""
        if found["open"] is not None:
            self._held = found["open"]
            return b""
        return _last(found)


def _last(found: re.Match[bytes]) -> bytes:
    token = found[0]
    if found["comma"] is not None:
        return b""
    if found["comment"] is not None or token.startswith(b"//"):
        return b" " + b"\n" * token.count(b"\n")
    return token


def without_comments(text: str) -> str:
    """Return a whole text of JSON without its comments and last commas."""
    return _TOKEN.sub(_last, text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")
