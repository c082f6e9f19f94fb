"""Starting a payment: bills of several companies, one amount, one gateway.

The bills are held for the payment from the moment it exists; a bill that is held cannot be paid a
second time nor corrected until the outcome is known.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.orm import make_transient_to_detached
from sqlmodel import Session, select

from billing.bills import BillRef, resolve_refs
from billing.homes.pay_grants import ask_may_pay, may_pay
from billing.rules.terms import Terms
from core import outbox
from core.clock import billing_date, month_start
from core.db import Asked, HotStatement, acting, together, transaction
from core.errors import Invalid, NotFound, UpstreamUnavailable
from core.keys import month_key
from payments.attempts import INSERT_FIRST, Hand, first_values
from payments.gateways import NO_GATEWAY
from payments.gateways.base import Gateway, GatewayReply, GatewayStatus
from payments.models import Payment, get_payment
from payments.opening import ask_to_open, is_nowhere
from payments.pauses import pause_seconds
from payments.quotes import (
    Quote,
    Standing,
    Wanted,
    ask_standing,
    check_fresh,
    check_unchanged,
    quote,
    read_standing,
    standing,
)
from payments.repeats import ask_served, request_digest, served
from payments.settlement import book_reply, give_up
from payments.states import PENDING, UNOPENED, News, PaymentStatus

PAY_WITHIN = timedelta(minutes=30)
ASK_FOR = timedelta(days=2)  # what became of a payment, of a gateway that does not know or answer
MAX_BILLS = 50
_FILES_TELL_SECONDS = 12 * 3_600


class Made(NamedTuple):
    """A payment, and whether it is new or the answer to the same request before."""

    payment: Payment
    new: bool


def create_payment(
    session: Session,
    *,
    payer_id: int,
    wanted: Sequence[Wanted],
    gateway: str,
    return_url: str,
    idempotency_key: str,
    now: datetime,
    mode: str = "wallet",
    channel: str = "web",
    sum_fen: int | None = None,
    quoted_at: datetime | None = None,
    shown_total_fen: int | None = None,
    pick: Callable[[int], str] | None = None,
    hand: Hand | None = None,
) -> Made:
    """Make a payment and hold its bills, or return the one this key already made (rule 30).

    Args:
        return_url: where the gateway sends the payer back to; ``{payment}`` becomes its id.
        sum_fen: one sum for all the bills, of one company, divided in its order (rule 9).
        quoted_at: when the payer was shown the amounts; None: this moment.
        shown_total_fen: the total they were shown, fee and tax included; None: whatever it is.
        pick: which gateway collects an amount, where ``gateway`` is a way to pay; see routing.
        hand: who pays, on what: written down that the gateway is asked, once this is committed.

    Raises:
        Invalid: no, too many or doubled bills, or an amount that is not taken.
        NotFound: a bill that does not exist or that this person may not pay.
        Conflict: the key served another request; a bill is held (until when), or not as shown.
    """
    check_choice(wanted)
    digest = request_digest(wanted, sum_fen, gateway, return_url, shown_total_fen)
    begun = _begin(session, payer_id, wanted, idempotency_key, digest, now=now)
    if isinstance(begun, int):
        return Made(session.get_one(Payment, begun), new=False)
    wanted, found, terms, payment_no = begun
    check_unchanged(session, wanted, found, payer_id=payer_id)
    asked = quote(wanted, found, terms, mode=mode, channel=channel, now=now, sum_fen=sum_fen)
    check_fresh(asked, found, terms, quoted_at, shown_total_fen, now=now)
    if pick is not None and asked.amount_fen:
        gateway = pick(asked.amount_fen)
    payment = new_payment(
        asked, payer_id, payment_no, gateway=gateway, mode=mode, channel=channel,
        return_url=return_url, now=now,
    )  # fmt: skip
    followed, key = payment.gateway != NO_GATEWAY, (idempotency_key, digest)
    keep(session, payment, asked, now=now, followed=followed, key=key, hand=hand)
    return Made(payment if followed else _of_nothing(session, payment, now=now), new=True)


class _Begun(NamedTuple):
    """What a payment is made of: its bills, locked, and its number."""

    wanted: Sequence[Wanted]
    found: dict[BillRef, Standing]
    terms: dict[str, Terms]
    payment_no: int


def _begin(
    session: Session, payer_id: int, wanted: Sequence[Wanted], key: str, digest: str, *,
    now: datetime,
) -> _Begun | int:  # fmt: skip
    """Ask all that a payment needs to know in one go; or return the one this key already made."""
    refs = [want.ref for want in wanted]
    _, rows, mine, bills, [(payment_no,)] = together(session, [
        *ask_served(payer_id, key, now=now), ask_may_pay(payer_id, refs, now=now),
        ask_standing(refs, now=now, lock=True), Asked(_NEXT_NO, {}),
    ])  # fmt: skip
    earlier = served(rows, digest)
    if earlier is not None:
        return earlier
    if {*mine} == {*refs}:
        return _Begun(wanted, *read_standing(session, bills), payment_no)
    wanted = _as_meant(session, payer_id, wanted, now=now)
    refs = [want.ref for want in wanted]
    return _Begun(wanted, *standing(session, refs, now=now, lock=True), payment_no)


_NEXT_NO = HotStatement("SELECT nextval('payment_no')")


def next_no(session: Session) -> int:
    """Return a number for a payment; those that come to nothing are lost."""
    [(payment_no,)] = _NEXT_NO.rows(session, {})
    return int(payment_no)


def new_payment(
    asked: Quote,
    payer_id: int | None,
    payment_no: int,
    *,
    gateway: str,
    mode: str,
    channel: str,
    return_url: str,
    now: datetime,
) -> Payment:
    """Return a payment of what was asked; it ends when the first quote in it does."""
    payment_id = month_key(month_start(billing_date(now)), payment_no)
    return Payment(
        id=payment_id,
        payer_id=payer_id,
        gateway=gateway if asked.amount_fen else NO_GATEWAY,
        order_no=f"CB{billing_date(now):%y%m}{payment_no:012d}",
        return_url=return_url.replace("{payment}", str(payment_id)),
        channel=channel,
        mode=mode,
        amount_fen=asked.amount_fen,
        fee_fen=asked.fee_fen,
        fee_tax_fen=asked.fee_tax_fen,
        created_at=now,
        status_at=now,
        expires_at=min(now + PAY_WITHIN, asked.valid_until),
    )


_KEEP = HotStatement(f"""
    WITH line AS (
        SELECT * FROM unnest(CAST(:account_ids AS bigint[]), CAST(:bill_ids AS bigint[]),
                             CAST(:amounts AS bigint[]), CAST(:advances AS bigint[]),
                             CAST(:adjusts AS bigint[]), CAST(:options AS text[]),
                             CAST(:write_off_nos AS text[]))
               AS l (account_id, bill_id, amount_fen, advance_fen, adjust_fen, option_code,
                     write_off_no)
    ), made AS (
        INSERT INTO payment (id, payer_id, gateway, order_no, return_url, channel, mode, amount_fen,
                             fee_fen, fee_tax_fen, status, created_at, status_at, expires_at)
        VALUES (:id, :payer_id, :gateway, :order_no, :return_url, :channel, :mode, :amount_fen,
                :fee_fen, :fee_tax_fen, 'created', :now, :now, :expires_at)
    ), items AS (
        INSERT INTO payment_item (payment_id, account_id, bill_id, amount_fen, advance_fen,
                                  adjust_fen, option_code, write_off_no, outcome, outcome_at)
        SELECT :id, account_id, bill_id, amount_fen, advance_fen, adjust_fen, option_code,
               write_off_no, 'waiting', :now
        FROM line
    ), held AS (
        UPDATE bill b SET held_by = :id FROM line l
        WHERE b.account_id = l.account_id AND b.id = l.bill_id AND :hold
    ), asking AS ({INSERT_FIRST}), events AS ({outbox.INSERT_EVENTS})
    INSERT INTO idempotent_request (person_id, key, request_sha256, payment_id, created_at)
    SELECT :payer_id, CAST(:key AS text), :request_sha256, :id, :now
    WHERE CAST(:key AS text) IS NOT NULL
    ON CONFLICT (person_id, key) DO UPDATE SET
        request_sha256 = excluded.request_sha256, payment_id = excluded.payment_id,
        created_at = excluded.created_at
    RETURNING payment_id
""")  # noqa: S608  our own texts


def keep(
    session: Session,
    payment: Payment,
    asked: Quote,
    *,
    now: datetime,
    hold: bool = True,
    followed: bool = False,
    key: tuple[str | None, str | None] = (None, None),
    hand: Hand | None = None,
) -> None:
    """Write a new payment with its items, and hold its bills for it, in one statement.

    Args:
        followed: have its gateway asked until its outcome is known.
        key: the Idempotency-Key that made it, and the digest of what was asked with it.
        hand: who pays, if its gateway is also asked as soon as this is committed.
    """
    chosen = sorted(asked.chosen.items())  # numbered in the order of their bills' keys
    stem = f"W{payment.order_no[2:]}"
    values = {
        **payment.model_dump(include=_KEPT), "now": now, "hold": hold,
        "account_ids": [ref[0] for ref, _ in chosen], "bill_ids": [ref[1] for ref, _ in chosen],
        "amounts": [one.amount_fen for _, one in chosen],
        "advances": [one.advance_fen for _, one in chosen],
        "adjusts": [one.adjust_fen for _, one in chosen],
        "options": [one.option_code for _, one in chosen],
        "write_off_nos": [f"{stem}-{at:02d}" for at in range(1, len(chosen) + 1)],
        "key": key[0], "request_sha256": key[1], **first_values(hand if followed else None),
    }  # fmt: skip
    events = [outbox.Event("payment.created", payment.id)] if followed else []
    _KEEP.rows(session, values | outbox.event_values(events, now=now))
    make_transient_to_detached(payment)  # it is there: what is set from now on is an update
    session.add(payment)


_KEPT = {
    "id", "payer_id", "gateway", "order_no", "return_url", "channel", "mode", "amount_fen",
    "fee_fen", "fee_tax_fen", "expires_at",
}  # fmt: skip


def _of_nothing(session: Session, payment: Payment, *, now: datetime) -> Payment:
    """Book a payment of nothing: no gateway is asked, and it is there already (rule 7)."""
    paid = GatewayReply(status=GatewayStatus.PAID, amount_fen=0, paid_at=now)
    book_reply(session, payment.id, paid, now=now)
    return get_payment(session, payment.id)


def _as_meant(
    session: Session, payer_id: int, wanted: Sequence[Wanted], *, now: datetime
) -> list[Wanted]:
    """Return a choice with bills for the reminders that are named in it.

    Raises:
        NotFound: bills that are not this person's to pay: nobody is told more.
    """
    meant = resolve_refs(session, [want.ref for want in wanted])
    chosen = [want._replace(ref=meant[want.ref]) for want in wanted]
    check_choice(chosen)
    check_may_pay(session, payer_id, chosen, now=now)
    return chosen


def check_choice(wanted: Sequence[Wanted]) -> None:
    """Refuse no bill, too many, or one named twice (Invalid)."""
    if not wanted or len(wanted) > MAX_BILLS:
        raise Invalid(f"choose between 1 and {MAX_BILLS} bills to pay", code="payment.no_bills")
    if len({bill.ref for bill in wanted}) < len(wanted):
        raise Invalid("a bill is named twice", code="payment.bill_twice")


def check_may_pay(
    session: Session, payer_id: int, wanted: Sequence[Wanted], *, now: datetime
) -> None:
    """Refuse bills that are not this person's to pay (NotFound: nobody is told more)."""
    if not may_pay(session, payer_id, {bill.ref for bill in wanted}, now=now):
        raise NotFound("there is no such bill")


_WAITS_FOR = HotStatement("SELECT gateway FROM payment WHERE id = :id AND status = ANY(:pending)")


def waits_for(session: Session, payment_id: int) -> str | None:
    """Return the gateway whose word a payment waits for; None: it has ended."""
    rows = _WAITS_FOR.rows(session, {"id": payment_id, "pending": list(PENDING)})
    return rows[0][0] if rows else None


_ENDED = HotStatement("SELECT id FROM payment WHERE id = ANY(:ids) AND status <> ALL(:pending)")


def list_ended(session: Session, payment_ids: Sequence[int]) -> list[int]:
    """Return which of these payments have ended, so that nobody's word is waited for."""
    values = {"ids": list(payment_ids), "pending": list(PENDING)}
    return [payment_id for (payment_id,) in _ENDED.rows(session, values)]


_FINAL = {GatewayStatus.PAID, GatewayStatus.REFUSED, GatewayStatus.CLOSED}


def resolve(payment_id: int, gateway: Gateway | None, *, notify_url: str, now: datetime) -> Payment:
    """Find out what became of a payment, and close it when its time is over.

    A payment the gateway has never heard of is opened there again, under the same number; so is one
    whose opening was never answered, because only that answer says where to pay. A close that finds
    it paid after all counts as paid. After two days without an answer we stop asking and set the
    bills free; money that turns up later still finds its payment.

    Raises:
        UpstreamUnavailable: it could not be reached, or is not installed any more; try again later.
    """
    with transaction() as session:
        payment = session.get_one(Payment, payment_id)
    if payment.status not in PENDING or (gateway and payment.gateway != gateway.code):
        return payment  # it ended, or another gateway took it over a moment ago
    given_up = now >= max(payment.created_at + ASK_FOR, payment.expires_at)
    try:
        if gateway is None:
            raise UpstreamUnavailable(f"there is no gateway {payment.gateway!r} any more")
        reply = _ask(payment, gateway, notify_url=notify_url, now=now)
    except UpstreamUnavailable:
        if now >= payment.expires_at and is_nowhere(payment_id):
            reply = GatewayReply(status=GatewayStatus.CLOSED)
        elif given_up:
            reply = GatewayReply(status=GatewayStatus.UNKNOWN)
        else:
            raise
    with acting() as session:
        if given_up and reply.status not in _FINAL:
            give_up(session, payment_id, News.NEVER_ANSWERED, now=now)
        else:
            book_reply(session, payment_id, reply, now=now)
        return get_payment(session, payment_id)


def _ask(payment: Payment, gateway: Gateway, *, notify_url: str, now: datetime) -> GatewayReply:
    """Ask about a payment, and do what its gateway's answer asks for."""
    reply = gateway.query(payment.asked())
    waiting = reply.status in {GatewayStatus.OPEN, GatewayStatus.NOT_FOUND}
    if waiting and now >= payment.expires_at:
        if reply.status is GatewayStatus.OPEN:
            return gateway.close(payment.asked())
        return GatewayReply(status=GatewayStatus.CLOSED)
    if waiting and payment.status in UNOPENED:
        return ask_to_open(payment.id, gateway, notify_url=notify_url, now=now) or reply
    return reply


def poll_again_seconds(
    payment: Payment, gateway: Gateway | None = None, *, now: datetime
) -> int | None:
    """Tell when to ask again: seconds, then minutes, then hours; None when the outcome is final.

    A gateway whose files tell of failures alone has nothing to say until one comes.
    """
    if payment.status not in PENDING:
        return None
    if gateway and gateway.capabilities.only_failures and payment.status is PaymentStatus.OPEN:
        return _FILES_TELL_SECONDS
    return pause_seconds(now - payment.created_at)


def get_own_payment(session: Session, payment_id: int, payer_id: int) -> Payment:
    """Return a payment its payer asks for.

    Raises:
        NotFound: no such payment, or somebody else's.
    """
    payment = session.exec(
        select(Payment).where(Payment.id == payment_id, Payment.payer_id == payer_id)
    ).one_or_none()
    if payment is None:
        raise NotFound("there is no such payment")
    return payment
