"""``citybill reconcile`` with a company's list."""

import gzip
import io
import json
import zipfile

import pytest

from tests.cli.test_commands import complaint
from tests.payments.reconciliation.company_days import row_of, written_off
from tests.payments.reconciliation.repairing import a_paid
from tests.payments.reconciliation.test_matching import a_file
from tests.payments.reconciliation.test_matching import row_of as settlement_row
from tests.providers.confirmation_writers import water

WHOSE = ("--source", "water", "--day", "2026-11-20")


def test_a_companys_list_is_matched_for_people_and_for_scripts(citybill, tmp_path):
    item = written_off()
    (tmp_path / "w.csv").write_bytes(water([row_of(item), row_of(item)]))

    done = citybill("reconcile", tmp_path / "w.csv", *WHOSE, "--json")
    shown = citybill("reconcile", tmp_path / "w.csv", *WHOSE)

    assert (done.returncode, shown.returncode) == (0, 0), done.stderr + shown.stderr
    told = json.loads(done.stdout)
    assert (told["source"], told["duplicate"], told["balanced"]) == ("water", 1, False)
    (found,) = told["breaks"]
    assert (found["kind"], found["reference"]) == ("duplicate", item.write_off_no)
    (line,) = [one for one in shown.stdout.splitlines() if item.write_off_no in one]
    assert line.split() == [
        "Listed", "twice", "to", "explain", item.write_off_no, "¥86.50", "¥173.00",
    ]  # fmt: skip


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("2026-11-20/told.csv", content)
    return packed.getvalue()


@pytest.mark.parametrize("packed", [bytes, gzip.compress, zipped])
def test_a_file_may_come_packed(citybill, tmp_path, packed):
    """A gateway's or a company's, bare, gzipped or in a ZIP."""
    payment, item = a_paid(), written_off(1_000)
    theirs = {
        "sandbox": a_file([settlement_row(payment)]), "water": water([row_of(item)]),
    }  # fmt: skip
    for source, content in theirs.items():
        (tmp_path / source).write_bytes(packed(content))

        done = citybill(
            "reconcile", tmp_path / source, "--source", source, "--day", "2026-11-20", "--json"
        )

        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["matched"] == 1


def test_a_list_that_was_cut_is_refused_in_one_line(citybill, tmp_path):
    (tmp_path / "w.csv").write_bytes(water([row_of(written_off())])[:150])

    done = citybill("reconcile", tmp_path / "w.csv", *WHOSE)

    assert done.returncode == 1
    assert complaint(done)
