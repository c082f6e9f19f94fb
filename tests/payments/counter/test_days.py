"""Agents' day files: what happened is booked, and what differs is named."""

import io
from datetime import timedelta
from typing import Any

import pytest

from billing.documents.barcodes import barcode_digits
from billing.late_fees import assess
from core.clock import billing_date
from core.db import transaction
from core.errors import SettlementFileError
from payments.counter.models import CashState, CounterPayment
from payments.gateways.counter import Counter
from payments.reconciliation.breaks import list_breaks
from payments.reconciliation.gateway import matching
from tests.factories import MONTH, NOW, a_home, a_paid_payment, the_bill, the_terms, violations
from tests.payments.counter.test_over_the_counter import barcode, give_back, tell

pytestmark = pytest.mark.usefixtures("city")
DAY = billing_date(NOW)
HEAD = "agent,kind,agent_txn_no,barcode,amount,happened_at,return_no"
AT = "2026-11-20T12:00:00+08:00"


def row(
    code: str, number: str, amount: str = "86.50", *, agent: str = "family", at: str = AT
) -> str:
    return f"{agent},payment,{number},{code},{amount},{at},"


def given_back(code: str, number: str, return_no: str | None) -> str:
    return f"family,return,{number},{code},-86.50,{AT},{return_no}"


def a_file(*rows: str) -> bytes:
    fen = sum(int(row.split(",")[4].replace(".", "")) for row in rows)
    whole = [f"#COUNTER DAY,{DAY}", HEAD, *rows, f"#TOTAL,{len(rows)},{fen // 100}.{fen % 100:02d}"]
    return "\n".join(whole).encode()


def run(*rows: str, **changes: Any) -> matching.ReconciliationResult:
    with transaction() as session:
        return matching.reconcile(
            session, Counter(), io.BytesIO(a_file(*rows)), day=DAY, file_name="day.csv",
            now=changes.get("now", NOW),
        )  # fmt: skip


def cash(agent: str, number: str) -> CounterPayment | None:
    with transaction() as session:
        return session.get(CounterPayment, (agent, number))


def test_what_we_were_told_and_what_the_file_says_agree():
    held, double = a_home(), a_home()
    tell(barcode(held), "1")
    a_paid_payment(double)
    tell(barcode(double), "2")
    back = give_back("2")

    found = run(
        row(barcode(held), "1"), row(barcode(double), "2"),
        given_back(barcode(double), "2", back.return_no),
    )  # fmt: skip

    assert (found.matched, found.breaks) == (3, 0)
    assert violations() == []


def test_cash_the_agent_could_not_tell_of_is_booked_from_the_file_once():
    home = a_home()
    rows = (row(barcode(home), "1"), row(barcode(home), "1", agent="bank"))

    first, again = run(*rows), run(*rows)

    assert (first.matched, first.breaks) == (again.matched, again.breaks) == (2, 0)
    booked, double = cash("family", "1"), cash("bank", "1")
    assert booked is not None
    assert double is not None
    assert (booked.state, booked.received_via) == (CashState.BOOKED, "file")
    assert (double.state, double.reason) == (CashState.SUSPENDED, "paid")
    assert the_bill(home.refs[0]).open_fen == 0
    assert violations() == []


def test_a_file_taken_in_again_years_later_changes_nothing():  # rule 48
    home = a_home()
    first = run(row(barcode(home), "1"))

    again = run(row(barcode(home), "1"), now=NOW + timedelta(days=700))

    assert (again.matched, again.breaks) == (first.matched, first.breaks) == (1, 0)
    assert violations() == []


def test_what_only_one_side_knows_of_is_named():
    ours, theirs = a_home(), barcode_digits("9001", "4711", MONTH, 8_650)
    tell(barcode(ours), "1")

    found = run(row(theirs, "2"))

    assert (found.missing_at_gateway, found.missing_here) == (1, 1)
    with transaction() as session:
        breaks = list_breaks(session, "counter", DAY)
    assert [one.reference for one in breaks] == ["CAfamily-1", "CAfamily-2"]


def test_another_amount_than_we_were_told_is_a_break_and_changes_nothing():
    home = a_home()
    tell(barcode(home), "1")

    found = run(row(barcode(home), "1", "86.60"))

    assert (found.amount_differs, found.matched) == (1, 0)
    assert the_bill(home.refs[0]).paid_fen == 8_650


def test_the_cash_of_another_day_refuses_the_file_with_its_line():
    home = a_home()

    with pytest.raises(SettlementFileError) as refused:
        run(row(barcode(home), "1"), row(barcode(home), "2", at="2026-11-19T12:00:00+08:00"))

    assert refused.value.line_no == 4
    assert cash("family", "1") is None
    assert the_bill(home.refs[0]).open_fen == 8_650


def test_a_late_fee_counted_since_is_not_asked_of_who_paid_in_time():  # rule 20
    home = a_home(due_on=DAY)
    the_terms("water", "[late_fee]\nonce_fen = 500")
    later = NOW + timedelta(days=2)
    assess("water", DAY + timedelta(days=1), now=later)
    assert the_bill(home.refs[0]).open_fen == 9_150

    found = run(row(barcode(home), "1"), now=later)

    assert (found.matched, found.breaks) == (1, 0)
    assert the_bill(home.refs[0]).open_fen == 0
    assert violations() == []
