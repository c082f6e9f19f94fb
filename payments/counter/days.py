"""What agents say of a day in their files: cash we have not heard of is booked, it happened."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from core.clock import billing_date
from core.errors import AmountMismatch, Invalid, SettlementFileError
from payments.counter.over_the_counter import Cash, take
from payments.gateways.counter import CounterLine, agent_ref, read_lines


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
    known, booked, differs = _known(session, lines), 0, []
    for line in sorted((one for one in lines if not one.is_return), key=lambda one: one.line_no):
        if billing_date(line.happened_at) != day:
            raise SettlementFileError(
                f"the cash was taken on {billing_date(line.happened_at)}, and the file is of {day}",
                line_no=line.line_no, column="happened_at",
            )  # fmt: skip
        told = known.get((line.agent, line.agent_txn_no))
        if told is not None:
            if told != (line.barcode, line.amount_fen):
                differs.append(agent_ref(line.agent, line.agent_txn_no))
            continue
        cash = Cash(
            agent_txn_no=line.agent_txn_no, barcode=line.barcode, amount_fen=line.amount_fen,
            paid_at=line.happened_at,
        )  # fmt: skip
        try:
            take(session, line.agent, cash, now=now, via="file")
        except AmountMismatch:  # told of by its agent, otherwise, at this very moment
            differs.append(agent_ref(line.agent, line.agent_txn_no))
            continue
        except Invalid as wrong:
            raise SettlementFileError(wrong.message, line_no=line.line_no) from wrong
        booked += 1
        known[line.agent, line.agent_txn_no] = line.barcode, line.amount_fen
    return TakenIn(len(lines), booked, tuple(differs))


_KNOWN = text("""
    SELECT agent, agent_txn_no, barcode, amount_fen FROM counter_payment
    WHERE (agent, agent_txn_no) IN (
        SELECT * FROM unnest(CAST(:agents AS text[]), CAST(:numbers AS text[])))
""")


def _known(
    session: Session, lines: Sequence[CounterLine]
) -> dict[tuple[str, str], tuple[str, int]]:
    """Return barcode and amount of the cash we have been told of, by agent and its number."""
    values = {
        "agents": [line.agent for line in lines], "numbers": [line.agent_txn_no for line in lines],
    }  # fmt: skip
    return {(row[0], row[1]): (row[2], row[3]) for row in session.execute(_KNOWN, values)}
