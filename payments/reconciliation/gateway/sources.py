"""Whose settlement file somebody holds in their hands, when it is not that of who they said."""

import io
from collections.abc import Mapping
from datetime import date

from core.errors import SettlementFileError
from payments.gateways.base import Gateway


def with_files(gateways: Mapping[str, Gateway]) -> dict[str, Gateway]:
    """Return the gateways that have settlement files."""
    return {code: one for code, one in gateways.items() if one.capabilities.settlement_file}


def whose_file(gateways: Mapping[str, Gateway], content: bytes, *, day: date) -> Gateway | None:
    """Return whose file of that day this is, if exactly one of these can read it."""
    able = [one for one in gateways.values() if _reads(one, content, day)]
    return able[0] if len(able) == 1 else None


def _reads(gateway: Gateway, content: bytes, day: date) -> bool:
    try:
        return any(True for _ in gateway.read_settlement(io.BytesIO(content), day=day))
    except SettlementFileError:
        return False
