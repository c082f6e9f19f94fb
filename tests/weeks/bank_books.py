"""The far side of bank debit: a bank that collects in batches and tells only of failures.

The adapter under test is the real one, over requests that never leave this process.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from random import Random

import httpx

from billing.rules.calendars import add_working_days
from core.clock import BILLING_ZONE, billing_date
from core.errors import UpstreamUnavailable
from payments.gateways.bank_debit import CODE, BankDebit
from payments.gateways.bank_files import Creditor
from payments.gateways.base import MandateState
from payments.gateways.collecting import CALENDAR
from simulator.bank_files import Asked, read_batch, write_returns
from tests.weeks.far_mandates import FarMandate, Mandates
from tests.weeks.wire import Wire

SILENCE_DAYS = 3
CREDITOR = Creditor("CITY", "6222000000000001")
_RETURN_AT = time(11, 0)
_LOST = httpx.Response(599)


@dataclass
class FarEntry:
    """An order of a batch; ``returns_at`` says when it comes back, if ever."""

    order_no: str
    batch_no: str
    amount_fen: int
    collected_at: datetime
    code: str = ""
    returns_at: datetime | None = None
    file_no: str = ""


class BankBooks:
    """The bank's own books: mandates, batches, what it could not collect, in time or late."""

    code = CODE

    def __init__(
        self, dice: Random, now: Callable[[], datetime], complain: Callable[[str], None]
    ) -> None:
        self.dice, self.now, self.complain = dice, now, complain
        self.mandates = Mandates(CODE)
        self.batches: dict[str, tuple[bytes, bool]] = {}  # and whether it was taken
        self.entries: dict[str, FarEntry] = {}
        self.files: dict[str, bytes] = {}

    # --- what our adapter asks for

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a request by docs/wire/bank-debit.md."""
        kind, *rest = request.url.path.removeprefix("/bank/").split("/")
        match request.method, kind, rest:
            case "POST", "mandates", []:
                asked = json.loads(request.content)
                return _mandate(self.mandates.sign(asked["mandate_no"], asked["maximum_fen"]))
            case "POST", "mandates", [number, "end"]:
                self.mandates.end(number)
                return _mandate(self.mandates.known.get(number))
            case "GET", "mandates", [number]:
                return _mandate(self.mandates.known.get(number))
            case "GET", "debtors", [ref]:
                return _mandate(self.mandates.by_ref(ref))
            case "PUT", "batches", [number]:
                return self._take(number, request.content)
            case "GET", "entries", [number]:
                return self._entry(number)
            case "GET", "returns", []:
                self.publish()
                return httpx.Response(200, json={"files": list(self.files)})
            case "GET", "returns", [number] if number in self.files:
                return httpx.Response(200, content=self.files[number])
        return httpx.Response(404)

    def _take(self, batch_no: str, content: bytes) -> httpx.Response:
        known = self.batches.get(batch_no)
        if known is not None and known[0] != content:
            self.complain(f"batch {batch_no} came before with other bytes")
        if known is None:
            known = self.batches[batch_no] = content, self.dice.random() >= 0.1
            read = read_batch(content)
            noon = datetime.combine(read.collect_on, time(12), BILLING_ZONE)
            if known[1]:
                for asked in read.asked:
                    self._enter(asked, batch_no, noon)
        if not known[1]:
            return httpx.Response(
                422,
                json={"code": "creditor.blocked", "message": "the creditor's account is blocked"},
            )
        return httpx.Response(201, json={"batch_no": batch_no})

    def _enter(self, asked: Asked, batch_no: str, collected_at: datetime) -> None:
        if asked.order_no in self.entries:
            self.complain(f"{asked.order_no} is in two batches")
        mandate = self.mandates.by_ref(asked.mandate_ref)
        if mandate is None or asked.amount_fen > (mandate.maximum_fen or asked.amount_fen):
            self.complain(f"{asked.order_no} of {asked.amount_fen} fen is debited by {mandate}")
            return
        made = FarEntry(asked.order_no, batch_no, asked.amount_fen, collected_at)
        self.entries[asked.order_no] = made
        luck, on = self.dice.random(), billing_date(collected_at)
        if mandate.state is not MandateState.ACTIVE:
            made.code, luck = "MD01", 0
        elif luck < 0.55:
            made.code = self.dice.choice(("AM04", "AM04", "AM04", "MS03", "AC04"))
        days = self.dice.choice((1, 2, SILENCE_DAYS)) if luck < 0.3 else SILENCE_DAYS
        if made.code:
            back_on = add_working_days(CALENDAR, on, days)
            if luck >= 0.3:  # late: the silence is over
                back_on += timedelta(days=self.dice.choice((1, 2)))
            made.returns_at = datetime.combine(back_on, _RETURN_AT, BILLING_ZONE)

    def _entry(self, order_no: str) -> httpx.Response:
        self.publish()
        one = self.entries.get(order_no)
        if one is None:
            return httpx.Response(404)
        state = "returned" if one.file_no else "taken"
        facts = {"state": state, "code": one.code, "amount_fen": one.amount_fen}
        return httpx.Response(200, json=facts)

    # --- time, and its books to be held against ours

    def publish(self) -> None:
        """Write one file of what has come back by now."""
        due = [
            one for one in self.entries.values()
            if not one.file_no and one.returns_at is not None and one.returns_at <= self.now()
        ]  # fmt: skip
        if due:
            number = f"R{len(self.files) + 1:06d}"
            rows = [(one.order_no, one.batch_no, one.amount_fen, one.code) for one in due]
            day = billing_date(self.now())
            self.files[number] = write_returns(number, CREDITOR.number, day, rows)
            for one in due:
                one.file_no = number

    def next_due(self) -> datetime | None:
        """Return when something comes back by itself."""
        waiting = (one.returns_at for one in self.entries.values() if not one.file_no)
        return min((at for at in waiting if at is not None), default=None)

    def collected(self) -> list[FarEntry]:
        """Return what it has collected and not taken back."""
        return [
            one for one in self.entries.values()
            if not one.file_no and one.collected_at <= self.now()
        ]  # fmt: skip


def _mandate(one: FarMandate | None) -> httpx.Response:
    if one is None:
        return httpx.Response(404, json={"code": "debtor.unknown", "message": "no such debtor"})
    facts = {
        "mandate_no": one.mandate_no, "mandate_ref": one.ref, "state": one.state.value,
        "sign_url": f"https://bank.example/{one.ref}",
    }  # fmt: skip
    return httpx.Response(200, json=facts)


def adapter_of(books: BankBooks, wire: Wire) -> BankDebit:
    """Return the real adapter, its requests answered by these books over a wire that breaks."""

    def handle(request: httpx.Request) -> httpx.Response:
        what = f"{CODE} {request.method} {request.url.path}"
        try:
            told = wire.call(what, lambda: books.answer(request), lost=lambda: _LOST)
        except UpstreamUnavailable as away:
            raise httpx.ConnectError(str(away)) from away
        if told is _LOST:
            raise httpx.ReadTimeout(what)
        return told

    made = BankDebit("https://bank.example", "a bank's secret", CREDITOR, silence_days=SILENCE_DAYS)
    made._http = httpx.Client(
        base_url="https://bank.example", transport=httpx.MockTransport(handle)
    )
    return made
