"""Complaints as tests make them."""

from typing import Any

from core.db import transaction
from support import complaints
from support.complaints import Asked, Deadlines
from support.models import Complaint, ComplaintEntry, Kind
from tests.factories import NOW

DEADLINES = Deadlines("CN", {Kind.QUESTION: 3, Kind.COMPLAINT: 5, Kind.FAULT: 1})
_keys = iter(range(1, 1_000_000))


def ask(person_id: int, words: str = "水费怎么算？", **changes: Any) -> Complaint:
    """Write to us."""
    now = changes.pop("now", NOW)
    asked = Asked(Kind.QUESTION, "", words, f"key-{next(_keys)}")._replace(**changes)
    with transaction() as session:
        return complaints.receive(session, person_id, asked, deadlines=DEADLINES, now=now)


def write(one: Complaint, words: str = "还没有解决", **changes: Any) -> Complaint:
    values = {"person_id": one.person_id, "number": one.number, "words": words,
              "deadlines": DEADLINES, "now": NOW} | changes  # fmt: skip
    with transaction() as session:
        return complaints.write(session, **values)


def take(one: Complaint, by: int, *, instead_of: int | None = None, **changes: Any) -> Complaint:
    with transaction() as session:
        return complaints.take(
            session, one.number, by=by, instead_of=instead_of, **{"now": NOW} | changes
        )


def answer(one: Complaint, by: int, words: str = "按阶梯水价。", **changes: Any) -> None:
    with transaction() as session:
        complaints.answer(session, one.number, words, by=by, **{"now": NOW} | changes)


def close(one: Complaint, by: int, words: str = "", **changes: Any) -> None:
    with transaction() as session:
        complaints.close(session, one.number, words, by=by, **{"now": NOW} | changes)


def pass_on(one: Complaint, by: int, company: str = "water", words: str = "请核实读数") -> None:
    with transaction() as session:
        complaints.pass_on(session, one.number, company, words, by=by, now=NOW)


def company_says(one: Complaint, by: int, words: str = "读数无误", company: str = "water") -> None:
    with transaction() as session:
        complaints.company_says(session, one.number, words, company=company, by=by, now=NOW)


def the(one: Complaint) -> Complaint:
    with transaction() as session:
        return complaints.find_complaint(session, one.number)


def said(one: Complaint) -> list[ComplaintEntry]:
    with transaction() as session:
        return complaints.entries_of(session, one)


def close_own(one: Complaint) -> None:
    with transaction() as session:
        complaints.close_own(session, one.person_id, one.number, now=NOW)
