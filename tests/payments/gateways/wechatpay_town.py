"""A merchant of WeChat Pay, its far side, and answers of the platform's made by hand."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from core.clock import billing_date, utc_now
from payments.gateways import wechatpay_signing as signing
from payments.gateways.base import GatewayReply, Order
from payments.gateways.wechatpay import WechatPay
from payments.gateways.wechatpay_wire import Wire
from tests.payments.gateways.contract import an_order, asked
from tests.simulator.conftest import Simulator, running
from tests.simulator.wechatpay_shop import (
    API_V3_KEY,
    APPID,
    MCHID,
    PUBLIC_KEY_ID,
    SERIAL,
    Merchant,
    a_merchant,
)


@dataclass
class Town:
    """A merchant, the far side, and gateways of that merchant."""

    merchant: Merchant
    simulator: Simulator
    made: list[WechatPay]

    @property
    def url(self) -> str:
        return f"{self.simulator.client.base_url}/wechatpay".replace("//wechatpay", "/wechatpay")

    def gateway(
        self,
        url: str | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
        keys: bool = True,
        appid: str = APPID,
        api_v3_key: str = API_V3_KEY,
    ) -> WechatPay:
        ours = signing.private_key(self.merchant.ours.private)
        theirs = {PUBLIC_KEY_ID: signing.public_key(self.merchant.theirs.public)} if keys else {}
        merchant = signing.Merchant(appid, MCHID, SERIAL, ours)
        wire = Wire(url or self.url, merchant, api_v3_key.encode(), theirs, clock)
        self.made.append(WechatPay(wire, clock=clock))
        return self.made[-1]

    def signed(
        self, status: int, told: object, *, at: datetime | None = None, serial: str = PUBLIC_KEY_ID
    ) -> bytes:
        """Return an answer of the platform's, made by hand."""
        body = b"" if told is None else json.dumps(told).encode()
        headers = self.headers(body, at=at, serial=serial)
        lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def headers(
        self, body: bytes, *, at: datetime | None = None, serial: str = PUBLIC_KEY_ID
    ) -> dict[str, str]:
        key = serialization.load_pem_private_key(self.merchant.theirs.private.read_bytes(), None)
        seconds = str(int((at or utc_now()).timestamp()))
        message = f"{seconds}\nn0nce\n".encode() + body + b"\n"
        signature = key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return {
            "wechatpay-timestamp": seconds,
            "wechatpay-nonce": "n0nce",
            "wechatpay-serial": serial,
            "wechatpay-signature": base64.b64encode(signature).decode(),
            "wechatpay-signature-type": "WECHATPAY2-SHA256-RSA2048",
        }

    def choose(self, opened: GatewayReply, choice: str) -> None:
        client, data = self.simulator.client, {"choice": choice}
        if opened.pay_code is not None:
            answer = client.post("/wechatpay/scan", params={"code": opened.pay_code}, data=data)
        elif opened.pay_url is not None:
            answer = client.post(opened.pay_url, data=data)
        else:
            answer = client.post("/wechatpay/jsapi", data={**opened.pay_fields, **data})
        assert answer.status_code == 303, answer.text

    def fault(self, order_no: str, name: str) -> None:
        body = {"order_no": order_no, "fault": name}
        answer = self.simulator.client.post("/wechatpay/faults", json=body)
        assert answer.status_code == 204, answer.text

    def bill(self, **query: str) -> bytes:
        day = billing_date(utc_now())
        answer = self.simulator.client.get(f"/wechatpay/downloads/{day}.csv", params=query)
        assert answer.status_code == 200, answer.text
        return answer.content


@contextmanager
def a_town(folder: Path, **changes: object) -> Iterator[Town]:
    merchant = a_merchant(folder / "keys", **changes)
    with running(folder, wechatpay=merchant.options) as simulator:
        town = Town(merchant, simulator, [])
        yield town
        for one in town.made:
            one.hang_up()


def an_answer(order_no: str, **changes: object) -> dict[str, object]:
    return {
        "appid": APPID, "mchid": MCHID, "out_trade_no": order_no, "trade_state": "SUCCESS",
        "transaction_id": "4200001", "success_time": "2026-11-20T12:00:03+08:00",
        "amount": {"total": 8_650, "currency": "CNY"}, **changes,
    }  # fmt: skip


def paid(town: Town, gateway: WechatPay, **changes: object) -> tuple[Order, GatewayReply]:
    order = an_order(**changes)
    town.choose(gateway.open_order(order), "nothing")
    return order, gateway.query(asked(order))
