"""The page that shows what a company received, and its switches."""

from collections.abc import Sequence
from typing import NamedTuple

from starlette.responses import HTMLResponse

from simulator.companies import Company
from simulator.faults import FAULTS_OF, Fault, FaultSwitch, Operation
from simulator.pages import page
from simulator.utility_books import WriteOff

DEMO_SECRET = "citybill-demo-secret"  # noqa: S105  # the demo's, printed in its guide


class Shown(NamedTuple):
    """One company on the page: ``url`` is its own page, None where this is it."""

    company: Company
    switches: dict[str, FaultSwitch]
    write_offs: Sequence[WriteOff]
    action: str
    url: str | None


def show_companies(companies: Sequence[Shown], *, far_side: bool) -> HTMLResponse:
    """Render the page for some companies, of the far side or of one of them."""
    choices = [
        (operation, [fault for fault in Fault if fault in FAULTS_OF[operation]])
        for operation in (
            Operation.WRITE_OFF, Operation.QUERY, Operation.REVERSE, Operation.FETCH,
            Operation.VALIDATE, Operation.CONFIRMATIONS,
        )
    ]  # fmt: skip
    return page("utilities.html", companies=companies, choices=choices, far_side=far_side)
