"""UnionPay, 银联全渠道 5.1.0: cards on its page, and a code for its app.

Not confirmed by UnionPay's own word, and to be tried against its test environment first:

- what asking for the same code again answers: here the same code; 12 is taken as not knowing;
- what a query says of an order nobody has paid: here 05 once it is there, 34 before, 69 once its
  ``payTimeout`` is over;
- that queries and refunds take ``bizType`` 000000 for orders of both products;
- how the file RD writes its totals, and everything in the file ZME.

Source: docs/wire/unionpay.md.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import BinaryIO

from core.clock import BILLING_ZONE, utc_now
from core.errors import Invalid, SettlementFileError, UpstreamUnavailable
from core.settings import Environment, Settings
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
from payments.gateways.unionpay_files import bundle, inflate, read_bundle
from payments.gateways.unionpay_line import BACK, QUERY, Line, beijing_stamp, order_id
from payments.gateways.unionpay_notices import read_notice
from payments.gateways.unionpay_replies import (
    ASK_AGAIN,
    DONE,
    NO_FILE,
    TWICE,
    found,
    opened,
    original,
    refunded,
    refused_for_good,
)
from payments.gateways.unionpay_signing import Keys, read_keys

_PAY, _PAY_BY_CODE = "01/01/000201", "01/07/000000"
_QUERY, _REFUND, _FILE = "00/00/000000", "04/00/000000", "76/01/000000"
_NOBODY = "http://www.specialUrl.com"  # UnionPay's own word for: tell nobody
_FILE_BY = time(9)  # of the day after the one it clears


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """Who we are at UnionPay, and what our contract with it says."""

    mer_id: str
    refund_days: int = 330
    cost_ppm: int = 6_000


class UnionPay:
    code = "unionpay"
    name = Spoken("银联", "UnionPay")
    description = Spoken("用银行卡或云闪付付款", "Pay by card or with the UnionPay app")

    def __init__(
        self, url: str, files_url: str, merchant: Merchant, keys: Keys, *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:  # fmt: skip
        self.capabilities = Capabilities(
            modes=("card",),
            channels=frozenset({"web", "api", "tv", "kiosk"}),
            maximum_fen=10**12 - 1,
            refund_days=merchant.refund_days,
            closes=False,
            cost_ppm=merchant.cost_ppm,
        )
        self._merchant, self._keys = merchant, keys
        self._line = Line(url, files_url, merchant.mer_id, keys, clock=clock)

    def open_order(self, order: Order) -> GatewayReply:
        """Say how a payer gets to UnionPay; only a code to scan is asked for there.

        An order on its page begins when the payer's browser posts the form; ``payTimeout`` is all
        that ends it.
        """
        terms = {
            "orderId": order_id(order.order_no),
            "txnTime": beijing_stamp(order.asked_at),
            "txnAmt": str(order.amount_fen),
            "currencyCode": "156",
            "payTimeout": beijing_stamp(order.expires_at),
            "backUrl": order.notify_url,
        }
        if order.scene is Scene.SCREEN:
            told = self._line.ask(BACK, _PAY_BY_CODE, channelType="08", **terms)
            return opened(told, order.order_no)
        channel = "07" if order.scene is Scene.DESKTOP else "08"
        fields = self._line.signed(_PAY, channelType=channel, frontUrl=order.return_url, **terms)
        return GatewayReply(
            status=GatewayStatus.OPEN, gateway_ref=order.order_no, pay_url=self._line.front_url,
            pay_fields=fields,
        )  # fmt: skip

    def query(self, asked: Asked) -> GatewayReply:
        told = self._line.ask(
            QUERY, _QUERY, orderId=order_id(asked.order_no), txnTime=beijing_stamp(asked.asked_at)
        )
        return found(told, asked)

    def close(self, asked: Asked) -> GatewayReply:
        """Say how an order stands: UnionPay cannot end one before its time."""
        return self.query(asked)

    def refund(self, order: RefundOrder) -> RefundReply:
        """Ask for a refund; what became of it is told by a query, never by this answer alone."""
        told = self._line.ask(
            BACK, _REFUND, channelType="07", orderId=order_id(order.refund_no),
            txnTime=beijing_stamp(order.asked_at), txnAmt=str(order.amount_fen),
            backUrl=_NOBODY, **original(order.paid),
        )  # fmt: skip
        if told is not None and told.code in DONE | ASK_AGAIN:
            reply = self._query_refund_after(order)
            ended = reply.state in {RefundState.SENT, RefundState.REFUSED}
            return reply if ended else RefundReply(state=RefundState.PENDING)
        if told is not None and told.code == TWICE:
            reply = self._query_refund_after(order)
            lost = reply.state is RefundState.NOT_FOUND
            return RefundReply(state=RefundState.UNKNOWN) if lost else reply
        if not refused_for_good(told):
            return RefundReply(state=RefundState.UNKNOWN)
        # Sent under this number before? Then the money is gone, whatever the answer sounds like.
        reply = self._query_refund_after(order)
        if reply.state is RefundState.NOT_FOUND:
            assert told is not None
            return RefundReply(state=RefundState.REFUSED, reason=told.code)
        return reply

    def query_refund(self, order: RefundOrder) -> RefundReply:
        told = self._line.ask(
            QUERY, _QUERY, orderId=order_id(order.refund_no), txnTime=beijing_stamp(order.asked_at)
        )
        return refunded(told, order)

    def read_callback(
        self, headers: Mapping[str, str], body: bytes, *, now: datetime
    ) -> Callback | None:
        return read_notice(body, self._keys, mer_id=self._merchant.mer_id, now=now)

    def answer_callback(self, *, taken: bool) -> CallbackAnswer:
        return CallbackAnswer(200, "ok") if taken else CallbackAnswer(500, "fail")

    def fetch_settlement(self, day: date) -> SettlementFetch:
        """Fetch the two files a Shanghai day is in: UnionPay's own day ends at 23:00."""
        days = (day, day + timedelta(days=1))
        fetched = [self._fetch(one) for one in days]
        for wanted in (FileState.UNKNOWN, FileState.NOT_YET):
            if any(one.state is wanted for one in fetched):
                return SettlementFetch(wanted)
        if all(one.state is FileState.NO_DATA for one in fetched):
            return SettlementFetch(FileState.NO_DATA)
        parts = {one: file.content for one, file in zip(days, fetched, strict=True)}
        try:
            content = bundle(parts, mer_id=self._merchant.mer_id)
        except SettlementFileError:  # it came damaged: ask again
            return SettlementFetch(FileState.UNKNOWN)
        return SettlementFetch(FileState.READY, f"unionpay-{day}.zip", content)

    def read_settlement(self, stream: BinaryIO, *, day: date) -> Iterator[SettlementRecord]:
        return iter(read_bundle(stream, day=day, mer_id=self._merchant.mer_id))

    def hang_up(self) -> None:
        self._line.hang_up()

    def _fetch(self, day: date) -> SettlementFetch:
        """Fetch the file of one day of UnionPay's own."""
        now = self._line.now()
        told = self._line.ask(
            "", _FILE, txnTime=beijing_stamp(now), fileType="00", settleDate=f"{day:%m%d}"
        )
        if told is not None and told.code == NO_FILE:
            # It says so of a day without orders, too; a day after it was due there is none.
            due_at = datetime.combine(day + timedelta(days=1), _FILE_BY, tzinfo=BILLING_ZONE)
            late = now >= due_at + timedelta(days=1)
            return SettlementFetch(FileState.NO_DATA if late else FileState.NOT_YET)
        content = inflate(told.text("fileContent")) if told and told.code == "00" else None
        if content is None:
            return SettlementFetch(FileState.UNKNOWN)
        return SettlementFetch(FileState.READY, content=content)

    def _query_refund_after(self, order: RefundOrder) -> RefundReply:
        """Query once UnionPay has been spoken to: not reaching it now is not knowing."""
        try:
            return self.query_refund(order)
        except UpstreamUnavailable:
            return RefundReply(state=RefundState.UNKNOWN)


def from_settings(settings: Settings) -> UnionPay | None:
    """Make the gateway from this process's configuration; None where there is none of it.

    Raises:
        Invalid: configured by half, with keys that cannot be read, or in the open in production.
    """
    paths = {
        "CITYBILL_UNIONPAY_PRIVATE_KEY": settings.unionpay_private_key,
        "CITYBILL_UNIONPAY_CERT": settings.unionpay_cert,
        "CITYBILL_UNIONPAY_ROOT_CERT": settings.unionpay_root_cert,
        "CITYBILL_UNIONPAY_MIDDLE_CERT": settings.unionpay_middle_cert,
    }
    given = {"CITYBILL_UNIONPAY_MER_ID": settings.unionpay_mer_id} | paths
    if not any(given.values()):
        return None
    missing = [name for name, value in given.items() if not value]
    if missing:
        raise Invalid(f"UnionPay is configured by half: set {', '.join(missing)}, or none of it")
    urls = {
        "CITYBILL_UNIONPAY_URL": settings.unionpay_url,
        "CITYBILL_UNIONPAY_FILES_URL": settings.unionpay_files_url,
    }
    for name, url in urls.items():
        in_the_open = not url.startswith("https://")
        if settings.environment is Environment.PRODUCTION and in_the_open:
            raise Invalid(f"{name} must be an https address in production")
    keys = read_keys(*(_read(path) for path in paths.values()), signer=settings.unionpay_signer)
    merchant = Merchant(
        mer_id=settings.unionpay_mer_id, refund_days=settings.unionpay_refund_days,
        cost_ppm=settings.unionpay_cost_ppm,
    )  # fmt: skip
    return UnionPay(settings.unionpay_url, settings.unionpay_files_url, merchant, keys)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as wrong:
        raise Invalid(f"UnionPay's key file {path} cannot be read: {wrong.strerror}") from wrong
