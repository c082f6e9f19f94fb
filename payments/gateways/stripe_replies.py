"""Stripe's objects in our words: pure functions, which find UNKNOWN in whatever they cannot read.

Source: docs/wire/stripe.md.
"""

from payments.gateways.base import (
    DisputeReply,
    DisputeState,
    GatewayReply,
    GatewayStatus,
    MandateReply,
    MandateState,
    RefundOrder,
    RefundReply,
    RefundState,
)
from payments.gateways.stripe_wire import Refused, Told, at, fen_at, moment_at, text_at

CURRENCY = "cny"
DEBIT = "debit"  # metadata.kind of an intent that nobody pays on a page
_CHARGE = "latest_charge"
_WHEN_BOOKED = ("balance_transaction.created", "created")  # the first as its files say it
_WHEN_BACK = "failure_balance_transaction.created"
_FOR_GOOD = frozenset({
    "lost_card", "stolen_card", "pickup_card", "revocation_of_authorization",
    "revocation_of_all_authorizations", "stop_payment_order",
})  # fmt: skip
# The payer's bank took the money, and keeps it or gives it back: we may not have heard of it yet.
# Our balance is short, or our key is of another account, which a person mends.
_CURABLE = frozenset({"charge_disputed", "balance_insufficient", "resource_missing"})

UNKNOWN = GatewayReply(status=GatewayStatus.UNKNOWN)
NOT_FOUND = GatewayReply(status=GatewayStatus.NOT_FOUND)


def of_session(session: Told, *, code_too: bool = False) -> GatewayReply:
    """Read a Checkout Session, its intent and charge expanded where there are any."""
    ref, url = text_at(session, "id"), text_at(session, "url")
    if session.get("object") != "checkout.session" or ref is None:
        return UNKNOWN
    match session.get("status"), session.get("payment_status"):
        case "open", "unpaid" if url is not None:
            return GatewayReply(
                status=GatewayStatus.OPEN, gateway_ref=ref, pay_url=url,
                pay_code=url if code_too else None,
            )  # fmt: skip
        case "expired", "unpaid":
            return GatewayReply(status=GatewayStatus.CLOSED, gateway_ref=ref)
        case "complete", "paid" | "unpaid":
            intent = session.get("payment_intent")
            return of_intent(intent, ended=True) if isinstance(intent, dict) else UNKNOWN
    return UNKNOWN


def of_intent(intent: Told, *, ended: bool = False) -> GatewayReply:
    """Read a PaymentIntent. ``ended``: its payer cannot try again, as after a debit."""
    ref, status = text_at(intent, "id"), intent.get("status")
    if intent.get("object") != "payment_intent" or ref is None:
        return UNKNOWN
    if status == "succeeded":
        return _paid(intent, ref)
    if status == "canceled":
        return GatewayReply(status=GatewayStatus.CLOSED, gateway_ref=ref)
    if status == "processing":
        return GatewayReply(status=GatewayStatus.OPEN, gateway_ref=ref)
    if status in {"requires_payment_method", "requires_confirmation", "requires_action"}:
        if ended or at(intent, "metadata.kind") == DEBIT:
            return refused(at(intent, "last_payment_error") or {}, ref)
        return GatewayReply(status=GatewayStatus.OPEN, gateway_ref=ref)
    return UNKNOWN


def _paid(intent: Told, ref: str) -> GatewayReply:
    amount_fen = fen_at(intent, "amount_received")
    paid_at = moment_at(intent.get(_CHARGE), _WHEN_BOOKED)
    if intent.get("currency") != CURRENCY or amount_fen is None or paid_at is None:
        return UNKNOWN
    return GatewayReply(
        status=GatewayStatus.PAID, gateway_ref=ref, amount_fen=amount_fen, paid_at=paid_at
    )


def refused(error: object, ref: str | None = None) -> GatewayReply:
    """Read why an attempt failed."""
    code = text_at(error, "decline_code") or text_at(error, "code") or "declined"
    reason = f"mandate_ended: {code}" if code in _FOR_GOOD else code
    return GatewayReply(status=GatewayStatus.REFUSED, gateway_ref=ref, reason=reason)


def of_refund(told: Told, order: RefundOrder) -> RefundReply:
    """Read a Refund; one of another amount than was asked for is not known to be ours."""
    if (
        told.get("object") != "refund"
        or fen_at(told, "amount") != order.amount_fen
        or told.get("currency") != CURRENCY
    ):
        return RefundReply(state=RefundState.UNKNOWN)
    ref = text_at(told, "id")
    match told.get("status"):
        case "succeeded":
            refunded_at = moment_at(told, _WHEN_BOOKED)
            if refunded_at is not None:
                return RefundReply(state=RefundState.SENT, refund_ref=ref, refunded_at=refunded_at)
        case "pending" | "requires_action":
            return RefundReply(state=RefundState.PENDING, refund_ref=ref)
        case "failed" | "canceled" as ended:
            reason = text_at(told, "failure_reason") or ended
            came_back_at = moment_at(told, [_WHEN_BACK])
            return RefundReply(
                state=RefundState.REFUSED, refund_ref=ref, reason=reason, came_back_at=came_back_at
            )
    return RefundReply(state=RefundState.UNKNOWN)


def refund_refused(no: Refused | str) -> RefundReply:
    """Read why a refund was not made; what may yet change is no end of it."""
    curable = isinstance(no, Refused) and no.code in _CURABLE
    return RefundReply(
        state=RefundState.UNKNOWN if curable else RefundState.REFUSED, reason=str(no)
    )


def of_dispute(told: Told) -> DisputeReply:
    """Read a Dispute, its intent expanded.

    An inquiry (``warning_…``) has taken no money: it is UNKNOWN until it becomes a dispute.
    """
    state = {
        "needs_response": DisputeState.OPEN, "under_review": DisputeState.OPEN,
        "won": DisputeState.WON, "lost": DisputeState.LOST,
    }.get(str(told.get("status")), DisputeState.UNKNOWN)  # fmt: skip
    moves = told.get("balance_transactions")
    moves = [one for one in moves if isinstance(one, dict)] if isinstance(moves, list) else []
    if told.get("object") != "dispute" or told.get("currency") != CURRENCY:
        return DisputeReply(state=DisputeState.UNKNOWN)
    opened_at = moment_at(moves[0], ["created"]) if moves else None
    return DisputeReply(
        state=state,
        order_no=text_at(told, "payment_intent.metadata.order_no"),
        amount_fen=fen_at(told, "amount"),
        fee_fen=sum(fen_at(one, "fee") or 0 for one in moves),
        reason=text_at(told, "reason"),
        opened_at=opened_at or moment_at(told, ["created"]),
        evidence_due_at=moment_at(told, ["evidence_details.due_by"]),
        decided_at=moment_at(moves[-1], ["created"]) if len(moves) > 1 else None,
    )


def of_mandate(told: Told) -> MandateReply:
    """Read a session of mode ``setup`` or the SetupIntent it led to; its payment method expanded.

    The payment method is what can be debited: without a customer it is nobody's any more.
    """
    ref = text_at(told, "id")
    if told.get("object") == "checkout.session":
        match told.get("status"):
            case "open":
                url = text_at(told, "url")
                return MandateReply(state=MandateState.OPEN, mandate_ref=ref, sign_url=url)
            case "expired":
                return MandateReply(state=MandateState.ENDED, mandate_ref=ref, reason="expired")
            case "complete" if isinstance(told.get("setup_intent"), dict):
                return of_mandate(told["setup_intent"])
    elif told.get("object") == "setup_intent":
        match told.get("status"):
            case "succeeded":
                alive = text_at(told, "payment_method.customer") is not None
                state = MandateState.ACTIVE if alive else MandateState.ENDED
                return MandateReply(state=state, mandate_ref=ref)
            case "canceled":
                return MandateReply(state=MandateState.ENDED, mandate_ref=ref, reason="canceled")
            case str():
                return MandateReply(state=MandateState.OPEN, mandate_ref=ref)
    return MandateReply(state=MandateState.UNKNOWN)
