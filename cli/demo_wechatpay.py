"""The demo's WeChat Pay: keys of both sides, and what each is told of the other."""

import json
import os
from pathlib import Path

from cli.demo_keys import key_pair
from core import crypto

_APPID, _MCHID = "wxdemo0000citybill", "1900000001"
_SERIAL = "0DE40000000000000000000000000000C17B111A"
_PUBLIC_KEY_ID = "PUB_KEY_ID_0190000000120261120000000001"


def far_side_file(folder: Path) -> Path:
    """Return where it is written what the far side knows of us."""
    return folder / "keys" / "wechatpay.json"


def wechatpay(folder: Path, far_side: str) -> dict[str, str]:
    """Return our settings, everything made at the first asking."""
    keys, told = folder / "keys", far_side_file(folder)
    ours, theirs = key_pair(keys, "wechatpay-merchant"), key_pair(keys, "wechatpay")
    if not told.exists():
        part = told.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_text(json.dumps({
            "appid": _APPID, "mchid": _MCHID, "merchant_serial": _SERIAL,
            "merchant_key": str(ours.public),
            "api_v3_key": crypto.fingerprint(crypto.new_token())[:32],
            "public_key_id": _PUBLIC_KEY_ID, "key": str(theirs.private),
        }))  # fmt: skip
        os.replace(part, told)
    return {
        "CITYBILL_WECHATPAY_APPID": _APPID,
        "CITYBILL_WECHATPAY_MCHID": _MCHID,
        "CITYBILL_WECHATPAY_MERCHANT_SERIAL": _SERIAL,
        "CITYBILL_WECHATPAY_PRIVATE_KEY": str(ours.private),
        "CITYBILL_WECHATPAY_API_V3_KEY": json.loads(told.read_text())["api_v3_key"],
        "CITYBILL_WECHATPAY_PUBLIC_KEY": str(theirs.public),
        "CITYBILL_WECHATPAY_PUBLIC_KEY_ID": _PUBLIC_KEY_ID,
        "CITYBILL_WECHATPAY_URL": f"{far_side}/wechatpay",
    }
