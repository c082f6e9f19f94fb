"""Jobs about what gateways, companies and banks say of their days."""

from datetime import date

from core.clock import utc_now
from core.db import transaction
from payments.reconciliation.bank import matching as bank
from payments.reconciliation.company import arrivals as company_arrivals
from payments.reconciliation.gateway import arrivals
from payments.reconciliation.intake import work as intake_work
from payments.reconciliation.repair import asking, reversing
from workers.jobs import NotYet, job
from workers.start import outside


@job("payments.expect_settlements")
def expect(_day: str) -> None:
    """Note the settlement files that should come."""
    with transaction() as session:
        arrivals.expect(session, outside().gateways, now=utc_now())


@job("payments.fetch_settlement")
def fetch(subject: str) -> None:
    """Ask for a day's settlement file until it is here, and match it."""
    source, day = arrivals.read_subject(subject)
    again_seconds = arrivals.fetch(source, day, outside().gateways, now=utc_now())
    if again_seconds is not None:
        raise NotYet(again_seconds)


@job("payments.query_again")
def query_again(act_id: str) -> None:
    """Ask a gateway about an order because a person wants to know, until it says."""
    if not asking.ask(int(act_id), outside().gateways, now=utc_now()):
        with transaction() as session:
            raise NotYet(asking.ask_again_seconds(session, int(act_id), now=utc_now()))


@job("payments.reverse_write_off")
def reverse_write_off(act_id: str) -> None:
    """Ask a company to take a write-off back because two people want it, until it answers."""
    if not reversing.reverse(int(act_id), outside().utilities, now=utc_now()):
        with transaction() as session:
            raise NotYet(asking.ask_again_seconds(session, int(act_id), now=utc_now()))


@job("payments.expect_confirmations")
def expect_confirmations(_day: str) -> None:
    """Note the lists of write-offs that should come."""
    with transaction() as session:
        company_arrivals.expect(session, outside().utilities, now=utc_now())


@job("payments.fetch_confirmation")
def fetch_confirmation(subject: str) -> None:
    """Ask a company for a day's list until it is here, and match it."""
    source, day = arrivals.read_subject(subject)
    again_seconds = company_arrivals.fetch(source, day, outside().utilities, now=utc_now())
    if again_seconds is not None:
        raise NotYet(again_seconds)


@job("bills.read_book")
def read_book(book_file_id: str) -> None:
    """Read a file that came in, of whomever, and match it; a refusal is an answer, on its row."""
    intake_work.read_file(int(book_file_id), outside().gateways, now=utc_now())


@job("payments.match_bank")
def match_bank(day: str) -> None:
    """Match our bank's statements with what has come since they did, or was said of them."""
    with transaction() as session:
        bank.match_bank(session, date.fromisoformat(day), now=utc_now())
