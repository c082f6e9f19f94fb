"""Text messages by Aliyun (阿里云短信), inside China.

Source: help.aliyun.com, Dysmsapi 2017-05-25 (SendSms, SmsReport and SmsUp by HTTP push, error
codes), and "V3 request structure and signature" of its API gateway.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from core.clock import utc_now
from core.errors import Invalid, Upstream
from core.settings import Settings
from notifications.channels.base import (
    Fate,
    Message,
    Receipt,
    Silent,
    Taken,
    Template,
    TextReply,
)
from notifications.channels.http import Http, Said
from notifications.channels.texting import (
    Meant,
    beijing_moment,
    check_token,
    configured,
    phone_number,
    refusal,
)
from providers.clients.answers import read_answer

_VERSION: Final = "2017-05-25"
_ALGORITHM: Final = "ACS3-HMAC-SHA256"
_NEEDED: Final = ("access_key_id", "access_key_secret", "sign_name")
# All it may say but what stands here is about our account, our key or its own state: throttling, no
# money, a signature that does not match. It did not take the message, and somebody or time mends
# it; meanwhile another carrier may take it.
_MEANT: Final = {
    "isv.MOBILE_NUMBER_ILLEGAL": Meant.ADDRESS_GONE,
    "InternalError": Meant.UNKNOWN,
    "SignatureNonceUsed": Meant.UNKNOWN,  # ours never repeat: the network said it twice
} | dict.fromkeys(
    (
        "isv.SMS_TEMPLATE_ILLEGAL", "isv.SMS_SIGNATURE_ILLEGAL", "isv.SMS_SIGN_ILLEGAL",
        "isv.SMS_SIGNATURE_SCENE_ILLEGAL", "isv.SIGN_STATE_ILLEGAL", "isv.SMS_CONTENT_ILLEGAL",
        "isv.TEMPLATE_MISSING_PARAMETERS", "isv.TEMPLATE_PARAMS_ILLEGAL", "isv.INVALID_PARAMETERS",
        "isv.INVALID_JSON_PARAM", "isv.PARAM_LENGTH_LIMIT", "isv.PARAM_NOT_SUPPORT_URL",
        "isv.BLACK_KEY_CONTROL_LIMIT", "isv.DOMESTIC_NUMBER_NOT_SUPPORTED",
        "isv.MOBILE_COUNT_OVER_LIMIT", "isv.EXTEND_CODE_ERROR",
    ),
    Meant.NEVER,
)  # fmt: skip


class _Report(BaseModel):
    """One receipt; messages that others sent from this account have no ``out_id`` of ours."""

    success: bool
    out_id: str = ""
    err_code: str = ""
    report_time: str = ""


class _Up(BaseModel):
    """A text that came up; ``sequence_id`` was a number in older versions."""

    phone_number: str
    content: str
    sequence_id: str | int
    send_time: str = ""


_REPORTS: Final = TypeAdapter(list[_Report])
_UPS: Final = TypeAdapter(list[_Up])


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Account:
    """Who we are there; ``sign_name`` goes without its brackets."""

    access_key_id: str
    access_key_secret: str
    sign_name: str
    receipt_token: str = ""
    url: str = "https://dysmsapi.aliyuncs.com"


class Aliyun:
    code, channel = "aliyun", "sms"
    repeats_safely = False  # "does not support idempotence"

    def __init__(self, account: Account, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._account, self._clock = account, clock
        self._http = Http("Aliyun")

    def close(self) -> None:
        self._http.close()

    def send(self, message: Message) -> Taken:
        phone = phone_number(message.address).removeprefix("+")
        if message.template is None:
            raise Upstream(
                "Aliyun sends approved templates only: give these words their template code there"
            )
        return _taken(self._http.ask(self._request(phone, message.message_id, message.template)))

    def _request(self, phone: str, message_id: str, template: Template) -> httpx.Request:
        query = canonical_query({
            "OutId": message_id,
            "PhoneNumbers": phone,
            "SignName": self._account.sign_name,
            "TemplateCode": template.id,
            "TemplateParam": json.dumps(dict(template.values), ensure_ascii=False),
        })  # fmt: skip
        headers = {
            "x-acs-action": "SendSms",
            "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
            "x-acs-date": f"{self._clock().astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "x-acs-signature-nonce": uuid4().hex,
            "x-acs-version": _VERSION,
        }
        request = self._http.question("POST", f"{self._account.url}/?{query}", headers=headers)
        signed = headers | {"host": request.headers["Host"]}
        request.headers["Accept"] = "application/json"
        request.headers["Authorization"] = authorization(
            self._account.access_key_id, self._account.access_key_secret, query, signed
        )
        return request

    def read_receipts(self, headers: Mapping[str, str], body: bytes) -> list[Receipt]:
        check_token(headers, self._account.receipt_token)
        try:
            reports = _REPORTS.validate_json(body)
        except ValidationError:
            raise Invalid("this is not a report of Aliyun's") from None
        return [
            Receipt(
                ref=one.out_id,
                fate=Fate.DELIVERED if one.success else Fate.FAILED,
                happened_at=beijing_moment(one.report_time),
                reason="" if one.success else one.err_code,
            )
            for one in reports
            if one.out_id
        ]

    def acknowledge(self) -> tuple[str, bytes]:
        return "application/json", '{"code": 0, "msg": "接收成功"}'.encode()

    def read_replies(self, headers: Mapping[str, str], body: bytes) -> list[TextReply]:
        check_token(headers, self._account.receipt_token)
        try:
            ups = _UPS.validate_json(body)
        except ValidationError:
            raise Invalid("this is not a text that came up by Aliyun") from None
        return [
            TextReply(
                str(one.sequence_id), one.phone_number, one.content, beijing_moment(one.send_time)
            )
            for one in ups
        ]

    acknowledge_replies = acknowledge


def canonical_query(parameters: Mapping[str, str]) -> str:
    """Return a query as it is signed and sent: sorted, and escaped by RFC 3986."""
    return "&".join(
        f"{quote(name, safe='~')}={quote(value, safe='~')}"
        for name, value in sorted(parameters.items())
    )


def authorization(key_id: str, secret: str, query: str, headers: Mapping[str, str]) -> str:
    """Sign a POST to ``/`` that has no body.

    Args:
        headers: what is signed, names in lower case; ``x-acs-content-sha256`` among them.
    """
    names = sorted(headers)
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
    signed_names = ";".join(names)
    request = f"POST\n/\n{query}\n{lines}\n{signed_names}\n{headers['x-acs-content-sha256']}"
    to_sign = f"{_ALGORITHM}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    return f"{_ALGORITHM} Credential={key_id},SignedHeaders={signed_names},Signature={signature}"


def _taken(said: Said) -> Taken:
    answer = read_answer(said.body, "json")
    code = answer.text("Code") if answer is not None else None
    if not code:
        raise Silent(f"Aliyun's answer cannot be read (HTTP status {said.status})")
    if code != "OK":
        raise refusal("Aliyun", _MEANT.get(code, Meant.LATER), code)
    return Taken()  # receipts name a message by our own id


def from_settings(settings: Settings) -> Aliyun | None:
    """Make the carrier; None where nothing of it is configured.

    Raises:
        Invalid: half of it.
    """
    said = configured(settings, "aliyun", _NEEDED, "receipt_token", "url")
    return None if said is None else Aliyun(Account(**said))
