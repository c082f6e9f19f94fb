"""Which part of a payment covers what: periods, heads, credits and the advance. Rules 9 and 36.

Nothing here remembers: a result follows from what is open, or from what was paid in all, so taking
any payment back leaves what the others alone would have done.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Literal, NamedTuple

from billing.rules.terms import Apportion, Head, Period
from core.errors import Invalid

Key = tuple[int, int]


class Claim(NamedTuple):
    """What is open of one bill. A negative charge is a credit; a late fee is never negative."""

    key: Key
    billing_month: date
    due_on: date
    charge_fen: int
    late_fee_fen: int


class Part(NamedTuple):
    """Money that goes to one head of one bill; always above zero."""

    key: Key
    head: Head | Literal["advance"]
    amount_fen: int


class Apportioned(NamedTuple):
    """Where money went. The parts but the advance, and ``advance_fen``, add up to the money.

    The advance is also the last part, on the newest period, unless there is no bill to put it on.
    """

    parts: tuple[Part, ...]
    advance_fen: int


def apportion(amount_fen: int, claims: Sequence[Claim], order: Apportion) -> Apportioned:
    """Divide money among what is open, in the company's order; the order of ``claims`` is nothing.

    Credits come before money: oldest first, each covers the oldest bill's charge, then its late
    fee. They are no money and so no part; ``consume_credits`` lists them.

    Raises:
        Invalid: the amount, or a late fee, is negative.
    """
    if amount_fen < 0:
        raise Invalid("a payment is not negative", code="amount.below", asked_fen=amount_fen)
    after_credits = _after_credits(claims)
    parts: list[Part] = []
    left_fen = amount_fen
    for claim in _in_order(after_credits, order.periods):
        for head in order.heads:
            open_fen = claim.charge_fen if head is Head.CHARGE else claim.late_fee_fen
            covered_fen = min(left_fen, open_fen)
            if covered_fen > 0:
                parts.append(Part(claim.key, head, covered_fen))
                left_fen -= covered_fen
    if left_fen and claims:
        newest = max(claims, key=_age)
        parts.append(Part(newest.key, "advance", left_fen))
    return Apportioned(tuple(parts), left_fen)


def _after_credits(claims: Sequence[Claim]) -> list[Claim]:
    """Return what is left of each debt when the credits among the claims have covered it."""
    debts = [claim._replace(charge_fen=max(0, claim.charge_fen)) for claim in claims]
    credits = [claim for claim in claims if claim.charge_fen < 0]
    covered_fen: dict[Key, int] = {}
    for _, key, part_fen in consume_credits(credits, debts, Period.OLDEST_FIRST):
        covered_fen[key] = covered_fen.get(key, 0) + part_fen
    return [_less(debt, covered_fen.get(debt.key, 0)) for debt in debts]


def _less(debt: Claim, covered_fen: int) -> Claim:
    charge_fen = min(debt.charge_fen, covered_fen)
    return debt._replace(
        charge_fen=debt.charge_fen - charge_fen,
        late_fee_fen=debt.late_fee_fen - (covered_fen - charge_fen),
    )


def heads_paid(
    charge_fen: int, late_fee_fen: int, paid_fen: int, order: Apportion
) -> dict[Head, int]:
    """Return how much of each head is paid, from what was paid of the bill in all.

    What one payment paid is the difference of two such answers. Money above both heads is in none.
    """
    due_fen = {Head.CHARGE: max(0, charge_fen), Head.LATE_FEE: max(0, late_fee_fen)}
    left_fen = max(0, paid_fen)
    paid: dict[Head, int] = {}
    for head in order.heads:
        paid[head] = min(left_fen, due_fen[head])
        left_fen -= paid[head]
    return paid


def consume_credits(
    credits: Sequence[Claim], debts: Sequence[Claim], order: Period
) -> list[tuple[Key, Key, int]]:
    """Cover open bills with negative ones: (credit, debt, fen), in the order it happens.

    Credits are used up in ``order``; the debts, whole, from the oldest to the newest.

    Raises:
        Invalid: a late fee is negative.
    """
    if any(claim.late_fee_fen < 0 for claim in (*credits, *debts)):
        raise Invalid("a late fee is not negative", code="amount.below")
    covers = [(claim.key, -claim.charge_fen) for claim in _in_order(credits, order)]
    needs = [
        (claim.key, max(0, claim.charge_fen) + claim.late_fee_fen)
        for claim in _in_order(debts, Period.OLDEST_FIRST)
    ]
    consumed: list[tuple[Key, Key, int]] = []
    while covers and needs:
        (credit, has_fen), (debt, needs_fen) = covers[0], needs[0]
        part_fen = min(has_fen, needs_fen)
        if part_fen > 0:
            consumed.append((credit, debt, part_fen))
            has_fen, needs_fen = has_fen - part_fen, needs_fen - part_fen
        covers[:1] = [(credit, has_fen)] if has_fen > 0 else []
        needs[:1] = [(debt, needs_fen)] if needs_fen > 0 else []
    return consumed


def _in_order(claims: Iterable[Claim], order: Period) -> list[Claim]:
    """Sort by every field in the end, so that no tie is left to the order of a query."""
    match order:
        case Period.OLDEST_FIRST:
            return sorted(claims, key=_age)
        case Period.NEWEST_FIRST:
            return sorted(claims, key=_age, reverse=True)
        case Period.LARGEST_FIRST:
            return sorted(claims, key=lambda claim: (-_size(claim), _age(claim)))


def _age(claim: Claim) -> tuple[date, date, Key, int, int]:
    return claim.billing_month, claim.due_on, claim.key, claim.charge_fen, claim.late_fee_fen


def _size(claim: Claim) -> int:
    return abs(claim.charge_fen) + claim.late_fee_fen
