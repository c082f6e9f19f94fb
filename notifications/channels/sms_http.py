"""Text messages by any company whose HTTP API can be declared: docs/notices.md."""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl
from uuid import uuid4

import httpx

from core.clock import utc_now
from core.errors import Invalid, NotSignedIn, Upstream
from core.settings import Settings
from notifications.channels.base import Fate, Message, Receipt, Silent, Taken, TextReply
from notifications.channels.http import Http, Said
from notifications.channels.sms_declaration import (
    TAKEN,
    TEMPLATE,
    Declaration,
    Receipts,
    Replies,
    Signature,
)
from notifications.channels.texting import (
    Meant,
    beijing_moment,
    check_token,
    configured,
    phone_number,
    refusal,
    reply_number,
)
from providers.clients.answers import Answer, JsonAnswer, read_answer, read_list
from providers.clients.declarations import read_toml
from providers.clients.signing import authenticate
from providers.clients.templates import fill, fill_bytes, form_body, json_body

_WHO: Final = "the SMS company"


class SmsHttp:
    """One company.

    Args:
        declaration: what it speaks.
        url: the whole address a message is sent to.
        secret: the password, token or key agreed with it.
        receipt_secret: what it signs receipts with, if it does.
        receipt_token: what the address it calls ends in, if it signs nothing.
    """

    code, channel = "sms_http", "sms"

    def __init__(
        self,
        declaration: Declaration,
        url: str,
        *,
        secret: str = "",
        receipt_secret: str = "",
        receipt_token: str = "",
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._says, self._url, self._clock = declaration, url, clock
        self._secret, self._receipt_secret, self._token = secret, receipt_secret, receipt_token
        self._http = Http(_WHO)
        self.repeats_safely = declaration.repeats_safely

    def close(self) -> None:
        self._http.close()

    def send(self, message: Message) -> Taken:
        values = {
            "message_id": message.message_id,
            "phone": phone_number(message.address),
            "text": message.body,
            "secret": self._secret,
        }
        if message.template is not None:
            values |= {
                "template_id": message.template.id,
                "template_values": json.dumps(dict(message.template.values), ensure_ascii=False),
            }
        elif self._says.send.places & TEMPLATE:
            raise Upstream(
                f"{_WHO} sends approved templates only: give these words their number there"
            )
        return self._taken(self._http.ask(self._request(values)))

    def _request(self, values: Mapping[str, str]) -> httpx.Request:
        call, now = self._says.send, self._clock()
        common = {
            "time": str(int(now.timestamp())),
            "moment": f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "request_no": uuid4().hex,
        }
        filled = {**values, **common}
        headers = {name: fill(text, filled) for name, text in call.headers.items()}
        body = b""
        if call.json_body is not None:
            body, headers["Content-Type"] = json_body(call.json_body, filled), "application/json"
        elif call.form is not None:
            body = form_body({name: fill(text, filled) for name, text in call.form.items()})
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        query = {name: fill(text, filled) for name, text in call.query.items()}
        request = self._http.question(
            call.method, self._url, query=query, body=body, headers=headers
        )
        authenticate(request, body, self._says.authentication, self._secret, common)
        return request

    def _taken(self, said: Said) -> Taken:
        call = self._says.send
        answer = read_answer(said.body, call.format)
        result = answer.word(call.result) if answer is not None else None
        means = next(
            (one.means for one in call.results if one.fits(said.status, result, answer)), None
        )
        if means is None:
            raise Silent(f"nobody has said what this answer means (HTTP status {said.status})")
        if means != TAKEN:
            raise refusal(_WHO, Meant(means), result or f"HTTP-{said.status}")
        ref = answer.word(call.ref) if answer is not None and call.ref else None
        return Taken(ref=ref or "")

    def read_receipts(self, headers: Mapping[str, str], body: bytes) -> list[Receipt]:
        says = self._says.receipts
        if says is None:
            return []
        self._check(says, headers, body)
        rows = _rows(says, body)
        if rows is None:
            raise Invalid(f"this is not the receipt {_WHO} is declared to send")
        read = [_receipt(says, row) for row in rows]
        return [one for one in read if one is not None]

    def acknowledge(self) -> tuple[str, bytes]:
        says = self._says.receipts
        return ("text/plain", b"") if says is None else (says.answer_type, says.answer.encode())

    def read_replies(self, headers: Mapping[str, str], body: bytes) -> list[TextReply]:
        says = self._says.replies
        if says is None:
            return []
        self._check(says, headers, body)
        rows = _rows(says, body, says.charset)
        if rows is None:
            raise Invalid(f"this is not the reply {_WHO} is declared to send")
        return [_reply(says, row) for row in rows]

    def acknowledge_replies(self) -> tuple[str, bytes]:
        says = self._says.replies
        return ("text/plain", b"") if says is None else (says.answer_type, says.answer.encode())

    def _check(self, says: Receipts | Replies, headers: Mapping[str, str], body: bytes) -> None:
        if says.signature is None:
            check_token(headers, self._token)
        else:
            _check_signature(says.signature, self._receipt_secret, headers, body)


def _check_signature(says: Signature, secret: str, headers: Mapping[str, str], body: bytes) -> None:
    time = headers.get(says.time_header.lower(), "").encode()
    signed = fill_bytes(says.over, {"body": body, "time": time})
    digest = hmac.new(secret.encode(), signed, says.hash).digest()
    right = digest.hex() if says.encoding == "hex" else base64.b64encode(digest).decode()
    said = headers.get(says.header.lower(), "")
    if not hmac.compare_digest(said.encode(), right.encode()):
        raise NotSignedIn(f"{_WHO} did not sign this call", code="carrier.unsigned")


def _rows(says: Receipts | Replies, body: bytes, charset: str = "utf-8") -> list[Answer] | None:
    """Return what a call brings: a list in it, the list it is, or the one it is."""
    if says.format == "form":
        fields = parse_qsl(body.decode("ascii", "replace"), encoding=charset, errors="replace")
        return [JsonAnswer(dict(fields))]
    if charset != "utf-8":
        body = body.decode(charset, "replace").encode()
    answer = read_answer(body, "json")
    if says.rows:
        return None if answer is None else answer.rows(says.rows)
    return read_list(body) if answer is None else [answer]


def _receipt(says: Receipts, row: Answer) -> Receipt | None:
    """Read one; None while the message is still on its way."""
    ref, status = row.word(says.ref), row.word(says.status)
    if not ref or status is None:
        raise Invalid(f"a receipt of {_WHO} has no {says.ref} or no {says.status}")
    if status in says.waiting:
        return None
    happened_at = beijing_moment(row.word(says.time) or "") if says.time else None
    if status in says.delivered:
        return Receipt(ref, Fate.DELIVERED, happened_at)
    return Receipt(ref, Fate.FAILED, happened_at, status)


def _reply(says: Replies, row: Answer) -> TextReply:
    phone, text = row.word(says.phone), row.word(says.text)
    if not phone or text is None:
        raise Invalid(f"a reply of {_WHO} has no {says.phone} or no {says.text}")
    moment = row.word(says.time) or "" if says.time else ""
    text = _plain(text, says.text_in)
    ref = row.word(says.ref) if says.ref else None
    return TextReply(ref or reply_number(phone, moment, text), phone, text, beijing_moment(moment))


def _plain(text: str, text_in: str) -> str:
    """Return the words of a reply, however they were written down."""
    try:
        if text_in == "ucs2_hex":
            return bytes.fromhex(text).decode("utf-16-be")
        if text_in == "gb18030_hex":
            return bytes.fromhex(text).decode("gb18030")
        if text_in == "base64":
            return base64.b64decode(text, validate=True).decode()
    except ValueError:
        raise Invalid(f"the words of a reply of {_WHO} cannot be read") from None
    return text


def from_settings(settings: Settings) -> SmsHttp | None:
    """Make the carrier; None where nothing of it is configured.

    Raises:
        Invalid: half of it, or a declaration that does not hold together.
    """
    said = configured(
        settings, "sms_http", ("declaration", "url"), "secret", "receipt_secret", "receipt_token"
    )
    if said is None:
        return None
    says = read_toml(Path(said.pop("declaration")), Declaration)
    missing = {"secret"} if says.needs_secret else set()
    for calls in (says.receipts, says.replies):
        if calls is not None:
            missing.add("receipt_secret" if calls.signature else "receipt_token")
    missing -= said.keys()
    if missing:
        raise Invalid(
            f"CITYBILL_CARRIERS, sms_http: its declaration needs {', '.join(sorted(missing))} too",
            code="carrier.half_configured",
        )
    return SmsHttp(
        says,
        said["url"],
        secret=said.get("secret", ""),
        receipt_secret=said.get("receipt_secret", ""),
        receipt_token=said.get("receipt_token", ""),
    )
