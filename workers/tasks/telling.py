"""Jobs that tell many: of new bills, of last days to pay, of what companies say, of a month.

They work in the queue of the bills: a million notices never stand before one receipt.
"""

from collections.abc import Callable, Sequence
from datetime import date, timedelta

from sqlmodel import Session

from core.clock import billing_date, day_bounds, utc_now
from core.db import acting, transaction
from core.settings import settings
from notifications import (
    bill_notices,
    money_notices,
    offers,
    outage_notices,
    reminding,
    statement_notices,
)
from workers.jobs import Ends, NotYet, Over, job, job_set, never

REMIND_AFTER = timedelta(hours=9)  # of the city's day
_BATCHES_A_TURN = 20  # then others may


def _tell_on(tell_some: Callable[[Session], int]) -> None:
    """Tell batch by batch, each in a transaction of its own, until nothing is left or for a turn.

    Raises:
        NotYet: there may be more.
    """
    for _ in range(_BATCHES_A_TURN):
        with transaction() as session:
            if not tell_some(session):
                return
    raise NotYet(0)


def _wait_until(day: date, after: timedelta) -> None:
    wait = day_bounds(day)[0] + after - utc_now()
    if wait > timedelta():
        raise NotYet(int(wait.total_seconds()) + 1)


@job("bills.find_news")
def find_news(bill_file_id: str) -> None:
    """Find which bills of a file somebody is to be told of."""
    with transaction() as session:
        bill_notices.find_ready(session, int(bill_file_id), now=utc_now())


@job("bills.find_corrected")
def find_corrected(correction_id: str) -> None:
    """Tell of a bill that was corrected once its payment had ended."""
    with transaction() as session:
        bill_notices.find_corrected(session, int(correction_id), now=utc_now())


@job("bills.tell_news")
def tell_news(_share: str) -> None:
    """Tell of bills there is something to tell of, whoever found it."""
    _tell_on(
        lambda session: bill_notices.tell_some(
            session, public_url=settings().public_url, now=utc_now()
        )
    )


@job("bills.tell_missing")
def tell_missing(subject: str) -> None:
    """Tell that a bill has not come."""
    with transaction() as session:
        bill_notices.tell_missing(session, subject, public_url=settings().public_url, now=utc_now())


@job("bills.remind")
def remind(day: str) -> None:
    """Find whom to remind today; a day that was missed is made up for by the next one's run."""
    today = date.fromisoformat(day)
    if today < billing_date(utc_now()):
        return
    _wait_until(today, REMIND_AFTER)
    with transaction() as session:
        reminding.find_due(session, today=today, now=utc_now())


@job("bills.tell_service_message")
def tell_service_message(message_id: str) -> None:
    """Tell what a company has to say to everybody it concerns."""
    _tell_on(
        lambda session: outage_notices.tell_some(
            session, int(message_id), public_url=settings().public_url, now=utc_now()
        )
    )


@job("bills.tell_service_over")
def tell_service_over(message_id: str) -> None:
    """Tell those who were told that it is over."""
    _tell_on(
        lambda session: outage_notices.tell_some_over(
            session, int(message_id), public_url=settings().public_url, now=utc_now()
        )
    )


@job("bills.tell_offer")
def tell_offer(offer_id: str) -> None:
    """Tell a company's offer to who agreed to offers."""
    _tell_on(
        lambda session: offers.tell_some(
            session, int(offer_id), public_url=settings().public_url, now=utc_now()
        )
    )


@job("bills.state_month")
def state_month(day: str) -> None:
    """From the third working day of a month on, have the statements of the month before told."""
    today = date.fromisoformat(day)
    if today < statement_notices.statement_day(today):
        return
    _wait_until(today, REMIND_AFTER)
    with transaction() as session:
        if statement_notices.is_due(session, today):
            statement_notices.ask(session, today, now=utc_now())


@job("bills.tell_statements")
def tell_statements(subject: str) -> None:
    """Tell a share of the city's households how their month was."""
    with transaction() as session:
        statement_notices.tell_share(
            session, subject, public_url=settings().public_url, now=utc_now()
        )


@job("notices.confirmed")
def confirmed(write_off_no: str) -> None:
    """Tell the payer that every company has answered."""
    all_confirmed([write_off_no], never)


@job_set("notices.confirmed")
def all_confirmed(write_off_nos: Sequence[str], _over: Over) -> Ends:
    """Tell the payers of many payments the same."""
    with acting() as session:
        money_notices.tell_confirmed(
            session, *write_off_nos, public_url=settings().public_url, now=utc_now(),
            secret=settings().secret_key.get_secret_value(),
        )  # fmt: skip
    return dict.fromkeys(write_off_nos)


@job("notices.came_back")
def came_back(receipt_id: str) -> None:
    """Tell the payer that money which was sent back came back to us."""
    with transaction() as session:
        money_notices.tell_came_back(
            session, int(receipt_id), public_url=settings().public_url, now=utc_now(),
            secret=settings().secret_key.get_secret_value(),
        )  # fmt: skip


@job("notices.sent_again")
def sent_again(receipt_id: str) -> None:
    """Tell the payer that what had come back to us was sent from our bank."""
    with transaction() as session:
        money_notices.tell_sent_again(
            session, int(receipt_id), public_url=settings().public_url, now=utc_now(),
            secret=settings().secret_key.get_secret_value(),
        )  # fmt: skip


@job("notices.on_its_way")
def on_its_way(refund_no: str) -> None:
    """Tell the payer that money is on its way back."""
    with transaction() as session:
        money_notices.tell_on_its_way(
            session, refund_no, public_url=settings().public_url, now=utc_now(),
            secret=settings().secret_key.get_secret_value(),
        )  # fmt: skip
