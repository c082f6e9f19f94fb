"""A company's system reads what the company was paid."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from payments.remittance.listing import Filter, Stage, company_remittance, find_remittances
from payments.remittance.models import Basis, LineKind, Remittance
from payments.remittance.views import advice
from web.access import Company, Db
from web.inputs import Id

router = APIRouter(tags=["remittances of companies"])


class RemittanceOut(BaseModel):
    """What a company is paid for some days; amounts are fen.

    `stage` is `paid` once our bank has booked all of it. On a `net` basis `net_fen` is gross less
    deducted, with carried and released, less held; on a `gross` basis what is deducted is claimed.
    """

    id: int
    number: str
    from_on: date
    to_on: date
    due_on: date
    stage: Stage
    basis: Basis
    gross_fen: int
    deducted_fen: int
    carried_fen: int
    released_fen: int
    held_fen: int
    net_fen: int
    claimed_fen: int


class RemittancesOut(BaseModel):
    remittances: list[RemittanceOut]
    next_cursor: int | None


class LineOut(BaseModel):
    """What a day moved, of one kind; below zero lessens what the company gets."""

    day: date
    kind: LineKind
    transfers: int
    amount_fen: int


class ShareOut(BaseModel):
    account_name: str
    account_masked: str
    bank_code: str
    amount_fen: int
    end_to_end_id: str


class AdviceOut(RemittanceOut):
    sent_on: date | None
    lines: list[LineOut]
    shares: list[ShareOut]


def _facts(one: Remittance, stage: Stage) -> dict[str, object]:
    facts = {name: getattr(one, name) for name in RemittanceOut.model_fields if name != "stage"}
    return facts | {"stage": stage}


@router.get("/providers/{code}/remittances")
def list_remittances(
    code: Company,
    db: Db,
    stage: Annotated[Stage | None, Query()] = None,
    cursor: Annotated[int | None, Query(ge=1, lt=1 << 63)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> RemittancesOut:
    """List a company's remittances, the newest first."""
    wanted = Filter(stage=stage, provider_code=code)
    found = find_remittances(db, wanted, after=cursor, limit=limit)
    return RemittancesOut(
        remittances=[RemittanceOut.model_validate(_facts(one, at)) for one, at in found],
        next_cursor=found[-1].one.id if len(found) == limit else None,
    )


@router.get("/providers/{code}/remittances/{remittance_id}")
def show_remittance(code: Company, remittance_id: Id, db: Db) -> AdviceOut:
    """Show one of a company's remittances, with what each day moved and where it went."""
    one = company_remittance(db, remittance_id, code)
    told = advice(db, one.id)
    stage = Stage.PAID if told.is_paid else Stage(one.state.value)
    return AdviceOut.model_validate(
        _facts(one, stage)
        | {
            "sent_on": told.sent_on,
            "lines": [line._asdict() for line in told.lines],
            "shares": [share._asdict() for share in told.shares],
        }
    )
