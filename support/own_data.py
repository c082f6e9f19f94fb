"""What the rooms of bills, payments and complaints hold of somebody, and how it is let go.

The books keep what the law wants kept: payments, refunds, what was agreed to. Of whom they are,
nothing is left to read. docs/privacy.md is the same as a table.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.homes import people
from billing.homes.spans import seen_by
from core import outbox
from core.errors import Conflict
from core.masking import mask_name, mask_no
from identity import leaving
from identity.own_data import Row, Section
from payments.autopay.mandates import end_because
from payments.autopay.models import Mandate
from payments.autopay.states import LIVE


def _account(row: Row) -> Row:
    """Show who manages the home all of an account, others what their pages show."""
    if not row.pop("manages"):
        row |= {
            "account_no": mask_no(row["account_no"]),
            "holder_name": mask_name(row["holder_name"]),
        }
    return row


_MY_ACCOUNTS = """
    household_member m JOIN household_account h ON h.household_id = m.household_id
    JOIN utility_account a ON a.id = h.account_id
"""
_MINE = "m.person_id = :person_id AND stands_today(m.from_on, m.until_on)"
# Of an account that was left, the companies' books may name who came after.
_WHOLE = "(m.role = 'manage' AND stands_today(NULL, h.left_on))"
_MY_ITEMS = """
    payment p JOIN payment_item i ON i.payment_id = p.id
    JOIN bill b ON b.account_id = i.account_id AND b.id = i.bill_id
    JOIN utility_account a ON a.id = i.account_id
"""

SECTIONS: Final[Sequence[Section]] = (
    Section(
        "homes",
        """SELECT h.id, h.name, h.kind, m.role, m.from_on, m.until_on, m.earlier_bills,
                  h.created_at
           FROM household_member m JOIN household h ON h.id = m.household_id
           WHERE m.person_id = :person_id ORDER BY h.id""",
    ),
    Section(
        "invitations",
        """SELECT household_id AS home_id, role, from_on, until_on, earlier_bills, state,
                  invited_at, expires_at, decided_at, invited_by = :person_id AS sent_by_me
           FROM home_invitation WHERE :person_id IN (person_id, invited_by) ORDER BY id""",
    ),
    Section(
        "accounts",
        f"""SELECT DISTINCT ON (a.id) a.id, a.provider_code AS company, a.account_no,
                  a.holder_name, a.address, {_WHOLE} AS manages, h.household_id AS home_id,
                  h.name, h.bound_at, h.since_on, h.left_on
           FROM {_MY_ACCOUNTS} WHERE {_MINE}
           ORDER BY a.id, {_WHOLE} DESC, h.household_id""",  # noqa: S608  our own text
        _account,
    ),
    Section(
        "moves",
        """SELECT household_id AS home_id, made_at, leaves_on, new_address, phone, cancelled_at,
                  done_at
           FROM house_move WHERE made_by = :person_id ORDER BY id""",
    ),
    Section(
        "bills",
        f"""SELECT DISTINCT ON (b.account_id, b.id) b.account_id, b.bill_no, b.version,
                  b.billing_month, b.period_from_on, b.period_to_on, b.issued_on, b.due_on, b.usage,
                  b.usage_unit, b.amount_fen, b.adjusted_fen, b.credited_fen, b.paid_fen, b.items,
                  b.cancelled_at
           FROM {_MY_ACCOUNTS} JOIN bill b ON b.account_id = h.account_id
           WHERE {_MINE} AND {seen_by("m")} ORDER BY b.account_id, b.id""",  # noqa: S608  our own text
    ),
    Section(
        "payments",
        """SELECT id, order_no, gateway, gateway_ref, channel, mode, amount_fen, fee_fen,
                  fee_tax_fen, status, created_at, paid_at
           FROM payment WHERE payer_id = :person_id ORDER BY created_at, id""",
    ),
    Section(
        "paid_bills",
        f"""SELECT p.id AS payment_id, a.provider_code AS company, b.bill_no, b.billing_month,
                  i.amount_fen, i.returned_fen, i.outcome, i.outcome_at, i.utility_ref
           FROM {_MY_ITEMS} WHERE p.payer_id = :person_id
           ORDER BY p.id, i.account_id, i.bill_id""",  # noqa: S608  our own text
    ),
    Section(
        "refunds",
        """SELECT r.refund_no, r.payment_id, r.amount_fen, r.fee_fen, r.reason, r.status
           FROM payment p JOIN refund r ON r.payment_id = p.id
           WHERE p.payer_id = :person_id ORDER BY r.refund_no""",
    ),
    Section(
        "autopay",
        """SELECT id, account_id, household_id AS home_id, gateway, status, cap_kind, cap_fen,
                  pay_day, pay_day_n, created_at, enrolled_at
           FROM mandate WHERE person_id = :person_id ORDER BY id""",
    ),
    Section(
        "autopay_debits",
        """SELECT r.mandate_id, r.account_id, r.state, r.debit_on, r.pay_by_on, r.payment_id
           FROM mandate m JOIN autopay_run r ON r.mandate_id = m.id
           WHERE m.person_id = :person_id ORDER BY r.id""",
    ),
    Section(
        "complaints",
        """SELECT id, kind, provider_code AS company, payment_id, state, received_at, answered_at
           FROM complaint WHERE person_id = :person_id ORDER BY id""",
    ),
    Section(
        "complaint_words",
        """SELECT e.complaint_id, e.said, e.words, e.at
           FROM complaint c JOIN complaint_entry e ON e.complaint_id = c.id
           WHERE c.person_id = :person_id AND e.said IN ('asked', 'reopened', 'answered', 'closed')
           ORDER BY e.id""",
    ),
)

_UNDER_WAY = text("""
    SELECT EXISTS (SELECT FROM payment WHERE payer_id = :person_id
                   AND status IN ('created', 'unknown', 'open')),
           EXISTS (SELECT FROM payment p JOIN payment_item i ON i.payment_id = p.id
                   WHERE p.payer_id = :person_id AND i.outcome = 'returning')
           OR EXISTS (SELECT FROM payment p JOIN refund r ON r.payment_id = p.id
                      WHERE p.payer_id = :person_id
                      AND r.status IN ('proposed', 'requested', 'pending', 'by_transfer'))
""")


def check_may_leave(session: Session, person_id: int) -> None:
    """Refuse whose money is on its way, or who leaves people behind.

    Raises:
        Conflict: a payment or a refund is under way, or nobody else manages one of their homes.
    """
    paying, refunding = session.execute(_UNDER_WAY, {"person_id": person_id}).one()
    if paying:
        raise Conflict("a payment of yours is under way: wait for it", code="me.payment_under_way")
    if refunding:
        raise Conflict(
            "money is on its way back to you: wait until it is there", code="me.refund_under_way"
        )
    homes = people.managed_with_others(session, person_id)
    if homes:
        raise Conflict(
            "other people belong to a home that only you manage: make somebody else manage it,"
            " or take them out first",
            code="me.last_manager", homes=[home.id for home in homes],
        )  # fmt: skip


def ask_to_leave(session: Session, person_id: int, *, now: datetime) -> leaving.PersonErasure:
    """Have somebody's data erased in a week, unless they take it back.

    Raises:
        Conflict: not now, see ``check_may_leave``.
        NotAllowed: they work here, or at a company.
    """
    check_may_leave(session, person_id)
    return leaving.ask_to_leave(session, person_id, now=now)


LET_GO = (
    "DELETE FROM pay_grant WHERE person_id = :person_id",
    "DELETE FROM usage_known WHERE person_id = :person_id",
    "DELETE FROM idempotent_request WHERE person_id = :person_id",
    "UPDATE house_move SET new_address = '-', phone = '' WHERE made_by = :person_id",
    "UPDATE home_invitation SET state = 'withdrawn', decided_at = :now"
    " WHERE :person_id IN (person_id, invited_by) AND state = 'waiting'",
)


def erase(session: Session, person_id: int, *, now: datetime) -> None:
    """Let go of somebody: what is about them alone is gone, what the books need has no name.

    Their notices follow by the event ``person.erased``. Done again it changes nothing.

    Raises:
        Conflict: not now, see ``check_may_leave``.
    """
    check_may_leave(session, person_id)
    mandates = select(Mandate).where(Mandate.person_id == person_id, col(Mandate.status).in_(LIVE))
    for mandate in session.exec(mandates.order_by(col(Mandate.id)).with_for_update()).all():
        end_because(session, mandate, "erased", now=now)
    people.go_from_all(session, person_id, now=now)
    for statement in LET_GO:
        session.execute(text(statement), {"person_id": person_id, "now": now})
    leaving.erase(session, person_id, now=now)
    outbox.emit(session, "person.erased", person_id, now=now)
