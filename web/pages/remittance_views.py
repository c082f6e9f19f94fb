"""A remittance as staff and its company see it, and its advice as a file."""

from collections.abc import Iterator
from typing import Any

from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from payments.remittance.advice_pdf import remittance_advice_pdf
from payments.remittance.listing import booked, stage_of
from payments.remittance.models import Remittance
from payments.remittance.views import Advice, advice
from web.exports import Cell, Kind, Yuan, export, read_rows
from web.pages.page import locale_of

ADVICE_HEAD = (
    "day", "kind", "bill_no", "account_masked", "reference", "paid_on", "amount_yuan",
)  # fmt: skip


def advice_facts(session: Session, one: Remittance) -> dict[str, Any]:
    """Return what both see of a remittance."""
    return {
        "one": one,
        "advice": advice(session, one.id),
        "stage": stage_of(session, one.id),
        "booked": booked(session, one.id),
    }


def advice_file(remittance_id: int, number: str, kind: Kind) -> StreamingResponse:
    """Answer with every bill of a remittance, a line each; all lines sum to what it comes to."""

    def rows(session: Session) -> Iterator[tuple[Cell, ...]]:
        yield from advice_rows(advice(session, remittance_id))

    return export(kind, name=f"advice-{number}", head=ADVICE_HEAD, rows=read_rows(rows))


def advice_rows(told: Advice) -> Iterator[tuple[Cell, ...]]:
    """Yield the lines of an advice: bills, our fees, and what comes from other remittances."""
    for item in told.items:
        yield (
            item.day, item.kind.value, item.bill_no, item.account_masked, item.reference,
            item.paid_on, Yuan(item.amount_fen),
        )  # fmt: skip
    for line in told.lines:
        if line.kind.about_no_bill:
            yield line.day, line.kind.value, "", "", told.number, None, Yuan(line.amount_fen)
    for word, fen in (
        ("claimed", told.claimed_fen), ("carried", told.carried_fen),
        ("released", told.released_fen), ("held", -told.held_fen),
    ):  # fmt: skip
        if fen:
            yield told.to_on, word, "", "", told.number, None, Yuan(fen)


def advice_pdf(request: Request, session: Session, one: Remittance) -> Response:
    """Answer with the advice as a document."""
    content = remittance_advice_pdf(advice(session, one.id), locale_of(request))
    name = f'inline; filename="advice-{one.number}.pdf"'
    return Response(content, media_type="application/pdf", headers={"Content-Disposition": name})
