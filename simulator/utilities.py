"""The companies as the far side sees them: their switches, and what they wrote down last.

Each company is a process of its own (simulator/utility.py); what both know is in files, so this
page works while a company is down.
"""

from pathlib import Path

from fastapi import APIRouter, Request, Response

from core.errors import NotFound
from simulator.companies import COMPANIES
from simulator.faults import read_switch
from simulator.journal import Journal
from simulator.utility import journal_path, switchboard, switched
from simulator.utility_books import WriteOff
from simulator.utility_page import Shown, show_companies

router = APIRouter(prefix="/utilities")


@router.post("/{company}/faults")
async def switch_fault(company: str, request: Request) -> Response:
    """Switch a company's behaviour, as JSON from a test or as a form from the page."""
    if company not in COMPANIES:
        raise NotFound(f"no such company: {company[:32]}")
    wanted = await read_switch(request)
    switchboard(request.app.state.options.data_dir, company).set(wanted)
    return switched(request, wanted.model_dump(mode="json"), "/utilities")


@router.get("")
async def show_utilities(request: Request) -> Response:
    """Show what each company received, and its switches."""
    options = request.app.state.options
    shown = [
        Shown(
            company,
            switchboard(options.data_dir, company.code).all(),
            _latest(options.data_dir, company.code),
            f"/utilities/{company.code}/faults",
            options.company_urls.get(company.code),
        )
        for company in COMPANIES.values()
    ]
    return show_companies(shown, far_side=True)


def _latest(data_dir: Path, code: str) -> list[WriteOff]:
    changes = Journal.latest(journal_path(data_dir, code), 20)
    return [
        WriteOff.model_validate(change["write_off"]) for change in changes if "write_off" in change
    ]
