"""Autopay of accounts that are not their payers' to pay any more: taken off a home, or left."""

from collections.abc import Collection
from datetime import datetime

from sqlmodel import Session, col, select

from billing.homes.households import visible_accounts
from payments.autopay.mandates import Scope, end_because, may_hold
from payments.autopay.models import Mandate
from payments.autopay.states import LIVE


def end_without_right(
    session: Session, account_ids: Collection[int], *, by: int | None, now: datetime
) -> None:
    """End the mandates for these accounts whose payers may not pay them any more; they are told.

    Args:
        by: whose doing it is; their own mandate was ended by themselves.
    """
    live = (
        select(Mandate)
        .where(col(Mandate.account_id).in_(account_ids), col(Mandate.status).in_(LIVE))
        .order_by(col(Mandate.id))
        .with_for_update()
    )
    for mandate in session.exec(live).all():
        own = visible_accounts(session, mandate.person_id, to_pay=True)
        if mandate.account_id not in own:
            why = "by_payer" if mandate.person_id == by else "not_allowed"
            end_because(session, mandate, why, now=now)


def end_lost(session: Session, person_id: int, *, by: int | None, now: datetime) -> None:
    """End somebody's mandates for what they may not pay any more: they left, or their role changed.

    Args:
        by: as in ``end_without_right``.
    """
    live = (
        select(Mandate)
        .where(Mandate.person_id == person_id, col(Mandate.status).in_(LIVE))
        .order_by(col(Mandate.id))
        .with_for_update()
    )
    for mandate in session.exec(live).all():
        if not may_hold(session, person_id, Scope(mandate.account_id, mandate.household_id)):
            why = "by_payer" if person_id == by else "not_allowed"
            end_because(session, mandate, why, now=now)


def count_live(session: Session, account_id: int) -> int:
    """Count the mandates for an account that debit, or are about to."""
    live = select(Mandate.id).where(Mandate.account_id == account_id, col(Mandate.status).in_(LIVE))
    return len(session.exec(live).all())
