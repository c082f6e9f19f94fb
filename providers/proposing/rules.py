"""What account numbers look like, and what a company's flags may mean."""

import re
from collections.abc import Sequence
from typing import Final

from providers.proposing.guesses import ASK, Guess

_BILL: Final = ("0", "n", "normal", "正常", "bill", "issue", "new", "新增", "有效")
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


def status_lines(guesses: Sequence[Guess]) -> list[str]:
    """Return what flags mean, as far as anybody can know; the others are open."""
    flag = next((guess for guess in guesses if guess.holds == "status"), None)
    if flag is None:
        return []
    lines = ["", "[status]", f"{ASK}all flags there are, and which of them mean 'cancel'"]
    for value in sorted(flag.facts.distinct):
        plain = value.casefold()
        if re.search(r'[\x00-\x1f"\\\x7f]', value):
            continue
        if plain in _BILL:
            lines.append(f'"{value}" = "bill"  # likely')
        elif plain in _CANCEL:
            lines.append(f'"{value}" = "cancel"  # likely')
        else:
            lines.append(f'"{value}" = "?"  {ASK}bill, cancel or remind?')
    return lines
