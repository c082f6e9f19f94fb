"""The bank that collects from accounts, over HTTP: its signed interface, and its page.

Source: docs/wire/bank-debit.md.
"""

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from threading import Lock
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from core.clock import billing_date, utc_now
from core.errors import Invalid
from simulator.bank_books import CODES, BankBooks, BankMandate, Does, Entry, MandateRequest
from simulator.counter import CutShort
from simulator.journal import Journal
from simulator.pages import page
from simulator.signatures import check_signature
from simulator.wire import is_form, read_json, sent_path


class Bank:
    """The bank's books, and the faults that wait; a restart forgets those."""

    def __init__(self, books: BankBooks) -> None:
        self.books = books
        self._lock = Lock()
        self._faults: dict[str, str] = {}

    def spoil(self, name: str, fault: str) -> None:
        with self._lock:
            self._faults[name] = fault

    def take_fault(self, name: str, *wanted: str) -> str | None:
        """Return the fault that waits for an order or batch, if it is one of these; once."""
        with self._lock:
            return self._faults.pop(name) if self._faults.get(name) in wanted else None


@contextmanager
def running_bank(data_dir: Path) -> Iterator[Bank]:
    """Open the bank's memory, and close it again."""
    journal = Journal(data_dir / "bank.jsonl")
    try:
        yield Bank(BankBooks(journal))
    finally:
        journal.close()


class FaultRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    order_no: str = ""
    batch_no: str = ""
    fault: Literal["silent", "error", "totals"]


class ReturnRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    code: Literal[CODES]  # type: ignore[valid-type]
    on: date | None = Field(default=None, strict=False)


class DoesRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    does: Does = Field(strict=False)


def _bank(request: Request) -> Bank:
    bank: Bank = request.app.state.bank
    return bank


async def _signed_body(request: Request) -> bytes:
    """Return the body of a request whose signature holds."""
    body = await request.body()
    time_text = request.headers.get("x-bank-time", "")
    signed = "\n".join(
        (time_text, request.method, sent_path(request), hashlib.sha256(body).hexdigest())
    )
    secret = request.app.state.options.secret
    expected = hmac.new(secret.encode(), signed.encode(), "sha256").hexdigest()
    given = request.headers.get("x-bank-signature", "")
    check_signature(expected, given, time_text, now=utc_now())
    return body


router = APIRouter(prefix="/bank")
TheBank = Annotated[Bank, Depends(_bank)]
SignedBody = Annotated[bytes, Depends(_signed_body)]
_signed = [Depends(_signed_body)]


def _answer(bank: Bank, name: str, facts: dict[str, object], status_code: int = 200) -> Response:
    """Answer, or lose the answer as somebody has asked for."""
    match bank.take_fault(name, "silent", "error"):
        case "silent":
            return CutShort()
        case "error":
            return JSONResponse({"code": "internal", "message": "switched to fail"}, 500)
    return JSONResponse(facts, status_code)


def _mandate_facts(mandate: BankMandate, request: Request) -> dict[str, object]:
    base_url = request.app.state.options.public_url or str(request.base_url).rstrip("/")
    return {
        "mandate_no": mandate.mandate_no,
        "mandate_ref": mandate.mandate_ref,
        "state": mandate.state,
        "sign_url": f"{base_url}/bank/sign/{mandate.mandate_no}",
    }


@router.post("/mandates")
async def sign(body: SignedBody, bank: TheBank, request: Request) -> Response:
    """Take in a mandate; its payer agrees at ``sign_url``."""
    mandate, is_new = bank.books.sign(read_json(MandateRequest, body))
    return JSONResponse(_mandate_facts(mandate, request), 201 if is_new else 200)


@router.get("/mandates/{mandate_no}", dependencies=_signed)
async def query_mandate(mandate_no: str, bank: TheBank, request: Request) -> Response:
    """Tell how a mandate stands."""
    return JSONResponse(_mandate_facts(bank.books.mandate(mandate_no), request))


@router.post("/mandates/{mandate_no}/end", dependencies=_signed)
async def end_mandate(mandate_no: str, bank: TheBank, request: Request) -> Response:
    """End a mandate."""
    return JSONResponse(_mandate_facts(bank.books.decide(mandate_no, Does.END), request))


@router.get("/debtors/{mandate_ref}", dependencies=_signed)
async def query_debtor(mandate_ref: str, bank: TheBank, request: Request) -> Response:
    """Tell how a mandate stands, by the bank's own name of it."""
    mandate = bank.books.debtor(mandate_ref)
    return _answer(bank, mandate_ref, _mandate_facts(mandate, request))


@router.put("/batches/{batch_no}")
async def take_batch(batch_no: str, body: SignedBody, bank: TheBank) -> Response:
    """Take in a batch, whole or not at all."""
    if bank.take_fault("*", "totals") or bank.take_fault(batch_no, "totals"):
        raise Invalid("the totals are not those of the entries", code="batch.totals")
    batch, is_new = bank.books.take(batch_no, body)
    facts = {"batch_no": batch_no, "entries": batch.entries, "total_fen": batch.total_fen}
    return _answer(bank, batch_no, dict(facts), 201 if is_new else 200)


@router.get("/batches/{batch_no}", dependencies=_signed)
async def query_batch(batch_no: str, bank: TheBank) -> Response:
    """Tell whether the bank has a batch."""
    batch = bank.books.batch(batch_no)
    facts = {"batch_no": batch_no, "entries": batch.entries, "total_fen": batch.total_fen}
    return JSONResponse(facts)


@router.get("/entries/{order_no}", dependencies=_signed)
async def query_entry(order_no: str, bank: TheBank) -> Response:
    """Tell whether an order came back."""
    return _answer(bank, order_no, _entry_facts(bank.books.entry(order_no)))


def _entry_facts(entry: Entry) -> dict[str, object]:
    return {
        "order_no": entry.order_no,
        "batch_no": entry.batch_no,
        "amount_fen": entry.amount_fen,
        "state": "taken" if entry.code is None else "returned",
        "code": entry.code,
        "returned_at": entry.returned_on.isoformat() if entry.returned_on else None,
    }


@router.get("/returns", dependencies=_signed)
async def list_returns(bank: TheBank) -> Response:
    """List every file of returns."""
    return JSONResponse({"files": bank.books.files()})


@router.get("/returns/{file_no}", dependencies=_signed)
async def returns(file_no: str, bank: TheBank) -> Response:
    """Give a file of returns."""
    return Response(bank.books.file(file_no), media_type="text/plain")


@router.get("/settlements/{day_text}.csv", dependencies=_signed)
async def settlement(day_text: str, bank: TheBank) -> Response:
    """Give the settlement file of a day that is over."""
    try:
        day = date.fromisoformat(day_text)
    except ValueError as wrong:
        raise Invalid("the day is yyyy-mm-dd") from wrong
    return Response(bank.books.day(day, now=utc_now()), media_type="text/csv; charset=utf-8")


@router.post("/faults", status_code=204)
async def set_fault(request: Request, bank: TheBank) -> Response:
    """Have something go wrong once, for training."""
    asked = read_json(FaultRequest, await request.body())
    bank.spoil(asked.batch_no or asked.order_no, asked.fault)
    return Response(status_code=204)


@router.post("/entries/{order_no}/return")
async def send_back(order_no: str, request: Request, bank: TheBank) -> Response:
    """Return an order, as a payer without money makes a bank do."""
    if is_form(request):
        code = str((await request.form()).get("code"))
        asked = read_json(ReturnRequest, f'{{"code": "{code[:4]}"}}'.encode())
    else:
        asked = read_json(ReturnRequest, await request.body())
    on = asked.on or billing_date(utc_now())
    entry = bank.books.send_back(order_no, asked.code, on=on)
    if is_form(request):
        return RedirectResponse("/bank", status_code=303)
    return JSONResponse(_entry_facts(entry))


@router.post("/debtors/{mandate_ref}")
async def act(mandate_ref: str, request: Request, bank: TheBank) -> Response:
    """Do what a payer does at the bank."""
    asked = read_json(DoesRequest, await request.body())
    mandate = bank.books.decide(bank.books.debtor(mandate_ref).mandate_no, asked.does)
    return JSONResponse(_mandate_facts(mandate, request))


@router.get("/sign/{mandate_no}")
async def show_mandate(mandate_no: str, bank: TheBank) -> Response:
    """Show the payer what they are asked to agree to, or how it stands."""
    return page("bank_sign.html", mandate=bank.books.mandate(mandate_no))


@router.post("/sign/{mandate_no}")
async def choose(mandate_no: str, bank: TheBank, request: Request) -> Response:
    """Do what the payer pressed and send the browser back to the shop."""
    said = (await request.form()).get("choice")
    if said not in list(Does):
        raise Invalid("choice is one of: " + ", ".join(Does), code="request.malformed")
    mandate = bank.books.decide(mandate_no, Does(str(said)))
    return RedirectResponse(mandate.return_url, status_code=303)


@router.get("")
async def show_bank(bank: TheBank) -> Response:
    """Show mandates and orders; each order can be made to come back."""
    return page(
        "bank.html", mandates=bank.books.mandates()[:50], entries=bank.books.entries()[:50],
        codes=CODES,
    )  # fmt: skip
