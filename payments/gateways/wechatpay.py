"""WeChat Pay, API v3, as a merchant of its own.

Source: docs/wire/wechatpay.md.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

from core.clock import BILLING_ZONE, billing_date, utc_now
from core.errors import Invalid, NotAllowed, SettlementFileError, UpstreamUnavailable
from core.settings import Environment, Settings
from payments.gateways import wechatpay_signing as signing
from payments.gateways.base import (
    Asked,
    Callback,
    CallbackAnswer,
    CallbackKind,
    Capabilities,
    FileState,
    GatewayReply,
    GatewayStatus,
    Order,
    RefundOrder,
    RefundReply,
    RefundState,
    Scene,
    SettlementFetch,
    SettlementRecord,
    Spoken,
)
from payments.gateways.wechatpay_bills import trade_rows
from payments.gateways.wechatpay_fund import FundRecord, fund_rows
from payments.gateways.wechatpay_wire import Answer, Wire
from payments.packed import unpacked

_STATUS = {
    "NOTPAY": GatewayStatus.OPEN,
    "USERPAYING": GatewayStatus.OPEN,
    "ACCEPT": GatewayStatus.OPEN,
    "SUCCESS": GatewayStatus.PAID,
    "REFUND": GatewayStatus.PAID,  # it was paid; what went back since, its refunds tell
    "CLOSED": GatewayStatus.CLOSED,
    "REVOKED": GatewayStatus.CLOSED,
    "PAYERROR": GatewayStatus.REFUSED,
}
_REFUND_STATE = {
    "SUCCESS": RefundState.SENT,
    "PROCESSING": RefundState.PENDING,
    "ABNORMAL": RefundState.REFUSED,  # the payer's card or account takes no money
    "CLOSED": RefundState.REFUSED,
}
# A no that tells of our account's state, not of the refund's: a person mends it, and the same
# number is sent again.
_CURABLE = {"NOT_ENOUGH", "REQUEST_BLOCKED"}
_BILL_AT = time(10)  # of the next day
_DESCRIPTION_CHARS = 127
_REASON_BYTES = 80
_ORDERS = "/v3/pay/transactions"
_REFUNDS = "/v3/refund/domestic/refunds"


class WechatPay:
    code = "wechatpay"
    name = Spoken("微信支付", "WeChat Pay")
    description = Spoken("扫码，或在微信中付款", "Scan the code, or pay in WeChat")
    capabilities = Capabilities(
        modes=("wallet",),
        channels=frozenset({"web", "api", "tv", "kiosk"}),
        refund_days=365,
        max_refunds=50,
        refunds_apart=timedelta(minutes=1),
        cost_ppm=6_000,
    )

    def __init__(
        self, wire: Wire, *, refund_notify_url: str = "", clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._wire, self._clock = wire, clock
        self._appid, self._mchid = wire.merchant.appid, wire.merchant.mchid
        self._refund_notify_url = refund_notify_url

    def open_order(self, order: Order) -> GatewayReply:
        """Ask for money; a no is believed only where they do not know the order's number."""
        kind, more = _scene(order)
        if more is None:
            return GatewayReply(status=GatewayStatus.REFUSED, reason=kind)
        body = {
            "appid": self._appid,
            "mchid": self._mchid,
            "description": order.subject.replace("`", "'")[:_DESCRIPTION_CHARS],
            "out_trade_no": order.order_no,
            "time_expire": order.expires_at.astimezone(BILLING_ZONE).isoformat(timespec="seconds"),
            "notify_url": order.notify_url,
            "amount": {"total": order.amount_fen, "currency": "CNY"},
        }
        answer = self._wire.ask("POST", f"{_ORDERS}/{kind}", body | more)
        if answer is not None and answer.status == 200:
            return self._way_to_pay(order, answer)
        if answer is None or not answer.code:
            return _UNKNOWN
        found = self._query(order.order_no, order.amount_fen)
        if found.status is GatewayStatus.NOT_FOUND:
            return GatewayReply(status=GatewayStatus.REFUSED, reason=answer.reason)
        # An open one is another than we asked for now: how it is paid we do not know.
        return _UNKNOWN if found.status is GatewayStatus.OPEN else found

    def query(self, asked: Asked) -> GatewayReply:
        path = f"{_ORDERS}/out-trade-no/{quote(asked.order_no, safe='')}?mchid={self._mchid}"
        answer = self._wire.ask("GET", path)
        if answer is None:
            return _UNKNOWN
        if answer.status == 404 and answer.code in {"ORDER_NOT_EXIST", "ORDERNOTEXIST"}:
            return GatewayReply(status=GatewayStatus.NOT_FOUND)
        return self._order_reply(asked.order_no, answer)

    def close(self, asked: Asked) -> GatewayReply:
        """Close an order. Their yes also comes for numbers they do not know, so we ask again."""
        path = f"{_ORDERS}/out-trade-no/{quote(asked.order_no, safe='')}/close"
        if self._wire.ask("POST", path, {"mchid": self._mchid}) is None:
            return _UNKNOWN
        found = self._query(asked.order_no, asked.amount_fen)
        return _UNKNOWN if found.status is GatewayStatus.OPEN else found

    def refund(self, order: RefundOrder) -> RefundReply:
        """Send money back; a no is believed only where they do not know the refund's number."""
        body: dict[str, Any] = {
            "out_trade_no": order.paid.order_no,
            "out_refund_no": order.refund_no,
            "reason": order.reason.encode()[:_REASON_BYTES].decode(errors="ignore"),
            "amount": {
                "refund": order.amount_fen, "total": order.paid.amount_fen, "currency": "CNY",
            },
        }  # fmt: skip
        if self._refund_notify_url:
            body["notify_url"] = self._refund_notify_url
        answer = self._wire.ask("POST", _REFUNDS, body)
        if answer is None or not answer.code:
            return _refund_reply(order, answer)
        if answer.code in _CURABLE or self._has_not_settled(order, answer):
            return RefundReply(state=RefundState.UNKNOWN, reason=answer.reason)
        found = self._query_refund(order)
        if found.state is RefundState.NOT_FOUND:
            return RefundReply(state=RefundState.REFUSED, reason=answer.reason)
        return found

    def query_refund(self, order: RefundOrder) -> RefundReply:
        answer = self._wire.ask("GET", f"{_REFUNDS}/{quote(order.refund_no, safe='')}")
        if answer is not None and (answer.status, answer.code) == (404, "RESOURCE_NOT_EXISTS"):
            return RefundReply(state=RefundState.NOT_FOUND)
        return _refund_reply(order, answer)

    def read_callback(
        self, headers: Mapping[str, str], body: bytes, *, now: datetime
    ) -> Callback | None:
        try:
            self._wire.check_callback(headers, body, now=now)
        except signing.Forged as wrong:
            raise NotAllowed(
                "the callback's signature is wrong or stale", code="callback.forged"
            ) from wrong
        try:
            told = json.loads(body)
            external_id, event = str(told["id"]), str(told["event_type"])
            kind = {"TRANSACTION": CallbackKind.PAYMENT, "REFUND": CallbackKind.REFUND}.get(
                event.partition(".")[0]
            )
            if kind is None:
                return None
            inner = json.loads(self._wire.open(told.get("resource")))
            of_payment = kind is CallbackKind.PAYMENT
            reference = str(inner["out_trade_no" if of_payment else "out_refund_no"])
            if inner["mchid"] != self._mchid or (of_payment and inner["appid"] != self._appid):
                raise ValueError("it is another merchant's")
            if not (external_id + reference).isprintable():
                raise ValueError("a number with control characters in it")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as wrong:
            raise Invalid("not a notification of ours", code="callback.malformed") from wrong
        return Callback(external_id=external_id, reference=reference, kind=kind)

    def answer_callback(self, *, taken: bool) -> CallbackAnswer:
        if taken:
            return CallbackAnswer()
        failed = json.dumps({"code": "FAIL", "message": "失败"}, ensure_ascii=False)
        return CallbackAnswer(400, failed, "application/json")

    def fetch_settlement(self, day: date) -> SettlementFetch:
        """Fetch a day's trade bill, unpacked, so that the same bill is the same bytes."""
        return self._fetch(f"/v3/bill/tradebill?bill_date={day}&bill_type=ALL", day, "wechatpay")

    def fetch_fund_bill(self, day: date, account: str = "BASIC") -> SettlementFetch:
        """Fetch a day's movements of one of our accounts there: BASIC, OPERATION or FEES.

        Raises:
            UpstreamUnavailable: it could not be asked.
        """
        path = f"/v3/bill/fundflowbill?bill_date={day}&account_type={account}"
        return self._fetch(path, day, f"wechatpay-fund-{account.lower()}")

    def read_settlement(self, stream: BinaryIO, *, day: date) -> Iterator[SettlementRecord]:
        return iter(trade_rows(stream.read(), day=day, mchid=self._mchid))

    def read_fund_bill(self, stream: BinaryIO, *, day: date) -> Iterator[FundRecord]:
        """Read a day's fund bill whole. Raises SettlementFileError."""
        return iter(fund_rows(stream.read(), day=day))

    def hang_up(self) -> None:
        self._wire.close()

    def _way_to_pay(self, order: Order, answer: Answer) -> GatewayReply:
        told = {name: value for name, value in answer.told.items() if isinstance(value, str)}
        if order.scene is Scene.IN_APP and "prepay_id" in told:
            fields = self._wire.merchant.pay_fields(told["prepay_id"], now=self._clock())
            return GatewayReply(status=GatewayStatus.OPEN, pay_fields=fields)
        if order.scene is Scene.PHONE and "h5_url" in told:
            back = urlencode({"redirect_url": order.return_url})
            joined = "&" if "?" in told["h5_url"] else "?"
            return GatewayReply(
                status=GatewayStatus.OPEN, pay_url=f"{told['h5_url']}{joined}{back}"
            )
        if order.scene in {Scene.DESKTOP, Scene.SCREEN} and "code_url" in told:
            return GatewayReply(status=GatewayStatus.OPEN, pay_code=told["code_url"])
        return _UNKNOWN

    def _query(self, order_no: str, amount_fen: int) -> GatewayReply:
        """Query, in the middle of another question: who cannot be asked any more is not known."""
        try:
            return self.query(
                Asked(order_no=order_no, amount_fen=amount_fen, asked_at=self._clock())
            )
        except UpstreamUnavailable:
            return _UNKNOWN

    def _query_refund(self, order: RefundOrder) -> RefundReply:
        try:
            return self.query_refund(order)
        except UpstreamUnavailable:
            return RefundReply(state=RefundState.UNKNOWN)

    def _has_not_settled(self, order: RefundOrder, answer: Answer) -> bool:
        """Tell whether they miss an order which is paid: soon afterwards they sometimes do."""
        if answer.code != "RESOURCE_NOT_EXISTS":
            return False
        found = self._query(order.paid.order_no, order.paid.amount_fen).status
        return found in {GatewayStatus.PAID, GatewayStatus.UNKNOWN}

    def _order_reply(self, order_no: str, answer: Answer) -> GatewayReply:
        """Read what they say of an order of ours; of any other it says nothing."""
        told, amount = answer.told, answer.told.get("amount")
        ours = (self._appid, self._mchid, order_no)
        if answer.status != 200 or ours != tuple(
            told.get(name) for name in ("appid", "mchid", "out_trade_no")
        ):
            return _UNKNOWN
        status = _STATUS.get(str(told.get("trade_state")), GatewayStatus.UNKNOWN)
        if status is not GatewayStatus.PAID:
            reason = told.get("trade_state_desc") if status is GatewayStatus.REFUSED else None
            return GatewayReply(status=status, reason=reason and str(reason)[:200])
        total_fen = _fen(amount, "total")
        paid_at, ref = _moment(told.get("success_time")), told.get("transaction_id")
        if total_fen is None or paid_at is None or not isinstance(ref, str):
            return _UNKNOWN
        return GatewayReply(status=status, gateway_ref=ref, amount_fen=total_fen, paid_at=paid_at)

    def _fetch(self, path: str, day: date, name: str) -> SettlementFetch:
        now = self._clock()
        is_due = now >= datetime.combine(day + timedelta(days=1), _BILL_AT, BILLING_ZONE)
        if day > billing_date(now):
            return SettlementFetch(FileState.NOT_YET)
        answer = self._wire.ask("GET", f"{path}&tar_type=GZIP")
        if answer is None:
            return SettlementFetch(FileState.UNKNOWN)
        if answer.code == "STATEMENT_CREATING" or (answer.code and not is_due):
            return SettlementFetch(FileState.NOT_YET)
        if answer.code == "NO_STATEMENT_EXIST":
            return SettlementFetch(FileState.NO_DATA)
        url, sha1 = answer.told.get("download_url"), answer.told.get("hash_value")
        if answer.status != 200 or not isinstance(url, str) or not isinstance(sha1, str):
            return SettlementFetch(FileState.UNKNOWN)
        content = self._wire.download(url)
        try:
            text = None if content is None else unpacked(content)[0].raw
        except SettlementFileError:
            text = None
        # SHA-1 is theirs to choose; the address came signed, the file does not.
        if text is None or hashlib.sha1(text, usedforsecurity=False).hexdigest() != sha1.lower():
            return SettlementFetch(FileState.UNKNOWN)
        return SettlementFetch(FileState.READY, f"{name}-{day}.csv", text)


_UNKNOWN = GatewayReply(status=GatewayStatus.UNKNOWN)


def from_settings(settings: Settings) -> WechatPay | None:
    """Make the gateway from this process's configuration; None where there is none.

    Raises:
        Invalid: half configured, or a key that cannot be read; it says which.
    """
    needed = {
        "CITYBILL_WECHATPAY_APPID": settings.wechatpay_appid,
        "CITYBILL_WECHATPAY_MCHID": settings.wechatpay_mchid,
        "CITYBILL_WECHATPAY_MERCHANT_SERIAL": settings.wechatpay_merchant_serial,
        "CITYBILL_WECHATPAY_PRIVATE_KEY": settings.wechatpay_private_key,
        "CITYBILL_WECHATPAY_API_V3_KEY": settings.wechatpay_api_v3_key.get_secret_value(),
        "CITYBILL_WECHATPAY_PUBLIC_KEY": settings.wechatpay_public_key,
        "CITYBILL_WECHATPAY_PUBLIC_KEY_ID": settings.wechatpay_public_key_id,
    }
    if not any(needed.values()):
        return None
    path, key_id = settings.wechatpay_public_key, settings.wechatpay_public_key_id
    if path is None and not key_id:  # an older merchant, who has the platform's certificates
        needed = dict(list(needed.items())[:-2])
    missing = [name for name, value in needed.items() if not value]
    if missing or settings.wechatpay_private_key is None:
        raise Invalid(f"WeChat Pay is half configured: set {', '.join(missing)}, or none of them")
    url = settings.wechatpay_url
    if settings.environment is Environment.PRODUCTION and not url.startswith("https://"):
        raise Invalid("production reaches WeChat Pay over TLS: CITYBILL_WECHATPAY_URL is https://…")
    merchant = signing.Merchant(
        settings.wechatpay_appid,
        settings.wechatpay_mchid,
        settings.wechatpay_merchant_serial,
        signing.private_key(settings.wechatpay_private_key),
    )
    api_v3_key = signing.api_v3_key(settings.wechatpay_api_v3_key.get_secret_value())
    keys = {} if path is None else {key_id: signing.public_key(path)}
    wire = Wire(url, merchant, api_v3_key, keys, utc_now)
    notify_url = f"{settings.public_url}/api/v1/callbacks/{WechatPay.code}"
    return WechatPay(wire, refund_notify_url=notify_url)


def _scene(order: Order) -> tuple[str, dict[str, Any] | None]:
    """Return the way an order is opened and what it needs besides; or why it cannot be, and None.

    Nothing is sent where the payer's address or name is missing: they would refuse it.
    """
    if order.scene is Scene.IN_APP:
        if not order.payer_ref:
            return "the payer's openid is needed to pay in WeChat", None
        return "jsapi", {"payer": {"openid": order.payer_ref}}
    if order.scene is Scene.PHONE:
        if not order.payer_ip:
            return "the payer's network address is needed to pay on a phone", None
        where = {"payer_client_ip": order.payer_ip, "h5_info": {"type": "Wap"}}
        return "h5", {"scene_info": where}
    return "native", {}


def _refund_reply(order: RefundOrder, answer: Answer | None) -> RefundReply:
    """Read what they say of a refund of ours; of any other it says nothing."""
    unknown = RefundReply(state=RefundState.UNKNOWN)
    if answer is None or answer.status != 200:
        return unknown
    told, amount = answer.told, answer.told.get("amount")
    ours = (order.refund_no, order.paid.order_no, order.amount_fen)
    theirs = (told.get("out_refund_no"), told.get("out_trade_no"), _fen(amount, "refund"))
    state = _REFUND_STATE.get(str(told.get("status")), RefundState.UNKNOWN)
    ref = told.get("refund_id")
    if ours != theirs or not isinstance(ref, str):
        return unknown
    if state is RefundState.REFUSED:
        reason = f"{told['status']}: the payer's account did not take it"
        return RefundReply(state=state, refund_ref=ref, reason=reason)
    # Their bill has a refund on the day it was asked for, whenever the payer has it.
    asked_at = _moment(told.get("create_time"))
    if state is RefundState.SENT and asked_at is None:
        return unknown
    sent_at = asked_at if state is RefundState.SENT else None
    return RefundReply(state=state, refund_ref=ref, refunded_at=sent_at)


def _fen(amount: object, name: str) -> int | None:
    """Return one figure of an amount of theirs, where it is one, in fen."""
    if not isinstance(amount, dict) or amount.get("currency", "CNY") != "CNY":
        return None
    fen = amount.get(name)
    return fen if type(fen) is int else None  # JSON's true is no amount


def _moment(text: object) -> datetime | None:
    """Read a time of theirs; None for one that is none, or does not say its zone."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
