"""A city of households with two years of bills, and some of their people signed in.

Made set-based, without triggers and foreign keys, by the owner of the database. Of every nine
accounts five belong to one household and four to the next, each of another company (the fifth is a
second telephone). Bills older than last month are paid; of the last three of those the payments
are there, too. Last month's and this month's are to be paid.
"""

import random
from datetime import date
from typing import Any, NamedTuple

import psycopg

from cli.demo import TERMS
from core.clock import add_months
from core.crypto import fingerprint
from core.keys import month_key, month_range

MONTHS = 24
SIGNED_IN = 2_000
_PAID_MONTHS = 3
_STEP = 100_000  # accounts at once: their bills of a month fit into memory
_COMPANY = """(ARRAY['water', 'power', 'gas', 'telecom', 'telecom',
                     'water', 'power', 'gas', 'telecom'])[1 + a %% 9]"""
_HOUSEHOLD = "1 + a * 2 / 9"
_FEN = "3000 + (a * 7919 + %(at)s * 104729) %% 27000"
_EACH = "generate_series(%(start)s::bigint, %(stop)s::bigint - 1) a"

_PEOPLE = """
    INSERT INTO person (role, name, contact, locale, created_at)
    SELECT 'resident', '王珅' || h, 'bench' || h, 'zh_CN', now()
    FROM generate_series(1, %(households)s) h;
    INSERT INTO person (role, name, contact, locale, created_at)
    VALUES ('staff', 'bench', 'bench-a', 'zh_CN', now()),
           ('staff', 'bench', 'bench-b', 'zh_CN', now());
    INSERT INTO household (name, created_at)
    SELECT '王珅' || h || '的家', now() FROM generate_series(1, %(households)s) h;
    INSERT INTO household_member (household_id, person_id, role)
    SELECT h, h, 'manage' FROM generate_series(1, %(households)s) h;
"""
_ACCOUNTS = f"""
    INSERT INTO utility_account (id, provider_code, account_no, holder_name, address, created_at)
    OVERRIDING SYSTEM VALUE
    SELECT a + 1, {_COMPANY}, lpad(a::text, 10, '0'), '王珅' || a,
           '上海市黄浦区汉口路' || a %% 900 || '弄' || a %% 60 || '号', now()
    FROM {_EACH};
    INSERT INTO household_account (household_id, account_id, bound_at)
    SELECT {_HOUSEHOLD}, a + 1, now() FROM {_EACH};
"""
_BILLS = f"""
    INSERT INTO bill (account_id, id, bill_file_id, amount_fen, paid_fen, written_off_fen,
                      recorded_at, billing_month, period_from_on, period_to_on, issued_on, due_on,
                      file_line_no, version, usage, bill_no, usage_unit, items)
    SELECT a + 1, %(first)s + a, 1, fen, CASE WHEN %(paid)s THEN fen ELSE 0 END,
           CASE WHEN %(paid)s THEN fen ELSE 0 END, now(), %(month)s, %(month)s,
           %(issued)s::date - 1, %(issued)s, %(issued)s::date + 40, 1, 1, fen / 225.0,
           to_char(%(month)s::date, 'YYYYMM') || lpad(a::text, 10, '0'), 'm³',
           json_build_array(json_build_array('第一阶梯', (fen / 225)::text, 'm³', fen * 5 / 9),
                            json_build_array('排水费', (fen / 225)::text, 'm³', fen - fen * 5 / 9))
    FROM (SELECT a, {_FEN} AS fen FROM {_EACH}) AS one;
"""
_PAYMENTS = f"""
    INSERT INTO payment (id, payer_id, gateway, order_no, gateway_ref, return_url, amount_fen,
                         status, created_at, status_at, expires_at, paid_at)
    SELECT %(first)s + a, {_HOUSEHOLD}, 'sandbox', 'CB' || %(first)s + a, 'sbx' || %(first)s + a,
           '', {_FEN}, 'paid', now(), now(), now(), now()
    FROM {_EACH};
    INSERT INTO payment_item (payment_id, account_id, bill_id, amount_fen, write_off_no, outcome,
                              outcome_at)
    SELECT %(first)s + a, a + 1, %(first)s + a, {_FEN}, 'W' || %(first)s + a, 'written_off', now()
    FROM {_EACH};
"""
_TERMS = """
    INSERT INTO provider_terms (provider_code, effective_on, content, reason, proposed_by,
                                proposed_at, approved_by, approved_at)
    VALUES (%(code)s, '2020-01-01', %(content)s, 'bench', %(proposer)s, now(), %(approver)s, now())
"""


class Reader(NamedTuple):
    """Somebody who is signed in, and their bills."""

    token: str
    bills: list[str]


def build(url: str, bills: int, *, this_month: date) -> int:
    """Fill an empty city; returns how many bills it has."""
    accounts = bills // MONTHS // 9 * 9 or 9
    households = accounts * 2 // 9
    months = [add_months(this_month, -back) for back in range(MONTHS)]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET synchronous_commit = off")
        for month in months:
            connection.execute("SELECT make_month(%s, %s, %s)", _partition(month))
        _run(connection, _PEOPLE, {"households": households})
        for path in sorted(TERMS.glob("*.toml")):
            values = {"code": path.stem, "content": path.read_text(encoding="utf-8"),
                      "proposer": households + 1, "approver": households + 2}  # fmt: skip
            connection.execute(_TERMS, values)
        for start in range(0, accounts, _STEP):
            stop = min(start + _STEP, accounts)
            _run(connection, _ACCOUNTS, {"start": start, "stop": stop})
            for at, month in enumerate(months):
                values = {
                    "start": start, "stop": stop, "at": at, "first": month_key(month, 1),
                    "month": month, "issued": add_months(month, 1), "paid": at > 1,
                }  # fmt: skip
                _run(connection, _BILLS, values)
                if 1 < at < 2 + _PAID_MONTHS:
                    _run(connection, _PAYMENTS, values)
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    return accounts * MONTHS


def sign_in(url: str, *, this_month: date, seed: int = 7) -> list[Reader]:
    """Sign some of the people in, drawn from all over the city."""
    months = [add_months(this_month, -back) for back in range(MONTHS)]
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT household_id, array_agg(account_id ORDER BY account_id) FROM household_account"
            " GROUP BY household_id ORDER BY household_id"
        ).fetchall()
        drawn = random.Random(seed).sample(found, min(SIGNED_IN, len(found)))  # noqa: S311
        readers = []
        for household, accounts in drawn:
            token = f"bench{household}"
            readers.append(
                Reader(token, [
                    f"{account}.{month_key(month, account)}"
                    for account in accounts for month in months
                ])
            )  # fmt: skip
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO web_session (token_hash, person_id, csrf, created_at, seen_at)"
                " VALUES (%s, %s, 'c', now(), now())",
                [(fingerprint(f"bench{household}"), household) for household, _ in drawn],
            )
        connection.execute("ANALYZE web_session")
    return readers


def _partition(month: date) -> tuple[str, int, int]:
    return f"y{month:%Ym%m}", *month_range(month)


def _run(connection: psycopg.Connection[Any], statements: str, values: dict[str, object]) -> None:
    for statement in filter(str.strip, statements.split(";")):
        connection.execute(statement.encode(), values)
