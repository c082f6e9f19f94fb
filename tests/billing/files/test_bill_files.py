"""Bill files as they arrive: known by their bytes, kept until they are imported."""

import hashlib
import io
from typing import BinaryIO, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from billing.files import bill_files
from billing.files.bill_files import (
    PART_BYTES,
    StoredFile,
    get_bill_file,
    receive,
    register,
)
from billing.files.importing import import_bills
from billing.models import BillFile, BillFileStatus
from core.db import transaction
from core.errors import BillFileError, Invalid, NotFound
from tests.factories import NOW, Rows, a_record, at_once, topics


def send(content: bytes, company: str = "water", *, name: str = "w.txt") -> BillFile:
    with transaction() as session:
        return receive(
            session, company, io.BytesIO(content), file_name=name, received_via="test", now=NOW
        )


def stored(bill_file_id: int, *, at_a_time: int = 1 << 16) -> bytes:
    return io.BufferedReader(StoredFile(bill_file_id), at_a_time).read()


def parts(bill_file_id: int) -> int:
    with transaction() as session:
        counted = session.execute(
            text("SELECT count(*) FROM bill_file_part WHERE bill_file_id = :id"),
            {"id": bill_file_id},
        )
        return counted.scalar_one()


@pytest.mark.usefixtures("city")
class TestReceive:
    def test_a_file_is_kept_and_announced_once(self):
        first = send(b"H|WATER|1", name="a.txt")
        again = send(b"H|WATER|1", name="b.txt")

        assert (first.id, first.status) == (again.id, BillFileStatus.RECEIVED)
        assert again.file_name == "a.txt"
        assert topics() == ["bill_file.received"]
        assert stored(first.id) == b"H|WATER|1"

    def test_other_bytes_or_another_company_is_another_file(self):
        ids = {send(b"a").id, send(b"b").id, send(b"a", "power").id}

        assert len(ids) == 3

    def test_an_empty_file_is_refused_and_leaves_nothing(self):
        with pytest.raises(Invalid) as refused:
            send(b"")

        assert refused.value.code == "bill_file.empty"
        assert topics() == []

    def test_a_file_that_is_too_large_is_refused(self, monkeypatch):
        monkeypatch.setattr(bill_files, "MAX_FILE_BYTES", 10)
        assert send(b"0123456789").size_bytes == 10

        with pytest.raises(Invalid) as refused:
            send(b"0123456789+")

        assert refused.value.code == "bill_file.too_large"

    def test_the_same_bytes_from_ten_threads_are_one_file_and_one_event(self):  # rule 40
        content = b"x" * 5_000

        found = at_once([lambda: send(content)] * 10)

        assert len({one.id for one in found}) == 1
        assert topics() == ["bill_file.received"]
        assert stored(found[0].id) == content

    def test_a_refused_file_that_comes_again_is_tried_again(self):
        sent = send(b"H|WATER|1")
        with pytest.raises(BillFileError):
            import_bills(sent.id, Rows(refuse="no"), lambda: io.BytesIO(), now=NOW)
        with transaction() as session:
            assert get_bill_file(session, sent.id).status is BillFileStatus.REFUSED

        again = send(b"H|WATER|1")

        assert (again.id, again.status, again.complaint) == (
            sent.id, BillFileStatus.RECEIVED, None,
        )  # fmt: skip
        assert topics(like="bill_file.%") == [
            "bill_file.received", "bill_file.refused", "bill_file.received",
        ]  # fmt: skip
        assert stored(sent.id) == b"H|WATER|1"

    def test_an_imported_file_gives_its_bytes_up_and_is_not_taken_again(self):
        sent = send(b"H|WATER|1")
        row = a_record("0000000001")
        import_bills(sent.id, Rows(row), lambda: io.BytesIO(), now=NOW)

        again = send(b"H|WATER|1")

        assert (again.id, again.status) == (sent.id, BillFileStatus.IMPORTED)
        assert parts(sent.id) == 0

    def test_one_whose_import_from_a_disk_was_killed_is_taken_and_gone_on_with(self):
        with transaction() as session:
            begun, _ = register(
                session, "water", sha256=hashlib.sha256(b"w").hexdigest(), size_bytes=1,
                file_name="w.txt", received_via="cli", now=NOW,
            )  # fmt: skip

        def killed(_done, _rows):
            raise KeyboardInterrupt

        rows = Rows(a_record("0000000001"))
        with pytest.raises(KeyboardInterrupt):
            import_bills(begun.id, rows, lambda: io.BytesIO(b"w"), now=NOW, progress=killed)

        sent = [send(b"w") for _ in range(2)]

        assert {one.id for one in sent} == {begun.id}
        assert stored(begun.id) == b"w"
        assert topics(like="bill_file.%") == ["bill_file.received"]
        done = import_bills(begun.id, rows, lambda: io.BytesIO(), now=NOW)
        assert (done.rows, done.created, parts(begun.id)) == (1, 1, 0)

    def test_what_is_imported_is_what_was_sent(self):
        sent = send(b"what was sent")
        seen = []

        class Keeping(Rows):
            def read(self, stream):
                seen.append(stream.read())
                yield from super().read(stream)

        def open_stored() -> BinaryIO:
            return cast(BinaryIO, io.BufferedReader(StoredFile(sent.id)))

        import_bills(sent.id, Keeping(a_record("1")), open_stored, now=NOW)

        assert seen == [b"what was sent"]

    def test_a_file_nobody_sent_is_not_found(self, session):
        with pytest.raises(NotFound):
            get_bill_file(session, 404)


@pytest.mark.usefixtures("city")
class TestStoredFile:
    @given(content=st.binary(min_size=1, max_size=40), at_a_time=st.integers(1, 20))
    @settings(
        max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    def test_gives_the_same_bytes_however_they_fell_into_parts(
        self, monkeypatch, content, at_a_time
    ):
        monkeypatch.setattr(bill_files, "PART_BYTES", 8)

        sent = send(content)

        assert stored(sent.id, at_a_time=at_a_time) == content
        assert parts(sent.id) == -(-len(content) // 8)

    @pytest.mark.parametrize("over", [-1, 0, 1])
    def test_a_real_part_and_one_byte_either_way(self, over):
        content = bytes(range(256)) * (PART_BYTES // 256) + b"!"
        content = content[: PART_BYTES + over]

        sent = send(content)

        assert stored(sent.id) == content
        assert parts(sent.id) == (2 if over > 0 else 1)
