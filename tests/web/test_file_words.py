"""A file that is refused is refused in the reader's language, whichever reader refuses it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from web.pages.words.file_sentences import SENTENCES
from web.pages.words.files import said

READERS = (
    "payments/packed.py", "payments/gateways/*.py", "payments/statements/*.py",
    "payments/reconciliation/bank/statements.py", "payments/reconciliation/intake/guess.py",
    "payments/reconciliation/intake/work.py", "payments/autopay/collections.py",
    "payments/counter/days.py", "core/money.py",
)  # fmt: skip
RAISED = re.compile(r"(Settlement|Statement|BillF|ConfirmationF)\w*Error|wrong|refused")
VALUE = "7f"


def sentences_of(path: Path) -> Iterator[str]:
    """What a module refuses files with: its literal sentences, each value put in."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if RAISED.fullmatch(name):
                yield from filter(None, [_text(node.args[-1]), _text(node.args[0])])


def _text(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
        return node.value
    if isinstance(node, ast.JoinedStr):
        told = "".join(
            str(part.value) if isinstance(part, ast.Constant) else VALUE for part in node.values
        )
        return told if " " in told else None
    return None


MODULES = sorted(path for pattern in READERS for path in ROOT.glob(pattern))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_whatever_a_reader_refuses_a_file_with_has_chinese_words(path):
    unsaid = [one for one in sentences_of(path) if said("zh_CN", one) == one]

    assert unsaid == []


def test_there_is_something_to_say():
    assert sum(len(list(sentences_of(path))) for path in MODULES) > 100


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_is_found_again_with_its_values_and_keeps_them(sentence):
    values = {key: f"7{key}" for key in "abcdef"}
    told = said("zh_CN", sentence % values)

    assert re.search("[一-鿿]", told)
    assert [one for one in re.findall(r"%\(([a-f])\)s", sentence) if values[one] not in told] == []


@pytest.mark.parametrize(
    ("words", "english", "chinese"),
    [
        (
            "line 7, column amount: unreadable row: '1e3' is not an amount: write yuan such as"
            " 86.50",
            "Line 7: amount: unreadable row: '1e3' is not an amount: write yuan such as 86.50",
            "第 7 行：amount: 该行无法读取：'1e3' 不是金额：应写作 86.50 这样的元金额",
        ),
        (
            "nobody can read this file; alipay came furthest, and says: line 2: there is no such"
            " column: say whose it is, or ask for it again",
            "nobody can read this file; alipay came furthest, and says: line 2: there is no such"
            " column: say whose it is, or ask for it again",
            "没有格式能读取此文件；最接近的是 alipay，其说明为：第 2 行：没有这一列。"
            "请说明是谁的，或重新索取",
        ),
        ("说明见公告", "说明见公告", "说明见公告"),  # somebody else's words, as they came
        ("100% of it %(a)s", "100% of it %(a)s", "100% of it %(a)s"),
    ],
)
def test_place_sentence_and_values_are_said_each_in_its_way(words, english, chinese):
    assert said("en", words) == english
    assert said("zh_CN", words) == chinese
