"""Imports at one moment: two files of a company, two companies, one file twice, and a payment."""

import threading

import pytest
from sqlalchemy import text

from billing.files.importing import ImportResult
from core.db import transaction
from core.errors import CityBillError, Conflict
from core.keys import named_key
from payments.gateways.base import GatewayStatus
from tests import nights
from tests.conftest import empty_city
from tests.factories import (
    MONTH,
    a_home,
    a_payment,
    a_record,
    book,
    bring_in,
    the_bill,
    topics,
    violations,
)
from tests.kill import Victim
from tests.providers.files import WATER
from tests.threads import at_once

CHUNK_ROWS = 10


@pytest.fixture(autouse=True)
def small_chunks(city, monkeypatch):
    monkeypatch.setattr("billing.files.importing.CHUNK_ROWS", CHUNK_ROWS)


def water_file(sequence, accounts, **changes) -> bytes:
    head = f"H|WATER|{sequence}|20261101".encode()
    rows = [
        WATER.row | {"户号": f"{number:010d}", "账单号": f"W-{number}"} | changes
        for number in accounts
    ]
    lines = [head, *map(WATER.line, rows), WATER.trailer(len(rows), WATER.total(rows))]
    return b"\n".join(lines) + b"\n"


def held() -> int:
    with transaction() as session:
        return session.execute(text("SELECT count(*) FROM bill")).scalar_one()


def tried(act) -> ImportResult | Conflict:
    try:
        return act()
    except Conflict as busy:
        return busy


def test_two_files_of_one_company_share_accounts_and_bills_and_each_lands_once():
    files = [water_file(1, range(200)), water_file(2, range(100, 300))]
    ids = [nights.a_file(data) for data in files]

    done = at_once(2, lambda at: nights.import_whole(ids[at], files[at]))

    assert sum(result.created for result in done) == held() == 300
    assert sorted(result.unchanged for result in done) == [0, 100]
    assert violations() == []


def test_two_processes_import_two_files_of_one_company(city, tmp_path):
    files = [water_file(1, range(200)), water_file(2, range(100, 300))]
    victims = []
    for at, data in enumerate(files):
        place = tmp_path / str(at)
        place.write_bytes(data)
        victims.append(Victim(city, place, nights.a_file(data), chunk_rows=CHUNK_ROWS))

    assert [victim.status() for victim in victims] == [(0, ""), (0, "")]
    assert held() == 300
    assert topics(like="bill_file.imported") == ["bill_file.imported"] * 2
    assert violations() == []


def test_two_files_correct_the_same_bills_and_the_higher_version_stays():
    nights.import_whole(nights.a_file(first := water_file(1, range(60))), first)
    files = [
        water_file(version, range(60), 版本=str(version), 应缴金额=f"{version}.00")
        for version in (2, 3)
    ]
    ids = [nights.a_file(data) for data in files]

    at_once(2, lambda at: nights.import_whole(ids[at], files[at]))

    with transaction() as session:
        found = session.execute(text("SELECT DISTINCT version, amount_fen FROM bill")).all()
    assert found == [(3, 300)]
    assert violations() == []


def test_two_companies_do_not_wait_for_each_other():
    """The first stands still in the middle of its file until the second is through."""
    second_is_through = threading.Event()

    def first() -> ImportResult:
        def wait(done: int, rows: int) -> None:
            assert second_is_through.wait(30)

        data = water_file(1, range(100))
        return nights.import_whole(nights.a_file(data), data, progress=wait)

    def second() -> ImportResult:
        records = [a_record(f"{number:010d}") for number in range(100)]
        result = bring_in("power", *records)
        second_is_through.set()
        return result

    done = at_once(2, lambda at: (first, second)[at]())

    assert [result.created for result in done] == [100, 100]
    assert violations() == []


@pytest.mark.parametrize("times", [2, 4])
def test_one_file_many_times_at_once_is_one_file_and_lands_once(times):
    data = water_file(1, range(200))

    ids = at_once(times, lambda at: nights.a_file(data))
    done = at_once(times, lambda at: tried(lambda: nights.import_whole(ids[at], data)))

    assert len(set(ids)) == 1
    assert held() == 200
    results = [one for one in done if isinstance(one, ImportResult)]
    assert sum(one.created for one in results) == 200
    assert topics(like="bill_file.imported") == ["bill_file.imported"]
    assert violations() == []


def test_a_number_of_a_company_is_one_files_whichever_comes_first():
    files = [water_file(7, range(50)), water_file(7, range(50, 100))]
    ids = [nights.a_file(data) for data in files]

    def one(at: int) -> object:
        try:
            return nights.import_whole(ids[at], files[at])
        except CityBillError as refused:
            return refused

    done = at_once(2, one)

    assert sorted(type(result).__name__ for result in done) == ["BillFileError", "ImportResult"]
    assert held() == 50
    assert violations() == []


@pytest.mark.parametrize("kind", ["bill", "cancel"])
def test_a_bill_is_paid_or_changed_at_one_moment_and_never_both(kind):
    """Whoever is first decides; no money is taken for a version that is gone."""
    for _ in range(8):
        home = a_home(8_650)
        payments, results = [], []

        def pay(home=home, payments=payments) -> None:
            payment = a_payment(home)
            payments.append(book(payment, GatewayStatus.PAID))

        def change(home=home, results=results) -> None:
            results.append(
                home.correct(0, version=2, amount_fen=9_000)
                if kind == "bill"
                else home.cancel(0, version=2)
            )

        raised = at_once(2, lambda at, acts=(pay, change): caught(acts[at]))

        bill = the_bill(home.refs[0])
        (result,) = results
        changed = result.superseded + result.cancelled
        assert changed + result.waiting + result.rejected == 1
        assert bool(bill.paid_fen) != bool(changed), (bill, result, raised)
        assert bill.paid_fen in (0, bill.amount_fen)
        assert violations() == []
        empty_city()


def caught(act) -> CityBillError | None:
    try:
        act()
    except CityBillError as refused:
        return refused
    return None


def test_payments_go_on_while_the_companys_file_lands():
    homes = [a_home(8_650) for _ in range(6)]
    numbers = [home.account_nos[0] for home in homes]
    rows = [
        a_record(number, version=2, amount_fen=9_000) for number in numbers
    ] + [a_record(f"9{number:09d}") for number in range(150)]  # fmt: skip

    def pay_all() -> None:
        for home in homes:
            caught(lambda home=home: book(a_payment(home), GatewayStatus.PAID))

    done = at_once(2, lambda at: (pay_all, lambda: bring_in("water", *rows))[at]())

    result = done[1]
    assert (result.created, result.superseded + result.waiting + result.rejected) == (150, 6)
    for home in homes:
        bill = the_bill(home.refs[0])
        assert bill.id == named_key(MONTH, "B1")
        assert bill.paid_fen in (0, bill.amount_fen)
    assert violations() == []
