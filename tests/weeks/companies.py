"""The far side of the companies: what each has written off, and how it answers."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from core.errors import Upstream
from notifications.channels.base import Message, Taken, WithoutReceipts
from providers.base import (
    FetchOutcome,
    FetchReply,
    ValidateOutcome,
    ValidateReply,
    WriteOffOrder,
    WriteOffOutcome,
    WriteOffReply,
)
from tests.weeks.wire import Wire

_REFUSALS = ("account_closed: 已销户", "paid_elsewhere: 已在柜台缴清", "period_closed: 账期已关")


@dataclass
class Told:
    """A write-off a company was told of, its decision, and how often it will mumble first."""

    order: WriteOffOrder
    reply: WriteOffReply
    mumbles: int


class CompanyBooks:
    """One company's own list of write-offs: decided once, at the first word it understands."""

    def __init__(
        self, code: str, dice: Random, refuses_often: int, complain: Callable[[str], None]
    ) -> None:
        self.code, self.dice, self.refuses_often = code, dice, refuses_often
        self.complain = complain
        self.told: dict[str, Told] = {}

    def write_off(self, order: WriteOffOrder) -> WriteOffReply:
        known = self.told.get(order.write_off_no)
        if known is None:
            mumbles = self.dice.choice((0, 0, 0, 1, 3))
            known = self.told[order.write_off_no] = Told(order, self._decide(), mumbles)
        if known.order.amount_fen != order.amount_fen or known.order.bill_no != order.bill_no:
            self.complain(f"{order.write_off_no} is told again, and otherwise")
        if known.mumbles:  # the first word is no word, or a wrong one: the same again corrects it
            known.mumbles -= 1
            return WriteOffReply(
                outcome=WriteOffOutcome.UNKNOWN, reason="the company says it took 1 fen"
            )
        return known.reply

    def _decide(self) -> WriteOffReply:
        if self.dice.randrange(1_000) < self.refuses_often:
            reason = self.dice.choice(_REFUSALS)
            return WriteOffReply(
                outcome=WriteOffOutcome.REFUSED, reason=reason,
                paid_elsewhere=reason.startswith("paid_elsewhere"),
            )  # fmt: skip
        return WriteOffReply(
            outcome=WriteOffOutcome.ACCEPTED, utility_ref=f"{self.code}-{len(self.told) + 1}"
        )

    def accepted(self) -> dict[str, WriteOffOrder]:
        """Return what it has written off, by our numbers."""
        return {
            number: told.order for number, told in self.told.items()
            if told.reply.outcome is WriteOffOutcome.ACCEPTED
        }  # fmt: skip


class MadeUpCompany:
    """A company by the contract of ``providers.base.UtilityClient``, over its books."""

    def __init__(self, books: CompanyBooks, wire: Wire) -> None:
        self.books, self.wire = books, wire

    def write_off(self, order: WriteOffOrder) -> WriteOffReply:
        return self.wire.call(
            f"{self.books.code} write off {order.write_off_no}",
            lambda: self.books.write_off(order),
            lost=lambda: WriteOffReply(outcome=WriteOffOutcome.UNKNOWN),
        )

    def query(self, write_off_no: str) -> WriteOffReply | None:
        def look() -> WriteOffReply | None:
            known = self.books.told.get(write_off_no)
            return known.reply if known else None

        return self.wire.call(
            f"{self.books.code} query {write_off_no}", look,
            lost=lambda: WriteOffReply(outcome=WriteOffOutcome.UNKNOWN),
        )  # fmt: skip

    def fetch(self, account_no: str) -> FetchReply:
        return FetchReply(outcome=FetchOutcome.NONE)

    def validate(self, account_no: str, holder_hint: str | None = None) -> ValidateReply:
        return ValidateReply(outcome=ValidateOutcome.UNKNOWN_ACCOUNT)


class MadeUpCarrier(WithoutReceipts):
    """A way to reach residents: what arrived, by message."""

    repeats_safely = True

    def __init__(self, code: str, wire: Wire) -> None:
        self.code = self.channel = code
        self.wire = wire
        self.arrived: dict[str, Message] = {}

    def send(self, message: Message) -> Taken:
        def take() -> bool:
            self.arrived[message.message_id] = message
            return True

        if not self.wire.call(f"{self.code} {message.message_id}", take, lost=lambda: False):
            raise Upstream("the relay broke off")
        return Taken()
