"""A bill file as pages show it: to the city's staff, and to its own company."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from sqlmodel import Session

from billing.files.bill_files import iter_rejects
from billing.files.gaps import Gap
from billing.models import BillFile, BillFileStatus
from billing.waiting import list_corrections
from providers.registry import get_provider
from web import look
from web.pages.words.files import said

REJECTS_SHOWN = 200
REFRESH_SECONDS = 2
MOVING = {BillFileStatus.RECEIVED, BillFileStatus.IMPORTING}


def provider_name(locale: str, code: str) -> str:
    """Return a company's name in a language."""
    provider = get_provider(code)
    return provider.name_en if locale == "en" else provider.name


def status_name(locale: str, status: BillFileStatus) -> str:
    """Say how far a file has come."""
    return look.macro_text(locale, "parts/ui.html", "file_pill", status.value)


def file_row(locale: str, row: BillFile) -> dict[str, Any]:
    """Return a bill file as the templates show it."""
    landing = max(row.rows - row.rejected, 1)
    done = row.status is BillFileStatus.IMPORTED
    return row.model_dump() | {
        "provider_name": provider_name(locale, row.provider_code),
        "complaint": said(locale, row.complaint or ""),
        "progress_percent": 100 if done else min(row.rows_done * 100 // landing, 99),
    }


def missing_numbers(locale: str, gaps: Sequence[Gap], *, named: bool) -> str:
    """List numbers of files that did not come; ``named`` by their companies."""
    colon, comma, semicolon = (": ", ", ", "; ") if locale == "en" else ("：", "、", "；")
    return semicolon.join(
        (provider_name(locale, code) + colon if named else "") + comma.join(map(str, of_one))
        for code, of_one in groupby(gaps, key=lambda gap: gap.provider_code)
    )


def file_facts(session: Session, locale: str, row: BillFile) -> dict[str, Any]:
    """Return all that the page of one file shows of it."""
    assert row.id is not None
    return {
        "file": file_row(locale, row),
        "rejects": [
            {
                "line_no": r.line_no,
                "column": r.column_name,
                "reason": said(locale, r.reason),
                "raw": r.raw,
            }
            for r in iter_rejects(session, row.id, limit=REJECTS_SHOWN)
        ],
        "rejects_total": row.rejected,
        "corrections": [
            (one, said(locale, one.reason or "")) for one in list_corrections(session, row.id)
        ],
        "refresh_seconds": REFRESH_SECONDS if row.status in MOVING else None,
    }
