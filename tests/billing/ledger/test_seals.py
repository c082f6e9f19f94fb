"""Seals: recomputed by hand from the recipe, and broken by every way of changing what is sealed."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlmodel import Session

from billing.ledger import checks as ledger_checks
from billing.ledger.days import close_day
from billing.ledger.models import LedgerDay
from core import db
from core.clock import day_bounds
from payments.verification import verify
from tests.billing.ledger.test_days import (
    SUBJECT,
    THURSDAY,
    TODAY,
    TUESDAY,
    WEDNESDAY,
    a_move,
    broken,
    close,
    post,
)
from tests.conftest import empty_city
from tests.factories import NOW


def seal_by_hand(session: Session, day: date) -> str:
    """The recipe of docs/ledger.md, followed by somebody without our code."""
    epoch = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

    def micros(moment: datetime) -> int:
        return (moment - epoch) // timedelta(microseconds=1)

    start, after = day_bounds(day)
    rows = session.execute(
        text("SELECT * FROM ledger_transfer WHERE posted_at >= :start AND posted_at < :after"),
        {"start": start, "after": after},
    ).all()
    parts: dict[int, list[tuple[tuple[int, int, bytes], bytes]]] = {}
    for row in rows:
        line = (
            f"{row.account_id} {row.subject_id} {row.debit_account_id} {row.credit_account_id} "
            f"{row.amount_fen} {row.posted_on.isoformat()} {micros(row.posted_at)} {row.entry_key}"
        )
        key = row.account_id, row.subject_id, row.entry_key.encode()
        digest = hashlib.sha256(line.encode()).digest()
        parts.setdefault((row.account_id ^ row.subject_id) & 255, []).append((key, digest))
    closed = session.execute(text("SELECT * FROM ledger_day WHERE day = :day"), {"day": day}).one()
    who = closed.closed_by.encode()
    page = (
        f"citybill ledger day 1\nday {day.isoformat()}\n"
        f"before {closed.before_sha256.hex() if closed.before_sha256 else '-'}\n"
        f"closed {micros(closed.closed_at)} {len(who)}:{who.decode()}\n"
        f"transfers {len(rows)} {sum(row.amount_fen for row in rows)}\n"
    )
    for part_no, found in sorted(parts.items()):
        digest = hashlib.sha256(b"".join(digest for _, digest in sorted(found))).hexdigest()
        page += f"part {part_no} {len(found)} {digest}\n"
    accounts = session.execute(
        text("SELECT b.*, a.code FROM ledger_day_balance b "
             "JOIN ledger_account a ON a.id = b.ledger_account_id "
             "WHERE b.day = :day ORDER BY b.ledger_account_id"), {"day": day},
    )  # fmt: skip
    for one in accounts:
        page += (
            f"account {one.ledger_account_id} {one.debit_fen} {one.credit_fen} "
            f"{one.total_debit_fen} {one.total_credit_fen} {len(one.code.encode())}:{one.code}\n"
        )
    return hashlib.sha256(page.encode()).hexdigest()


@pytest.mark.usefixtures("city")
class TestSeal:
    @pytest.fixture(autouse=True)
    def _three_days(self, city):
        keys = ("paid:1", "Paid:1", "paid 1\nfull of 空 blanks", "a" * 300, "é", "z", "_")
        for day in (TUESDAY, WEDNESDAY):
            moves = [
                a_move(f"{key}{day.day}", 10 + at, account_id=at % 3, subject_id=SUBJECT + at * 256)
                for at, key in enumerate(keys * 3)
            ]
            post(day, *{move[:3]: move for move in moves}.values())
        for day in (TUESDAY, WEDNESDAY, THURSDAY):
            close(day, closed_by="李 clerk\npart 1 1 x")

    def test_anybody_can_recompute_it_from_the_recipe(self, session):
        for day in (TUESDAY, WEDNESDAY, THURSDAY):
            assert seal_by_hand(session, day) == session.get_one(LedgerDay, day).sha256.hex()

    @pytest.mark.parametrize(
        "setting",
        ["TimeZone = 'America/Sao_Paulo'", "DateStyle = 'German, DMY'", "bytea_output = 'escape'",
         "extra_float_digits = -15", "IntervalStyle = 'iso_8601'", "lc_time = 'C'",
         "enable_indexscan = off", "work_mem = '64kB'"],
    )  # fmt: skip
    def test_a_sessions_settings_do_not_change_it(self, session, setting):
        session.execute(text(f"SET LOCAL {setting}"))

        assert list(ledger_checks.broken_seals(session)) == []


SEAL = ledger_checks.SEALS
ROLLUP = "every rollup is its day's transfers on top of the day before"
SHANGHAI = "every transfer stands on the Shanghai day it was posted"
UNCLOSED = "no transfer stands on an unclosed day before a closed one"
# Of account 2 on the Wednesday, in key order, all in one part.
KEYS = ("issued.1", "issued.2", "paid:1", "paid:2", "unpaid:2")
ROW = "account_id = 2 AND entry_key = 'paid:1' AND posted_on = '2026-11-18'"
IN_PART = f"2026-11-18, part {(2 ^ SUBJECT) & 255}: "
THE_ROW = f"transfer paid:1 of 2.{SUBJECT}"
RECORD = "2026-11-18: its record was changed"
SWAP = (
    "UPDATE ledger_transfer t SET amount_fen = o.amount_fen FROM ledger_transfer o WHERE "
    "t.posted_on = '2026-11-18' AND o.posted_on = t.posted_on AND o.account_id = t.account_id "
    "AND t.account_id = 2 AND (t.entry_key, o.entry_key) IN (('{0}', '{1}'), ('{1}', '{0}'))"
)
MOVED_AWAY = (
    f"taken out, after transfer issued.2 of 2.{SUBJECT} and before transfer paid:2 of 2.{SUBJECT}"
)
TAMPERING = {
    "an amount": (
        f"UPDATE ledger_transfer SET amount_fen = amount_fen + 1 WHERE {ROW}",
        {SEAL: f"{IN_PART}{THE_ROW} was changed", ROLLUP: "2026-11-18, account gateway:sandbox"},
    ),
    "a microsecond": (
        f"UPDATE ledger_transfer SET posted_at = posted_at + interval '1 us' WHERE {ROW}",
        {SEAL: f"{IN_PART}{THE_ROW} was changed"},
    ),
    "its day": (
        f"UPDATE ledger_transfer SET posted_on = posted_on - 1 WHERE {ROW}",
        {SEAL: f"{IN_PART}{THE_ROW} was changed", SHANGHAI: THE_ROW, ROLLUP: "2026-11-1"},
    ),
    "its moment, to another day": (
        f"UPDATE ledger_transfer SET posted_at = posted_at + interval '2 days' WHERE {ROW}",
        {SEAL: f"{IN_PART}1 {MOVED_AWAY}", SHANGHAI: THE_ROW},
    ),
    "its day and moment, to another sealed day": (
        "UPDATE ledger_transfer SET posted_on = posted_on - 1, "
        f"posted_at = posted_at - interval '1 day' WHERE {ROW}",
        {
            SEAL: f"2026-11-17, part {(2 ^ SUBJECT) & 255}: {THE_ROW} was put in",
            ROLLUP: "2026-11-1",
        },
    ),
    "its debit account": (
        "UPDATE ledger_transfer SET debit_account_id = (SELECT id FROM ledger_account "
        f"WHERE code = 'returns') WHERE {ROW}",
        {SEAL: f"{IN_PART}{THE_ROW} was changed", ROLLUP: "2026-11-18, account"},
    ),
    "its entry key, in place": (
        f"UPDATE ledger_transfer SET entry_key = 'paid:0' WHERE {ROW}",
        {SEAL: f"{IN_PART}transfer paid:0 of 2.{SUBJECT} was changed"},
    ),
    "its entry key, to another place": (
        f"UPDATE ledger_transfer SET entry_key = 'a' WHERE {ROW}",
        {SEAL: f"{IN_PART}transfer a of 2.{SUBJECT} was put in"},
    ),
    "the account it is about": (
        f"UPDATE ledger_transfer SET account_id = 200 WHERE {ROW}",
        {SEAL: f"{IN_PART}1 {MOVED_AWAY}"},
    ),
    "a row taken out": (
        f"DELETE FROM ledger_transfer WHERE {ROW}",
        {SEAL: f"{IN_PART}1 {MOVED_AWAY}", ROLLUP: "2026-11-18, account gateway:sandbox"},
    ),
    "every row of a part taken out": (
        "DELETE FROM ledger_transfer WHERE account_id = 2 AND posted_on = '2026-11-18'",
        {
            SEAL: f"{IN_PART}5 taken out, after its beginning and before its end",
            ROLLUP: "2026-11-18, account",
        },
    ),
    "a row put in": (
        "INSERT INTO ledger_transfer SELECT account_id, subject_id, 'paid:12', debit_account_id, "
        f"credit_account_id, 1, posted_on, posted_at FROM ledger_transfer WHERE {ROW}",
        {SEAL: f"{IN_PART}transfer paid:12 of 2.{SUBJECT} was put in", ROLLUP: "2026-11-18"},
    ),
    "two amounts swapped, every sum as it was": (
        SWAP.format("paid:1", "paid:2"),
        {SEAL: f"{IN_PART}{THE_ROW} was changed"},
    ),
    "the name of an account": (
        "UPDATE ledger_account SET code = 'gateway:mine' WHERE code = 'gateway:sandbox'",
        {SEAL: "2026-11-17: its record was changed, or the name of one of its accounts"},
    ),
    "the seal": (
        "UPDATE ledger_day SET sha256 = sha256('x') WHERE day = '2026-11-18'",
        {SEAL: RECORD},
    ),
    "who closed the day": (
        "UPDATE ledger_day SET closed_by = 'wang' WHERE day = '2026-11-18'",
        {SEAL: RECORD},
    ),
    "when the day was closed": (
        "UPDATE ledger_day SET closed_at = now() WHERE day = '2026-11-18'",
        {SEAL: RECORD},
    ),
    "the number of transfers": (
        "UPDATE ledger_day SET transfers = transfers + 1 WHERE day = '2026-11-18'",
        {SEAL: RECORD},
    ),
    "the day's sum": (
        "UPDATE ledger_day SET amount_fen = amount_fen + 1 WHERE day = '2026-11-18'",
        {SEAL: RECORD},
    ),
    "a link of the chain, and the seal with it": (
        "UPDATE ledger_day SET before_on = NULL, before_sha256 = NULL WHERE day = '2026-11-18'",
        {SEAL: RECORD},
    ),
    "a day taken out of the chain": (
        "DELETE FROM ledger_day WHERE day = '2026-11-18'",
        {
            SEAL: "2026-11-18: it is not closed, but parts or totals of it are there",
            UNCLOSED: "stands on 2026-11-18, which was never closed",
        },
    ),
    "a rollup's day": (
        "UPDATE ledger_day_balance SET debit_fen = debit_fen + 1 WHERE day = '2026-11-18' "
        "AND debit_fen > 0",
        {SEAL: RECORD, ROLLUP: "2026-11-18, account gateway:sandbox: rolled up "},
    ),
    "a rollup's totals": (
        "UPDATE ledger_day_balance SET total_credit_fen = total_credit_fen + 1 "
        "WHERE day = '2026-11-18'",
        {SEAL: RECORD, ROLLUP: "2026-11-1"},
    ),
    "a rollup taken out": (
        "DELETE FROM ledger_day_balance WHERE day = '2026-11-18' AND debit_fen > 0",
        {SEAL: RECORD, ROLLUP: "2026-11-1"},
    ),
    "the hash of a part": (
        "UPDATE ledger_seal_part SET sha256 = sha256('x') WHERE day = '2026-11-18'",
        {SEAL: RECORD},
    ),
    "the short hashes of a part": (
        "UPDATE ledger_seal_part SET row_digests = sha256(row_digests) || '\\x0123456789abcdef' "
        f"WHERE day = '2026-11-18' AND part_no = {(2 ^ SUBJECT) & 255}",
        {SEAL: f"{IN_PART}its transfers are as they were sealed, the short hashes"},
    ),
    "a part taken out": (
        "DELETE FROM ledger_seal_part WHERE day = '2026-11-18'",
        {SEAL: RECORD},
    ),
}  # fmt: skip


@contextmanager
def unguarded() -> Iterator[Session]:
    """A superuser's hands, and everything as it was afterwards."""
    with db.engine().connect() as connection, Session(connection) as session:
        session.execute(text("SET LOCAL ROLE NONE"))
        session.execute(text("SET LOCAL session_replication_role = replica"))
        # No trigger stops them, and a constraint is theirs to drop.
        session.execute(
            text("ALTER TABLE ledger_transfer DROP CONSTRAINT ck_ledger_transfer_its_own_day")
        )
        yield session
        session.rollback()


@pytest.fixture(scope="module")
def _sealed_books(database_url: str) -> Iterator[None]:
    for day in (TUESDAY, WEDNESDAY, THURSDAY):
        moves = [
            a_move(f"{key}" if day == WEDNESDAY else f"{key}.{day.day}", 100 * about + at,
                   account_id=about)
            for about in range(1, 5) for at, key in enumerate(KEYS)
        ]  # fmt: skip
        post(day, *moves, a_move(f"returned.{day.day}", 1, debit="returns"))
        close(day)
    post(TODAY, a_move("paid:77"))
    yield
    empty_city()


@pytest.mark.usefixtures("_sealed_books")
class TestTampering:
    @pytest.mark.parametrize("what", TAMPERING)
    def test_it_is_found_and_named(self, what):
        statement, named = TAMPERING[what]
        with unguarded() as session:
            changed = session.execute(text(statement.replace(":", "\\:")))
            assert changed.rowcount > 0  # type: ignore[attr-defined]
            found = {check.name: check for check in verify(session)}
            seals = list(ledger_checks.broken_seals(session))

        ledgers = {*ledger_checks.INVARIANTS, SEAL}
        assert {name for name in ledgers if not found[name].ok} == set(named)
        for name, words in named.items():
            said = seals if name == SEAL else [found[name].detail]
            assert [one for one in said if words in one], said

    def test_untouched_they_hold(self):
        assert broken() == []

    def test_a_thief_who_seals_anew_breaks_the_chain(self):
        """Every hash of the day is made anew; the day after still holds the old one."""
        with unguarded() as session:
            session.execute(text(f"DELETE FROM ledger_transfer WHERE {ROW}".replace(":", "\\:")))
            kept = [dict(row._mapping) for row in session.execute(
                text("DELETE FROM ledger_day WHERE day > '2026-11-17' RETURNING *"))]  # fmt: skip
            for table in ("ledger_day_balance", "ledger_seal_part"):
                session.execute(text(f"CREATE TEMP TABLE kept_{table} AS SELECT * FROM {table}"))
                session.execute(text(f"DELETE FROM {table} WHERE day > '2026-11-17'"))
            close_day(session, WEDNESDAY, closed_by="li", now=NOW)
            session.flush()
            after = next(row for row in kept if row["day"] == THURSDAY)
            session.execute(LedgerDay.__table__.insert(), [after])  # type: ignore[attr-defined]
            for table in ("ledger_day_balance", "ledger_seal_part"):
                session.execute(text(f"INSERT INTO {table} SELECT * FROM kept_{table} "
                                     f"WHERE day > '2026-11-18'"))  # fmt: skip
            found = list(ledger_checks.broken_seals(session))

        assert found == [
            "2026-11-19: the chain is broken: it follows another seal than that of the day before"
        ]

    def test_a_day_rewritten_whole_is_told_by_its_parts(self):
        with unguarded() as session:
            session.execute(text("UPDATE ledger_transfer SET account_id = account_id * 8 + 1"))
            session.execute(
                text("INSERT INTO ledger_transfer SELECT n, subject_id, 'new', 1, 2, 1, posted_on, "
                     "posted_at FROM ledger_transfer, generate_series(101, 140) n "
                     "WHERE entry_key = 'paid\\:1' AND account_id = 9")
            )  # fmt: skip
            found = [one for one in ledger_checks.broken_seals(session) if "2026-11-18" in one]

        assert any("was put in" in one for one in found)
        assert "1 transfers do not hash to what 0 were sealed to" in found[-1]
