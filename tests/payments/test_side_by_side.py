"""Two residents never wait for each other: what one's act locks, no other's act asks for."""

from collections.abc import Callable, Iterator
from itertools import count, product

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.db import transaction
from payments import write_offs
from payments.checkout import create_payment
from payments.gateways.base import GatewayStatus, RefundReply, RefundState
from payments.returns import refunds
from payments.settlement import book_reply
from providers.base import WriteOffReply
from tests.conftest import empty_city
from tests.factories import (
    ACCEPTED,
    NOW,
    REFUSED,
    Home,
    a_home,
    a_paid_payment,
    a_payment,
    as_shown,
    items_of,
    says,
    violations,
)

Act = Callable[[Session], object]
_keys = count(1)


def starting(home: Home) -> Act:
    wanted = as_shown(*home.refs)
    return lambda session: create_payment(
        session, payer_id=home.owner_id, wanted=wanted, gateway="sandbox",
        return_url="http://127.0.0.1:9/", idempotency_key=f"side-{next(_keys)}", now=NOW,
    )  # fmt: skip


def paying(home: Home) -> Act:
    payment = a_payment(home)
    return lambda session: book_reply(
        session, payment.id, says(payment, GatewayStatus.PAID), now=NOW
    )


def closing(home: Home) -> Act:
    payment = a_payment(home)
    return lambda session: book_reply(
        session, payment.id, says(payment, GatewayStatus.CLOSED), now=NOW
    )


def answering(reply: WriteOffReply) -> Callable[[Home], Act]:
    def answers(home: Home) -> Act:
        numbers = [item.write_off_no for item in items_of(a_paid_payment(home))]
        return lambda session: [
            write_offs.book(session, number, reply, now=NOW) for number in numbers
        ]

    return answers


def returning(home: Home) -> Act:
    numbers = [item.write_off_no for item in items_of(a_paid_payment(home))]
    with transaction() as session:
        for number in numbers:
            write_offs.book(session, number, REFUSED, now=NOW)
    sent = RefundReply(state=RefundState.SENT, refund_ref="sent-1")
    return lambda session: [
        refunds.book(session, f"R{number[1:]}", sent, now=NOW) for number in numbers
    ]


ACTS: dict[str, Callable[[Home], Act]] = {
    "starting a payment": starting,
    "a gateway's yes": paying,
    "a gateway's no": closing,
    "a company's yes": answering(ACCEPTED),
    "a company's no": answering(REFUSED),
    "a refund sent": returning,
}


@pytest.fixture(scope="module")
def _accounts_opened(database_url: str) -> Iterator[None]:
    """The first transfer ever on a ledger account opens it; whoever comes meanwhile waits, once."""
    for act in ACTS.values():
        with transaction() as session:
            act(a_home(100, 200))(session)
    yield
    assert violations() == []
    empty_city()


@pytest.mark.usefixtures("_accounts_opened")
@pytest.mark.parametrize(("first", "second"), list(product(ACTS, ACTS)))
def test_neighbours_pay_the_same_companies_through_the_same_gateway(first, second):
    """The first's transaction stays open, everything done, while the second runs to its end."""
    held, meanwhile = ACTS[first](a_home(8_650, 3_000)), ACTS[second](a_home(8_650, 3_000))

    with transaction() as holder:
        held(holder)
        holder.flush()
        with transaction() as session:
            session.execute(text("SET LOCAL lock_timeout = '100ms'"))
            meanwhile(session)
