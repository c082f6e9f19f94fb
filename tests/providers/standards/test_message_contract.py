"""Green Button, pain.013 and X12 810 keep the contract of every format."""

from datetime import date
from decimal import Decimal

import pytest

from providers.base import BillRecord, LineItem, RecordKind
from tests.providers.contract import BillFileContract, Sample, over_samples
from tests.providers.standards import test_espi as espi
from tests.providers.standards import test_pain_013 as pain
from tests.providers.standards import test_x12_810 as x12

FEED_BILL = BillRecord(
    4, RecordKind.BILL, "30012345", "", "", date(2026, 10, 1), "30012345-7", 1, date(2026, 10, 1),
    date(2026, 10, 31), date(2026, 10, 31), date(2026, 11, 15), Decimal(250), "kWh", 8_650,
    (LineItem("本期用量", Decimal(250), "kWh", 8_650),),
)  # fmt: skip
REQUEST = BillRecord(
    5, RecordKind.BILL, "00001234", "Ada Beispiel",
    "Musterweg, 7, 01234, Musterstadt, DE", date(2026, 11, 1), "P-1", 1, date(2026, 11, 1),
    date(2026, 11, 30), date(2026, 11, 1), date(2026, 11, 20), None, "", 11_900,
    (LineItem("Amount due", None, "", 11_900),),
)  # fmt: skip
INVOICE = BillRecord(
    3, RecordKind.BILL, "30012345", "ADA BEISPIEL", "7 EXAMPLE ST, SPRING TOWN, NY, 12345",
    date(2026, 10, 1), "INV-1", 1, date(2026, 10, 1), date(2026, 10, 31), date(2026, 11, 1),
    date(2026, 11, 21), Decimal(250), "kWh", 8_650,
    (
        LineItem("BASIC SERVICE", None, "", 1_000), LineItem("ENERGY", Decimal(250), "kWh", 7_000),
        LineItem("Tax LS", None, "", 650),
    ),
)  # fmt: skip
FOREIGN = pain.transaction("1", currency="USD")
SAMPLES = [
    Sample(
        "Green Button", espi.company(),
        espi.feed(espi.point(), espi.summary(), espi.summary(bill="x")), (FEED_BILL,), rejects=1,
        row=espi.summary(bill="x").encode(),
    ),
    Sample(
        "pain.013", pain.company(),
        pain.plain(pain.transaction(), FOREIGN), (REQUEST,), rejects=1, row=FOREIGN.encode(),
    ),
    Sample("X12 810", x12.company(), x12.interchange(x12.invoice()), (INVOICE,)),
]  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    over_samples(metafunc, SAMPLES)


class TestEveryMessage(BillFileContract):
    pass
