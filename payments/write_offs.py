"""Telling a company that its bill was paid (销账), and what follows from its answer."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing import late_fees
from billing.bills import format_ref
from billing.elsewhere import void_paid_elsewhere
from billing.ledger import books, postings
from billing.models import Bill
from billing.rules.terms import Terms
from billing.terms import terms_of
from core import outbox
from core.clock import billing_date
from core.db import Asked, HotStatement, acting, looking, together
from core.errors import IllegalTransition, NotFound, UpstreamUnavailable
from core.keys import month_of
from payments.models import PaymentItem, get_payment
from payments.pauses import pause_seconds
from payments.returns.refunds import request_refund
from payments.settlement import ask_locks
from payments.states import ItemNews, Outcome, sources_of
from providers.base import UtilityClient, WriteOffOrder, WriteOffOutcome, WriteOffReply

_NONE = "there is no such write-off"
REFUSED_REASON = "the company did not take the payment"
NEVER_SEEN = WriteOffReply(
    outcome=WriteOffOutcome.REFUSED, reason="the company did not confirm the payment in time"
)
# Told again within so long, it was told all the time: our longest pause is an hour.
_TOLD_ON_WITHIN = timedelta(hours=3)
_NEWS: dict[WriteOffOutcome, ItemNews | None] = {
    WriteOffOutcome.ACCEPTED: ItemNews.ACCEPTED,
    WriteOffOutcome.REFUSED: ItemNews.REFUSED,
    WriteOffOutcome.UNKNOWN: None,
}
_HEARD = {  # where the same answer again finds an item
    ItemNews.ACCEPTED: {Outcome.WRITTEN_OFF},
    ItemNews.REFUSED: {Outcome.RETURNING, Outcome.RETURNED},
}


_ORDERS = HotStatement("""
    SELECT i.write_off_no, p.id, a.provider_code, a.account_no, b.bill_no, b.id, i.amount_fen,
           p.paid_at, i.outcome_at, i.tried_at, i.tried_seconds
    FROM payment_item i
    JOIN payment p ON p.id = i.payment_id
    JOIN utility_account a ON a.id = i.account_id
    JOIN bill b ON b.account_id = i.account_id AND b.id = i.bill_id
    WHERE i.write_off_no = ANY(:write_off_nos) AND i.outcome = 'paid'
    ORDER BY i.write_off_no
""")


class Prepared(NamedTuple):
    """What to tell a company, of which payment.

    ``since`` is when it could first be told: what a bank took days ago is heard of only now.
    ``tried_at`` is when it was last told in vain, and ``tried_seconds`` for how long it had been.
    """

    payment_id: int
    provider_code: str
    since: datetime
    tried_at: datetime | None
    tried_seconds: int
    order: WriteOffOrder

    def is_over(self, terms: Terms, *, now: datetime) -> bool:
        """Tell whether the company has been told in vain for as long as its terms give it.

        Only time in which we did tell it counts: not that in which we were away, or it was out of
        our reach.
        """
        if self.tried_at is None:
            return False
        tried = timedelta(seconds=self.tried_seconds)
        if now - self.tried_at <= _TOLD_ON_WITHIN:
            tried += now - self.tried_at
        return tried >= timedelta(hours=terms.write_off.hours)


def _prepare(session: Session, write_off_nos: Sequence[str]) -> list[Prepared]:
    rows = _ORDERS.rows(session, {"write_off_nos": list(write_off_nos)})
    return [
        Prepared(
            payment_id,
            provider_code,
            since,
            tried_at,
            tried_seconds,
            WriteOffOrder(
                write_off_no=write_off_no,
                account_no=account_no,
                bill_no=bill_no,
                billing_month=month_of(bill_id),
                amount_fen=amount_fen,
                paid_at=paid_at,
            ),
        )
        for (
            write_off_no, payment_id, provider_code, account_no, bill_no, bill_id, amount_fen,
            paid_at, since, tried_at, tried_seconds,
        ) in rows
    ]  # fmt: skip


def prepare(session: Session, write_off_no: str) -> Prepared | None:
    """Return what to tell which company; None when there is nothing (left) to tell.

    Raises:
        NotFound: no such write-off.
    """
    prepared = _prepare(session, [write_off_no])
    if not prepared:
        _get_item(session, write_off_no)
        return None
    return prepared[0]


def send(write_off_no: str, clients: dict[str, UtilityClient], *, now: datetime) -> bool:
    """Write one paid bill off at its company; True once the answer is final.

    May be repeated: the company knows ``write_off_no``. No transaction is open while we wait. When
    it was told in vain for all of its time nothing more is sent, only asked: what it never saw goes
    back.

    Raises:
        UpstreamUnavailable: the company could not be reached; try again later.
    """
    with acting() as session:
        prepared = prepare(session, write_off_no)
        if prepared is None:
            return True
        code = prepared.provider_code
        terms = terms_of(session, [code], billing_date(now))[code]
    if code not in clients:
        raise NotFound(f"no live API is configured for {code}", code="utility.no_api")
    reply = _ask(clients[code], prepared, terms, now=now)
    if reply.outcome is WriteOffOutcome.UNKNOWN:
        with acting() as session:
            _note_tried(session, [write_off_no], now=now)
        return False
    with acting() as session:
        book(session, write_off_no, reply, now=now)
    return True


def _ask(
    client: UtilityClient, prepared: Prepared, terms: Terms, *, now: datetime
) -> WriteOffReply:
    order = prepared.order
    if order.amount_fen == 0:  # nothing to tell: a bill of zero is closed as it came (rule 7)
        return WriteOffReply(outcome=WriteOffOutcome.ACCEPTED)
    if not prepared.is_over(terms, now=now):
        return client.write_off(order)
    return client.query(order.write_off_no) or NEVER_SEEN


# Every ten minutes at most: whoever mumbles for days is told thousands of times.
_NOTE_TRIED = text(f"""
    UPDATE payment_item
    SET tried_at = :now, tried_seconds = tried_seconds
        + CASE WHEN :now - tried_at <= interval '{_TOLD_ON_WITHIN.seconds} seconds'
               THEN CAST(extract(epoch FROM :now - tried_at) AS bigint) ELSE 0 END
    WHERE write_off_no = ANY(:write_off_nos) AND outcome = 'paid'
      AND (tried_at IS NULL OR tried_at <= :now - interval '10 minutes')
""")  # noqa: S608  our own number


def _note_tried(session: Session, write_off_nos: Sequence[str], *, now: datetime) -> None:
    """Write down that a company was told and gave no word: its time runs on."""
    if write_off_nos:
        session.execute(_NOTE_TRIED, {"write_off_nos": list(write_off_nos), "now": now})


def send_all(
    write_off_nos: Sequence[str],
    clients: Mapping[str, UtilityClient],
    *,
    now: datetime,
    over: Callable[[], bool],
) -> dict[str, int | None]:
    """Do as ``send`` does for many write-offs, all answers booked in one transaction.

    Args:
        over: whether no more is to be sent; what was answered is still booked.

    Returns:
        By write-off: None, it is done; or in how many seconds to send again. What is unusual is
        left out, for ``send``: nothing left to tell, a company without an API or out of reach.
    """
    with looking() as session:
        found = [one for one in _prepare(session, write_off_nos) if one.provider_code in clients]
        terms = terms_of(session, {one.provider_code for one in found}, billing_date(now))
    heard: list[tuple[Prepared, WriteOffReply]] = []
    away = set[str]()
    for one in found:
        code = one.provider_code
        if over():
            break
        if code not in away:
            try:
                heard.append((one, _ask(clients[code], one, terms[code], now=now)))
            except UpstreamUnavailable:
                away.add(code)
    known = [(one, said) for one, said in heard if said.outcome is not WriteOffOutcome.UNKNOWN]
    mute = [one for one, said in heard if said.outcome is WriteOffOutcome.UNKNOWN]
    with acting() as session:
        _book_all(session, known, now=now)
        _note_tried(session, [one.order.write_off_no for one in mute], now=now)
    again = {one.order.write_off_no: _pause(one.since, now=now) for one, _ in heard}
    return again | {one.order.write_off_no: None for one, _ in known}


def send_again_seconds(session: Session, write_off_no: str, *, now: datetime) -> int:
    """Tell when to try again: half a minute at first (rule 28), then minutes, then hours."""
    return _pause(_get_item(session, write_off_no).outcome_at, now=now)


def _pause(since: datetime, *, now: datetime) -> int:
    return max(30, pause_seconds(now - since))


def book(session: Session, write_off_no: str, reply: WriteOffReply, *, now: datetime) -> None:
    """Enter a company's final answer, once: the bill is closed there, or the money goes back.

    Raises:
        NotFound: no such write-off.
        IllegalTransition: it contradicts an earlier answer; a person must look.
    """
    part = _lock(session, write_off_no)
    news = _NEWS[reply.outcome]
    if news is None or part.outcome in _HEARD[news]:
        return
    if news is ItemNews.ACCEPTED:
        _accept(session, [(part, reply)], now=now)
    elif part.amount_fen:  # of nothing there is nothing to return
        _refused(session, part, reply, now=now)


def _book_all(
    session: Session, heard: Sequence[tuple[Prepared, WriteOffReply]], *, now: datetime
) -> None:
    """Do as ``book`` does for many answers; all are locked in one go, every yes booked in one."""
    locks = ask_locks({one.payment_id for one, _ in heard})
    nos = [one.order.write_off_no for one, _ in heard]
    *_, rows = together(session, [*locks, Asked(_LOCK, {"write_off_nos": nos})])
    parts = {part.write_off_no: part for part in (Part(*row) for row in rows)}
    accepted = []
    for one, reply in heard:
        part = parts[one.order.write_off_no]
        if reply.outcome is WriteOffOutcome.ACCEPTED and part.outcome == Outcome.PAID:
            accepted.append((part, reply))
        else:
            book(session, part.write_off_no, reply, now=now)
    _accept(session, accepted, now=now)


_LOCK = HotStatement("""
    SELECT i.write_off_no, i.payment_id, i.account_id, i.bill_id, a.provider_code, i.outcome,
           i.amount_fen, i.advance_fen
    FROM payment_item i
    JOIN payment p ON p.id = i.payment_id
    JOIN bill b ON b.account_id = i.account_id AND b.id = i.bill_id
    JOIN utility_account a ON a.id = i.account_id
    WHERE i.write_off_no = ANY(:write_off_nos)
    FOR UPDATE OF p, i, b
""")


class Part(NamedTuple):
    """One bill's part of a payment, locked with its payment and its bill."""

    write_off_no: str
    payment_id: int
    account_id: int
    bill_id: int
    provider_code: str
    outcome: str  # the value of an Outcome, as the database has it
    amount_fen: int
    advance_fen: int

    @property
    def key(self) -> tuple[int, int]:
        return self.account_id, self.bill_id


def _lock(session: Session, write_off_no: str) -> Part:
    rows = _LOCK.rows(session, {"write_off_nos": [write_off_no]})
    if not rows:
        raise NotFound(_NONE)
    return Part(*rows[0])


# A bill may have been paid in parts, and several of them be told of at once.
_ACCEPT = HotStatement(f"""
    WITH item AS (
        UPDATE payment_item i SET outcome = 'written_off', outcome_at = :now,
                                  utility_ref = y.utility_ref
        FROM unnest(CAST(:write_off_nos AS text[]), CAST(:utility_refs AS text[]))
             AS y (write_off_no, utility_ref)
        WHERE i.write_off_no = y.write_off_no AND i.outcome = ANY(:sources)
        RETURNING i.account_id, i.bill_id, i.amount_fen - i.advance_fen AS fen
    ), told AS (
        UPDATE bill b SET written_off_fen = b.written_off_fen + i.fen
        FROM (SELECT account_id, bill_id, CAST(sum(fen) AS bigint) AS fen FROM item
              GROUP BY account_id, bill_id) i
        WHERE b.account_id = i.account_id AND b.id = i.bill_id
    ), transfers AS ({books.INSERT_MOVES} RETURNING 1), events AS ({outbox.INSERT_EVENTS})
    SELECT (SELECT count(*) FROM item), (SELECT count(*) FROM transfers)
""")  # noqa: S608  our own texts


def _accept(
    session: Session, accepted: Sequence[tuple[Part, WriteOffReply]], *, now: datetime
) -> None:
    """Write down each yes, locked before.

    Raises:
        IllegalTransition: one of them is not where it can be accepted.
    """
    if not accepted:
        return
    moves = [
        move
        for part, _ in accepted
        for move in postings.written_off(
            part.key, part.provider_code, part.payment_id, amount_fen=part.amount_fen,
            advance_fen=part.advance_fen,
        )
    ]  # fmt: skip
    events = [outbox.Event("write_off.accepted", part.write_off_no) for part, _ in accepted]
    values = {
        "write_off_nos": [part.write_off_no for part, _ in accepted], "now": now,
        "utility_refs": [reply.utility_ref for _, reply in accepted],
        "sources": sources_of(Outcome.WRITTEN_OFF),
    }  # fmt: skip
    values |= books.move_values(moves, now=now) | outbox.event_values(events, now=now)
    [(items, transfers)] = _ACCEPT.rows(session, values)
    if items < len(accepted):
        outcomes = ", ".join(part.outcome for part, _ in accepted)
        raise IllegalTransition(f"an item that is {outcomes} cannot be {ItemNews.ACCEPTED}")
    if transfers < len(moves):  # an account of the ledger that is used for the first time
        books.post(session, moves, now=now)


def _refused(session: Session, part: Part, reply: WriteOffReply, *, now: datetime) -> None:
    """The company's no is final: the bill owes again, the payer gets the money back (rule 28)."""
    payment = get_payment(session, part.payment_id)
    item = _get_item(session, part.write_off_no)
    bill = session.get_one(Bill, part.key, populate_existing=True)
    provider_code = part.provider_code
    item.hear(ItemNews.REFUSED, now=now)
    item.reason = reply.reason or REFUSED_REASON
    bill.paid_fen -= item.amount_fen - item.advance_fen
    # A late amount that was paid in parts stays owed: others paid the rest of it.
    stays_fen = max(0, item.adjust_fen) if bill.paid_fen or bill.credited_fen else 0
    bill.adjusted_fen -= item.adjust_fen - stays_fen
    session.flush()
    moves = postings.unpaid(
        (item.account_id, item.bill_id), provider_code, item.payment_id,
        amount_fen=item.amount_fen, advance_fen=item.advance_fen, adjust_fen=item.adjust_fen,
    )  # fmt: skip
    moves += postings.late_fee(
        (item.account_id, item.bill_id), provider_code, "surcharge", str(payment.id), stays_fen
    )
    books.post(session, moves, now=now)
    elsewhere = reply.paid_elsewhere and void_paid_elsewhere(session, bill, provider_code, now=now)
    if not elsewhere:
        late_fees.reopened(session, (item.account_id, item.bill_id), on=billing_date(now))
        outbox.emit(
            session, "bill.owed_again", format_ref((item.account_id, item.bill_id)), now=now
        )
    request_refund(session, payment, item, reason=item.reason, now=now)
    outbox.emit(session, "write_off.refused", item.write_off_no, now=now)


def _get_item(session: Session, write_off_no: str) -> PaymentItem:
    item = session.exec(
        select(PaymentItem)
        .where(col(PaymentItem.write_off_no) == write_off_no)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if item is None:
        raise NotFound(_NONE)
    return item
