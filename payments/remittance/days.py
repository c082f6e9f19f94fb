"""Whose turn has come: which closed days of a company are due, by the terms of each day (T+N)."""

from bisect import bisect_right
from datetime import date, timedelta

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.ledger import books
from billing.rules.terms import Terms, parse_terms
from billing.rules.workdays import add_working_days
from billing.terms import list_terms
from payments.remittance.models import Remittance

_ONE_DAY = timedelta(days=1)


class TermsThrough:
    """A company's approved terms of all days."""

    def __init__(self, session: Session, provider_code: str) -> None:
        rows = [one for one in list_terms(session, provider_code) if one.approved_at is not None]
        rows.sort(key=lambda one: one.effective_on)
        self._since = [one.effective_on for one in rows]
        self._contents = [one.content for one in rows]

    def on(self, day: date) -> Terms:
        """Return the terms of a day, as ``billing.terms.terms_on`` does."""
        at = bisect_right(self._since, day)
        return parse_terms(self._contents[at - 1]) if at else Terms()


def due_on(day: date, terms: Terms) -> date:
    """Return when what a day took is paid to its company: T+N working days (rule 47)."""
    return add_working_days(terms.due.calendar, day, terms.remit.days)


def newest(session: Session, provider_code: str) -> Remittance | None:
    """Return a company's last remittance: the next one goes on from it."""
    of_company = select(Remittance).where(Remittance.provider_code == provider_code)
    return session.exec(of_company.order_by(col(Remittance.to_on).desc()).limit(1)).first()


def first_open_on(session: Session, last: Remittance | None) -> date | None:
    """Return the first day no remittance of a company is about; none: no day was ever closed."""
    if last is not None:
        return last.to_on + _ONE_DAY
    first: date | None = session.execute(text("SELECT min(day) FROM ledger_day")).scalar_one()
    return first


def last_due(session: Session, since: date, through: TermsThrough, *, today: date) -> date | None:
    """Return the last closed day from ``since`` on whose turn has come, with all before it."""
    closed_on = books.last_closed(session)
    found, day = None, since
    while closed_on is not None and day <= closed_on and due_on(day, through.on(day)) <= today:
        found, day = day, day + _ONE_DAY
    return found
