"""A merchant of the simulated WeChat Pay: its keys, made for the test, and its settings."""

from pathlib import Path
from typing import NamedTuple

from cli.demo_keys import KeyPair, key_pair
from simulator.wechatpay_records import WechatpayOptions

APPID, MCHID, SERIAL = "wx00000000citybill", "1900000001", "5E3D6A1F00C0FFEE0000000000000001"
API_V3_KEY = "0123456789abcdefghijklmnopqrstuv"
PUBLIC_KEY_ID = "PUB_KEY_ID_0000000001"


class Merchant(NamedTuple):
    ours: KeyPair
    theirs: KeyPair
    options: WechatpayOptions


def a_merchant(folder: Path, **changes: object) -> Merchant:
    ours, theirs = key_pair(folder, "merchant"), key_pair(folder, "wechatpay")
    facts = {
        "appid": APPID, "mchid": MCHID, "merchant_serial": SERIAL, "merchant_key": ours.public,
        "api_v3_key": API_V3_KEY, "public_key_id": PUBLIC_KEY_ID, "key": theirs.private,
        "hurry": 300, "late_after": 0.3, "refunds_apart": 0,
    }  # fmt: skip
    return Merchant(ours, theirs, WechatpayOptions.model_validate(facts | changes))
