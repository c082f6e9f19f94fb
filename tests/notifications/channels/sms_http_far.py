"""An SMS company as docs/notices.md declares one: signed requests, signed receipts."""

import hashlib
import hmac
import json
from typing import Any, Final

from notifications.channels.base import Fate
from tests.notifications.channels.contract import Arrived
from tests.notifications.channels.http_far import Asked, HttpFar

SECRET: Final = "a secret agreed with the company"
RECEIPT_SECRET: Final = "and another for its receipts"


class SmsHttpFar(HttpFar):
    """It knows a message by its id: sent again, it is the same one."""

    def __init__(self, *, delay_ms: int = 0) -> None:
        super().__init__(delay_ms=delay_ms)
        self.msgids: dict[str, str] = {}
        self.says: tuple[int, dict[str, Any]] | None = None

    def behave(self, fault: str) -> None:
        codes = {"busy": "1001", "refuse": "1002"}
        self.says = (200, {"code": codes[fault]}) if fault in codes else None
        super().behave(fault)

    def answer(self, asked: Asked) -> tuple[int, bytes]:
        time = asked.headers.get("x-time", "")
        if asked.headers.get("x-signature") != _hmac(SECRET, time, asked.body):
            return 401, b'{"code": "unsigned"}'
        if self.says is not None:
            return self.says[0], json.dumps(self.says[1]).encode()
        said = json.loads(asked.body)
        if said["id"] not in self.msgids:
            self.msgids[said["id"]] = f"m-{len(self.msgids)}"
            self.taken.append(Arrived(said["to"], said["text"]))
        return 200, json.dumps({"code": "0", "data": {"msgid": self.msgids[said["id"]]}}).encode()

    def receipt(self, ref: str, fate: Fate) -> tuple[dict[str, str], bytes]:
        status = "DELIVRD" if fate is Fate.DELIVERED else "UNDELIV"
        return signed({"reports": [{"msgid": ref, "status": status, "at": "2026-11-21 08:03:04"}]})

    def reply(self, *said: tuple[str, str, str]) -> tuple[dict[str, str], bytes]:
        """Return a call with what people answered: each a number of its own, a phone and words."""
        return signed({
            "mos": [
                {"moid": moid, "mobile": phone, "content": text, "at": "2026-11-21 08:03:04"}
                for moid, phone, text in said
            ]
        })  # fmt: skip


def signed(call: object) -> tuple[dict[str, str], bytes]:
    """Return a call of the company's, with its signature."""
    body = json.dumps(call).encode()
    time = "1795219384"
    return {"x-time": time, "x-signature": _hmac(RECEIPT_SECRET, time, body)}, body


def _hmac(secret: str, time: str, body: bytes) -> str:
    return hmac.new(secret.encode(), f"{time}\n".encode() + body, hashlib.sha256).hexdigest()
