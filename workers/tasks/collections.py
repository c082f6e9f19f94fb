"""Batch collection, step by step: a step that could not be done now is done by the next round."""

from core import log
from core.clock import utc_now
from core.errors import UpstreamUnavailable
from core.settings import settings
from payments.autopay import collections
from payments.gateways.collecting import Collecting
from workers.jobs import job
from workers.start import outside

_log = log.logger(__name__)


@job("payments.collect")
def collect(_day: str) -> None:
    """Gather and cut what is to be collected, hand it over, and hear what came back."""
    for gateway in outside().gateways.values():
        if not isinstance(gateway, Collecting):
            continue
        try:
            collections.advance(
                gateway, cut_off=settings().bank_debit_cut_off,
                silence_days=settings().bank_debit_silence_days, now=utc_now(),
            )  # fmt: skip
        except UpstreamUnavailable as away:
            _log.warning("bank_away", gateway=gateway.code, reason=str(away))
