"""The audit log: written once, found by an index, changed by nobody."""

from datetime import timedelta

import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from core import db
from core.db import transaction
from identity import audit
from identity.audit import Deed, Subject, Wanted, person_subject
from identity.models import Role
from tests.conftest import NOW, as_owner
from tests.factories import a_person

DAY = timedelta(days=1)


def note(who: int | None, what: Deed = Deed.RESIDENT_SEEN, *, at=NOW, **more) -> None:
    with transaction() as session:
        audit.note(session, who, what, now=at, **more)


def found(wanted: Wanted = Wanted(), **more) -> list[audit.AuditEntry]:  # noqa: B008
    with transaction() as session:
        return audit.find_entries(session, wanted, **more)


@pytest.mark.usefixtures("city")
class TestEntries:
    def test_an_entry_tells_who_what_about_whom_when_and_in_which_request(self):
        """ASVS 16.2.1."""
        clerk, resident = a_person(Role.STAFF, duties=[]), a_person()
        with structlog.contextvars.bound_contextvars(request_id="r-1"):
            note(clerk, subject=person_subject(resident), detail={"reason": "来电"})

        [entry] = found()
        assert (entry.person_id, entry.what, entry.at) == (clerk, "resident_seen", NOW)
        assert (entry.subject_kind, entry.subject_id) == ("person", str(resident))
        assert (entry.detail, entry.request_id) == ({"reason": "来电"}, "r-1")

    def test_what_is_rolled_back_was_not_done(self):
        with db.engine().connect() as connection, Session(connection) as session:
            audit.note(session, None, Deed.SIGNED_IN, now=NOW)
            session.flush()

        assert found() == []

    @pytest.mark.parametrize(
        "change", ["UPDATE audit_entry SET what = ''", "DELETE FROM audit_entry"]
    )
    def test_nobody_changes_it(self, change):
        """ASVS 16.4.2: the application may not, and a trigger refuses whoever may."""
        note(None)

        with pytest.raises(DBAPIError, match="permission denied"), transaction() as session:
            session.execute(text(change))
        with pytest.raises(DBAPIError, match="append-only"), as_owner() as connection:
            connection.execute(text(change))
        with pytest.raises(DBAPIError, match="append-only"), as_owner() as connection:
            connection.execute(text("TRUNCATE audit_entry"))


@pytest.mark.usefixtures("city")
class TestFinding:
    def test_by_who_what_whom_and_when(self):
        one, two = (a_person(Role.STAFF, duties=[]) for _ in range(2))
        resident = a_person()
        note(one, at=NOW - DAY)
        note(one, Deed.LIST_EXPORTED, subject=Subject("list", "refunds"))
        note(two, subject=person_subject(resident))

        def count(**wanted) -> int:
            return len(found(Wanted(**wanted)))

        assert count() == 3
        assert count(person_id=one) == 2
        assert count(what=Deed.LIST_EXPORTED) == 1
        assert count(subject=person_subject(resident)) == 1
        assert count(last_on=(NOW - DAY).date()) == 1
        assert count(first_on=NOW.date(), person_id=two) == 1
        assert count(person_id=two, what=Deed.LIST_EXPORTED) == 0

    def test_pages_follow_one_another_without_a_gap_also_within_one_moment(self):
        for at in (NOW, NOW, NOW, NOW - DAY, NOW + DAY):
            note(None, at=at)
        ids, after = [], None
        while page := found(after=after, limit=2):
            ids += [one.id for one in page]
            after = page[-1].id

        assert ids == [5, 3, 2, 1, 4]

    def test_all_of_it_is_read_in_pieces(self):
        for _ in range(3):
            note(None)

        with transaction() as session:
            pieces = [len(piece) for piece in audit.every_entry(session, Wanted())]
        assert sum(pieces) == 3
