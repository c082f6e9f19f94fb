"""Complaints as pages show them to each side, and why something about one was refused."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from billing.bills import format_ref
from core.errors import CityBillError
from core.settings import settings
from support.complaints import Deadlines
from support.models import Complaint, Kind, State
from web import look
from web.pages.file_views import provider_name

_TEMPLATE = "parts/complaints.html"


def deadlines() -> Deadlines:
    """Return in how many working days each kind is answered here."""
    days = settings().complaint_days.model_dump()
    return Deadlines(settings().complaint_calendar, {Kind(kind): days[kind] for kind in days})


def kind_name(locale: str, kind: Kind) -> str:
    """Say a kind."""
    return look.macro_text(locale, _TEMPLATE, "kind_name", kind.value)


def state_name(locale: str, state: State) -> str:
    """Say a state."""
    return look.macro_text(locale, _TEMPLATE, "state_pill", state.value)


def row_of(locale: str, one: Complaint, *, now: datetime) -> dict[str, Any]:
    """Return a complaint as lists and pages show it: what it is about, and how it stands."""
    bill_ref = None
    if one.account_id is not None and one.bill_id is not None:
        bill_ref = format_ref((one.account_id, one.bill_id))
    return {
        "number": one.number, "kind": one.kind.value, "state": one.state.value,
        "company": provider_name(locale, one.provider_code) if one.provider_code else "",
        "code": one.provider_code or "", "month": one.month, "bill_ref": bill_ref,
        "payment_id": one.payment_id, "received_at": one.received_at, "due_on": one.due_on,
        "waits": one.waits, "overdue": one.is_overdue(now=now), "state_at": one.state_at,
        "passed_to": provider_name(locale, one.passed_to) if one.passed_to else "",
    }  # fmt: skip


def refusal(locale: str, refused: CityBillError) -> str:
    """Say why something was refused; what is not known here as it is."""
    said: Mapping[str, str] = {
        "complaint.no_words": look.say(locale, "Write a few words."),
        "complaint.too_long": look.say(locale, "Write 2,000 characters at most."),
        "complaint.about": look.say(locale, "Choose what it is about."),
        "complaint.kind": look.say(locale, "Choose what it is."),
        "complaint.too_many": look.say(
            locale, "You wrote to us ten times in a day. Please call the hotline 12345."
        ),
        "complaint.over": look.say(
            locale, "This is too long ago, or was looked at again twice. Please write to us anew."
        ),
        "complaint.taken": look.say(
            locale, "Somebody else has taken it in the meantime, or it is done."
        ),
        "complaint.not_yours": look.say(locale, "Somebody else has it. Take it over first."),
        "complaint.not_waiting": look.say(locale, "It does not wait for an answer any more."),
        "complaint.not_answered": look.say(locale, "Answer it before you close it."),
    }
    return said.get(refused.code) or look.say_known(locale, refused.message)
