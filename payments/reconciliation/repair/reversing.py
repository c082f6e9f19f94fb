"""Asking a company to take back a write-off of something that is not paid here (冲正).

Nothing of ours moves: we hold no money for it. The company's next list says that it is reversed,
and explains the difference.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from core.db import transaction
from core.errors import Conflict, NotFound
from payments.reconciliation.models import ReconciliationBreak
from payments.reconciliation.repair.asking import keep_answer
from payments.reconciliation.repair.models import BreakAct
from providers.base import ReversalOrder, UtilityClient, WriteOffOutcome, WriteOffReverser

HELD = "held"  # the answer of an act that came too late: nobody was asked

# What the list in force says of it, under our number; and whether we hold money for it after all.
_LISTED = text("""
    SELECT r.account_no, r.bill_no, r.amount_fen
    FROM confirmation_arrival a
    JOIN confirmation_row r ON r.confirmation_file_id = a.confirmation_file_id
    WHERE (a.provider_code, a.day, r.write_off_no, r.kind)
          = (:source, :day, :reference, 'written_off')
    ORDER BY r.row_no LIMIT 1
""")
_HELD = text("""
    SELECT EXISTS (
        SELECT FROM payment_item i JOIN utility_account a ON a.id = i.account_id
        WHERE (i.write_off_no, a.provider_code) = (:reference, :source)
          AND i.outcome IN ('waiting', 'paid', 'written_off'))
""")


def check(session: Session, found: ReconciliationBreak) -> None:
    """See that a company can be asked to take this back, and that it would be right.

    Raises:
        NotFound: its list does not have it under a number.
        Conflict: we hold money for it, or may yet: then the company is right to have it.
    """
    _listed(session, found)
    if _is_held(session, found):
        raise Conflict(
            "this write-off is paid here, or under way: ask the company which bill it means",
            code="break.held",
        )


def reverse(act_id: int, clients: Mapping[str, UtilityClient], *, now: datetime) -> bool:
    """Ask a company to take a write-off back, and keep its answer with the act.

    May be repeated: the company knows the number. No transaction is open while we wait.

    Returns:
        Whether there is an answer; otherwise ask again later, under the same number.

    Raises:
        NotFound: no such act, or the company cannot be asked.
        UpstreamUnavailable: the company could not be reached; try again later.
    """
    with transaction() as session:
        act = session.get(BreakAct, act_id)
        if act is None:
            raise NotFound("there is no such act")
        found = session.get_one(ReconciliationBreak, act.break_id)
        if act.answered_at is not None:
            return True
        if _is_held(session, found):  # it was paid since: taking it back would be wrong
            keep_answer(session, act_id, HELD, now=now)
            return True
        order = _order(session, found, act_id)
    client = clients.get(found.source)
    if not isinstance(client, WriteOffReverser):
        raise NotFound(f"{found.source} cannot be asked to take anything back",
                       code="utility.no_reversal")  # fmt: skip
    reply = client.reverse_write_off(order)
    if reply.outcome is WriteOffOutcome.UNKNOWN:
        return False
    word = "reversed" if reply.outcome is WriteOffOutcome.ACCEPTED else "kept"
    answer = " ".join(filter(None, (word, reply.utility_ref, reply.reason)))
    with transaction() as session:
        keep_answer(session, act_id, answer, now=now)
    return True


def reversal_no(write_off_no: str, act_id: int) -> str:
    """Return the number under which an act asks, however often it does."""
    return f"{write_off_no}-{act_id}"


def _order(session: Session, found: ReconciliationBreak, act_id: int) -> ReversalOrder:
    listed = _listed(session, found)
    return ReversalOrder(
        reversal_no=reversal_no(found.reference, act_id), write_off_no=found.reference,
        account_no=listed.account_no, bill_no=listed.bill_no, amount_fen=listed.amount_fen,
    )  # fmt: skip


def _listed(session: Session, found: ReconciliationBreak) -> Any:
    row = session.execute(_LISTED, _names(found)).one_or_none()
    if row is None:
        raise NotFound(
            "the company's list does not have it under a number: write to the company",
            code="break.no_number",
        )
    return row


def _is_held(session: Session, found: ReconciliationBreak) -> bool:
    return bool(session.execute(_HELD, _names(found)).scalar_one())


def _names(found: ReconciliationBreak) -> dict[str, Any]:
    return {"source": found.source, "day": found.day, "reference": found.reference}
