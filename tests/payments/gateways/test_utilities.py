"""The write-off client against companies that behave, stall, fail, refuse and hang up."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import httpx
import pytest

from core.clock import utc_now
from core.errors import UpstreamUnavailable
from providers.base import WriteOffOrder, WriteOffOutcome
from providers.clients import http
from providers.clients.declared import DeclaredClient, speaks_citybill
from tests.factories import MONTH
from tests.simulator.conftest import SECRET, Simulator, free_port, running_water

_numbers = count(1)


@pytest.fixture
def companies(tmp_path: Path) -> Iterator[Simulator]:
    with running_water(tmp_path, slow_for=timedelta(seconds=1)) as company:
        yield company


@pytest.fixture
def client(companies: Simulator) -> Iterator[DeclaredClient]:
    made = speaks_citybill(f"{companies.client.base_url}", SECRET, utc_now)
    yield made
    made.close()


def an_order(**changes: object) -> WriteOffOrder:
    facts = {
        "write_off_no": f"W{next(_numbers)}", "account_no": "0000000001", "bill_no": "B1",
        "billing_month": MONTH, "amount_fen": 8_650,
        "paid_at": datetime(2026, 11, 20, 4, 0, tzinfo=UTC),
    }  # fmt: skip
    return WriteOffOrder(**facts | changes)


def switch(companies: Simulator, fault: str) -> None:
    answer = companies.client.post("/faults", json={"fault": fault, "times": 1})
    assert answer.status_code == 200, answer.text


class TestCompanies:
    def test_a_number_it_has_never_seen_is_none(self, client):
        assert client.query("W-never-sent") is None

    def test_the_same_number_with_another_body_is_not_knowing(self, client):
        order = an_order()
        client.write_off(order)

        other = client.write_off(an_order(write_off_no=order.write_off_no, amount_fen=8_651))

        assert other.outcome is WriteOffOutcome.UNKNOWN

    def test_a_bill_that_is_closed_there_is_refused_with_its_reason(self, client):
        client.write_off(an_order())

        reply = client.write_off(an_order())

        assert reply.outcome is WriteOffOutcome.REFUSED
        assert reply.reason == "the bill was paid before this payment arrived"

    def test_a_wrong_secret_is_not_knowing(self, companies):
        client = speaks_citybill(f"{companies.client.base_url}", "another", utc_now)

        assert client.write_off(an_order()).outcome is WriteOffOutcome.UNKNOWN
        client.close()


class TestFaults:
    def test_an_error_is_not_knowing_and_the_same_number_may_be_sent_again(self, companies, client):
        switch(companies, "error")
        order = an_order()

        assert client.write_off(order).outcome is WriteOffOutcome.UNKNOWN
        assert client.query(order.write_off_no) is None
        assert client.write_off(order).outcome is WriteOffOutcome.ACCEPTED

    def test_a_no_is_final(self, companies, client):  # rule 28
        switch(companies, "refuse")
        order = an_order()

        first, again = client.write_off(order), client.write_off(order)

        assert first.outcome is WriteOffOutcome.REFUSED
        assert first.reason == "the account is closed"
        assert again == first

    def test_one_that_hangs_up_half_way_is_asked_and_knows(self, companies, client):
        switch(companies, "silent")
        order = an_order()

        assert client.write_off(order).outcome is WriteOffOutcome.UNKNOWN
        told = client.query(order.write_off_no)

        assert told is not None
        assert told.outcome is WriteOffOutcome.ACCEPTED
        assert client.write_off(order) == told

    def test_one_slower_than_our_patience_is_asked_and_knows(self, companies, monkeypatch):
        monkeypatch.setattr(http, "TIMEOUT", httpx.Timeout(0.3))
        client = speaks_citybill(f"{companies.client.base_url}", SECRET, utc_now)
        switch(companies, "slow")
        order = an_order()

        reply = client.write_off(order)
        told = client.query(order.write_off_no)
        client.close()

        assert reply.outcome is WriteOffOutcome.UNKNOWN
        assert told is not None
        assert told.outcome is WriteOffOutcome.ACCEPTED

    def test_one_that_is_down_was_never_told(self):
        client = speaks_citybill(f"http://127.0.0.1:{free_port()}", SECRET, utc_now)

        with pytest.raises(UpstreamUnavailable):
            client.write_off(an_order())
        with pytest.raises(UpstreamUnavailable):
            client.query("W1")
        client.close()
