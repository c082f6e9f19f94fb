"""Looking at residents: why is asked first, and the look is in the audit log before the page is.

The log is written in the request's transaction, and that ends before the answer leaves.
"""

from collections.abc import Sequence

from fastapi import Request
from fastapi.responses import Response
from sqlmodel import Session

from core.clock import utc_now
from core.errors import CityBillError
from identity import audit
from identity.audit import Deed, Subject
from identity.looking import Looking, LookReason, find_reason, state_reason
from web import look
from web.access import Caller
from web.errors import status_of
from web.pages.page import go, locale_of, page, safe_path


def account_subject(account_id: int) -> Subject:
    """Return a company's account as a subject of looks."""
    return Subject("account", str(account_id))


def reason_for(session: Session, caller: Caller, *subjects: Subject) -> Looking | None:
    """Return why somebody looks at one of these, if they have said so in this session."""
    return find_reason(session, caller.token, _names(subjects))


def _names(subjects: Sequence[Subject]) -> list[str]:
    return [f"{kind}:{subject_id}" for kind, subject_id in subjects]


def note_look(
    session: Session,
    caller: Caller,
    deed: Deed,
    subject: Subject | None,
    reason: Looking | None = None,
    **detail: str | int,
) -> None:
    """Write a look down: who, at what, and why."""
    why = {} if reason is None else {"reason": reason.said}
    audit.note(session, caller.id, deed, subject=subject, detail=why | detail, now=utc_now())


def ask_why(
    request: Request, at: str, *, back: str | None = None, refused: CityBillError | None = None,
    reason: str = "", words: str = "",
) -> Response:  # fmt: skip
    """Ask why somebody looks, and show nothing of whom.

    Args:
        at: the page of what they would look at; its ``/reason`` takes the answer.
        back: where they go on to then.
    """
    return page(
        request,
        "console/look_reason.html",
        status_code=status_of(refused) if refused else 200,
        at=at,
        back=back or request.url.path,
        reasons=[one.value for one in LookReason],
        typed={"reason": reason, "words": words},
        error=_refusal(request, refused),
    )


def _refusal(request: Request, refused: CityBillError | None) -> str | None:
    if refused is None:
        return None
    locale = locale_of(request)
    return {
        "looking.no_reason": look.say(locale, "Choose why you look."),
        "looking.no_words": look.say(locale, "Say why in a few words."),
    }.get(refused.code, str(refused))


def take_reason(
    request: Request,
    session: Session,
    caller: Caller,
    subject: Subject,
    *,
    at: str,
    back: str,
    reason: str,
    words: str,
) -> Response:
    """Keep why somebody looks for the rest of their session, and let them go on."""
    onward = back if safe_path(back).startswith("/console/") and back == safe_path(back) else at
    [name] = _names([subject])
    try:
        state_reason(session, caller.token, name, reason=reason, words=words, now=utc_now())
    except CityBillError as refused:
        return ask_why(request, at, back=onward, refused=refused, reason=reason, words=words)
    return go(onward)
