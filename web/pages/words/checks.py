"""A day's checklist in the reader's language, each line with the page that helps."""

from collections.abc import Callable
from datetime import date
from typing import Any

from payments.reconciliation.closing.checklist import Check, Name
from web import look

_HELPED_AT = {
    Name.EARLIER_DAYS: "/console/days",
    Name.PAYMENTS: "/console/payments?state=open&to_on={day}",
    Name.GATEWAY_FILES: "/console/reconciliations",
    Name.WRITE_OFFS: "/console/company-lists",
    Name.COMPANY_LISTS: "/console/company-lists",
    Name.BANK_STATEMENTS: "/console/bank",
    Name.DIFFERENCES: "/console/breaks",
    Name.REFUNDS: "/console/refunds",
    Name.BOOKS: "/console/ledger",
}


def check_row(locale: str, one: Check, *, name: Callable[[str], str], day: date) -> dict[str, Any]:
    """Return a check as pages show it; the page that helps only of one that is not done.

    Args:
        name: says in words whose something is, by its code.
    """
    return {
        "name": one.name.value,
        "state": one.state.value,
        "weight": one.weight.value,
        "title": look.say_known(locale, one.title),
        "remedy": look.say_known(locale, one.remedy) if one.remedy else "",
        "how_many": one.how_many,
        "who": [name(code) for code in one.who],
        "href": _HELPED_AT[one.name].format(day=day)
        if one.name in _HELPED_AT and not one.done
        else None,
    }
