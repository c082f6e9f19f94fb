"""The statement of a household's month, told to those of its people who have an e-mail address.

On for them, until they switch the subject off. The PDF is made when the notice is sent.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from billing.bills import BillRef
from billing.household_statement import Figures, add_up, figures_of, hidden_bills, hidden_from
from billing.rules.workdays import add_working_days
from core import outbox
from core.clock import add_months, month_start
from core.db import HotStatement
from core.money import format_yuan
from identity.models import Person
from notifications.bill_notices import account_words, people
from notifications.telling import Telling, tell_all
from notifications.wording.rendering import Facts
from notifications.words import company_words, month_words

CALENDAR = "CN"
WORKING_DAY = 3  # of the month after: by then what was paid on its last evening is posted
CATCH_UP_DAYS = 7
SHARE_HOUSEHOLDS = 1_000


def statement_day(today: date) -> date:
    """Return the day of a month on which the statements of the month before are told."""
    eve = month_start(today) - timedelta(days=1)
    return add_working_days(CALENDAR, eve, WORKING_DAY)


_ASKED = HotStatement("""
    SELECT 1 FROM outbox_event
    WHERE topic = 'statements.due' AND starts_with(subject_id, :month) LIMIT 1
""")


def is_due(session: Session, today: date) -> bool:
    """Tell whether the statements of the month before are to be asked for, which they are once.

    A day on which nothing ran is made up for within a week, while the outbox knows what was asked.
    """
    day, month = statement_day(today), add_months(month_start(today), -1)
    if not day <= today < day + timedelta(days=CATCH_UP_DAYS):
        return False
    return not _ASKED.rows(session, {"month": f"{month:%Y-%m}."})


_LAST = HotStatement("SELECT coalesce(max(id), 0) FROM household")


def ask(session: Session, today: date, *, now: datetime) -> int:
    """Have the statements of the month before told, a share of the households at a time."""
    month = add_months(month_start(today), -1)
    firsts = range(1, _LAST.rows(session, {})[0][0] + 1, SHARE_HOUSEHOLDS)
    events = [outbox.Event("statements.due", f"{month:%Y-%m}.{first_id}") for first_id in firsts]
    session.execute(text(outbox.INSERT_EVENTS), outbox.event_values(events, now=now))
    return len(events)


_SHARE = HotStatement("""
    SELECT m.household_id, m.person_id, a.id, a.provider_code, a.account_no
    FROM household_member m
    JOIN person p ON p.id = m.person_id AND p.email IS NOT NULL AND p.ended_at IS NULL
    JOIN household_account h ON h.household_id = m.household_id
    JOIN utility_account a ON a.id = h.account_id
    WHERE m.household_id >= :first_id AND m.household_id < :after_id
      AND stands_today(m.from_on, m.until_on)
    ORDER BY m.household_id, m.person_id, a.provider_code, a.id
""")


class _Row(NamedTuple):
    household_id: int
    person_id: int
    account_id: int
    provider_code: str
    account_no: str


def tell_share(session: Session, subject: str, *, public_url: str, now: datetime) -> int:
    """Tell a share of the households, ``"<YYYY-MM>.<first household>"``; returns how many people.

    A household in whose month nothing happened is not told so.
    """
    month_text, _, first_id = subject.partition(".")
    month = date.fromisoformat(f"{month_text}-01")
    values = {"first_id": int(first_id), "after_id": int(first_id) + SHARE_HOUSEHOLDS}
    rows = [_Row(*row) for row in _SHARE.rows(session, values)]
    persons = people(session, (row.person_id for row in rows))
    tellings = [
        telling
        for own, figures, tenant in _figured(session, rows, month)
        for telling in _tellings(own, figures, persons, month, tenant, public_url=public_url)
    ]
    if tellings:
        tell_all(session, tellings, now=now)
    return len(tellings)


def _figured(
    session: Session, rows: list[_Row], month: date
) -> Iterator[tuple[list[_Row], dict[int, Figures], int]]:
    """Yield the rows with their accounts' month: of who sees all of it, at once.

    With it the one person who sees only a part of what their home sees; or 0.
    """
    homes = {row.household_id for row in rows}
    tenants = hidden_from(session, homes)
    hidden: dict[tuple[int, int], list[BillRef]] = {
        (home, 0): bills for home, bills in hidden_bills(session, homes).items()
    }
    groups: dict[tuple[int, int], list[_Row]] = {}
    for row in rows:
        member, home = (row.household_id, row.person_id), (row.household_id, 0)
        key = member if member in tenants else home if home in hidden else (0, 0)
        groups.setdefault(key, []).append(row)
    for key, own in groups.items():
        bills = (hidden | tenants).get(key, [])
        yield own, figures_of(session, {row.account_id for row in own}, month, hidden=bills), key[1]


def _tellings(
    rows: list[_Row],
    figures: dict[int, Figures],
    persons: dict[int, Person],
    month: date,
    tenant: int,
    *,
    public_url: str,
) -> Iterator[Telling]:
    of_member: dict[tuple[int, int], list[_Row]] = {}
    for row in rows:
        if row.account_id in figures and not figures[row.account_id].is_nothing:
            of_member.setdefault((row.household_id, row.person_id), []).append(row)
    for (household_id, person_id), own in of_member.items():
        person, total = persons[person_id], add_up([figures[row.account_id] for row in own])
        yield Telling(
            event="statement.monthly", person=person, household_id=household_id,
            subject_ref=f"{household_id}.{month:%Y-%m}",
            attachment_ref=f"statement:{household_id}:{month:%Y-%m}:{person.locale}"
            + (f":{tenant}" if tenant else ""),
            facts=Facts(
                values={
                    "month": month_words(month, person.locale),
                    "amount": format_yuan(total.billed_fen), "count": str(total.bills),
                    "paid": format_yuan(total.paid_fen),
                },
                lines=[_line(row, figures[row.account_id], person.locale) for row in own],
                link=f"{public_url}/household/statement/{month:%Y-%m}.pdf?home={household_id}",
            ),
        )  # fmt: skip


def _line(row: _Row, figures: Figures, locale: str) -> tuple[str, str]:
    account = account_words(row.account_id, row.provider_code, row.account_no)
    name = f"{company_words(account, locale)} · {account.account_no_masked}"
    return name, format_yuan(figures.billed_fen)
