"""What agents say of a day in their files: cash we have not heard of is booked, it happened."""

from datetime import date, datetime
from typing import NamedTuple

from sqlmodel import Session

from core.clock import billing_date
from core.errors import AmountMismatch, Invalid, SettlementFileError
from payments.counter.models import CounterPayment
from payments.counter.over_the_counter import Cash, take
from payments.gateways.counter import read_lines


class TakenIn(NamedTuple):
    """``differs`` names what we were told otherwise before: the run's breaks show each."""

    lines: int
    booked: int
    differs: tuple[str, ...]


def take_in(session: Session, content: bytes, *, day: date, now: datetime) -> TakenIn:
    """Book the payments of a day file that no agent has told of; again it changes nothing.

    Returns are not booked from a file: cash goes back with our leave only, asked for as it happens.

    Raises:
        SettlementFileError: the file is refused; nothing changed.
    """
    lines = read_lines(content, day=day)
    booked, differs = 0, []
    for line in sorted((one for one in lines if not one.is_return), key=lambda one: one.line_no):
        if billing_date(line.happened_at) != day:
            raise SettlementFileError(
                f"the cash was taken on {billing_date(line.happened_at)}, and the file is of {day}",
                line_no=line.line_no, column="happened_at",
            )  # fmt: skip
        if session.get(CounterPayment, (line.agent, line.agent_txn_no)) is None:
            booked += 1
        cash = Cash(
            agent_txn_no=line.agent_txn_no, barcode=line.barcode, amount_fen=line.amount_fen,
            paid_at=line.happened_at,
        )  # fmt: skip
        try:
            take(session, line.agent, cash, now=now, via="file")
        except AmountMismatch:
            differs.append(f"{line.agent}-{line.agent_txn_no}")
        except Invalid as wrong:
            raise SettlementFileError(wrong.message, line_no=line.line_no) from wrong
    return TakenIn(len(lines), booked, tuple(differs))
