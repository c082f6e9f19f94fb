"""What is wrong with a file is said in the reader's language, whichever reader says it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.confirmations import said_of_rows
from providers.proposing.guesses import ASK
from providers.registry import PROVIDERS
from tests.conftest import ROOT
from web.pages.words.files import SENTENCES, said

READERS = (
    "payments/packed.py", "payments/gateways/*.py", "payments/statements/*.py",
    "payments/reconciliation/bank/statements.py", "payments/reconciliation/intake/guess.py",
    "payments/reconciliation/intake/work.py", "payments/autopay/collections.py",
    "payments/counter/days.py", "core/money.py",
)  # fmt: skip
RAISED = re.compile(r"(Settlement|Statement|BillF|ConfirmationF)\w*Error|wrong|refused")
VALUE = "7f"

# Of these every sentence, however it comes to be said.
OF_BILLS = (
    "providers/formats/*.py", "providers/standards/*.py", "providers/own_schema.py",
    "providers/telecom*.py", "billing/files/*.py", "billing/corrections.py", "billing/waiting.py",
    "billing/reminders.py",
)  # fmt: skip
PROSE = re.compile(r"[a-z,)'’] [a-z(0-9'{]")
# A statement, a pattern, a type.
NO_SENTENCE = re.compile(
    r".*(\n|\(\?|\[\^|\\2|Iterator"
    r"|\b(SELECT|UPDATE|INSERT|DELETE|COPY|CREATE|DROP|FROM|SET|ANALYZE|IS NULL|NOT)\b)",
    re.DOTALL,
)
# Nobody is told them: names of what is read, and what cannot be.
UNTOLD = {
    "a parser that takes one document ends after it", "the parser closes what it opens",
    "a row that was refused has a fault", "two cells of the row do not agree",
    "a block that does not decode has a line that does not", "the way to the rows was checked",
    "every account was looked up or made", "this file's number has just become free",
    "another process has taken this file up", "AdditionalReferencedDocument (130)", "Amount due",
    "Other amounts", "Already paid", "link rel=self", "gal (UK)", "shipping and handling",
    "goods and services tax", "Value error, ", f">h iq iq i{VALUE}s ii ii iq ii iq",
}  # fmt: skip


def sentences_of(path: Path) -> Iterator[str]:
    """What a module refuses files with: its literal sentences, each value put in."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if RAISED.fullmatch(name):
                told = (_text(node.args[-1]), _text(node.args[0]))
                yield from (one for one in told if one and " " in one)


def _text(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else _put_in(part)
            for part in node.values
        )
    return None


def _put_in(part: ast.expr) -> str:
    """A value, or the one that is a word of its own in what is said."""
    is_mark = isinstance(part, ast.FormattedValue) and getattr(part.value, "id", "") == "ASK"
    return ASK if is_mark else VALUE


def prose_of(path: Path) -> Iterator[str]:
    """Every literal of a module that reads like English, but for its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    apart: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
            first = node.body[0]
            apart |= {first.value} if isinstance(first, ast.Expr) else set()
        if isinstance(node, ast.JoinedStr):
            apart |= set(node.values)
    for node in ast.walk(tree):
        told = _text(node) if isinstance(node, ast.expr) and node not in apart else None
        if not told or told in UNTOLD or NO_SENTENCE.match(told):
            continue
        if PROSE.search(told.replace(VALUE, "")):
            yield told


def modules(patterns: tuple[str, ...]) -> list[Path]:
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", modules(READERS), ids=named)
def test_whatever_a_reader_refuses_a_file_with_has_chinese_words(path):
    unsaid = [one for one in sentences_of(path) if said("zh_CN", one) == one]

    assert unsaid == []


@pytest.mark.parametrize("path", modules(OF_BILLS), ids=named)
def test_whatever_is_wrong_with_a_bill_or_its_file_has_chinese_words(path):
    assert [one for one in prose_of(path) if said("zh_CN", one) == one] == []


@pytest.mark.parametrize("path", modules(("providers/formats/*.py",)), ids=named)
def test_it_has_them_too_where_rows_are_no_bills(path):
    of_rows = [said_of_rows(one) for one in prose_of(path)]
    told = [said("zh_CN", one) for one in of_rows if one not in set(prose_of(path))]

    assert [one for one in told if not re.search("[一-鿿]", one) or "账单" in one] == []


@pytest.mark.parametrize(
    "provider", [one for one in PROVIDERS.values() if one.profile], ids=lambda one: one.code
)
def test_so_have_the_rules_of_numbers_in_the_profiles_that_come_with_us(provider):
    rules = (provider.profile.account_no, provider.profile.bill_no)

    assert [one.words for one in rules if said("zh_CN", one.words) == one.words] == []


def test_there_is_something_to_say():
    assert sum(len(list(sentences_of(path))) for path in modules(READERS)) > 100
    assert sum(len(list(prose_of(path))) for path in modules(OF_BILLS)) > 350


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
        (
            "the account number '12 3' has a space in it: write 8 digits, without spaces",
            "the account number '12 3' has a space in it: write 8 digits, without spaces",
            "户号 '12 3' 中有空格：应写作 8 位数字，不含空格",
        ),
        (
            "the date is blank: write YYYY-MM-DD, such as 2026-11-01; a formula that failed, or was"
            " never worked out, is blank too",
            "the date is blank: write YYYY-MM-DD, such as 2026-11-01; a formula that failed, or was"
            " never worked out, is blank too",
            "日期为空：应写作 YYYY-MM-DD，例如 2026-11-01；出错或未计算的公式也视为空",
        ),
        (
            "line 1: the header has 3 cells instead of 5: add or remove cells; check that this is"
            " the bill file of 城市供水 (water)",
            "Line 1: the header has 3 cells instead of 5: add or remove cells; check that this is"
            " the bill file of 城市供水 (water)",
            "第 1 行：首行有 3 个单元格，应为 5 个：请增减单元格；"
            "请核对是否为城市供水（water）的账单文件",
        ),
        (
            "a corrected invoice (384) names 2 invoices: name the one, or send a credit note (381)"
            " of what is given back and an invoice (380) of what is owed",
            "a corrected invoice (384) names 2 invoices: name the one, or send a credit note (381)"
            " of what is given back and an invoice (380) of what is owed",
            "更正发票（384）指明了 2 张发票：请只指明一张，或就退还金额发送贷记单（381）、"
            "就应付金额发送发票（380）",
        ),
        (
            "column 3 of the header, 'x', is there twice: take it out",
            "column 3 of the header, 'x', is there twice: take it out",
            "表头第 3 列 'x' 出现了两次：请删除",
        ),
        (
            "the file holds no bill: send it again with its rows in it",
            "the file holds no bill: send it again with its rows in it",
            "文件中没有销账记录：请连同销账记录重新发送",
        ),
        ("说明见公告", "说明见公告", "说明见公告"),  # somebody else's words, as they came
        ("100% of it %(a)s", "100% of it %(a)s", "100% of it %(a)s"),
    ],
)
def test_place_sentence_and_values_are_said_each_in_its_way(words, english, chinese):
    assert said("en", words) == english
    assert said("zh_CN", words) == chinese
