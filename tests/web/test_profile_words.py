"""What is wrong with a profile and why one is proposed are said in Chinese, whoever says it."""

import ast
import io
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from core.errors import Invalid
from providers.profiles import Profile, parse_profile
from providers.proposing.guesses import ASK
from providers.proposing.proposal import propose, questions_of
from tests.providers import samples_mapped, samples_text
from tests.providers.contract import SAMPLES
from tests.web.test_file_words import VALUE, modules, named, prose_of
from web import look
from web.pages.words.files import said
from web.pages.words.profiles import faults, questions, with_remarks_said

REGISTERED = (samples_mapped, samples_text)
SPEAKING = (
    "providers/profile*.py", "providers/confirmation_checks.py", "providers/delivery.py",
    "providers/proposing/*.py",
)  # fmt: skip
# Told to nobody, at a prompt alone, or a name in the profile itself.
UNTOLD = {
    "the pattern of blanks matches nothing, too", "the text was read by tomllib",
    "the pattern of a bare value matches anything", "Input should", f"{VALUE}: cannot be read: "
    f"{VALUE}", f"{VALUE} line {VALUE}: is not UTF-8: save the profile as UTF-8", ", plain ASCII",
    f"{VALUE} at column {VALUE}", f"{VALUE} at the end of the file", "the proposal",
    f"field at {VALUE}", f"at = {VALUE}, bytes = {VALUE}",
}  # fmt: skip
NAMES = ("words.py", "words_alone.py", "rows_of_tables.py")  # of columns, in several languages
HAN = re.compile("[一-鿿]")
# Line, key and sentence; the sentence may quote a value first.
TOLD = re.compile(r"第 \d+ 行：(?:[\w.\[\]]+：)*('x*…' )?[^a-z]*[一-鿿].*[^ ]")


def is_said(told: str) -> bool:
    """Whether it is: a remark without its mark, anything else with or without name and line."""
    remark = re.sub(r"^(sure|likely|perhaps): ", "", re.split(rf"{ASK}|# ", told)[-1])
    alone = re.sub(rf"^{VALUE}(?: line {VALUE})?: ", "", told)
    spoken = {one: said("zh_CN", one) for one in (told, alone, remark)}
    return any(one != words and HAN.search(words) for one, words in spoken.items())


@pytest.mark.parametrize("path", modules(SPEAKING), ids=named)
def test_whatever_is_said_of_a_profile_has_chinese_words(path):
    told = {one for one in prose_of(path) if "{ name = " not in one} - UNTOLD
    if path.name in NAMES:
        told = {one for one in told if not HAN.search(one)}

    assert [one for one in told if not is_said(one)] == []


def test_there_is_something_to_say():
    assert sum(len(list(prose_of(path))) for path in modules(SPEAKING)) > 200


def spots(schema: Any, known: Any, path: tuple[str | int, ...] = ()) -> Iterator[Any]:
    """Every place of a profile that holds a value, tables and the first member of lists."""
    if path.count("columns") > 2:
        return
    schema = known[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if path:
        yield path
    for one in schema.get("anyOf", ()):
        yield from spots(one, known, path)
    for name, below in schema.get("properties", {}).items():
        yield from spots(below, known, (*path, name))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from spots(schema["additionalProperties"], known, (*path, "x"))
    if "items" in schema:
        yield from spots(schema["items"], known, (*path, 0))


def toml_of(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml_of(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_of, value)) + "]"
    return str(value)


def profile_with(path: tuple[str | int, ...], value: str) -> str:
    held: Any = value
    for part in reversed(path[1:]):
        held = [held] if part == 0 else {part: held}
    return f"{path[0]} = {toml_of(held)}"


SCHEMA = Profile.model_json_schema()
SPOTS = list(dict.fromkeys(spots(SCHEMA, SCHEMA["$defs"])))
WRONG = (
    "7", "-1", "1000000", "1.5", "true", '""', '"("', f'"{"x" * 200}"', "[]", "[7]", "{}",
    '{ k = "?" }', "2026-11-01", "08:30:00",
)  # fmt: skip


@pytest.mark.parametrize("value", WRONG)
def test_so_has_whatever_is_wrong_with_any_value_of_a_profile(value):
    assert len(SPOTS) > 150
    for path in SPOTS:
        with pytest.raises(Invalid) as caught:
            parse_profile(profile_with(path, value), "the profile")
        for one in faults("zh_CN", str(caught.value)):
            assert TOLD.fullmatch(one), one


def complaints_of(module: ModuleType, raising: set[str]) -> Iterator[str]:
    """What a module of Python's own complains of: constants, with values in them or added."""
    assert module.__file__ is not None
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    assigned: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            assigned.setdefault(node.targets[0].id, []).append(node.value)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in raising:
            yield from _texts(node.args[0 if name == "error" else -1], assigned)


def _texts(node: ast.expr, assigned: dict[str, list[ast.expr]]) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield re.sub("%[a-z]", VALUE, node.value)
    elif isinstance(node, ast.JoinedStr):
        yield "".join(one.value if isinstance(one, ast.Constant) else VALUE for one in node.values)
    elif isinstance(node, ast.BinOp):
        added = VALUE if isinstance(node.op, ast.Add) else ""
        yield from (text + added for text in _texts(node.left, assigned))
    elif isinstance(node, ast.IfExp):
        yield from [*_texts(node.body, assigned), *_texts(node.orelse, assigned)]
    elif isinstance(node, ast.Name):
        for value in assigned.get(node.id, ()):
            yield from _texts(value, assigned)


def test_so_has_whatever_python_says_of_toml():
    told = set(complaints_of(tomllib._parser, {"suffixed_err"}))

    assert len(told) > 20
    for one in told:
        for place in ("at column 8", "at the end of the file"):
            spoken = said("zh_CN", f"is not TOML: {one} {place}")
            assert one not in spoken, spoken


def test_so_has_whatever_python_says_of_a_regular_expression():
    told = {
        one for module in (re._parser, re._compiler) for one in complaints_of(module, {"error"})
    } - {VALUE}
    told = {one for one in told if not one.startswith("internal: ")}

    assert len(told) > 35
    for one in told:
        for place in ("", " at position 8", " at position 8 (line 2, column 3)"):
            spoken = said(
                "zh_CN", f"is not a regular expression ({one}{place}): such as [0-9]{{10}}"
            )
            assert one not in spoken, spoken


PROPOSED = [one for one in SAMPLES if not one.name.startswith("a bank's direct debits")]


@pytest.mark.parametrize("sample", PROPOSED, ids=lambda one: one.name)
def test_a_proposal_says_in_chinese_why_and_stays_the_same_profile(sample):
    english = propose(io.BytesIO(sample.data)).text

    chinese = with_remarks_said("zh_CN", english)

    assert tomllib.loads(chinese) == tomllib.loads(english)
    assert chinese.count("\n") == english.count("\n")
    assert len(questions("zh_CN", chinese)) == len(questions_of(english))
    assert questions("zh_CN", chinese) == questions("en", chinese) == questions("zh_CN", english)
    remarks = re.findall(r"^(?:[^\"#\n]|\"(?:[^\"\\]|\\.)*\")*# (.*)$", chinese, re.MULTILINE)
    untold = [one for one in remarks if not HAN.search(one) and " = " not in one]
    assert set(untold) <= {"[items_from]"}


def test_what_marks_a_question_is_another_in_each_language():
    assert len({look.say_known(locale, ASK) for locale in look.LOCALES}) == len(look.LOCALES)
