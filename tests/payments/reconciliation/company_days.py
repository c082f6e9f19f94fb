"""What a company did with what was paid here, and lists in which it says so."""

import io
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import text

from core.db import transaction
from payments import write_offs
from payments.gateways.base import RefundReply, RefundState
from payments.models import PaymentItem
from payments.reconciliation.breaks import list_breaks
from payments.reconciliation.company.lists import CompanyResult, reconcile_company
from payments.reconciliation.models import Leg
from payments.returns import refunds
from tests.factories import ACCEPTED, NOW, REFUSED, a_home, a_paid_payment, items_of
from tests.providers.confirmation_writers import BACK, DAY, MIDNIGHT, Told, water

LATE, EARLY = 86_340, 60  # 23:59 and 00:01, as seconds of a day


def on(day: int, seconds: int = 43_200) -> datetime:
    """Return a moment of a day, counted from 20 November."""
    return (MIDNIGHT + timedelta(days=day, seconds=seconds)).astimezone(UTC)


def the_day(day: int = 0) -> date:
    return DAY + timedelta(days=day)


def a_paid_part(fen: int = 8_650) -> PaymentItem:
    """A bill of City Water that is paid, of which nobody has heard from the company."""
    (item,) = items_of(a_paid_payment(a_home(fen)))
    return item


def written_off(fen: int = 8_650, *, at: datetime = NOW) -> PaymentItem:
    return accept(a_paid_part(fen), at=at)


def accept(item: PaymentItem, *, at: datetime = NOW) -> PaymentItem:
    with transaction() as session:
        write_offs.book(session, item.write_off_no, ACCEPTED, now=at)
    return item


def refuse(item: PaymentItem, *, at: datetime = NOW, returned: bool = False) -> PaymentItem:
    with transaction() as session:
        write_offs.book(session, item.write_off_no, REFUSED, now=at)
        if returned:
            number = f"R{item.write_off_no[1:]}"
            reply = RefundReply(state=RefundState.SENT, refund_ref="rf-1", refunded_at=at)
            refunds.book(session, number, reply, now=at)
    return item


def row_of(item: PaymentItem, day: int = 0, seconds: int = 43_200, **changes: Any) -> Told:
    """A row of a company that agrees with us; a reversal's amount is negative by itself."""
    with transaction() as session:
        account, bill = session.execute(
            text("SELECT a.account_no, b.bill_no FROM utility_account a "
                 "JOIN bill b ON b.account_id = a.id WHERE (a.id, b.id) = (:account, :bill)"),
            {"account": item.account_id, "bill": item.bill_id},
        ).one()  # fmt: skip
    told = Told(number=item.write_off_no, fen=item.amount_fen, account=account, bill=bill,
                seconds=day * 86_400 + seconds)._replace(**changes)  # fmt: skip
    return told._replace(fen=-told.fen) if told.kind is BACK else told


def run(rows: Sequence[Told], day: int = 0, *, now: datetime = NOW, **off: int) -> CompanyResult:
    content = water(rows, day=the_day(day), **off)
    with transaction() as session:
        return reconcile_company(
            session, "water", io.BytesIO(content), day=the_day(day), file_name="w.csv", now=now
        )


def found(day: int = 0) -> list[tuple[str, str, int | None, int | None]]:
    with transaction() as session:
        return [
            (one.kind.value, one.reference, one.ours_fen, one.theirs_fen)
            for one in list_breaks(session, "water", the_day(day), leg=Leg.COMPANY)
        ]
