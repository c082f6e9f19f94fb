"""What a demo has to show beside everybody's bills: all on one household, in files of their own.

A bill that is cheaper early, one in instalments, a small credit, and a reminder with a fee.
"""

from dataclasses import replace
from datetime import date, timedelta
from typing import TypeVar

from simulator.bills import Bill, TelecomBill, TelecomItem, WaterBill
from simulator.city import City, water_reminder

AnyBill = TypeVar("AnyBill", bound=Bill)
NUMBER = 2  # household 1 stays plain: its bills are paid in the story, whole and in time
_ISSUED_BEFORE, _DUE_AFTER = timedelta(days=2), timedelta(days=20)
_BROADBAND_FEN, _EARLY_FEN, _PHONE_FEN, _CREDIT_FEN = 118_800, 112_860, 129_900, -1_200
_INSTALMENTS_FEN = (43_300, 43_300, 43_300)


def extra_telecom_bills(city: City, month: date, on: date) -> list[TelecomBill]:
    """Return three more telecom bills of a month, issued two days before ``on``."""
    usual = _usual(city, month, TelecomBill)
    issued_on = on - _ISSUED_BEFORE

    def extra(suffix: str, code: str, name: str, amount_fen: int) -> TelecomBill:
        items = (TelecomItem(code, name, amount_fen),)
        return replace(
            usual, bill_no=f"{usual.bill_no}-{suffix}", issued_on=issued_on,
            due_on=issued_on + _DUE_AFTER, items=items, amount_fen=amount_fen, early_fen=0,
        )  # fmt: skip

    return [
        replace(extra("B", "year", "宽带包年费", _BROADBAND_FEN), early_fen=_EARLY_FEN),
        replace(extra("P", "phone", "购机款", _PHONE_FEN), instalments_fen=_INSTALMENTS_FEN),
        extra("C", "adjust", "漫游费退费", _CREDIT_FEN),
    ]


def extra_water_reminder(city: City, month: date) -> WaterBill:
    """Return the reminder of a month's water bill."""
    return water_reminder(_usual(city, month, WaterBill))


def _usual(city: City, month: date, kind: type[AnyBill]) -> AnyBill:
    return next(bill for bill in city.bills_of(NUMBER, month) if isinstance(bill, kind))
