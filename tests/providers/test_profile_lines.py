"""On which line of a profile a value stands."""

import tomllib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from providers.profile_lines import LineFinder, Path
from providers.registry import PROFILES

ODD = r'''
a.b = 1 # [c]
"q \u0022.k" = { x = "}", 'y' = [1, 2], z.w = """
]
""" }
list = [
  { n = '#' }, # }
  { n = "\"]" },
]
[t."u v"]
s = \'\'\'
[x]
\'\'\'
[[m]]
k = 1
[[m.n]]
k = 2
[[m]]
[m.o]
k = 3
'''.replace("\\'", "'")


def values(table: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    pairs = table.items() if isinstance(table, dict) else enumerate(table)
    for key, value in pairs:
        yield (*path, key), value
        if isinstance(value, dict | list):
            yield from values(value, (*path, key))


@pytest.mark.parametrize("file", sorted(PROFILES.glob("*.toml")), ids=lambda file: file.stem)
def test_every_value_of_a_profile_is_found_where_it_stands(file):
    text = file.read_text("utf-8")
    finder, lines = LineFinder(text), text.splitlines()

    for path, value in values(tomllib.loads(text)):
        line = lines[finder.line(path) - 1]
        key = next(part for part in reversed(path) if isinstance(part, str))
        assert str(key) in line or str(value) in line or "{" in line


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a", "b"), 2), (('q ".k', "x"), 3), (('q ".k', "y", 1), 3), (('q ".k', "z", "w"), 3),
        (("list", 0, "n"), 7), (("list", 1, "n"), 8), (("t", "u v", "s"), 11), (("m", 0, "k"), 15),
        (("m", 0, "n", 0, "k"), 17), (("m", 1), 18), (("m", 1, "o", "k"), 20),
        (("m", 1, "nothing"), 18), (("nothing",), 1),
    ],
)  # fmt: skip
def test_odd_toml_is_understood(path, line):
    assert LineFinder(ODD).line(path) == line


PIECES = st.lists(
    st.sampled_from(
        ["a", "b", '"c d"', "'e'", ".", " = ", "1", '"x"', "'''y\n'''", '"""z"""', "[", "]", "[[",
         "]]", "{", "}", ", ", "\n", "# c\n", "1979-05-27", "true", '"\\""', '""', "''"]
    ),
    max_size=40,
)  # fmt: skip


@settings(max_examples=500)
@given(pieces=PIECES)
@example(pieces=["a", " = ", '"""z"""'])
def test_whatever_is_toml_has_its_lines_found(pieces):
    text = "".join(pieces)
    tables = None
    with suppress(tomllib.TOMLDecodeError):
        tables = tomllib.loads(text)
    if tables is None:
        return

    finder = LineFinder(text)

    for path, _ in values(tables):
        assert 1 <= finder.line(path) <= text.count("\n") + 1
