"""What the simulated bank knows: mandates, batches, and what it could not collect.

Source: docs/wire/bank-debit.md.
"""

import hashlib
import secrets
from datetime import date, datetime
from enum import StrEnum
from threading import RLock

from pydantic import BaseModel, ConfigDict, Field

from core.clock import billing_date
from core.errors import Conflict, Invalid, NotFound
from simulator.bank_files import Asked, ReadBatch, read_batch, write_day, write_returns
from simulator.journal import Journal
from simulator.wire import WebAddress

CODES = ("AM04", "MS03", "AC04", "MD01", "MD07")
_SILENT_DAYS = 5  # three working days and a weekend: what comes back later is late


class MandateState(StrEnum):
    OPEN = "open"
    ACTIVE = "active"
    REFUSED = "refused"
    ENDED = "ended"


class Does(StrEnum):
    """What a payer does at the bank."""

    AGREE = "agree"
    REFUSE = "refuse"
    END = "end"


class MandateRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    mandate_no: str = Field(pattern=r"^[0-9A-Za-z._:~-]{1,64}$")
    maximum_fen: int | None = Field(gt=0)
    subject: str = Field(min_length=1, max_length=256)
    return_url: WebAddress


class BankMandate(MandateRequest):
    mandate_ref: str
    state: MandateState = MandateState.OPEN


class Entry(Asked):
    """One order the bank has; ``returned_on`` says that it could not collect it."""

    batch_no: str
    collect_on: date
    code: str | None = None
    returned_on: date | None = None
    file_no: str | None = None


class KeptBatch(BaseModel):
    model_config = ConfigDict(frozen=True)

    batch_no: str
    sha256: str
    creditor: str
    entries: int
    total_fen: int


class BankBooks:
    """The bank's state. Thread-safe; each change is one journal line of whole records."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = RLock()
        self._mandates: dict[str, BankMandate] = {}
        self._batches: dict[str, KeptBatch] = {}
        self._entries: dict[str, Entry] = {}
        for change in journal.replay():
            self._keep(change)

    def _keep(self, change: dict[str, list[dict[str, object]]]) -> None:
        for record in change.get("mandates", ()):
            mandate = BankMandate.model_validate(record)
            self._mandates[mandate.mandate_no] = mandate
        for record in change.get("batches", ()):
            batch = KeptBatch.model_validate(record)
            self._batches[batch.batch_no] = batch
        for record in change.get("entries", ()):
            entry = Entry.model_validate(record)
            self._entries[entry.order_no] = entry

    def _change(self, **records: list[BaseModel]) -> None:
        change = {
            name: [one.model_dump(mode="json") for one in some] for name, some in records.items()
        }
        self._journal.append(change)
        self._keep(change)

    def sign(self, asked: MandateRequest) -> tuple[BankMandate, bool]:
        """Take in a mandate, once; the flag tells whether it is new."""
        with self._lock:
            known = self._mandates.get(asked.mandate_no)
            if known is not None:
                return known, False
            ref = f"bm{secrets.token_hex(10)}"
            self._change(mandates=[BankMandate(**dict(asked), mandate_ref=ref)])
            return self._mandates[asked.mandate_no], True

    def mandate(self, mandate_no: str) -> BankMandate:
        """Return a mandate. Raises NotFound."""
        with self._lock:
            if mandate_no not in self._mandates:
                raise NotFound("no such mandate", code="mandate.unknown")
            return self._mandates[mandate_no]

    def debtor(self, mandate_ref: str) -> BankMandate:
        """Return a mandate by the bank's own name. Raises NotFound."""
        with self._lock:
            for one in self._mandates.values():
                if one.mandate_ref == mandate_ref:
                    return one
        raise NotFound("no such mandate", code="mandate.unknown")

    def decide(self, mandate_no: str, does: Does) -> BankMandate:
        """Do what a payer decided; what has ended stays ended."""
        with self._lock:
            mandate = self.mandate(mandate_no)
            after = {
                (MandateState.OPEN, Does.AGREE): MandateState.ACTIVE,
                (MandateState.OPEN, Does.REFUSE): MandateState.REFUSED,
                (MandateState.OPEN, Does.END): MandateState.ENDED,
                (MandateState.ACTIVE, Does.END): MandateState.ENDED,
            }.get((mandate.state, does))
            if after is not None:
                self._change(mandates=[mandate.model_copy(update={"state": after})])
            return self.mandate(mandate_no)

    def mandates(self) -> list[BankMandate]:
        with self._lock:
            return list(self._mandates.values())[::-1]

    def take(self, batch_no: str, content: bytes) -> tuple[KeptBatch, bool]:
        """Take in a batch, once; the flag tells whether it is new.

        Raises:
            Invalid: it is refused whole.
            Conflict: the number came before with other bytes.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        with self._lock:
            known = self._batches.get(batch_no)
            if known is not None:
                if known.sha256 != sha256:
                    raise Conflict("this batch_no came with other bytes", code="batch.conflict")
                return known, False
            read = read_batch(content)
            self._check(read, batch_no)
            kept = KeptBatch(
                batch_no=batch_no, sha256=sha256, creditor=read.creditor, entries=len(read.asked),
                total_fen=sum(one.amount_fen for one in read.asked),
            )  # fmt: skip
            entries = [
                Entry(**dict(one), batch_no=batch_no, collect_on=read.collect_on)
                for one in read.asked
            ]
            self._change(batches=[kept], entries=list(entries))
            self._return_what_has_no_mandate(entries)
            return kept, True

    def _check(self, read: ReadBatch, batch_no: str) -> None:
        if read.batch_no != batch_no:
            raise Invalid("the file says another batch_no", code="batch.number")
        doubled = [one.order_no for one in read.asked if one.order_no in self._entries]
        if doubled:
            raise Invalid(f"order {doubled[0]} was in a batch before", code="batch.entries")

    def _return_what_has_no_mandate(self, entries: list[Entry]) -> None:
        active = {
            one.mandate_ref for one in self._mandates.values() if one.state is MandateState.ACTIVE
        }
        for entry in entries:
            if entry.mandate_ref not in active:
                self.send_back(entry.order_no, "MD01", on=entry.collect_on)

    def batch(self, batch_no: str) -> KeptBatch:
        """Return a batch. Raises NotFound."""
        with self._lock:
            if batch_no not in self._batches:
                raise NotFound("no such batch", code="batch.unknown")
            return self._batches[batch_no]

    def entry(self, order_no: str) -> Entry:
        """Return an order. Raises NotFound."""
        with self._lock:
            if order_no not in self._entries:
                raise NotFound("no such order", code="order.unknown")
            return self._entries[order_no]

    def entries(self) -> list[Entry]:
        with self._lock:
            return list(self._entries.values())[::-1]

    def send_back(self, order_no: str, code: str, *, on: date) -> Entry:
        """Find that an order cannot be collected; a file of returns holds it from now on."""
        with self._lock:
            entry = self.entry(order_no)
            if entry.code is None:
                facts = {
                    "code": code,
                    "returned_on": on,
                    "file_no": f"R{len(self.files()) + 1:07d}",
                }
                self._change(entries=[entry.model_copy(update=facts)])
            return self.entry(order_no)

    def files(self) -> list[str]:
        """Return the numbers of all files of returns, oldest first."""
        with self._lock:
            return sorted({one.file_no for one in self._entries.values() if one.file_no})

    def file(self, file_no: str) -> bytes:
        """Return a file of returns. Raises NotFound."""
        with self._lock:
            back = [one for one in self._entries.values() if one.file_no == file_no]
            if not back:
                raise NotFound("no such file", code="returns.unknown")
            creditor = self.batch(back[0].batch_no).creditor
            rows = [(one.order_no, one.batch_no, one.amount_fen, one.code or "") for one in back]
            return write_returns(file_no, creditor, back[0].returned_on or date.min, rows)

    def day(self, day: date, *, now: datetime) -> bytes:
        """Return a day's settlement file. Raises NotFound: the day is not over."""
        if day >= billing_date(now):
            raise NotFound("that day is not over yet", code="settlement.not_ready")
        with self._lock:
            rows = []
            for one in self._entries.values():
                late = one.returned_on and (one.returned_on - one.collect_on).days > _SILENT_DAYS
                if one.collect_on == day and (one.returned_on is None or late):
                    rows.append(("payment", one.order_no, one.batch_no, one.amount_fen))
                if late and one.returned_on == day:
                    rows.append(("chargeback", one.order_no, one.batch_no, -one.amount_fen))
            return write_day(day, rows)
