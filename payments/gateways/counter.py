"""Cash at a shop or bank branch, where we are the far side: agents ask us, and tell us of cash.

So there is nothing to call: an order waits until an agent reports its cash, and closing it is our
own act (``payments/counter/over_the_counter.py``). What agents send: docs/wire/counter.md.

A payer who chose "cash at a shop" is shown a code of eighteen digits, as Code 128 set C::

    88 | order number without its letters 15 | check digit 1

The check digit is that of a bill's barcode, which has thirty digits: no shop takes one for the
other.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import BinaryIO, Final, NamedTuple

from billing.documents.barcodes import check_digit, parse_barcode
from core.errors import Invalid
from core.settings import Settings
from payments.gateways.as_written import yuan
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
    SettlementFetch,
    SettlementRecord,
    Spoken,
)
from payments.gateways.day_files import moment, read_day_file

CODE: Final = "counter"
TITLE: Final = "#COUNTER DAY"
COLUMNS: Final = (
    "agent", "kind", "agent_txn_no", "barcode", "amount", "happened_at", "return_no",
)  # fmt: skip
_ORDER_NO = re.compile(r"CB([0-9]{4})0([0-9]{11})")
_ORDER_CODE = re.compile(r"88([0-9]{4})([0-9]{11})([0-9])")
AGENT: Final = r"[a-z][a-z0-9]{1,15}"
AGENT_TXN_NO: Final = r"[0-9A-Za-z]{1,32}"


def order_code(order_no: str) -> str:
    """Return the eighteen digits by which an order is paid at a counter.

    Raises:
        Invalid: not an order number of a checkout.
    """
    match = _ORDER_NO.fullmatch(order_no)
    if match is None:
        raise Invalid("only an order of a checkout has a code for counters", code="barcode.order")
    body = "88" + "".join(match.groups())
    return body + check_digit(body)


def parse_order_code(digits: str) -> str:
    """Return the order number a code means; blanks between its digits are allowed.

    Raises:
        Invalid: not such a code, or its check digit does not match.
    """
    match = _ORDER_CODE.fullmatch(digits.replace(" ", ""))
    if match is None:
        raise Invalid("the code of an order has eighteen digits", code="barcode.malformed")
    month, number, check = match.groups()
    if check_digit(f"88{month}{number}") != check:
        raise Invalid(
            "the check digit does not match: scan again, or compare each digit with the code",
            code="barcode.check_digit",
        )
    return f"CB{month}0{number}"


def is_order_code(digits: str) -> bool:
    """Tell an order's code from a bill's barcode; junk is neither."""
    return _ORDER_CODE.fullmatch(digits.replace(" ", "")) is not None


def agent_ref(agent: str, agent_txn_no: str) -> str:
    """Return an agent's cash as the books know it: the same for ever (rule 38)."""
    return f"{agent}-{agent_txn_no}"


def cash_order_no(agent: str, agent_txn_no: str) -> str:
    """Return the order number of cash that was paid by a bill's barcode."""
    return f"CA{agent_ref(agent, agent_txn_no)}"


class CounterLine(NamedTuple):
    """One row of a day file: cash taken, or given back with our leave (``return_no``)."""

    line_no: int
    agent: str
    is_return: bool
    agent_txn_no: str
    barcode: str
    amount_fen: int  # below zero: given back
    happened_at: datetime
    return_no: str

    @property
    def reference(self) -> str:
        """Our number of it: what reconciliation compares by."""
        if self.is_return:
            return self.return_no
        if is_order_code(self.barcode):
            return parse_order_code(self.barcode)
        return cash_order_no(self.agent, self.agent_txn_no)


def read_lines(content: bytes, *, day: date) -> list[CounterLine]:
    """Read a day file whole.

    Raises:
        SettlementFileError: not this day's file, malformed, or its totals do not add up.
    """
    return read_day_file(
        content, title=TITLE, day=day, columns=COLUMNS, read_row=_line,
        amount_of=lambda line: line.amount_fen,
    )  # fmt: skip


def _line(fields: dict[str, str], line_no: int) -> CounterLine:
    is_return = {"payment": False, "return": True}[fields["kind"]]
    line = CounterLine(
        line_no=line_no, agent=fields["agent"], is_return=is_return,
        agent_txn_no=fields["agent_txn_no"], barcode=fields["barcode"].replace(" ", ""),
        amount_fen=yuan(fields["amount"]), happened_at=moment(fields["happened_at"]),
        return_no=fields["return_no"],
    )  # fmt: skip
    if not (re.fullmatch(AGENT, line.agent) and re.fullmatch(AGENT_TXN_NO, line.agent_txn_no)):
        raise ValueError("agent is its code; agent_txn_no is 1 to 32 letters and digits")
    check_code(line.barcode)
    if line.amount_fen == 0 or (line.amount_fen < 0) != is_return:
        raise ValueError("a payment is above zero, a return below")
    if is_return != bool(line.return_no):
        raise ValueError("a return carries the return_no we answered, a payment none")
    return line


def check_code(digits: str) -> None:
    """Refuse what is neither a bill's barcode nor an order's code (Invalid)."""
    if is_order_code(digits):
        parse_order_code(digits)
    else:
        parse_barcode(digits)


class Counter:
    code = CODE
    name = Spoken("便利店、银行柜台现金", "Cash at a shop or bank")
    description = Spoken(
        "凭条码到便利店或银行柜台付现金", "Show the code at a shop or bank and pay in cash"
    )
    capabilities = Capabilities(
        modes=("cash",), channels=frozenset({"counter", "kiosk"}), maximum_fen=5_000_000,
        refund_days=0, queries=False, settlement_fetched=False,
    )  # fmt: skip

    def open_order(self, order: Order) -> GatewayReply:
        """Say the code to show at a shop; good until the order's time is over."""
        return GatewayReply(
            status=GatewayStatus.OPEN, gateway_ref=order.order_no,
            pay_code=order_code(order.order_no),
        )  # fmt: skip

    def query(self, asked: Asked) -> GatewayReply:
        """Tell that it waits: what became of it is in our own books, and nowhere else."""
        return GatewayReply(status=GatewayStatus.OPEN, gateway_ref=asked.gateway_ref)

    def close(self, asked: Asked) -> GatewayReply:
        """Close an order: agents ask us before they take cash, so nobody takes it any more."""
        return GatewayReply(status=GatewayStatus.CLOSED, gateway_ref=asked.gateway_ref)

    def refund(self, order: RefundOrder) -> RefundReply:
        """Refuse: nobody can send cash back; it goes by bank transfer."""
        return RefundReply(state=RefundState.REFUSED, reason="cash goes back by bank transfer")

    def query_refund(self, order: RefundOrder) -> RefundReply:
        return RefundReply(state=RefundState.NOT_FOUND)

    def read_callback(
        self, headers: Mapping[str, str], body: bytes, *, now: datetime
    ) -> Callback | None:
        raise Invalid("agents do not call back: docs/counter.md", code="callback.malformed")

    def answer_callback(self, *, taken: bool) -> CallbackAnswer:
        return CallbackAnswer() if taken else CallbackAnswer(status_code=400)

    def fetch_settlement(self, day: date) -> SettlementFetch:
        """Say that there is none: agents send their day files themselves."""
        return SettlementFetch(FileState.NOT_YET)

    def read_settlement(self, stream: BinaryIO, *, day: date) -> Iterator[SettlementRecord]:
        return iter(
            SettlementRecord(
                line_no=line.line_no,
                kind="refund" if line.is_return else "payment",
                reference=line.reference,
                gateway_ref=agent_ref(line.agent, line.agent_txn_no),
                amount_fen=line.amount_fen,
                fee_fen=0,
                happened_at=line.happened_at,
            )
            for line in read_lines(stream.read(), day=day)
        )

    def hang_up(self) -> None:
        """Nothing is open."""


def from_settings(settings: Settings) -> Counter | None:
    """Make the gateway, if the city has an agent."""
    return Counter() if settings.counter_agents else None
