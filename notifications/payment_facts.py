"""What is told of a payment, read from the books: the facts of each of its events.

Whom to tell, and whether, is decided in ``notices`` and ``money_notices``.
"""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from sqlmodel import Session

from billing.bills import BillRef, format_ref
from core.money import format_yuan
from notifications.payment_words import item_facts, line, receipt_facts, returned_facts
from notifications.refund_words import CAME_BACK, why_back
from notifications.wording.rendering import Facts
from notifications.words import language
from payments.autopay.mandates import CHANNEL
from payments.models import Payment, PaymentItem, Receipt
from payments.returns.models import Refund
from payments.returns.transfers import find_transfer
from payments.views import PaymentItemView, PaymentView
from payments.views import view as payment_view


class Seen(NamedTuple):
    """A payment as somebody is told of it: in their language, by their name, with a link to it."""

    shown: PaymentView
    by_autopay: bool
    locale: str
    link: str = ""
    name: str = ""

    def item(self, ref: BillRef) -> PaymentItemView:
        return next(one for one in self.shown.items if one.bill_ref == format_ref(ref))


def see(
    session: Session, payment: Payment, locale: str, *, today: date, link: str = "", name: str = ""
) -> Seen:
    """Read a payment to tell of it."""
    shown = payment_view(session, payment, gateway_name="", today=today)
    return seen(payment, shown, locale, link=link, name=name)


def seen(payment: Payment, shown: PaymentView, locale: str, *, link: str, name: str) -> Seen:
    """Return a payment that was read as somebody is told of it."""
    return Seen(shown, payment.channel == CHANNEL, locale, link, name)


def paid(seen: Seen) -> Facts:
    """Return what a receipt says."""
    return receipt_facts(
        seen.shown, name=seen.name, link=seen.link, locale=seen.locale, by_autopay=seen.by_autopay
    )


def confirmed(seen: Seen) -> Facts:
    """Return what is told once the companies have answered: those bills they confirmed."""
    items = confirmed_of(seen)
    values = {
        "amount": format_yuan(sum(one.amount_fen for one in items)), "count": str(len(items)),
    }  # fmt: skip
    return Facts(values, [line(one, one.amount_fen, seen.locale) for one in items], seen.link)


def confirmed_of(seen: Seen) -> Sequence[PaymentItemView]:
    """Return a payment's bills that their companies have confirmed."""
    return [one for one in seen.shown.items if one.outcome == "confirmed"]


def not_taken(item: PaymentItem, seen: Seen) -> Facts:
    """Return what is told of a bill whose company did not take the money."""
    shown = seen.item((item.account_id, item.bill_id))
    return item_facts(shown, item.amount_fen, link=seen.link, locale=seen.locale)


def on_its_way(refund: Refund, seen: Seen) -> Facts:
    """Return what is told of money that is going back."""
    item = seen.item((refund.account_id, refund.bill_id))
    values = {"amount": format_yuan(refund.to_send_fen), "why": why_back(refund, seen.locale)}
    return Facts(values, [line(item, item.amount_fen, seen.locale)], seen.link)


def returned(session: Session, refund: Refund, seen: Seen) -> Facts:
    """Return what is told of money that was sent back."""
    transfer = find_transfer(session, refund.refund_no)
    return returned_facts(
        refund.to_send_fen, why_back(refund, seen.locale), link=seen.link, locale=seen.locale,
        by_bank=transfer is not None and transfer.sent_at is not None,
    )  # fmt: skip


def came_back(receipt: Receipt, seen: Seen) -> Facts:
    """Return what is told of money that was sent back and came back to us."""
    return Facts({"amount": format_yuan(receipt.to_send_fen)}, [], seen.link)


def sent_again(receipt: Receipt, seen: Seen) -> Facts:
    """Return what is told of money that had come back, once our bank has sent it."""
    why = CAME_BACK[language(seen.locale)]
    return returned_facts(
        receipt.to_send_fen, why, link=seen.link, locale=seen.locale, by_bank=True
    )


def declined(refund: Refund, seen: Seen) -> Facts:
    """Return what is told of a refund that was declined."""
    item = seen.item((refund.account_id, refund.bill_id))
    return item_facts(item, refund.amount_fen, link=seen.link, locale=seen.locale)
