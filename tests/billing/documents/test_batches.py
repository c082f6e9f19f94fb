"""Papers by the thousand: every document once, whoever is killed while they are made."""

import hashlib
import os
import signal
import subprocess
import sys
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from pypdf import PdfReader
from sqlalchemy import text
from sqlmodel import Session

from billing.documents import batch_papers, batches
from billing.documents.batch_papers import Press, make_share
from billing.documents.batches import BatchKind, BatchState, DocumentBatch
from core.db import transaction
from core.errors import Conflict, Invalid, NotFound
from identity.models import Role
from tests.conftest import NOW, ROOT
from tests.factories import MONTH, a_home, a_person, a_record, at_once, bring_in, topics

pytestmark = pytest.mark.usefixtures("city")
LATER = NOW + timedelta(days=8)


@pytest.fixture
def press(tmp_path: Path) -> Press:
    return Press(tmp_path, "https://city.example", lambda _session, bills: no_offers(bills), NOW)


def no_offers(bills: object) -> dict[str, tuple[()]]:
    return {bill.ref: () for bill in bills}


@pytest.fixture
def clerk() -> int:
    return a_person(Role.OPERATOR)


def bills_in(company: str, *holders: str, month: date = MONTH) -> None:
    bring_in(
        company,
        *(
            a_record(f"{company}{at}", holder_name=holder, billing_month=month)
            for at, holder in enumerate(holders)
        ),
    )  # fmt: skip


def ordered(
    by: int, kind: BatchKind = BatchKind.BILLS, *, month: date = MONTH, share: int = 3
) -> DocumentBatch:
    """A batch that was ordered and cut."""
    code = "water" if kind is BatchKind.BILLS else None
    with transaction() as session:
        batch = batches.order(session, kind, provider_code=code, month=month, by=by, now=NOW)
    assert batch.id is not None
    with transaction() as session:
        batches.cut(session, batch.id, share=share, now=NOW)
    return batch


def as_it_is(batch: DocumentBatch) -> DocumentBatch:
    with transaction() as session:
        return session.get_one(DocumentBatch, batch.id)


def make_all(batch: DocumentBatch, press: Press) -> None:
    with transaction() as session:
        numbers = [one.no for one in batches.list_shares(session, batch.id)]
    for no in numbers:
        make_share(batch.id, no, press)


def names_in(batch: DocumentBatch, press: Press) -> list[str]:
    """What the outlines of all volumes say, volume after volume."""
    with transaction() as session:
        shares = batches.list_shares(session, batch.id)
    found = []
    for one in shares:
        path = batches.volume_path(press.folder, batch.id, one.no)
        content = path.read_bytes()
        assert hashlib.sha256(content).hexdigest() == one.sha256
        assert len(content) == one.file_bytes
        found += [entry.title for entry in PdfReader(BytesIO(content)).outline]
    return found


def files(folder: Path) -> list[str]:
    return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())


class TestBills:
    def test_every_bill_of_the_month_is_in_one_volume(self, press, clerk):
        bills_in("water", *(f"户主{at}" for at in range(7)))
        bills_in("gas", "煤气户主")
        bills_in("water", "上月户主", month=date(2026, 9, 1))
        batch = ordered(clerk)

        make_all(batch, press)

        assert names_in(batch, press) == [f"water{at} · B1" for at in range(7)]
        assert files(press.folder) == [f"{batch.id}/000{no}.pdf" for no in (1, 2, 3)]
        assert as_it_is(batch).state is BatchState.DONE
        assert as_it_is(batch).ended_at == NOW

    def test_a_letter_carries_the_whole_name_and_what_was_billed_before(self, press, clerk):
        bills_in("water", "王珅瑋", month=date(2026, 9, 1))
        bills_in("water", "王珅瑋")
        batch = ordered(clerk)

        make_all(batch, press)

        path = batches.volume_path(press.folder, batch.id, 1)
        (page,) = PdfReader(path).pages
        words = page.extract_text()
        assert "王珅瑋" in words
        assert "2026年9月" in words
        assert path.stat().st_mode & 0o077 == 0

    def test_what_was_billed_before_somebody_moved_away_is_on_nobodys_letter_after(
        self, press, clerk
    ):
        home = a_home(8_650)
        for month in (date(2026, 8, 1), date(2026, 9, 1)):
            record = a_record(
                home.account_nos[0], billing_month=month, amount_fen=77_700 + month.month,
                period_from_on=month, period_to_on=date(2026, month.month, 28),
            )  # fmt: skip
            bring_in("water", record)
        with transaction() as session:
            session.execute(
                text("INSERT INTO account_departure"
                     " (account_id, household_id, left_on, holder_mark)"
                     " VALUES (:account_id, :household_id, '2026-08-31', '')"),
                {"account_id": home.refs[0][0], "household_id": home.household_id},
            )  # fmt: skip
        batch = ordered(clerk)

        make_all(batch, press)

        (page,) = PdfReader(batches.volume_path(press.folder, batch.id, 1)).pages
        words = page.extract_text()
        assert "777.09" in words
        assert "777.08" not in words

    def test_of_one_file_alone_those_whose_present_version_came_in_it(self, press, clerk):
        bills_in("water", "甲", "乙")
        second = bring_in("water", a_record("water9", holder_name="丙"))
        with transaction() as session:
            batch = batches.order(
                session, BatchKind.BILLS, provider_code="water", month=MONTH, by=clerk,
                bill_file_id=second.bill_file_id, now=NOW,
            )  # fmt: skip
        with transaction() as session:
            batches.cut(session, batch.id or 0, now=NOW)

        make_all(batch, press)

        assert names_in(batch, press) == ["water9 · B1"]
        ordered(clerk)  # the whole month is another batch, and may be made beside it

    @pytest.mark.parametrize(
        ("company", "month", "code"),
        [("gas", MONTH, "documents.no_file"), ("water", date(2026, 9, 1), "documents.other_month")],
    )
    def test_a_file_without_such_bills_is_refused(self, clerk, company, month, code):
        file = bring_in("water", a_record("water9"))

        with pytest.raises(Invalid) as refused, transaction() as session:
            batches.order(
                session, BatchKind.BILLS, provider_code=company, month=month, by=clerk,
                bill_file_id=file.bill_file_id, now=NOW,
            )  # fmt: skip

        assert refused.value.code == code

    def test_cancelled_bills_are_not_printed(self, press, clerk):
        home = a_home(8_650)
        home.cancel(0)
        batch = ordered(clerk)

        assert as_it_is(batch).state is BatchState.DONE
        assert topics(like="document_share.%") == []

    def test_bills_that_come_while_a_batch_is_made_are_printed_and_stop_nothing(self, press, clerk):
        bills_in("water", *"甲乙丙")
        batch = ordered(clerk)
        bring_in("water", a_record("water1", "B2"))

        make_all(batch, press)

        assert sorted(names_in(batch, press)) == [
            "water0 · B1", "water1 · B1", "water1 · B2", "water2 · B1",
        ]  # fmt: skip
        with transaction() as session:
            done = batches.progress_of(session, [batch.id])[batch.id]
        assert (done.percent, done.documents) == (100, 4)
        assert as_it_is(batch).state is BatchState.DONE

    def test_a_share_all_of_whose_bills_were_cancelled_since_is_made_all_the_same(
        self, press, clerk
    ):
        home = a_home(8_650)
        batch = ordered(clerk)
        home.cancel(0)

        make_all(batch, press)

        assert as_it_is(batch).state is BatchState.DONE

    def test_progress_counts_bills_as_they_are_drawn(self, press, clerk, monkeypatch):
        monkeypatch.setattr(batch_papers, "CHUNK", 2)
        bills_in("water", *"甲乙丙丁戊")
        batch = ordered(clerk, share=5)
        seen: list[int] = []

        def watched(_session: Session, bills: list[object]) -> dict[str, tuple[()]]:
            with transaction() as session:
                seen.append(batches.progress_of(session, [batch.id])[batch.id].percent)
            return no_offers(bills)

        make_share(batch.id, 1, press._replace(offers_of=watched))

        assert seen == [0, 40, 80]
        with transaction() as session:
            done = batches.progress_of(session, [batch.id])[batch.id]
        assert (done.percent, done.documents, done.volumes, done.made) == (100, 5, 1, 1)


class TestStatements:
    def test_every_household_with_a_month_has_one(self, press, clerk):
        month = date(2026, 11, 1)
        homes = [a_home(1_000 + at, 2_000) for at in range(4)]
        batch = ordered(clerk, BatchKind.STATEMENTS, month=month, share=3)

        make_all(batch, press)

        assert names_in(batch, press) == ["汉口路"] * len(homes)
        path = batches.volume_path(press.folder, batch.id, 1)
        said = "".join(page.extract_text() for page in PdfReader(path).pages)
        assert f"S{homes[0].household_id}-202611" in said
        assert "¥10.00" in said

    def test_one_to_which_nothing_happened_is_counted_and_not_printed(self, press, clerk):
        a_home(1_000)
        batch = ordered(clerk, BatchKind.STATEMENTS, month=date(2026, 10, 1))

        make_all(batch, press)

        with transaction() as session:
            done = batches.progress_of(session, [batch.id])[batch.id]
        assert (done.subjects, done.looked_at, done.documents) == (1, 1, 0)
        assert as_it_is(batch).state is BatchState.DONE


class TestOnce:
    def test_the_same_is_not_made_twice_at_a_time(self, clerk):
        bills_in("water", "甲")
        batch = ordered(clerk)

        with pytest.raises(Conflict, match="being made already"):
            ordered(clerk)

        with transaction() as session:
            batches.cancel(session, batch.id, now=NOW)
        assert ordered(clerk).id != batch.id

    def test_cutting_again_cuts_nothing(self, clerk):
        bills_in("water", *"甲乙丙丁")
        batch = ordered(clerk)

        with transaction() as session:
            assert batches.cut(session, batch.id, now=NOW) == 0
        assert topics(like="document_share.%") == ["document_share.due"] * 2

    def test_two_workers_at_one_share_leave_one_volume(self, press, clerk):
        bills_in("water", *"甲乙丙")
        batch = ordered(clerk)

        told = at_once([lambda: make_share(batch.id, 1, press)] * 3)

        assert sorted(told) == [False, False, True]
        assert names_in(batch, press) == [f"water{at} · B1" for at in range(3)]
        assert files(press.folder) == [f"{batch.id}/0001.pdf"]

    def test_a_share_that_is_made_is_not_drawn_again(self, press, clerk):
        bills_in("water", "甲")
        batch = ordered(clerk)
        make_share(batch.id, 1, press)
        before = batches.volume_path(press.folder, batch.id, 1).stat().st_ino

        assert not make_share(batch.id, 1, press)
        assert batches.volume_path(press.folder, batch.id, 1).stat().st_ino == before

    def test_a_worker_killed_while_it_draws_leaves_no_hole_and_no_double(
        self, press, clerk, database_url
    ):
        bills_in("water", *"甲乙丙丁")
        batch = ordered(clerk, share=2)
        killed = subprocess.Popen(
            [sys.executable, "-m", "tests.billing.killed_press", database_url, str(press.folder),
             str(batch.id)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert killed.stdout is not None
        assert killed.stdout.readline() == "drawn\n"  # on disk, and not in its place yet
        os.kill(killed.pid, signal.SIGKILL)
        killed.communicate()

        make_all(batch, press)

        assert names_in(batch, press) == [f"water{at} · B1" for at in range(4)]
        assert as_it_is(batch).state is BatchState.DONE


class TestTheEnd:
    def test_called_off_its_shares_are_drawn_no_more(self, press, clerk):
        bills_in("water", *"甲乙丙丁")
        batch = ordered(clerk)
        make_share(batch.id, 1, press)
        with transaction() as session:
            batches.cancel(session, batch.id, now=NOW)

        assert not make_share(batch.id, 2, press)
        assert batches.forget(press.folder, days=7, now=NOW) == 1
        assert files(press.folder) == []

    def test_called_off_while_it_is_drawn_it_is_not_put_in_its_place(
        self, press, clerk, monkeypatch
    ):
        monkeypatch.setattr(batch_papers, "CHUNK", 1)
        bills_in("water", *"甲乙")
        batch = ordered(clerk)

        def calls_off(session: Session, bills: list[object]) -> dict[str, tuple[()]]:
            batches.cancel(session, batch.id, now=NOW)
            return no_offers(bills)

        assert not make_share(batch.id, 1, press._replace(offers_of=calls_off))
        assert files(press.folder) == []

    def test_what_has_ended_cannot_be_called_off(self, press, clerk):
        bills_in("water", "甲")
        batch = ordered(clerk)
        make_all(batch, press)

        with transaction() as session, pytest.raises(Conflict, match="not being made"):
            batches.cancel(session, batch.id, now=NOW)

    def test_volumes_go_after_their_time_and_no_sooner(self, press, clerk):
        bills_in("water", "甲")
        batch = ordered(clerk)
        make_all(batch, press)

        assert batches.forget(press.folder, days=7, now=NOW + timedelta(days=6)) == 0
        assert batches.forget(press.folder, days=7, now=LATER) == 1

        assert as_it_is(batch).state is BatchState.EXPIRED
        assert files(press.folder) == []

    def test_what_else_lies_in_the_folder_is_left_alone(self, press):
        press.folder.mkdir(exist_ok=True)
        (press.folder / "books").mkdir()
        (press.folder / "notes.txt").write_text("not ours")

        assert batches.forget(press.folder, days=7, now=LATER) == 0
        assert sorted(one.name for one in press.folder.iterdir()) == ["books", "notes.txt"]

    def test_without_a_folder_nothing_is_forgotten_and_nothing_made(self, press, clerk):
        bills_in("water", "甲")
        batch = ordered(clerk)

        assert batches.forget(press.folder / "none", days=7, now=LATER) == 0
        with pytest.raises(Invalid, match="CITYBILL_DOCUMENTS_DIR"):
            make_share(batch.id, 1, press._replace(folder=None))


def test_a_company_sees_its_own_and_nobody_elses(clerk):
    bills_in("water", "甲")
    batch = ordered(clerk)

    with transaction() as session:
        assert batches.get_batch(session, batch.id, "water").id == batch.id
        with pytest.raises(NotFound):
            batches.get_batch(session, batch.id, "gas")
        assert batches.list_batches(session, "gas", limit=5) == ([], False)
        assert [one.id for one in batches.list_batches(session, None, limit=5)[0]] == [batch.id]
