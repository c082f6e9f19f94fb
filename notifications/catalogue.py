"""Every event people are told of: what it is about, how urgent it is, and how it may reach them.

One table, so that nobody has to look for the rules of an event in the code that tells of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from notifications.channels.base import Kind
from notifications.models import Lane


class Subject(StrEnum):
    """What somebody chooses channels for, as the page of preferences lists it."""

    SIGN_IN = "sign_in"
    BILLS = "bills"  # a bill is there, or is missing
    REMINDERS = "reminders"  # due soon, due today, overdue
    PAYMENTS = "payments"  # received, confirmed, refused, sent back
    AUTOPAY = "autopay"
    USAGE = "usage"
    OUTAGES = "outages"  # what a company has to say about its service
    COMPLAINTS = "complaints"
    STATEMENTS = "statements"
    HOME = "home"  # who is invited into one, and who came
    OFFERS = "offers"


# Where a subject goes when nobody chose: the first first, the next when it fails or falls silent.
# The inbox is not among them: whatever is told lies there by itself.
USUAL: Mapping[Subject, tuple[str, ...]] = {
    Subject.SIGN_IN: ("sms", "email"),
    Subject.BILLS: ("push", "wechat", "email", "sms"),
    Subject.REMINDERS: ("push", "wechat", "sms", "email"),
    Subject.PAYMENTS: ("email", "wechat", "sms"),
    Subject.AUTOPAY: ("email", "wechat", "sms"),
    Subject.USAGE: ("push", "wechat", "email"),
    Subject.OUTAGES: ("push", "wechat", "sms", "email"),
    Subject.COMPLAINTS: ("email", "wechat", "sms"),
    Subject.STATEMENTS: ("email",),
    Subject.HOME: ("sms", "email"),
    Subject.OFFERS: ("email",),
}
# The law, or their own money, wants these told: a channel can be chosen, silence cannot.
NEVER_MUTED = frozenset(
    {Subject.SIGN_IN, Subject.PAYMENTS, Subject.AUTOPAY, Subject.COMPLAINTS, Subject.HOME}
)
CHANNELS = ("push", "wechat", "email", "sms")  # what can be chosen
COSTS = frozenset({"sms"})  # money, each time: where nobody chose, what is free goes first

# A paired television is not in the order of the others: what is told of these shows there as well,
# unless somebody chose otherwise.
TELEVISION = "tv"
ON_TELEVISION = frozenset({Subject.BILLS, Subject.REMINDERS, Subject.USAGE, Subject.OUTAGES})

# After how much silence of a channel the next one's turn comes; a mail has no receipts.
SILENCE_SECONDS: Mapping[str, int] = {"push": 3600, "wechat": 1800, "sms": 1800}


@dataclass(frozen=True, slots=True)
class Event:
    """What holds for every notice of an event.

    ``keeps``: after it, the notice is of no use and is dropped. ``wakes``: it is handed over in
    quiet hours too. ``gathers``: several of a household are told at once, as ``<code>.many``.
    ``answers``: it answers a text of theirs, and is none of the texts they allow a day.
    """

    code: str
    subject: Subject
    kind: Kind = Kind.SERVICE
    lane: Lane = Lane.NOW
    keeps: timedelta = timedelta(days=3)
    wakes: bool = False
    gathers: bool = False
    answers: bool = False
    places: frozenset[str] = frozenset()  # what its words may be filled with


_MONTH = timedelta(days=31)
_BILL = frozenset({"company", "bill", "month", "amount", "due_on", "days"})
_MONEY = frozenset({"name", "amount", "company", "bill", "why", "due_on", "count"})
_ITEM = frozenset({"company", "bill", "amount", "please"})
_AUTOPAY = frozenset(
    {"amount", "open", "day", "short_day", "last", "pay", "gateway", "why", "please", "company",
     "bill"}
)  # fmt: skip
_MANDATE = frozenset({"covers", "gateway", "bills", "why"})


def _bulk(
    code: str, subject: Subject, places: frozenset[str], *, days: int, gathers: bool = False
) -> Event:
    return Event(
        code, subject, lane=Lane.BULK, keeps=timedelta(days=days), gathers=gathers, places=places
    )


_EVENTS = (
    Event(
        "sign_in.code", Subject.SIGN_IN, Kind.CODE, keeps=timedelta(minutes=5), wakes=True,
        places=frozenset({"code", "minutes"}),
    ),
    # Asked for on the page of preferences, to see whether a channel reaches them.
    Event(
        "notice.tried", Subject.SIGN_IN, keeps=timedelta(hours=1), wakes=True,
        places=frozenset({"time"}),
    ),
    _bulk("bill.ready", Subject.BILLS, _BILL, days=14, gathers=True),
    _bulk("bill.missing", Subject.BILLS, _BILL, days=14),
    _bulk("bill.due_soon", Subject.REMINDERS, _BILL, days=3, gathers=True),
    _bulk("bill.due_today", Subject.REMINDERS, _BILL, days=1, gathers=True),
    _bulk("bill.overdue", Subject.REMINDERS, _BILL, days=7, gathers=True),
    Event(
        "payment.receipt", Subject.PAYMENTS, keeps=_MONTH, wakes=True,  # its reader is awake
        places=frozenset({"greeting", "name", "amount", "how", "count"}),
    ),
    Event("write_off.accepted", Subject.PAYMENTS, places=_MONEY, keeps=_MONTH),
    Event("write_off.refused", Subject.PAYMENTS, places=_ITEM, keeps=_MONTH),
    Event(
        "payment.returned", Subject.PAYMENTS, keeps=_MONTH,
        places=frozenset({"amount", "way", "why"}),
    ),
    Event("refund.requested", Subject.PAYMENTS, places=_MONEY, keeps=_MONTH),
    Event("refund.came_back", Subject.PAYMENTS, places=frozenset({"amount"}), keeps=_MONTH),
    Event("refund.declined", Subject.PAYMENTS, places=_ITEM, keeps=_MONTH),
    *(
        Event(f"autopay.{state}", Subject.AUTOPAY, places=_AUTOPAY, keeps=timedelta(days=7))
        for state in ("announced", "told", "skipped", "called_off", "retry", "done", "failed")
    ),
    *(
        Event(f"mandate.{state}", Subject.AUTOPAY, places=_MANDATE, keeps=_MONTH)
        for state in ("frozen", "ended", "not_begun")
    ),
    _bulk(
        "usage.unusual", Subject.USAGE, _BILL | {"usage", "usual", "percent", "hint"}, days=14
    ),
    Event(
        "outage.announced", Subject.OUTAGES, lane=Lane.BULK, keeps=timedelta(days=2), wakes=True,
        places=frozenset({"company", "what", "from", "until", "where", "text"}),
    ),
    Event(
        "outage.over", Subject.OUTAGES, lane=Lane.BULK, keeps=timedelta(hours=12),
        places=frozenset({"company", "what", "from", "until", "where", "text"}),
    ),
    *(
        Event(
            f"complaint.{step}", Subject.COMPLAINTS, keeps=_MONTH,
            places=frozenset({"complaint_no", "about", "answer", "day"}),
        )
        for step in ("received", "answered", "closed", "lapsing")
    ),
    _bulk(
        "statement.monthly", Subject.STATEMENTS, frozenset({"month", "amount", "count", "paid"}),
        days=31,
    ),
    Event(
        "home.invited", Subject.HOME, keeps=timedelta(days=7),
        places=frozenset({"by", "role", "day"}),
    ),
    Event("home.joined", Subject.HOME, keeps=_MONTH, places=frozenset({"name", "home", "role"})),
    # To a company's people, about the company's money.
    Event(
        "remittance.sent", Subject.PAYMENTS, keeps=_MONTH,
        places=frozenset({"company", "number", "amount", "period", "day"}),
    ),
    Event(
        "remittance.returned", Subject.PAYMENTS, keeps=_MONTH,
        places=frozenset({"company", "number", "amount", "day", "why"}),
    ),
    Event(
        "offer.made", Subject.OFFERS, Kind.COMMERCIAL, lane=Lane.BULK, keeps=timedelta(days=7),
        places=frozenset({"company", "text"}),
    ),
    # Answers to what somebody answered to a text, by text alone: they have the phone in hand.
    Event("offers.stopped", Subject.OFFERS, keeps=timedelta(days=1), wakes=True, answers=True),
    Event("reply.unread", Subject.OFFERS, keeps=timedelta(days=1), wakes=True, answers=True),
)  # fmt: skip
_MANY = tuple(
    replace(
        event, code=f"{event.code}.many", gathers=False, places=frozenset({"count", "companies"})
    )
    for event in _EVENTS
    if event.gathers
)
EVENTS: Mapping[str, Event] = {event.code: event for event in (*_EVENTS, *_MANY)}
