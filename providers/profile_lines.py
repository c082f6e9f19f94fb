"""On which line of a TOML text a value stands: `tomllib` keeps no places."""

import re
from typing import Final

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}\n#]*")
_STRING: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|' r"'''.*?'{3,5}|" r'"(?:\\.|[^"\\\n])*"|' r"'[^'\n]*'",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)")


class LineFinder:
    """The lines of a text that `tomllib` has read without a complaint."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines: dict[Path, int] = {(): 1}
        self._counts: dict[Path, int] = {}
        self._read()

    def line(self, path: Path) -> int:
        """Return the line of a value, or of the nearest table around it that is there."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]

    def _read(self) -> None:
        table: Path = ()
        while self._skip_blank() < len(self._text):
            if self._text.startswith("[[", self._at):
                table = self._open(2, several=True)
            elif self._text.startswith("[", self._at):
                table = self._open(1, several=False)
            else:
                self._pair(table)

    def _open(self, marks: int, *, several: bool) -> Path:
        """Read a table's header; a part that names an array means its last table."""
        line_no = self._line_no()
        self._at += marks
        parts = self._key()
        self._at += marks
        path: Path = ()
        for part in parts[:-1]:
            path = self._latest((*path, part))
        path = (*path, parts[-1])
        if several:
            self._counts[path] = self._counts.get(path, 0) + 1
            self._lines.setdefault(path, line_no)
            path = self._latest(path)
        self._lines.setdefault(path, line_no)
        return path

    def _latest(self, path: Path) -> Path:
        return (*path, self._counts[path] - 1) if path in self._counts else path

    def _pair(self, table: Path) -> None:
        line_no = self._line_no()
        path = table
        for part in self._key():
            path = (*path, part)
            self._lines.setdefault(path, line_no)
        self._skip_blank()
        self._at += 1  # the equals sign
        self._skip_blank()
        self._value(path)

    def _key(self) -> list[str]:
        parts = []
        while True:
            self._skip_blank()
            match = _STRING.match(self._text, self._at) or _BARE_KEY.match(self._text, self._at)
            assert match is not None, "the text was read by tomllib"
            self._at = match.end()
            parts.append(_unquoted(match.group()))
            self._skip_blank()
            if not self._text.startswith(".", self._at):
                return parts
            self._at += 1

    def _value(self, path: Path) -> None:
        opening = self._text[self._at : self._at + 1]
        if opening == "[":
            self._enclosed(path, "]")
        elif opening == "{":
            self._enclosed(path, "}")
        else:
            match = _STRING.match(self._text, self._at) or _BARE_VALUE.match(self._text, self._at)
            assert match is not None, "the pattern of a bare value matches anything"
            self._at = match.end()

    def _enclosed(self, path: Path, closing: str) -> None:
        """Read an array's values or an inline table's pairs."""
        self._at += 1
        count = 0
        while self._skip_blank() < len(self._text) and self._text[self._at] != closing:
            if self._text[self._at] == ",":
                self._at += 1
            elif closing == "]":
                self._lines[(*path, count)] = self._line_no()
                self._value((*path, count))
                count += 1
            else:
                self._pair(path)
        self._at += 1

    def _skip_blank(self) -> int:
        match = _BLANK.match(self._text, self._at)
        assert match is not None, "the pattern of blanks matches nothing, too"
        self._at = match.end()
        return self._at

    def _line_no(self) -> int:
        return self._text.count("\n", 0, self._at) + 1


def _unquoted(key: str) -> str:
    if key[0] == "'":
        return key[1:-1]
    if key[0] != '"':
        return key
    return _ESCAPE.sub(_unescaped, key[1:-1])


def _unescaped(match: re.Match[str]) -> str:
    mark = match.group(1)
    if len(mark) > 1:
        return chr(int(mark[1:], 16))
    return {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}.get(mark, mark)
