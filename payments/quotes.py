"""What a choice of bills costs at one moment: amounts, fee, the day it counts on, and how long so.

``create_payment`` makes the same quote under the bills' locks; a page or the API shows one first:
``payments.reviews``.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from billing.bills import BillRef, format_ref, parse_ref
from billing.rules.apportionment import Claim, apportion
from billing.rules.calendars import counts_on, pay_by
from billing.rules.fees import check_limit, convenience_fee
from billing.rules.payable import Chosen, Offer, Payable, choose, offers, read_pay_terms
from billing.rules.terms import Terms
from billing.terms import CONTENT, read_content
from billing.views import BillView
from core.clock import billing_date, day_bounds
from core.db import Asked, HotStatement
from core.errors import Conflict, Invalid, NotFound
from core.keys import month_of
from payments.models import Payment


class Wanted(NamedTuple):
    """A bill somebody wants to pay.

    ``shown_fen`` is the open amount they were shown (None: whatever is open), ``option_code`` one
    of the bill's options, ``amount_fen`` what they want to pay (None: what is asked).
    """

    ref: BillRef
    shown_fen: int | None
    option_code: str | None = None
    amount_fen: int | None = None


class Standing(NamedTuple):
    """A bill as it stands, with its company and whom it waits for."""

    ref: BillRef
    provider_code: str
    held_by: int | None
    cancelled: bool
    open_fen: int
    facts: Payable


class Quote(NamedTuple):
    """What is to be paid. ``amount_fen`` is everything: the bills, the fee and its tax."""

    chosen: dict[BillRef, Chosen]
    fee_fen: int
    fee_tax_fen: int
    amount_fen: int
    counts_on: date
    valid_until: datetime


_STANDING = f"""
    SELECT b.account_id, b.id, a.provider_code, b.held_by, b.cancelled_at IS NOT NULL AS cancelled,
           b.amount_fen, b.adjusted_fen, b.paid_fen, b.credited_fen, b.due_on, b.pay_terms,
           ({CONTENT})
    FROM bill b JOIN utility_account a ON a.id = b.account_id
    WHERE (b.account_id, b.id) IN (
        SELECT * FROM unnest(CAST(:account_ids AS bigint[]), CAST(:bill_ids AS bigint[])))
    ORDER BY b.account_id, b.id
"""  # noqa: S608  our own texts
_READ, _LOCK = HotStatement(_STANDING), HotStatement(_STANDING + "FOR UPDATE OF b")


class _Row(NamedTuple):
    """What ``_STANDING`` reads of a bill."""

    account_id: int
    bill_id: int
    provider_code: str
    held_by: int | None
    cancelled: bool
    amount_fen: int
    adjusted_fen: int
    paid_fen: int
    credited_fen: int
    due_on: date
    pay_terms: Any
    terms: str | None


_TAKEN = text("""
    SELECT account_id, bill_id, array_agg(option_code) AS codes,
           CAST(coalesce(sum(amount_fen) FILTER (WHERE outcome = 'waiting'), 0) AS bigint)
               AS waiting_fen
    FROM payment_item
    WHERE (account_id, bill_id) IN (
        SELECT * FROM unnest(CAST(:account_ids AS bigint[]), CAST(:bill_ids AS bigint[])))
      AND option_code LIKE 'instalment-%' AND outcome IN ('waiting', 'paid', 'written_off')
    GROUP BY account_id, bill_id
""")
_NOT_TAKEN = frozenset[str](), 0


def ask_standing(refs: Sequence[BillRef], *, now: datetime, lock: bool = False) -> Asked:
    """Return what is to be asked of bills; ``read_standing`` reads the answer.

    Args:
        lock: take the bills' row locks, in key order.
    """
    return Asked(_LOCK if lock else _READ, {**_keys(refs), "day": billing_date(now)})


def _keys(refs: Sequence[BillRef]) -> dict[str, list[int]]:
    return {"account_ids": [ref[0] for ref in refs], "bill_ids": [ref[1] for ref in refs]}


def read_standing(
    session: Session, found: Sequence[tuple[Any, ...]]
) -> tuple[dict[BillRef, Standing], dict[str, Terms]]:
    """Return bills as they stand, and the terms of their companies in force today."""
    rows = [_Row(*row) for row in found]
    taken: dict[BillRef, tuple[frozenset[str], int]] = {}
    if any(row.pay_terms for row in rows):
        keys = _keys([(row.account_id, row.bill_id) for row in rows])
        for account_id, bill_id, codes, waiting_fen in session.execute(_TAKEN, keys):
            taken[account_id, bill_id] = frozenset(codes), waiting_fen
    terms = {row.provider_code: read_content(row.terms) for row in rows}
    bills = {}
    for row in rows:
        ref = row.account_id, row.bill_id
        bills[ref] = _standing(row, terms[row.provider_code], *taken.get(ref, _NOT_TAKEN))
    return bills, terms


def standing(
    session: Session, refs: Sequence[BillRef], *, now: datetime, lock: bool = False
) -> tuple[dict[BillRef, Standing], dict[str, Terms]]:
    """Ask how bills stand, and read the answer."""
    statement, values = ask_standing(refs, now=now, lock=lock)
    return read_standing(session, statement.rows(session, values))


def _standing(row: _Row, terms: Terms, taken: frozenset[str], waiting_fen: int) -> Standing:
    facts = Payable(
        amount_fen=0 if row.cancelled else row.amount_fen,
        adjusted_fen=row.adjusted_fen,
        paid_fen=row.paid_fen,
        credited_fen=row.credited_fen,
        due_on=pay_by(row.due_on, terms.due),
        pay_terms=read_pay_terms(row.pay_terms),
        taken=taken,
        waiting_fen=waiting_fen,
    )
    ref = row.account_id, row.bill_id
    return Standing(
        ref, row.provider_code, row.held_by, row.cancelled, facts.open_fen, facts
    )  # fmt: skip


def quote(
    wanted: Sequence[Wanted],
    found: Mapping[BillRef, Standing],
    terms: Mapping[str, Terms],
    *,
    mode: str,
    channel: str,
    now: datetime,
    sum_fen: int | None = None,
) -> Quote:
    """Work out what is to be paid for bills as they stand.

    Args:
        sum_fen: one sum for all of them together; None: each its own.
        mode: how the gateway takes money: wallet, card, cash, bank_debit.
        channel: where the payer is: web, api, tv, counter.

    Raises:
        Invalid, Conflict: an amount or option that a bill's or company's terms do not take.
    """
    if sum_fen is not None:
        wanted = share_out(found, terms, sum_fen)
    chosen: dict[BillRef, Chosen] = {}
    by_company: dict[str, int] = {}
    days = [billing_date(now)]
    for want in wanted:
        bill = found[want.ref]
        own = terms[bill.provider_code]
        on = counts_on(now, own)
        one = choose(
            bill.facts, own, option_code=want.option_code, amount_fen=want.amount_fen, on=on
        )
        chosen[want.ref] = one
        by_company[bill.provider_code] = by_company.get(bill.provider_code, 0) + one.amount_fen
        days.append(on)
    for code, amount_fen in by_company.items():
        check_limit(terms[code], mode=mode, channel=channel, amount_fen=amount_fen)
    fee = convenience_fee(by_company, terms)
    bills_fen = sum(by_company.values())
    if bills_fen and not all(one.amount_fen for one in chosen.values()):
        raise Invalid("a bill with nothing to pay cannot be paid with others", code="bill.no_due")
    return Quote(
        chosen, fee.fee_fen, fee.tax_fen, bills_fen + fee.fee_fen + fee.tax_fen, max(days),
        valid_until([terms[code] for code in by_company], now),
    )  # fmt: skip


def share_out(
    found: Mapping[BillRef, Standing], terms: Mapping[str, Terms], sum_fen: int
) -> list[Wanted]:
    """Divide one sum among bills of one company, in the order its terms say (rule 9).

    Bills that get nothing are left out; what is above all of them comes with the newest, and is
    taken only if the company keeps advances.

    Raises:
        Invalid: nothing to divide, bills of several companies, or none that owes anything.
    """
    if sum_fen <= 0:
        raise Invalid("a sum to divide is above zero", code="amount.below", asked_fen=sum_fen)
    companies = {bill.provider_code for bill in found.values()}
    claims = [_claim(bill) for bill in found.values() if bill.open_fen > 0]
    if len(companies) != 1 or not claims:
        raise Invalid(
            "one sum is divided among bills of one company that owe something: name such bills",
            code="amount.not_divisible",
        )
    shared = apportion(sum_fen, claims, terms[companies.pop()].apportion)
    sums: dict[BillRef, int] = {}
    for part in shared.parts:
        sums[part.key] = sums.get(part.key, 0) + part.amount_fen
    return [Wanted(ref, found[ref].open_fen, None, fen) for ref, fen in sorted(sums.items())]


def _claim(bill: Standing) -> Claim:
    charge_fen = bill.facts.amount_fen - bill.facts.paid_fen - bill.facts.credited_fen
    charge_fen = max(0, min(charge_fen, bill.open_fen))
    return Claim(
        key=bill.ref, billing_month=month_of(bill.ref[1]), due_on=bill.facts.due_on,
        charge_fen=charge_fen, late_fee_fen=bill.open_fen - charge_fen,
    )  # fmt: skip


def valid_until(terms: Sequence[Terms], quoted_at: datetime) -> datetime:
    """Return until when amounts shown at ``quoted_at`` may be paid (rule 17).

    The shortest of the companies' times counts; some take only the same Shanghai day.
    """
    ends = [quoted_at + timedelta(minutes=one.quote.minutes) for one in terms]
    _, midnight = day_bounds(billing_date(quoted_at))
    ends += [midnight for one in terms if one.quote.same_day]
    return min(ends)


def check_fresh(
    asked: Quote,
    found: Mapping[BillRef, Standing],
    terms: Mapping[str, Terms],
    quoted_at: datetime | None,
    shown_total_fen: int | None,
    *,
    now: datetime,
) -> None:
    """Refuse what was shown too long ago, or in another total, or in time and is late (17, 21)."""
    if quoted_at is not None and now > (until := valid_until(list(terms.values()), quoted_at)):
        raise Conflict(
            "these amounts were shown too long ago: look again before you pay",
            code="quote.expired",
            valid_until=until.isoformat(),
        )
    if shown_total_fen not in (None, asked.amount_fen):
        raise Conflict(
            "the total has changed since it was shown: look again before you pay",
            code="quote.changed",
            shown_fen=shown_total_fen,
            open_fen=asked.amount_fen,
        )
    for ref, one in asked.chosen.items():
        own, pay_by_on = terms[found[ref].provider_code], found[ref].facts.due_on
        if quoted_at is None or one.amount_fen == 0:
            continue
        if counts_on(quoted_at, own) <= pay_by_on < (on := counts_on(now, own)):
            raise Conflict(
                "it was in time when it was shown, and paid now it counts late: look again before"
                " you pay",
                code="quote.late_now", bill=format_ref(ref), counts_on=on.isoformat(),
            )  # fmt: skip


def preview(
    session: Session,
    wanted: Sequence[Wanted],
    *,
    mode: str,
    channel: str,
    now: datetime,
    sum_fen: int | None = None,
    payer_id: int | None = None,
) -> Quote:
    """Return what a payment would ask for at this moment; nothing is held and nothing promised.

    Raises:
        NotFound, Invalid, Conflict: as ``create_payment`` does.
    """
    found, terms = standing(session, [want.ref for want in wanted], now=now)
    check_unchanged(session, wanted, found, payer_id=payer_id)
    return quote(wanted, found, terms, mode=mode, channel=channel, now=now, sum_fen=sum_fen)


def check_unchanged(
    session: Session,
    wanted: Sequence[Wanted],
    found: Mapping[BillRef, Standing],
    *,
    payer_id: int | None = None,
) -> None:
    """Compare every bill with what the payer was shown.

    Raises:
        NotFound: a bill that does not exist.
        Conflict: another payment holds it (with the time it is free again, and which it is if it
            is the payer's own), or it has changed.
    """
    if len(found) < len(wanted):
        raise NotFound("there is no such bill")
    shown = {want.ref: want.shown_fen for want in wanted}
    for ref, bill in sorted(found.items()):
        if bill.held_by is not None:
            holder = holder_of(session, bill.held_by, payer_id=payer_id)
            raise Conflict(
                "a payment of this bill is under way already: wait until its time is over, or go"
                " on with it or close it if it is yours",
                code="bill.being_paid",
                bill=format_ref(ref),
                free_at=holder.free_at.isoformat() if holder.free_at else None,
                **({"payment": holder.own} if holder.own else {}),
            )
        paid = bill.facts.amount_fen > 0 and bill.open_fen <= 0
        if bill.cancelled or paid or shown[ref] not in (None, max(bill.open_fen, 0)):
            raise Conflict(
                "the bill has changed since it was shown: look again before you pay",
                code="bill.changed",
                bill=format_ref(ref),
                shown_fen=shown[ref],
                open_fen=max(bill.open_fen, 0),
            )


class Holder(NamedTuple):
    """The payment a bill waits for: when the bill can be paid again, at the latest (rule 31)."""

    free_at: datetime | None
    own: str | None  # its public name, if it is the asker's own


def holder_of(session: Session, held_by: int, *, payer_id: int | None) -> Holder:
    """Return what somebody may know of the payment that holds a bill."""
    # Asked only now: who lost the race for the lock could not see the winner before.
    payment = session.get(Payment, held_by)
    if payment is None:
        return Holder(None, None)
    return Holder(payment.expires_at, str(payment.id) if payment.payer_id == payer_id else None)


def offers_for(session: Session, ref: BillRef, *, now: datetime) -> tuple[Offer, ...]:
    """Return what can be chosen for one bill today."""
    return offers_of(session, [ref], now=now)[ref]


def offers_of(
    session: Session, refs: Sequence[BillRef], *, now: datetime
) -> dict[BillRef, tuple[Offer, ...]]:
    """Return what can be chosen for each of several bills today."""
    found, terms = standing(session, refs, now=now)
    return {ref: offers_today(bill, terms, now=now) for ref, bill in found.items()}


def offers_shown(
    session: Session, bills: Sequence[BillView], *, now: datetime
) -> dict[str, tuple[Offer, ...]]:
    """Return by public name what may be paid for bills today; nothing of those not to be paid."""
    payable = [parse_ref(bill.ref) for bill in bills if bill.state.payable]
    found = offers_of(session, payable, now=now) if payable else {}
    return {bill.ref: found.get(parse_ref(bill.ref), ()) for bill in bills}


def offers_today(bill: Standing, terms: Mapping[str, Terms], *, now: datetime) -> tuple[Offer, ...]:
    """Return what can be chosen for a bill as it stands, were it paid at this moment."""
    own = terms[bill.provider_code]
    return offers(bill.facts, own, on=counts_on(now, own))
