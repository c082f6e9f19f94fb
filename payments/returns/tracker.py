"""Where somebody's money is that goes back to them: every refund and automatic return, as steps."""

from collections.abc import Iterator
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlmodel import Session

from billing.bills import format_ref
from core.clock import billing_date
from core.db import HotStatement
from payments.returns.models import RefundReason
from payments.returns.views import arrives_by

PAGE = 20


class Stage(StrEnum):
    """How far money on its way back has come, and so what there is to do about it."""

    CHECKED = "checked"  # a second person looks at it
    TO_ASK = "to_ask"  # decided; the payment service is asked next
    AT_GATEWAY = "at_gateway"
    NEEDS_ACCOUNT = "needs_account"  # it cannot go the way it came: whose account?
    AT_BANK = "at_bank"  # staff transfer it to an account they were given
    SENT = "sent"
    CAME_BACK = "came_back"  # after it was sent: it goes another way, under a number of its own
    SHOULD_BE_THERE = "should_be_there"  # sent, and the longest it may take is over
    DECLINED = "declined"
    CHARGED_BACK = "charged_back"  # the payer's own bank had given it back already

    @property
    def is_over(self) -> bool:
        over = {Stage.SHOULD_BE_THERE, Stage.DECLINED, Stage.CHARGED_BACK, Stage.CAME_BACK}
        return self in over


class MoneyBack(NamedTuple):
    """One refund or return. ``reason`` is a code of staff's, else ``why`` says it in words."""

    number: str
    payment_id: int
    bill_ref: str | None  # None: it was on no bill
    provider_code: str | None
    amount_fen: int
    reason: RefundReason | None
    why: str
    stage: Stage
    by_bank: bool
    asked_at: datetime
    decided_at: datetime | None
    at_gateway_at: datetime | None
    sent_at: datetime | None
    arrives_by_on: date | None
    declined_at: datetime | None
    came_back_at: datetime | None = None
    goes_on_as: str | None = None  # of what came back: the number it is sent under now


# Refunds, and money that came for a payment and was on no bill; what staff took back before
# anybody decided is no refund. A transfer by the bank goes under the number of either.
_BACK = """
    SELECT r.refund_no AS number, r.payment_id, r.account_id, r.bill_id,
           r.amount_fen - CASE WHEN r.charged_back_fen < r.amount_fen
                               THEN r.charged_back_fen ELSE 0 END AS amount_fen,
           r.reason_code, r.reason, r.status,
           coalesce(r.proposed_at, r.requested_at) AS asked_at, r.requested_at AS decided_at,
           r.asked_at AS at_gateway_at, r.succeeded_at AS sent_at, r.declined_at,
           r.status = 'charged_back' OR (r.status = 'declined' AND r.declined_by IS NULL) AS taken,
           p.mode
    FROM refund r JOIN payment p ON p.id = r.payment_id
    WHERE p.payer_id = :person_id AND (r.declined_by IS NULL OR r.declined_by <> r.proposed_by)
    UNION ALL
    SELECT 'S' || c.id, c.payment_id, NULL, NULL,
           c.amount_fen - CASE WHEN c.charged_back_fen < c.amount_fen
                               THEN c.charged_back_fen ELSE 0 END,
           NULL, c.reason, c.state, c.received_at, c.received_at, c.asked_at, c.returned_at, NULL,
           c.charged_back_fen = c.amount_fen, p.mode
    FROM receipt c JOIN payment p ON p.id = c.payment_id
    WHERE p.payer_id = :person_id
"""
_LIST = HotStatement(f"""
    WITH back AS ({_BACK})
    SELECT b.number, b.payment_id, b.account_id, b.bill_id, a.provider_code, b.amount_fen,
           b.reason_code, b.reason, b.status, b.taken, b.mode, b.asked_at, b.decided_at,
           b.at_gateway_at, b.sent_at, b.declined_at, t.number IS NOT NULL, t.payee_at,
           c.received_at, 'S' || c.id
    FROM back b
    LEFT JOIN receipt c ON c.came_back_of = b.number
    LEFT JOIN utility_account a ON a.id = b.account_id
    LEFT JOIN bank_transfer t ON t.number = b.number AND t.dropped_at IS NULL
    WHERE (:after = '' OR (b.asked_at, b.number)
           < (SELECT l.asked_at, l.number FROM back l WHERE l.number = :after))
      AND (:ending = '' OR right(b.number, length(:ending)) = :ending)
    ORDER BY b.asked_at DESC, b.number DESC LIMIT :limit
""")  # noqa: S608  our own text above


def list_returns(
    session: Session,
    person_id: int,
    *,
    today: date,
    ending: str = "",
    after: str = "",
    limit: int = PAGE,
) -> list[MoneyBack]:
    """Return what went or goes back of a person's payments, the newest first.

    Args:
        ending: only what has a number that ends so.
        after: the number of the last one of the page before.
    """
    values = {"person_id": person_id, "after": after, "ending": ending, "limit": limit}
    return [_one(*row, today=today) for row in _LIST.rows(session, values)]


def _one(
    number: str, payment_id: int, account_id: int | None, bill_id: int | None,
    provider_code: str | None, amount_fen: int, reason_code: str | None, why: str, status: str,
    taken: bool, mode: str, asked_at: datetime, decided_at: datetime | None,
    at_gateway_at: datetime | None, sent_at: datetime | None, declined_at: datetime | None,
    by_bank: bool, payee_at: datetime | None, came_back_at: datetime | None,
    goes_on_as: str | None, *, today: date,
) -> MoneyBack:  # fmt: skip
    arrives_on = None
    if sent_at and came_back_at is None:
        arrives_on = arrives_by(billing_date(sent_at), mode, by_bank=by_bank)
    facts: dict[str, Any] = {
        "taken": taken, "declined": status == "declined", "proposed": status == "proposed",
        "at_gateway": at_gateway_at is not None, "by_bank": by_bank,
        "has_payee": payee_at is not None, "arrives_on": arrives_on,
        "came_back": came_back_at is not None,
    }  # fmt: skip
    bill = None if account_id is None or bill_id is None else format_ref((account_id, bill_id))
    return MoneyBack(
        number=number, payment_id=payment_id, bill_ref=bill, provider_code=provider_code,
        amount_fen=amount_fen, reason=RefundReason(reason_code) if reason_code else None, why=why,
        stage=_stage(**facts, today=today), by_bank=by_bank, asked_at=asked_at,
        decided_at=decided_at, at_gateway_at=at_gateway_at, sent_at=sent_at,
        arrives_by_on=arrives_on, declined_at=declined_at, came_back_at=came_back_at,
        goes_on_as=goes_on_as,
    )  # fmt: skip


def _stage(
    *, taken: bool, declined: bool, proposed: bool, at_gateway: bool, by_bank: bool,
    has_payee: bool, arrives_on: date | None, came_back: bool, today: date,
) -> Stage:  # fmt: skip
    if taken:
        return Stage.CHARGED_BACK
    if declined:
        return Stage.DECLINED
    if came_back:
        return Stage.CAME_BACK
    if arrives_on is not None:
        return Stage.SHOULD_BE_THERE if today > arrives_on else Stage.SENT
    if proposed:
        return Stage.CHECKED
    if by_bank:
        return Stage.AT_BANK if has_payee else Stage.NEEDS_ACCOUNT
    return Stage.AT_GATEWAY if at_gateway else Stage.TO_ASK


def every_return(session: Session, person_id: int, *, today: date) -> Iterator[MoneyBack]:
    """Yield all that went or goes back, page by page."""
    after = ""
    while found := list_returns(session, person_id, today=today, after=after, limit=1_000):
        yield from found
        after = found[-1].number


_COMING = HotStatement(f"""
    WITH back AS ({_BACK})
    SELECT count(*), coalesce(sum(amount_fen), 0) FROM back
    WHERE sent_at IS NULL AND declined_at IS NULL AND NOT taken AND status <> 'proposed'
""")  # noqa: S608  our own text above


class ComingBack(NamedTuple):
    """What is decided to go back to somebody and not sent yet."""

    parts: int
    sum_fen: int


def coming_back(session: Session, person_id: int) -> ComingBack:
    """Return how much is to go back to a person; of what was sent their bank knows."""
    parts, sum_fen = _COMING.rows(session, {"person_id": person_id})[0]
    return ComingBack(parts, int(sum_fen))
