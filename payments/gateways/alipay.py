"""Alipay: its open platform's gateway for merchants in China.

Source: docs/wire/alipay.md.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import BinaryIO

from core.clock import utc_now
from core.errors import Invalid, UpstreamUnavailable
from core.money import yuan_text
from core.settings import Environment, Settings
from payments.gateways.alipay_files import read_trade_bill
from payments.gateways.alipay_line import Line, beijing_text
from payments.gateways.alipay_notices import read_notice
from payments.gateways.alipay_replies import (
    NO_TRADE,
    NOT_WAITING,
    file_state,
    found,
    opened,
    refunded,
    refused_for_good,
)
from payments.gateways.alipay_signing import Keys, certified_keys, plain_keys
from payments.gateways.base import (
    Asked,
    Callback,
    CallbackAnswer,
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
from payments.packed import is_zip

_METHODS = {
    Scene.DESKTOP: ("alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY"),
    Scene.PHONE: ("alipay.trade.wap.pay", "QUICK_WAP_WAY"),
    Scene.IN_APP: ("alipay.trade.app.pay", "QUICK_MSECURITY_PAY"),
    Scene.SCREEN: ("alipay.trade.precreate", "FACE_TO_FACE_PAYMENT"),
}
_NOT_IN_A_SUBJECT = str.maketrans("/=&,\t\r\n", " " * 7)  # Alipay's own, and what breaks its bill


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """Who we are at Alipay, and what our contract with it says."""

    app_id: str
    seller_id: str
    refund_days: int = 90
    cost_ppm: int = 6_000


class Alipay:
    code = "alipay"
    name = Spoken("支付宝", "Alipay")
    description = Spoken("用支付宝付款", "Pay with Alipay")

    def __init__(
        self, url: str, merchant: Merchant, keys: Keys, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.capabilities = Capabilities(
            modes=("wallet",),
            channels=frozenset({"web", "api", "tv", "kiosk"}),
            maximum_fen=10_000_000_000,
            refund_days=merchant.refund_days,
            cost_ppm=merchant.cost_ppm,
        )
        self._merchant, self._keys = merchant, keys
        self._line = Line(url, merchant.app_id, keys, clock=clock)

    def open_order(self, order: Order) -> GatewayReply:
        """Say how a payer gets to Alipay; only a code to scan is asked for there.

        A trade begins at Alipay when the payer comes, so until then our own number is all there is
        to know it by, and ``time_expire`` all that ends it.
        """
        method, product = _METHODS[order.scene]
        biz = {
            "out_trade_no": order.order_no,
            "total_amount": yuan_text(order.amount_fen),
            "subject": order.subject.translate(_NOT_IN_A_SUBJECT)[:256],
            "product_code": product,
            "seller_id": self._merchant.seller_id,
            "time_expire": beijing_text(order.expires_at),
        }
        if order.scene is Scene.SCREEN:
            told = self._line.call(method, biz, notify_url=order.notify_url)
            return opened(told, order.order_no)
        urls = {"notify_url": order.notify_url, "return_url": order.return_url}
        address = self._line.address(method, biz, **urls)
        if order.scene is Scene.IN_APP:
            fields = {"orderStr": address.partition("?")[2]}
            return _waiting(order, pay_fields=fields)
        return _waiting(order, pay_url=address)

    def query(self, asked: Asked) -> GatewayReply:
        told = self._line.call("alipay.trade.query", {"out_trade_no": asked.order_no})
        return found(told, asked)

    def close(self, asked: Asked) -> GatewayReply:
        """Close what waits; NOT_FOUND where no payer has come: ``time_expire`` ends that."""
        told = self._line.call("alipay.trade.close", {"out_trade_no": asked.order_no})
        if told is None:
            return GatewayReply(status=GatewayStatus.UNKNOWN)
        if told.done and told.text("out_trade_no") == asked.order_no:
            return GatewayReply(status=GatewayStatus.CLOSED)
        if told.code == "40004" and told.sub_code == NO_TRADE:
            return GatewayReply(status=GatewayStatus.NOT_FOUND)
        if told.code == "40004" and told.sub_code in NOT_WAITING:
            return self._query_after(asked)
        return GatewayReply(status=GatewayStatus.UNKNOWN)

    def cancel(self, asked: Asked) -> GatewayReply:
        """Make an order void whatever became of it, within a day: what was paid goes back.

        No part of the gateway contract, and nothing here calls it: money it sends back has no
        refund number of ours, so a person must book it.
        """
        told = self._line.call("alipay.trade.cancel", {"out_trade_no": asked.order_no})
        if told is None or not told.done or told.text("retry_flag") != "N":
            return GatewayReply(status=GatewayStatus.UNKNOWN)
        match told.text("action"):
            case "close" | "refund" as action:
                return GatewayReply(status=GatewayStatus.CLOSED, reason=action)
            case "":
                return GatewayReply(status=GatewayStatus.NOT_FOUND)
        return GatewayReply(status=GatewayStatus.UNKNOWN)

    def refund(self, order: RefundOrder) -> RefundReply:
        """Ask for a refund; what became of it is told by a query, never by this answer alone."""
        biz = {
            "out_trade_no": order.paid.order_no,
            "refund_amount": yuan_text(order.amount_fen),
            "out_request_no": order.refund_no,
            "refund_reason": order.reason[:256],
        }
        told = self._line.call("alipay.trade.refund", biz)
        if told is not None and told.done:
            reply = self._query_refund_after(order)
            sent = reply.state is RefundState.SENT
            return reply if sent else RefundReply(state=RefundState.PENDING)
        if not refused_for_good(told):
            return RefundReply(state=RefundState.UNKNOWN)
        # Sent under this number before? Then the money is gone, whatever the answer sounds like.
        reply = self._query_refund_after(order)
        if reply.state is RefundState.NOT_FOUND:
            assert told is not None
            return RefundReply(state=RefundState.REFUSED, reason=told.sub_code)
        return reply

    def query_refund(self, order: RefundOrder) -> RefundReply:
        biz = {
            "out_trade_no": order.paid.order_no,
            "out_request_no": order.refund_no,
            "query_options": ["gmt_refund_pay"],
        }
        told = self._line.call("alipay.trade.fastpay.refund.query", biz)
        return refunded(told, order)

    def read_callback(
        self, headers: Mapping[str, str], body: bytes, *, now: datetime
    ) -> Callback | None:
        ours = self._merchant
        return read_notice(body, self._keys, app_id=ours.app_id, seller_id=ours.seller_id)

    def answer_callback(self, *, taken: bool) -> CallbackAnswer:
        return CallbackAnswer(200, "success") if taken else CallbackAnswer(400, "failure")

    def fetch_settlement(self, day: date) -> SettlementFetch:
        return self._fetch("trade", day)

    def fetch_fund_bill(self, day: date) -> SettlementFetch:
        """Fetch what moved in our account there on a Shanghai day, fees in rows of their own."""
        return self._fetch("signcustomer", day)

    def read_settlement(self, stream: BinaryIO, *, day: date) -> Iterator[SettlementRecord]:
        rows = read_trade_bill(stream, day=day, seller_id=self._merchant.seller_id)
        return iter(rows)

    def hang_up(self) -> None:
        self._line.hang_up()

    def _fetch(self, kind: str, day: date) -> SettlementFetch:
        """Ask where a bill is, and fetch it at once: its address lives for 30 seconds."""
        biz = {"bill_type": kind, "bill_date": day.isoformat()}
        told = self._line.call("alipay.data.dataservice.bill.downloadurl.query", biz)
        if told is None or not told.done:
            return SettlementFetch(file_state(told))
        content = self._line.download(told.text("bill_download_url"))
        if content is None or not is_zip(content):
            return SettlementFetch(FileState.UNKNOWN)
        return SettlementFetch(FileState.READY, f"alipay-{kind}-{day}.zip", content)

    def _query_after(self, asked: Asked) -> GatewayReply:
        """Query once Alipay has been spoken to: not reaching it now is not knowing."""
        try:
            return self.query(asked)
        except UpstreamUnavailable:
            return GatewayReply(status=GatewayStatus.UNKNOWN)

    def _query_refund_after(self, order: RefundOrder) -> RefundReply:
        try:
            return self.query_refund(order)
        except UpstreamUnavailable:
            return RefundReply(state=RefundState.UNKNOWN)


def from_settings(settings: Settings) -> Alipay | None:
    """Make the gateway from this process's configuration; None where there is none of it.

    Raises:
        Invalid: configured by half, with keys that cannot be read, or in the open in production.
    """
    given = {
        "CITYBILL_ALIPAY_APP_ID": settings.alipay_app_id,
        "CITYBILL_ALIPAY_SELLER_ID": settings.alipay_seller_id,
        "CITYBILL_ALIPAY_PRIVATE_KEY": settings.alipay_private_key,
    }
    plain = {"CITYBILL_ALIPAY_PUBLIC_KEY": settings.alipay_public_key}
    certified = {
        "CITYBILL_ALIPAY_APP_CERT": settings.alipay_app_cert,
        "CITYBILL_ALIPAY_ROOT_CERT": settings.alipay_root_cert,
        "CITYBILL_ALIPAY_CERT": settings.alipay_cert,
    }
    if not any((given | plain | certified).values()):
        return None
    with_certificates = any(certified.values())
    needed = given | (certified if with_certificates else plain)
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise Invalid(f"Alipay is configured by half: set {', '.join(missing)}, or none of it")
    in_the_open = not settings.alipay_url.startswith("https://")
    if settings.environment is Environment.PRODUCTION and in_the_open:
        raise Invalid("CITYBILL_ALIPAY_URL must be an https address in production")
    private = _read(settings.alipay_private_key)
    if with_certificates:
        keys = certified_keys(private, *(_read(path) for path in certified.values()))
    else:
        keys = plain_keys(private, _read(settings.alipay_public_key))
    merchant = Merchant(
        app_id=settings.alipay_app_id, seller_id=settings.alipay_seller_id,
        refund_days=settings.alipay_refund_days, cost_ppm=settings.alipay_cost_ppm,
    )  # fmt: skip
    return Alipay(settings.alipay_url, merchant, keys)


def _waiting(
    order: Order, *, pay_url: str | None = None, pay_fields: Mapping[str, str] | None = None
) -> GatewayReply:
    return GatewayReply(
        status=GatewayStatus.OPEN, gateway_ref=order.order_no, pay_url=pay_url,
        pay_fields=pay_fields or {},
    )  # fmt: skip


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as wrong:
        raise Invalid(f"Alipay's key file {path} cannot be read: {wrong.strerror}") from wrong
