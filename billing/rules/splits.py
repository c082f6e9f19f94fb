"""How a settlement to a company is divided among its accounts. Rule 10."""

from billing.rules.terms import MAX_SPLITS, Terms
from core.errors import Invalid
from core.money import divide, format_yuan

_WHOLE_PPM = 10**6


def split_settlement(amount_fen: int, terms: Terms, *, primary_ref: str) -> list[tuple[str, int]]:
    """Divide a settlement into (account, fen) that sum to it; the primary, with the rest, is last.

    Rates are of the whole settlement. An account that gets nothing is left out.

    Raises:
        Invalid: the settlement is negative, or the shares are more than it.
    """
    if amount_fen < 0:
        raise Invalid("a settlement below zero is not divided", code="splits.below_zero")
    rates = [split.rate_ppm for split in terms.splits]
    # By largest remainder, the primary's rest included: shares rounded one by one can sum to more.
    *shares, rest_fen = divide(amount_fen, [*rates, _WHOLE_PPM - sum(rates)])
    fixed_fen = sum(split.fixed_fen for split in terms.splits)
    if fixed_fen > rest_fen:
        raise Invalid(
            f"the shares of other accounts are more than the settlement of"
            f" {format_yuan(amount_fen)}: lower them in the terms",
            code="splits.above_total", total_fen=amount_fen, above_fen=fixed_fen - rest_fen,
        )  # fmt: skip
    parts: dict[str, int] = {}
    for split, share_fen in zip(terms.splits, shares, strict=True):
        parts[split.account_ref] = split.fixed_fen + share_fen
    # One transfer an account, should the company name its primary among the others.
    parts[primary_ref] = parts.pop(primary_ref, 0) + rest_fen - fixed_fen
    assert sum(parts.values()) == amount_fen
    assert len(parts) <= MAX_SPLITS
    return [(account_ref, part_fen) for account_ref, part_fen in parts.items() if part_fen]
