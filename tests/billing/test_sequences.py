"""A company's own file numbers. Rule 40: a file is known by its bytes and by its number."""

import io
from collections.abc import Callable
from datetime import datetime

import pytest

from billing.files.bill_files import get_bill_file, register
from billing.files.importing import ImportResult, import_bills
from core.db import transaction
from core.errors import BillFileError
from providers.base import Heading
from tests.factories import NOW, Rows, a_record, at_once, violations

pytestmark = pytest.mark.usefixtures("city")


def a_file(sha256: str, *, company: str = "water") -> int:
    with transaction() as session:
        bill_file, _ = register(
            session, company, sha256=sha256, size_bytes=1, file_name=f"{sha256}.txt",
            received_via="test", now=NOW,
        )  # fmt: skip
    assert bill_file.id is not None
    return bill_file.id


def send(
    sha256: str, sequence_no: str, *, company: str = "water", now: datetime = NOW, refuse: str = ""
) -> ImportResult:
    """Send a file of one bill, named after its bytes."""
    rows = Rows(Heading(sequence_no), a_record("0000000001", f"B-{sha256}"), refuse=refuse)
    return import_bills(a_file(sha256, company=company), rows, lambda: io.BytesIO(), now=now)


def test_the_number_is_kept_with_the_file():
    done = send("a", "42")

    with transaction() as session:
        assert get_bill_file(session, done.bill_file_id).sequence_no == "42"


def test_the_same_bytes_again_change_nothing():
    send("a", "42")

    assert send("a", "42").unchanged == 1


def test_other_bytes_under_a_used_number_are_refused_whole_with_the_remedy():
    send("a", "42")

    with pytest.raises(BillFileError) as refused:
        send("b", "42")

    assert str(refused.value) == (
        "the file number 42 was used before, by 'a.txt' received on 2026-11-20: send this file"
        " under a new number, or nothing if it is the same file"
    )
    with transaction() as session:
        file = get_bill_file(session, 2)
        assert (file.status, file.complaint, file.created) == ("refused", str(refused.value), 0)
    assert send("b", "43").created == 1
    assert violations() == []


def test_each_company_counts_for_itself():
    send("a", "42")

    assert send("b", "42", company="gas").created == 1


def test_the_number_of_a_refused_file_may_be_used_again():
    with pytest.raises(BillFileError, match="totals"):
        send("a", "42", refuse="the totals do not agree")

    assert send("b", "42").created == 1


def test_a_refused_file_that_comes_again_does_not_take_the_number_back():
    with pytest.raises(BillFileError, match="totals"):
        send("a", "42", refuse="the totals do not agree")
    send("b", "42")

    with pytest.raises(BillFileError, match=r"used before, by 'b\.txt'"):
        send("a", "42")
    assert send("a", "44").created == 1


def test_a_file_without_a_number_is_taken_as_often_as_its_bytes_differ():
    for sha256 in "ab":
        rows = Rows(a_record("0000000001", f"B-{sha256}"))
        done = import_bills(a_file(sha256), rows, lambda: io.BytesIO(), now=NOW)
        assert done.created == 1


def test_a_killed_import_keeps_its_number_and_goes_on(monkeypatch):
    def killed(_done: int, _rows: int) -> None:
        raise KeyboardInterrupt

    file_id = a_file("a")
    rows = Rows(Heading("42"), a_record("0000000001"))
    with pytest.raises(KeyboardInterrupt):
        import_bills(file_id, rows, lambda: io.BytesIO(), now=NOW, progress=killed)
    with pytest.raises(BillFileError, match=r"used before, by 'a\.txt'"):
        send("b", "42")

    assert import_bills(file_id, rows, lambda: io.BytesIO(), now=NOW).created == 1


def test_of_two_files_with_one_number_at_one_moment_one_lands():
    acts: list[Callable[[], ImportResult]] = [
        lambda sha256=sha256: send(sha256, "42")  # type: ignore[misc]
        for sha256 in ("a", "b", "c", "d")
    ]

    found = at_once(acts)

    landed = [one for one in found if isinstance(one, ImportResult)]
    refused = [one for one in found if isinstance(one, BillFileError)]
    assert (len(landed), len(refused)) == (1, 3)
    assert sum(one.created for one in landed) == 1
    assert violations() == []
