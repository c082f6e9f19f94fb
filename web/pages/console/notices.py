"""The staff console: how telling people goes, and the whole life of one notice.

Figures come from what carriers' minutes say. Whoever opens somebody's notices has said why, and the
look is in the audit log before they are shown; a list of everybody's shows no address whole.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import Response, StreamingResponse
from markupsafe import Markup
from sqlmodel import Session

from billing.documents.day_charts import Point, columns_drawing
from billing.documents.fonts import require_fonts
from billing.documents.svg import as_svg
from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import CityBillError, NotFound
from core.masking import mask_contact, mask_name
from identity import audit
from identity.audit import Deed, person_subject
from identity.duties import Duty
from identity.models import Person, Role
from notifications import again, figures, lives
from notifications.catalogue import CHANNELS, EVENTS, TELEVISION
from notifications.figures import Day
from notifications.models import Notice, NoticeState
from notifications.sending.claiming import LOST
from notifications.sending.stopping import list_states
from payments.desk import finding
from payments.models import Payment, list_items
from payments.returns.models import list_refunds
from web import look
from web.access import Caller, Db, Service
from web.errors import status_of
from web.exports import Cell, export, read_rows
from web.inputs import PLAIN, Csrf, Id
from web.pages import looking
from web.pages.filters import After, FileKind, Word, day_of, number_of, one_of, query_of
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.residents import refusal

router = APIRouter(prefix="/console/notices")
Line = Annotated[str, Form(max_length=100, pattern=PLAIN, default_factory=str)]
Words = Annotated[str, Form(max_length=500, pattern=PLAIN, default_factory=str)]
OfPayment = Annotated[int | None, Query(ge=1, lt=1 << 63)]
DAYS = 14
_SHOWN = (*CHANNELS, TELEVISION, "inbox")
_CHART = {"width": 340, "height": 150, "size": 11}
_LIST = "/console/notices/list"


@router.get("")
def show_notices(request: Request, db: Db, caller: Service) -> Response:
    now = utc_now()
    days = figures.by_day(db, days=DAYS, now=now)
    totals = _totals(days, today=billing_date(now)) if days else []
    handed = figures.by_carrier(db, since=now - timedelta(days=1))
    states = {one.code: one for one in list_states(db)}
    return page(
        request,
        "console/notices.html",
        total=figures.together(handed),
        days=totals,
        channels=sorted({one.channel for one in days}),
        chart=_chart(locale_of(request), totals) if days else None,
        carriers=[{"handed": one, "state": states.get(one.code)} for one in handed],
        causes=figures.causes(db, now=now),
        may_stop=Duty.SETUP in caller.duties,
        shown_at=now,
    )


def _totals(days: Sequence[Day], *, today: date) -> list[dict[str, Any]]:
    """Return each of the last days, those without a message too."""
    every = (today - timedelta(days=back) for back in reversed(range(DAYS)))
    return [
        {"day": day, "channels": {one.channel: one.taken for one in days if one.day == day}}
        for day in every
    ]


def _chart(locale: str, totals: Sequence[Mapping[str, Any]]) -> Markup:
    require_fonts()
    label = look.say(locale, "Messages handed to carriers by day")
    taken = [(one["day"], sum(one["channels"].values())) for one in totals]
    points = [Point(f"{day.month}-{day.day}", number) for day, number in taken]
    drawn = columns_drawing(points, "{:,}".format, strong=len(points) - 1, **_CHART)
    told = [f"{day} {number:,}" for day, number in taken]
    return look.plain_svg(as_svg(drawn, label=label, figures="; ".join(told)))


@router.post("/search")
def search(request: Request, db: Db, caller: Service, csrf: Csrf, q: Line) -> Response:
    """Find by what was typed; in the body, because addresses are kept by browsers and proxies."""
    check_form(request, csrf)
    number = number_of(q.strip().removeprefix("notice-"))
    notice = db.get(Notice, number) if number is not None else None
    found = finding.find(db, q, request.app.state.gateways, now=utc_now())
    payments = [one for one in found.payments if one.payer_id is not None]
    if q.strip():
        looking.note_look(
            db, caller, Deed.RESIDENTS_SOUGHT, None, people=len(found.people),
            payments=len(payments),
        )  # fmt: skip
    if notice is not None and not (found.people or payments):
        return go(f"/console/notices/{notice.id}")
    return page(
        request,
        "console/notice_found.html",
        typed=q,
        notices=[_row(notice)] if notice is not None else [],
        people=[
            {"id": one.id, "name": mask_name(one.name),
             "contact": mask_contact(one.contact or one.email or "")}
            for one in found.people
        ],
        payments=payments,
        more=found.more,
    )  # fmt: skip


class Asked:
    """What the address asks for; without a day, today."""

    def __init__(
        self, day: Word = "", channel: Word = "", event: Word = "", state: Word = ""
    ) -> None:
        self.typed = {"day": day, "channel": channel, "event": event, "state": state}
        self.wanted = lives.Wanted(
            day=day_of(day) or billing_date(utc_now()), channel=channel or None,
            event=event or None, state=one_of(NoticeState, state),
        )  # fmt: skip

    def query(self, **changes: object) -> str:
        """Return the address's query with some of it changed."""
        return query_of(self.typed, **changes)


Filter = Annotated[Asked, Depends(Asked)]


@router.get("/list")
def show_list(
    request: Request, db: Db, _caller: Service, asked: Filter, after: After = None
) -> Response:
    """List a day's notices, whose readers nobody sees here."""
    found = lives.find_notices(db, asked.wanted, after=after, limit=lives.PAGE + 1)
    return _list(request, found, _LIST, asked, paged=after is not None)


def _list(
    request: Request, found: list[Notice], at: str, asked: Asked, *, paged: bool,
    whose: dict[str, Any] | None = None,
) -> Response:  # fmt: skip
    shown = found[: lives.PAGE]
    return page(
        request,
        "console/notice_list.html",
        rows=[_row(one) for one in shown],
        asked=asked,
        at=at,
        whose=whose,
        channels=_SHOWN,
        events=list(EVENTS),
        states=[one.value for one in NoticeState],
        filtered=any(asked.typed.values()),
        paged=paged,
        next_id=shown[-1].id if len(found) > lives.PAGE else None,
    )


def _row(one: Notice) -> dict[str, Any]:
    return {"one": one, "to": _masked(one.channel, one.address)}


def _masked(channel: str, address: str) -> str:
    """Show enough of an address to know it again; those no person could read, not at all."""
    return mask_contact(address) if channel in {"email", "sms"} else ""


@router.get("/list.{kind}")
def export_list(
    request: Request, kind: FileKind, db: Db, caller: Service, asked: Filter
) -> StreamingResponse:
    locale = locale_of(request)
    audit.note_export(db, caller.id, "notices", kind, asked.query(), now=utc_now())

    def said(template: str, macro: str, value: str) -> str:
        return look.macro_text(locale, f"parts/{template}.html", macro, value)

    def read(session: Session) -> Iterator[list[Cell]]:
        for some in lives.every_notice(session, asked.wanted):
            for one in some:
                yield [
                    str(one.id), said("wording", "event_name", one.event),
                    said("telling", "channel_name", one.channel),
                    _masked(one.channel, one.address), said("notices", "state_pill", one.state),
                    said("notices", "cause_words", one.reason) if one.reason else "",
                    one.carrier, one.created_at, one.accepted_at, one.delivered_at, one.read_at,
                ]  # fmt: skip

    head = [
        look.say(locale, "Notice no."), look.say(locale, "Event"), look.say(locale, "Channel"),
        look.say(locale, "To"), look.say(locale, "State"), look.say(locale, "Cause"),
        look.say(locale, "Carrier"), look.say(locale, "Made"),
        look.say(locale, "Taken by the carrier"), look.say(locale, "Delivered"),
        look.say(locale, "Read"),
    ]  # fmt: skip
    return export(kind, name="notices", head=head, rows=read_rows(read))


@router.get("/of/{person_id}")
def show_persons(
    request: Request, person_id: Id, db: Db, caller: Service, payment: OfPayment = None,
    after: After = None,
) -> Response:  # fmt: skip
    """List what one person was told, or what they were told of one payment."""
    person, at = _person(db, person_id), f"/console/notices/of/{person_id}"
    reason = looking.reason_for(db, caller, person_subject(person_id))
    if reason is None:
        back = f"{at}?payment={payment}" if payment else at
        return looking.ask_why(request, at, back=back)
    looking.note_look(db, caller, Deed.NOTICE_SEEN, person_subject(person_id), reason)
    if payment is not None:
        found = lives.about(db, person_id, _subjects(db, person_id, payment))
    else:
        wanted = lives.Wanted(person_id=person_id)
        found = lives.find_notices(db, wanted, after=after, limit=lives.PAGE + 1)
    whose = {"name": mask_name(person.name), "reason": reason, "payment": payment}
    return _list(request, found, at, Asked(), paged=after is not None, whose=whose)


def _person(session: Session, person_id: int) -> Person:
    person = session.get(Person, person_id)
    if person is None:
        raise NotFound("there is no such person")
    return person


def _subjects(session: Session, person_id: int, payment_id: int) -> list[str]:
    """Return what notices about a payment may be about: it, its bills' write-offs, its refunds."""
    payment = session.get(Payment, payment_id)
    if payment is None or payment.payer_id != person_id:
        raise NotFound("there is no such payment of theirs")
    write_offs = [one.write_off_no for one in list_items(session, payment_id)]
    refunds = [one.refund_no for one in list_refunds(session, payment_id)]
    return [str(payment_id), *write_offs, *refunds]


@router.post("/of/{person_id}/reason")
def say_why(
    request: Request, person_id: Id, db: Db, caller: Service, csrf: Csrf, reason: Line,
    words: Words, back: Line,
) -> Response:  # fmt: skip
    check_form(request, csrf)
    _person(db, person_id)
    return looking.take_reason(
        request, db, caller, person_subject(person_id), at=f"/console/notices/of/{person_id}",
        back=back, reason=reason, words=words,
    )  # fmt: skip


@router.get("/{notice_id}")
def show_notice(request: Request, notice_id: Id, db: Db, caller: Service) -> Response:
    return _notice_page(request, db, caller, lives.get_notice(db, notice_id))


@router.post("/{notice_id}/again")
def send_again(
    request: Request, notice_id: Id, db: Db, caller: Service, csrf: Csrf
) -> Response:  # fmt: skip
    check_form(request, csrf)
    notice = lives.get_notice(db, notice_id)
    subject = person_subject(notice.person_id)
    reason = looking.reason_for(db, caller, subject)
    if reason is None:
        return go(f"/console/notices/{notice_id}")
    try:
        with transaction() as session:
            sent = again.send_again(
                session, notice.person_id, notice_id, by=caller.id, now=utc_now()
            )
            looking.note_look(
                session, caller, Deed.NOTICE_AGAIN, subject, reason, notice=notice_id,
                time=sent.time_no,
            )  # fmt: skip
    except CityBillError as refused:
        return _notice_page(request, db, caller, notice, refused=refused)
    return go(f"/console/notices/{notice_id}")


def _notice_page(
    request: Request, session: Session, caller: Caller, notice: Notice, *,
    refused: CityBillError | None = None,
) -> Response:  # fmt: skip
    """Show a notice's life once the look is in the log; who has not said why is asked first."""
    subject = person_subject(notice.person_id)
    reason = looking.reason_for(session, caller, subject)
    if reason is None:
        return looking.ask_why(
            request, f"/console/notices/of/{notice.person_id}", back=f"/console/notices/{notice.id}"
        )
    looking.note_look(session, caller, Deed.NOTICE_SEEN, subject, reason, notice=notice.id or 0)
    person = _person(session, notice.person_id)
    return page(
        request,
        "console/notice.html",
        status_code=status_of(refused) if refused else 200,
        one=notice,
        steps=[_step(one) for one in lives.life_of(session, notice)],
        secret=notice.event in again.SECRET,
        whose={
            "id": person.id,
            "name": mask_name(person.name),
            "resident": person.role in {Role.RESIDENT, Role.GUEST},
        },
        reason=reason,
        error=refusal(locale_of(request), refused),
    )  # fmt: skip


def _step(one: lives.Step) -> dict[str, Any]:
    return {
        "notice": one.notice,
        "to": _masked(one.notice.channel, one.notice.address),
        "tries": sum(divmod(one.notice.attempts, LOST)),  # one its worker died of counts as many
        "receipts": one.receipts,
        "again": one.sent.again,
        "may_go_again": one.sent.may_go_again,
    }
