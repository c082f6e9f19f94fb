"""What the demo city has paid its companies: the past closed step by step, each step remitted.

The newest remittances wait for the staff: to be released, and one to be approved.
"""

import io
from datetime import date, datetime, time, timedelta

from sqlmodel import Session, col, select

from billing.ledger.days import close_through, next_to_close
from core.clock import BILLING_ZONE, billing_date
from core.db import transaction
from core.money import yuan_text
from payments.reconciliation.intake.models import CameBy
from payments.reconciliation.intake.receiving import Given, Way
from payments.reconciliation.intake.work import take_now
from payments.reconciliation.models import Leg
from payments.remittance import deciding, sending
from payments.remittance.models import (
    TO_RELEASE,
    Remittance,
    RemittancePayment,
    live_payments,
)
from payments.remittance.runs import propose_due
from payments.remittance.sending import Debtor

US = Debtor("市民缴费平台", "6222000011113333", "102290000012")
_DAY = timedelta(days=1)
_STEP_DAYS = 14
_PAID_AFTER = 4 * _DAY  # days after a step's last one
_OPENS_WITH_FEN = 900_000_000


def paying_account() -> dict[str, str]:
    """Return our side's settings: the account companies are paid from."""
    return {
        "CITYBILL_REMITTANCE_NAME": US.name,
        "CITYBILL_REMITTANCE_ACCOUNT": US.account_no,
        "CITYBILL_REMITTANCE_BANK": US.bank_code,
    }


def close_and_remit(today: date, clerks: tuple[int, int], *, now: datetime) -> int:
    """Close all but yesterday and pay what was due on the way; returns how many days were closed.

    What is due today waits for the staff.
    """
    last, closed = today - 2 * _DAY, 0
    with transaction() as session:
        first = next_to_close(session, today=today)
    for days in range(_STEP_DAYS, (last - first).days if first else 0, _STEP_DAYS):
        assert first is not None
        through = first + timedelta(days=days)
        closed += close_through(through, closed_by="demo", now=now)
        if through + 2 * _PAID_AFTER < last:
            _pay(clerks, at=_at(through + _PAID_AFTER))
            _show_statement(through + _PAID_AFTER, now=_at(through + _PAID_AFTER + _DAY))
    _show_statement(last, now=now)
    closed += close_through(last, closed_by="demo", now=now)
    propose_due(now=now)
    return closed


def _at(day: date) -> datetime:
    return datetime.combine(day, time(10, 30), tzinfo=BILLING_ZONE)


def _pay(clerks: tuple[int, int], *, at: datetime) -> None:
    """Work out what is due, and send it: one of the staff releases, the other approves."""
    propose_due(now=at)
    releases, approves = clerks
    with transaction() as session:
        for one in _to_release(session):
            seen = deciding.shown(live_payments(session, one.id))
            deciding.release(session, one.id, seen=seen, by=releases, approval_above_fen=0, now=at)
            deciding.approve(session, one.id, by=approves, now=at)
        if session.exec(select(Remittance.id).where(Remittance.state == "approved")).first():
            sending.make_file(session, US, by=approves, now=at)


def _to_release(session: Session) -> list[Remittance]:
    waiting = select(Remittance).where(col(Remittance.state).in_(TO_RELEASE))
    return list(session.exec(waiting.order_by(col(Remittance.id))))


def _show_statement(day: date, *, now: datetime) -> None:
    """Hand in what the bank says, as MT940, of a day of the account companies are paid from."""
    with transaction() as session:
        sent = session.exec(
            select(RemittancePayment)
            .where(col(RemittancePayment.sent_at).is_not(None))
            .order_by(col(RemittancePayment.end_to_end_id))
        ).all()
    of_day = [one for one in sent if one.sent_at and billing_date(one.sent_at) == day]
    closes_fen = _OPENS_WITH_FEN - sum(one.amount_fen for one in sent)
    opens_fen = closes_fen + sum(one.amount_fen for one in of_day)
    lines = [
        f":20:P{day:%Y%m%d}", f":25:{US.account_no}", f":28C:{day:%j}/1",
        f":60F:C{day - _DAY:%y%m%d}CNY{_amount(opens_fen)}",
    ]  # fmt: skip
    for place, one in enumerate(of_day, 1):
        said = f"D{_amount(one.amount_fen)}NTRF{one.end_to_end_id}//P{day:%y%m%d}-{place}"
        lines += [
            f":61:{day:%y%m%d}{day:%m%d}{said}",
            f":86:166?20代收款划拨?31{one.account_no}?32{one.account_name}",
        ]
    content = "\n".join([*lines, f":62F:C{day:%y%m%d}CNY{_amount(closes_fen)}", "-", ""])
    take_now(
        io.BytesIO(content.encode()), Given(leg=Leg.BANK), Way(CameBy.COMMAND), {},
        file_name=f"bank-paying-{day}.sta", now=now,
    )  # fmt: skip


def _amount(fen: int) -> str:
    return yuan_text(fen).replace(".", ",")
