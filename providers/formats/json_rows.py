"""JSON documents and JSON Lines: one object a bill, its cells found by path.

How to describe one: docs/mapped-formats.md.
"""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, BinaryIO, Final

from core.errors import Invalid
from providers.base import BillRecord, Heading, Reject
from providers.formats.asides import Asides, aside_paths
from providers.formats.documents import BUDGET, guarded_json
from providers.formats.json_lists import NOT_A_LIST, ListedRows
from providers.formats.json_walk import DEPTH, INNER_LIMIT, Json, JsonWalk, NoRow, Path, Row
from providers.formats.mapped import MappedBills, MappedRow
from providers.formats.numerals import json_number
from providers.formats.text import numbered_lines
from providers.formats.typed_cells import TypedCells, Value, amount_decimals, decimal_text
from providers.profiles import Profile

_REMEDY: Final = "write it in quotation marks, as text"
_STEP = re.compile(r"([^.\[\]]+)((?:\[[0-9]{1,4}\])*)")
_QUANTITY_DECIMALS: Final = 3
_DAY_PARTS: Final = 7
_YEARS: Final = (1990, 2100)
_AROUND: Final = " \t\x1e"  # RFC 7464 begins every line with the last of these
_NOT_AN_OBJECT: Final = "the row is not an object: write each bill as { … }"

Steps = tuple[str | int, ...]


class JsonReader:
    """Reads a JSON document; see `BillFileReader`. Its "lines" are the rows, counted from 1."""

    def __init__(self, profile: Profile) -> None:
        shape = profile.file
        if shape.names is not None and not (shape.listed and profile.header.kind == "names"):
            raise Invalid(
                "file: names says where those of listed rows stand: say listed = true, and"
                " kind = 'names' in [header]"
            )
        self._profile = profile
        self._objects = _Objects(profile)
        self._names_at = [] if shape.names is None else [_keys(shape.names)]
        self._inner = None if shape.inner is None else _keys(shape.inner)
        rows = shape.inner if shape.rows is None else shape.rows
        self._rows = _keys(rows) if rows else ()
        self._beside = {_keys(where): where for where in aside_paths(profile)}
        budget = BUDGET if shape.inner is None else 2 * INNER_LIMIT
        self._budget = budget

    def read(self, stream: BinaryIO) -> Iterator[Heading | BillRecord | Reject]:
        shape = self._profile.file
        source = guarded_json(stream, shape.codec, budget=self._budget, relaxed=shape.relaxed)
        asides, above = Asides(self._profile), _Above()
        names: list[Json] = []
        listed = ListedRows(self._profile) if self._profile.file.listed else None

        def note(path: Path, value: Json) -> None:
            where = self._beside.get(path)
            if where is not None:
                asides.note(where, _plain(value))
            above.note(path, value)
            if path in self._names_at and isinstance(value, str):
                names.append(value)

        walk = JsonWalk(
            source,
            rows=self._rows,
            inner=self._inner,
            listed=listed is not None,
            wanted=[*self._beside, *self._objects.above, *self._names_at],
            note=note,
            enter=above.forget,
        )
        bills: MappedBills | None = None
        for row in walk.rows():
            if bills is None:
                heading = asides.before_bills(walk.row_no)
                bills = MappedBills(self._profile, asides.file_day)
                if heading is not None:
                    yield heading
            if listed is not None:
                if listed.waits and self._names_at:
                    listed.take_names(names, walk.row_no)
                yield from _take_listed(
                    listed, self._objects, bills, walk.row_no, row, above.values
                )
            elif isinstance(row, dict):
                yield from bills.take(self._objects.row(walk.row_no, row, above.values))
            else:
                yield from bills.refuse(walk.row_no, _NOT_AN_OBJECT, _raw(row))
        bills = bills or MappedBills(self._profile)
        yield from bills.finish()
        yield from asides.finish(bills.totals, max(1, walk.row_no))


def _take_listed(
    listed: ListedRows,
    objects: "_Objects",
    bills: MappedBills,
    line_no: int,
    row: Any,
    above: dict[Path, Json],
) -> Iterator[BillRecord | Reject]:
    """Yield what a row of cells comes to; a list of names, at the top or once more, is none."""
    if not isinstance(row, list):
        yield from bills.refuse(line_no, NOT_A_LIST, _raw(row))
    elif listed.waits:
        listed.take_names(row, line_no)
    elif not listed.says_names(row):
        record = listed.record(row)
        if isinstance(record, str):
            yield from bills.refuse(line_no, record, _raw(row))
        else:
            yield from bills.take(objects.row(line_no, record, above))


def _raw(row: Any) -> str:
    return row.raw if isinstance(row, NoRow) else json.dumps(row, ensure_ascii=False, default=str)


class JsonLinesReader:
    """Reads JSON Lines, one object or one list a line; see `BillFileReader`."""

    def __init__(self, profile: Profile) -> None:
        if profile.header.kind == "record" or profile.trailer is not None:
            raise Invalid("file: json_lines has bills only: leave [header] and [trailer] out")
        if profile.file.inner is not None or profile.file.rows is not None:
            raise Invalid("file: each line of json_lines is a bill: leave rows and inner out")
        if profile.file.names is not None:
            raise Invalid("file: the names of json_lines are its first list: leave names out")
        self._profile = profile
        self._objects = _Objects(profile)
        if self._objects.above:
            raise Invalid("columns: nothing stands above a line: a path begins with a key")

    def read(self, stream: BinaryIO) -> Iterator[Heading | BillRecord | Reject]:
        bills, line_no = MappedBills(self._profile), 1
        listed = ListedRows(self._profile) if self._profile.file.listed else None
        for line_no, line in numbered_lines(stream, self._profile.file.codec):
            if not line.strip():
                continue
            try:
                row = _loaded(line.strip(_AROUND).removesuffix(","))
            except ValueError as wrong:
                what = f"the line is no sound JSON ({wrong}): correct it"
                yield from bills.refuse(line_no, what, line)
                continue
            if listed is not None:
                yield from _take_listed(listed, self._objects, bills, line_no, row, {})
            elif isinstance(row, dict):
                yield from bills.take(self._objects.row(line_no, row, {}))
            else:
                yield from bills.refuse(line_no, _NOT_AN_OBJECT, line)
        yield from bills.finish()
        bills.totals.prove(line_no)


def _loaded(line: str) -> Json:
    """Read a line.

    Raises:
        ValueError: it is no JSON, or has a key twice, NaN, or too many brackets in one another.
    """
    if line.count("{") + line.count("[") > DEPTH and _depth(line) > DEPTH:
        raise ValueError(f"lists and objects lie more than {DEPTH} deep")
    value: Json = json.loads(
        line, parse_float=json_number, parse_constant=_no_number, object_pairs_hook=_once
    )
    return value


def _depth(line: str) -> int:
    """Return how deep brackets lie at most, those within texts among them."""
    deep = deepest = 0
    for mark in line:
        if mark in "[{":
            deep += 1
            deepest = max(deep, deepest)
        elif mark in "]}":
            deep -= 1
    return deepest


def _no_number(name: str) -> Json:
    raise ValueError(f"{name} is no number")


def _once(pairs: list[tuple[str, Json]]) -> Row:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice in one object")
    return found


class _Above:
    """What stands above the rows, in the objects that we are in at this moment."""

    def __init__(self) -> None:
        self.values: dict[Path, Json] = {}

    def note(self, path: Path, value: Json) -> None:
        self.values[path] = value

    def forget(self, begun: Path) -> None:
        """Forget what another object at the same path said: a bill must not inherit it."""
        for path in [path for path in self.values if path[: len(begun)] == begun]:
            del self.values[path]


class _Objects:
    """Takes the cells out of an object, in the profile's order."""

    def __init__(self, profile: Profile) -> None:
        self._typed = TypedCells(profile, _REMEDY)
        self._columns: list[tuple[str, str | None, Steps, Path | None]] = []
        for column in profile.columns:
            path = column.path
            if path is not None and path.startswith("/"):
                self._columns.append((column.name, None, (), _keys(path[1:])))
            elif path is None:
                self._columns.append((column.name, column.name, (column.name,), None))
            else:
                steps = _steps(path)
                key = steps[0] if len(steps) == 1 and isinstance(steps[0], str) else None
                self._columns.append((column.name, key, steps, None))
        self.above = [above for *_, above in self._columns if above is not None]
        listed = profile.items_from
        self._lines = None
        self._listed_at = "" if listed is None else listed.path
        if listed is not None:
            unit = listed.amount_unit or profile.amount_unit
            self._lines = (
                _steps(listed.path),
                _steps(listed.name),
                _steps(listed.amount),
                None if listed.quantity is None else _steps(listed.quantity),
                amount_decimals(unit, None),
            )

    def row(self, line_no: int, row: Row, above: dict[Path, Json]) -> MappedRow:
        cells: list[str] = []
        faults: dict[str, str] = {}
        for name, key, steps, outside in self._columns:
            if key is not None:
                value = row.get(key)
            elif outside is not None:
                value = above.get(outside)
            else:
                value = _at(row, steps)
            if type(value) is not str:
                value = self._text(name, value, faults)
            else:
                value = self._typed.text(name, value)
            cells.append(value)
        return MappedRow(
            line_no=line_no,
            cells=cells,
            faults=faults,
            lines=[] if self._lines is None else self._listed(row, faults),
            raw=lambda: json.dumps(row, ensure_ascii=False, default=str),
        )

    def _text(self, name: str, value: Json, faults: dict[str, str]) -> str:
        typed: Value
        if isinstance(value, dict | list):
            day = listed_day(value)
            if day is None:
                what = "an object" if isinstance(value, dict) else "a list"
                faults[name] = (
                    f"{name} is {what}: write one value, or lead the column's path into it"
                )
                return ""
            typed = {"d": day}
        else:
            typed = value
        try:
            return self._typed.text(name, typed)
        except Invalid as wrong:
            faults[name] = wrong.message
            return ""

    def _listed(self, row: Row, faults: dict[str, str]) -> list[tuple[str, str, str]]:
        """Return the texts of a bill's own list of lines."""
        assert self._lines is not None
        path, name, amount, quantity, decimals = self._lines
        lines = _at(row, path)
        if lines is None:
            return []
        if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
            faults[self._listed_at] = "the lines are no list of objects: write [{ … }]"
            return []
        return [
            (
                _plain(_at(line, name)),
                _plain(_at(line, amount), decimals),
                "" if quantity is None else _plain(_at(line, quantity), _QUANTITY_DECIMALS),
            )
            for line in lines
        ]


def listed_day(value: object) -> str | None:
    """Return the day that Java writes as ``[2026,11,3]``, its time of day behind it, or None."""
    if not isinstance(value, list) or not 3 <= len(value) <= _DAY_PARTS:
        return None
    if not all(type(part) is int for part in value) or not _YEARS[0] <= value[0] <= _YEARS[1]:
        return None
    return f"{value[0]:04d}-{value[1]:02d}-{value[2]:02d}"


def _plain(value: Json, decimals: int = 2) -> str:
    """Write a value that belongs to no column."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return decimal_text(value, decimals)
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _at(value: Any, steps: Steps) -> Json:
    """Follow a path; None where it leads nowhere."""
    for step in steps:
        if isinstance(step, int):
            if not isinstance(value, list) or step >= len(value):
                return None
            value = value[step]
        elif isinstance(value, dict):
            value = value.get(step)
        else:
            return None
    found: Json = value
    return found


def _steps(path: str) -> Steps:
    """Read a path such as ``fees.water[0].amount``; places in a list are counted from 0.

    Raises:
        Invalid: it is none.
    """
    steps: list[str | int] = []
    for part in path.split("."):
        match = _STEP.fullmatch(part)
        if match is None:
            raise Invalid(f"path: {path!r} is no path in JSON: write such as fees.water[0].amount")
        steps.append(match.group(1))
        steps += [int(place) for place in re.findall("[0-9]+", match.group(2))]
    return tuple(steps)


def _keys(path: str) -> Path:
    """Read a path of keys only: lists on the way are walked through."""
    steps = _steps(path)
    if not all(isinstance(step, str) for step in steps):
        raise Invalid(f"path: {path!r} leads to all rows: leave the places in lists out")
    return tuple(str(step) for step in steps)
