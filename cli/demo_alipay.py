"""The demo's Alipay: a merchant of its own, with keys made for this city alone."""

import shutil
from pathlib import Path

from cli.demo_keys import key_pair

_APP_ID, _SELLER_ID = "2021000000000001", "2088000000000001"  # docs/wire/alipay.md


def alipay(folder: Path, far_side: str) -> dict[str, str]:
    """Make both sides' keys and return the settings of our side.

    Args:
        folder: the city's data; the far side's memory is below it.
        far_side: where the simulator is.
    """
    there = folder / "simulator" / "keys"
    ours, theirs = key_pair(folder / "keys", "alipay-merchant"), key_pair(there, "alipay")
    shutil.copyfile(ours.public, there / ours.public.name)
    return {
        "CITYBILL_ALIPAY_URL": f"{far_side}/alipay/gateway.do",
        "CITYBILL_ALIPAY_APP_ID": _APP_ID,
        "CITYBILL_ALIPAY_SELLER_ID": _SELLER_ID,
        "CITYBILL_ALIPAY_PRIVATE_KEY": str(ours.private),
        "CITYBILL_ALIPAY_PUBLIC_KEY": str(theirs.public),
    }
