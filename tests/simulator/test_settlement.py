"""The settlement file, from orders booked at moments of our choosing."""

import csv
import io
import json
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from core.clock import billing_date, utc_now
from core.money import parse_yuan
from simulator.journal import Journal
from simulator.sandbox_books import SandboxBooks
from simulator.sandbox_records import Choice, OrderRequest, RefundRequest
from simulator.settlement import FileFault, settlement_file, settlement_rows, spoil
from tests.simulator.conftest import running

NOON = datetime(2026, 11, 20, 4, 0, 3, 999_999, tzinfo=UTC)  # 12:00:03 in Shanghai
DAY = date(2026, 11, 20)


@pytest.fixture
def books(tmp_path: Path):
    journal = Journal(tmp_path / "sandbox.jsonl")
    yield SandboxBooks(journal)
    journal.close()


def paid_order(books: SandboxBooks, order_no: str, amount_fen: int, at: datetime) -> str:
    order, _ = books.open_order(
        OrderRequest(
            order_no=order_no,
            amount_fen=amount_fen,
            subject="水费",
            notify_url="http://127.0.0.1:9/",
            return_url="http://127.0.0.1:9/",
            expires_at=at + timedelta(hours=1),
        ),
        now=at,
    )
    books.choose(order.gateway_ref, Choice.YES, now=at)
    return order.gateway_ref


def cells(file: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(file.decode(), newline="")))


def test_the_file_is_as_the_note_draws_it(books):
    ref = paid_order(books, "o1", 8_650, NOON)
    refund, _ = books.refund(
        RefundRequest(refund_no="r1", order_no="o1", amount_fen=8_650),
        now=NOON + timedelta(hours=1),
    )

    file = settlement_file(settlement_rows(books, DAY), DAY)

    assert file.decode() == (
        "#SANDBOX SETTLEMENT,2026-11-20\r\n"
        "kind,order_no,gateway_ref,refund_no,refund_ref,amount,fee,happened_at\r\n"
        f"payment,o1,{ref},,,86.50,0.33,2026-11-20T04:00:03Z\r\n"
        f"refund,o1,{ref},r1,{refund.refund_ref},-86.50,0.00,2026-11-20T05:00:03Z\r\n"
        "#TOTAL,2,0.00,0.33\r\n"
    )


def test_a_day_is_a_shanghai_day(books):
    midnight = datetime(2026, 11, 19, 16, tzinfo=UTC)
    paid_order(books, "before", 100, midnight - timedelta(seconds=1))
    paid_order(books, "first", 200, midnight)
    paid_order(books, "last", 300, midnight + timedelta(hours=24, seconds=-1))
    paid_order(books, "after", 400, midnight + timedelta(hours=24))

    assert [row.order_no for row in settlement_rows(books, DAY)] == ["first", "last"]


@pytest.mark.parametrize(
    ("fault", "rows", "total_fen"),
    [(FileFault.MISSING, 2, 300), (FileFault.EXTRA, 4, 1_834), (FileFault.AMOUNT, 3, 601)],
)
def test_a_wrong_file_is_wrong_in_one_row_and_still_adds_up(books, fault, rows, total_fen):
    for at, amount_fen in enumerate((100, 200, 300)):
        paid_order(books, f"o{at}", amount_fen, NOON + timedelta(minutes=at))

    lines = cells(settlement_file(spoil(settlement_rows(books, DAY), fault, DAY), DAY))

    body, total = lines[2:-1], lines[-1]
    assert total[:3] == ["#TOTAL", str(rows), f"{total_fen // 100}.{total_fen % 100:02d}"]
    assert len(body) == rows
    assert sum(parse_yuan(row[5]) for row in body) == total_fen
    assert sum(parse_yuan(row[6]) for row in body) == parse_yuan(total[3])


def test_over_the_wire(tmp_path):
    today = billing_date(utc_now())
    with running(tmp_path) as simulator:
        path = f"/sandbox/settlements/{today}.csv"
        empty = simulator.sandbox("GET", path)
        extra = simulator.sandbox("GET", path, params={"fault": "extra"})
        odd = simulator.sandbox("GET", path, params={"fault": "odd"})
        later = simulator.sandbox("GET", f"/sandbox/settlements/{today + timedelta(2)}.csv")
        nonsense = simulator.sandbox("GET", "/sandbox/settlements/yesterday.csv")
        by_hand = simulator.client.get(f"/sandbox/downloads/{today}.csv")

    assert cells(empty.content)[-1] == ["#TOTAL", "0", "0.00", "0.00"]
    assert cells(extra.content)[-1][1] == "1"
    assert (odd.status_code, later.status_code, nonsense.status_code) == (422, 404, 422)
    assert by_hand.content == empty.content


def test_a_memory_of_before_whose_lines_held_one_record_of_a_kind_is_read_as_it_was(tmp_path):
    path = tmp_path / "sandbox.jsonl"
    with closing(Journal(path)) as journal:
        paid_order(SandboxBooks(journal), "o1", 8_650, NOON)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    single = [line | {"order": line["order"][0]} for line in lines]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in single))

    with closing(Journal(path)) as journal:
        books = SandboxBooks(journal)

        assert [one.order_no for one in books.paid_on(DAY)] == ["o1"]
        assert len(books.due_deliveries(now=NOON)) == 1
