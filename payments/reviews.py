"""A choice of bills before it is paid: what may be chosen of each, what was, and what it costs.

A page shows a ``Review`` and mends it round by round: nothing here is refused as a whole because of
one bill. ``checkout.create_payment`` decides again, under the bills' locks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple, Self

from sqlmodel import Session

from billing.bills import BillRef, get_bill, resolve_ref
from billing.homes.households import visible_accounts
from billing.homes.pay_grants import as_payer_sees, payable_accounts
from billing.rules.calendars import counts_on
from billing.rules.payable import Chosen, Offer, choose
from billing.rules.terms import Terms
from billing.views import BillState, BillView
from core.clock import billing_date
from core.errors import CityBillError, Conflict, Invalid
from core.money import parse_yuan
from payments.checkout import check_choice, check_may_pay
from payments.quotes import (
    Holder,
    Quote,
    Standing,
    Wanted,
    holder_of,
    offers_of,
    offers_today,
    preview,
    quote,
    standing,
)


class Parts(NamedTuple):
    """What an open amount is made of."""

    amount_fen: int
    adjusted_fen: int
    credited_fen: int
    paid_fen: int

    @classmethod
    def of(cls, bill: BillView) -> Self:
        return cls(bill.amount_fen, bill.adjusted_fen, bill.credited_fen, bill.paid_fen)


class Why(StrEnum):
    """Why a bill is not what somebody saw a moment ago."""

    CANCELLED = "cancelled"
    PAID = "paid"  # by somebody, or elsewhere
    BEING_PAID = "being_paid"
    CORRECTED = "corrected"  # the company sent it again
    LATE_FEE = "late_fee"
    TAKEN_OFF = "taken_off"  # a late fee or surcharge is waived
    CREDITED = "credited"  # an earlier credit covers some of it
    NOT_HERE = "not_here"  # nothing of it can be paid here
    NOTHING_DUE = "nothing_due"


class Asked(NamedTuple):
    """A bill somebody ticked: what they were shown of it, and what they chose and typed."""

    ref: BillRef
    shown_fen: int | None = None  # none: they have not seen its amount yet
    option_code: str | None = None
    amount_yuan: str = ""  # empty: the amount that is asked for
    parts: Parts | None = None  # of the shown amount

    def wanted(self) -> Wanted:
        """Return what is to be paid.

        Raises:
            Invalid: what was typed is no amount of yuan.
        """
        amount_fen = parse_yuan(self.amount_yuan) if self.amount_yuan else None
        return Wanted(self.ref, self.shown_fen, self.option_code, amount_fen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One bill of a choice."""

    ref: BillRef
    bill: BillView
    offers: tuple[Offer, ...]
    offer: Offer  # of them, the one that is chosen
    amount_yuan: str  # as it was typed for that offer
    chosen: Chosen | None  # none: what was typed is refused
    refused: CityBillError | None
    was_fen: int | None  # the open amount they were shown, where it is another now
    why: Why | None  # and why it is
    lost_option: bool  # what they had chosen can be chosen no more
    counts_on: date

    @property
    def settles(self) -> bool:
        """Whether nothing of the bill stays open after this payment."""
        if self.chosen is None:
            return False
        on_bill_fen = self.chosen.amount_fen - self.chosen.advance_fen
        return on_bill_fen == self.bill.open_fen + self.chosen.adjust_fen

    @property
    def may_choose(self) -> bool:
        """Whether there is anything but one amount."""
        return len(self.offers) > 1 or is_free(self.offer)


class LeftOut(NamedTuple):
    """A bill that was ticked and cannot be paid now."""

    bill: BillView
    free_at: datetime | None  # of one that another payment holds
    own_payment: str | None  # which it is, if it is the payer's own
    was_fen: int | None  # the open amount they were shown
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    lines: tuple[Line, ...]
    left_out: tuple[LeftOut, ...]
    quote: Quote | None  # none: there is something to mend first
    refused: CityBillError | None  # of the choice as a whole: a limit, or bills that do not go
    by_company: Mapping[str, int]  # what is paid to each
    terms: Mapping[str, Terms]

    @property
    def total_fen(self) -> int | None:
        return None if self.quote is None else self.quote.amount_fen


class Quoted(NamedTuple):
    """What a choice would cost now, with what else might be chosen."""

    quote: Quote
    offers: dict[BillRef, tuple[Offer, ...]]


def is_free(offer: Offer) -> bool:
    """Tell whether an offer takes more than one amount."""
    return offer.minimum_fen != offer.maximum_fen


def review(
    session: Session,
    payer_id: int,
    asked: Sequence[Asked],
    *,
    mode: str,
    channel: str,
    now: datetime,
) -> Review:
    """Look at a choice of bills as it stands at this moment; a bill named twice counts once.

    Raises:
        NotFound: a bill that does not exist or that this person may not pay.
    """
    accounts = payable_accounts(session, payer_id, now=now)
    own = visible_accounts(session, payer_id)
    today = billing_date(now)
    named = [one._replace(ref=resolve_ref(session, one.ref)) for one in asked]
    by_ref = {one.ref: one for one in named}
    bills = {
        ref: as_payer_sees(get_bill(session, ref, accounts, today=today), own) for ref in by_ref
    }
    found, terms = standing(session, list(by_ref), now=now)
    lines: list[Line] = []
    left_out: list[LeftOut] = []
    for ref, one in by_ref.items():
        bill, stands = bills[ref], found[ref]
        offers = offers_today(stands, terms, now=now)
        if offers and (bill.state.payable or bill.state is BillState.NOTHING_DUE):
            lines.append(_line(one, bill, stands, offers, terms[stands.provider_code], now=now))
            continue
        left_out.append(_left_out(session, one, bill, stands, payer_id=payer_id))
    asks, refused = _quote(lines, found, terms, mode=mode, channel=channel, now=now)
    return Review(
        lines=tuple(lines), left_out=tuple(left_out), quote=asks, refused=refused,
        by_company=_by_company(lines), terms=terms,
    )  # fmt: skip


def _by_company(lines: Sequence[Line]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for line in lines:
        if line.chosen is not None:
            code = line.bill.account.provider_code
            sums[code] = sums.get(code, 0) + line.chosen.amount_fen
    return sums


def _line(
    one: Asked,
    bill: BillView,
    stands: Standing,
    offers: tuple[Offer, ...],
    terms: Terms,
    *,
    now: datetime,
) -> Line:
    offer = next((each for each in offers if each.code == one.option_code), None)
    on = counts_on(now, terms)
    chosen: Chosen | None = None
    refused: CityBillError | None = None
    typed = one.amount_yuan if offer else ""
    taken = offer or offers[0]
    try:
        amount_fen = parse_yuan(typed) if typed else None
        chosen = choose(stands.facts, terms, option_code=taken.code, amount_fen=amount_fen, on=on)
    except (Invalid, Conflict) as error:
        refused = error
    seen = one.shown_fen is not None
    was_fen = one.shown_fen if seen and one.shown_fen != max(bill.open_fen, 0) else None
    return Line(
        ref=one.ref,
        bill=bill,
        offers=offers,
        offer=taken,
        amount_yuan=typed,
        chosen=chosen,
        refused=refused,
        was_fen=was_fen,
        why=None if was_fen is None else _why(one.parts, bill),
        lost_option=seen and offer is None,
        counts_on=on,
    )


def _left_out(
    session: Session, one: Asked, bill: BillView, stands: Standing, *, payer_id: int
) -> LeftOut:
    held = stands.held_by
    holder = holder_of(session, held, payer_id=payer_id) if held else Holder(None, None)
    match bill.state:
        case BillState.CANCELLED:
            why = Why.CANCELLED
        case BillState.IN_PAYMENT:
            why = Why.BEING_PAID
        case BillState.PAID | BillState.CONFIRMED | BillState.PAID_ELSEWHERE:
            why = Why.PAID
        case state if state.payable:
            why = Why.NOT_HERE
        case _:
            why = Why.NOTHING_DUE
    return LeftOut(bill, holder.free_at, holder.own, one.shown_fen, why)


def _why(before: Parts | None, bill: BillView) -> Why | None:
    """Tell what changed an open amount: the company's own word first."""
    if before is None:
        return None
    after = Parts.of(bill)
    if after.amount_fen != before.amount_fen:
        return Why.CORRECTED
    if after.paid_fen != before.paid_fen:
        return Why.PAID
    if after.credited_fen != before.credited_fen:
        return Why.CREDITED
    return Why.LATE_FEE if after.adjusted_fen > before.adjusted_fen else Why.TAKEN_OFF


def _quote(
    lines: Sequence[Line],
    found: Mapping[BillRef, Standing],
    terms: Mapping[str, Terms],
    *,
    mode: str,
    channel: str,
    now: datetime,
) -> tuple[Quote | None, CityBillError | None]:
    """Work out the total of bills of which none is refused by itself."""
    wanted = [
        Wanted(line.ref, None, line.chosen.option_code, line.chosen.amount_fen)
        for line in lines
        if line.chosen is not None
    ]
    if not wanted or len(wanted) < len(lines):
        return None, None
    try:
        return quote(wanted, found, terms, mode=mode, channel=channel, now=now), None
    except (Invalid, Conflict) as error:
        return None, error


def quote_for(
    session: Session,
    payer_id: int,
    wanted: Sequence[Wanted],
    *,
    mode: str,
    channel: str,
    now: datetime,
    sum_fen: int | None = None,
) -> Quoted:
    """Return what a payment of ``wanted`` would ask for at this moment, and each bill's offers.

    Raises:
        NotFound, Invalid, Conflict: as ``create_payment`` does.
    """
    wanted = [want._replace(ref=resolve_ref(session, want.ref)) for want in wanted]
    check_choice(wanted)
    check_may_pay(session, payer_id, wanted, now=now)
    asked = preview(
        session, wanted, mode=mode, channel=channel, now=now, sum_fen=sum_fen, payer_id=payer_id
    )
    return Quoted(asked, offers_of(session, [want.ref for want in wanted], now=now))
