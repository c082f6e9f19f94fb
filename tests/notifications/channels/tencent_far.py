"""Tencent Cloud's SMS system, from its documentation: signature v3, SendSms, status callback.

It shares no code with the adapter: what is signed is made from the request as it came.
"""

import hashlib
import hmac
import json
import re
import uuid
from datetime import UTC, datetime
from functools import reduce
from typing import Any, Final

from notifications.channels.base import Fate
from tests.notifications.channels.contract import Arrived
from tests.notifications.channels.http_far import Asked, HttpFar

SECRET_ID: Final = "AKIDTestKeyOfTheCity"
SECRET_KEY: Final = "a tencent secret nobody may see"
SDK_APP_ID: Final = "1400006666"
SIGN_NAME: Final = "城市账单"
TOKEN: Final = "tencent-knows-this-address"
TEMPLATES: Final = {
    "1110": "您{1}的账单已缴¥{2}，感谢使用。",
    "1111": "系统维护通知。",
}
_PHONE: Final = re.compile(r"(\+86|0086|86)?(1[3-9][0-9]{9})|\+(852|853|886)[0-9]{8,9}")
_SKEW_SECONDS: Final = 300


class Refused(Exception):
    """What the gateway says of a whole request; the words are its code."""


class TencentFar(HttpFar):
    def __init__(self, *, delay_ms: int = 0) -> None:
        super().__init__(delay_ms=delay_ms)
        self.contexts: dict[str, str] = {}  # SessionContext by SerialNo
        self.gateway_code = ""
        self.status_code = ""
        self.repeated_context = ""

    def behave(self, fault: str) -> None:
        self.gateway_code = "RequestLimitExceeded" if fault == "busy" else ""
        self.status_code = "FailedOperation.ContainSensitiveWord" if fault == "refuse" else ""
        super().behave(fault)

    def answer(self, asked: Asked) -> tuple[int, bytes]:
        try:
            said = self._gateway(asked)
            response: dict[str, Any] = {"SendStatusSet": [self._send_sms(said)]}
        except Refused as refused:
            error = {"Code": str(refused), "Message": "+8613900000007 is wrong"}
            response = {"Error": error}
        response["RequestId"] = str(uuid.uuid4())
        return 200, json.dumps({"Response": response}).encode()

    def _gateway(self, asked: Asked) -> dict[str, Any]:
        headers = asked.headers
        found = re.fullmatch(
            r"TC3-HMAC-SHA256 Credential=([^/]+)/(\d{4}-\d\d-\d\d)/sms/tc3_request, "
            r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})",
            headers.get("authorization", ""),
        )
        if found is None:
            raise Refused("AuthFailure.InvalidAuthorization")
        secret_id, day, names, signature = found.groups()
        if secret_id != SECRET_ID:
            raise Refused("AuthFailure.SecretIdNotFound")
        now = int(headers["x-tc-timestamp"])
        if abs(datetime.now(UTC).timestamp() - now) > _SKEW_SECONDS:
            raise Refused("AuthFailure.SignatureExpire")
        if day != str(datetime.fromtimestamp(now, UTC).date()):
            raise Refused("AuthFailure.SignatureFailure")
        if {"content-type", "host"} - set(names.split(";")) or signature != _signature(
            asked, day, names
        ):
            raise Refused("AuthFailure.SignatureFailure")
        if (headers["x-tc-action"], headers["x-tc-version"]) != ("SendSms", "2021-01-11"):
            raise Refused("InvalidAction")
        if not headers.get("x-tc-region"):
            raise Refused("MissingParameter")
        if self.gateway_code:
            raise Refused(self.gateway_code)
        said: dict[str, Any] = json.loads(asked.body)
        return said

    def _send_sms(self, said: dict[str, Any]) -> dict[str, Any]:
        [phone] = said["PhoneNumberSet"]
        found = _PHONE.fullmatch(phone)
        code, serial_no = "Ok", ""
        text = TEMPLATES.get(said["TemplateId"])
        if self.status_code:
            code = self.status_code
        elif found is None:
            code = "InvalidParameterValue.IncorrectPhoneNumber"
        elif said["SmsSdkAppId"] != SDK_APP_ID:
            code = "UnauthorizedOperation.SmsSdkAppIdVerifyFail"
        elif said["SignName"] != SIGN_NAME:
            code = "FailedOperation.SignatureIncorrectOrUnapproved"
        elif text is None or len(re.findall(r"\{\d\}", text)) != len(said["TemplateParamSet"]):
            code = "FailedOperation.TemplateIncorrectOrUnapproved"
        elif any("http" in value for value in said["TemplateParamSet"]):
            code = "InvalidParameterValue.ProhibitedUseUrlInTemplateParameter"
        else:
            serial_no = f"2028:{len(self.taken):08}"
            self.contexts[serial_no] = said["SessionContext"]
            for place, value in enumerate(said["TemplateParamSet"], 1):
                text = text.replace(f"{{{place}}}", value)
            self.taken.append(Arrived(found[2] or phone, f"【{SIGN_NAME}】{text}"))
        return {
            "SerialNo": serial_no, "PhoneNumber": phone, "Fee": int(code == "Ok"),
            "SessionContext": self.repeated_context or said["SessionContext"], "Code": code,
            "Message": "send success" if code == "Ok" else f"{phone} …", "IsoCode": "CN",
        }  # fmt: skip

    def receipt(self, ref: str, fate: Fate) -> tuple[dict[str, str], bytes]:
        report = {
            "user_receive_time": "2026-11-21 08:03:04",
            "nationcode": "86",
            "mobile": "13900000007",
            "report_status": "SUCCESS" if fate is Fate.DELIVERED else "FAIL",
            "errmsg": "DELIVRD" if fate is Fate.DELIVERED else "MK:0001",
            "description": "用户短信送达成功" if fate is Fate.DELIVERED else "空号",
            "sid": ref,
        }
        headers = {"content-type": "application/json", "x-citybill-token": TOKEN}
        return headers, json.dumps([report], ensure_ascii=False).encode()


def _signature(asked: Asked, day: str, names: str) -> str:
    canonical = "\n".join([
        asked.method, asked.path or "/", asked.query,
        *(f"{name}:{asked.headers[name].strip().lower()}" for name in names.split(";")), "", names,
        hashlib.sha256(asked.body).hexdigest(),
    ])  # fmt: skip
    to_sign = "\n".join([
        "TC3-HMAC-SHA256", asked.headers["x-tc-timestamp"], f"{day}/sms/tc3_request",
        hashlib.sha256(canonical.encode()).hexdigest(),
    ])  # fmt: skip
    key = reduce(
        lambda key, step: hmac.digest(key, step.encode(), "sha256"),
        (day, "sms", "tc3_request"),
        b"TC3" + SECRET_KEY.encode(),
    )
    return hmac.digest(key, to_sign.encode(), "sha256").hex()
