"""``citybill documents``: a batch as a night's script has it made."""

import json
import time
from pathlib import Path
from threading import Thread

import pytest
from sqlmodel import select

from billing.documents import batches
from billing.documents.batch_papers import Press, make_share
from billing.documents.batches import BatchState, DocumentBatch
from core.db import transaction
from identity.audit import AuditEntry
from tests.cli.test_commands import complaint
from tests.factories import MONTH, NOW, a_record, bring_in


@pytest.fixture
def make(citybill, tmp_path):
    """Order papers while a worker of this process makes what is ordered."""

    def run(*arguments: object, cancel: bool = False):
        worker = Thread(target=a_worker, args=(tmp_path, cancel))
        worker.start()
        done = citybill("documents", *arguments, CITYBILL_DOCUMENTS_DIR=str(tmp_path))
        worker.join(timeout=60)
        return done

    return run


def a_worker(folder: Path, cancel: bool) -> None:
    """Make the first batch that is ordered, or call it off."""
    until = time.monotonic() + 40
    while time.monotonic() < until:
        with transaction() as session:
            live = session.exec(
                select(DocumentBatch).where(DocumentBatch.state == BatchState.ORDERED)
            ).first()
        if live is not None:
            break
        time.sleep(0.1)
    else:
        return
    if cancel:
        with transaction() as session:
            batches.cancel(session, live.id, now=NOW)
        return
    with transaction() as session:
        count = batches.cut(session, live.id, share=2, now=NOW)
    press = Press(
        folder, "https://city.example", lambda _session, bills: {one.ref: () for one in bills}, NOW
    )
    for no in range(1, count + 1):
        make_share(live.id, no, press)


def water(*numbers: str) -> int:
    """Bring in a file of bills; returns its number."""
    result = bring_in("water", *(a_record(one, bill_no=f"B{one}") for one in numbers))
    return result.bill_file_id


def test_it_waits_until_they_are_made_and_says_where_they_lie(make, tmp_path):
    water("1", "2", "3")

    done = make("--company", "water", "--month", f"{MONTH:%Y-%m}", "--json")

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["state"], told["documents"], told["made"], told["volumes"]) == ("done", 3, 2, 2)
    assert told["folder"] == str(tmp_path / str(told["id"]))
    lying = sorted(one.name for one in Path(told["folder"]).iterdir())
    assert lying == ["0001.pdf", "0002.pdf"]
    with transaction() as session:
        entry = session.exec(select(AuditEntry).where(AuditEntry.what == "documents_ordered")).one()
    assert (entry.person_id, entry.subject_id) == (None, str(told["id"]))


def test_the_bills_of_one_file_alone(make):
    water("1", "2", "3")
    second = water("4")

    done = make("--company", "water", "--month", f"{MONTH:%Y-%m}", "--file", second)

    assert done.returncode == 0, done.stderr
    line = done.stdout.splitlines()[1].split()
    assert line[1:] == ["water", f"{MONTH:%Y-%m}", str(second), "done", "1", "1/1", "0"]


def test_called_off_meanwhile_it_says_so(make):
    water("1")

    done = make("--company", "water", "--month", f"{MONTH:%Y-%m}", cancel=True)

    assert done.returncode == 1
    assert "called off meanwhile" in done.stderr


def test_list_and_cancel(citybill):
    water("1")
    with transaction() as session:
        batch_id = batches.order(
            session, batches.BatchKind.BILLS, provider_code="water", month=MONTH, by=None, now=NOW
        ).id

    listed = json.loads(citybill("documents", "--list", "--json").stdout)["batches"]
    called_off = citybill("documents", "--cancel", batch_id, "--json")
    again = citybill("documents", "--cancel", batch_id)

    assert [(one["id"], one["state"]) for one in listed] == [(batch_id, "ordered")]
    assert json.loads(called_off.stdout)["state"] == "cancelled"
    assert (again.returncode, "not being made any more" in complaint(again)) == (1, True)
    assert "cancelled" in citybill("documents", "--list", "--company", "water").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "choose one"),
        (("--company", "water", "--statements", "--month", "2026-10"), 2, "choose one"),
        (("--list", "--cancel", "1"), 2, "choose one"),
        (("--company", "water"), 2, "--month belongs"),
        (("--list", "--month", "2026-10"), 2, "--month belongs"),
        (("--statements", "--month", "2026-10", "--file", "1"), 2, "--file belongs"),
        (("--company", "water", "--month", "October"), 2, "not a month"),
        (("--company", "nobody", "--month", "2026-10"), 1, "nobody"),
        (("--company", "water", "--month", "2026-10", "--file", "9"), 1, "sent no file No. 9"),
        (("--cancel", "9"), 1, "no such papers"),
    ],
)
def test_what_is_wrong_is_refused(citybill, tmp_path, arguments, code, words):
    done = citybill("documents", *arguments, CITYBILL_DOCUMENTS_DIR=str(tmp_path))

    assert done.returncode == code, done.stderr
    assert words in " ".join(done.stderr.replace("│", " ").split())


def test_without_a_folder_nothing_is_ordered(citybill):
    water("1")

    done = citybill("documents", "--company", "water", "--month", f"{MONTH:%Y-%m}")

    assert (done.returncode, "CITYBILL_DOCUMENTS_DIR" in complaint(done)) == (1, True)
    with transaction() as session:
        assert session.exec(select(DocumentBatch)).all() == []
