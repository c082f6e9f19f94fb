"""What lateness costs: counted for each Shanghai day once, and taken back where money was in time.

A day costs what is still open at its end, so its payments are posted before it is counted (rule
20). Penalty, interest and the one-off are three things (rule 24), all of the *charge*: late fees
cost no late fees. Which of them a company asks, and how much, is in its terms and nowhere else.

``docs/bills-that-live.md`` has an example worked through.
"""

from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKeyConstraint, Row, text
from sqlmodel import Field, Session, SQLModel

from billing.bills import BillRef
from billing.ledger import books, postings
from billing.rules.calendars import pay_by
from billing.rules.terms import LateFee, Terms
from billing.terms import terms_on
from core import outbox
from core.clock import add_months, billing_date, month_start
from core.db import transaction
from core.errors import Conflict
from core.keys import month_range

CHUNK_ACCOUNTS = 20_000
CATCH_UP_DAYS = 62  # runs may be missed this long without a bill being forgotten
DUE_WITHIN_MONTHS = 6  # a bill falls due at most so long after its billing month …
BILLED_AHEAD_MONTHS = 13  # … and a billing month begins at most so long after that
_WHOLE = 10**6  # a rate is parts per million, so fen times rate is millionths of a fen
_DAY = timedelta(days=1)
_KINDS = ("once", "penalty", "interest")  # in this order below


class BillLateFee(SQLModel, table=True):
    """What lateness has cost on one bill, and up to which day it was counted.

    Interest is kept in millionths of a fen, so that a small bill's daily share is not rounded away;
    ``interest_fen`` is what of it was posted: the whole, rounded half up, once.
    """

    __tablename__ = "bill_late_fee"
    __table_args__ = (
        CheckConstraint(
            "once_fen >= 0 AND penalty_fen >= 0 AND interest_fen >= 0 AND waived_fen >= 0"
            " AND interest_microfen >= 0 AND waived_fen <= once_fen + penalty_fen + interest_fen",
            name="never_negative",
        ),
        ForeignKeyConstraint(["account_id", "bill_id"], ["bill.account_id", "bill.id"]),
    )

    account_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    bill_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    once_fen: int = Field(default=0, sa_type=BigInteger)
    penalty_fen: int = Field(default=0, sa_type=BigInteger)
    interest_microfen: int = Field(default=0, sa_type=BigInteger)
    interest_fen: int = Field(default=0, sa_type=BigInteger)
    waived_fen: int = Field(default=0, sa_type=BigInteger)
    counted_on: date


class Assessed(NamedTuple):
    """How many bills a run counted on, and what it added to them."""

    bills: int
    fee_fen: int


def assess(provider_code: str, day: date, *, now: datetime) -> Assessed:
    """Count a company's late fees up to and with ``day``, under its terms in force that day.

    A day that was missed is made up for by the next run, which multiplies by the days; the same day
    again, or an earlier one, changes nothing. A bill that a payment holds is left for a later run.
    Works chunk by chunk in transactions of its own.

    Raises:
        Conflict: the day is not over, so its payments are not all posted.
    """
    if day >= billing_date(now):
        raise Conflict("late fees are counted when the day is over", code="late_fees.day_not_over")
    with transaction() as session:
        terms = terms_on(session, provider_code, day)
        if not _costs(terms.late_fee):
            return Assessed(0, 0)
        values = _values(session, provider_code, terms, day, now=now)
    bills = fee_fen = 0
    while True:
        with transaction() as session:
            after_no = session.execute(_NEXT_ACCOUNTS, values).scalar_one()
            if after_no is None:
                return Assessed(bills, fee_fen)
            counted = _assess_chunk(session, values | {"upto_no": after_no}, now=now)
        values["after_no"] = after_no
        bills, fee_fen = bills + counted.bills, fee_fen + counted.fee_fen


def _costs(late_fee: LateFee) -> bool:
    asked = late_fee.once_fen or late_fee.penalty_ppm or late_fee.interest_ppm_per_day
    return bool(asked and late_fee.cap_ppm)


def _values(
    session: Session, provider_code: str, terms: Terms, day: date, *, now: datetime
) -> dict[str, Any]:
    """Return what every chunk's statements need.

    ``pay_bys`` holds the last day to pay of every due date from ``first_due_on`` on, and NULL where
    the grace is not over.
    """
    late_fee = terms.late_fee
    window_days = late_fee.stop_after_days + CATCH_UP_DAYS
    due_days = [day - _DAY * back for back in range(window_days, -32, -1)]
    pay_bys = [pay_by(due_on, terms.due) for due_on in due_days]
    grace = _DAY * late_fee.grace_days
    first_month = add_months(month_start(due_days[0]), -DUE_WITHIN_MONTHS)
    last_month = add_months(month_start(day), BILLED_AHEAD_MONTHS)
    owed, open_ = books.receivable(provider_code), books.uncollected(provider_code)
    accounts = books.account_ids(session, [owed, open_])
    return {
        "provider_code": provider_code, "day": day,
        "entry_keys": [f"{kind}.{day:%Y%m%d}" for kind in _KINDS], "first_due_on": due_days[0],
        "pay_bys": [last if day > last + grace else None for last in pay_bys],
        "first_id": month_range(first_month)[0], "after_id": month_range(last_month)[1],
        "once_fen": late_fee.once_fen, "penalty_ppm": late_fee.penalty_ppm,
        "interest_ppm": late_fee.interest_ppm_per_day, "cap_ppm": late_fee.cap_ppm,
        "stop_days": late_fee.stop_after_days, "after_no": "", "accounts": CHUNK_ACCOUNTS,
        "receivable_id": accounts[owed], "uncollected_id": accounts[open_],
        "posted_on": billing_date(now), "now": now,
    }  # fmt: skip


_NEXT_ACCOUNTS = text("""
    SELECT max(account_no) FROM (
        SELECT account_no FROM utility_account
        WHERE provider_code = :provider_code AND account_no > :after_no
        ORDER BY account_no LIMIT :accounts) chunk
""")

# Each bill is looked up by its key, so a chunk costs the same however large the tables are.
_BY_INDEX = text("""
    SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
           set_config('enable_seqscan', 'off', true)
""")

# What is open of the charge. Here money counts to the charge first, in whatever order the company
# has it cover (rule 9): else old money would go to new late fees, and the charge grow again.
_CHARGE = """
    least(b.amount_fen + b.adjusted_fen - b.paid_fen - b.credited_fen,
          b.amount_fen - b.paid_fen - b.credited_fen)
"""

# Locked here, counted in the next statement: who waited for a lock must see what its holder did.
_LOCK = text(f"""
    CREATE TEMPORARY TABLE late ON COMMIT DROP AS
    SELECT b.account_id, b.id, d.pay_by, {_CHARGE} AS charge_fen,
           least(CAST(:day AS date), d.pay_by + CAST(:stop_days AS int)) AS upto_on,
           CAST(div(CAST(b.amount_fen AS numeric) * :cap_ppm, {_WHOLE}) AS bigint) AS cap_fen
    FROM utility_account a
    JOIN bill b ON b.account_id = a.id AND b.id >= :first_id AND b.id < :after_id
    CROSS JOIN LATERAL (
        SELECT (CAST(:pay_bys AS date[]))[b.due_on - CAST(:first_due_on AS date) + 1] AS pay_by) d
    LEFT JOIN bill_late_fee f ON f.account_id = b.account_id AND f.bill_id = b.id
    WHERE a.provider_code = :provider_code AND a.account_no > :after_no AND a.account_no <= :upto_no
      AND b.held_by IS NULL AND b.cancelled_at IS NULL AND {_CHARGE} > 0
      AND greatest(f.counted_on, d.pay_by)
          < least(CAST(:day AS date), d.pay_by + CAST(:stop_days AS int))
      AND d.pay_by IS NOT NULL
    ORDER BY b.account_id, b.id
    FOR UPDATE OF b
""")  # noqa: S608  our own text above

# Interest is rounded half up over all days together; what was posted of it before is taken off.
_COUNT = text(f"""
    WITH before AS (
        SELECT l.account_id, l.id, l.upto_on, l.charge_fen, l.cap_fen,
               f.account_id IS NULL AS first, l.upto_on - greatest(f.counted_on, l.pay_by) AS days,
               coalesce(f.interest_microfen, 0) AS microfen,
               coalesce(f.interest_fen, 0) AS interest_fen,
               coalesce(f.waived_fen - f.once_fen - f.penalty_fen, 0) AS room_fen
        FROM late l LEFT JOIN bill_late_fee f ON f.account_id = l.account_id AND f.bill_id = l.id
        WHERE greatest(f.counted_on, l.pay_by) < l.upto_on
          -- A corrected bill begins anew; what was posted for this very day stands until the next.
          AND NOT EXISTS (
            SELECT FROM ledger_transfer t
            WHERE t.account_id = l.account_id AND t.subject_id = l.id
              AND t.entry_key = ANY(CAST(:entry_keys AS text[])))
    ), fee AS MATERIALIZED (
        SELECT account_id, id, upto_on, o.once_fen, p.penalty_fen, m.microfen, i.interest_fen
        FROM before
        CROSS JOIN LATERAL (SELECT CASE WHEN first
            THEN least(CAST(:once_fen AS bigint), cap_fen) ELSE 0 END AS once_fen) o
        CROSS JOIN LATERAL (SELECT CASE WHEN first
            THEN least(CAST(div(CAST(charge_fen AS numeric) * :penalty_ppm + {_WHOLE // 2},
                                {_WHOLE}) AS bigint),
                       cap_fen - o.once_fen) ELSE 0 END AS penalty_fen) p
        CROSS JOIN LATERAL (SELECT CAST(least(
            before.microfen + CAST(charge_fen AS numeric) * :interest_ppm * days,
            9000000000000000000) AS bigint) AS microfen) m
        CROSS JOIN LATERAL (SELECT greatest(0,
            least((m.microfen + {_WHOLE // 2}) / {_WHOLE},
                  cap_fen + room_fen - o.once_fen - p.penalty_fen)
            - before.interest_fen) AS interest_fen) i
    ), posted AS (
        INSERT INTO ledger_transfer (account_id, subject_id, entry_key, debit_account_id,
                                     credit_account_id, amount_fen, posted_on, posted_at)
        SELECT account_id, id, entry_key, CAST(:receivable_id AS int),
               CAST(:uncollected_id AS int), fen, :posted_on, :now
        FROM fee CROSS JOIN LATERAL unnest(
            CAST(:entry_keys AS text[]), ARRAY[once_fen, penalty_fen, interest_fen])
            AS k (entry_key, fen)
        WHERE fen > 0
    ), kept AS (
        INSERT INTO bill_late_fee AS f (account_id, bill_id, once_fen, penalty_fen,
                                        interest_microfen, interest_fen, waived_fen, counted_on)
        SELECT account_id, id, once_fen, penalty_fen, microfen, interest_fen, 0, upto_on FROM fee
        ON CONFLICT (account_id, bill_id) DO UPDATE SET
            interest_microfen = excluded.interest_microfen,
            interest_fen = f.interest_fen + excluded.interest_fen, counted_on = excluded.counted_on
    ), raised AS (
        UPDATE bill b SET adjusted_fen = adjusted_fen + once_fen + penalty_fen + interest_fen
        FROM fee WHERE b.account_id = fee.account_id AND b.id = fee.id
                   AND once_fen + penalty_fen + interest_fen > 0
    )
    SELECT count(*), CAST(coalesce(sum(once_fen + penalty_fen + interest_fen), 0) AS bigint)
    FROM fee
""")  # noqa: S608  our own text above


def _assess_chunk(session: Session, values: dict[str, Any], *, now: datetime) -> Assessed:
    session.execute(_BY_INDEX)
    session.execute(_LOCK, values)
    counted = Assessed(*session.execute(_COUNT, values).one())
    if counted.bills:
        outbox.emit(
            session, "late_fees.assessed", values["provider_code"], now=now,
            day=str(values["day"]), bills=counted.bills, fee_fen=counted.fee_fen,
        )  # fmt: skip
    return counted


_COUNTED = text("""
    SELECT a.provider_code, b.amount_fen, b.due_on, b.paid_fen + b.credited_fen AS covered_fen,
           b.amount_fen + b.adjusted_fen - b.paid_fen - b.credited_fen AS open_fen,
           f.once_fen, f.penalty_fen, f.interest_fen, f.interest_microfen, f.waived_fen,
           f.counted_on,
           coalesce((SELECT max(t.amount_fen) FROM ledger_transfer t
                     WHERE t.account_id = f.account_id AND t.subject_id = f.bill_id
                       AND (t.entry_key LIKE 'unpaid:%' OR t.entry_key LIKE 'owes_again:%')), 0)
               AS owes_again_fen
    FROM bill_late_fee f
    JOIN bill b ON b.account_id = f.account_id AND b.id = f.bill_id
    JOIN utility_account a ON a.id = f.account_id
    WHERE f.account_id = :account_id AND f.bill_id = :bill_id AND f.counted_on >= :paid_on
      AND b.cancelled_at IS NULL
      AND NOT EXISTS (SELECT FROM ledger_transfer t WHERE t.account_id = f.account_id
                      AND t.subject_id = f.bill_id AND t.entry_key = :entry_key)
    FOR UPDATE OF f
""")

_WAIVE = text("""
    WITH kept AS (
        UPDATE bill_late_fee
        SET waived_fen = waived_fen + :waived_fen, interest_microfen = :microfen
        WHERE account_id = :account_id AND bill_id = :bill_id)
    UPDATE bill SET adjusted_fen = adjusted_fen - :waived_fen
    WHERE account_id = :account_id AND id = :bill_id
""")


def waive_after(
    session: Session, ref: BillRef, *, paid_on: date, amount_fen: int, why: str, now: datetime
) -> int:
    """Take back what would not have been counted, had this payment been posted on its day.

    Rule 20: a payment counts when the resident paid. For the booking of a payment, in its
    transaction, under the lock of the bill's row and before ``paid_fen`` is raised. Rates are those
    the company had on the last day that was counted.

    Args:
        paid_on: the day the payment counts on; late fees of that day's end and of later days go.
        amount_fen: what it pays of the bill; if less than its charge, fees stay on the rest.
        why: ends the entry key: the payment's id. Once for each.

    Returns:
        What was taken back, in fen: never more than was posted and is not paid yet.
    """
    values: dict[str, Any] = {"account_id": ref[0], "bill_id": ref[1]}
    found = session.execute(
        _COUNTED, values | {"paid_on": paid_on, "entry_key": f"waived:{why}"}
    ).first()
    if found is None:
        return 0
    terms = terms_on(session, found.provider_code, found.counted_on)
    undue = _undue(found, paid_on=paid_on, amount_fen=amount_fen, terms=terms)
    session.execute(_WAIVE, values | undue._asdict())
    books.post(session, postings.waived(ref, found.provider_code, why, undue.waived_fen), now=now)
    return undue.waived_fen


_OF_BILL = text("""
    SELECT a.provider_code, b.due_on FROM bill b JOIN utility_account a ON a.id = b.account_id
    WHERE b.account_id = :account_id AND b.id = :bill_id
""")

_REOPEN = text("""
    INSERT INTO bill_late_fee AS f (account_id, bill_id, once_fen, penalty_fen, interest_microfen,
                                    interest_fen, waived_fen, counted_on)
    VALUES (:account_id, :bill_id, 0, 0, 0, 0, 0, :on)
    ON CONFLICT (account_id, bill_id) DO UPDATE
    SET counted_on = greatest(f.counted_on, excluded.counted_on)
""")


def reopened(session: Session, ref: BillRef, *, on: date) -> None:
    """Count no day for which a bill stood paid: its company refused the payment, and it owes again.

    Of one that was not late before, interest alone is counted, from ``on``: its resident was in
    time. One whose last day to pay is not over has stood open as far as lateness knows.
    """
    values: dict[str, Any] = {"account_id": ref[0], "bill_id": ref[1]}
    bill = session.execute(_OF_BILL, values).one()
    if pay_by(bill.due_on, terms_on(session, bill.provider_code, on).due) < on:
        session.execute(_REOPEN, values | {"on": on})


class _Undue(NamedTuple):
    waived_fen: int
    microfen: int  # what the interest goes on from


class _Kinds(NamedTuple):
    """What is undue of each kind, and the interest that remains, in millionths of a fen."""

    once_fen: int
    penalty_fen: int
    interest_fen: int
    microfen: int

    @property
    def fen(self) -> int:
        return self.once_fen + self.penalty_fen + self.interest_fen


def _undue(found: Row[Any], *, paid_on: date, amount_fen: int, terms: Terms) -> _Undue:
    """Work out what a payment that counts on ``paid_on`` makes undue."""
    charge_fen = max(0, min(found.open_fen, found.amount_fen - found.covered_fen))
    part_fen = min(amount_fen, charge_fen)
    kinds = _of_part(found, charge_fen, part_fen, paid_on, terms)
    posted_fen = found.once_fen + found.penalty_fen + found.interest_fen - found.waived_fen
    unpaid_fen = max(0, found.open_fen - max(amount_fen, charge_fen))
    waived_fen = min(kinds.fen, posted_fen, unpaid_fen)
    of_interest_fen = min(kinds.interest_fen, waived_fen)
    return _Undue(waived_fen, kinds.microfen + of_interest_fen * _WHOLE)


def _of_part(
    found: Row[Any], charge_fen: int, part_fen: int, paid_on: date, terms: Terms
) -> _Kinds:
    """Return what is undue when ``part_fen`` of the open charge was paid on ``paid_on``."""
    late_fee, last_on = terms.late_fee, pay_by(found.due_on, terms.due)
    rightly_on = paid_on - _DAY  # the last day that was counted rightly
    in_time = rightly_on <= last_on + _DAY * late_fee.grace_days
    days = (found.counted_on - (last_on if in_time else rightly_on)).days
    rest_fen, once_fen, penalty_fen = charge_fen - part_fen, 0, 0
    if in_time and part_fen:
        once_fen = 0 if rest_fen else found.once_fen
        of_all_fen = _half_up(charge_fen * late_fee.penalty_ppm)
        of_rest_fen = _half_up(rest_fen * late_fee.penalty_ppm)
        asked_fen = max(found.penalty_fen, of_all_fen)  # more than was posted, where that is capped
        penalty_fen = max(0, found.penalty_fen - (asked_fen - of_all_fen + of_rest_fen))
    undue_microfen = min(part_fen * late_fee.interest_ppm_per_day * days, found.interest_microfen)
    if found.owes_again_fen >= charge_fen > 0:  # all of it stood paid on days that were not counted
        own_microfen = found.interest_microfen * part_fen // charge_fen
        undue_microfen = min(undue_microfen, own_microfen)
    microfen = found.interest_microfen - undue_microfen
    cap_fen = found.amount_fen * late_fee.cap_ppm // _WHOLE
    room_fen = cap_fen + found.waived_fen + once_fen + penalty_fen - found.once_fen
    remains_fen = max(0, min(_half_up(microfen), room_fen - found.penalty_fen))
    return _Kinds(once_fen, penalty_fen, max(0, found.interest_fen - remains_fen), microfen)


def _half_up(microfen: int) -> int:
    return (microfen + _WHOLE // 2) // _WHOLE
