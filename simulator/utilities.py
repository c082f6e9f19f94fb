"""The four companies' write-off (销账) interface, with faults on demand.

Source: docs/wire/write-off.md.
"""

import asyncio
from datetime import date, datetime, timedelta
from enum import StrEnum
from threading import RLock
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from core.clock import add_months, billing_date, utc_now
from core.errors import Conflict, NotFound
from simulator.bills import Bill, TelecomBill
from simulator.city import City
from simulator.companies import COMPANIES
from simulator.extras import NUMBER as EXTRAS_NUMBER
from simulator.extras import extra_telecom_bills
from simulator.journal import Journal
from simulator.pages import page
from simulator.signatures import check_signature, write_off_signature
from simulator.wire import UtcMoment, is_form, read_json, sent_path, utc_text

SLOW_FOR = timedelta(seconds=8)
_CITY = City()  # whose accounts the companies know


class Fault(StrEnum):
    """What a company does to the next write-offs instead of behaving."""

    NONE = "none"
    SLOW = "slow"  # does it at once, answers eight seconds later
    ERROR = "error"  # 500, and nothing was done
    REFUSE = "refuse"  # a final no: account_closed
    SILENT = "silent"  # does it, and hangs up in the middle of the answer


class FaultSwitch(BaseModel):
    """``times``: for so many write-offs; None is until switched again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: Fault = Field(strict=False)
    times: int | None = Field(default=None, ge=1)


class WriteOffRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    write_off_no: str = Field(min_length=1, max_length=128)
    account_no: str = Field(pattern=r"^[0-9]{8,13}$")
    bill_no: str = Field(min_length=1, max_length=32)
    billing_month: str = Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")
    amount_fen: int = Field(gt=0)
    paid_at: UtcMoment


class WriteOff(BaseModel):
    """One request a company has answered for good."""

    model_config = ConfigDict(frozen=True)

    company: str
    request: WriteOffRequest
    answer: dict[str, str]
    received_at: datetime


class UtilityBooks:
    """What the four companies have written off. Thread-safe; remembers over a restart."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = RLock()
        self._write_offs: dict[tuple[str, str], WriteOff] = {}
        self._closed_bills: set[tuple[str, str, str, str]] = set()
        self._parts_fen: dict[tuple[str, str, str, str], int] = {}
        self._switches = {code: FaultSwitch(fault=Fault.NONE) for code in COMPANIES}
        for change in journal.replay():
            if "write_off" in change:
                self._keep(WriteOff.model_validate(change["write_off"]))
            else:
                self._switches[change["company"]] = FaultSwitch.model_validate(change["switch"])

    def set_fault(self, company: str, switch: FaultSwitch) -> None:
        """Make a company misbehave, or behave again."""
        with self._lock:
            self._journal.append({"company": company, "switch": switch.model_dump(mode="json")})
            self._switches[company] = switch

    def fault(self, company: str) -> FaultSwitch:
        """Return how a company is switched now."""
        return self._switches[company]

    def take_fault(self, company: str) -> Fault:
        """Return how to treat the write-off in hand, and count it."""
        with self._lock:
            switch = self._switches[company]
            if switch.fault is not Fault.NONE and switch.times is not None:
                left = switch.times - 1
                self.set_fault(
                    company,
                    FaultSwitch(fault=switch.fault, times=left)
                    if left
                    else FaultSwitch(fault=Fault.NONE),
                )
            return switch.fault

    def find(self, company: str, write_off_no: str) -> WriteOff | None:
        """Return the write-off of this number, if the company has ever seen it."""
        return self._write_offs.get((company, write_off_no))

    def latest(self, company: str, limit: int) -> list[WriteOff]:
        """Return the newest write-offs of a company, newest first."""
        with self._lock:
            of_company = [one for one in self._write_offs.values() if one.company == company]
        return of_company[: -limit - 1 : -1]

    def is_closed(self, company: str, account_no: str, billing_month: str, bill_no: str) -> bool:
        """Tell whether a bill was written off."""
        return (company, account_no, billing_month, bill_no) in self._closed_bills

    def receive(
        self, company: str, request: WriteOffRequest, *, refuse: bool, now: datetime
    ) -> WriteOff:
        """Write a bill off, once: the same number has the same answer for ever.

        Raises:
            Conflict: the number came before with another body.
        """
        with self._lock:
            known = self.find(company, request.write_off_no)
            if known is not None:
                if known.request != request:
                    raise Conflict("this write_off_no came with another body", code="conflict")
                return known
            made = WriteOff(
                company=company,
                request=request,
                answer=self._decide(company, request, refuse=refuse, now=now),
                received_at=now,
            )
            self._journal.append({"write_off": made.model_dump(mode="json")})
            self._keep(made)
            return made

    def _decide(
        self, company: str, request: WriteOffRequest, *, refuse: bool, now: datetime
    ) -> dict[str, str]:
        if refuse:
            return _refusal("account_closed", "该户已销户 The account is closed")
        if _bill_key(company, request) in self._closed_bills:
            return _refusal("already_paid", "该账单已销账 The bill was written off before")
        serial = len(self._write_offs) + 1
        return {
            "result": "accepted",
            "utility_ref": f"{company[0].upper()}{now:%Y%m%d}{serial:08d}",
            "written_off_at": utc_text(now),
        }

    def _keep(self, write_off: WriteOff) -> None:
        self._write_offs[write_off.company, write_off.request.write_off_no] = write_off
        if write_off.answer["result"] == "accepted":
            key = _bill_key(write_off.company, write_off.request)
            self._parts_fen[key] = self._parts_fen.get(key, 0) + write_off.request.amount_fen
            if self._parts_fen[key] >= _asked_fen(write_off.company, write_off.request):
                self._closed_bills.add(key)


def _bill_key(company: str, request: WriteOffRequest) -> tuple[str, str, str, str]:
    return company, request.account_no, request.billing_month, request.bill_no


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


def _refusal(reason_code: str, reason: str) -> dict[str, str]:
    return {"result": "refused", "reason_code": reason_code, "reason": reason}


class CutShort(Response):
    """An answer that begins and never ends: the server closes the connection instead."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"256")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


def _books(request: Request) -> UtilityBooks:
    books: UtilityBooks = request.app.state.utility_books
    return books


def _company(company: str) -> str:
    if company not in COMPANIES:
        raise NotFound(f"no such company: {company[:32]}")
    return company


async def _signed_body(request: Request, company: str) -> bytes:
    """Return the body of a request whose signature holds."""
    body = await request.body()
    time_text = request.headers.get("x-citybill-time", "")
    expected = write_off_signature(
        request.app.state.options.secret_of(_company(company)),
        time_text,
        method=request.method,
        path=sent_path(request),
        body=body,
    )
    given = request.headers.get("x-citybill-signature", "")
    check_signature(expected, given, time_text, now=utc_now())
    return body


router = APIRouter(prefix="/utilities")
Books = Annotated[UtilityBooks, Depends(_books)]
CompanyCode = Annotated[str, Depends(_company)]
SignedBody = Annotated[bytes, Depends(_signed_body)]


@router.post("/{company}/write-offs")
async def write_off(
    company: CompanyCode, body: SignedBody, books: Books, request: Request
) -> Response:
    """Take one write-off, in the way the company is switched to."""
    asked = read_json(WriteOffRequest, body)
    fault = books.take_fault(company)
    if fault is Fault.ERROR:
        return JSONResponse({"code": "internal", "message": "switched to fail"}, status_code=500)
    made = books.receive(company, asked, refuse=fault is Fault.REFUSE, now=utc_now())
    if fault is Fault.SLOW:
        await asyncio.sleep(request.app.state.options.slow_for.total_seconds())
    return CutShort() if fault is Fault.SILENT else JSONResponse(made.answer)


@router.get("/{company}/write-offs/{write_off_no:path}", dependencies=[Depends(_signed_body)])
async def find_write_off(company: CompanyCode, write_off_no: str, books: Books) -> Response:
    """Give the answer the POST gave; faults never touch this."""
    known = books.find(company, write_off_no)
    if known is None:
        return JSONResponse({"result": "unknown"}, status_code=404)
    return JSONResponse(known.answer)


@router.get("/{company}/accounts/{account_no}/bills", dependencies=[Depends(_signed_body)])
async def open_bills(company: CompanyCode, account_no: str, books: Books) -> Response:
    """Say what is open on an account; a company switched to ``error`` says 500."""
    if books.fault(company).fault is Fault.ERROR:
        return JSONResponse({"code": "internal", "message": "switched to fail"}, status_code=500)
    number = _CITY.find(company, account_no)
    if number is None:
        return JSONResponse({"result": "unknown_account"}, status_code=404)
    bills = [
        {
            "billing_month": f"{bill.billing_month:%Y-%m}",
            "bill_no": bill.bill_no,
            "version": bill.version,
            "issued": bill.issued_on.isoformat(),
            "due": bill.due_on.isoformat(),
            "amount_fen": bill.amount_fen,
        }
        for bill in _issued_lately(company, number, billing_date(utc_now()))
        if not books.is_closed(company, account_no, f"{bill.billing_month:%Y-%m}", bill.bill_no)
    ]
    return JSONResponse({"result": "bills", "bills": bills} if bills else {"result": "none"})


def _issued_lately(company: str, number: int, today: date) -> list[Bill]:
    """Return what a household was asked for of the last two billing months."""
    account_no = _CITY.household(number).account_no(company)
    return [
        bill
        for back in (2, 1)
        for bill in _CITY.bills_of(number, add_months(today, -back))
        if bill.account_no == account_no and bill.amount_fen > 0 and bill.issued_on <= today
    ]


@router.post("/{company}/faults")
async def switch_fault(company: CompanyCode, books: Books, request: Request) -> Response:
    """Switch a company's behaviour, as JSON from a test or as a form from the page."""
    if not is_form(request):
        switch = read_json(FaultSwitch, await request.body())
        books.set_fault(company, switch)
        return JSONResponse(switch.model_dump(mode="json"))
    form = await request.form()
    times_text = str(form.get("times", ""))
    times = int(times_text) if times_text.isascii() and times_text.isdigit() else 0
    fault = Fault(str(form["fault"])) if form.get("fault") in list(Fault) else Fault.NONE
    books.set_fault(company, FaultSwitch(fault=fault, times=times or None))
    return RedirectResponse("/utilities", status_code=303)


@router.get("")
async def show_utilities(books: Books) -> Response:
    """Show what each company received, and its switch."""
    companies = [
        (company, books.fault(company.code), books.latest(company.code, 20))
        for company in COMPANIES.values()
    ]
    return page("utilities.html", companies=companies, faults=list(Fault))
