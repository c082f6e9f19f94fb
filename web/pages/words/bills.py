"""Why a bill is what it is, in a sentence somebody would say."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from billing.rules.changed import Asked, Change, Part, Reason
from core.money import format_yuan
from web import look

# What stands after the difference, between reasons and at the end.
_MARKS: Final = {"zh_CN": ("：", "，", "。"), "en": (": ", ", ", ".")}
_STEPS: Final = "一二三四五六七八九"
_HUNDREDTH: Final = Decimal("0.01")


def step_name(locale: str, no: int) -> str:
    """Return what a step is called."""
    number = _STEPS[no - 1] if locale == "zh_CN" else str(no)
    return look.say(locale, "step %(no)s", no=number)


def quantity_text(locale: str, amount: Decimal, unit: str) -> str:
    """Return an amount of water, power or gas as people say it."""
    words = {"m³": look.say(locale, "m³"), "kWh": look.say(locale, "kWh")}
    return f"{look.decimal_text(amount)} {words.get(unit, unit)}"


def changed_text(
    locale: str, now: Asked, change: Change | None, *, service: str, year: bool = False
) -> str:
    """Say how a bill differs from the one before, or (``year``) of last year, and why; or nothing.

    Args:
        now: the bill; ``change`` compares it.
        service: what its company sells.
    """
    if change is None:
        return ""
    colon, comma, stop = _MARKS[locale]
    why = [_reason(locale, part, now, change, service) for part in change.told]
    return _lead(locale, change, year=year) + (colon + comma.join(why) if why else "") + stop


def _lead(locale: str, change: Change, *, year: bool) -> str:
    values = {
        "diff": format_yuan(abs(change.diff_fen)),
        "before": format_yuan(change.before.total_fen),
        "month": look.month_text(locale, change.before.month),
    }
    more, less = change.diff_fen > 0, change.diff_fen < 0
    if year:
        if more:
            return look.say(
                locale, "%(diff)s more than a year ago (%(month)s, %(before)s)", **values
            )
        if less:
            return look.say(
                locale, "%(diff)s less than a year ago (%(month)s, %(before)s)", **values
            )
        return look.say(locale, "As much as a year ago (%(month)s)", **values)
    if change.next_to:
        if more:
            return look.say(locale, "%(diff)s more than last month (%(before)s)", **values)
        if less:
            return look.say(locale, "%(diff)s less than last month (%(before)s)", **values)
        return look.say(locale, "As much as last month", **values)
    if more:
        return look.say(
            locale, "%(diff)s more than the bill before (%(month)s, %(before)s)", **values
        )
    if less:
        return look.say(
            locale, "%(diff)s less than the bill before (%(month)s, %(before)s)", **values
        )
    return look.say(locale, "As much as the bill before (%(month)s)", **values)


def _reason(locale: str, part: Part, now: Asked, change: Change, service: str) -> str:
    values = {
        "use": _use(locale, service),
        "amount": "" if part.amount is None else quantity_text(locale, abs(part.amount), now.unit),
        "diff": format_yuan(abs(part.fen)),
        "name": part.name,
        "step": step_name(locale, part.step) if part.step else "",
    }
    match part.reason:
        case Reason.USAGE if part.amount is not None and part.amount > 0:
            return look.say(locale, "%(use)s rose by %(amount)s", **values)
        case Reason.USAGE:
            return look.say(locale, "%(use)s fell by %(amount)s", **values)
        case Reason.DAYS:
            return _days(locale, now.days - change.before.days)
        case Reason.A_DAY:
            was, is_ = (
                quantity_text(locale, _a_day(one), now.unit) for one in (change.before, now)
            )
            return look.say(
                locale,
                "%(use)s a day went from %(was)s to %(now)s",
                **values | {"was": was, "now": is_},
            )
        case Reason.TIER:
            return look.say(locale, "%(amount)s were charged in %(step)s", **values)
        case Reason.CHEAPER_TIER:
            return look.say(locale, "nothing was charged in %(step)s any more", **values)
        case Reason.PRICE:
            return _price(locale, part, now, values["diff"])
        case Reason.ITEM if part.fen > 0:
            return look.say(locale, "“%(name)s” is %(diff)s more", **values)
        case Reason.ITEM:
            return look.say(locale, "“%(name)s” is %(diff)s less", **values)
        case Reason.LATE_FEE if part.fen > 0:
            return look.say(locale, "late fees are %(diff)s more", **values)
        case Reason.LATE_FEE:
            return look.say(locale, "late fees are %(diff)s less", **values)
        case Reason.CREDIT if part.fen > 0:
            return look.say(locale, "credits covered %(diff)s less", **values)
        case Reason.CREDIT:
            return look.say(locale, "credits covered %(diff)s more", **values)


def _use(locale: str, service: str) -> str:
    return {
        "water": look.say(locale, "water used"),
        "power": look.say(locale, "power used"),
        "gas": look.say(locale, "gas used"),
    }.get(service) or look.say(locale, "usage")


def _days(locale: str, days: int) -> str:
    if days > 0:
        return look.say(locale, "it covers %(days)s days more", days=days)
    return look.say(locale, "it covers %(days)s days less", days=-days)


def _price(locale: str, part: Part, now: Asked, diff: str) -> str:
    if now.usage is None:
        if part.fen > 0:
            return look.say(locale, "other charges are %(diff)s more", diff=diff)
        return look.say(locale, "other charges are %(diff)s less", diff=diff)
    if part.fen > 0:
        return look.say(locale, "a unit cost more on average")
    return look.say(locale, "a unit cost less on average")


def _a_day(asked: Asked) -> Decimal:
    assert asked.usage is not None
    return (asked.usage / asked.days).quantize(_HUNDREDTH, ROUND_HALF_UP)
