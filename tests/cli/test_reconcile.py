"""``citybill reconcile`` with a company's list."""

import json

from tests.cli.test_commands import citybill, complaint
from tests.payments.reconciliation.company_days import row_of, written_off
from tests.providers.confirmation_writers import water

__all__ = ["citybill"]  # a fixture
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
    assert f"duplicate  {item.write_off_no}" in shown.stdout


def test_a_list_that_was_cut_is_refused_in_one_line(citybill, tmp_path):
    (tmp_path / "w.csv").write_bytes(water([row_of(written_off())])[:150])

    done = citybill("reconcile", tmp_path / "w.csv", *WHOSE)

    assert done.returncode == 1
    assert complaint(done)
