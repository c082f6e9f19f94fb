"""What account numbers look like, and what a company's flags may mean."""

import re
from collections.abc import Sequence
from typing import Final

from providers.proposing.guesses import ASK, Guess
from providers.proposing.words import bare

_BILL: Final = ("0", "n", "normal", "正常", "bill", "issue", "new", "新增", "有效")
_OURS: Final = frozenset(("CNY", "RMB", "人民币", "元", "￥", "¥", "156"))
_FOREIGN_MARKS: Final = frozenset(("€", "$", "EUR", "USD"))
_CURRENCY: Final = (
    "币种", "币别", "货币", "货币代码", "币种代码", "currency", "currencycode", "curr", "ccy",
    "crcy", "waehrg", "waehrung",
)  # fmt: skip
_SIDES: Final = ("借", "贷", "d", "c", "dr", "cr", "debit", "credit", "s", "h")
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
        elif plain in _BILL:
            lines.append(f'"{value}" = "bill"  # likely')
        elif plain in _CANCEL:
            lines.append(f'"{value}" = "cancel"  # likely')
        else:
            lines.append(f'"{value}" = "?"  {ASK}bill, cancel or remind?')
    return lines
