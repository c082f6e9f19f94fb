"""The client of every company whose API is ordinary enough to be declared: docs/live-apis.md."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, NamedTuple
from uuid import uuid4

import httpx

from core.clock import BILLING_ZONE
from core.errors import Invalid, NotFound, UpstreamUnavailable
from core.masking import mask_name
from core.money import yuan_text
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
from providers.clients.declarations import (
    BillColumns,
    Call,
    Declaration,
    Query,
    Reversal,
    WriteOff,
    load_declaration,
)
from providers.clients.http import ANSWER_LIMIT, Answered, Unanswered, Wire
from providers.clients.replies import (
    NO_LISTS,
    TAKES_NONE_BACK,
    confirmation_of,
    fetched,
    no_word,
    of_the_same_amount,
    unavailable,
    unknown,
    validated_by,
)
from providers.clients.signing import authenticate
from providers.clients.templates import Values, fill, fill_path, form_body, json_body
from providers.formats.cells import DateFormat, amount_reader, date_reader, read_version

Clock = Callable[[], datetime]
APIS: Final = Path(__file__).parents[1] / "apis"
OWN_PROTOCOL: Final = APIS / "citybill.toml"
_DAYS: Final[dict[DateFormat, str]] = {
    "yyyymmdd": "%Y%m%d", "yyyy-mm-dd": "%Y-%m-%d", "yyyyddd": "%Y%j", "yyyymm": "%Y%m",
    "yyyy-mm": "%Y-%m",
}  # fmt: skip
_CHECKS: Final[dict[str, ValidateOutcome]] = {one.value: one for one in ValidateOutcome}
_NO_BILLS: Final = {
    "none": FetchOutcome.NONE,
    "unknown_account": FetchOutcome.UNKNOWN_ACCOUNT,
    "several_accounts": FetchOutcome.SEVERAL_ACCOUNTS,
}


class Heard(NamedTuple):
    """An answer, and what the declaration says it means; ``means`` is blank for anything else."""

    status: int
    answer: Answer | None
    means: str
    reason: str


class DeclaredClient:
    """One company's API; see `UtilityClient`.

    Args:
        declaration: what it speaks.
        base_url: agreed with the company; it may carry a path.
        secret: agreed with the company.
        clock: the aware present, for signatures and times.
    """

    def __init__(self, declaration: Declaration, base_url: str, secret: str, clock: Clock) -> None:
        self._says = declaration
        self._api = declaration.api
        self._secret = secret
        self._clock = clock
        self._wire = Wire(base_url, {"Accept": f"application/{self._api.format}"})

    def close(self) -> None:
        self._wire.close()

    def fetch(self, account_no: str) -> FetchReply:
        call = self._says.fetch
        heard = self._hear(call, {"account_no": account_no})
        if heard.means in _NO_BILLS and not _lists_bills(heard, call.bills):
            return FetchReply(outcome=_NO_BILLS[heard.means])
        if heard.means in {"bills", "bills_or_none"} and heard.answer is not None:
            reply = fetched(self._bills(heard.answer, call.bills))
            if reply.bills or heard.means == "bills_or_none":
                return reply
        raise _no_use(heard)

    def validate(self, account_no: str, holder_hint: str | None = None) -> ValidateReply:
        call = self._says.validation
        if call is None:
            return validated_by(self.fetch(account_no))
        heard = self._hear(call, {"account_no": account_no, "holder_hint": holder_hint or ""})
        if heard.means not in _CHECKS:
            raise _no_use(heard)
        holder = heard.answer.text(call.holder) if heard.answer and call.holder else None
        if holder and "*" not in holder:
            holder = mask_name(holder)
        return ValidateReply(outcome=_CHECKS[heard.means], holder_masked=holder or None)

    def write_off(self, order: WriteOffOrder) -> WriteOffReply:
        values: dict[str, str | int] = {
            "write_off_no": order.write_off_no,
            "account_no": order.account_no,
            "bill_no": order.bill_no,
            "billing_month": order.billing_month.strftime(_DAYS[self._api.dates.month]),
            "amount_fen": order.amount_fen,
            "amount_yuan": yuan_text(order.amount_fen),
            "paid_at": self._moment(order.paid_at),
        }
        heard = self._ask(self._says.write_off, values)
        if isinstance(heard, Unanswered):
            return no_word(heard)
        return of_the_same_amount(self._judged(self._says.write_off, heard), order.amount_fen)

    def query(self, write_off_no: str) -> WriteOffReply | None:
        heard = self._ask(self._says.query, {"write_off_no": write_off_no})
        if isinstance(heard, Unanswered):
            return no_word(heard)
        return None if heard.means == "never_seen" else self._judged(self._says.query, heard)

    @property
    def takes_back(self) -> bool:
        return self._says.reversal is not None

    def reverse_write_off(self, order: ReversalOrder) -> WriteOffReply:
        call = self._says.reversal
        if call is None:
            raise NotFound(TAKES_NONE_BACK, code="utility.no_reversal")
        values: dict[str, str | int] = asdict(order)
        heard = self._ask(call, values | {"amount_yuan": yuan_text(order.amount_fen)})
        if isinstance(heard, Unanswered):
            return no_word(heard)
        return of_the_same_amount(self._judged(call, heard), order.amount_fen)

    @property
    def gives_confirmations(self) -> bool:
        return self._says.confirmations is not None

    def fetch_confirmations(self, day: date) -> ConfirmationFetch:
        call = self._says.confirmations
        if call is None:
            raise NotFound(NO_LISTS, code="utility.no_confirmations")
        values = {"day": day.strftime(_DAYS[self._api.dates.day]), "iso_day": day.isoformat()}
        said = self._wire.ask(self._prepared(call, values), for_file=True)
        if isinstance(said, Unanswered):
            return confirmation_of(said)
        heard = self._understood(call, said, values)
        says_result = heard.answer is not None and heard.answer.has(call.result)
        if heard.means == "ready" and (says_result or said.media_type != call.file_type):
            return confirmation_of(said, reason=heard.reason)
        return confirmation_of(said, heard.means, heard.reason)

    def _hear(self, call: Call, values: Values) -> Heard:
        """Ask what may be asked again. Raises UpstreamUnavailable when no answer comes."""
        heard = self._ask(call, values)
        if isinstance(heard, Unanswered):
            raise unavailable(heard.reason, company_down=heard.company_down)
        return heard

    def _ask(self, call: Call, values: Values) -> Heard | Unanswered:
        said = self._wire.ask(self._prepared(call, values))
        return said if isinstance(said, Unanswered) else self._understood(call, said, values)

    def _prepared(self, call: Call, values: Values) -> httpx.Request:
        now = self._clock()
        common: dict[str, str | int] = {
            "time": str(int(now.timestamp())),
            "moment": self._moment(now),
            "request_no": uuid4().hex,
        }
        return self._request(call, {**values, **common}, common)

    def _request(self, call: Call, values: Values, common: Values) -> httpx.Request:
        body, content_type = _body(call, values)
        request = self._wire.request(
            call.method,
            fill_path(call.path, values),
            query={
                name: text
                for name, template in call.query.items()
                if (text := fill(template, values))
            },
            body=body,
            content_type=content_type,
        )
        for name, text in self._api.headers.items():
            request.headers[name] = fill(text, common)
        authenticate(request, body, self._api.authentication, self._secret, common)
        return request

    def _understood(self, call: Call, said: Answered, values: Values) -> Heard:
        answer = None
        if len(said.body) <= ANSWER_LIMIT:
            answer = read_answer(said.body, self._api.format)
        result = answer.said(call.result) if answer is not None and call.result else None
        told = [answer.word(path) for path in call.reason] if answer is not None else []
        reason = next((part for part in told if part), "")
        for path, template in call.echo.items():
            if answer is None or not answer.has(path):
                continue
            if answer.word(path) != fill(template, values):
                return Heard(said.status, answer, "", "the answer is about something else")
        for meaning in call.results:
            if meaning.fits(said.status, result, answer):
                return Heard(said.status, answer, meaning.means, meaning.because or reason)
        if said.status >= httpx.codes.INTERNAL_SERVER_ERROR:
            return Heard(said.status, answer, "down", "")
        return Heard(said.status, answer, "", "")

    def _judged(self, call: WriteOff | Query | Reversal, heard: Heard) -> WriteOffReply:
        """Return what a company did to a write-off; what does not hold together is UNKNOWN."""
        if heard.means in {"refused", "paid_elsewhere"}:
            return WriteOffReply(
                outcome=WriteOffOutcome.REFUSED, reason=heard.reason or None,
                paid_elsewhere=heard.means == "paid_elsewhere",
            )  # fmt: skip
        if heard.means != "accepted" or heard.answer is None:
            return unknown(_said_instead(heard), company_down=heard.means == "down")
        receipt = heard.answer.word(call.receipt)
        if not receipt or not receipt.strip():
            return unknown("the company says yes without a receipt number")
        amount_fen = None
        if call.amount is not None and heard.answer.has(call.amount):
            try:
                amount_fen = amount_reader(self._api.amount_unit)(
                    heard.answer.word(call.amount) or ""
                )
            except Invalid:
                return unknown("the amount in the company's answer cannot be read")
        return WriteOffReply(
            outcome=WriteOffOutcome.ACCEPTED, utility_ref=receipt, amount_fen=amount_fen
        )

    def _bills(self, answer: Answer, columns: BillColumns) -> list[OpenBill] | None:
        """Return the bills an answer lists; None when one of them cannot be read."""
        rows = answer.rows(columns.rows)
        try:
            return None if rows is None else [self._bill(row, columns) for row in rows]
        except Invalid:
            return None

    def _bill(self, row: Answer, columns: BillColumns) -> OpenBill:
        day, month = date_reader(self._api.dates.day), date_reader(self._api.dates.month)
        bill_no = row.text(columns.bill_no)
        amount_fen = amount_reader(self._api.amount_unit)(row.word(columns.amount) or "")
        if not bill_no or amount_fen <= 0:
            raise Invalid("an open bill has a number, and more than nothing is open on it")
        if columns.version and row.has(columns.version) and not row.word(columns.version):
            raise Invalid("a version is a whole number")
        return OpenBill(
            billing_month=month(row.text(columns.billing_month) or "").replace(day=1),
            bill_no=bill_no,
            version=read_version(row.word(columns.version) or "") if columns.version else 1,
            issued_on=day(row.text(columns.issued) or ""),
            due_on=day(row.text(columns.due) or ""),
            amount_fen=amount_fen,
        )

    def _moment(self, moment: datetime) -> str:
        match self._api.dates.moment:
            case "iso":
                return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
            case "unix":
                return str(int(moment.timestamp()))
            case "yyyymmddhhmmss":
                return f"{moment.astimezone(BILLING_ZONE):%Y%m%d%H%M%S}"


def speaks_citybill(base_url: str, secret: str, clock: Clock) -> DeclaredClient:
    """Return the client of a company that keeps to docs/wire/write-off.md."""
    return DeclaredClient(load_declaration(OWN_PROTOCOL), base_url, secret, clock)


def _body(call: Call, values: Values) -> tuple[bytes, str]:
    """Return a question's body and its content type; both blank when it has none."""
    document = call.document
    if call.json_body is not None:
        return json_body(call.json_body, values), "application/json"
    if document is not None and call.xml_in is None:
        return document.body(values), "application/xml; charset=UTF-8"
    if call.form is None and document is None:
        return b"", ""
    form = {name: fill(text, values) for name, text in (call.form or {}).items()}
    if document is not None and call.xml_in is not None:
        form[call.xml_in] = document.body(values).decode()
    return form_body(form), "application/x-www-form-urlencoded"


def _lists_bills(heard: Heard, columns: BillColumns) -> bool:
    """Tell whether an answer that says there is nothing lists bills all the same."""
    return heard.answer is not None and bool(heard.answer.rows(columns.rows))


def _said_instead(heard: Heard) -> str:
    """Say why an answer about a write-off is neither yes nor no."""
    if heard.reason:
        return heard.reason
    if heard.status != httpx.codes.OK:
        return f"the company answered with HTTP status {heard.status}"
    return "the company's answer cannot be read"


def _no_use(heard: Heard) -> UpstreamUnavailable:
    if heard.means == "down":
        told = heard.reason or f"HTTP status {heard.status}"
        return unavailable(f"the company's system is down ({told})", company_down=True)
    return unavailable(
        f"the company's answer cannot be read (HTTP status {heard.status})", company_down=False
    )
