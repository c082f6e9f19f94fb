"""Making notices: a row first, its words frozen; sending comes after the commit.

Repeating an event makes no second notice: the row is unique by event, person, subject and channel.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlmodel import Session, select

from billing.bills import BillRef, format_ref
from core.clock import billing_date
from identity.models import Person, Role
from identity.sign_in import CODE_MINUTES, issue_code
from notifications.models import Notice, NoticeState
from notifications.payment_words import item_facts, receipt_facts, returned_facts
from notifications.refund_words import why_back
from notifications.telling import Telling, tell
from notifications.wording.rendering import Facts
from payments.autopay.mandates import CHANNEL
from payments.models import Payment, PaymentItem
from payments.receipt_links import receipt_path
from payments.returns.models import Refund
from payments.returns.transfers import find_transfer
from payments.states import Outcome
from payments.views import PaymentItemView, PaymentView
from payments.views import view as payment_view


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
    """A payment's payer, with what they are told of: the payment, and where they see it."""

    person: Person
    shown: PaymentView
    link: str

    @property
    def locale(self) -> str:
        return self.person.locale

    def item(self, ref: BillRef) -> PaymentItemView:
        return next(one for one in self.shown.items if one.bill_ref == format_ref(ref))


def payer_of(
    session: Session, payment: Payment, *, public_url: str, secret: str, now: datetime
) -> Payer | None:
    """Return whom to tell of a payment; None: cash at a counter, whose shop gave the receipt."""
    if payment.payer_id is None:
        return None
    person = session.get_one(Person, payment.payer_id)
    shown = payment_view(session, payment, gateway_name="", today=billing_date(now))
    link = f"{public_url}/payments/{payment.id}"
    if person.role is Role.GUEST and secret:
        link = public_url + receipt_path(payment.id, secret=secret, now=now)
    return Payer(person, shown, link)


def tell_paid(
    session: Session, payment_id: int, *, public_url: str, now: datetime, secret: str = ""
) -> None:
    """Send the payer a receipt.

    Args:
        secret: the installation's, which signs a guest's link; empty: the link asks to sign in.
    """
    payment = session.get_one(Payment, payment_id)
    to = payer_of(session, payment, public_url=public_url, secret=secret, now=now)
    if to is None:
        return
    facts = receipt_facts(
        to.shown, name=to.person.name, link=to.link, locale=to.locale,
        by_autopay=payment.channel == CHANNEL,
    )  # fmt: skip
    receipt = Telling(
        event="payment.receipt", person=to.person, subject_ref=str(payment_id), facts=facts
    )
    tell(session, receipt, now=now)


def tell_not_taken(
    session: Session, write_off_no: str, *, public_url: str, now: datetime, secret: str = ""
) -> None:
    """Tell the payer that a company did not take a bill's money; not once it is sent back."""
    item = session.exec(select(PaymentItem).where(PaymentItem.write_off_no == write_off_no)).one()
    payment = session.get_one(Payment, item.payment_id)
    to = payer_of(session, payment, public_url=public_url, secret=secret, now=now)
    if to is None or item.outcome is Outcome.RETURNED:
        return
    shown = to.item((item.account_id, item.bill_id))
    facts = item_facts(shown, item.amount_fen, link=to.link, locale=to.locale)
    refused = Telling(
        event="write_off.refused", person=to.person, subject_ref=write_off_no, facts=facts
    )
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
    transfer = find_transfer(session, refund_no)
    facts = returned_facts(
        refund.to_send_fen, why_back(refund, to.locale), link=to.link, locale=to.locale,
        by_bank=transfer is not None and transfer.sent_at is not None,
    )  # fmt: skip
    returned = Telling(
        event="payment.returned", person=to.person, subject_ref=refund_no, facts=facts
    )
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
    item = to.item((refund.account_id, refund.bill_id))
    facts = item_facts(item, refund.amount_fen, link=to.link, locale=to.locale)
    declined = Telling(
        event="refund.declined", person=to.person, subject_ref=refund_no, facts=facts
    )
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
