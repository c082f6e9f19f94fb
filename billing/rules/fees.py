"""The convenience fee of a payment, and the ways a company lets itself be paid. Rules 4 and 5."""

from collections.abc import Mapping
from typing import NamedTuple

from billing.rules.terms import Fee, FeePayer, Terms
from core.errors import Invalid
from core.money import format_yuan

_WHOLE_PPM = 10**6


class FeeQuote(NamedTuple):
    """What the resident pays beside the bills: never a part of any bill's amount."""

    fee_fen: int
    tax_fen: int


def convenience_fee(amounts_fen: Mapping[str, int], terms: Mapping[str, Terms]) -> FeeQuote:
    """Return the fee of one payment.

    Args:
        amounts_fen: company code → all that is finally paid to it in this payment, so that bills
            are not charged one by one for being many.
        terms: company code → its terms; at least of every company that is paid.
    """
    quotes = [fee_of(amount_fen, terms[code].fee) for code, amount_fen in amounts_fen.items()]
    return FeeQuote(sum(quote.fee_fen for quote in quotes), sum(quote.tax_fen for quote in quotes))


def fee_of(amount_fen: int, fee: Fee) -> FeeQuote:
    """Return what residents pay for paying a company; the tax is on the fee as it is charged."""
    return _charged(amount_fen, fee) if fee.paid_by is FeePayer.RESIDENT else FeeQuote(0, 0)


def company_fee_of(amount_fen: int, fee: Fee) -> FeeQuote:
    """Return what the company bears of a payment to it: all of the fee, or none."""
    return _charged(amount_fen, fee) if fee.paid_by is FeePayer.COMPANY else FeeQuote(0, 0)


def _charged(amount_fen: int, fee: Fee) -> FeeQuote:
    if amount_fen <= 0:
        return FeeQuote(0, 0)
    for slab in fee.slabs:
        if slab.upto_fen is None or amount_fen <= slab.upto_fen:
            fee_fen = slab.fixed_fen + _rate_of(amount_fen, slab.rate_ppm)
            return FeeQuote(fee_fen, _rate_of(fee_fen, fee.tax_ppm))
    return FeeQuote(0, 0)


def _rate_of(amount_fen: int, rate_ppm: int) -> int:
    """Return a share of an amount that is not negative, rounded half up."""
    return (amount_fen * rate_ppm + _WHOLE_PPM // 2) // _WHOLE_PPM


def check_limit(terms: Terms, *, mode: str, channel: str, amount_fen: int) -> None:
    """Refuse a way of paying that the company does not take; without limits it takes every one.

    Raises:
        Invalid: ``limit.mode`` (never this way), ``limit.channel`` (not here) or ``limit.amount``
            (not so much at once).
    """
    if not terms.limits:
        return
    of_mode = [limit for limit in terms.limits if limit.mode == mode]
    if not of_mode:
        modes = sorted({limit.mode for limit in terms.limits})
        raise Invalid(
            f"the company is not paid by {mode}: choose {' or '.join(modes)}",
            code="limit.mode", modes=modes,
        )  # fmt: skip
    here = [limit for limit in of_mode if channel in limit.channels]
    if not here:
        channels = sorted({name for limit in of_mode for name in limit.channels})
        raise Invalid(
            f"the company takes {mode} only on {', '.join(channels)}: choose another way to pay",
            code="limit.channel", channels=channels,
        )  # fmt: skip
    bounds = [limit.maximum_fen for limit in here if limit.maximum_fen is not None]
    if len(bounds) == len(here) and amount_fen > max(bounds):
        raise Invalid(
            f"the company takes at most {format_yuan(max(bounds))} at once by {mode} here: pay in"
            " parts or choose another way",
            code="limit.amount", asked_fen=amount_fen, maximum_fen=max(bounds),
        )  # fmt: skip
