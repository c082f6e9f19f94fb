"""Makers of collected money, closed days and remittances, for tests of paying companies."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from billing.ledger.days import close_through
from core.clock import billing_date
from core.db import transaction
from identity.models import Role
from payments import write_offs
from payments.gateways.base import DisputeReply, DisputeState, GatewayStatus
from payments.models import Payment
from payments.remittance import deciding, planning, sending
from payments.remittance.models import (
    Remittance,
    RemittanceFile,
    RemittancePayment,
    all_payments,
    get_remittance,
    live_payments,
)
from payments.remittance.sending import Debtor
from payments.returns import chargebacks, staff_refunds
from tests.factories import ACCEPTED, NOW, Home, a_home, a_payment, a_person, book, items_of
from tests.factories import the_terms as put_terms
from tests.payments.returns.returning import THRESHOLD_FEN, Disputed, a_wish, staff

US = Debtor("市民缴费平台", "6222000011112222", "102290000012")
PRIMARY = """
[remit.account]
name = "江城自来水公司"
account_no = "6222000000004321"
bank_code = "102290000012"
"""
SPLIT = """
[[splits]]
account_ref = "sewage"
rate_ppm = 250_000
account = { name = "江城排水", account_no = "6222000000008765", bank_code = "ICBKCNBJSHI" }
"""


def at(day: int = 0, hour: int = 0) -> datetime:
    """Noon of Friday the 20th of November, and of the days after it."""
    return NOW + timedelta(days=day, hours=hour)


def terms(remit: str = "days = 1", *, more: str = "", company: str = "water") -> None:
    """Put terms in force that say when and to whom a company is remitted."""
    put_terms(company, f"{more}\n[remit]\n{remit}\n{PRIMARY}")


def collected(*amounts_fen: int, day: int = 0, home: Home | None = None) -> Payment:
    """A payment of that day, of one bill for each amount, which its companies confirm at once."""
    now = at(day)
    home = home or a_home(*amounts_fen, now=now)
    payment = book(a_payment(home, now=now), GatewayStatus.PAID, now=now, paid_at=now)
    for item in items_of(payment):
        with transaction() as session:
            write_offs.book(session, item.write_off_no, ACCEPTED, now=now)
    return payment


def give_back(payment: Payment, fen: int, *, day: int = 0) -> None:
    """Staff refund so much of a payment's first bill; the company bears it from that day on."""
    (by, other), wish = staff(), a_wish(payment, fen)
    with transaction() as session:
        refund = staff_refunds.propose(
            session, wish, by=by, key=f"refund of {payment.id} {fen} {day}",
            approval_above_fen=THRESHOLD_FEN, now=at(day),
        )  # fmt: skip
        if refund.needs_two:
            staff_refunds.approve(session, refund.refund_no, by=other, now=at(day))


def dispute(
    payment: Payment, state: DisputeState, *, day: int = 0, decided: int | None = None
) -> None:
    """The payer's bank says how a dispute over all of a payment stands."""
    told = DisputeReply(
        state=state, order_no=payment.order_no, amount_fen=payment.amount_fen, opened_at=at(day),
        decided_at=None if decided is None else at(decided),
    )  # fmt: skip
    ref = f"dp-{payment.id}"
    chargebacks.look(ref, Disputed(disputes={ref: told}), at(day))


def close(day: int = 0) -> None:
    """Close that day and all before it."""
    close_through(billing_date(at(day)), closed_by="li", now=at(day + 1))


def propose(company: str = "water", *, day: int = 3) -> Remittance | None:
    """Work the company's next remittance out on that day: Monday, if nothing is said."""
    with transaction() as session:
        return planning.propose(session, company, now=at(day))


def a_remittance(*amounts_fen: int, **changes: Any) -> Remittance:
    """A proposed remittance of water's money of Friday."""
    collected(*(amounts_fen or (8_650,)))
    close()
    found = propose(**changes)
    assert found is not None
    return found


def a_clerk() -> int:
    return a_person(Role.STAFF)


def release(one: Remittance, by: int, *, above_fen: int = 0, day: int = 3) -> Remittance:
    with transaction() as session:
        seen = deciding.shown(live_payments(session, one.id))
        return deciding.release(
            session, one.id, seen=seen, by=by, approval_above_fen=above_fen, now=at(day)
        )


def approve(one: Remittance, by: int, *, day: int = 3) -> Remittance:
    with transaction() as session:
        return deciding.approve(session, one.id, by=by, now=at(day))


def approved(one: Remittance) -> Remittance:
    return approve(release(one, a_clerk()), a_clerk())


def make_file(*, by: int | None = None, day: int = 3) -> RemittanceFile:
    by = by or a_clerk()
    with transaction() as session:
        return sending.make_file(session, US, by=by, now=at(day))


def sent(one: Remittance) -> Remittance:
    approved(one)
    make_file()
    return again(one)


def bring_back(
    payment: RemittancePayment, *, was_debited: bool = False, day: int = 4
) -> Remittance:
    by = a_clerk()
    with transaction() as session:
        return sending.bring_back(
            session, payment.id, reason="户名不符", was_debited=was_debited, by=by, now=at(day)
        )


def again(one: Remittance) -> Remittance:
    """The remittance as it is now."""
    with transaction() as session:
        return get_remittance(session, one.id)


def payments_of(one: Remittance) -> list[RemittancePayment]:
    with transaction() as session:
        return all_payments(session, one.id)


def shares_of(one: Remittance) -> list[tuple[str, int]]:
    """What goes where: of every payment that lives, its account and fen."""
    with transaction() as session:
        return [(pay.account_ref, pay.amount_fen) for pay in live_payments(session, one.id)]


def lines_of(one: Remittance) -> list[tuple[int, str, int]]:
    """What its days moved: day from Friday, kind and fen."""
    with transaction() as session:
        rows = session.execute(
            text("""
                SELECT day - :day, kind, amount_fen FROM remittance_line
                WHERE remittance_id = :id ORDER BY day, kind
            """),
            {"id": one.id, "day": billing_date(NOW)},
        )
        return [tuple(row) for row in rows]
