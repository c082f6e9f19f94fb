"""A JSON document of any size, walked once: its rows one by one, and what stands beside them."""

import io
import json
import re
from collections.abc import Callable, Collection, Iterator
from decimal import Decimal
from typing import Any, Final, TypeVar, cast

import ijson  # type: ignore[import-untyped]

from core.errors import BillFileError
from providers.formats.text import GuardedStream

Json = dict[str, "Json"] | list["Json"] | str | int | Decimal | bool | None
Row = dict[str, Json]
Listed = list[Json]
R = TypeVar("R", Row, Listed)
Path = tuple[str, ...]
Event = tuple[str, Any]

DEPTH: Final = 64
STRING_LIMIT: Final = 1024 * 1024
INNER_LIMIT: Final = 16 * 1024 * 1024
_CHUNK: Final = 64 * 1024
# A backslash of its own, a pair that is one character, or half of such a pair.
_ESCAPES: Final = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_LONG_NUMBER: Final = re.compile(rb"[0-9]{300}|[0-9.][eE][+-]?[0-9]{16}")
_HELD: Final = 400  # bytes; more than any of these needs to be seen whole
_HALF: Final = "an escape from \\ud800 to \\udfff stands alone and is half of a character"
_BY_HAND: Final = ("comment", "unallowed", "key")  # words of the parser
_OPENING: Final = ("start_map", "start_array")
_CLOSING: Final = ("end_map", "end_array")


class NoRow:
    """Something else that stands where a row should."""

    def __init__(self, value: object) -> None:
        self.raw = json.dumps(value, ensure_ascii=False, default=str)


class JsonWalk:
    """Walks a document once.

    Args:
        source: the document.
        rows: the path of the rows; lists on the way are walked through.
        inner: the path of a text that is JSON again and stands for what it holds.
        listed: whether each row is a list of cells and not an object.
        wanted: the paths of values beside the rows.
        note: told each of these values as it goes by.
        enter: told of each object that is begun on the way to the rows.
    """

    def __init__(
        self,
        source: GuardedStream,
        *,
        rows: Path,
        inner: Path | None,
        listed: bool = False,
        wanted: Collection[Path],
        note: Callable[[Path, Json], None],
        enter: Callable[[Path], None],
    ) -> None:
        self._source = source
        self._events = _events(_Screened(source, self), self)
        self._rows_at = rows
        self._inner = inner
        self._listed = listed
        self._wanted = frozenset(wanted)
        self._note, self._enter = note, enter
        targets = [rows, *wanted] + ([] if inner is None else [inner])
        self._ways = {path[:length] for path in targets for length in range(len(path) + 1)}
        self.row_no = 0

    @property
    def string_limit(self) -> int:
        return STRING_LIMIT if self._inner is None else INNER_LIMIT

    def rows(self) -> Iterator[Row | Listed | NoRow]:
        """Yield every row, in order.

        Raises:
            BillFileError: the document is broken, or is not as JSON should be.
        """
        event, value = next(self._events)
        first, at_root = event, not self._rows_at and self._inner is None
        yield from self._walk((), event, value, 1)
        for event, value in self._events:
            if not at_root or event != first or event not in _OPENING:
                raise self.wrong(
                    "a second document follows the first, and only lists or bills themselves may"
                    " stand so: send each by itself"
                )
            yield from self._walk((), event, value, 1)

    def _walk(
        self, path: Path, event: str, value: Json, depth: int
    ) -> Iterator[Row | Listed | NoRow]:
        if depth > DEPTH:
            raise self.wrong(f"lists and objects lie more than {DEPTH} deep, as in no bill")
        if path not in self._ways:
            self._skip(event, depth)
        elif event == "start_map" and path == self._rows_at:
            yield self._found(self._built(depth, {}))
        elif event == "start_map":
            yield from self._walk_map(path, depth)
        elif event == "start_array":
            yield from self._walk_list(path, depth)
        elif path == self._inner and isinstance(value, str):
            yield from self._walk_inner(path, value, depth)
        elif path == self._rows_at and value is not None:
            self.row_no += 1
            yield NoRow(value)
        elif path in self._wanted:
            self._note(path, value)

    def _walk_list(self, path: Path, depth: int) -> Iterator[Row | Listed | NoRow]:
        has_rows = self._listed and path == self._rows_at
        for event, value in self._events:
            if event == "end_array":
                return
            if has_rows and event == "start_array":
                yield self._found(self._built(depth + 1, []))
            else:
                yield from self._walk(path, event, value, depth + 1)

    def _walk_map(self, path: Path, depth: int) -> Iterator[Row | Listed | NoRow]:
        self._enter(path)
        keys: set[str] = set()
        for event, key in self._events:
            if event == "end_map":
                return
            if key in keys:
                raise self.wrong(f"the key {key[:32]!r} is there twice in one object")
            keys.add(key)
            event, value = next(self._events)
            yield from self._walk((*path, key), event, value, depth + 1)

    def _walk_inner(self, path: Path, text: str, depth: int) -> Iterator[Row | Listed | NoRow]:
        """Walk the JSON that a text holds, as if it stood there plainly."""
        if not text.strip():
            raise self.wrong(f"the text at {'.'.join(path)} is blank: it must be JSON")
        outer, self._inner = self._events, None
        self._events = _events(_Screened(io.BytesIO(text.encode()), self), self)
        event, value = next(self._events)
        yield from self._walk(path, event, value, depth + 1)
        for _ in self._events:
            raise AssertionError("a parser that takes one document ends after it")
        self._events, self._inner = outer, path

    def _found(self, row: R) -> R:
        self.row_no += 1
        self._source.allow()
        return row

    def _skip(self, event: str, depth: int) -> None:
        """Pass over a value nobody asks for."""
        deep = depth
        while True:
            if event in _OPENING:
                deep += 1
                if deep > DEPTH:
                    raise self.wrong(f"lists and objects lie more than {DEPTH} deep, as in no bill")
            elif event in _CLOSING:
                deep -= 1
            if deep == depth:
                return
            event, _ = next(self._events)

    def _built(self, depth: int, root: R) -> R:
        """Build the object or the list that was just opened into ``root``."""
        stack: list[Any] = [root]
        here: Any = root
        key = ""
        for event, value in self._events:
            if event == "map_key":
                if value in here:
                    raise self.wrong(f"the key {value[:32]!r} is there twice in one object")
                key = value
                continue
            if event in _CLOSING:
                stack.pop()
                if not stack:
                    return root
                here = stack[-1]
                continue
            made = value if event not in _OPENING else {} if event == "start_map" else []
            if type(here) is list:
                here.append(made)
            else:
                here[key] = made
            if event in _OPENING:
                stack.append(made)
                here = made
                if depth + len(stack) > DEPTH:
                    raise self.wrong(f"lists and objects lie more than {DEPTH} deep, as in no bill")
        raise AssertionError("the parser closes what it opens")

    def wrong(self, what: str) -> BillFileError:
        """Return the refusal of the document here, after so many rows."""
        return BillFileError(
            f"{what} (after row {self.row_no}): check that this is the bill file and send it again"
        )


class _Screened:
    """A JSON stream without what the parser, which is C, does not survive.

    It goes on after Python refused a number too long for it or half of a character, and crashes.
    So the last bytes are held back until what they belong to is whole and was looked at.
    """

    def __init__(self, source: GuardedStream | io.BytesIO, walk: JsonWalk) -> None:
        self._source = source
        self._walk = walk
        self._held = b""

    def read(self, size: int = -1) -> bytes:
        if not size:
            return b""  # the parser asks whether these are bytes
        while True:
            chunk = self._source.read(size)
            seen = self._held + chunk
            end = self._judged(seen, max(0, len(seen) - _HELD) if chunk else len(seen))
            self._held = seen[end:]
            if end or not chunk:
                return seen[:end]

    def _judged(self, seen: bytes, end: int) -> int:
        """Look at ``seen`` up to ``end``; returns where to cut it so that no escape is cut."""
        if _LONG_NUMBER.search(seen) is not None:
            raise self._walk.wrong("a number has hundreds of digits")
        if b"\\" not in seen:
            return end
        for match in _ESCAPES.finditer(seen):
            if match.start() >= end:
                break
            if match.end() > end:
                return match.start()
            if match.group(1):
                raise self._walk.wrong(_HALF)
        return end


def told_by_parser(wrong: ijson.JSONError) -> str:
    """Return what the parser says is wrong, without the bytes that it shows."""
    first = str(wrong).strip().splitlines()[:1] or ["it is cut short"]
    return first[0].removeprefix("(b'").removeprefix("b'").split("\\n")[0].strip()[:120]


def broken(told: str) -> str:
    """Say that JSON is broken, and what a profile may do about it where it is written by hand."""
    if any(sign in told for sign in _BY_HAND):
        return (
            f"the JSON is broken ({told}): where it is comments or a comma before a closing"
            " bracket, relaxed = true in [file] takes them out"
        )
    return f"the JSON is broken ({told})"


def _events(source: _Screened, walk: JsonWalk) -> Iterator[Event]:
    """Yield the parser's events, with its complaints in our words."""
    events = ijson.basic_parse(
        cast(Any, source), use_float=False, buf_size=_CHUNK, multiple_values=True
    )
    while True:
        try:
            event, value = next(events)
        except StopIteration:
            return
        except ijson.JSONError as wrong:
            raise walk.wrong(broken(told_by_parser(wrong))) from None
        if event == "string" and len(value) > walk.string_limit:
            raise walk.wrong(f"a text is longer than {walk.string_limit} characters")
        yield event, value
