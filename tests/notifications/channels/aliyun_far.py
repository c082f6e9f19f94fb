"""Aliyun's SMS system, from its documentation: gateway (signature V3), SendSms and SmsReport.

It shares no code with the adapter: what is signed is made from the request as it came.
"""

import hashlib
import hmac
import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import unquote_to_bytes

from notifications.channels.base import Fate
from tests.notifications.channels.contract import Arrived
from tests.notifications.channels.http_far import Asked, HttpFar

KEY_ID: Final = "LTAI5tTestKeyOfTheCity"
SECRET: Final = "an aliyun secret nobody may see"
SIGN_NAME: Final = "城市账单"
TOKEN: Final = "aliyun-knows-this-address"
TEMPLATES: Final = {
    "SMS_480000001": "您${company}的账单已缴¥${amount}，感谢使用。",
    "SMS_480000002": "验证码${code}，五分钟内有效。",
}
_PHONE: Final = re.compile(r"(\+|86|\+86|0086)?1[3-9][0-9]{9}|(852|853|886)[0-9]{8,9}")
_UNRESERVED: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"
)
_STATUSES: Final = {
    "InvalidAccessKeyId.NotFound": 404, "ServiceUnavailable": 503, "InternalError": 500,
}  # fmt: skip


class Refused(Exception):
    """What the gateway or the product says; the first word is its code."""


class AliyunFar(HttpFar):
    def __init__(self, *, delay_ms: int = 0) -> None:
        super().__init__(delay_ms=delay_ms)
        self.out_ids: dict[str, str] = {}  # by BizId
        self.phones: dict[str, str] = {}  # by OutId
        self.fault_code = ""
        self._nonces: set[str] = set()

    def behave(self, fault: str) -> None:
        codes = {"busy": "isv.BUSINESS_LIMIT_CONTROL", "refuse": "isv.SMS_CONTENT_ILLEGAL"}
        self.fault_code = codes.get(fault, "")
        super().behave(fault)

    def answer(self, asked: Asked) -> tuple[int, bytes]:
        request_id = str(uuid.uuid4()).upper()
        try:
            self._gateway(asked)
            biz_id = self._send_sms(_parameters(asked.query))
        except Refused as refused:
            code = str(refused)
            said = {"RequestId": request_id, "Code": code, "Message": "手机号 13900000007 …"}
            product = code.startswith(("isv.", "isp."))
            return 200 if product else _STATUSES.get(code, 400), json.dumps(said).encode()
        said = {"RequestId": request_id, "Code": "OK", "Message": "OK", "BizId": biz_id}
        return 200, json.dumps(said).encode()

    def _gateway(self, asked: Asked) -> None:
        headers = asked.headers
        found = re.fullmatch(
            r"ACS3-HMAC-SHA256 Credential=([^,]+),SignedHeaders=([^,]+),Signature=([0-9a-f]{64})",
            headers.get("authorization", ""),
        )
        if found is None:
            raise Refused("IncompleteSignature")
        key_id, names, signature = found.groups()
        must = {"host"} | {name for name in headers if name.startswith("x-acs-")}
        must |= {"content-type"} & headers.keys()
        if names.split(";") != sorted(must):
            raise Refused("IncompleteSignature")
        if key_id != KEY_ID:
            raise Refused("InvalidAccessKeyId.NotFound")
        if headers["x-acs-content-sha256"] != hashlib.sha256(asked.body).hexdigest():
            raise Refused("SignatureDoesNotMatch")
        if signature != _signature(asked, names):
            raise Refused("SignatureDoesNotMatch")
        signed_at = datetime.fromisoformat(headers["x-acs-date"])
        if abs(datetime.now(UTC) - signed_at) > timedelta(minutes=15):
            raise Refused("InvalidTimeStamp.Expired")
        if headers["x-acs-signature-nonce"] in self._nonces:
            raise Refused("SignatureNonceUsed")
        self._nonces.add(headers["x-acs-signature-nonce"])
        if (headers["x-acs-action"], headers["x-acs-version"]) != ("SendSms", "2017-05-25"):
            raise Refused("InvalidAction.NotFound")

    def _send_sms(self, said: dict[str, str]) -> str:
        if self.fault_code:
            raise Refused(self.fault_code)
        phone = said.get("PhoneNumbers", "")
        if not _PHONE.fullmatch(phone):
            raise Refused("isv.MOBILE_NUMBER_ILLEGAL")
        if said.get("SignName") != SIGN_NAME:
            raise Refused("isv.SMS_SIGNATURE_ILLEGAL")
        text = TEMPLATES.get(said.get("TemplateCode", ""))
        if text is None:
            raise Refused("isv.SMS_TEMPLATE_ILLEGAL")
        try:
            values = json.loads(said.get("TemplateParam", "{}"))
        except ValueError:
            raise Refused("isv.INVALID_JSON_PARAM") from None
        if set(re.findall(r"\$\{(\w+)\}", text)) != set(values):
            raise Refused("isv.TEMPLATE_MISSING_PARAMETERS")
        for name, value in values.items():
            if "http" in value:
                raise Refused("isv.PARAM_NOT_SUPPORT_URL")
            text = text.replace(f"${{{name}}}", value)
        biz_id = f"{len(self.taken):018}^0"
        self.out_ids[biz_id] = said.get("OutId", "")
        self.phones[said.get("OutId", "")] = phone
        self.taken.append(Arrived(phone, f"【{SIGN_NAME}】{text}"))
        return biz_id

    def receipt(self, ref: str, fate: Fate) -> tuple[dict[str, str], bytes]:
        report = {
            "phone_number": self.phones.get(ref, "13900000007"),
            "send_time": "2026-11-21 08:03:01",
            "report_time": "2026-11-21 08:03:04",
            "success": fate is Fate.DELIVERED,
            "err_code": "DELIVERED" if fate is Fate.DELIVERED else "MOBILE_NOT_ON_SERVICE",
            "err_msg": "用户接收成功" if fate is Fate.DELIVERED else "用户关机或不在服务区",
            "sms_size": "1",
            "biz_id": next((biz for biz, out in self.out_ids.items() if out == ref), "7^0"),
            "out_id": ref,
        }
        headers = {"content-type": "application/json;charset=utf-8", "x-citybill-token": TOKEN}
        return headers, json.dumps([report], ensure_ascii=False).encode()


def _parameters(query: str) -> dict[str, str]:
    pairs = [one.partition("=") for one in query.split("&")]
    return {
        unquote_to_bytes(name).decode(): unquote_to_bytes(value).decode()
        for name, _, value in pairs
    }


def _signature(asked: Asked, names: str) -> str:
    said = sorted(
        (_escaped(name), _escaped(value)) for name, value in _parameters(asked.query).items()
    )
    canonical = "\n".join([
        asked.method,
        asked.path or "/",
        "&".join(f"{name}={value}" for name, value in said),
        *(f"{name}:{asked.headers[name].strip()}" for name in names.split(";")),
        "",
        names,
        asked.headers["x-acs-content-sha256"],
    ])  # fmt: skip
    to_sign = b"ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest().encode()
    return hmac.digest(SECRET.encode(), to_sign, "sha256").hex()


def _escaped(text: str) -> str:
    return "".join(
        chr(octet) if octet in _UNRESERVED else f"%{octet:02X}" for octet in text.encode()
    )
