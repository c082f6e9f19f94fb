"""The debit of one bill by its mandate: a last look, the payment, and what follows from its end.

A debit is a payment like any other, with the payer elsewhere: its bill is held, its gateway is
asked until it says what became of it, and the company is told. Rules 37, 41 and 43.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import TextClause, text
from sqlmodel import Session, col, select

from billing.homes.models import HouseholdAccount
from billing.models import Bill
from core import outbox
from core.clock import billing_date
from core.db import transaction
from core.errors import Conflict, Invalid, NotFound, UpstreamUnavailable
from payments import checkout
from payments.autopay.collections import word_on
from payments.autopay.mandates import CHANNEL, end_because
from payments.autopay.models import AutopayRun, Mandate, lock_mandate
from payments.autopay.rules import (
    NotPaid,
    debit_moment,
    half_fen,
    last_try_on,
    next_try_on,
    taken_at,
)
from payments.autopay.states import MandateStatus, RunNews, RunState
from payments.gateways.base import Debiting, Gateway, GatewayReply, GatewayStatus, MandateState
from payments.gateways.collecting import COLLECT_AFTER, Collecting
from payments.models import Payment, get_payment
from payments.opening import open_at_gateway
from payments.quotes import Quote, Wanted, preview
from payments.routing import Way, route
from payments.settlement import book_reply
from payments.states import PaymentStatus

HELD_SECONDS = 600  # somebody is paying the bill by hand: look again
SAYS_WITHIN = timedelta(days=7)  # of a debit's end: a gateway that cannot say by then never will
ASKED_WITHIN = timedelta(hours=12)  # of when a day's debits begin, if its gateway was away then
LATE_WITHIN = timedelta(days=31)  # how long money that comes after all is looked for
_FOR_GOOD = "mandate_ended"  # how a gateway's refusal begins that ends a mandate
_DUE = frozenset({RunState.ANNOUNCED, RunState.RETRY})


class Start(NamedTuple):
    """What a debit begins with: the payment to make, or when to look again; neither: it is over."""

    payment_id: int | None = None
    again_seconds: int | None = None


def debit(
    run_id: int, gateways: Mapping[str, Gateway], *, notify_url: str, return_url: str, now: datetime
) -> int | None:
    """Debit one announced bill, once; returns seconds to call again after, None when it has begun.

    No transaction is open while the gateway is asked; the job of its payment asks on.

    Args:
        notify_url, return_url: with ``{gateway}`` and ``{payment}`` to fill in.
    """
    with transaction() as session:
        start = begin(session, run_id, gateways, return_url=return_url, now=now)
    if start.payment_id is not None:
        with transaction() as session:
            code = session.get_one(Payment, start.payment_id).gateway
        open_at_gateway(
            start.payment_id, gateways[code], notify_url=notify_url.replace("{gateway}", code)
        )
    return start.again_seconds


def begin(
    session: Session,
    run_id: int,
    gateways: Mapping[str, Gateway],
    *,
    return_url: str,
    now: datetime,
) -> Start:
    """Look at a run for the last time and make its payment, or skip it with the reason (rule 37).

    Raises:
        NotFound: no such run.
    """
    known = session.get(AutopayRun, run_id)
    if known is None:
        raise NotFound("there is no such run of autopay")
    mandate = lock_mandate(session, known.mandate_id)
    run = session.get_one(AutopayRun, run_id, with_for_update=True, populate_existing=True)
    if run.state not in _DUE or now < debit_moment(run.debit_on):
        return Start()
    bill = session.get_one(
        Bill, (run.account_id, run.bill_id), with_for_update=True, populate_existing=True
    )
    reason = _why_not(mandate, run, bill, gateways, now=now)
    if reason is None and not _covers(session, mandate, run):
        reason = NotPaid.NOT_ALLOWED
    if reason is None and bill.held_by is not None:
        return Start(again_seconds=HELD_SECONDS)
    if reason is None:
        made = _make_payment(session, mandate, run, gateways, return_url=return_url, now=now)
        if isinstance(made, Payment):
            run.hear(RunNews.DEBITED, now=now)
            run.payment_id, run.tries = made.id, run.tries + 1
            session.flush()
            return Start(payment_id=made.id)
        reason = made
    run.hear(RunNews.NOT_WANTED, now=now, reason=reason)
    outbox.emit(session, "autopay.skipped", run.id, now=now)
    session.flush()
    return Start()


def _covers(session: Session, mandate: Mandate, run: AutopayRun) -> bool:
    """Tell whether a household's mandate still covers an account: it may be taken off the home."""
    key = mandate.household_id, run.account_id
    return mandate.household_id is None or session.get(HouseholdAccount, key) is not None


def _why_not(
    mandate: Mandate, run: AutopayRun, bill: Bill, gateways: Mapping[str, Gateway], *, now: datetime
) -> NotPaid | None:
    if mandate.status is MandateStatus.PAUSED:
        return NotPaid.PAUSED
    if mandate.status is not MandateStatus.ACTIVE:
        return NotPaid.ENDED
    if bill.paid_elsewhere_at is not None:
        return NotPaid.PAID
    if bill.cancelled_at is not None:
        return NotPaid.CANCELLED
    if bill.version != run.version:
        return NotPaid.SUPERSEDED
    if bill.open_fen <= 0:
        return NotPaid.PAID
    if mandate.gateway not in gateways:
        return NotPaid.NOT_TAKEN
    assert run.first_debit_on is not None
    if billing_date(now) > last_try_on(run.first_debit_on):
        return NotPaid.SHORT if run.tries else NotPaid.TOO_LATE
    return None


def _make_payment(
    session: Session,
    mandate: Mandate,
    run: AutopayRun,
    gateways: Mapping[str, Gateway],
    *,
    return_url: str,
    now: datetime,
) -> Payment | NotPaid:
    """Make the payment of a run, held to the rules and to what was announced; or say why not."""
    gateway = gateways[mandate.gateway]
    mode = gateway.capabilities.modes[0]
    way = Way(mode, mandate.gateway)
    try:
        wanted, asked = _asked(session, mandate, run, gateway, now=now)
        part = wanted.amount_fen is not None
        reason = mandate.rules.why_not(asked.amount_fen, first=run.first, whole=not part)
        if asked.amount_fen > (run.amount_fen or 0):
            reason = NotPaid.CHANGED
        if reason is not None:
            return reason
        payment, _ = checkout.create_payment(
            session, payer_id=mandate.person_id, wanted=[wanted], gateway=mandate.gateway,
            return_url=return_url, mode=mode, channel=CHANNEL,
            idempotency_key=f"autopay {run.id}.{run.tries + 1}",
            shown_total_fen=asked.amount_fen, now=now,
            pick=lambda fen: route(gateways, way, channel=CHANNEL, amount_fen=fen)[0],
        )  # fmt: skip
    except NotFound:
        return NotPaid.NOT_ALLOWED
    except Invalid:
        return NotPaid.NOT_TAKEN
    except Conflict:
        return NotPaid.CHANGED
    payment.mandate_ref = mandate.mandate_ref
    return payment


def _asked(
    session: Session, mandate: Mandate, run: AutopayRun, gateway: Gateway, *, now: datetime
) -> tuple[Wanted, Quote]:
    """Return what is debited: all that is owed, or half of it in the end (rule 43).

    Half is taken on the last day only, and if payer and company both let it. A bank that collects
    does so on a later day: what may not be paid so on that day is refused, too.
    """
    ref, mode = (run.account_id, run.bill_id), gateway.capabilities.modes[0]
    whole = Wanted(ref, None)
    if isinstance(gateway, Collecting):
        at = taken_at(billing_date(now), COLLECT_AFTER)
        preview(session, [whole], mode=mode, channel=CHANNEL, now=at)
    assert run.first_debit_on is not None
    last_day = next_try_on(run.first_debit_on, billing_date(now)) is None
    if mandate.in_parts and run.state is RunState.RETRY and last_day:
        open_fen = session.get_one(Bill, ref).open_fen
        part = whole._replace(amount_fen=half_fen(open_fen))
        try:
            return part, preview(session, [part], mode=mode, channel=CHANNEL, now=now)
        except (Invalid, Conflict):
            pass  # the company takes no part: the whole once more
    return whole, preview(session, [whole], mode=mode, channel=CHANNEL, now=now)


_SETTLE = """
    UPDATE autopay_run r
    SET state = CASE WHEN i.outcome IN ('paid', 'written_off') THEN 'done' ELSE 'failed' END,
        reason = CASE WHEN i.outcome IN ('paid', 'written_off') THEN NULL ELSE 'returned' END,
        state_at = :now
    FROM payment p, payment_item i
    WHERE p.id = r.payment_id AND p.status = 'paid' AND i.payment_id = p.id
      AND i.account_id = r.account_id AND i.bill_id = r.bill_id
"""
_SETTLE_TRIED = text(_SETTLE + "AND r.state IN ('debiting', 'retry') RETURNING r.id, r.state")
_SETTLE_ENDED = text(
    _SETTLE + "AND r.state IN ('skipped', 'failed') AND i.outcome IN ('paid', 'written_off')"
    " AND r.payment_id IS NOT NULL AND r.state_at > :since RETURNING r.id, r.state"
)


def settle(session: Session, *, now: datetime) -> int:
    """Close the runs whose payment has come; returns how many."""
    return _settle(session, _SETTLE_TRIED, {"now": now}, now=now)


def settle_late(session: Session, *, now: datetime) -> int:
    """Close the runs that had ended unpaid and whose money came after all; returns how many."""
    return _settle(session, _SETTLE_ENDED, {"now": now, "since": now - LATE_WITHIN}, now=now)


def _settle(
    session: Session, statement: TextClause, values: dict[str, datetime], *, now: datetime
) -> int:
    closed = sorted(session.execute(statement, values).all())  # told in order, whatever the plan
    events = [
        outbox.Event("autopay.done", run_id)
        if state == RunState.DONE
        else outbox.Event("autopay.failed", run_id)
        for run_id, state in closed
    ]
    if events:
        session.execute(text(outbox.INSERT_EVENTS), outbox.event_values(events, now=now))
    return len(closed)


def after_refusal(payment_id: int, gateways: Mapping[str, Gateway], *, now: datetime) -> bool:
    """Decide what follows when a debit came to nothing: tried again, or told as failed (rule 43).

    The gateway is asked why: a refusal for good ends the mandate. One that cannot say for a week
    never will: the run has failed then, and is not tried again. Payments that are no debits are
    none of this one's business.

    Returns:
        Whether that is done; otherwise the gateway could not say: ask again later.

    Raises:
        UpstreamUnavailable: the gateway could not be reached; try again later.
    """
    with transaction() as session:
        run = _run_of(session, payment_id)
        payment = session.get_one(Payment, payment_id)
    if run is None:
        return True
    over = now >= payment.status_at + SAYS_WITHIN
    try:
        told = _ask_why(payment, gateways)
    except UpstreamUnavailable:
        if not over:
            raise
        told = _NO_ANSWER
    unknown = told.status in {GatewayStatus.UNKNOWN, GatewayStatus.OPEN}
    if unknown and not over:
        return False  # the money may still come: nothing is tried again before that is known
    with transaction() as session:
        if unknown:
            _fail(session, payment_id, NotPaid.NO_ANSWER, now=now)
        elif told.status is GatewayStatus.PAID:
            _book_late_money(session, payment_id, told, now=now)
        else:
            unheard = told.status is GatewayStatus.NOT_FOUND
            book_refusal(session, payment_id, told.reason or "", unheard=unheard, now=now)
    return True


def _ask_why(payment: Payment, gateways: Mapping[str, Gateway]) -> GatewayReply:
    """Ask a gateway what became of a payment; of batches our own books know it."""
    gateway = gateways.get(payment.gateway)
    if gateway is None:
        return _NO_ANSWER
    if isinstance(gateway, Collecting):
        return _word_on(payment, gateway)
    return gateway.query(payment.asked())


def _word_on(payment: Payment, gateway: Gateway) -> GatewayReply:
    """Tell what became of a debit at a bank; one that it would not take ends its mandate."""
    with transaction() as session:
        told = word_on(session, payment.id)
        run = _run_of(session, payment.id)
        mandate = session.get_one(Mandate, run.mandate_id) if run else None
    turned_away = payment.status is PaymentStatus.REFUSED
    if told.status is not GatewayStatus.NOT_FOUND or not turned_away or mandate is None:
        return told
    assert isinstance(gateway, Debiting)
    state = gateway.query_mandate(mandate.mandate_no, mandate.mandate_ref).state
    if state in _GONE:
        return GatewayReply(status=GatewayStatus.REFUSED, reason=f"{_FOR_GOOD}: {state}")
    return told if state is MandateState.ACTIVE else _NO_ANSWER


_NO_ANSWER = GatewayReply(status=GatewayStatus.UNKNOWN)
_GONE = {MandateState.ENDED, MandateState.REFUSED, MandateState.NOT_FOUND}


def _book_late_money(
    session: Session, payment_id: int, told: GatewayReply, *, now: datetime
) -> None:
    """Enter money that came after all; in another amount than was asked for it goes back."""
    book_reply(session, payment_id, told, now=now)
    if get_payment(session, payment_id).status is not PaymentStatus.PAID:  # else settle sees it
        _fail(session, payment_id, NotPaid.RETURNED, now=now)


def _fail(session: Session, payment_id: int, reason: NotPaid, *, now: datetime) -> None:
    run = _run_of(session, payment_id, lock=True)
    if run is not None and run.hear(RunNews.REFUSED, now=now, reason=reason):
        outbox.emit(session, "autopay.failed", run.id, now=now)
        session.flush()


def book_refusal(
    session: Session, payment_id: int, why: str, *, unheard: bool = False, now: datetime
) -> None:
    """Enter that a debit came to nothing, once; ``why`` is the gateway's word.

    Args:
        unheard: the gateway was away, and nobody was asked for money: the same day goes on.
    """
    run = _run_of(session, payment_id)
    if run is None:
        return
    mandate = lock_mandate(session, run.mandate_id)
    session.refresh(run, with_for_update=True)
    if run.state is not RunState.DEBITING or run.payment_id != payment_id:
        return
    assert run.first_debit_on is not None
    for_good = why.startswith(_FOR_GOOD)
    ended = for_good or mandate.status is MandateStatus.ENDED
    today = billing_date(now)
    again_on = next_try_on(run.first_debit_on, today)
    in_time = today <= last_try_on(run.first_debit_on)
    if unheard and in_time and not ended and now < debit_moment(today) + ASKED_WITHIN:
        run.hear(RunNews.SHORT, now=now)
        run.debit_on, run.asked_on = today, None
    elif again_on is not None and not ended:
        run.hear(RunNews.SHORT, now=now)
        run.debit_on = again_on
        if mandate.status is MandateStatus.ACTIVE:  # paused, it is skipped then, and that is told
            outbox.emit(session, "autopay.postponed", run.id, now=now)
    else:
        reason = NotPaid.NO_ANSWER if unheard else NotPaid.SHORT
        run.hear(RunNews.REFUSED, now=now, reason=NotPaid.ENDED if ended else reason)
        outbox.emit(session, "autopay.failed", run.id, now=now)
    session.flush()
    if for_good:
        end_because(session, mandate, "by_gateway", now=now)


def _run_of(session: Session, payment_id: int, *, lock: bool = False) -> AutopayRun | None:
    wanted = select(AutopayRun).where(
        col(AutopayRun.payment_id) == payment_id, AutopayRun.state == RunState.DEBITING
    )
    return session.exec(wanted.with_for_update() if lock else wanted).one_or_none()
