"""What a bill's page says of why it is what it is: what changed, and the steps of the year."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Final

from markupsafe import Markup
from sqlmodel import Session

from billing.bills import BillRef, parse_ref
from billing.documents.tier_bars import tier_bar_svg
from billing.rules.changed import Asked, Change, compare
from billing.rules.tiers import Tiers
from billing.terms import terms_on
from billing.tiers import YearStand, tier_stands
from billing.views import BillView
from core.clock import add_months
from providers.registry import get_provider
from web import look
from web.pages.words.bills import changed_text, quantity_text, step_name

_LONGEST_GAP: Final = 3  # months: what is longer ago is not "the bill before"


@dataclass(frozen=True, slots=True, kw_only=True)
class TierWords:
    """Where an account stands among its company's steps, in words and as a bar."""

    lead: str
    names: list[str]
    bar: Markup
    stand: YearStand
    more_from_people: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """``last_month`` and ``last_year`` are sentences; empty: there is nothing to compare with."""

    last_month: str
    last_year: str
    tiers: TierWords | None


def why_of(session: Session, locale: str, bill: BillView, history: Sequence[BillView]) -> Why:
    """Say what changed since the bills before and where its year stands.

    Args:
        history: the account's bills up to and with it, the oldest first.
    """
    terms = terms_on(session, bill.account.provider_code, bill.issued_on)
    last, year_ago = _months_before(bill, history)
    compared = [one[-1] for one in (last, year_ago) if one]
    stands = tier_stands(session, [bill, *compared], terms.tiers)
    service = get_provider(bill.account.provider_code).service
    now = asked([bill], stands)
    told = [
        changed_text(
            locale, now, _change(now, others, stands), service=service, year=others is year_ago
        )
        for others in (last, year_ago)
    ]
    stand = stands.get(parse_ref(bill.ref))
    words = _tier_words(locale, stand, terms.tiers) if stand and terms.tiers else None
    return Why(last_month=told[0], last_year=told[1], tiers=words)


def _months_before(
    bill: BillView, history: Sequence[BillView]
) -> tuple[list[BillView], list[BillView]]:
    """Return the bills of the month before this one's and of the same month a year ago."""
    if bill.amount_fen < 0 or bill.state == "cancelled":
        return [], []  # a credit is no more and no less than a bill
    months = {
        month: list(found)
        for month, found in groupby(
            (one for one in history if one.billing_month < bill.billing_month),
            key=lambda one: one.billing_month,
        )
    }
    since = add_months(bill.billing_month, -_LONGEST_GAP)
    last = max((month for month in months if month >= since), default=None)
    return months.get(last or date.min, []), months.get(add_months(bill.billing_month, -12), [])


def _change(
    now: Asked, others: Sequence[BillView], stands: Mapping[BillRef, YearStand]
) -> Change | None:
    return compare(now, asked(others, stands)) if others else None


def asked(month: Sequence[BillView], stands: Mapping[BillRef, YearStand]) -> Asked:
    """Return what the bills of a month asked for together, to be compared."""
    items: dict[str, int] = {}
    for one in month:
        for item in one.items:
            items[item.name] = items.get(item.name, 0) + item.amount_fen
    last = month[-1]
    used = [one.usage for one in month if one.usage is not None]
    alike = len({one.usage_unit for one in month}) == 1
    first_on = min(one.period_from_on for one in month)
    stand = stands.get(parse_ref(last.ref))
    return Asked(
        month=last.billing_month,
        days=(max(one.period_to_on for one in month) - first_on).days + 1,
        charge_fen=sum(one.amount_fen for one in month),
        late_fee_fen=sum(one.adjusted_fen for one in month),
        credited_fen=sum(one.credited_fen for one in month),
        usage=sum(used[1:], used[0]) if used and alike else None,
        unit=last.usage_unit,
        items=items,
        tiers=stand.stand if stand and len(month) == 1 and stand.counted_from is None else None,
    )


def _tier_words(locale: str, found: YearStand, tiers: Tiers) -> TierWords:
    stand = found.stand
    used = quantity_text(locale, stand.used, stand.unit)
    step = step_name(locale, stand.step.no)
    if stand.left is None:
        lead = look.say(
            locale, "%(used)s used this year: the last step, %(step)s.", used=used, step=step
        )
    else:
        lead = look.say(
            locale, "%(left)s left until %(next)s begins; %(used)s used this year.", used=used,
            left=quantity_text(locale, stand.left, stand.unit),
            next=step_name(locale, stand.step.no + 1),
        )  # fmt: skip
    names = [step_name(locale, one.no) for one in stand.steps]
    label = look.say(locale, "The steps of the year")
    bar = look.plain_svg(tier_bar_svg(stand, label=label, figures=lead))
    return TierWords(
        lead=lead, names=names, bar=bar, stand=found, more_from_people=tiers.more_from_people
    )
