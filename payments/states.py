"""A payment's life, and a payment item's, as tables: what is heard in a state, and what follows.

The tables are the law: ``Payment.hear`` and ``PaymentItem.hear`` write a state by them and nothing
else does; set-based statements name the states they may start from with ``sources_of``; a trigger
holds the database to the same moves. ``docs/states.md`` draws them.
"""

from enum import StrEnum

from payments.gateways.base import GatewayStatus


class PaymentStatus(StrEnum):
    CREATED = "created"  # ours alone: the gateway has not been asked
    UNKNOWN = "unknown"  # it was asked, and its answer was lost or made no sense
    OPEN = "open"  # the gateway waits for the payer
    PAID = "paid"
    REFUSED = "refused"  # the gateway said no
    EXPIRED = "expired"  # closed at the gateway, or its time is over


class News(StrEnum):
    """What may be heard of a payment, from whomever and however often."""

    OPENED = "opened"
    NO_ANSWER = "no_answer"  # a timeout, a 500, garbage
    PAID = "paid"
    OTHER_AMOUNT = "other_amount"  # paid, and not what was asked: the money is suspended
    REFUSED = "refused"
    CLOSED = "closed"
    NEVER_ANSWERED = "never_answered"  # after two days of asking


class Outcome(StrEnum):
    """What became of one bill in a payment."""

    WAITING = "waiting"
    PAID = "paid"  # the money is here and on the bill
    WRITTEN_OFF = "written_off"  # the company closed the bill
    RETURNING = "returning"  # cannot be kept; a refund is under way
    RETURNED = "returned"
    NOT_PAID = "not_paid"


class ItemNews(StrEnum):
    """What may be heard of one bill in a payment."""

    TAKEN = "taken"  # the payment is paid, and the bill takes its part
    STRAY = "stray"  # the payment is paid, and the bill cannot take it any more
    GIVEN_UP = "given_up"  # the payment came to nothing
    ACCEPTED = "accepted"  # by the company
    REFUSED = "refused"
    SENT_BACK = "sent_back"
    TAKEN_BACK = "taken_back"  # all of it, by staff's refunds and lost chargebacks


_S, _N = PaymentStatus, News
_ENDS = {
    _N.PAID: _S.PAID,
    _N.OTHER_AMOUNT: _S.REFUSED,
    _N.REFUSED: _S.REFUSED,
    _N.CLOSED: _S.EXPIRED,
    _N.NEVER_ANSWERED: _S.EXPIRED,
}
# News that a state has no line for changes nothing there.
PAYMENT_MOVES: dict[PaymentStatus, dict[News, PaymentStatus]] = {
    _S.CREATED: {_N.OPENED: _S.OPEN, _N.NO_ANSWER: _S.UNKNOWN, **_ENDS},
    _S.UNKNOWN: {_N.OPENED: _S.OPEN, **_ENDS},
    _S.OPEN: _ENDS,
    _S.PAID: {},
    _S.REFUSED: {_N.PAID: _S.PAID},  # some gateways let the payer try again: the money wins
    _S.EXPIRED: {_N.PAID: _S.PAID},  # a late "paid" wins over our timer
}

_O, _I = Outcome, ItemNews
OUTCOME_MOVES: dict[Outcome, dict[ItemNews, Outcome]] = {
    _O.WAITING: {_I.TAKEN: _O.PAID, _I.STRAY: _O.RETURNING, _I.GIVEN_UP: _O.NOT_PAID},
    _O.PAID: {_I.ACCEPTED: _O.WRITTEN_OFF, _I.REFUSED: _O.RETURNING},
    _O.WRITTEN_OFF: {_I.TAKEN_BACK: _O.RETURNING},
    _O.RETURNING: {_I.SENT_BACK: _O.RETURNED},
    _O.RETURNED: {},
    _O.NOT_PAID: {_I.TAKEN: _O.PAID, _I.STRAY: _O.RETURNING},  # the late "paid" again
}

PENDING = frozenset({_S.CREATED, _S.UNKNOWN, _S.OPEN})
UNOPENED = frozenset({_S.CREATED, _S.UNKNOWN})  # nobody has told us where to pay

# What a gateway's word is as news; an order it never heard of is no news of ours.
NEWS: dict[GatewayStatus, News | None] = {
    GatewayStatus.OPEN: _N.OPENED,
    GatewayStatus.PAID: _N.PAID,
    GatewayStatus.REFUSED: _N.REFUSED,
    GatewayStatus.CLOSED: _N.CLOSED,
    GatewayStatus.NOT_FOUND: None,
    GatewayStatus.UNKNOWN: _N.NO_ANSWER,
}


def sources_of(state: PaymentStatus | Outcome) -> list[str]:
    """Return the states from which one may come to ``state``: for the WHERE of a set-based move."""
    moves = PAYMENT_MOVES if isinstance(state, PaymentStatus) else OUTCOME_MOVES
    return [start.value for start, ends in moves.items() if state in ends.values()]
