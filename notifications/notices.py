"""Making notices: a row first, its words frozen; sending comes after the commit.

Repeating an event makes no second notice: the row is unique by event, person, subject and channel.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.bills import BillRef, format_ref
from core import outbox
from core.clock import billing_date
from core.db import transaction
from core.errors import NotFound, Upstream, UpstreamUnavailable
from identity.models import Person, Role
from identity.sign_in import CODE_MINUTES, issue_code
from notifications import words
from notifications.channels.base import Channel, Message
from notifications.models import Notice, NoticeState
from notifications.refund_words import why_back
from payments.autopay.mandates import CHANNEL
from payments.autopay.models import AutopayRun
from payments.models import Payment, PaymentItem
from payments.receipt_links import receipt_path
from payments.returns.models import Refund
from payments.returns.transfers import find_transfer
from payments.states import Outcome
from payments.views import PaymentItemView, PaymentView
from payments.views import view as payment_view

_INSERT = text("""
    INSERT INTO notice (event, person_id, subject_ref, channel, address, title, body, body_html,
                        state, created_at, state_at)
    VALUES (:event, :person_id, :subject_ref, :channel, :address, :title, :body, :body_html,
            :state, :now, :now)
    ON CONFLICT (event, person_id, subject_ref, channel) DO NOTHING
    RETURNING id
""")


def make_notice(
    session: Session,
    person: Person,
    *,
    event: str,
    subject_ref: str,
    channel: str,
    address: str,
    text_: words.Words,
    now: datetime,
) -> int | None:
    """Make one notice and ask for it to be sent; None when it was made before.

    In the inbox it is as soon as it is made: nobody has to bring it there.
    """
    there = channel == "inbox"
    notice_id = session.execute(
        _INSERT,
        {
            "event": event, "person_id": person.id, "subject_ref": subject_ref,
            "channel": channel, "address": address, "title": text_.title, "body": text_.body,
            "body_html": text_.body_html, "now": now,
            "state": NoticeState.ACCEPTED if there else NoticeState.CREATED,
        },
    ).scalar_one_or_none()  # fmt: skip
    if notice_id is not None and not there:
        outbox.emit(session, "notice.created", notice_id, now=now)
    return notice_id


def send_sign_in_code(session: Session, contact: str, *, secret: str, now: datetime) -> None:
    """Send whoever has this contact a one-time code; says nothing when nobody has.

    Raises:
        TooMany: five codes within the hour already.
    """
    issued = issue_code(session, contact, secret=secret, now=now)
    if issued is None:
        return
    person, code, code_id = issued
    assert person.contact is not None  # it was found by it
    make_notice(
        session, person, event="sign_in.code", subject_ref=str(code_id),
        channel="email" if "@" in person.contact else "console", address=person.contact,
        text_=words.sign_in_code(code, minutes=CODE_MINUTES, locale=person.locale), now=now,
    )  # fmt: skip


def tell(
    session: Session,
    person: Person,
    *,
    event: str,
    subject_ref: str,
    told: words.Words,
    now: datetime,
) -> None:
    """Tell somebody once: by e-mail if there is an address, and in the inbox, but a guest's."""
    addresses = {} if person.role is Role.GUEST else {"inbox": str(person.id)}
    addresses |= {"email": person.email} if person.email else {}
    for channel, address in addresses.items():
        make_notice(
            session, person, event=event, subject_ref=subject_ref, channel=channel,
            address=address, text_=told, now=now,
        )  # fmt: skip


class _Reader(NamedTuple):
    """A payment's payer, with what they are told of: the payment, and where they see it."""

    person: Person
    shown: PaymentView
    link: str

    @property
    def locale(self) -> str:
        return self.person.locale

    def item(self, ref: BillRef) -> PaymentItemView:
        return next(one for one in self.shown.items if one.bill_ref == format_ref(ref))


def _reader(
    session: Session, payment: Payment, *, public_url: str, secret: str, now: datetime
) -> _Reader | None:
    """Return whom to tell of a payment; None: cash at a counter, whose shop gave the receipt."""
    if payment.payer_id is None:
        return None
    person = session.get_one(Person, payment.payer_id)
    shown = payment_view(session, payment, gateway_name="", today=billing_date(now))
    link = f"{public_url}/payments/{payment.id}"
    if person.role is Role.GUEST and secret:
        link = public_url + receipt_path(payment.id, secret=secret, now=now)
    return _Reader(person, shown, link)


def tell_paid(
    session: Session, payment_id: int, *, public_url: str, now: datetime, secret: str = ""
) -> None:
    """Send the payer a receipt.

    Args:
        secret: the installation's, which signs a guest's link; empty: the link asks to sign in.
    """
    payment = session.get_one(Payment, payment_id)
    to = _reader(session, payment, public_url=public_url, secret=secret, now=now)
    if to is None:
        return
    told = words.receipt(
        to.shown, name=to.person.name, link=to.link, locale=to.locale,
        by_autopay=payment.channel == CHANNEL,
    )  # fmt: skip
    tell(
        session, to.person, event="payment.receipt", subject_ref=str(payment_id), told=told, now=now
    )


def tell_not_taken(
    session: Session, write_off_no: str, *, public_url: str, now: datetime, secret: str = ""
) -> None:
    """Tell the payer that a company did not take a bill's money; not once it is sent back."""
    item = session.exec(select(PaymentItem).where(PaymentItem.write_off_no == write_off_no)).one()
    payment = session.get_one(Payment, item.payment_id)
    to = _reader(session, payment, public_url=public_url, secret=secret, now=now)
    if to is None or item.outcome is Outcome.RETURNED:
        return
    told = words.not_taken(to.item((item.account_id, item.bill_id)), link=to.link, locale=to.locale)
    tell(
        session, to.person, event="write_off.refused", subject_ref=write_off_no, told=told, now=now
    )


def tell_returned(
    session: Session, refund_no: str, *, public_url: str, now: datetime, secret: str = ""
) -> None:
    """Tell the payer that a bill's money was sent back, and why."""
    refund = session.get_one(Refund, refund_no)
    payment = session.get_one(Payment, refund.payment_id)
    to = _reader(session, payment, public_url=public_url, secret=secret, now=now)
    if to is None:
        return
    transfer = find_transfer(session, refund_no)
    told = words.returned(
        refund.to_send_fen, why_back(refund, to.locale), link=to.link, locale=to.locale,
        by_bank=transfer is not None and transfer.sent_at is not None,
    )  # fmt: skip
    tell(session, to.person, event="payment.returned", subject_ref=refund_no, told=told, now=now)


def tell_declined(
    session: Session, refund_no: str, *, public_url: str, now: datetime, secret: str = ""
) -> None:
    """Tell the payer that a refund was declined; one that was withdrawn they never saw."""
    refund = session.get_one(Refund, refund_no)
    payment = session.get_one(Payment, refund.payment_id)
    to = _reader(session, payment, public_url=public_url, secret=secret, now=now)
    if to is None or refund.declined_by in {None, refund.proposed_by}:
        return
    told = words.not_granted(
        to.item((refund.account_id, refund.bill_id)), refund.amount_fen,
        link=to.link, locale=to.locale,
    )  # fmt: skip
    tell(session, to.person, event="refund.declined", subject_ref=refund_no, told=told, now=now)


def deliver(notice_id: int, channels: dict[str, Channel], *, now: datetime) -> None:
    """Hand one notice to its channel; one that was handed over, or has failed, stays as it is.

    What is no longer so when its turn comes is not sent, and no code stays on its row. No
    transaction is open while we wait.

    Raises:
        UpstreamUnavailable: not now; try again later.
        NotFound: no such notice.
    """
    with transaction() as session:
        notice = session.get(Notice, notice_id)
        if notice is None:
            raise NotFound("there is no such notice")
        too_late = _is_too_late(session, notice, now=now)
    if notice.state is not NoticeState.CREATED:
        return
    state = NoticeState.FAILED if too_late else _hand_over(notice, channels)
    with transaction() as session:
        row = session.get_one(Notice, notice_id, with_for_update=True)
        if row.state is NoticeState.CREATED:
            row.state, row.state_at = state, now
            if row.event == "sign_in.code":
                row.body, row.body_html = "(wiped)", None


def _is_too_late(session: Session, notice: Notice, *, now: datetime) -> bool:
    """Tell whether a code is no longer good, or a bill under autopay has gone on since."""
    if notice.event == "sign_in.code":
        return notice.created_at < now - timedelta(minutes=CODE_MINUTES)
    about, _, told = notice.event.partition(".")
    return about == "autopay" and (
        session.get_one(AutopayRun, int(notice.subject_ref)).state != told
    )


def _hand_over(notice: Notice, channels: dict[str, Channel]) -> NoticeState:
    """Send a notice once; a refusal for good is an answer, "not now" is raised on."""
    message = Message(
        message_id=f"notice-{notice.id}",
        address=notice.address,
        title=notice.title,
        body=notice.body,
        body_html=notice.body_html,
    )
    try:
        if notice.channel not in channels:
            raise Upstream(f"no channel {notice.channel!r} is installed")
        channels[notice.channel].send(message)
    except UpstreamUnavailable:
        raise
    except Upstream:
        return NoticeState.FAILED
    return NoticeState.ACCEPTED


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


def list_inbox(session: Session, person_id: int, *, limit: int = 50) -> list[Notice]:
    """Return a person's inbox, newest first."""
    return list(
        session.exec(
            select(Notice)
            .where(Notice.person_id == person_id, Notice.channel == "inbox")
            .order_by(col(Notice.created_at).desc(), col(Notice.id).desc())
            .limit(limit)
        )
    )


def mark_read(session: Session, notices: list[Notice], *, now: datetime) -> None:
    """Mark what was just shown as read."""
    for notice in notices:
        if notice.read_at is None:
            notice.read_at = now
