"""The console's first page looks at what waits and at sums, and never at all there ever was."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.clock import billing_date
from core.db import transaction
from payments.figures import attention, today_figures
from payments.reconciliation import standing
from payments.reconciliation.models import BreakKind
from payments.reconciliation.repair import workbench
from payments.takings import days_taken, sum_up, taken_by_now
from tests.conftest import NOW, as_owner
from tests.plans import most_looked_at

pytestmark = pytest.mark.usefixtures("city")
MANY = 40_000
TODAY = billing_date(NOW)


@pytest.fixture
def many():
    """A fortnight of payments of two gateways, and as many differences nobody has explained."""
    values = {"now": NOW, "many": MANY}
    with as_owner(unguarded=True) as connection:
        connection.execute(
            text("""
                INSERT INTO payment (id, payer_id, gateway, order_no, return_url, amount_fen,
                                     status, paid_at, created_at, status_at, expires_at)
                SELECT n, n, CASE WHEN n % 3 = 0 THEN 'alipay' ELSE 'sandbox' END, n, '',
                       100 + n % 20000, 'paid', at, at, at, at
                FROM generate_series(1, :many) n,
                     LATERAL (SELECT CAST(:now AS timestamptz) - n * interval '30 seconds' AS at) t
            """),
            values,
        )
        connection.execute(
            text("""
                INSERT INTO reconciliation_break (leg, source, day, kind, row_kind, reference,
                                                  found_at, due_at, state, ours_fen)
                SELECT 'gateway', 'sandbox', '2026-11-20', 'missing_at_gateway', 'payment', n,
                       CAST(:now AS timestamptz) - n % 10 * interval '1 day', :now, 'open', 1
                FROM generate_series(1, :many) n
            """),
            values,
        )
        connection.execute(text("ANALYZE payment, reconciliation_break"))
    yield
    with as_owner(unguarded=True) as connection:
        for table in ("payment", "reconciliation_break"):
            connection.execute(text(f"DELETE FROM {table}"))
        connection.execute(text("ANALYZE payment, reconciliation_break"))


def test_no_statement_of_today_looks_at_every_payment_or_difference(many, monkeypatch):
    monkeypatch.setattr(workbench, "MOST", 500)
    with transaction() as session:
        sum_up(session, now=NOW)

    def look(session: Session) -> None:
        attention(session, gateways=["sandbox", "alipay"], today=TODAY)
        today_figures(session)
        days_taken(session, TODAY, days=14)
        taken_by_now(session, (1, 7), now=NOW)
        workbench.glance(session, now=NOW)
        standing.matched_on(session, TODAY - timedelta(days=1))

    assert most_looked_at(look) < 4_000


def test_sums_change_no_figure(many):
    with transaction() as session:
        before = days_taken(session, TODAY, days=20), taken_by_now(session, (1, 7), now=NOW)
        sum_up(session, now=NOW)
        assert session.execute(text("SELECT count(*) FROM taking_hour")).scalar_one() > 600

        assert (days_taken(session, TODAY, days=20), taken_by_now(session, (1, 7), now=NOW)) == (
            before
        )


def test_differences_are_counted_as_far_as_the_page_tells_and_no_further(many, monkeypatch):
    with transaction() as session:
        (counted,) = workbench.glance(session, now=NOW)
        monkeypatch.setattr(workbench, "MOST", MANY)
        every = workbench.count_open(session, workbench.Filter(), now=NOW)
        assert workbench.glance(session, now=NOW) == every

    # A tenth of them each day: today's is 4,000, three days' 12,000, older ones 24,000.
    assert counted == workbench.Counted(BreakKind.MISSING_AT_GATEWAY, 4_000, 10_000, 10_000)
    assert every == [workbench.Counted(BreakKind.MISSING_AT_GATEWAY, 4_000, 12_000, 24_000)]
