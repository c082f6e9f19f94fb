"""``citybill terms check``: what a company's terms say, before anybody proposes them."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from billing.rules.terms import Terms, parse_terms
from billing.terms import differences
from core.errors import Invalid


def check(file: Path) -> None:
    """Print what a file of terms decides otherwise than the plainest terms do.

    Raises:
        Invalid: the terms are wrong; each key that is, is named.
    """
    console = Console()
    try:
        terms = parse_terms(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as wrong:
        raise Invalid(f"{file.name} is not UTF-8: {wrong.reason}", code="terms.invalid") from None
    table = Table("key", "plain", "here", box=None)
    told = differences(Terms(), terms)
    for one in told:
        table.add_row(one.key, escape(one.before or "–"), escape(one.after or "–"))
    if told:
        console.print(table)
    plain = "the plainest: exact, no fees" if not told else f"{len(told)} keys differ from plain"
    console.print(f"the terms can be proposed; {plain}", highlight=False)
