"""Bills whose companies have the money by another way: another channel, or their own counter."""

from datetime import datetime

from sqlmodel import Session

from billing.ledger import books, postings
from billing.models import Bill


def void_paid_elsewhere(session: Session, bill: Bill, company: str, *, now: datetime) -> bool:
    """Take a bill out of the books because its company has the money by another way (rule 37).

    It must be locked, and owe all it was issued for; tells whether it was so. A later version of
    the company's bills it anew.
    """
    if bill.cancelled_at is not None or bill.paid_fen or bill.credited_fen or bill.amount_fen <= 0:
        return False
    assert bill.account_id is not None
    key = bill.account_id, bill.id
    moves = postings.waived(key, company, f"elsewhere.{bill.version}", bill.adjusted_fen)
    moves += postings.reversed_(key, company, bill.amount_fen, bill.version)
    bill.adjusted_fen, bill.cancelled_at, bill.paid_elsewhere_at = 0, now, now
    session.flush()
    books.post(session, moves, now=now)
    return True
