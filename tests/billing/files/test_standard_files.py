"""What invoices in a standard come to in the books: corrected once, never asked for twice."""

from typing import Any

from sqlmodel import select

from billing.models import Bill
from core.db import transaction
from providers.base import BillRecord
from tests.factories import bring_in, violations
from tests.providers.standards.documents import read, ubl_file
from tests.providers.standards.test_ubl import corrects

CORRECTED = "<cbc:IssueDate>2026-11-15</cbc:IssueDate>"


def take_in(*files: bytes) -> None:
    for data in files:
        bring_in("power", *(row for row in read(data) if isinstance(row, BillRecord)))


def bills() -> list[Any]:
    with transaction() as session:
        query = select(Bill.bill_no, Bill.version, Bill.amount_fen).order_by(Bill.bill_no)
        return [tuple(row) for row in session.exec(query)]


def test_a_corrected_invoice_leaves_one_bill(city):
    wrong = ubl_file()
    right = ubl_file(
        code="384", number="P-2", issued=CORRECTED, payable="90.00", before=corrects("P-1")
    )

    take_in(wrong, right, right, wrong)

    assert bills() == [("P-1", 2, 9_000)]
    assert violations() == []


def test_without_a_period_the_correction_finds_its_bill_by_the_date_it_names(city):
    first = ubl_file(issued="<cbc:IssueDate>2026-10-31</cbc:IssueDate>", period="")
    named = corrects("P-1", issued="2026-10-31")

    take_in(first, ubl_file(code="384", issued=CORRECTED, period="", before=named))

    assert [(number, version) for number, version, _ in bills()] == [("P-1", 2)]


def test_a_credit_note_covers_what_is_open(city):
    credit = ubl_file(root="CreditNote", code="381", number="C-1", due="", payable="19.00")

    take_in(ubl_file(), credit, credit)

    assert bills() == [("C-1", 1, -1_900), ("P-1", 1, 11_900)]
    assert violations() == []
