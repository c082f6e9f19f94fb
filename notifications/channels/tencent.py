"""Text messages by Tencent Cloud (腾讯云短信).

Source: cloud.tencent.com, SMS API 2021-01-11 (SendSms, status and reply callbacks, error codes),
and "Signature v3" (TC3-HMAC-SHA256) of its API gateway.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

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
    reply_number,
)
from providers.clients.answers import read_answer

_VERSION: Final = "2021-01-11"
_ALGORITHM: Final = "TC3-HMAC-SHA256"
_SIGNED_HEADERS: Final = "content-type;host;x-tc-action"
_JSON: Final = "application/json; charset=utf-8"
_NEEDED: Final = ("secret_id", "secret_key", "sdk_app_id", "sign_name")
# By a code, or else by what stands before its dot. All else is about our account, our key, a limit
# or Tencent's own state: it did not take the message, and somebody or time mends it.
_MEANT: Final = {
    "InvalidParameterValue.IncorrectPhoneNumber": Meant.ADDRESS_GONE,
    "FailedOperation.PhoneNumberParseFail": Meant.ADDRESS_GONE,
    "FailedOperation.PhoneNumberInBlacklist": Meant.NOT_PERMITTED,  # they unsubscribed, mostly
    "FailedOperation.PhoneNumberOnBlacklist": Meant.NOT_PERMITTED,
    "InvalidParameterValue.SdkAppIdNotExist": Meant.LATER,
    "FailedOperation.ContainSensitiveWord": Meant.NEVER,
    "FailedOperation.FailResolvePacket": Meant.NEVER,
    "FailedOperation.JsonParseFail": Meant.NEVER,
    "FailedOperation.SignatureIncorrectOrUnapproved": Meant.NEVER,
    "FailedOperation.TemplateIncorrectOrUnapproved": Meant.NEVER,
    "FailedOperation.TemplateParamSetNotMatchApprovedTemplate": Meant.NEVER,
    "FailedOperation.TemplateUnapprovedOrNotExist": Meant.NEVER,
    "InvalidParameter": Meant.NEVER,
    "InvalidParameterValue": Meant.NEVER,
    "MissingParameter": Meant.NEVER,
    "UnsupportedOperation": Meant.NEVER,
    "InternalError": Meant.UNKNOWN,
    "InternalError.RequestTimeException": Meant.LATER,
    "InternalError.RestApiInterfaceNotExist": Meant.LATER,
    "InternalError.SigFieldMissing": Meant.LATER,
    "InternalError.SigVerificationFail": Meant.LATER,
}


class _Report(BaseModel):
    sid: str
    report_status: Literal["SUCCESS", "FAIL"]
    user_receive_time: str = ""
    errmsg: str = ""


class _Reply(BaseModel):
    """What somebody answered; it has no number of its own."""

    nationcode: str
    mobile: str
    text: str
    time: int


_REPORTS: Final = TypeAdapter(list[_Report])


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Account:
    """Who we are there; ``sign_name`` goes without its brackets."""

    secret_id: str
    secret_key: str
    sdk_app_id: str
    sign_name: str
    region: str = "ap-guangzhou"
    receipt_token: str = ""
    url: str = "https://sms.tencentcloudapi.com"


class Tencent:
    code, channel = "tencent", "sms"
    repeats_safely = False  # it gives SessionContext back, and does not look at it

    def __init__(self, account: Account, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._account, self._clock = account, clock
        self._http = Http("Tencent Cloud")

    def close(self) -> None:
        self._http.close()

    def send(self, message: Message) -> Taken:
        phone = phone_number(message.address)
        if message.template is None:
            raise Upstream(
                "Tencent Cloud sends approved templates only: give these words their number there"
            )
        request = self._request(phone, message.message_id, message.template)
        return _taken(self._http.ask(request), message.message_id)

    def _request(self, phone: str, message_id: str, template: Template) -> httpx.Request:
        number, values = numbered(template)
        body = json.dumps({
            "PhoneNumberSet": [phone],  # without a country it is +86
            "SmsSdkAppId": self._account.sdk_app_id,
            "SignName": self._account.sign_name,
            "TemplateId": number,
            "TemplateParamSet": values,
            "SessionContext": message_id,
        }, ensure_ascii=False).encode()  # fmt: skip
        now = int(self._clock().timestamp())
        request = self._http.question("POST", self._account.url, body=body, headers={
            "Content-Type": _JSON,
            "X-TC-Action": "SendSms",
            "X-TC-Version": _VERSION,
            "X-TC-Region": self._account.region,
            "X-TC-Timestamp": str(now),
        })  # fmt: skip
        ours, host = self._account, request.headers["Host"]
        request.headers["Authorization"] = authorization(
            ours.secret_id, ours.secret_key, "sms", host, "SendSms", now, body
        )
        return request

    def read_receipts(self, headers: Mapping[str, str], body: bytes) -> list[Receipt]:
        check_token(headers, self._account.receipt_token)
        try:
            reports = _REPORTS.validate_json(body)
        except ValidationError:
            raise Invalid("this is not a report of Tencent Cloud's") from None
        return [
            Receipt(
                ref=one.sid,
                fate=Fate.DELIVERED if one.report_status == "SUCCESS" else Fate.FAILED,
                happened_at=beijing_moment(one.user_receive_time),
                reason="" if one.report_status == "SUCCESS" else one.errmsg,
            )
            for one in reports
        ]

    def acknowledge(self) -> tuple[str, bytes]:
        return "application/json", b'{"result": 0, "errmsg": "OK"}'

    def read_replies(self, headers: Mapping[str, str], body: bytes) -> list[TextReply]:
        check_token(headers, self._account.receipt_token)
        try:
            one = _Reply.model_validate_json(body)
            said_at = datetime.fromtimestamp(one.time, UTC)
        except (ValidationError, OverflowError, OSError, ValueError):
            raise Invalid("this is not a reply of Tencent Cloud's") from None
        phone = f"+{one.nationcode.lstrip('+')}{one.mobile}"
        return [TextReply(reply_number(phone, one.time, one.text), phone, one.text, said_at)]

    acknowledge_replies = acknowledge


def numbered(template: Template) -> tuple[str, list[str]]:
    """Return a template's number at Tencent, and its values in the order of its places.

    Its places are numbered, ours have names. Which is which stands behind the number:
    ``1110:amount,due``. Without names, ours must be ``1``, ``2`` …

    Raises:
        Upstream: the places are not those of the values.
    """
    number, colon, order = template.id.partition(":")
    names = order.split(",") if colon else [str(n + 1) for n in range(len(template.values))]
    if sorted(names) != sorted(template.values):
        raise Upstream("the number at Tencent Cloud needs its places in order: 1110:amount,due")
    return number, [template.values[name] for name in names]


def authorization(
    secret_id: str, secret_key: str, service: str, host: str, action: str, now: int, body: bytes
) -> str:
    """Sign a POST of JSON to ``/``; ``now`` is the second that ``X-TC-Timestamp`` says."""
    lines = f"content-type:{_JSON}\nhost:{host}\nx-tc-action:{action.lower()}\n"
    request = f"POST\n/\n\n{lines}\n{_SIGNED_HEADERS}\n{hashlib.sha256(body).hexdigest()}"
    day = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d}"
    scope = f"{day}/{service}/tc3_request"
    to_sign = f"{_ALGORITHM}\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"TC3{secret_key}".encode()
    for step in (*scope.split("/"), to_sign):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    return (
        f"{_ALGORITHM} Credential={secret_id}/{scope}, SignedHeaders={_SIGNED_HEADERS},"
        f" Signature={key.hex()}"
    )


def _taken(said: Said, message_id: str) -> Taken:
    answer = read_answer(said.body, "json")
    if answer is None or not answer.has("Response"):
        raise Silent(f"Tencent Cloud's answer cannot be read (HTTP status {said.status})")
    error = answer.text("Response.Error.Code")
    if error:
        raise refusal("Tencent Cloud", _meant(error), error)
    sent = answer.rows("Response.SendStatusSet") or []
    if len(sent) != 1 or sent[0].text("SessionContext") != message_id:
        raise Silent("Tencent Cloud's answer is not about this message")
    code = sent[0].text("Code") or ""
    if code != "Ok":
        raise refusal("Tencent Cloud", _meant(code), code)
    return Taken(ref=sent[0].text("SerialNo") or "")


def _meant(code: str) -> Meant:
    return _MEANT.get(code) or _MEANT.get(code.partition(".")[0], Meant.LATER)


def from_settings(settings: Settings) -> Tencent | None:
    """Make the carrier; None where nothing of it is configured.

    Raises:
        Invalid: half of it.
    """
    said = configured(settings, "tencent", _NEEDED, "region", "receipt_token", "url")
    return None if said is None else Tencent(Account(**said))
