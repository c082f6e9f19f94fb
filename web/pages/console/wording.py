"""The staff console: the words of notices, written by one person and approved by another."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy.exc import NoResultFound
from sqlmodel import Session

from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import CityBillError, NotFound
from identity.people import get_person
from notifications.catalogue import EVENTS, Subject
from notifications.complaint_notices import Step
from notifications.models import NoticeTemplate, TemplateState
from notifications.real_facts import Look, facts_told, list_told
from notifications.segments import segments
from notifications.wording import template, versions
from notifications.wording.built_in import Source, built_in
from notifications.wording.rendering import Facts, Key, words_of
from notifications.wording.samples import LINK, sample
from notifications.wording.short import SIGNATURES
from notifications.wording.versions import Written
from support.steps import find_step
from web.access import Caller, Db, Setup
from web.edge import LETTER_POLICY
from web.errors import status_of
from web.inputs import PLAIN, Csrf, Id
from web.pages.filters import number_of
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.wordings import refusal

router = APIRouter(prefix="/console/wording")
EDITIONS: Final = ("plain", "elder")
LANGUAGES: Final = ("zh_CN", "en")
Event = Annotated[str, Path(max_length=60, pattern=r"^[a-z_.]+$")]
Word = Annotated[str, Path(max_length=20, pattern=r"^[A-Za-z_]+$")]
Line = Annotated[str, Form(max_length=300, pattern=PLAIN, default_factory=str)]
Asked = Annotated[str, Query(max_length=20, pattern=PLAIN)]
Body = Annotated[str, Form(max_length=10_000, pattern=PLAIN, default_factory=str)]


@router.get("")
def show_all(
    request: Request,
    db: Db,
    _caller: Setup,
    subject: Annotated[str, Query(max_length=20, pattern=PLAIN)] = "",
) -> Response:
    """List the words of every event, with which version holds and what is being written."""
    held: dict[Key, dict[str, NoticeTemplate]] = {}
    for row in versions.list_open(db):
        held.setdefault(versions.key_of(row), {})[row.state] = row
    return page(
        request,
        "console/wording.html",
        subjects=list(Subject),
        subject=subject if subject in {*Subject} else "",
        events=[
            (code, event.subject, [_cell(key, held.get(key, {})) for key in _keys(code)])
            for code, event in EVENTS.items()
            if subject not in {*Subject} or event.subject == subject
        ],
    )


def _keys(event: str) -> list[Key]:
    return [
        Key(event, form, locale, edition)
        for form in template.Form
        for locale in LANGUAGES
        for edition in EDITIONS
    ]


def _cell(key: Key, held: dict[str, NoticeTemplate]) -> dict[str, Any]:
    """Return some words as the list shows them; ``version`` None: what came with us holds."""
    approved = held.get(TemplateState.APPROVED)
    return {
        "key": key,
        "at": _at(key),
        "version": approved.version if approved else None,
        "missing": approved is None and built_in(*key) is None,
        "proposed": TemplateState.PROPOSED in held,
        "draft": TemplateState.DRAFT in held,
    }


@router.get("/words/{event}/{form}/{locale}/{edition}")
def show_words(
    request: Request, event: Event, form: Word, locale: Word, edition: Word, db: Db, _caller: Setup,
    told: Asked = "",
) -> Response:  # fmt: skip
    """Show the words that hold, with their versions; filled with what was ``told``, if asked."""
    key = _key(event, form, locale, edition)
    return _words_page(request, db, key, told=number_of(told), refused=None)


@router.post("/words/{event}/{form}/{locale}/{edition}")
def begin_version(
    request: Request,
    event: Event,
    form: Word,
    locale: Word,
    edition: Word,
    db: Db,
    caller: Setup,
    csrf: Csrf,
    again: Line,
) -> Response:
    """Begin a version with the words that hold, or with those of the version ``again``."""
    check_form(request, csrf)
    key = _key(event, form, locale, edition)
    source, _ = _current(db, key)
    if again.isascii() and again.isdigit() and len(again) < 19:
        source = versions.source_of(versions.get_version(db, int(again)))
    try:
        with transaction() as session:
            made = versions.draft(session, key, source, by=caller.id, now=utc_now())
    except CityBillError as refused:
        return _words_page(request, db, key, refused=refused)
    return go(f"/console/wording/versions/{made.id}")


@router.get("/words/{event}/{form}/{locale}/{edition}/letter")
def show_letter(
    request: Request, event: Event, form: Word, locale: Word, edition: Word, db: Db, _caller: Setup,
    told: Asked = "",
) -> Response:  # fmt: skip
    """Show the letter that holds as a mail program does."""
    key = _key(event, form, locale, edition)
    return _letter(request, key, _current(db, key)[0], _facts(db, key, number_of(told)))


@router.get("/versions/{version_id}")
def show_version(
    request: Request, version_id: Id, db: Db, caller: Setup, told: Asked = ""
) -> Response:
    return _version_page(request, db, version_id, caller, told=number_of(told))


@router.get("/versions/{version_id}/letter")
def show_version_letter(
    request: Request, version_id: Id, db: Db, _caller: Setup, told: Asked = ""
) -> Response:
    row = versions.get_version(db, version_id)
    key = versions.key_of(row)
    return _letter(request, key, versions.source_of(row), _facts(db, key, number_of(told)))


@router.post("/versions/{version_id}")
def save_version(
    request: Request,
    version_id: Id,
    db: Db,
    caller: Setup,
    csrf: Csrf,
    title: Line,
    body: Body,
    why: Line,
    aliyun: Line,
    tencent: Line,
    sms_http: Line,
    wechat: Line,
    wechat_places: Line,
    act: Line,
) -> Response:
    """Keep a draft; with ``act`` "propose", give it to a second person."""
    check_form(request, csrf)
    ids = {"aliyun": aliyun, "tencent": tencent, "sms_http": sms_http, "wechat": wechat}
    written = Written(Source(title, body), why, ids, wechat_places)
    try:
        with transaction() as session:
            versions.change(session, version_id, written, by=caller.id, now=utc_now())
            if act == "propose":
                versions.propose(session, version_id, by=caller.id, now=utc_now())
    except CityBillError as refused:
        return _version_page(request, db, version_id, caller, typed=written, refused=refused)
    return go(f"/console/wording/versions/{version_id}")


@router.post("/versions/{version_id}/approval")
def approve_version(
    request: Request, version_id: Id, db: Db, caller: Setup, csrf: Csrf
) -> Response:  # fmt: skip
    check_form(request, csrf)
    return _decide(request, db, version_id, caller, versions.approve)


@router.post("/versions/{version_id}/decline")
def decline_version(
    request: Request, version_id: Id, db: Db, caller: Setup, csrf: Csrf, words: Line
) -> Response:
    """Refuse a version; who wrote it takes it back."""
    check_form(request, csrf)
    return _decide(request, db, version_id, caller, partial(versions.decline, because=words))


def _decide(
    request: Request, db: Session, version_id: int, caller: Caller, act: Callable[..., object]
) -> Response:
    try:
        with transaction() as session:
            act(session, version_id, by=caller.id, now=utc_now())
    except CityBillError as refused:
        return _version_page(request, db, version_id, caller, refused=refused)
    return go(f"/console/wording/versions/{version_id}")


def _key(event: str, form: str, locale: str, edition: str) -> Key:
    known = form in {*template.Form} and locale in LANGUAGES and edition in EDITIONS
    if event not in EVENTS or not known:
        raise NotFound("there are no such words")
    return Key(event, template.Form(form), locale, edition)


def _at(key: Key) -> str:
    return "/console/wording/words/" + "/".join(key)


def _current(session: Session, key: Key) -> tuple[Source, NoticeTemplate | None]:
    """Return the words that hold; where an edition has none, the plain ones do."""
    row = versions.in_force(session, key)
    source = versions.source_of(row) if row else built_in(*key)
    return (source, row) if source else _current(session, key._replace(edition="plain"))


def _facts(session: Session, key: Key, told: int | None) -> Facts:
    """Return what words are looked at with: what somebody was told, or an example."""
    if told is None:
        return sample(key.event, key.locale)
    return facts_told(key.event, told, _look(session, key))


def _look(session: Session, key: Key) -> Look:
    return Look(session, key.locale, billing_date(utc_now()), _step)


def _step(session: Session, entry_id: int) -> Step | None:
    """Return a step of a complaint, as the room of notices reads it; None: it was forgotten."""
    try:
        return Step(*find_step(session, entry_id))
    except NoResultFound:
        return None


def _letter(request: Request, key: Key, source: Source, facts: Facts) -> Response:
    if key.form is not template.Form.LETTER:
        raise NotFound("these words are no letter")
    request.state.policy = LETTER_POLICY
    return HTMLResponse(words_of(key, source, "email", facts).body_html)


def _looked_at(
    session: Session, key: Key, source: Source, letter_at: str, told: int | None
) -> dict[str, Any]:
    """Return words as a reader sees them, and what else they may be looked at with."""
    facts, preview = _facts(session, key, told), dict[str, Any](letter=None, short=None)
    if key.form is template.Form.LETTER:
        preview["letter"] = words_of(key, source, "inbox", facts)
    else:
        text = words_of(key, source, "sms", facts).body
        preview |= {
            "short": words_of(key, source, "push", facts), "text": text, "takes": segments(text),
        }  # fmt: skip
    return {
        "preview": preview,
        "letter_at": f"{letter_at}?told={told}" if told else letter_at,
        "told": told,
        "told_lately": list_told(key.event, _look(session, key)),
    }


def _words_page(
    request: Request, session: Session, key: Key, *, told: int | None = None,
    refused: CityBillError | None,
) -> Response:  # fmt: skip
    source, row = _current(session, key)
    return page(
        request,
        "console/wording_words.html",
        status_code=status_of(refused) if refused else 200,
        key=key,
        at=_at(key),
        source=source,
        version=row.version if row and versions.key_of(row) == key else None,
        plain_holds=row is None and built_in(*key) is None,
        **_looked_at(session, key, source, f"{_at(key)}/letter", told),
        rows=[_row(session, one) for one in versions.history(session, key)],
        error=refusal(locale_of(request), refused),
    )


def _row(session: Session, row: NoticeTemplate) -> dict[str, Any]:
    """Return a version as the templates show it."""
    decided_by = None if row.decided_by is None else get_person(session, row.decided_by).name
    writer = get_person(session, row.made_by).name
    return row.model_dump() | {
        "state": row.state.value, "writer": writer, "decider": decided_by,
    }  # fmt: skip


def _version_page(
    request: Request,
    session: Session,
    version_id: int,
    caller: Caller,
    *,
    told: int | None = None,
    typed: Written | None = None,
    refused: CityBillError | None = None,
) -> Response:
    """Show a version: to its writer as a form while it is a draft; to all with what it changes."""
    row = versions.get_version(session, version_id)
    key, source = versions.key_of(row), versions.source_of(row)
    before = versions.words_before(session, row)
    own = row.made_by == caller.id
    return page(
        request,
        "console/wording_version.html",
        status_code=status_of(refused) if refused else 200,
        key=key,
        at=_at(key),
        version=_row(session, row),
        own=own,
        editing=own and row.state is TemplateState.DRAFT,
        typed=typed or _as_typed(row),
        places=sorted(EVENTS[key.event].places),
        changes=_changes(before, source),
        **_looked_at(session, key, source, f"/console/wording/versions/{version_id}/letter", told),
        counting=_counting(key),
        error=refusal(locale_of(request), refused),
    )


def _changes(before: Source | None, after: Source) -> dict[str, list[versions.Piece]] | None:
    if before is None:
        return None
    return {
        "title": versions.difference(before.title, after.title),
        "body": versions.difference(before.body, after.body),
    }


def _counting(key: Key) -> dict[str, Any]:
    """Return what the page's script counts messages with, as the server does."""
    values = sample(key.event, key.locale).values
    return {
        "signature": SIGNATURES[key.locale],
        "latin": key.locale == "en",
        "link": LINK,
        "values": dict(values),
    }


def _as_typed(row: NoticeTemplate) -> Written:
    ids = {carrier: row.carrier_ids.get(carrier, "") for carrier in versions.CARRIERS}
    ids["wechat"], _, places = ids["wechat"].partition(":")
    return Written(versions.source_of(row), row.why, ids, places.replace(",", ", "))
