"""A corner shop's till: it scans a bill, asks the city, takes the cash, and tells of it.

Source: docs/counter.md.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from core.clock import utc_now
from core.errors import Invalid, NotFound
from simulator.pages import page

router = APIRouter(prefix="/shop")
_KEPT = 30
_NOTHING = dict.fromkeys((
    "payable", "reason", "code", "detail", "state", "give_back", "return_no", "company",
    "account_no_masked", "billing_month",
))  # fmt: skip


@dataclass
class Till:
    """The shop's system; what it did last is forgotten with the process."""

    key: str
    secret: str
    city: httpx.Client
    done: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, barcode: str) -> dict[str, Any]:
        """Ask whether cash may be taken."""
        return self._send("GET", f"/api/v1/counter/bills/{quote(barcode)}")

    def tell(self, barcode: str, amount_fen: int) -> dict[str, Any]:
        """Tell of cash, under a number of its own; without an answer, tell again."""
        number = f"{utc_now():%y%m%d}{secrets.token_hex(6)}"
        cash = {
            "barcode": barcode, "amount_fen": amount_fen, "agent_txn_no": number,
            "paid_at": utc_now().isoformat(),
        }  # fmt: skip
        for _ in range(3):
            told = self._send("POST", "/api/v1/counter/payments", cash)
            if told["status_code"] != 0:
                break
        return told | {"agent_txn_no": number, "amount_fen": amount_fen}

    def give_back(self, number: str) -> dict[str, Any]:
        """Give cash back and say so."""
        return self._send("POST", f"/api/v1/counter/payments/{quote(number)}/reversal")

    def _send(self, method: str, target: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        content = b"" if body is None else json.dumps(body).encode()
        time_text, nonce = str(int(utc_now().timestamp())), secrets.token_hex(16)
        digest = hashlib.sha256(content).hexdigest()
        signed = "\n".join((time_text, nonce, method, target, digest))
        headers = {
            "X-CityBill-Key": self.key,
            "X-CityBill-Time": time_text,
            "X-CityBill-Nonce": nonce,
            "X-CityBill-Signature": hmac.new(
                self.secret.encode(), signed.encode(), "sha256"
            ).hexdigest(),
            "Content-Type": "application/json",
        }
        try:
            answer = self.city.request(method, target, content=content, headers=headers)
            told: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError) as lost:
            return _NOTHING | {"status_code": 0, "detail": f"no answer: {lost}"}
        return _NOTHING | told | {"status_code": answer.status_code}


@contextmanager
def running_shop(file: Path | None) -> Iterator[Till | None]:
    """Open the shop, if it has a key.

    Args:
        file: JSON of ``city_url``, ``key`` and ``secret``.
    """
    if file is None:
        yield None
        return
    told = json.loads(file.read_text())
    with httpx.Client(base_url=told["city_url"], timeout=10, trust_env=False) as city:
        yield Till(told["key"], told["secret"], city)


def _till(request: Request) -> Till:
    till: Till | None = request.app.state.till
    if till is None:
        raise NotFound("no shop is set up here", code="shop.none")
    return till


@router.get("")
def show(request: Request, barcode: str = "") -> Response:
    """Show the till; with a barcode, what the city says of it."""
    till = _till(request)
    digits = "".join(barcode.split())[:40]
    told = till.ask(digits) if digits else None
    return page("shop.html", barcode=digits, told=told, done=till.done)


@router.post("/cash")
async def cash(request: Request) -> Response:
    """Take cash."""
    form = await request.form()
    till, barcode = _till(request), str(form.get("barcode", ""))
    amount = str(form.get("amount_fen", ""))
    if not (amount.isascii() and amount.isdecimal() and len(amount) <= 12):
        raise Invalid("amount_fen is a whole number", code="request.malformed")
    till.done.insert(0, till.tell(barcode, int(amount)))
    del till.done[_KEPT:]
    return RedirectResponse("/shop", status_code=303)


@router.post("/back")
async def back(request: Request) -> Response:
    """Give cash back."""
    till, number = _till(request), str((await request.form()).get("agent_txn_no", ""))
    answer = till.give_back(number)
    till.done[:] = [one | answer if one["agent_txn_no"] == number else one for one in till.done]
    return RedirectResponse("/shop", status_code=303)
