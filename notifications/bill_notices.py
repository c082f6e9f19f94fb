"""Telling of bills: that one is there, that its last day is near or over, that one is missing.

What is to be told is found in one pass and kept as rows (``BillNews``); then it is told batch by
batch, by as many as have time, each batch in the transaction that takes its rows. Who is killed
between two batches has told what it had taken, and nobody is told twice.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from sqlmodel import Session, col, select

from billing.cycles import MissingBill
from billing.homes.spans import SEEN, seen_by
from billing.rules.calendars import pay_by
from billing.terms import terms_of
from billing.usage.unusual import Unusual, unusual_usage
from billing.views import AccountView
from core import outbox
from core.clock import billing_date, day_bounds
from core.db import HotStatement
from core.masking import mask_no
from core.money import format_yuan
from identity.models import Person
from notifications.models import News
from notifications.still_so import COVERED
from notifications.telling import Telling, tell_all
from notifications.usage_words import usage_values
from notifications.wording.rendering import Facts
from notifications.words import bill_words, company_words, day_words, month_words
from providers.registry import get_provider

STALE_DAYS = 14  # after its last day to pay nobody is told of a bill as new
BATCH_BILLS = 500
_SHARE = 5_000  # so many bills are worth one more worker …
_MOST_SHARES = 16  # … up to this many
_EVENTS = {
    News.READY: "bill.ready",
    News.SOON: "bill.due_soon",
    News.TODAY: "bill.due_today",
    News.LATE_1: "bill.overdue",
    News.LATE_7: "bill.overdue",
    News.LATE_30: "bill.overdue",
}
_OPEN = "b.amount_fen + b.adjusted_fen - b.paid_fen - b.credited_fen"

# Of a company's old bills, brought in when it joins us, only those are told that can still matter;
# the exact last day to pay is looked at when it is told.
_FIND_IN_FILE = HotStatement(f"""
    WITH found AS (
        INSERT INTO bill_news (account_id, bill_id, version, news, found_at)
        SELECT b.account_id, b.id, b.version, 'ready', :now
        FROM bill b
        WHERE b.bill_file_id = :bill_file_id AND b.due_on >= :not_before AND {_OPEN} > 0
          AND b.cancelled_at IS NULL
          AND EXISTS (SELECT FROM household_account h WHERE h.account_id = b.account_id AND {SEEN})
        ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT count(*) FROM found
""")  # noqa: S608  our own text
_FIND_CORRECTED = HotStatement(f"""
    WITH found AS (
        INSERT INTO bill_news (account_id, bill_id, version, news, found_at)
        SELECT b.account_id, b.id, b.version, 'ready', :now
        FROM bill_correction c JOIN bill b ON b.account_id = c.account_id AND b.id = c.bill_id
        WHERE c.id = :correction_id AND c.state = 'applied' AND b.due_on >= :not_before
          AND b.bill_file_id = c.bill_file_id AND {_OPEN} > 0 AND b.cancelled_at IS NULL
        ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT count(*) FROM found
""")  # noqa: S608  our own text
_LONGEST_ROLL = timedelta(days=31)  # from a due date back to its last working day of the month


def find_ready(session: Session, bill_file_id: int, *, now: datetime) -> int:
    """Find the bills of a file that somebody is to be told of; returns how many."""
    values = {"bill_file_id": bill_file_id, "not_before": _not_before(now), "now": now}
    return share_out(session, _FIND_IN_FILE.rows(session, values)[0][0], now=now)


def find_corrected(session: Session, correction_id: int, *, now: datetime) -> int:
    """Find the bill that a correction has changed once its payment had ended."""
    values = {"correction_id": correction_id, "not_before": _not_before(now), "now": now}
    return share_out(session, _FIND_CORRECTED.rows(session, values)[0][0], now=now)


def _not_before(now: datetime) -> date:
    return billing_date(now) - timedelta(days=STALE_DAYS) - _LONGEST_ROLL


def share_out(session: Session, bills: int, *, now: datetime) -> int:
    """Ask for bills that were found to be told, by more workers if they are many."""
    for share in range(min(-(-bills // _SHARE), _MOST_SHARES)):
        outbox.emit(session, "bill_news.found", share, now=now)
    return bills


# The rows are chosen once, apart: chosen in a subquery, a plan may choose again for each row.
_TAKE = HotStatement("""
    WITH next AS MATERIALIZED (
        SELECT account_id, bill_id, version, news FROM bill_news
        ORDER BY account_id, bill_id, version, news LIMIT :limit FOR UPDATE SKIP LOCKED)
    DELETE FROM bill_news n USING next
    WHERE n.account_id = next.account_id AND n.bill_id = next.bill_id
      AND n.version = next.version AND n.news = next.news
    RETURNING n.account_id, n.bill_id, n.version, n.news
""")

# All who belong to a household that holds the account, each once, whatever their role.
_PEOPLE = """
    SELECT m.person_id, min(m.household_id) AS household_id
    FROM household_account h
    JOIN household_member m ON m.household_id = h.household_id
                           AND stands_today(m.from_on, m.until_on)
    JOIN person p ON p.id = m.person_id AND p.ended_at IS NULL
    WHERE h.account_id = a.id AND {among}
    GROUP BY m.person_id
"""
_WHO_SEE = _PEOPLE.format(among=seen_by("m"))
_WHO_STAY = _PEOPLE.format(among="h.left_on IS NULL")

_CURRENT = HotStatement(f"""
    SELECT n.news, b.account_id, b.id, b.version, a.provider_code, a.account_no, b.billing_month,
           {_OPEN}, b.due_on, b.usage, b.usage_unit,
           b.period_to_on - b.period_from_on + 1, p.person_id, p.household_id
    FROM unnest(CAST(:account_ids AS bigint[]), CAST(:bill_ids AS bigint[]),
                CAST(:versions AS int[]), CAST(:news AS text[]))
         AS n (account_id, bill_id, version, news)
    JOIN bill b ON b.account_id = n.account_id AND b.id = n.bill_id AND b.version = n.version
    JOIN utility_account a ON a.id = b.account_id
    CROSS JOIN LATERAL ({_WHO_SEE}) p
    WHERE b.cancelled_at IS NULL AND b.held_by IS NULL AND {_OPEN} > 0
      AND (n.news = 'ready' OR NOT {COVERED})
    ORDER BY b.account_id, b.id, p.person_id
""")  # noqa: S608  our own texts


class Row(NamedTuple):
    """A bill as it is now, and one of the people to tell of it."""

    news: str
    account_id: int
    bill_id: int
    version: int
    provider_code: str
    account_no: str
    month: date
    open_fen: int
    due_on: date
    usage: Decimal | None
    usage_unit: str
    days: int
    person_id: int
    household_id: int

    @property
    def ref(self) -> str:
        return f"{self.account_id}.{self.bill_id}.{self.version}"

    @property
    def account(self) -> AccountView:
        return account_words(self.account_id, self.provider_code, self.account_no)


def account_words(account_id: int, provider_code: str, account_no: str) -> AccountView:
    """Return an account as notices name it: by its company, the number masked, nothing else."""
    provider = get_provider(provider_code)
    return AccountView(
        account_id=account_id, provider_code=provider_code, provider_name=provider.name,
        provider_name_en=provider.name_en, account_no_masked=mask_no(account_no),
        holder_masked="", address="",
    )  # fmt: skip


def tell_some(session: Session, *, public_url: str, now: datetime, limit: int = BATCH_BILLS) -> int:
    """Tell of the next bills there is something to tell of; returns how many bills were taken."""
    taken = sorted(_TAKE.rows(session, {"limit": limit}))
    if not taken:
        return 0
    account_ids, bill_ids, versions, news = zip(*taken, strict=True)
    values = {
        "account_ids": list(account_ids), "bill_ids": list(bill_ids),
        "versions": list(versions), "news": list(news),
    }  # fmt: skip
    rows = [Row(*row) for row in _CURRENT.rows(session, values)]
    tellings = list(_tellings(session, rows, public_url=public_url, today=billing_date(now)))
    if tellings:
        tell_all(session, tellings, now=now)
    return len(taken)


def people(session: Session, person_ids: Iterable[int]) -> dict[int, Person]:
    """Return people by their ids."""
    found = session.exec(select(Person).where(col(Person.id).in_(set(person_ids))))
    return {person.id or 0: person for person in found}


def _tellings(
    session: Session, rows: Sequence[Row], *, public_url: str, today: date
) -> Iterator[Telling]:
    terms = terms_of(session, {row.provider_code for row in rows}, today)
    persons = people(session, (row.person_id for row in rows))
    unusual = unusual_usage(
        session,
        {(row.account_id, row.bill_id): row.month for row in rows if row.news == News.READY},
    )
    for row in rows:
        person = persons[row.person_id]
        pay_by_on = pay_by(row.due_on, terms[row.provider_code].due)
        link = f"{public_url}/bills/{row.account_id}.{row.bill_id}"
        told = _telling(row, person, pay_by_on, link=link, today=today)
        if told is not None:
            yield told
        odd = unusual.get((row.account_id, row.bill_id)) if row.news == News.READY else None
        if odd is not None:
            yield _usage_telling(row, person, odd, link=link)


def _telling(
    row: Row, person: Person, pay_by_on: date, *, link: str, today: date
) -> Telling | None:
    """Return what to tell; nothing, when the day for it is over."""
    news, days = News(row.news), (pay_by_on - today).days
    subject_ref, expires_at = row.ref, None
    match news:
        case News.READY if days < -STALE_DAYS:
            return None
        case News.READY:
            pass
        case News.SOON if days > 0:
            expires_at = day_bounds(pay_by_on)[0]
        case News.TODAY if days == 0:
            expires_at = day_bounds(pay_by_on)[1]
        case News.LATE_1 | News.LATE_7 | News.LATE_30 if days < 0:
            subject_ref = f"{row.ref}.{news.removeprefix('late_')}"
        case _:
            return None
    return Telling(
        event=_EVENTS[news], person=person, subject_ref=subject_ref,
        household_id=row.household_id, expires_at=expires_at,
        facts=Facts(
            values=_values(row, person.locale) | {
                "amount": format_yuan(row.open_fen),
                "due_on": day_words(pay_by_on, person.locale),
                "days": str(abs(days)),
            },
            lines=((bill_words(row.account, row.month, person.locale), format_yuan(row.open_fen)),),
            link=link,
        ),
    )  # fmt: skip


def _values(row: Row, locale: str) -> dict[str, str]:
    return {
        "company": company_words(row.account, locale),
        "bill": bill_words(row.account, row.month, locale),
        "month": month_words(row.month, locale),
    }


def _usage_telling(row: Row, person: Person, odd: Unusual, *, link: str) -> Telling:
    service = get_provider(row.provider_code).service
    values = _values(row, person.locale) | usage_values(odd, service, person.locale)
    return Telling(
        event="usage.unusual", person=person, subject_ref=row.ref,
        household_id=row.household_id,
        facts=Facts(
            values=values,
            lines=((values["bill"], values["usage"]),),
            link=link,
        ),
    )  # fmt: skip


_AWAITED = HotStatement(f"""
    SELECT a.id, a.provider_code, a.account_no, p.person_id, p.household_id
    FROM utility_account a CROSS JOIN LATERAL ({_WHO_STAY}) p
    WHERE a.id = :account_id ORDER BY p.person_id
""")  # noqa: S608  our own text


def tell_missing(session: Session, subject: str, *, public_url: str, now: datetime) -> None:
    """Tell that a bill has not come; ``subject`` is ``"<account>.<YYYY-MM>"``."""
    account_id, _, month_text = subject.partition(".")
    month = date.fromisoformat(f"{month_text}-01")
    missing = session.get(MissingBill, (int(account_id), month))
    if missing is None or missing.arrived_at is not None:
        return
    rows = _AWAITED.rows(session, {"account_id": int(account_id)})
    persons = people(session, (row[3] for row in rows))
    tell_all(
        session,
        [
            _missing(account_words(*account), month, persons[person_id], household_id,
                     subject=subject, link=public_url)
            for *account, person_id, household_id in rows
        ],
        now=now,
    )  # fmt: skip


def _missing(
    account: AccountView, month: date, person: Person, household_id: int, *, subject: str, link: str
) -> Telling:
    locale = person.locale
    return Telling(
        event="bill.missing", person=person, subject_ref=subject, household_id=household_id,
        facts=Facts(
            values={
                "company": company_words(account, locale),
                "bill": bill_words(account, month, locale),
                "month": month_words(month, locale),
            },
            link=link,
        ),
    )  # fmt: skip
