"""``citybill ask``: what a company says of an account at this moment."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from core.clock import utc_now
from core.errors import NotFound, UpstreamUnavailable
from core.money import format_yuan
from core.settings import Settings
from providers.base import FetchOutcome, FetchReply, OpenBill
from providers.clients.loading import load_clients

_SAID = {
    FetchOutcome.NONE: "the account is known, and nothing is open on it",
    FetchOutcome.UNKNOWN_ACCOUNT: "the company has no such account",
    FetchOutcome.SEVERAL_ACCOUNTS: "several accounts have this number: ask for a longer one",
}


def ask(chosen: Settings, code: str, account_no: str) -> dict[str, Any]:
    """Ask a company what is open; a company that is down is an answer, too.

    Returns:
        ``company``, ``answer`` (single, multiple, none, unknown_account, several_accounts, or
        down), ``bills`` and, of a company that is down, ``reason``.

    Raises:
        NotFound: no live API is configured for the company.
        Invalid: no account can have such a number.
    """
    api = chosen.utilities.get(code)
    if api is None:
        known = ", ".join(chosen.utilities) or "none"
        raise NotFound(
            f"no live API is configured for {code!r}; there are: {known}.", code="utility.no_api"
        )
    client = load_clients({code: api}, utc_now)[code]
    try:
        reply = client.fetch(account_no)
    except UpstreamUnavailable as away:
        return {"company": code, "answer": "down", "bills": [], "reason": away.message}
    return {"company": code, "answer": reply.outcome.value, "bills": _rows(reply)}


def show(told: dict[str, Any]) -> None:
    """Print an answer for people."""
    console = Console(highlight=False)
    if told["answer"] == "down":
        console.print(f"[bold red]down[/] {escape(told['reason'])}", soft_wrap=True)
    elif not told["bills"]:
        console.print(_SAID[FetchOutcome(told["answer"])])
    else:
        table = Table("bill", "month", "version", "issued", "due", "open", box=None)
        for bill in told["bills"]:
            facts = [str(bill[name]) for name in ("bill_no", "billing_month", "version")]
            days = [bill["issued_on"], bill["due_on"]]
            table.add_row(*map(escape, facts), *days, format_yuan(bill["amount_fen"]))
        console.print(table)


def _rows(reply: FetchReply) -> list[dict[str, Any]]:
    return [_row(bill) for bill in reply.bills]


def _row(bill: OpenBill) -> dict[str, Any]:
    return {
        "bill_no": bill.bill_no,
        "billing_month": f"{bill.billing_month:%Y-%m}",
        "version": bill.version,
        "issued_on": bill.issued_on.isoformat(),
        "due_on": bill.due_on.isoformat(),
        "amount_fen": bill.amount_fen,
    }
