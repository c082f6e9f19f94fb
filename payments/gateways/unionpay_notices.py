"""Reading what UnionPay notifies us of.

Source: docs/wire/unionpay.md, "Notifications".
"""

from datetime import datetime
from urllib.parse import parse_qsl

from core.errors import Invalid, NotAllowed
from payments.gateways.base import Callback, CallbackKind
from payments.gateways.unionpay_line import our_number
from payments.gateways.unionpay_signing import Keys

_MOST_FIELDS = 100
_KINDS = {"01": CallbackKind.PAYMENT, "04": CallbackKind.REFUND}


def read_notice(body: bytes, keys: Keys, *, mer_id: str, now: datetime) -> Callback | None:
    """Check a notification and say what it is of; None: news we have no use for.

    Nothing is too old: UnionPay has no limit of age, and the same news again is the same.

    Raises:
        NotAllowed: forged, or another merchant's.
        Invalid: not a notification of UnionPay's.
    """
    fields = _parse(body)
    if not keys.unionpay_signed(fields, now=now):
        raise NotAllowed("the callback's signature is wrong", code="callback.forged")
    if fields.get("merId") != mer_id:
        raise NotAllowed("the callback is another merchant's", code="callback.forged")
    kind = _KINDS.get(fields.get("txnType", ""))
    code = fields.get("respCode", "")
    if kind is None or not code:
        return None
    order_id, query_id = fields.get("orderId", ""), fields.get("queryId", "")
    if not order_id or not query_id or not f"{order_id}{query_id}{code}".isprintable():
        raise Invalid("not a UnionPay notification of an order", code="callback.malformed")
    return Callback(f"{query_id}:{code}", our_number(order_id), kind)


def _parse(body: bytes) -> dict[str, str]:
    """Decode a form, once."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict",
            max_num_fields=_MOST_FIELDS,
        )  # fmt: skip
    except ValueError as wrong:
        raise Invalid("not a form, as UnionPay posts it", code="callback.malformed") from wrong
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Invalid("a field comes twice in the callback", code="callback.malformed")
    return fields
