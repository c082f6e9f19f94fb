"""Telling a company over HTTP that a bill was paid, and asking it what is open.

Source: docs/wire/write-off.md.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import httpx

from core.errors import Invalid, UpstreamUnavailable
from providers.base import (
    FetchOutcome,
    FetchReply,
    OpenBill,
    WriteOffOrder,
    WriteOffOutcome,
    WriteOffReply,
)
from providers.formats.cells import date_reader

TIMEOUT: Final = httpx.Timeout(5.0, connect=2.0)  # read, write and pool 5 s
_PATIENCE_SECONDS: Final = 10  # for a whole answer, however slowly it drips
_ANSWER_LIMIT: Final = 64 * 1024
# The only failures that prove that no byte of the request was sent.
_NEVER_SENT: Final = (
    httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol,
)  # fmt: skip


class HttpUtilityClient:
    """One company's write-off API; see `UtilityClient`.

    Args:
        base_url: agreed with the company; it may carry a path.
        secret: agreed with the company, signs every request.
        clock: the aware present, for the signature.
    """

    def __init__(self, base_url: str, secret: str, clock: Callable[[], datetime]) -> None:
        self._secret = secret.encode()
        self._clock = clock
        self._http = httpx.Client(
            base_url=base_url,
            timeout=TIMEOUT,
            follow_redirects=False,
            trust_env=False,  # the company's address is not for a proxy of ours to learn
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )

    def close(self) -> None:
        self._http.close()

    def write_off(self, order: WriteOffOrder) -> WriteOffReply:
        body = json.dumps(
            {
                "write_off_no": order.write_off_no,
                "account_no": order.account_no,
                "bill_no": order.bill_no,
                "billing_month": f"{order.billing_month:%Y-%m}",
                "amount_fen": order.amount_fen,
                "paid_at": f"{order.paid_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            },
            ensure_ascii=False,
        ).encode()
        answer = self._ask("POST", "write-offs", body)
        return answer if isinstance(answer, WriteOffReply) else _reply(*answer)

    def query(self, write_off_no: str) -> WriteOffReply | None:
        answer = self._ask("GET", f"write-offs/{quote(write_off_no, safe='')}", b"")
        if isinstance(answer, WriteOffReply):
            return answer
        status, body = answer
        if status == httpx.codes.NOT_FOUND and _json(body).get("result") == "unknown":
            return None
        return _reply(status, body)

    def fetch(self, account_no: str) -> FetchReply:
        answer = self._ask("GET", f"accounts/{quote(account_no, safe='')}/bills", b"")
        if isinstance(answer, WriteOffReply):
            raise UpstreamUnavailable(f"{answer.reason}: try again later")
        status, body = answer
        said = _json(body)
        if status == httpx.codes.NOT_FOUND and said.get("result") == "unknown_account":
            return FetchReply(outcome=FetchOutcome.UNKNOWN_ACCOUNT)
        if status == httpx.codes.OK and said.get("result") == "none":
            return FetchReply(outcome=FetchOutcome.NONE)
        if status == httpx.codes.OK and said.get("result") == "bills":
            bills = _open_bills(said.get("bills"))
            if bills:
                return FetchReply(outcome=FetchOutcome.BILLS, bills=bills)
        raise UpstreamUnavailable(
            f"the company's answer cannot be read (HTTP status {status}): try again later"
        )

    def _ask(self, method: str, path: str, body: bytes) -> tuple[int, bytes] | WriteOffReply:
        """Send a signed request; answer its status and body, or UNKNOWN when none came.

        Raises:
            UpstreamUnavailable: it was never sent.
        """
        request = self._http.build_request(method, path, content=body)
        if body:
            request.headers["Content-Type"] = "application/json"
        request.headers.update(self._signature(request, body))
        give_up_at = time.monotonic() + _PATIENCE_SECONDS
        try:
            response = self._http.send(request, stream=True)
            try:
                return response.status_code, _read(response, give_up_at)
            finally:
                response.close()
        except _NEVER_SENT as wrong:
            raise UpstreamUnavailable(
                f"the company's system cannot be reached ({type(wrong).__name__}): try again later"
            ) from wrong
        except httpx.TimeoutException:
            return _unknown("the company did not answer in time")
        except httpx.RequestError as wrong:
            return _unknown(f"the company's answer broke off ({type(wrong).__name__})")

    def _signature(self, request: httpx.Request, body: bytes) -> dict[str, str]:
        moment = str(int(self._clock().timestamp()))
        path = request.url.raw_path.partition(b"?")[0].decode("ascii")
        signed = f"{moment}\n{request.method}\n{path}\n".encode() + body
        digest = hmac.new(self._secret, signed, hashlib.sha256).hexdigest()
        return {"X-CityBill-Time": moment, "X-CityBill-Signature": digest}


def _read(response: httpx.Response, give_up_at: float) -> bytes:
    """Read an answer of a sane size, within our patience; a longer one is cut and so unreadable."""
    body = bytearray()
    for part in response.iter_raw():
        body += part
        if len(body) > _ANSWER_LIMIT:
            return b""
        if time.monotonic() > give_up_at:
            raise httpx.ReadTimeout("the answer drips", request=response.request)
    return bytes(body)


def _json(body: bytes) -> dict[str, Any]:
    """Return the object an answer holds; an empty one when it holds none."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


_DAY, _MONTH = date_reader("yyyy-mm-dd"), date_reader("yyyy-mm")


def _open_bills(said: object) -> tuple[OpenBill, ...]:
    """Return the bills an answer lists; none when one of them cannot be read."""
    try:
        return tuple(_open_bill(one) for one in said) if isinstance(said, list) else ()
    except (Invalid, KeyError, TypeError, AttributeError):
        return ()


def _open_bill(said: dict[str, Any]) -> OpenBill:
    bill = OpenBill(
        billing_month=_MONTH(said["billing_month"]),
        bill_no=said["bill_no"],
        version=said["version"],
        issued_on=_DAY(said["issued"]),
        due_on=_DAY(said["due"]),
        amount_fen=said["amount_fen"],
    )
    if type(bill.bill_no) is not str or type(bill.version) is not int:
        raise TypeError("a bill is known by a text and a whole number")
    if type(bill.amount_fen) is not int or bill.amount_fen <= 0:
        raise TypeError("what is open is a whole number of fen above zero")
    return bill


def _reply(status: int, body: bytes) -> WriteOffReply:
    answer = _json(body)
    if status == httpx.codes.CONFLICT:
        return _unknown("the company knows this write-off number with another body (409)")
    if status != httpx.codes.OK:
        return _unknown(f"the company answered with HTTP status {status}")
    if answer.get("result") == "accepted" and isinstance(answer.get("utility_ref"), str):
        return WriteOffReply(outcome=WriteOffOutcome.ACCEPTED, utility_ref=answer["utility_ref"])
    if answer.get("result") == "refused":
        told = [answer.get("reason_code"), answer.get("reason")]
        reason = ": ".join(part for part in told if isinstance(part, str) and part)
        return WriteOffReply(outcome=WriteOffOutcome.REFUSED, reason=reason or None)
    return _unknown("the company's answer cannot be read")


def _unknown(reason: str) -> WriteOffReply:
    return WriteOffReply(outcome=WriteOffOutcome.UNKNOWN, reason=reason)
