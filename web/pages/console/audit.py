"""The staff console: the audit log, by who, what, about whom and when."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from core.clock import utc_now
from core.errors import Invalid
from core.masking import mask_name
from identity import audit, colleagues
from identity.audit import AuditEntry, Deed, Subject, Wanted
from identity.models import Person, Role
from web import look
from web.access import Admin, Db
from web.exports import Cell, export, read_rows
from web.pages.filters import After, FileKind, Word, day_of, one_of, query_of
from web.pages.page import locale_of, page
from web.pages.words.staff import deed_name, detail_text

router = APIRouter(prefix="/console/audit")


class Asked:
    """What the address asks for; what is left empty is not asked."""

    def __init__(
        self, who: Word = "", what: Word = "", about: Word = "", first: Word = "", last: Word = ""
    ) -> None:
        self.typed = {"who": who, "what": what, "about": about, "first": first, "last": last}
        self.wanted = Wanted(
            person_id=_number(who), what=one_of(Deed, what), subject=_subject(about),
            first_on=day_of(first), last_on=day_of(last),
        )  # fmt: skip

    def query(self, **changes: object) -> str:
        """Return the address's query with some of it changed."""
        return query_of(self.typed, **changes)


def _number(typed: str) -> int | None:
    if not typed:
        return None
    if not (typed.isascii() and typed.isdecimal() and 0 < int(typed) < 1 << 63):
        raise Invalid("there is no such person", code="request.malformed")
    return int(typed)


def _subject(typed: str) -> Subject | None:
    """Read ``person:17``; a kind alone is no subject."""
    kind, colon, subject_id = typed.strip().partition(":")
    if not typed.strip():
        return None
    if not colon or not kind or not subject_id:
        raise Invalid("write it as person:17", code="request.malformed")
    return Subject(kind, subject_id)


Filter = Annotated[Asked, Depends(Asked)]


@router.get("")
def show_audit(
    request: Request, db: Db, _caller: Admin, asked: Filter, after: After = None
) -> Response:
    locale = locale_of(request)
    found = audit.find_entries(db, asked.wanted, after=after, limit=audit.PAGE + 1)
    shown = found[: audit.PAGE]
    people = [
        one for left in (False, True)
        for one in colleagues.every_colleague(db, colleagues.Wanted(ended=left))
    ]  # fmt: skip
    return page(
        request,
        "console/audit.html",
        rows=_rows(db, locale, shown),
        asked=asked,
        filtered=any(asked.typed.values()),
        paged=after is not None,
        next_id=shown[-1].id if len(found) > audit.PAGE else None,
        people=[(str(one.id), one.name) for one in people],
        deeds=[(one.value, deed_name(locale, one)) for one in Deed],
    )


def _rows(session: Session, locale: str, entries: Sequence[AuditEntry]) -> list[dict[str, Any]]:
    """Return entries as the page and the files show them."""
    subjects = {int(one.subject_id) for one in entries if one.subject_kind == "person"}
    people = colleagues.people_among(session, subjects | {one.person_id or 0 for one in entries})
    return [
        {
            "entry": one,
            "who": people[one.person_id].name if one.person_id else None,
            "what": deed_name(locale, one.what),
            "subject": _subject_text(locale, one, people),
            "href": _href(one, people),
            "detail": detail_text(locale, one.detail),
        }
        for one in entries
    ]


def _subject_text(locale: str, entry: AuditEntry, people: dict[int, Person]) -> str:
    """Say about whom or what; residents are masked, because nobody has said why they look."""
    person = _person(entry, people)
    if person is not None:
        return person.name if _is_user(person) else f"{mask_name(person.name)} · {person.id}"
    kind = {
        "account": look.say(locale, "account"),
        "bill_file": look.say(locale, "bill file"),
        "book_file": look.say(locale, "File"),
        "carrier": look.say(locale, "Carrier"),
        "complaint": look.say(locale, "complaint"),
        "documents": look.say(locale, "papers in bulk"),
        "list": look.say(locale, "list"),
        "person": look.say(locale, "person"),
        "payment": look.say(locale, "payment"),
        "refund": look.say(locale, "refund"),
        "transfer": look.say(locale, "transfer"),
    }.get(entry.subject_kind, entry.subject_kind)
    return f"{kind} {entry.subject_id}".strip()


def _href(entry: AuditEntry, people: dict[int, Person]) -> str | None:
    """Return where the subject is seen, if an admin may see it."""
    person = _person(entry, people)
    return f"/console/users/{person.id}" if person is not None and _is_user(person) else None


def _person(entry: AuditEntry, people: dict[int, Person]) -> Person | None:
    """Return whom an entry is about; a guest may be gone."""
    return people.get(int(entry.subject_id)) if entry.subject_kind == "person" else None


def _is_user(person: Person) -> bool:
    return person.role in {Role.STAFF, Role.OPERATOR}


@router.get(".{kind}")
def export_audit(
    request: Request, kind: FileKind, db: Db, caller: Admin, asked: Filter
) -> StreamingResponse:
    locale = locale_of(request)
    audit.note_export(db, caller.id, "audit", kind, asked.query(), now=utc_now())

    def read(session: Session) -> Iterator[list[Cell]]:
        for entries in audit.every_entry(session, asked.wanted):
            for row in _rows(session, locale, entries):
                one = row["entry"]
                yield [
                    one.id, one.at, row["who"], row["what"], row["subject"], row["detail"],
                    one.request_id,
                ]  # fmt: skip

    head = [
        look.say(locale, "Number"), look.say(locale, "When"), look.say(locale, "Who"),
        look.say(locale, "Deed"), look.say(locale, "About"), look.say(locale, "More"),
        look.say(locale, "Request"),
    ]  # fmt: skip
    return export(kind, name="audit", head=head, rows=read_rows(read))
