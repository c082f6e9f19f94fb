"""What one company knows: its accounts, what is open on them, and what was written off."""

from datetime import date, datetime, timedelta
from threading import RLock
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from core.clock import add_months, billing_date, day_bounds
from core.errors import Conflict
from simulator.bills import Bill, TelecomBill
from simulator.city import City
from simulator.companies import COMPANIES
from simulator.extras import NUMBER as EXTRAS_NUMBER
from simulator.extras import extra_telecom_bills
from simulator.faults import Fault
from simulator.journal import Journal
from simulator.wire import UtcMoment

FORGET_AFTER = timedelta(minutes=2)
_MONTHS_BACK = 8
_CITY = City()  # whose accounts the companies know
_PREFIXES = {"water": "20", "power": "31000", "gas": "6600", "telecom": ""}
_REASONS = {
    "account_closed": "该户已销户",
    "already_paid": "该账单已销账",
    "not_written_off": "无此销账记录",
    "already_reversed": "该销账已冲正",
}


class WriteOffRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    write_off_no: str = Field(min_length=1, max_length=128)
    account_no: str = Field(pattern=r"^[0-9]{8,13}$")
    bill_no: str = Field(min_length=1, max_length=32)
    billing_month: str = Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")
    amount_fen: int = Field(gt=0)
    paid_at: UtcMoment


class ReversalRequest(BaseModel):
    """A write-off is to be taken back; account, bill and amount must be those of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reversal_no: str = Field(min_length=1, max_length=160)
    write_off_no: str = Field(min_length=1, max_length=128)
    account_no: str
    bill_no: str
    amount_fen: int = Field(gt=0)


class Verdict(BaseModel):
    """How a write-off or its reversal went; each company puts it into its own words.

    ``result`` is accepted, refused (for a ``reason_code``) or pending: not decided yet.
    """

    model_config = ConfigDict(frozen=True)

    result: str
    write_off_no: str
    reversal_no: str = ""
    receipt: str = ""
    amount_fen: int = 0
    reason_code: str = ""
    reason: str = ""
    at: datetime


class WriteOff(BaseModel):
    """One request the company has answered for good."""

    model_config = ConfigDict(frozen=True)

    request: WriteOffRequest
    verdict: Verdict
    received_at: datetime


class Reversal(BaseModel):
    """One request to take a write-off back that the company has answered for good."""

    model_config = ConfigDict(frozen=True)

    request: ReversalRequest
    verdict: Verdict
    received_at: datetime


class OpenBills(NamedTuple):
    """``result`` is bills, none, unknown_account or several_accounts."""

    result: str
    bills: tuple[Bill, ...] = ()


class Account(NamedTuple):
    """``result`` is known, closed, unknown_account or several_accounts."""

    result: str
    holder: str = ""


def shared_number(company: str) -> str:
    """Return the account number that two districts gave out before they were merged."""
    return _training_number(company, "9")


def closed_number(company: str) -> str:
    """Return the number of an account that is closed."""
    return _training_number(company, "8")


def _training_number(company: str, digit: str) -> str:
    prefix = _PREFIXES[company]
    return prefix + digit * (COMPANIES[company].account_digits - len(prefix))


class UtilityBooks:
    """One company's. Thread-safe; remembers over a restart what it does not forget."""

    def __init__(
        self, company: str, journal: Journal, forget_after: timedelta = FORGET_AFTER
    ) -> None:
        self.company = company
        self._journal = journal
        self._forget_after = forget_after
        self._lock = RLock()
        self._write_offs: dict[str, WriteOff] = {}
        self._paid_fen: dict[tuple[str, str, str], int] = {}
        self._forgotten_at: dict[str, datetime] = {}
        self._reversals: dict[str, Reversal] = {}
        for change in journal.replay():
            if "reversal" in change:
                self._keep_reversal(Reversal.model_validate(change["reversal"]))
            else:
                self._keep(WriteOff.model_validate(change["write_off"]))

    def find(self, write_off_no: str, *, now: datetime) -> WriteOff | None:
        """Return the write-off of this number, if the company has seen it and still knows."""
        with self._lock:
            self._forget(now)
            return self._write_offs.get(write_off_no)

    def latest(self, limit: int) -> list[WriteOff]:
        """Return the newest write-offs, newest first."""
        with self._lock:
            return list(self._write_offs.values())[: -limit - 1 : -1]

    def booked_on(self, day: date, *, now: datetime) -> list[WriteOff]:
        """Return what was decided for good on a Shanghai day, in that order."""
        begins, ends = day_bounds(day)
        with self._lock:
            self._forget(now)
            return [one for one in self._write_offs.values() if begins <= one.received_at < ends]

    def reversed_on(self, day: date) -> list[Reversal]:
        """Return what was taken back on a Shanghai day, in that order."""
        begins, ends = day_bounds(day)
        with self._lock:
            return [
                one
                for one in self._reversals.values()
                if one.verdict.result == "accepted" and begins <= one.received_at < ends
            ]

    def open_bills(self, account_no: str, *, now: datetime) -> OpenBills:
        """Return what is open of the last two bills of an account."""
        number = self._number_of(account_no)
        if account_no == shared_number(self.company):
            return OpenBills("several_accounts")
        if account_no == closed_number(self.company):
            return OpenBills("none")
        if number is None:
            return OpenBills("unknown_account")
        with self._lock:
            self._forget(now)
            bills = tuple(
                bill
                for bill in _issued_lately(self.company, number, billing_date(now))
                if not self._is_closed(bill)
            )
        return OpenBills("bills" if bills else "none", bills)

    def account(self, account_no: str, holder: str) -> Account:
        """Look an account up; a holder's name tells the two of the shared number apart."""
        if account_no == shared_number(self.company):
            mine = _CITY.household(1).holder
            return (
                Account("known", _masked(mine)) if holder == mine else Account("several_accounts")
            )
        if account_no == closed_number(self.company):
            return Account("closed")
        number = self._number_of(account_no)
        if number is None:
            return Account("unknown_account")
        return Account("known", _masked(_CITY.household(number).holder))

    def receive(self, request: WriteOffRequest, fault: Fault, *, now: datetime) -> Verdict:
        """Write a bill off, once: the same number has the same answer for ever. Or misbehave.

        Raises:
            Conflict: the number came before with another body.
        """
        with self._lock:
            known = self.find(request.write_off_no, now=now)
            if known is not None:
                if known.request != request:
                    raise Conflict("this write_off_no came with another body", code="conflict")
                return known.verdict
            verdict = self._decide(request, refuse=fault is Fault.REFUSE, now=now)
            if fault is Fault.LIES_DONE:
                return verdict
            made = WriteOff(request=request, verdict=verdict, received_at=now)
            if fault is Fault.FORGETS:
                self._forgotten_at[request.write_off_no] = now + self._forget_after
            else:
                self._journal.append({"write_off": made.model_dump(mode="json")})
            self._keep(made)
            return _told(verdict, fault)

    def reverse(self, request: ReversalRequest, fault: Fault, *, now: datetime) -> Verdict:
        """Take a write-off back, once: the same number has the same answer for ever.

        Raises:
            Conflict: the number came before with another body.
        """
        with self._lock:
            known = self._reversals.get(request.reversal_no)
            if known is None:
                verdict = self._decide_reversal(request, refuse=fault is Fault.REFUSE, now=now)
                known = Reversal(request=request, verdict=verdict, received_at=now)
                self._journal.append({"reversal": known.model_dump(mode="json")})
                self._keep_reversal(known)
            elif known.request != request:
                raise Conflict("this reversal_no came with another body", code="conflict")
            if fault is Fault.TWICE:
                return known.verdict.model_copy(update={"result": "pending", "receipt": ""})
            return known.verdict

    def _decide_reversal(self, asked: ReversalRequest, *, refuse: bool, now: datetime) -> Verdict:
        code = "account_closed" if refuse else self._why_not_reversed(asked, now=now)
        if code:
            return Verdict(
                result="refused", write_off_no=asked.write_off_no, reversal_no=asked.reversal_no,
                at=now, reason_code=code, reason=_REASONS[code],
            )  # fmt: skip
        receipt = f"{self.company[0].upper()}R{now:%Y%m%d}{len(self._reversals) + 1:08d}"
        return Verdict(
            result="accepted", write_off_no=asked.write_off_no, reversal_no=asked.reversal_no,
            at=now, receipt=receipt, amount_fen=asked.amount_fen,
        )  # fmt: skip

    def _why_not_reversed(self, asked: ReversalRequest, *, now: datetime) -> str:
        done = self.find(asked.write_off_no, now=now)
        told = (asked.account_no, asked.bill_no, asked.amount_fen)
        if done is None or done.verdict.result != "accepted":
            return "not_written_off"
        if (done.request.account_no, done.request.bill_no, done.request.amount_fen) != told:
            return "not_written_off"
        return "already_reversed" if self._is_reversed(asked.write_off_no) else ""

    def _is_reversed(self, write_off_no: str) -> bool:
        return any(
            one.request.write_off_no == write_off_no and one.verdict.result == "accepted"
            for one in self._reversals.values()
        )

    def _keep_reversal(self, made: Reversal) -> None:
        self._reversals[made.request.reversal_no] = made
        written_off = self._write_offs.get(made.request.write_off_no)
        if made.verdict.result == "accepted" and written_off is not None:
            self._paid_fen[_bill_key(written_off.request)] -= made.request.amount_fen

    def _decide(self, request: WriteOffRequest, *, refuse: bool, now: datetime) -> Verdict:
        no = request.write_off_no
        paid_fen = self._paid_fen.get(_bill_key(request))
        is_closed = paid_fen is not None and paid_fen >= _asked_fen(self.company, request)
        if refuse or is_closed:
            code = "account_closed" if refuse else "already_paid"
            return Verdict(
                result="refused", write_off_no=no, at=now, reason_code=code, reason=_REASONS[code]
            )
        serial = len(self._write_offs) + 1
        receipt = f"{self.company[0].upper()}{now:%Y%m%d}{serial:08d}"
        return Verdict(
            result="accepted", write_off_no=no, at=now, receipt=receipt,
            amount_fen=request.amount_fen,
        )  # fmt: skip

    def _keep(self, write_off: WriteOff) -> None:
        self._write_offs[write_off.request.write_off_no] = write_off
        if write_off.verdict.result == "accepted":
            key = _bill_key(write_off.request)
            self._paid_fen[key] = self._paid_fen.get(key, 0) + write_off.request.amount_fen

    def _forget(self, now: datetime) -> None:
        for write_off_no in [no for no, at in self._forgotten_at.items() if at <= now]:
            del self._forgotten_at[write_off_no]
            lost = self._write_offs.pop(write_off_no)
            if lost.verdict.result == "accepted":
                self._paid_fen[_bill_key(lost.request)] -= lost.request.amount_fen

    def _is_closed(self, bill: Bill) -> bool:
        key = (bill.account_no, f"{bill.billing_month:%Y-%m}", bill.bill_no)
        early_fen = bill.early_fen if isinstance(bill, TelecomBill) else 0
        return self._paid_fen.get(key, 0) >= (early_fen or bill.amount_fen)

    def _number_of(self, account_no: str) -> int | None:
        return _CITY.find(self.company, account_no)


def _told(verdict: Verdict, fault: Fault) -> Verdict:
    """Return what the company says of what it did."""
    if fault is Fault.TWICE:
        return verdict.model_copy(update={"result": "pending", "receipt": ""})
    if fault is Fault.WRONG_AMOUNT:
        return verdict.model_copy(update={"amount_fen": verdict.amount_fen + 1})
    if fault is Fault.LIES_FAILED:
        code = "account_closed"
        said = {"result": "refused", "receipt": "", "reason_code": code, "reason": _REASONS[code]}
        return verdict.model_copy(update=said)
    return verdict


def _bill_key(request: WriteOffRequest) -> tuple[str, str, str]:
    return request.account_no, request.billing_month, request.bill_no


def _asked_fen(company: str, request: WriteOffRequest) -> int:
    """Return what closes a bill; one the city did not issue is closed by any amount."""
    number = _CITY.find(company, request.account_no)
    if number is None:
        return 0
    month = date.fromisoformat(f"{request.billing_month}-01")
    bills: list[Bill] = _CITY.bills_of(number, month)
    if number == EXTRAS_NUMBER:
        bills += extra_telecom_bills(_CITY, month, month)
    for bill in bills:
        if bill.bill_no == request.bill_no:
            early_fen = bill.early_fen if isinstance(bill, TelecomBill) else 0
            return early_fen or bill.amount_fen
    return 0


def _issued_lately(company: str, number: int, today: date) -> list[Bill]:
    """Return the last two bills a household was asked to pay, the older first."""
    account_no = _CITY.household(number).account_no(company)
    found: list[Bill] = []
    for back in range(1, _MONTHS_BACK + 1):
        found += [
            bill
            for bill in _CITY.bills_of(number, add_months(today, -back))
            if bill.account_no == account_no and bill.amount_fen > 0 and bill.issued_on <= today
        ]
    return found[1::-1]


def _masked(name: str) -> str:
    return name[:1] + "*" * (len(name) - 1)
