"""Asking a company what is open. Rule 18: nothing open, unknown and down are three answers."""

import pytest

from core.errors import UpstreamUnavailable
from providers.base import FetchOutcome, FetchReply, OpenBill
from providers.formats.cells import date_reader
from tests.providers.test_write_off_http import client_of, company, saying

__all__ = ["client_of", "company"]  # fixtures
DAY = date_reader("yyyy-mm-dd")
BILL = {
    "billing_month": "2026-10", "bill_no": "W1", "version": 1, "issued": "2026-11-05",
    "due": "2026-11-25", "amount_fen": 8_650,
}  # fmt: skip


def test_what_is_open_is_told_bill_by_bill(company, client_of):
    handler, url = company
    handler.answer = saying(200, {"result": "bills", "bills": [BILL]})

    reply = client_of(url + "/city").fetch("1000000001")

    bill = OpenBill(DAY("2026-10-01"), "W1", 1, DAY("2026-11-05"), DAY("2026-11-25"), 8_650)
    assert reply == FetchReply(outcome=FetchOutcome.SINGLE, bills=(bill,))
    assert handler.asked == [("GET", "/city/accounts/1000000001/bills", b"")]


def test_nothing_open_is_a_success(company, client_of):
    handler, url = company
    handler.answer = saying(200, {"result": "none"})

    assert client_of(url).fetch("1") == FetchReply(outcome=FetchOutcome.NONE)


def test_an_account_nobody_knows_is_an_answer_too(company, client_of):
    handler, url = company
    handler.answer = saying(404, {"result": "unknown_account"})

    assert client_of(url).fetch("1").outcome is FetchOutcome.UNKNOWN_ACCOUNT


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, {"result": "none"}),
        (401, {"result": "unsigned"}),
        (404, {}),
        (404, b"no such page"),
        (200, {"result": "unknown_account"}),
        (200, {"result": "bills"}),
        (200, {"result": "bills", "bills": []}),
        (200, {"result": "bills", "bills": {}}),
        (200, {"result": "bills", "bills": [1]}),
        (200, {"result": "bills", "bills": [BILL, BILL | {"amount_fen": 86.5}]}),
        (200, {"result": "bills", "bills": [BILL | {"amount_fen": True}]}),
        (200, {"result": "bills", "bills": [BILL | {"amount_fen": 0}]}),
        (200, {"result": "bills", "bills": [BILL | {"due": "2026-11-31"}]}),
        (200, {"result": "bills", "bills": [BILL | {"issued": 20261105}]}),
        (200, {"result": "bills", "bills": [BILL | {"bill_no": 1}]}),
        (200, b"<html>busy</html>"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_anything_else_is_a_company_that_is_down(company, client_of, status, body):
    handler, url = company
    handler.answer = saying(status, body)

    with pytest.raises(UpstreamUnavailable, match="try again later"):
        client_of(url).fetch("1")


def test_a_company_that_hangs_up_or_is_not_there_is_down(company, client_of):
    handler, url = company

    def hang_up(company):
        company.close_connection = True

    handler.answer = hang_up
    for address in (url, "http://company.invalid"):
        with pytest.raises(UpstreamUnavailable, match="try again later"):
            client_of(address).fetch("1")
