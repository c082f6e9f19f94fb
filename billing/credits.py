"""What a company owes a resident covers what the resident owes the company.

A negative bill is a *credit*. It covers open bills of the same account in the company's declared
order (rule 9); what is left of it stays visible on it (rule 8) and covers the next bill that comes.
A bill that a payment holds is left alone until a later round.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Row, text
from sqlmodel import Session

from billing.files.bill_files import get_bill_file
from billing.ledger import books, postings
from billing.rules.apportionment import Claim, consume_credits
from billing.rules.terms import Credits
from billing.terms import terms_on
from core import outbox
from core.clock import billing_date
from core.db import connection, transaction
from core.errors import AmountMismatch

CHUNK_ACCOUNTS = 500


class Consumed(NamedTuple):
    """How many times a credit covered a bill, and how much of it in all."""

    pairs: int
    fen: int


_OF_CREDIT = "c.amount_fen + c.adjusted_fen - c.paid_fen - c.credited_fen"
_OF_DEBT = "d.amount_fen + d.adjusted_fen - d.paid_fen - d.credited_fen"

# Few bills are negative, so the database is asked for those, and then who among them has a bill in
# this file and owes something.
_FIND = text(f"""
    INSERT INTO crediting
    SELECT DISTINCT c.account_id
    FROM bill c
    WHERE c.amount_fen < 0 AND {_OF_CREDIT} < 0 AND c.cancelled_at IS NULL
      AND EXISTS (SELECT FROM bill f
                  WHERE f.account_id = c.account_id AND f.bill_file_id = :bill_file_id)
      AND EXISTS (SELECT FROM bill d
                  WHERE d.account_id = c.account_id AND {_OF_DEBT} > 0 AND d.cancelled_at IS NULL)
""")  # noqa: S608  our own text above


def consume_file(bill_file_id: int, *, now: datetime) -> Consumed:
    """Cover what can be covered on the accounts that have a bill in a file.

    Works chunk by chunk in transactions of its own; again changes nothing.
    """
    pairs = fen = 0
    with connection() as held:
        with transaction(on=held) as session:
            provider_code = get_bill_file(session, bill_file_id).provider_code
            if not terms_on(session, provider_code, billing_date(now)).credits.consume:
                return Consumed(0, 0)
            session.execute(text("DROP TABLE IF EXISTS pg_temp.crediting"))
            session.execute(text("CREATE TEMPORARY TABLE crediting (account_id bigint)"))
            session.execute(_FIND, {"bill_file_id": bill_file_id})
        while True:
            with transaction(on=held) as session:
                account_ids = session.execute(_TAKE, {"limit": CHUNK_ACCOUNTS}).scalars().all()
                if not account_ids:
                    session.execute(text("DROP TABLE pg_temp.crediting"))
                    return Consumed(pairs, fen)
                done = consume(session, account_ids, provider_code=provider_code, now=now)
            pairs, fen = pairs + done.pairs, fen + done.fen


_TAKE = text("""
    DELETE FROM crediting
    WHERE account_id IN (SELECT account_id FROM crediting ORDER BY account_id LIMIT :limit)
    RETURNING account_id
""")

# Locked as they are now; whoever holds one for a payment, or has covered it, was there first.
_LOCK = text(f"""
    SELECT d.account_id, d.id, d.billing_month, d.due_on, d.credited_fen, {_OF_DEBT} AS open_fen,
           greatest(least({_OF_DEBT}, d.amount_fen - d.paid_fen - d.credited_fen), 0) AS charge_fen
    FROM bill d JOIN utility_account a ON a.id = d.account_id
    WHERE d.account_id = ANY(:account_ids) AND a.provider_code = :provider_code
      AND {_OF_DEBT} <> 0 AND d.cancelled_at IS NULL AND d.held_by IS NULL
    ORDER BY d.account_id, d.id
    FOR UPDATE OF d
""")  # noqa: S608  our own text above

_COVER = text("""
    UPDATE bill b SET credited_fen = b.credited_fen + u.fen
    FROM unnest(CAST(:account_ids AS bigint[]), CAST(:bill_ids AS bigint[]),
                CAST(:fens AS bigint[])) AS u (account_id, id, fen)
    WHERE b.account_id = u.account_id AND b.id = u.id
""")


def consume(
    session: Session, account_ids: Sequence[int], *, provider_code: str, now: datetime
) -> Consumed:
    """Let the credits of some accounts of a company cover their open bills.

    Raises:
        AmountMismatch: the ledger has such a posting already; nothing is covered.
    """
    order = terms_on(session, provider_code, billing_date(now)).credits
    if not order.consume:
        return Consumed(0, 0)
    wanted = {"account_ids": list(account_ids), "provider_code": provider_code}
    moves: list[books.Move] = []
    changed: dict[postings.Key, int] = {}
    pairs = fen = 0
    found = session.execute(_LOCK, wanted).all()
    covered = {(bill.account_id, bill.id): bill.credited_fen for bill in found}
    for _, bills in groupby(found, key=lambda bill: bill.account_id):
        for credit, debt, part_fen in _cover(list(bills), order):
            moves += postings.credited(
                debt, credit, provider_code, part_fen,
                debt_from_fen=covered[debt], spent_fen=-covered[credit],
            )  # fmt: skip
            for key, change_fen in ((debt, part_fen), (credit, -part_fen)):
                covered[key] += change_fen
                changed[key] = changed.get(key, 0) + change_fen
            pairs, fen = pairs + 1, fen + part_fen
    if pairs:
        _write(session, moves, changed, now=now)
        outbox.emit(session, "credits.consumed", provider_code, now=now, pairs=pairs, fen=fen)
    return Consumed(pairs, fen)


def _cover(
    bills: Sequence[Row[Any]], order: Credits
) -> list[tuple[postings.Key, postings.Key, int]]:
    """Return (credit, debt, fen) for the bills of one account."""
    credits = [_claim(bill, bill.open_fen) for bill in bills if bill.open_fen < 0]
    debts = [_claim(bill, bill.charge_fen) for bill in bills if bill.open_fen > 0]
    return consume_credits(credits, debts, order.order) if credits and debts else []


def _claim(bill: Row[Any], charge_fen: int) -> Claim:
    return Claim(
        key=(bill.account_id, bill.id), billing_month=bill.billing_month, due_on=bill.due_on,
        charge_fen=charge_fen, late_fee_fen=bill.open_fen - charge_fen,
    )  # fmt: skip


def _write(
    session: Session, moves: list[books.Move], changed: dict[postings.Key, int], *, now: datetime
) -> None:
    if books.post(session, moves, now=now) != len(moves):
        raise AmountMismatch("a credit was given before, off its bill", code="ledger.conflict")
    session.execute(
        _COVER,
        {
            "account_ids": [key[0] for key in changed],
            "bill_ids": [key[1] for key in changed],
            "fens": list(changed.values()),
        },
    )
