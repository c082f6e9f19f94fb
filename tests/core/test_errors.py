"""The tree of errors is drawn once, and the drawing is true."""

import inspect
import re
from collections.abc import Iterator

import pytest

from core import errors
from core.errors import BillFileError, CityBillError, Invalid
from web.errors import status_of

_LINE = re.compile(r"^((?:│  |   )*(?:[├└]─ )?)([A-Z]\w+)(?:\s{2,}.*?(\d{3})?)?\s*$")


def drawn() -> Iterator[tuple[str, str | None, int | None]]:
    """Yield (name, parent, number) of each line of the drawing in the module's docstring."""
    branch: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = _LINE.match(line)
        if found is None or (not found[1] and found[2] != "CityBillError"):
            continue
        depth = len(found[1]) // 3
        branch[depth:] = [found[2]]
        yield found[2], branch[depth - 1] if depth else None, int(found[3]) if found[3] else None


DRAWN = list(drawn())
CLASSES = {
    name: kind
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, CityBillError)
}


def test_the_drawing_lists_every_class_and_no_other():
    assert sorted(name for name, _, _ in DRAWN) == sorted(CLASSES)


@pytest.mark.parametrize(
    ("name", "parent"), [(name, parent) for name, parent, _ in DRAWN if parent]
)
def test_each_hangs_from_the_branch_it_is_drawn_on(name, parent):
    assert CLASSES[name].__base__ is CLASSES[parent]


@pytest.mark.parametrize(("name", "number"), [(name, no) for name, _, no in DRAWN if no])
def test_the_numbers_drawn_are_the_numbers_answered(name, number):
    assert status_of(CLASSES[name]("…")) == number


@pytest.mark.parametrize("name", CLASSES)
def test_every_branch_has_a_number_of_its_own_or_its_parents(name):
    assert name == "CityBillError" or status_of(CLASSES[name]("…")) != 500


def test_no_two_classes_share_a_code():
    codes = [kind.code for kind in CLASSES.values()]

    assert len(set(codes)) == len(codes)


def test_one_errors_own_code_leaves_the_class_alone():
    assert Invalid("…", code="money.malformed").code == "money.malformed"
    assert Invalid("…").code == "invalid"


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ({}, "no header"),
        ({"line_no": 7}, "line 7: no header"),
        ({"column": "金额"}, "column 金额: no header"),
        ({"line_no": 0, "column": "金额"}, "line 0, column 金额: no header"),
    ],
)
def test_a_refused_file_says_where(where, text):
    error = BillFileError("no header", **where)

    assert str(error) == text
    assert error.facts == {"line_no": None, "column": None} | where
