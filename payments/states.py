"""A payment's life, and a payment item's, as tables."""

from enum import StrEnum


class PaymentStatus(StrEnum):
    CREATED = "created"  # ours alone: the gateway has not been asked, or its answer was lost
    OPEN = "open"  # the gateway waits for the payer
    PAID = "paid"
    REFUSED = "refused"  # the gateway said no
    EXPIRED = "expired"  # closed at the gateway, or its time is over


class Outcome(StrEnum):
    """What became of one bill in a payment."""

    WAITING = "waiting"
    PAID = "paid"  # the money is here and on the bill
    WRITTEN_OFF = "written_off"  # the company closed the bill
    RETURNING = "returning"  # cannot be kept; a refund is under way
    RETURNED = "returned"
    NOT_PAID = "not_paid"


_S = PaymentStatus
PAYMENT_MOVES: dict[PaymentStatus, frozenset[PaymentStatus]] = {
    _S.CREATED: frozenset({_S.OPEN, _S.PAID, _S.REFUSED, _S.EXPIRED}),
    _S.OPEN: frozenset({_S.PAID, _S.REFUSED, _S.EXPIRED}),
    _S.PAID: frozenset(),
    _S.REFUSED: frozenset({_S.PAID}),  # some gateways let the payer try again: the money wins
    _S.EXPIRED: frozenset({_S.PAID}),  # a late "paid" wins over our timer
}

_O = Outcome
OUTCOME_MOVES: dict[Outcome, frozenset[Outcome]] = {
    _O.WAITING: frozenset({_O.PAID, _O.RETURNING, _O.NOT_PAID}),
    _O.PAID: frozenset({_O.WRITTEN_OFF, _O.RETURNING}),
    _O.WRITTEN_OFF: frozenset(),
    _O.RETURNING: frozenset({_O.RETURNED}),
    _O.RETURNED: frozenset(),
    _O.NOT_PAID: frozenset({_O.PAID, _O.RETURNING}),  # the late "paid" again
}

PENDING = frozenset({_S.CREATED, _S.OPEN})


def sources_of(state: PaymentStatus | Outcome) -> list[str]:
    """Return the states from which one may come to ``state``: for the WHERE of a set-based move."""
    moves = PAYMENT_MOVES if isinstance(state, PaymentStatus) else OUTCOME_MOVES
    return [start.value for start, ends in moves.items() if state in ends]
