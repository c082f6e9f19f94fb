"""What account numbers look like, and what a company's flags may mean."""

import re
from collections.abc import Sequence
from typing import Final

from providers.proposing.guesses import ASK, Guess
from providers.proposing.values import FOREIGN
from providers.proposing.words import bare

_BILL: Final = ("0", "n", "normal", "正常", "bill", "issue", "new", "新增", "有效")
_OURS: Final = frozenset(("CNY", "RMB", "人民币", "元", "￥", "¥", "156"))
_FOREIGN_MARKS: Final = frozenset(FOREIGN)
_CURRENCY: Final = (
    "币种", "币别", "货币", "货币代码", "币种代码", "currency", "currencycode", "curr", "ccy",
    "crcy", "waehrg", "waehrung",
)  # fmt: skip
_SIDES: Final = (
    "借", "贷", "d", "c", "dr", "cr", "debit", "credit", "dbit", "crdt", "s", "h",
)  # fmt: skip
_YES_OR_NO: Final = frozenset(
    ("true", "false", "0", "1", "y", "n", "yes", "no", "t", "f", "是", "否")
)
_IS_TURNED: Final = re.compile(
    "credit(?!limit|hold|card|score)|refund|revers|cancel|void|贷|红字|退|冲正|冲销|作废"
)
# What turns an amount round, or takes a bill back, whatever its column is called.
_TURNING: Final = frozenset((
    "credit", "creditnote", "creditmemo", "cr", "cn",
    "crn", "crdt", "refund", "return", "reversal", "reversed", "storno", "gutschrift", "cancel",
    "cancelled", "canceled", "cancellation", "void", "voided", "贷", "贷方", "贷项", "红字", "红票",
    "红冲", "冲红", "退", "退费", "退款", "负", "负数", "作废", "冲正", "冲销", "撤销", "381",
))  # fmt: skip
_FLAGS, _FLAG_LENGTH = 8, 12
_CANCEL: Final = ("c", "cancel", "cancelled", "作废", "冲销", "冲正", "撤销", "void")


def number_rules(guesses: Sequence[Guess]) -> list[str]:
    """Return the rule of account numbers where all of the sample keep one."""
    account = next((guess for guess in guesses if guess.holds == "account_no"), None)
    if account is None or len(account.facts.lengths) != 1 or not account.facts.are_digits:
        return []
    length = next(iter(account.facts.lengths))
    count = len(account.facts.distinct)
    return [
        "", "[account_no]",
        f'pattern = "[0-9]{{{length}}}"  # likely: all {count} of the sample are so',
        f'words = "{length} digits"',
    ]  # fmt: skip


def constant_of(guess: Guess) -> str | None:
    """Return what a column of currencies says in every row, if it is one thing."""
    if bare(guess.name) not in _CURRENCY or len(guess.facts.distinct) != 1:
        return None
    return next(iter(guess.facts.distinct)) if guess.facts.filled == guess.facts.all else None


def take_turning_flags(guesses: Sequence[Guess]) -> list[str]:
    """Take a column for flags by its cells: a credit that is read as a bill is asked for.

    Returns:
        What is to be asked of further ones.
    """
    asked = []
    for guess in guesses:
        flags = {cell.casefold() for cell in guess.facts.distinct}
        if not guess.is_free or not flags or len(flags) > _FLAGS:
            continue
        turning = sorted(flag for flag in flags if re.sub("[ _-]", "", flag) in _TURNING)
        if flags == {"+", "-"}:
            turning = ["-"]
        elif {"0"} != flags <= _YES_OR_NO and _IS_TURNED.search(bare(guess.name)):
            turning = sorted(flags)
        if not turning or max(map(len, flags)) > _FLAG_LENGTH:
            continue
        if any(one.holds == "status" for one in guesses):
            asked.append(f"does {turning[0]} in {guess.name} mean that a row counts against?")
        else:
            guess.take("status", f"{turning[0]} in it may turn an amount round", "perhaps")
    return asked


def currency_lines(guesses: Sequence[Guess]) -> list[str]:
    """Ask about amounts that are in no yuan, by their marks or by a column of currencies."""
    found: set[str] = set()
    for guess in guesses:
        if bare(guess.name) in _CURRENCY:
            found |= {cell.upper() for cell in guess.facts.distinct}
        elif guess.holds == "amount" and guess.style is not None:
            found |= guess.style.marks & _FOREIGN_MARKS
    if found <= _OURS:
        return []
    told = ", ".join(sorted(found))
    return [f'currency = "?"  {ASK}which one currency are all amounts in? The sample says {told}']


def status_lines(guesses: Sequence[Guess]) -> list[str]:
    """Return what flags mean, as far as anybody can know; the others are open."""
    flag = next((guess for guess in guesses if guess.holds == "status"), None)
    if flag is None:
        return []
    lines = ["", "[status]", f"{ASK}all flags there are, and which of them mean 'cancel'"]
    of_sides = all(value.casefold() in _SIDES for value in flag.facts.distinct)
    for value in sorted(flag.facts.distinct):
        plain = value.casefold()
        if re.search(r'[\x00-\x1f"\\\x7f]', value):
            continue
        if of_sides and len(flag.facts.distinct) > 1:
            ask = "debit or credit? 'bill' where it is owed, 'credit' where it counts against"
            lines.append(f'"{value}" = "?"  {ASK}{ask}')
        elif plain in ("+", "-") and flag.facts.distinct <= {"+", "-"}:
            means = "bill" if plain == "+" else "credit"
            lines.append(f'"{value}" = "{means}"  # likely: the sign of the amount')
        elif plain in _BILL:
            lines.append(f'"{value}" = "bill"  # likely')
        elif plain in _CANCEL:
            lines.append(f'"{value}" = "cancel"  # likely')
        else:
            lines.append(f'"{value}" = "?"  {ASK}bill, credit, cancel or remind?')
    return lines
