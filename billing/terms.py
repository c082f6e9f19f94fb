"""A company's terms: proposed by one person, approved by another, in force from a day on."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Identity, Index, text
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.exc import IntegrityError
from sqlmodel import Field, Session, SQLModel, col, select

from billing.rules.terms import Terms, parse_terms
from core import log
from core.clock import billing_date
from core.db import HotStatement, UtcDateTime
from core.errors import CityBillError, Conflict, Invalid, NotAllowed, NotFound
from providers.registry import get_provider

_IN_FORCE_ONCE = "ix_provider_terms_in_force"
FIRST_REASON = "首次设定 · the first terms"
_log = log.logger(__name__)


class ProviderTerms(SQLModel, table=True):
    """A company's terms from a day on: ``content`` is the TOML ``billing.rules.terms`` reads.

    In force once a second person has approved them; then the row never changes.
    """

    __tablename__ = "provider_terms"
    __table_args__ = (
        CheckConstraint("approved_by <> proposed_by", name="two_people"),
        CheckConstraint("(approved_by IS NULL) = (approved_at IS NULL)", name="approval_says_when"),
        CheckConstraint("approved_at IS NULL OR withdrawn_at IS NULL", name="not_both"),
        Index(
            _IN_FORCE_ONCE, "provider_code", "effective_on", unique=True,
            postgresql_where=text("approved_at IS NOT NULL"),
        ),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    provider_code: str
    effective_on: date
    content: str
    reason: str
    proposed_by: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    proposed_at: datetime = Field(sa_type=UtcDateTime)
    approved_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    approved_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    withdrawn_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class TermsState(StrEnum):
    """Where terms stand on a day."""

    PROPOSED = "proposed"  # waits for a second person
    LAPSED = "lapsed"  # its day came before anybody approved it
    WITHDRAWN = "withdrawn"
    COMING = "coming"  # approved, and its day is ahead
    IN_FORCE = "in_force"
    PAST = "past"  # others came into force after it


class Difference(NamedTuple):
    """One key that new terms change, as the TOML would say it; none: it is not there."""

    key: str  # "late_fee.once_fen", "fee.slabs.0.rate_ppm"
    before: str | None
    after: str | None


def terms_on(session: Session, provider_code: str, day: date) -> Terms:
    """Return a company's terms in force on a day; without any, the plainest: exact, no fees."""
    return terms_of(session, [provider_code], day)[provider_code]


_CONTENTS = HotStatement("""
    SELECT DISTINCT ON (provider_code) provider_code, content FROM provider_terms
    WHERE provider_code = ANY(:codes) AND effective_on <= :day AND approved_at IS NOT NULL
    ORDER BY provider_code, effective_on DESC
""")


# The same of one company, inside a larger statement: NULL without any.
CONTENT = """
    SELECT content FROM provider_terms
    WHERE provider_code = a.provider_code AND effective_on <= :day AND approved_at IS NOT NULL
    ORDER BY effective_on DESC LIMIT 1
"""


def read_content(content: str | None) -> Terms:
    """Return the terms that ``CONTENT`` found."""
    return Terms() if content is None else parse_terms(content)


def terms_of(session: Session, provider_codes: Iterable[str], day: date) -> dict[str, Terms]:
    """Return what ``terms_on`` does for each of several companies, in one query."""
    codes = list(dict.fromkeys(provider_codes))
    found = dict(_CONTENTS.rows(session, {"codes": codes, "day": day}))
    return {code: read_content(found.get(code)) for code in codes}


def in_force(
    session: Session, provider_codes: Iterable[str], day: date
) -> dict[str, ProviderTerms]:
    """Return the terms in force on a day by company; a company that has none is not in it."""
    code, effective_on = col(ProviderTerms.provider_code), col(ProviderTerms.effective_on)
    newest = (
        select(ProviderTerms)
        .where(code.in_(list(provider_codes)), effective_on <= day)
        .where(col(ProviderTerms.approved_at).is_not(None))
        .order_by(code, effective_on.desc())
        .ext(distinct_on(code))
    )
    return {row.provider_code: row for row in session.exec(newest)}


def list_terms(session: Session, provider_code: str | None = None) -> list[ProviderTerms]:
    """Return all terms there ever were, of one company or all, the latest to come first."""
    found = select(ProviderTerms)
    if provider_code is not None:
        found = found.where(ProviderTerms.provider_code == provider_code)
    order = (col(ProviderTerms.effective_on).desc(), col(ProviderTerms.id).desc())
    return list(session.exec(found.order_by(col(ProviderTerms.provider_code), *order)))


def get_terms(session: Session, terms_id: int) -> ProviderTerms:
    """Return terms by their id.

    Raises:
        NotFound: there are none.
    """
    row = session.get(ProviderTerms, terms_id)
    if row is None:
        raise NotFound("there are no such terms")
    return row


def history(
    session: Session, provider_code: str, *, today: date
) -> list[tuple[ProviderTerms, TermsState]]:
    """Return a company's terms with where each stands, the latest to come first."""
    current = in_force(session, [provider_code], today).get(provider_code)
    rows = list_terms(session, provider_code)
    return [(row, _state(row, current, today)) for row in rows]


def list_ahead(session: Session, *, today: date) -> list[tuple[ProviderTerms, TermsState]]:
    """Return what is proposed or approved for days ahead, of all companies, the nearest first."""
    ahead = (
        select(ProviderTerms)
        .where(col(ProviderTerms.effective_on) > today)
        .where(col(ProviderTerms.withdrawn_at).is_(None))
        .order_by(col(ProviderTerms.effective_on), col(ProviderTerms.id))
    )
    return [(row, _state(row, None, today)) for row in session.exec(ahead)]


def state_of(session: Session, row: ProviderTerms, *, today: date) -> TermsState:
    """Tell where terms stand today."""
    current = in_force(session, [row.provider_code], today).get(row.provider_code)
    return _state(row, current, today)


def _state(row: ProviderTerms, current: ProviderTerms | None, today: date) -> TermsState:
    if row.withdrawn_at is not None:
        return TermsState.WITHDRAWN
    ahead = row.effective_on > today
    if row.approved_at is None:
        return TermsState.PROPOSED if ahead else TermsState.LAPSED
    if ahead:
        return TermsState.COMING
    is_current = current is not None and current.id == row.id
    return TermsState.IN_FORCE if is_current else TermsState.PAST


def propose(
    session: Session,
    *,
    provider_code: str,
    content: str,
    effective_on: date,
    reason: str,
    proposed_by: int,
    now: datetime,
) -> ProviderTerms:
    """Enter terms that wait for a second person; until then nothing changes.

    Raises:
        NotFound: there is no such company.
        Invalid: the terms are wrong (each key is named), the day is not ahead, or no reason.
    """
    if effective_on <= billing_date(now):
        raise _too_late("terms", Invalid)
    row = _checked(provider_code, content, effective_on, reason, proposed_by, now)
    session.add(row)
    session.flush()
    return row


def _checked(
    provider_code: str, content: str, effective_on: date, reason: str, proposed_by: int,
    now: datetime,
) -> ProviderTerms:  # fmt: skip
    """Return a row of terms that can be read, for a company there is and a reason that says it."""
    get_provider(provider_code)
    content = "\n".join(content.splitlines()).strip() + "\n"  # browsers send \r\n
    parse_terms(content)
    if not reason.strip():
        raise Invalid("say why: the second person decides by it", code="terms.reason")
    return ProviderTerms(
        provider_code=provider_code, content=content, effective_on=effective_on,
        reason=reason.strip(), proposed_by=proposed_by, proposed_at=now,
    )  # fmt: skip


def _too_late(what: str, kind: type[CityBillError]) -> CityBillError:
    return kind(
        f"{what} can come into force tomorrow at the earliest: propose them from a later day",
        code="terms.too_late",
    )


def approve(session: Session, terms_id: int, *, approved_by: int, now: datetime) -> ProviderTerms:
    """Let terms come into force on their day; the same person again changes nothing.

    Raises:
        NotFound: there are no such terms.
        NotAllowed: whoever proposed them cannot approve them.
        Conflict: they are approved or withdrawn, their day has come, or the company has others
            from that day on.
    """
    row = _lock(session, terms_id)
    if row.approved_by == approved_by:
        return row
    refused = why_not_approve(row, approved_by=approved_by, today=billing_date(now))
    if refused is not None:
        raise refused
    row.approved_by, row.approved_at = approved_by, now
    _enter(session, row)
    return row


def why_not_approve(row: ProviderTerms, *, approved_by: int, today: date) -> CityBillError | None:
    """Return why somebody cannot approve terms today; of those who can: None."""
    if row.withdrawn_at is not None:
        return Conflict("these terms were withdrawn: propose them anew", code="terms.withdrawn")
    if row.approved_at is not None:
        return Conflict("these terms are approved already", code="terms.approved")
    if row.proposed_by == approved_by:
        return _same_person()
    if row.effective_on <= today:
        return _too_late("these terms", Conflict)
    return None


def _same_person() -> NotAllowed:
    return NotAllowed(
        "who proposes terms cannot approve them: ask a colleague", code="terms.same_person"
    )


def _lock(session: Session, terms_id: int) -> ProviderTerms:
    row = session.get(ProviderTerms, terms_id, with_for_update=True)
    if row is None:
        raise NotFound("there are no such terms")
    return row


def _enter(session: Session, row: ProviderTerms) -> None:
    """Write approved terms; the database knows of no others of the company from the same day on."""
    company, effective_on = row.provider_code, row.effective_on
    try:
        with session.begin_nested():
            session.add(row)
            session.flush()
    except IntegrityError as wrong:
        if _IN_FORCE_ONCE not in str(wrong.orig):
            raise
        raise Conflict(
            f"{company} has approved terms from {effective_on} on already: withdraw these and"
            " propose them from another day",
            code="terms.day_taken",
        ) from None


def withdraw(session: Session, terms_id: int, *, by: int, now: datetime) -> ProviderTerms:
    """Take a proposal back; a second time changes nothing. Any of the staff may.

    Raises:
        NotFound: there are no such terms.
        Conflict: they are approved, and so for ever; propose others from a later day.
    """
    row = _lock(session, terms_id)
    if row.approved_at is not None:
        raise Conflict(
            "approved terms stay: propose others from a later day", code="terms.approved"
        )
    if row.withdrawn_at is None:
        row.withdrawn_at = now
        session.add(row)
        session.flush()
        _log.info("terms_withdrawn", terms_id=terms_id, provider=row.provider_code, by=by)
    return row


def put_first_terms(
    session: Session,
    provider_code: str,
    content: str,
    *,
    proposed_by: int,
    approved_by: int,
    effective_on: date,
    now: datetime,
) -> ProviderTerms:
    """Configure a company that has no terms at all, by two people at once.

    Only these may be in force from a past day on: nothing was decided before them.

    Raises:
        NotFound: there is no such company.
        Invalid: the terms are wrong.
        NotAllowed: it is one person.
        Conflict: the company has terms: ``propose`` others.
    """
    if proposed_by == approved_by:
        raise _same_person()
    row = _checked(provider_code, content, effective_on, FIRST_REASON, proposed_by, now)
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('provider_terms'), hashtext(:code))"),
        {"code": provider_code},
    )
    if list_terms(session, provider_code):
        raise Conflict(
            f"{provider_code} has terms already: propose others from a day ahead",
            code="terms.not_first",
        )
    row.approved_by, row.approved_at = approved_by, now
    _enter(session, row)
    return row


def changes(session: Session, row: ProviderTerms) -> list[Difference]:
    """Return what terms change against those in force on the eve of their first day."""
    eve = row.effective_on - timedelta(days=1)
    return differences(terms_on(session, row.provider_code, eve), parse_terms(row.content))


def differences(before: Terms, after: Terms) -> list[Difference]:
    """Return each key on which two terms differ, in the order of the keys."""
    old, new = (dict(_flat(terms.model_dump(mode="json"))) for terms in (before, after))
    return [
        Difference(key, old.get(key), new.get(key))
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    ]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every key that has a value, with its path; a list of words is one value."""
    inner: Iterable[tuple[object, Any]]
    match value:
        case None | []:
            return
        case dict():
            inner = value.items()
        case list() if any(isinstance(one, dict) for one in value):
            inner = enumerate(value)
        case list():
            yield path, ", ".join(map(str, value))
            return
        case _:
            yield path, str(value).lower() if isinstance(value, bool) else str(value)
            return
    for name, one in inner:
        yield from _flat(one, f"{path}.{name}" if path else str(name))
