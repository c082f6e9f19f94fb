"""Our side of the made-up gateways: what the code under test is given as ``Gateway``.

It remembers nothing, so a process that dies loses nothing here. All can be disputed; debits take
only those whose manner has the channel for it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import BinaryIO

from core import crypto
from core.clock import billing_date, utc_now
from core.errors import Invalid, NotAllowed
from payments.gateways.base import (
    Asked,
    Callback,
    CallbackAnswer,
    CallbackKind,
    Capabilities,
    DisputeReply,
    DisputeState,
    FileState,
    GatewayReply,
    GatewayStatus,
    MandateOrder,
    MandateReply,
    MandateState,
    Order,
    RefundOrder,
    RefundReply,
    RefundState,
    SettlementFetch,
    SettlementRecord,
    Spoken,
)
from tests.weeks.gateway_books import GatewayBooks
from tests.weeks.wire import Wire

CAN = Capabilities(modes=("wallet",), channels=frozenset({"web", "api", "tv", "counter", "kiosk"}))
CAN_DEBIT = replace(CAN, channels=CAN.channels | {"autopay"})
_FRESH_SECONDS = 300


class MadeUpGateway:
    """A gateway by the contract of ``payments.gateways.base``, over books of ``GatewayBooks``."""

    description = Spoken("", "")

    def __init__(self, books: GatewayBooks, wire: Wire) -> None:
        self.books, self.wire = books, wire
        self.code, self.name = books.code, Spoken(books.code, books.code)
        self.capabilities = CAN_DEBIT if books.manner.debits else CAN

    def _no_word(self) -> GatewayReply:
        """What a lost answer leaves: silence, a 500 and garbage are one to us."""
        return GatewayReply(status=GatewayStatus.UNKNOWN)

    def open_order(self, order: Order) -> GatewayReply:
        if self.books.manner.unknown_until_arrival:  # a signed link: nobody is asked
            return GatewayReply(
                status=GatewayStatus.OPEN, pay_url=f"https://{self.code}.example/{order.order_no}"
            )
        return self.wire.call(
            f"{self.code} open {order.order_no}",
            lambda: self.books.open(order.order_no, order.amount_fen, order.expires_at),
            lost=self._no_word,
        )

    def query(self, asked: Asked) -> GatewayReply:
        def look() -> GatewayReply:
            order = self.books.orders.get(asked.order_no)
            if order is None:
                return GatewayReply(status=GatewayStatus.NOT_FOUND)
            return self.books.told_of(order, ours=asked.gateway_ref)

        return self.wire.call(f"{self.code} query {asked.order_no}", look, lost=self._no_word)

    def close(self, asked: Asked) -> GatewayReply:
        return self.wire.call(
            f"{self.code} close {asked.order_no}",
            lambda: self.books.close(asked.order_no, ours=asked.gateway_ref),
            lost=self._no_word,
        )

    def refund(self, order: RefundOrder) -> RefundReply:
        return self.wire.call(
            f"{self.code} refund {order.refund_no}", lambda: self.books.refund(order),
            lost=lambda: RefundReply(state=RefundState.UNKNOWN),
        )  # fmt: skip

    def query_refund(self, order: RefundOrder) -> RefundReply:
        def look() -> RefundReply:
            known = self.books.refunds.get(order.refund_no)
            if known is None:
                return RefundReply(state=RefundState.NOT_FOUND)
            return self.books.refund_told(known)

        return self.wire.call(
            f"{self.code} query refund {order.refund_no}", look,
            lost=lambda: RefundReply(state=RefundState.UNKNOWN),
        )  # fmt: skip

    def query_dispute(self, dispute_ref: str) -> DisputeReply:
        return self.wire.call(
            f"{self.code} query dispute {dispute_ref}",
            lambda: self.books.disputes.told_of(dispute_ref),
            lost=lambda: DisputeReply(state=DisputeState.UNKNOWN),
        )

    def sign_mandate(self, order: MandateOrder) -> MandateReply:
        def sign() -> MandateReply:
            self.books.mandates.sign(order.mandate_no, order.maximum_fen)
            return self.books.mandates.told_of(order.mandate_no)

        return self.wire.call(f"{self.code} sign {order.mandate_no}", sign, lost=_no_mandate)

    def query_mandate(self, mandate_no: str, mandate_ref: str | None) -> MandateReply:
        return self.wire.call(
            f"{self.code} query mandate {mandate_no}",
            lambda: self.books.mandates.told_of(mandate_no), lost=_no_mandate,
        )  # fmt: skip

    def end_mandate(self, mandate_no: str, mandate_ref: str | None) -> MandateReply:
        def end() -> MandateReply:
            self.books.mandates.end(mandate_no)
            return self.books.mandates.told_of(mandate_no)

        return self.wire.call(f"{self.code} end mandate {mandate_no}", end, lost=_no_mandate)

    def debit(self, order: Order, *, mandate_ref: str) -> GatewayReply:
        facts = order.order_no, order.amount_fen, order.expires_at, mandate_ref
        return self.wire.call(
            f"{self.code} debit {order.order_no}", lambda: self.books.debit(*facts),
            lost=self._no_word,
        )  # fmt: skip

    def read_callback(
        self, headers: Mapping[str, str], body: bytes, *, now: datetime
    ) -> Callback | None:
        sent_at = headers.get("x-far-time", "0")
        message = sent_at.encode() + b"." + body
        stale = abs(int(now.timestamp()) - int(sent_at)) > _FRESH_SECONDS
        if stale or not crypto.verify(
            self.books.secret, message, headers.get("x-far-signature", "")
        ):
            raise NotAllowed("the callback's signature is wrong or stale", code="callback.forged")
        told = json.loads(body)
        if not {"event_id", "kind", "reference"} <= told.keys():
            raise Invalid("not a notification", code="callback.malformed")
        return Callback(told["event_id"], told["reference"], CallbackKind(told["kind"]))

    def answer_callback(self, *, taken: bool) -> CallbackAnswer:
        return CallbackAnswer() if taken else CallbackAnswer(status_code=400)

    def fetch_settlement(self, day: date) -> SettlementFetch:
        asked = f"{self.code} {day}, asked at {utc_now()}"  # no two files are the same
        return SettlementFetch(FileState.READY, f"{day}.csv", asked.encode())

    def read_settlement(self, stream: BinaryIO, *, day: date) -> Iterator[SettlementRecord]:
        stream.read()
        return iter(
            [row for row in self.books.settlement() if billing_date(row.happened_at) == day]
        )

    def hang_up(self) -> None:
        pass


def _no_mandate() -> MandateReply:
    """What a lost answer leaves."""
    return MandateReply(state=MandateState.UNKNOWN)
