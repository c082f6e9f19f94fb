"""Words for duties, for what the staff did, and for why a change of users was refused."""

from collections.abc import Callable, Mapping
from functools import partial

from core.errors import CityBillError
from identity.audit import Deed
from identity.duties import Duty
from identity.looking import LookReason
from web import look


def duty_name(locale: str, duty: Duty) -> str:
    """Say a duty."""
    return {
        Duty.SERVICE: look.say(locale, "Service to residents"),
        Duty.FINANCE: look.say(locale, "Finance"),
        Duty.SETUP: look.say(locale, "Setting companies up"),
        Duty.ADMIN: look.say(locale, "Looking after users"),
    }[duty]


def duty_hint(locale: str, duty: Duty) -> str:
    """Say what somebody may see and do by a duty."""
    return {
        Duty.SERVICE: look.say(locale, "Residents, payments, refunds, chargebacks"),
        Duty.FINANCE: look.say(locale, "Reconciliation, differences, bank, remittance, the books"),
        Duty.SETUP: look.say(locale, "Companies’ terms, files and bill files"),
        Duty.ADMIN: look.say(locale, "Who works here, and the audit log"),
    }[duty]


def deed_name(locale: str, what: str) -> str:
    """Say what somebody did; a deed of a later version as it is stored."""
    return (_of_users(locale) | _of_looks(locale)).get(what, what)


def _of_users(locale: str) -> dict[str, str]:
    return {
        Deed.SIGNED_IN: look.say(locale, "Signed in"),
        Deed.SIGN_IN_FAILED: look.say(locale, "Typed a wrong code"),
        Deed.INVITED: look.say(locale, "Invited somebody"),
        Deed.DUTY_PROPOSED: look.say(locale, "Proposed a duty"),
        Deed.DUTY_GIVEN: look.say(locale, "Gave a duty"),
        Deed.DUTY_DECLINED: look.say(locale, "Declined or withdrew a duty"),
        Deed.DUTY_TAKEN: look.say(locale, "Took a duty"),
        Deed.ENDED: look.say(locale, "Ended somebody’s access"),
        Deed.LET_IN_AGAIN: look.say(locale, "Let somebody in again"),
        Deed.SESSION_ENDED: look.say(locale, "Signed somebody out"),
    }


def _of_looks(locale: str) -> dict[str, str]:
    return {
        Deed.RESIDENTS_SOUGHT: look.say(locale, "Looked for residents"),
        Deed.RESIDENT_SEEN: look.say(locale, "Looked at a resident"),
        Deed.CONTACT_SEEN: look.say(locale, "Looked at a whole phone number and address"),
        Deed.SEEN_AS: look.say(locale, "Looked at a resident’s own page"),
        Deed.ACCOUNT_SEEN: look.say(locale, "Looked at a company’s account"),
        Deed.PAYMENT_SEEN: look.say(locale, "Looked at a payment"),
        Deed.NOTICE_AGAIN: look.say(locale, "Sent a notice once more"),
        Deed.NOTICE_SEEN: look.say(locale, "Looked at somebody’s notices"),
        Deed.CARRIER_STOPPED: look.say(locale, "Stopped a carrier of messages"),
        Deed.CARRIER_RESUMED: look.say(locale, "Let a carrier of messages go on"),
        Deed.CARRIER_PACED: look.say(locale, "Changed how fast a carrier is asked"),
        Deed.AUTOPAY_PAUSED: look.say(locale, "Paused autopay for a resident"),
        Deed.COMPLAINT_SEEN: look.say(locale, "Looked at a complaint"),
        Deed.SENT_BY_BANK: look.say(
            locale, "Had our bank send what a gateway that is gone had not"
        ),
        Deed.PAYEE_SEEN: look.say(locale, "Looked at a payee’s whole account number"),
        Deed.LIST_EXPORTED: look.say(locale, "Took out a list"),
        Deed.PAPERS_SENT: look.say(locale, "Sent papers of bills"),
        Deed.DOCUMENTS_ORDERED: look.say(locale, "Had papers made to print"),
        Deed.DOCUMENTS_CANCELLED: look.say(locale, "Called papers off"),
        Deed.DOCUMENTS_TAKEN: look.say(locale, "Took papers to print"),
    }


def detail_text(locale: str, detail: Mapping[str, object]) -> str:
    """Say what else an entry tells."""
    names = {
        "duty": look.say(locale, "duty"),
        "company": look.say(locale, "company"),
        "count": look.say(locale, "how many"),
        "format": look.say(locale, "format"),
        "filter": look.say(locale, "filter"),
        "reason": look.say(locale, "reason"),
        "people": look.say(locale, "people"),
        "accounts": look.say(locale, "accounts"),
        "page": look.say(locale, "page"),
        "notice": look.say(locale, "notice"),
        "per_minute": look.say(locale, "messages a minute"),
        "payments": look.say(locale, "payments"),
        "volume": look.say(locale, "volume"),
        "month": look.say(locale, "month"),
    }
    pages = {"bill": look.say(locale, "a bill"), "home": look.say(locale, "their bills")}
    said: dict[str, Callable[[str], str]] = {
        "duty": lambda value: duty_name(locale, Duty(value)) if value in {*Duty} else value,
        "page": lambda value: pages.get(value, value),
        "reason": partial(_reason, locale),
    }
    colon = ": " if locale == "en" else "："
    return " · ".join(
        f"{names.get(key, key)}{colon}{said[key](str(value)) if key in said else value}"
        for key, value in detail.items()
        if value != ""
    )


def _reason(locale: str, said: str) -> str:
    """Say why somebody looked: a code, and the words they added."""
    code, colon, words = said.partition(": ")
    if code not in {*LookReason}:
        return said
    why = look.macro_text(locale, "parts/residents.html", "why_words", code)
    return f"{why} · {words}" if colon else why


def refusal(locale: str, refused: CityBillError | None) -> str | None:
    """Say a refusal, with what to do about it; one we have no words for is said as it came."""
    if refused is None:
        return None
    return {
        "contact.malformed": look.say(
            locale, "A contact is one phone number or one e-mail address."
        ),
        "person.no_name": look.say(locale, "Say who it is."),
        "person.contact_taken": look.say(
            locale, "Somebody has this contact already: take their address at work."
        ),
        "person.ended_contact": look.say(
            locale, "Somebody who left has this contact: look for them, and let them in again."
        ),
        "person.own": look.say(locale, "Nobody ends their own access: ask another admin."),
        "person.ended": look.say(locale, "Their access has ended: let them in again first."),
        "duty.own": look.say(locale, "Nobody changes their own duties: ask another admin."),
        "duty.stands": look.say(locale, "They have this duty already, or it is proposed."),
        "duty.over": look.say(locale, "This proposal does not stand any more."),
        "duty.same_person": look.say(
            locale, "A duty is given by an admin who neither proposed it nor gets it."
        ),
        "duty.last_admin": look.say(
            locale, "This is the last person who looks after users: give somebody else that first."
        ),
        "duty.none_chosen": look.say(locale, "Choose a duty."),
    }.get(refused.code, str(refused))
