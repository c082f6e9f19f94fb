"""To which accounts of a company a remittance goes: at most five (rule 10), as its terms say."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from billing.rules.splits import split_settlement
from billing.rules.terms import BankAccount, Terms
from billing.terms import terms_on
from core.clock import billing_date, month_start
from core.errors import Invalid
from core.keys import month_key
from payments.remittance.models import (
    TO_RELEASE,
    Act,
    Remittance,
    RemittancePayment,
    RemittanceState,
    all_payments,
    live_payments,
    lock_remittance,
    note,
)

PRIMARY = "primary"


def is_enough(net_fen: int, terms: Terms) -> bool:
    """Tell whether so much is paid out: it reaches the minimum, and covers the fixed shares."""
    if net_fen < max(terms.remit.minimum_fen, 1):
        return False
    try:
        split_settlement(net_fen, terms, primary_ref=PRIMARY)
    except Invalid:
        return False
    return True


def next_key(session: Session, *, now: datetime) -> int:
    """Return a new key that knows its month: the subject of transfers."""
    number = session.execute(text("SELECT nextval('payment_no')")).scalar_one()
    return month_key(month_start(billing_date(now)), number)


def divide(session: Session, one: Remittance, terms: Terms) -> None:
    """Enter what goes to which account; without a primary account nothing can be sent yet."""
    if terms.remit.account is None:
        return
    for place, (ref, fen) in enumerate(_shares(one.net_fen, terms), start=1):
        session.add(_payment(session, one, place, 1, ref, account_of(ref, terms), fen))
    session.flush()


def _shares(net_fen: int, terms: Terms) -> list[tuple[str, int]]:
    """Return (account, fen), the primary account first."""
    shares = split_settlement(net_fen, terms, primary_ref=PRIMARY)
    return sorted(shares, key=lambda share: share[0] != PRIMARY)


def account_of(ref: str, terms: Terms) -> BankAccount | None:
    """Return the account terms name so; none: they know it no more."""
    if ref == PRIMARY:
        return terms.remit.account
    return next((split.account for split in terms.splits if split.account_ref == ref), None)


def _payment(
    session: Session, one: Remittance, place: int, attempt: int, ref: str,
    account: BankAccount | None, fen: int,
) -> RemittancePayment:  # fmt: skip
    assert account is not None, ref
    return RemittancePayment(
        id=next_key(session, now=one.made_at), remittance_id=one.id, place=place, attempt=attempt,
        account_ref=ref, account_name=account.name, account_no=account.account_no,
        bank_code=account.bank_code, amount_fen=fen,
        end_to_end_id=f"{one.number}{place}{attempt:02d}",
    )  # fmt: skip


def again(session: Session, one: Remittance, returned: RemittancePayment, *, now: datetime) -> None:
    """Enter a new payment of what the bank brought back, to the account the terms name today."""
    terms = terms_on(session, one.provider_code, billing_date(now))
    known = BankAccount(
        name=returned.account_name, account_no=returned.account_no, bank_code=returned.bank_code
    )
    account = account_of(returned.account_ref, terms) or known
    session.add(
        _payment(
            session, one, returned.place, returned.attempt + 1, returned.account_ref, account,
            returned.amount_fen,
        )
    )  # fmt: skip
    session.flush()


def refresh(session: Session, remittance_id: int, *, now: datetime) -> bool:
    """Take over accounts that the terms have changed, while nobody has released it; tells if so."""
    one = lock_remittance(session, remittance_id)
    if one.state not in TO_RELEASE:
        return False
    terms = terms_on(session, one.provider_code, billing_date(now))
    before = _said(live_payments(session, one.id))
    if one.state is RemittanceState.PROPOSED:
        for payment in all_payments(session, one.id):
            session.delete(payment)
        session.flush()
        if is_enough(one.net_fen, terms):
            divide(session, one, terms)
    else:
        _readdress(session, one, terms)
    changed = _said(live_payments(session, one.id)) != before
    if changed:
        note(session, one.id, Act.CHANGED, now=now)
    return changed


def _readdress(session: Session, one: Remittance, terms: Terms) -> None:
    for payment in live_payments(session, one.id):
        account = account_of(payment.account_ref, terms)
        if payment.sent_at is None and account is not None:
            payment.account_name, payment.account_no = account.name, account.account_no
            payment.bank_code = account.bank_code
    session.flush()


def _said(payments: Sequence[RemittancePayment]) -> list[Any]:
    return [
        (one.place, one.account_ref, one.account_name, one.account_no, one.bank_code,
         one.amount_fen)
        for one in payments
    ]  # fmt: skip
