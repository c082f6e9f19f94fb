"""Mandates: a payer agrees once, and bills are debited without them. Rules 41 to 43.

A gateway's word about a mandate is asked for, never taken from a callback. What it debits, and
when, is ``payments.autopay``.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from billing.homes.households import pays_in, visible_accounts
from core import outbox
from core.db import transaction
from core.errors import Conflict, Invalid, NotFound
from payments.attempts import lock_fresh, never_heard
from payments.autopay.models import AutopayRun, Mandate, get_own_mandate, lock_mandate
from payments.autopay.rules import CapKind, NotPaid, Rules
from payments.autopay.states import LIVE, MandateNews, MandateStatus, RunState, runs_before
from payments.gateways.base import Debiting, Gateway, MandateOrder, MandateReply, MandateState
from payments.pauses import pause_seconds
from payments.settlement import give_up
from payments.states import News

CHANNEL = "autopay"
SIGN_WITHIN = timedelta(days=1)
KEY_LIVES = timedelta(hours=24)
SUBJECT = "水电燃气通信账单代扣 Autopay of utility bills"


class Scope(NamedTuple):
    """Whose bills: one account's, or all of a household's; one of the two."""

    account_id: int | None = None
    household_id: int | None = None


def debiting(gateways: Mapping[str, Gateway], code: str) -> Debiting:
    """Return a gateway that can debit by a mandate.

    Raises:
        Invalid: it cannot; the message names those that can.
    """
    gateway = gateways.get(code)
    if isinstance(gateway, Debiting) and CHANNEL in gateway.capabilities.channels:
        return gateway
    able = ", ".join(one.code for one in able_to_debit(gateways)) or "none"
    raise Invalid(
        f"{code[:40]!r} cannot debit without the payer; these can: {able}",
        code="mandate.gateway",
    )


def able_to_debit(gateways: Mapping[str, Gateway]) -> list[Gateway]:
    """Return the gateways a mandate can be given to."""
    return [
        one
        for one in gateways.values()
        if isinstance(one, Debiting) and CHANNEL in one.capabilities.channels
    ]


def create_mandate(
    session: Session,
    *,
    person_id: int,
    scope: Scope,
    gateway: str,
    rules: Rules,
    return_url: str,
    key: str,
    now: datetime,
) -> Mandate:
    """Make a mandate for its payer to agree to, or return the one this key already made (rule 30).

    Args:
        return_url: where the gateway sends the payer back to; ``{mandate}`` becomes its id.

    Raises:
        Invalid: rules that do not fit together.
        NotFound: bills that are not this person's to pay.
        Conflict: the key served another request, or these bills have a mandate.
    """
    rules.check()
    digest = _digest(scope, gateway, rules)
    earlier = _find_earlier(session, person_id, key, digest, now=now)
    if earlier is not None:
        return earlier
    if not may_hold(session, person_id, scope):
        raise NotFound("there is no such account or household")
    _make_room(session, person_id, scope, now=now)
    number = session.execute(text("SELECT nextval('mandate_no')")).scalar_one()
    mandate = Mandate(
        id=number, return_url=return_url.replace("{mandate}", str(number)), gateway=gateway,
        person_id=person_id, account_id=scope.account_id, household_id=scope.household_id,
        status_at=now, created_at=now,
        cap_kind=rules.cap_kind, cap_fen=rules.cap_fen, first_bill=rules.first_bill,
        first_factor=rules.first_factor, pay_day=rules.pay_day, pay_day_n=rules.pay_day_n,
        in_parts=rules.in_parts, signed_most_fen=rules.signed_most_fen(),
        request_key=key, request_sha256=digest,
    )  # fmt: skip
    try:
        with session.begin_nested():
            session.add(mandate)
    except IntegrityError as twice:
        raise Conflict(
            "these bills have autopay already: change that one, or end it", code="mandate.exists"
        ) from twice
    outbox.emit(session, "mandate.created", mandate.id, now=now)
    session.flush()
    return mandate


def _digest(scope: Scope, gateway: str, rules: Rules) -> str:
    facts = [*scope, gateway, *(getattr(rules, name) for name in Rules.__slots__)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _find_earlier(
    session: Session, person_id: int, key: str, digest: str, *, now: datetime
) -> Mandate | None:
    # Two requests with one key at the same moment: the second waits here for the first.
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, :person))"),
        {"key": f"mandate {key}", "person": person_id},
    )
    earlier = session.exec(
        select(Mandate).where(Mandate.person_id == person_id, Mandate.request_key == key)
    ).one_or_none()
    if earlier is not None and earlier.created_at < now - KEY_LIVES:
        earlier.request_key = None
        session.flush()
        return None
    if earlier is not None and earlier.request_sha256 != digest:
        raise Conflict(
            "this Idempotency-Key was used for another request: use a new one",
            code="idempotency.other_request",
        )
    return earlier


def may_hold(session: Session, person_id: int, scope: Scope) -> bool:
    """Tell whether somebody may pay what a mandate covers."""
    if scope.account_id is not None and scope.household_id is None:
        accounts = visible_accounts(session, person_id, to_pay=True)
        return scope.account_id in accounts.staying()
    return pays_in(session, person_id, scope.household_id)


def _make_room(session: Session, person_id: int, scope: Scope, *, now: datetime) -> None:
    """End what they never agreed to, and what somebody holds who may not pay these any more."""
    in_the_way = session.exec(
        select(Mandate)
        .where(col(Mandate.status).in_(LIVE))
        .where(Mandate.account_id == scope.account_id, Mandate.household_id == scope.household_id)
        .with_for_update()
    ).all()
    for one in in_the_way:
        if one.person_id == person_id and one.status is MandateStatus.OPEN:
            end_because(session, one, "replaced", now=now)
        elif not may_hold(session, one.person_id, scope):
            end_because(session, one, "not_allowed", now=now)
    session.flush()


def sign(mandate_id: int, gateway: Debiting, *, notify_url: str, now: datetime) -> Mandate:
    """Ask the gateway for the page where the payer agrees; may be repeated.

    Raises:
        UpstreamUnavailable: it could not be asked; try again later.
    """
    with transaction() as session:
        mandate = session.get_one(Mandate, mandate_id)
    if mandate.status is not MandateStatus.OPEN or mandate.sign_url is not None:
        return mandate
    reply = gateway.sign_mandate(
        MandateOrder(
            mandate_no=mandate.mandate_no,
            maximum_fen=mandate.signed_most_fen,
            subject=SUBJECT,
            notify_url=notify_url,
            return_url=mandate.return_url,
            asked_at=mandate.created_at,
        )
    )
    with transaction() as session:
        return book_mandate(session, mandate_id, reply, now=now)


def resolve(mandate_id: int, gateway: Debiting, *, notify_url: str, now: datetime) -> Mandate:
    """Find out whether the payer agreed; one they never answered ends after a day.

    Raises:
        UpstreamUnavailable: the gateway could not be reached; try again later.
    """
    with transaction() as session:
        mandate = session.get_one(Mandate, mandate_id)
    if mandate.status is not MandateStatus.OPEN:
        return mandate
    reply = gateway.query_mandate(mandate.mandate_no, mandate.mandate_ref)
    if reply.state is MandateState.NOT_FOUND or (
        reply.state is MandateState.OPEN and mandate.sign_url is None
    ):
        mandate = sign(mandate_id, gateway, notify_url=notify_url, now=now)
    with transaction() as session:
        mandate = book_mandate(session, mandate_id, reply, now=now)
        if mandate.status is MandateStatus.OPEN and now >= mandate.created_at + SIGN_WITHIN:
            end_because(session, mandate, "not_signed", now=now)
        return mandate


def ask_again_seconds(mandate: Mandate, *, now: datetime) -> int | None:
    """Tell when to ask again whether the payer agreed; None when they have answered."""
    if mandate.status is not MandateStatus.OPEN:
        return None
    return pause_seconds(now - mandate.created_at)


def look(mandate_no: str, gateway: Gateway, now: datetime) -> bool:
    """Ask how a mandate stands that a callback speaks of; tells whether the gateway could say.

    Raises:
        NotFound: none of ours.
        UpstreamUnavailable: the gateway could not be reached.
    """
    number = mandate_no[5:]
    with transaction() as session:
        known = number.isascii() and number.isdecimal() and len(number) < 19
        mandate = session.get(Mandate, int(number)) if known else None
    if mandate is None or (mandate.mandate_no, mandate.gateway) != (mandate_no, gateway.code):
        raise NotFound("there is no such mandate")
    assert isinstance(gateway, Debiting)
    reply = gateway.query_mandate(mandate_no, mandate.mandate_ref)
    if reply.state is MandateState.UNKNOWN:
        return False
    if mandate.status not in LIVE and reply.state is MandateState.ACTIVE:
        return end_there(mandate.id or 0, gateway)  # agreed to after it had ended here
    with transaction() as session:
        book_mandate(session, mandate.id or 0, reply, now=now)
    return True


def book_mandate(
    session: Session, mandate_id: int, reply: MandateReply, *, now: datetime
) -> Mandate:
    """Enter what a gateway says of a mandate; the same again changes nothing."""
    mandate = lock_mandate(session, mandate_id)
    if mandate.status is MandateStatus.OPEN:
        mandate.mandate_ref = reply.mandate_ref or mandate.mandate_ref
        mandate.sign_url = reply.sign_url or mandate.sign_url
    match reply.state:
        case MandateState.ACTIVE if mandate.mandate_ref is not None:
            if mandate.hear(MandateNews.AGREED, now=now):
                outbox.emit(session, "mandate.active", mandate.id, now=now)
        case MandateState.REFUSED if mandate.status is MandateStatus.OPEN:
            mandate.hear(MandateNews.REFUSED, now=now, reason=reply.reason)
            outbox.emit(session, "mandate.refused", mandate.id, now=now)
        case MandateState.ENDED | MandateState.REFUSED:
            end_because(session, mandate, "by_gateway", now=now)
    session.flush()
    return mandate


def pause(
    session: Session, mandate_id: int, person_id: int, *, why: str = "by_payer", now: datetime
) -> Mandate:
    """Stop debiting until the payer resumes (Raises NotFound).

    A debit its gateway may have heard of goes on; one in a batch ends when that is cut.
    """
    mandate = _own(session, mandate_id, person_id)
    if mandate.hear(MandateNews.PAUSED, now=now, reason=why):
        _call_off(session, mandate, now=now)
        outbox.emit(session, "mandate.paused", mandate.id, now=now)
    return _as(mandate, MandateStatus.PAUSED)


def resume(session: Session, mandate_id: int, person_id: int, *, now: datetime) -> Mandate:
    """Go on debiting, after a pause or a bounce (Raises NotFound)."""
    mandate = _own(session, mandate_id, person_id)
    if mandate.hear(MandateNews.RESUMED, now=now):
        outbox.emit(session, "mandate.active", mandate.id, now=now)
    return _as(mandate, MandateStatus.ACTIVE)


def end(session: Session, mandate_id: int, person_id: int, *, now: datetime) -> Mandate:
    """End a mandate for good; ended again it stays ended (Raises NotFound)."""
    mandate = _own(session, mandate_id, person_id)
    end_because(session, mandate, "by_payer", now=now)
    return mandate


def change_cap(
    session: Session, mandate_id: int, person_id: int, cap_fen: int, *, now: datetime
) -> Mandate:
    """Set another cap, up to what the payer signed at the gateway.

    Raises:
        NotFound: no such mandate of theirs.
        Invalid: no amount, or more than was signed.
        Conflict: the mandate has no cap, or has ended.
    """
    mandate = _own(session, mandate_id, person_id)
    if mandate.cap_kind is CapKind.NONE or mandate.status not in LIVE:
        raise Conflict("this mandate has no cap to change", code="mandate.no_cap")
    most_fen = replace(mandate.rules, cap_fen=cap_fen).signed_most_fen()
    if cap_fen <= 0 or (most_fen or 0) > (mandate.signed_most_fen or 0):
        raise Invalid(
            "the payer has signed for less at the gateway: set autopay up anew for a higher cap",
            code="cap.above_signed", signed_most_fen=mandate.signed_most_fen,
        )  # fmt: skip
    mandate.cap_fen = cap_fen
    session.flush()
    return mandate


def freeze(session: Session, payment_id: int, *, now: datetime) -> bool:
    """Stop the mandate that a payment was debited by: it bounced (rule 35); tells whether it did.

    A payment that no mandate stands behind is left alone.
    """
    run = session.exec(
        select(AutopayRun).where(col(AutopayRun.payment_id) == payment_id)
    ).one_or_none()
    if run is None:
        return False
    mandate = lock_mandate(session, run.mandate_id)
    frozen = mandate.hear(MandateNews.BOUNCED, now=now, reason="bounced")
    if frozen:
        outbox.emit(session, "mandate.frozen", mandate.id, now=now)
        session.flush()
    return frozen


def end_there(mandate_id: int, gateway: Debiting) -> bool:
    """End at the gateway what has ended here; may be repeated; tells whether that is done.

    Raises:
        UpstreamUnavailable: the gateway could not be reached; try again later.
    """
    with transaction() as session:
        mandate = session.get_one(Mandate, mandate_id)
    reply = gateway.end_mandate(mandate.mandate_no, mandate.mandate_ref)
    return reply.state in {MandateState.ENDED, MandateState.REFUSED, MandateState.NOT_FOUND}


def _own(session: Session, mandate_id: int, person_id: int) -> Mandate:
    get_own_mandate(session, mandate_id, person_id)
    return lock_mandate(session, mandate_id)


def _as(mandate: Mandate, wanted: MandateStatus) -> Mandate:
    if mandate.status is not wanted:
        raise Conflict(
            f"a mandate that is {mandate.status} cannot be {wanted}", code="mandate.state"
        )
    return mandate


_DROP = text("""
    UPDATE autopay_run SET state = 'skipped', reason = :reason, state_at = :now
    WHERE mandate_id = :mandate_id AND state = ANY(:before)
    RETURNING id, announced_at IS NOT NULL
""")


def end_because(session: Session, mandate: Mandate, why: str, *, now: datetime) -> None:
    """End a mandate; what it has announced will not be debited, and that is said."""
    if not mandate.hear(MandateNews.ENDED, now=now, reason=why):
        return
    values = {
        "mandate_id": mandate.id, "now": now, "reason": NotPaid.ENDED,
        "before": runs_before(RunState.SKIPPED),
    }  # fmt: skip
    session.flush()
    _call_off(session, mandate, now=now)
    for run_id, was_announced in sorted(session.execute(_DROP, values).all()):
        if was_announced:
            outbox.emit(session, "autopay.skipped", run_id, now=now)
    outbox.emit(session, "mandate.ended", mandate.id, now=now)
    session.flush()


def _call_off(session: Session, mandate: Mandate, *, now: datetime) -> None:
    """End the debits that have begun here and that no gateway can have heard of."""
    begun = session.exec(
        select(AutopayRun.payment_id).where(
            AutopayRun.mandate_id == mandate.id, AutopayRun.state == RunState.DEBITING
        )
    ).all()
    for payment_id in begun:
        assert payment_id is not None  # the database sees to it
        if never_heard(session, lock_fresh(session, payment_id)):
            give_up(session, payment_id, News.CLOSED, now=now)
