"""What the demo's residents paid in earlier months: cash at the corner shop, on its day.

The companies' far side is told, so that it asks for no bill that we show as paid; and each day is
reconciled with the shop's file of it.
"""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Collection
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from billing.bills import parse_ref
from billing.views import BillView
from cli.demo_counters import SHOP
from core.clock import BILLING_ZONE, day_bounds
from core.db import transaction
from core.money import yuan_text
from payments.checkout import create_payment
from payments.counter.models import CounterPayment
from payments.counter.over_the_counter import Cash, take
from payments.gateways.counter import CODE, COLUMNS, TITLE, Counter, order_code
from payments.models import list_items
from payments.quotes import Wanted
from payments.reconciliation.gateway import matching
from payments.write_offs import book, prepare
from providers.base import WriteOffOrder, WriteOffOutcome, WriteOffReply


def simulate(*arguments: str, told: str = "") -> str:
    """Run the simulator, which we talk to but never import."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "simulator", *arguments],
        input=told,
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    return done.stdout


def pay_in_cash(person_id: int, bill: BillView, amount_fen: int, *, at: datetime) -> list[str]:
    """Pay a bill at the shop; returns the numbers under which its company is to be told."""
    wanted = Wanted(parse_ref(bill.ref), bill.open_fen, amount_fen=amount_fen)
    with transaction() as session:
        payment, _ = create_payment(
            session, payer_id=person_id, wanted=[wanted], gateway=CODE, mode="cash",
            channel="counter", return_url="", idempotency_key=f"demo:{bill.ref}", now=at,
        )  # fmt: skip
        cash = Cash(
            agent_txn_no=payment.order_no, barcode=order_code(payment.order_no),
            amount_fen=payment.amount_fen, paid_at=at,
        )  # fmt: skip
        take(session, SHOP, cash, now=at)
        return [item.write_off_no for item in list_items(session, payment.id)]


def write_off(write_off_nos: Collection[str], memory: Path) -> None:
    """Tell the companies what was paid, as of then; what one does not take stays to be confirmed.

    Args:
        memory: the far side's folder. Companies that are running look into it when they start.
    """
    with transaction() as session:
        found = (prepare(session, number) for number in write_off_nos)
        orders = {
            one.order.write_off_no: (one.provider_code, one.order) for one in filter(None, found)
        }
    told = "".join(json.dumps(_asked(code, order)) + "\n" for code, order in orders.values())
    answers = simulate("write-offs", "--data", str(memory), told=told)
    with transaction() as session:
        for number, receipt in (line.split("\t") for line in answers.splitlines()):
            if receipt:
                reply = WriteOffReply(outcome=WriteOffOutcome.ACCEPTED, utility_ref=receipt)
                book(session, number, reply, now=orders[number][1].paid_at)


def _asked(code: str, order: WriteOffOrder) -> dict[str, Any]:
    return {
        "company": code,
        "write_off_no": order.write_off_no,
        "account_no": order.account_no,
        "bill_no": order.bill_no,
        "billing_month": f"{order.billing_month:%Y-%m}",
        "amount_fen": order.amount_fen,
        "paid_at": order.paid_at.astimezone(UTC).isoformat(),
    }


def reconcile_cash(day: date, *, forgets_largest: bool = False, now: datetime) -> None:
    """Reconcile a day with the file that the shop sends of it.

    Args:
        forgets_largest: the file lacks that payment: it was made by transfer to our bank.
    """
    with transaction() as session:
        content = day_file(session, day, forgets_largest=forgets_largest)
        matching.reconcile(
            session, Counter(), io.BytesIO(content), day=day, file_name=f"{SHOP}-{day}.csv", now=now
        )


def day_file(session: Session, day: date, *, forgets_largest: bool = False) -> bytes:
    """Write a day as the shop tells of it."""
    started, ended = day_bounds(day)
    taken = session.exec(
        select(CounterPayment)
        .where(CounterPayment.agent == SHOP)
        .where(col(CounterPayment.paid_at) >= started, col(CounterPayment.paid_at) < ended)
        .order_by(col(CounterPayment.agent_txn_no))
    ).all()
    if forgets_largest:
        largest = max(taken, key=lambda one: one.amount_fen)
        taken = [one for one in taken if one is not largest]
    out = io.StringIO()
    lines = csv.writer(out)
    lines.writerow([TITLE, day])
    lines.writerow(COLUMNS)
    for one in taken:
        at = one.paid_at.astimezone(BILLING_ZONE).isoformat()
        lines.writerow([
            SHOP, "payment", one.agent_txn_no, one.barcode, yuan_text(one.amount_fen), at, "",
        ])  # fmt: skip
    lines.writerow(["#TOTAL", len(taken), yuan_text(sum(one.amount_fen for one in taken))])
    return out.getvalue().encode()
