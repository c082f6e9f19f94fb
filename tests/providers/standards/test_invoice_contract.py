"""Invoices in UBL, in CII and in a PDF keep the contract of every format."""

from decimal import Decimal
from typing import Final

import pytest

from providers.base import LineItem
from providers.profiles import Profile
from tests.providers.contract import BillFileContract, Sample, bill, over_samples, profile_of
from tests.providers.standards.documents import (
    BUYER,
    CUSTOMER,
    cii,
    cii_line,
    file,
    pdf,
    ubl,
    ubl_line,
)

ACCOUNT: Final = ("00001234", "1000000001")
HOLDER: Final = ("Ada Beispiel", "张珅")
ADDRESS: Final = "Musterweg 7, 01234 Musterstadt"
EXPECTED = bill(
    2, usage_unit="m³", bill_no="P-1", address=ADDRESS, amount_fen=11_900,
    items=(
        LineItem("Water", Decimal(25), "m³", 10_000), LineItem("VAT", None, "", 1_900),
    ),
)  # fmt: skip


def of(form: str) -> Profile:
    account = '[account_no]\npattern = "[0-9]{10}"\nwords = "10 digits"\n'
    return profile_of(f'[file]\nformat = "{form}"\n{account}')


def in_ubl(number: str = "P-1", payable: str = "119.00") -> str:
    customer = CUSTOMER.replace("Ada\n    Beispiel", HOLDER[1]).replace(*ACCOUNT)
    text = ubl(
        number=number, payable=payable, customer=customer,
        lines=ubl_line(name="Water", quantity="25", unit="MTQ"),
    )  # fmt: skip
    return text.replace("EUR", "CNY").replace("\n", " ") + "\n"


def in_cii(number: str = "P-1", code: str = "380") -> str:
    buyer = BUYER.replace(*HOLDER).replace(*ACCOUNT)
    lines = cii_line(name="Water", quantity="25", unit="MTQ")
    text = cii(number=number, code=code, buyer=buyer, lines=lines)
    return text.replace("EUR", "CNY").replace("\n", " ") + "\n"


SAMPLES = [
    Sample(
        "ubl in a wrapper", of("ubl"),
        file("<All>\n", in_ubl(), in_ubl("P-2", payable="x"), "</All>"),
        (EXPECTED._replace(line_no=3),), rejects=1, row=in_ubl().encode(),
    ),
    Sample(
        "ubl one after another", of("ubl"), file(in_ubl()) + file(in_ubl("P-2")),
        (EXPECTED, EXPECTED._replace(line_no=4, bill_no="P-2")), row=file(in_ubl()),
    ),
    Sample(
        "cii", of("cii"), file("<All>\n", in_cii(), in_cii("P-2", "325"), "</All>"),
        (EXPECTED._replace(line_no=3),), rejects=1, row=in_cii().encode(),
    ),
    Sample("cii in a pdf", of("cii"), pdf(file(in_cii())), (EXPECTED,)),
]  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    over_samples(metafunc, SAMPLES)


class TestInvoices(BillFileContract):
    pass
