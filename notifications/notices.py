"""Making notices: a row first, its words frozen; sending comes after the commit.

Repeating an event makes no second notice: the row is unique by event, person, subject and channel.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ARRAY, BigInteger, any_, literal
from sqlmodel import Session, col, select

from core.clock import billing_date
from identity.models import Person, Role
from identity.sign_in import CODE_MINUTES, issue_code
from notifications import payment_facts
from notifications.models import Notice, NoticeState
from notifications.payment_facts import Seen
from notifications.telling import Telling, tell, tell_all
from notifications.wording.rendering import Facts
from payments.models import Payment, PaymentItem
from payments.receipt_links import receipt_path
from payments.returns.models import Refund
from payments.states import Outcome
from payments.views import views


def send_sign_in_code(session: Session, contact: str, *, secret: str, now: datetime) -> None:
    """Send whoever has this contact a one-time code; says nothing when nobody has.

    Raises:
        TooMany: five codes within the hour already.
    """
    issued = issue_code(session, contact, secret=secret, now=now)
    if issued is None:
        return
    person, code, code_id = issued
    facts = Facts({"code": code, "minutes": str(CODE_MINUTES)})
    code_told = Telling(
        event="sign_in.code", person=person, subject_ref=str(code_id), facts=facts,
        expires_at=now + timedelta(minutes=CODE_MINUTES),
    )  # fmt: skip
    tell(session, code_told, now=now)


class Payer(NamedTuple):
    """A payment's payer, with the payment as they are told of it."""

    person: Person
    seen: Seen


def payer_of(
    session: Session, payment: Payment, *, public_url: str, secret: str, now: datetime
) -> Payer | None:
    """Return whom to tell of a payment; None: cash at a counter, whose shop gave the receipt."""
    found = payers_of(session, [payment.id], public_url=public_url, secret=secret, now=now)
    return found.get(payment.id)


def payers_of(
    session: Session, payment_ids: Sequence[int], *, public_url: str, secret: str, now: datetime
) -> dict[int, Payer]:
    """Return whom to tell of payments, by payment, in their order; without cash at a counter."""
    rows = session.exec(
        select(Payment, Person)
        .join(Person, col(Person.id) == col(Payment.payer_id))
        .where(col(Payment.id) == any_(literal(list(payment_ids), ARRAY(BigInteger))))
        .order_by(col(Payment.id))
    ).all()
    if not rows:
        return {}
    shown = views(
        session, [payment for payment, _ in rows], gateway_name="", today=billing_date(now)
    )
    payers = {}
    for payment, person in rows:
        link = f"{public_url}/payments/{payment.id}"
        if person.role is Role.GUEST and secret:
            link = public_url + receipt_path(payment.id, secret=secret, now=now)
        seen = payment_facts.seen(
            payment, shown[payment.id], person.locale, link=link, name=person.name
        )
        payers[payment.id] = Payer(person, seen)
    return payers


def tell_paid(
    session: Session, *payment_ids: int, public_url: str, now: datetime, secret: str = ""
) -> None:
    """Send the payers of some payments their receipts.

    Args:
        secret: the installation's, which signs a guest's link; empty: the link asks to sign in.
    """
    payers = payers_of(session, payment_ids, public_url=public_url, secret=secret, now=now)
    receipts = [
        Telling(
            event="payment.receipt", person=to.person, subject_ref=str(payment_id),
            facts=payment_facts.paid(to.seen),
        )
        for payment_id, to in payers.items()
    ]  # fmt: skip
    tell_all(session, receipts, now=now)


def tell_not_taken(
    session: Session, write_off_no: str, *, public_url: str, now: datetime, secret: str = ""
) -> None:
    """Tell the payer that a company did not take a bill's money; not once it is sent back."""
    item = session.exec(select(PaymentItem).where(PaymentItem.write_off_no == write_off_no)).one()
    payment = session.get_one(Payment, item.payment_id)
    to = payer_of(session, payment, public_url=public_url, secret=secret, now=now)
    if to is None or item.outcome is Outcome.RETURNED:
        return
    refused = Telling(
        event="write_off.refused", person=to.person, subject_ref=write_off_no,
        facts=payment_facts.not_taken(item, to.seen),
    )  # fmt: skip
    tell(session, refused, now=now)


def tell_returned(
    session: Session, refund_no: str, *, public_url: str, now: datetime, secret: str = ""
) -> None:
    """Tell the payer that a bill's money was sent back, and why."""
    refund = session.get_one(Refund, refund_no)
    payment = session.get_one(Payment, refund.payment_id)
    to = payer_of(session, payment, public_url=public_url, secret=secret, now=now)
    if to is None:
        return
    returned = Telling(
        event="payment.returned", person=to.person, subject_ref=refund_no,
        facts=payment_facts.returned(session, refund, to.seen),
    )  # fmt: skip
    tell(session, returned, now=now)


def tell_declined(
    session: Session, refund_no: str, *, public_url: str, now: datetime, secret: str = ""
) -> None:
    """Tell the payer that a refund was declined; one that was withdrawn they never saw."""
    refund = session.get_one(Refund, refund_no)
    payment = session.get_one(Payment, refund.payment_id)
    to = payer_of(session, payment, public_url=public_url, secret=secret, now=now)
    if to is None or refund.declined_by in {None, refund.proposed_by}:
        return
    declined = Telling(
        event="refund.declined", person=to.person, subject_ref=refund_no,
        facts=payment_facts.declined(refund, to.seen),
    )  # fmt: skip
    tell(session, declined, now=now)


def receipt_sent_to(session: Session, payment_id: int) -> str | None:
    """Return the e-mail address a payment's receipt has gone to, once it has."""
    return session.exec(
        select(Notice.address).where(
            Notice.event == "payment.receipt",
            Notice.subject_ref == str(payment_id),
            Notice.channel == "email",
            Notice.state == NoticeState.ACCEPTED,
        )
    ).first()
