"""City Telecom's live API. It needs code: it is signed in to, and its JSON travels inside JSON.

Source: docs/wire/telecom-api.md.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from threading import Lock
from typing import Final

import httpx

from core.errors import Invalid
from core.masking import mask_name
from core.money import parse_fen
from providers.base import (
    ConfirmationFetch,
    FetchOutcome,
    FetchReply,
    OpenBill,
    ReversalOrder,
    ValidateOutcome,
    ValidateReply,
    WriteOffOrder,
    WriteOffOutcome,
    WriteOffReply,
)
from providers.clients.answers import Answer, read_answer
from providers.clients.http import ANSWER_LIMIT, Answered, Unanswered, Wire
from providers.clients.replies import (
    confirmation_of,
    fetched,
    no_word,
    of_the_same_amount,
    unavailable,
    unknown,
)
from providers.formats.cells import date_reader, read_version

_MONTH = date_reader("yyyy-mm")
_DAY = re.compile(r"([0-9]{4})/([0-9]{1,2})/([0-9]{1,2})")
_OK, _NONE, _DECIDING, _NEVER_SEEN, _TOKEN, _BUSY = "1", "0", "5", "-40", "-401", "-9"
_FETCHES: Final = {
    _NONE: FetchOutcome.NONE,
    "-1": FetchOutcome.UNKNOWN_ACCOUNT,
    "-2": FetchOutcome.SEVERAL_ACCOUNTS,
}
_CHECKS: Final = {
    _OK: ValidateOutcome.KNOWN,
    "-1": ValidateOutcome.UNKNOWN_ACCOUNT,
    "-2": ValidateOutcome.SEVERAL_ACCOUNTS,
    "-3": ValidateOutcome.CLOSED,
}
_PAID_BEFORE: Final = "-32"
_LISTS: Final[dict[tuple[int, str | None], str]] = {
    (404, "-41"): "not_yet",
    (200, _NONE): "no_data",
}
_WORKBOOK: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_REFUSALS: Final = {
    "-31": "the account is closed",
    _PAID_BEFORE: "the bill was paid before this payment arrived",
    "-33": "another amount than the bill asks for",
    "-34": "the company does not know the bill",
    "-36": "the company has written nothing off under this number",
    "-37": "the company has taken it back already",
}


class Told:
    """One answer, unwrapped: its code, and the object that was inside as text."""

    def __init__(self, answer: Answered) -> None:
        outer = read_answer(answer.body, "json") if answer.status == httpx.codes.OK else None
        inside = outer.text("data") if outer is not None else None
        self.status = answer.status
        self.code = outer.word("code") if outer is not None else None
        self.data: Answer | None = read_answer((inside or "").encode(), "json")

    @property
    def is_down(self) -> bool:
        return self.code == _BUSY or self.status >= httpx.codes.INTERNAL_SERVER_ERROR

    def is_about(self, name: str, value: str) -> bool:
        """Tell whether the answer does not speak of something else."""
        return self.data is None or not self.data.has(name) or self.data.word(name) == value


class TelecomClient:
    """City Telecom; see `UtilityClient`."""

    def __init__(self, base_url: str, secret: str, clock: Callable[[], datetime]) -> None:
        self._wire = Wire(base_url, {"Accept": "application/json"})
        self._secret = secret
        self._token: str | None = None
        self._signing_in = Lock()

    def close(self) -> None:
        self._wire.close()

    def fetch(self, account_no: str) -> FetchReply:
        told = self._heard("bill.list", account=account_no)
        if not told.is_about("account", account_no):
            raise _no_use(told)
        rows = told.data.rows("bills") if told.data is not None else None
        if told.code in _FETCHES and not rows:
            return FetchReply(outcome=_FETCHES[told.code])
        if told.code == _OK and rows:
            return fetched(_bills(rows))
        raise _no_use(told)

    def validate(self, account_no: str, holder_hint: str | None = None) -> ValidateReply:
        told = self._heard("account.check", account=account_no, holder=holder_hint or "")
        if told.code not in _CHECKS or not told.is_about("account", account_no):
            raise _no_use(told)
        holder = told.data.text("holder") if told.data is not None else None
        if holder and "*" not in holder:
            holder = mask_name(holder)
        return ValidateReply(outcome=_CHECKS[told.code], holder_masked=holder or None)

    def write_off(self, order: WriteOffOrder) -> WriteOffReply:
        told = self._ask(
            "payment.create",
            order=order.write_off_no,
            account=order.account_no,
            bill=order.bill_no,
            month=f"{order.billing_month:%Y-%m}",
            fen=order.amount_fen,
            paid=f"{order.paid_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        )
        if isinstance(told, Unanswered):
            return no_word(told)
        return of_the_same_amount(_judged(told, order.write_off_no), order.amount_fen)

    def query(self, write_off_no: str) -> WriteOffReply | None:
        told = self._ask("payment.find", order=write_off_no)
        if isinstance(told, Unanswered):
            return no_word(told)
        return None if told.code == _NEVER_SEEN else _judged(told, write_off_no)

    @property
    def takes_back(self) -> bool:
        return True

    def reverse_write_off(self, order: ReversalOrder) -> WriteOffReply:
        told = self._ask(
            "payment.reverse",
            reversal=order.reversal_no,
            order=order.write_off_no,
            account=order.account_no,
            bill=order.bill_no,
            fen=order.amount_fen,
        )
        if isinstance(told, Unanswered):
            return no_word(told)
        return of_the_same_amount(_judged(told, order.write_off_no), order.amount_fen)

    @property
    def gives_confirmations(self) -> bool:
        return True

    def fetch_confirmations(self, day: date) -> ConfirmationFetch:
        said = self._get(f"confirmations/{day.isoformat()}", self._token or self._sign_in())
        if _code(said) == _TOKEN:
            said = self._get(f"confirmations/{day.isoformat()}", self._sign_in())
        if isinstance(said, Unanswered):
            return confirmation_of(said)
        if said.status == httpx.codes.OK and said.media_type == _WORKBOOK:
            return confirmation_of(said, "ready")
        code = _code(said)
        means = "down" if code == _BUSY else _LISTS.get((said.status, code), "")
        return confirmation_of(said, means)

    def _get(self, path: str, token: str) -> Answered | Unanswered:
        request = self._wire.request("GET", path)
        request.headers["Authorization"] = f"Token {token}"
        return self._wire.ask(request, for_file=True)

    def _heard(self, service: str, **data: str | int) -> Told:
        told = self._ask(service, **data)
        if isinstance(told, Unanswered):
            raise unavailable(told.reason, company_down=told.company_down)
        return told

    def _ask(self, service: str, **data: str | int) -> Told | Unanswered:
        """Ask once, and again if the company has forgotten who we are: then it did nothing."""
        asked = {"service": service, "data": json.dumps(data, ensure_ascii=False)}
        for token in (self._token or self._sign_in(), None):
            said = self._send("invoke", asked, token or self._sign_in())
            if isinstance(said, Unanswered):
                return said
            told = Told(said)
            if told.code != _TOKEN:
                break
        return told

    def _sign_in(self) -> str:
        """Fetch a token. Raises UpstreamUnavailable: whatever was to be asked never left us."""
        with self._signing_in:
            said = self._send("token", {"client": "citybill", "secret": self._secret})
            if isinstance(said, Unanswered):
                raise unavailable(f"no token: {said.reason}", company_down=said.company_down)
            answer = read_answer(said.body, "json") if said.status == httpx.codes.OK else None
            token = answer.text("token") if answer is not None else None
            if not token or not token.isascii() or not token.isprintable():
                raise unavailable(
                    f"the company gives no token (HTTP status {said.status})",
                    company_down=said.status >= httpx.codes.INTERNAL_SERVER_ERROR,
                )
            self._token = token
            return token

    def _send(
        self, path: str, asked: dict[str, str], token: str | None = None
    ) -> Answered | Unanswered:
        try:
            body = json.dumps(asked, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Invalid("half of a character cannot be sent: write whole characters") from None
        request = self._wire.request("POST", path, body=body, content_type="application/json")
        if token is not None:
            request.headers["Authorization"] = f"Token {token}"
        return self._wire.ask(request)


def _judged(told: Told, write_off_no: str) -> WriteOffReply:
    if not told.is_about("order", write_off_no):
        return unknown("the answer is about something else")
    if told.code in _REFUSALS:
        return WriteOffReply(
            outcome=WriteOffOutcome.REFUSED, reason=_REFUSALS[told.code],
            paid_elsewhere=told.code == _PAID_BEFORE,
        )  # fmt: skip
    if told.code == _DECIDING:
        return unknown("the company has not decided yet")
    if told.code != _OK or told.data is None:
        if told.status != httpx.codes.OK:
            return unknown(
                f"the company answered with HTTP status {told.status}", company_down=told.is_down
            )
        return unknown("the company's answer cannot be read", company_down=told.is_down)
    receipt = told.data.text("flow")
    if not receipt or not receipt.strip():
        return unknown("the company says yes without a receipt number")
    try:
        taken_fen = parse_fen(told.data.word("fen") or "") if told.data.has("fen") else None
    except Invalid:
        return unknown("the amount in the company's answer cannot be read")
    return WriteOffReply(
        outcome=WriteOffOutcome.ACCEPTED, utility_ref=receipt, amount_fen=taken_fen
    )


def _code(said: Answered | Unanswered) -> str | None:
    """Return the code of an answer about a list; a list itself has none."""
    if isinstance(said, Unanswered) or said.media_type == _WORKBOOK:
        return None
    answer = read_answer(said.body[:ANSWER_LIMIT], "json")
    return answer.word("code") if answer is not None else None


def _bills(rows: list[Answer]) -> list[OpenBill] | None:
    try:
        return [_bill(row) for row in rows]
    except (Invalid, ValueError):
        return None


def _bill(row: Answer) -> OpenBill:
    bill_no, amount_fen = row.text("bill"), parse_fen(row.word("fen") or "")
    if not bill_no or amount_fen <= 0:
        raise Invalid("an open bill has a number, and more than nothing is open on it")
    return OpenBill(
        billing_month=_MONTH(row.text("month") or ""),
        bill_no=bill_no,
        version=read_version(row.word("version") or ""),
        issued_on=_day(row.text("issued")),
        due_on=_day(row.text("due")),
        amount_fen=amount_fen,
    )


def _day(text: str | None) -> date:
    """Read a day as 2026/3/2."""
    match = _DAY.fullmatch(text or "")
    if match is None:
        raise Invalid("a day is written 2026/3/2")
    return date(*map(int, match.groups()))


def _no_use(told: Told) -> Exception:
    if told.is_down:
        return unavailable("the company's system is down", company_down=True)
    return unavailable(
        f"the company's answer cannot be read (HTTP status {told.status})", company_down=False
    )
