"""The demo's shop that takes cash, and its bank that collects from accounts."""

import json
from datetime import datetime
from pathlib import Path

from core.db import transaction
from core.settings import DEMO_SECRET
from identity.keys import issue_signing_key
from identity.models import Holder

SHOP = "corner"  # its code as an agent
_AGENTS = {SHOP: {"name": "街角便利店 Corner Shop", "float_fen": 5_000_000}}


def counters(far_side: str) -> dict[str, str]:
    """Return our side's settings of both.

    Args:
        far_side: where the simulator is.
    """
    return {
        "CITYBILL_COUNTER_AGENTS": json.dumps(_AGENTS, ensure_ascii=False),
        "CITYBILL_BANK_DEBIT_URL": far_side,
        "CITYBILL_BANK_DEBIT_SECRET": DEMO_SECRET,
        "CITYBILL_BANK_DEBIT_CREDITOR": "88001234",
        "CITYBILL_BANK_DEBIT_ACCOUNT": "6222000011112222",
    }


def shop_file(folder: Path) -> Path:
    """Return where the shop's till finds its key."""
    return folder / "simulator" / "shop.json"


def open_shop(folder: Path, city_url: str, *, secret_key: str, now: datetime) -> None:
    """Tell the shop where the city is, and issue its key the first time."""
    path = shop_file(folder)
    if path.exists():
        facts = json.loads(path.read_text())
    else:
        with transaction() as session:
            issued = issue_signing_key(
                session, SHOP, issued_by="demo", secret_key=secret_key, now=now,
                holder=Holder.AGENT,
            )  # fmt: skip
        facts = {"key": issued.id, "secret": issued.secret}
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    path.write_text(json.dumps(facts | {"city_url": city_url}) + "\n")
