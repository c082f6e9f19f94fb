"""Lists of the simulated companies, asked for over HTTP and matched, with all their faults."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from billing.homes.households import bind_accounts, create_household
from core.db import transaction
from core.keys import named_key
from payments import write_offs
from payments.models import PaymentItem
from payments.reconciliation.breaks import list_breaks
from payments.reconciliation.company import arrivals as company_arrivals
from payments.reconciliation.company.lists import (
    get_company_result,
    reconcile_company,
    reconcile_none_written_off,
)
from payments.reconciliation.gateway import arrivals
from payments.reconciliation.models import Leg
from providers.base import UtilityClient
from simulator.faults import Fault
from simulator.journal import Journal
from simulator.utility import journal_path
from simulator.utility_books import UtilityBooks, WriteOffRequest
from tests.conftest import empty_city
from tests.factories import (
    ACCEPTED,
    MONTH,
    Home,
    a_paid_payment,
    a_person,
    a_record,
    bring_in,
    items_of,
)
from tests.payments.reconciliation.test_company_laws import forget
from tests.providers.clients.companies import PATHS, FarCompany, running_company
from tests.providers.confirmation_writers import ACCOUNTS

DAY, NEXT_DAY = date(2026, 3, 10), date(2026, 3, 11)
NOON = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 10, 16, 0, tzinfo=UTC)
MORNING = datetime(2026, 3, 12, 1, 0, tzinfo=UTC)  # both days' lists are due
SECOND = timedelta(seconds=1)


@dataclass
class Far:
    """A company that wrote off one bill at noon and one in the last second of the day."""

    company: FarCompany
    noon: PaymentItem
    midnight: PaymentItem
    client: UtilityClient

    def fetch(self, day: date) -> int | None:
        clients = {self.company.code: self.client}
        return company_arrivals.fetch(self.company.code, day, clients, now=MORNING)

    def found(self) -> list[tuple[int, str, str]]:
        with transaction() as session:
            return [
                (day.day, one.kind.value, one.reference)
                for day in (DAY, NEXT_DAY)
                for one in list_breaks(session, self.company.code, day, leg=Leg.COMPANY)
            ]


def paid(code: str, *amounts_fen: int) -> list[PaymentItem]:
    """A household's bills of one company, paid in one payment; the smallest first."""
    account_no, owner_id = ACCOUNTS[code], a_person()
    bills = [a_record(account_no, f"B{fen}", amount_fen=fen) for fen in amounts_fen]
    bring_in(code, *bills)
    with transaction() as session:
        household = create_household(session, name="汉口路", owner_id=owner_id, now=NOON)
        assert household.id is not None
        bind_accounts(session, household.id, [(code, account_no)], now=NOON)
        account_id = session.execute(text("SELECT id FROM utility_account")).scalar_one()
    refs = tuple((account_id, named_key(MONTH, bill.bill_no)) for bill in bills)
    home = Home(owner_id, household.id, refs, (account_no,), (code,))
    return sorted(items_of(a_paid_payment(home)), key=lambda one: one.amount_fen)


def remember(code: str, folder: Path, moments: Sequence[tuple[PaymentItem, datetime]]) -> None:
    """Have the company remember what it wrote off, as if we had told it over the wire."""
    journal = Journal(journal_path(folder, code))
    books = UtilityBooks(code, journal)
    for item, moment in moments:
        asked = WriteOffRequest(
            write_off_no=item.write_off_no, account_no=ACCOUNTS[code],
            bill_no=f"B{item.amount_fen}", billing_month=f"{MONTH:%Y-%m}",
            amount_fen=item.amount_fen, paid_at=moment,
        )  # fmt: skip
        books.receive(asked, Fault.NONE, now=moment)
    journal.close()


@pytest.fixture(scope="module", params=PATHS)
def city_and_company(
    request: pytest.FixtureRequest, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Far]:
    code, folder = request.param, tmp_path_factory.mktemp(request.param)
    noon, midnight = paid(code, 1_000, 2_000)
    remember(code, folder, [(noon, NOON), (midnight, MIDNIGHT - SECOND)])
    with transaction() as session:
        write_offs.book(session, noon.write_off_no, ACCEPTED, now=NOON)
        write_offs.book(session, midnight.write_off_no, ACCEPTED, now=MIDNIGHT + SECOND)
    with running_company(code, folder) as company:
        client = company.make_client()
        yield Far(company, noon, midnight, client)
        client.close()  # type: ignore[attr-defined]
    empty_city()


@pytest.fixture
def far(city_and_company: Far) -> Iterator[Far]:
    """Both days' lists are expected, and none is here."""
    clients = {city_and_company.company.code: city_and_company.client}
    with transaction() as session:
        assert company_arrivals.expect(session, clients, now=MORNING) == 2
    yield city_and_company
    city_and_company.company.switch("none")
    forget()


def test_two_days_agree_across_midnight(far: Far):
    assert [far.fetch(day) for day in (NEXT_DAY, DAY)] == [None, None]

    assert far.found() == []
    with transaction() as session:
        result = get_company_result(session, far.company.code, DAY)
    assert (result.matched, result.their_count, result.our_count) == (2, 2, 1)
    assert (result.their_total_fen, result.is_proven) == (3_000, True)


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("missing", [(11, "paid_not_written_off", "midnight")]),
        ("wrong_amount", [(10, "amount_differs", "noon")]),
        ("extra", [(10, "written_off_unpaid", "unknown-20260310")]),
        ("reversed", [(10, "paid_not_written_off", "noon")]),
        ("twice", [(10, "duplicate", "noon"), (10, "duplicate", "midnight")]),
    ],
)
def test_what_is_wrong_in_a_list_is_named_and_a_sound_one_explains_it(
    far: Far, fault: str, named: list[tuple[int, str, str]]
):
    far.company.switch(fault, "confirmations", 1)
    far.fetch(DAY)
    far.fetch(NEXT_DAY)
    if fault == "missing":  # what we booked on the next day is looked for in the list after it
        assert far.found() == []
        run_of_a_third_day(far)
    numbers = {"noon": far.noon.write_off_no, "midnight": far.midnight.write_off_no}
    expected = [(day, kind, numbers.get(which, which)) for day, kind, which in named]
    assert far.found() == sorted(expected)

    sound = far.client.fetch_confirmations(DAY)  # type: ignore[attr-defined]
    with transaction() as session:
        reconcile_company(
            session, far.company.code, io.BytesIO(sound.content), day=DAY, file_name="x",
            now=MORNING,
        )  # fmt: skip
    assert far.found() == []


def run_of_a_third_day(far: Far) -> None:
    with transaction() as session:
        reconcile_none_written_off(
            session, far.company.code, day=NEXT_DAY + timedelta(days=1), now=MORNING
        )


@pytest.mark.parametrize(
    ("fault", "answer"),
    [("not_yet", "not_yet"), ("truncated", "refused: "), ("error", "unknown: ")],
)
def test_what_is_no_list_is_asked_for_again(far: Far, fault: str, answer: str):
    far.company.switch(fault, "confirmations", 1)

    assert far.fetch(DAY) == 3_600  # it was due yesterday

    with transaction() as session:
        told = {one.day: one for one in arrivals.list_arrivals(session, now=MORNING)}
    assert (told[DAY].answer or "").startswith(answer)
    assert told[DAY].late
    assert far.fetch(DAY) is None
    assert far.found() == []


def test_while_nobody_listens_the_list_waits(far: Far):
    far.company.switch("down")
    far.company.wait(listening=False)
    try:
        assert far.fetch(DAY) == 3_600
    finally:
        far.company.recover()

    assert far.fetch(DAY) is None
