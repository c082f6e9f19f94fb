"""A made-up city: its households and the bills its four companies make, from a seed.

Nothing is stored and nothing is drawn in sequence: any household's bill of any month can be asked
for on its own and is the same every time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from itertools import accumulate
from typing import NamedTuple, TypeVar

from core.clock import add_months, month_start
from core.errors import Invalid
from simulator.bills import Bill, Edition, GasBill, PowerBill, TelecomBill, TelecomItem, WaterBill
from simulator.chance import at_quantile, mix
from simulator.companies import COMPANIES
from simulator.households import (
    DEMO_NUMBER,
    MOST_HOUSEHOLDS,
    Household,
    household_key,
    is_vacant,
    make_household,
    number_of,
)
from simulator.tariffs import GAS, POWER, WATER, Meter, gas_charge, power_charges, water_charges

DEMO_SEED = 2026
AnyBill = TypeVar("AnyBill", bound=Bill)

_FIRST_YEAR = 2015  # meters read nothing before it
_ISSUED_DAY = {"water": 5, "power": 3, "gas": 6, "telecom": 1}
_DUE_AFTER_DAYS = {"water": 20, "power": 17, "gas": 19, "telecom": 19}
_FRESH_AFTER_DAYS = {"water": 6, "power": 9, "gas": 4, "telecom": 13}
_DEMO_YEARLY = {"water": 168, "power": 2_640, "gas": 216}
_PLANS_FEN = (5_900, 7_900, 9_900, 12_900, 16_900)
# Of ten thousand bills: mended, taken back, reminded of, and telecom bills that are a credit.
# Assumptions.
_CORRECTED, _CANCELLED, _REMINDED, _CREDITED = 30, 15, 40, 40
_REMINDED_AFTER_DAYS, _REMINDER_DAYS, _REMINDER_FEN = 5, 15, 500
_EARLY_IN = 13  # one telecom account in so many is offered an early amount, two per cent less


class Dates(NamedTuple):
    """The days all bills of a company and month share."""

    from_on: date
    to_on: date
    issued_on: date
    due_on: date


@cache
def bill_dates(company: str, month: date) -> Dates:
    """Return the days of a company's bills of a month: water and gas look two months back."""
    next_month = add_months(month, 1)
    issued_on = next_month.replace(day=_ISSUED_DAY[company])
    return Dates(
        from_on=add_months(next_month, -COMPANIES[company].bills_every_months),
        to_on=next_month - timedelta(days=1),
        issued_on=issued_on,
        due_on=issued_on + timedelta(days=_DUE_AFTER_DAYS[company]),
    )


def is_billed(company: str, month: date) -> bool:
    """Tell whether a company bills that month: water and gas only the odd ones."""
    return COMPANIES[company].bills_every_months == 1 or month.month % 2 == 1


class City:
    """``households`` of them, numbered from 1; household 1 is the demo's, 王小明."""

    def __init__(self, seed: int = DEMO_SEED, households: int = 1_000) -> None:
        if not 1 <= households <= MOST_HOUSEHOLDS:
            raise Invalid(f"a city has 1 to {MOST_HOUSEHOLDS:,} households")
        self.seed = seed
        self.households = households
        self._key = mix(seed)

    def household(self, number: int) -> Household:
        """Return a household; it does not depend on how many there are. Raises Invalid."""
        return make_household(self._key, number)

    def bills_of(self, number: int, month: date) -> list[Bill]:
        """Return the bills household ``number`` is issued for a month."""
        home, month = self.household(number), month_start(month)
        makers = {"water": _water, "power": _power, "gas": _gas, "telecom": _telecom}
        return [make(home, month, 1) for code, make in makers.items() if is_billed(code, month)]

    def find(self, company: str, account_no: str) -> int | None:
        """Return the number of the household with this account at a company, if there is one."""
        number = number_of(self._key, company, account_no)
        return number if 1 <= number <= self.households else None

    def water_bills(self, month: date, edition: Edition = Edition.ISSUED) -> Iterator[WaterBill]:
        """Yield the water bills of a month; none in an even one."""
        for home in self._billed("water", month, edition):
            bill = _water(home, month_start(month), _version(edition))
            if edition is not Edition.REMINDED:
                yield _edited(bill, edition)
            elif bill.amount_fen > 0:
                yield water_reminder(bill)

    def power_bills(self, month: date, edition: Edition = Edition.ISSUED) -> Iterator[PowerBill]:
        """Yield the power bills of a month."""
        for home in self._billed("power", month, edition):
            yield _edited(_power(home, month_start(month), _version(edition)), edition)

    def gas_bills(self, month: date, edition: Edition = Edition.ISSUED) -> Iterator[GasBill]:
        """Yield the gas bills of a month; none in an even one."""
        for home in self._billed("gas", month, edition):
            yield _edited(_gas(home, month_start(month), _version(edition)), edition)

    def telecom_bills(
        self, month: date, edition: Edition = Edition.ISSUED
    ) -> Iterator[TelecomBill]:
        """Yield the telecom bills of a month; a few are credits."""
        for home in self._billed("telecom", month, edition):
            bill = _telecom(home, month_start(month), _version(edition))
            if edition is not Edition.REMINDED:
                yield _edited(bill, edition)
            elif bill.amount_fen > 0:
                fee = TelecomItem("reminder", "催缴手续费", _REMINDER_FEN)
                yield replace(_edited(bill, edition), items=(fee,), early_fen=0)

    def _billed(self, company: str, month: date, edition: Edition) -> Iterator[Household]:
        """Yield whose bills are meant. The demo's are never mended or taken back."""
        reminds = company in ("water", "telecom")
        if not is_billed(company, month) or (edition is Edition.REMINDED and not reminds):
            return
        for number in range(1, self.households + 1):
            if edition is Edition.ISSUED or self._is_edited(number, company, month, edition):
                yield make_household(self._key, number)

    def _is_edited(self, number: int, company: str, month: date, edition: Edition) -> bool:
        """Tell whether a bill is among the few that are mended, or taken back."""
        key = household_key(self._key, number)
        first, many = {
            Edition.CORRECTED: (0, _CORRECTED),
            Edition.CANCELLED: (_CORRECTED, _CANCELLED),
            Edition.REMINDED: (_CORRECTED + _CANCELLED, _REMINDED),
        }[edition]
        wanted = first <= _roll(key, company, month, salt=9) < first + many
        return wanted and not is_vacant(key) and number != DEMO_NUMBER


def fresh_issue(company: str, fresh_on: date) -> date:
    """Return when a company's bills were issued that are dated just before a day."""
    return fresh_on - timedelta(days=_FRESH_AFTER_DAYS[company])


def reminded_on(due_on: date) -> date:
    """Return when a reminder of a bill is written."""
    return due_on + timedelta(days=_REMINDED_AFTER_DAYS)


def dated(bills: Iterable[AnyBill], company: str, fresh_on: date | None) -> Iterator[AnyBill]:
    """Yield bills as they are, or, for a demo on any day of the year, as issued just before one."""
    for bill in bills:
        if fresh_on is not None:
            bill.issued_on = fresh_issue(company, fresh_on)
            bill.due_on = bill.issued_on + timedelta(days=_DUE_AFTER_DAYS[company])
        yield bill


def water_reminder(bill: WaterBill) -> WaterBill:
    """Return the paper that reminds of a bill nobody paid, with its fee."""
    paper = _edited(bill, Edition.REMINDED)
    return replace(paper, usage_m3=Decimal(0), supply_fen=0, drainage_fen=0)


def demo_household(seed: int = DEMO_SEED) -> Household:
    """Return the household the demo signs in with."""
    return make_household(mix(seed), DEMO_NUMBER)


def _version(edition: Edition) -> int:
    """Return the version a bill is made in: what is taken back is the first, as it was."""
    return 2 if edition is Edition.CORRECTED else 1


def _edited(bill: AnyBill, edition: Edition) -> AnyBill:
    if edition is Edition.CANCELLED:
        return replace(bill, version=2, is_cancellation=True)
    if edition is Edition.REMINDED:
        issued_on = reminded_on(bill.due_on)
        return replace(
            bill, original_no=bill.bill_no, bill_no=f"{bill.bill_no}-R", issued_on=issued_on,
            due_on=issued_on + timedelta(days=_REMINDER_DAYS), amount_fen=_REMINDER_FEN,
        )  # fmt: skip
    return bill


def _roll(key: int, company: str, month: date, *, salt: int = 0) -> int:
    """Draw 0…9,999 for a household, company, month and purpose."""
    place = (month.year * 12 + month.month) * 64 + ord(company[0]) * 1_000_003 + salt
    return mix(key ^ mix(place)) % 10_000


def _yearly(home: Household, company: str, meter: Meter) -> int:
    if home.is_vacant:
        return 0
    if home.number == DEMO_NUMBER:
        return _DEMO_YEARLY[company]
    return at_quantile(meter.curve, mix(home.key + ord(company[0])) % 10_000)


@cache
def _year_parts(meter: Meter) -> tuple[int, ...]:
    """Return the thousandths of a year used up when each of its periods begins."""
    return tuple(accumulate(meter.shares, initial=0))[:-1]


def _readings(
    home: Household, company: str, meter: Meter, month: date, scale: int
) -> tuple[int, int, int]:
    """Return the meter at the year's beginning, the period's beginning and its end.

    A reading is a straight function of the period, so one period's end is the next's beginning.
    """
    yearly = _yearly(home, company, meter) * scale
    periods = len(meter.shares)
    first = (month.year - _FIRST_YEAR) * periods
    at = first + (month.month - 1) * periods // 12
    parts = _year_parts(meter)
    # Some usage comes a little earlier than the season says; less than the leanest period brings.
    sway = yearly * min(meter.shares) // 2_000 + 1
    base = home.key % 400 * scale

    def reading(period: int) -> int:
        years, part = divmod(period, periods)
        used = yearly * years + yearly * parts[part] // 1_000
        return base + used + mix(home.key ^ (period * 4 + ord(company[0]))) % sway

    return reading(first), reading(at), reading(at + 1)


def _bill_no(company: str, month: date, number: int) -> str:
    return f"{company[0].upper()}{month.year}{month.month:02d}{number:09d}"


def _water(home: Household, month: date, version: int) -> WaterBill:
    year_start_l, from_l, to_l = _readings(home, "water", WATER, month, 1_000)
    if home.key % 20:  # nineteen in twenty meters show whole cubic metres only
        year_start_l, from_l, to_l = (
            litres - litres % 1_000 for litres in (year_start_l, from_l, to_l)
        )
    usage_l = _mended(to_l - from_l, version, 1_000)
    supply_fen, drainage_fen = water_charges(from_l - year_start_l, usage_l, is_large=home.is_large)
    dates = bill_dates("water", month)
    return WaterBill(
        account_no=home.account_no("water"),
        holder=home.holder,
        address=home.address,
        billing_month=month,
        bill_no=_bill_no("water", month, home.number),
        version=version,
        is_cancellation=False,
        from_on=dates.from_on,
        to_on=dates.to_on,
        issued_on=dates.issued_on,
        due_on=dates.due_on,
        amount_fen=(supply_fen + drainage_fen + 5) // 10 * 10,
        usage_m3=_cubic_metres(usage_l),
        supply_fen=supply_fen,
        drainage_fen=drainage_fen,
    )


def _power(home: Household, month: date, version: int) -> PowerBill:
    year_start, from_kwh, to_kwh = _readings(home, "power", POWER, month, 1)
    usage = _mended(to_kwh - from_kwh, version, 1)
    peak_kwh = usage * (550 + home.key % 220 + _roll(home.key, "power", month) % 30) // 1_000
    valley_kwh = usage - peak_kwh
    peak_fen, valley_fen = power_charges(
        from_kwh - year_start, peak_kwh=peak_kwh, valley_kwh=valley_kwh, is_large=home.is_large
    )
    dates = bill_dates("power", month)
    return PowerBill(
        account_no=home.account_no("power"),
        holder=home.holder,
        address=home.address,
        billing_month=month,
        bill_no=_bill_no("power", month, home.number),
        version=version,
        is_cancellation=False,
        from_on=dates.from_on,
        to_on=dates.to_on,
        issued_on=dates.issued_on,
        due_on=dates.due_on,
        amount_fen=peak_fen + valley_fen,
        peak_kwh=peak_kwh,
        valley_kwh=valley_kwh,
        peak_fen=peak_fen,
        valley_fen=valley_fen,
    )


def _gas(home: Household, month: date, version: int) -> GasBill:
    year_start, last, this = _readings(home, "gas", GAS, month, 1)
    usage = _mended(this - last, version, 1)
    dates = bill_dates("gas", month)
    return GasBill(
        account_no=home.account_no("gas"),
        holder=home.holder,
        address=home.address,
        billing_month=month,
        bill_no=_bill_no("gas", month, home.number),
        version=version,
        is_cancellation=False,
        from_on=dates.from_on,
        to_on=dates.to_on,
        issued_on=dates.issued_on,
        due_on=dates.due_on,
        amount_fen=gas_charge(last - year_start, usage, is_large=home.is_large),
        last_reading_m3=last,
        this_reading_m3=last + usage,
        usage_m3=usage,
    )


def _telecom(home: Household, month: date, version: int) -> TelecomBill:
    items = _telecom_items(home, month, version)
    amount_fen = sum(item.amount_fen for item in items)
    is_offered = home.key % _EARLY_IN == 0 and amount_fen > 0 and home.number != DEMO_NUMBER
    dates = bill_dates("telecom", month)
    return TelecomBill(
        account_no=home.account_no("telecom"),
        holder=home.holder,
        address=home.address,
        billing_month=month,
        bill_no=_bill_no("telecom", month, home.number),
        version=version,
        is_cancellation=False,
        from_on=dates.from_on,
        to_on=dates.to_on,
        issued_on=dates.issued_on,
        due_on=dates.due_on,
        amount_fen=amount_fen,
        items=items,
        early_fen=amount_fen * 98 // 100 if is_offered else 0,
    )


def _telecom_items(home: Household, month: date, version: int) -> tuple[TelecomItem, ...]:
    plan_fen = _PLANS_FEN[home.key % len(_PLANS_FEN)]
    items = [TelecomItem("plan", "套餐月基本费", plan_fen)]
    roll = _roll(home.key, "telecom", month)
    if home.is_vacant:
        return (*items, TelecomItem("discount", "停机保号减免", -plan_fen))
    if home.key % 7 < 3:
        items.append(TelecomItem("iptv", "宽带电视费", 2_000))
    if roll % 10 < 3:
        items.append(TelecomItem("data", "套餐外流量费", 500 + roll % 25 * 100))
    if home.key % 11 < 4:
        items.append(TelecomItem("discount", "优惠费用", -1_000))
    if version > 1:
        items.append(TelecomItem("adjust", "计费差错调整", -300))
    if roll < _CREDITED and home.number != DEMO_NUMBER:
        refund_fen = sum(item.amount_fen for item in items) + 500 + roll * 50
        items.append(TelecomItem("adjust", "退费调整", -refund_fen))
    return tuple(items)


def _mended(usage: int, version: int, unit: int) -> int:
    """Return the usage a correction comes to: a tenth less, at least one unit, of whole units."""
    if version == 1 or usage < unit:
        return usage
    return usage - max(usage // 10 // unit * unit, unit)


def _cubic_metres(litres: int) -> Decimal:
    whole, part = divmod(litres, 1_000)
    return Decimal(litres).scaleb(-3) if part else Decimal(whole)
