"""What the simulated companies write, every edition of a month, read and landed."""

import hashlib
import io
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from sqlalchemy import text

from billing.files.bill_files import register
from billing.files.importing import ImportResult, import_bills
from core.db import transaction
from core.errors import BillFileError
from providers.registry import reader_for
from simulator.bill_files import write_telecom, write_water
from simulator.bills import Edition
from simulator.city import City
from tests.factories import NOW, violations

SEPTEMBER = date(2026, 9, 1)
EDITIONS = (Edition.ISSUED, Edition.CORRECTED, Edition.CANCELLED, Edition.REMINDED)
COMPANIES = [("water", write_water), ("telecom", write_telecom)]


def send(company: str, content: bytes) -> ImportResult:
    with transaction() as session:
        bill_file, _ = register(
            session, company, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content),
            file_name=company, received_via="test", now=NOW,
        )  # fmt: skip
    assert bill_file.id is not None
    return import_bills(bill_file.id, reader_for(company), lambda: io.BytesIO(content), now=NOW)


def written(
    company: str, write: Callable[..., Any], edition: Edition, sequence: int
) -> tuple[bytes, int]:
    stream = io.BytesIO()
    bills = getattr(City(households=1_500), f"{company}_bills")(SEPTEMBER, edition)
    totals = write(stream, bills, sequence, date(2026, 10, 5))
    return stream.getvalue(), totals.bill_count


@pytest.mark.usefixtures("city")
@pytest.mark.parametrize(("company", "write"), COMPANIES)
def test_every_edition_of_a_month_lands_without_a_reject(company, write):
    done: list[ImportResult] = []
    for sequence, edition in enumerate(EDITIONS):
        content, count = written(company, write, edition, sequence)
        done.append(send(company, content))
        assert (done[-1].rows, done[-1].rejected) == (count, 0)
        assert count > 0

    issued, corrected, cancelled, reminded = done
    assert issued.created == 1_500
    assert corrected.superseded == corrected.rows
    assert cancelled.cancelled == cancelled.rows
    assert reminded.reminded == reminded.rows
    with transaction() as session:
        offered = session.execute(
            text("SELECT count(*) FROM bill WHERE pay_terms IS NOT NULL")
        ).scalar_one()
    assert (offered > 50) == (company == "telecom")
    assert violations() == []


@pytest.mark.usefixtures("city")
@pytest.mark.parametrize(("company", "write"), COMPANIES)
def test_another_edition_under_the_same_number_is_refused(company, write):  # rule 40
    send(company, written(company, write, Edition.ISSUED, 7)[0])

    with pytest.raises(BillFileError, match="the file number 7 was used before"):
        send(company, written(company, write, Edition.CORRECTED, 7)[0])
