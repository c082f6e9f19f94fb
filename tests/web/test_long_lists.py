"""The console's lists at a quarter of a million rows: any page reads about a page's worth.

The database itself counts, in rows and not in milliseconds, so that a busy machine fails nobody.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import text
from sqlmodel import Session

from billing.files.bill_files import FileFilter, list_bill_files
from billing.models import BillFileStatus
from core.db import transaction
from identity import audit, colleagues
from identity.audit import Deed, Subject
from payments.reconciliation.gateway import arrivals
from payments.reconciliation.gateway import days as day_list
from payments.reconciliation.gateway.arrivals import ArrivalFilter, ArrivalPlace
from payments.reconciliation.gateway.days import DayState, Place
from payments.reconciliation.models import Leg
from payments.returns.lists import (
    ChargebackFilter,
    RefundFilter,
    find_chargebacks,
    find_refunds,
)
from payments.returns.models import RefundStatus
from tests.conftest import NOW, as_owner, empty_city

ROWS = 250_000
TODAY = NOW.date()
OLD = TODAY - timedelta(days=60)
PAGE = 51
ENOUGH = 6 * PAGE  # of each table; a day of 250 sources is sorted whole

FILL = (
    """INSERT INTO person (role, name, contact, locale, created_at)
       SELECT 'staff', 'n' || n, '+86138' || n, 'zh_CN', :now FROM generate_series(1, :rows) n""",
    """INSERT INTO audit_entry (at, person_id, what, subject_kind, subject_id, detail)
       SELECT :now - n * interval '34 seconds', 1 + n % 50,
              (ARRAY['resident_seen', 'signed_in', 'list_exported'])[1 + n % 3],
              'person', n % 9973, '{}' FROM generate_series(1, :rows) n""",
    """INSERT INTO bill_file (provider_code, sha256, file_name, size_bytes, received_via,
           received_at, status, status_at, rows, rows_done, created, unchanged, superseded,
           cancelled, rejected, total_fen)
       SELECT (ARRAY['water', 'power', 'gas'])[1 + n % 3], n, 'f', 1, 'api',
              :now - n * interval '34 seconds', CASE WHEN n % 500 = 0 THEN 'importing'
              ELSE 'imported' END, :now, 0, 0, 0, 0, 0, 0, 0, 0 FROM generate_series(1, :rows) n""",
    """INSERT INTO payment (id, order_no, gateway, amount_fen, status, created_at, status_at,
           expires_at, payer_id, return_url)
       SELECT n, 'P' || n, 'sandbox', 100, 'created', :now, :now, :now, 1, ''
       FROM generate_series(1, :rows) n""",
    """INSERT INTO refund (refund_no, payment_id, account_id, bill_id, amount_fen, reason, status,
           requested_at)
       SELECT 'R' || n, n, 1, 1, 100, 'x', CASE WHEN n % 500 = 0 THEN 'pending'
              ELSE 'by_transfer' END, :now - n * interval '34 seconds'
       FROM generate_series(1, :rows) n""",
    """INSERT INTO chargeback (id, gateway, dispute_ref, payment_id, amount_fen, fee_fen,
           fee_returned_fen, bills_fen, waiting_fen, service_fee_fen, service_tax_fen, borne_fen,
           state, opened_at, evidence_due_at, decided_at)
       SELECT n, 'sandbox', n, n, 100, 0, 0, 0, 0, 0, 0, 0,
              CASE WHEN n % 500 = 0 THEN 'open' ELSE 'won' END,
              :now - n * interval '34 seconds', CASE WHEN n % 1000 = 0 THEN :now END,
              CASE WHEN n % 500 <> 0 THEN :now END
       FROM generate_series(1, :rows) n""",
    """INSERT INTO reconciliation (source, day, settlement_file_id, matched, our_count,
           their_count, our_total_fen, their_total_fen, fee_total_fen, run_at)
       SELECT 'gateway' || n % 250, :today - n / 250, 1, 1, 1, 1, 1, 1, 0, :now
       FROM generate_series(1, :rows) n""",
    """INSERT INTO settlement_arrival (source, day, state, due_at)
       SELECT 'gateway' || n % 250, :today - n / 250, 'waiting', :now
       FROM generate_series(1, :rows) n""",
    """INSERT INTO confirmation_arrival (provider_code, day, state, due_at)
       SELECT 'company' || n % 250, :today - n / 250, 'waiting', :now
       FROM generate_series(1, :rows) n""",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _full(database_url: str) -> Iterator[None]:
    with as_owner(unguarded=True) as connection:
        for statement in FILL:
            connection.execute(text(statement), {"now": NOW, "today": TODAY, "rows": ROWS})
        connection.execute(text("ANALYZE"))
    yield
    empty_city()


_READ = text("""
    SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables
    WHERE schemaname = 'public' AND seq_tup_read + coalesce(idx_tup_fetch, 0) > 0
""")


def rows_read(session: Session) -> Counter[str]:
    """How many rows of each table this connection has read of late."""
    return Counter({name: rows for name, rows in session.execute(_READ)})  # noqa: C416  no pairs


CASES = [
    *((audit.find_entries, wanted, 200_000) for wanted in (
        audit.Wanted(), audit.Wanted(person_id=3), audit.Wanted(what=Deed.SIGNED_IN),
        audit.Wanted(subject=Subject("person", "7")), audit.Wanted(last_on=OLD),
        audit.Wanted(person_id=3, last_on=OLD),
    )),
    *((list_bill_files, wanted, 200_000) for wanted in (
        FileFilter(), FileFilter(provider_code="gas"), FileFilter(last_on=OLD),
        FileFilter(status=BillFileStatus.IMPORTING),
    )),
    *((find_refunds, wanted, "R200000") for wanted in (
        RefundFilter(), RefundFilter(status=RefundStatus.PENDING), RefundFilter(last_on=OLD),
        RefundFilter(automatic=True),
    )),
    *((find_chargebacks, wanted, 200_000) for wanted in (
        ChargebackFilter(), ChargebackFilter(state=None),
    )),
    *((partial(arrivals.list_arrivals, now=NOW), wanted, ArrivalPlace(OLD, Leg.COMPANY, "company3"))
      for wanted in (ArrivalFilter(), ArrivalFilter(last_on=OLD), ArrivalFilter("gateway7"))),
    *((partial(day_list.list_days, gateways=["sandbox"], today=TODAY), wanted,
       Place(OLD, "gateway3"))
      for wanted in (
        day_list.Wanted(), day_list.Wanted(state=DayState.BALANCED), day_list.Wanted(last_on=OLD),
        day_list.Wanted(source="gateway7"),
    )),
    (colleagues.find_colleagues, colleagues.Wanted(), 99_000),
]  # fmt: skip


@pytest.mark.parametrize(("find", "wanted", "far_on"), CASES)
def test_a_page_reads_about_a_pages_worth(find, wanted, far_on):
    for after in (None, far_on):
        with transaction() as session:
            before = rows_read(session)
            assert find(session, wanted, after=after, limit=PAGE)
            read = rows_read(session) - before

        assert max(read.values()) <= ENOUGH, (after, read)
