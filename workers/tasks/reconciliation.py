"""Jobs about what gateways, companies and banks say of their days."""

from core.clock import billing_date, utc_now
from core.db import transaction
from payments.reconciliation import arrivals, asking, bank, company_arrivals
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


@job("payments.match_bank")
def match_bank(_day: str) -> None:
    """Match our bank's statements with what has come since they did."""
    with transaction() as session:
        bank.match_bank(session, billing_date(utc_now()), now=utc_now())
