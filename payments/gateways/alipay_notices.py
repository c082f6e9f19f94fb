"""Reading what Alipay notifies us of.

Source: docs/wire/alipay.md, "Notifications".
"""

from urllib.parse import parse_qsl

from core.errors import Invalid, NotAllowed
from payments.gateways.alipay_signing import Keys
from payments.gateways.base import Callback, CallbackKind

_OF_USE = {"TRADE_SUCCESS", "TRADE_FINISHED", "TRADE_CLOSED"}
_MOST_FIELDS = 100


def read_notice(body: bytes, keys: Keys, *, app_id: str, seller_id: str) -> Callback | None:
    """Check a notification and say what it is of; None: news we have no use for.

    Nothing is too old: Alipay has no limit of age, and the same news again is the same.

    Raises:
        NotAllowed: forged, or another merchant's.
        Invalid: not a notification of Alipay's.
    """
    params = _parse(body)
    if not keys.notified(params):
        raise NotAllowed("the callback's signature is wrong", code="callback.forged")
    if params.get("app_id") != app_id or params.get("seller_id", seller_id) != seller_id:
        raise NotAllowed("the callback is another merchant's", code="callback.forged")
    if params.get("trade_status") not in _OF_USE:
        return None
    order_no, trade_no = params.get("out_trade_no", ""), params.get("trade_no", "")
    # One fact may be notified under two notify_ids, so its id is made of what it says.
    fact = [
        params.get(name, "")
        for name in ("trade_no", "trade_status", "out_biz_no", "refund_fee", "gmt_refund")
    ]
    if not order_no or not trade_no or not "".join([order_no, *fact]).isprintable():
        raise Invalid("not an Alipay notification of a trade", code="callback.malformed")
    external_id = ":".join(fact)
    refund_no = params.get("out_biz_no", "")
    if params.get("gmt_refund") and refund_no:
        return Callback(external_id, refund_no, CallbackKind.REFUND)
    return Callback(external_id, order_no)


def _parse(body: bytes) -> dict[str, str]:
    """Decode a form, once."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict",
            max_num_fields=_MOST_FIELDS,
        )  # fmt: skip
    except ValueError as wrong:
        raise Invalid("not a form, as Alipay posts it", code="callback.malformed") from wrong
    params = dict(pairs)
    if len(params) != len(pairs):
        raise Invalid("a field comes twice in the callback", code="callback.malformed")
    return params
