"""From when to when somebody sees an account's bills: who moved in, and who has left.

A home that left an account sees the bills whose period begins by its last day: the last bill with
them. A home that came after one that left sees those that end after that day. The bill across the
day, where no meter was read for it, is both homes' to see: somebody has to pay it. A home that
left and came back also sees the bills of its stays before. Of its people, a tenant may see bills
from the first day of the lease on alone.

Every look at bills asks here: ``bills_of`` in a query by an account's id, ``may_see`` of a bill
that is loaded, in SQL that joins homes ``SEEN``, and ``seen_by`` where it joins their people.
"""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import NamedTuple, Protocol, Self

from sqlalchemy import ColumnElement, and_, false, or_
from sqlalchemy.dialects.postgresql import Range
from sqlmodel import col

from billing.models import Bill
from billing.rows import AnyAccount, BillRow

_DAY = timedelta(days=1)


class Stay(Protocol):
    """Days from one to before another, as drivers give ranges."""

    @property
    def lower(self) -> date | None: ...
    @property
    def upper(self) -> date | None: ...


class Span(NamedTuple):
    """The bills whose period ends after ``since_on`` and begins by ``left_on``; None: no limit."""

    since_on: date | None = None
    left_on: date | None = None

    def shows(self, period_from_on: date, period_to_on: date) -> bool:
        """Tell whether a bill of this period is among them."""
        came = self.since_on is None or period_to_on > self.since_on
        return came and (self.left_on is None or period_from_on <= self.left_on)

    def of_member(self, from_on: date | None, *, earlier_bills: bool) -> Self:
        """Return what one of the home's people sees of it, of a tenant from their first day on."""
        if earlier_bills or from_on is None:
            return self
        since_on = from_on - _DAY
        return self._replace(since_on=max(self.since_on or since_on, since_on))

    def stay(self) -> list[Range[date]]:
        """Return it as a stay that is kept: days from one to before another; of no day, nothing."""
        first_on = self.since_on + _DAY if self.since_on else None
        after_on = self.left_on + _DAY if self.left_on else None
        if first_on and after_on and first_on >= after_on:
            return []
        return [Range(first_on, after_on)]

    @classmethod
    def of_stay(cls, stay: Stay) -> Self:
        """Return the span of a stay that was kept."""
        return cls(
            stay.lower - _DAY if stay.lower else None, stay.upper - _DAY if stay.upper else None
        )


# Of a bill ``b`` and a span ``h``.
WITHIN = """
    (h.since_on IS NULL OR b.period_to_on > h.since_on)
    AND (h.left_on IS NULL OR b.period_from_on <= h.left_on)
"""
# Of a bill ``b`` and a home's account ``h``: its span now, and its stays before.
SEEN = f"""
    ({WITHIN} OR h.earlier && daterange(b.period_from_on, b.period_to_on, '[]'))
"""


def seen_by(member: str) -> str:
    """Return ``SEEN`` for one of the home's people: of a tenant, from their first day on."""
    return f"({SEEN} AND ({member}.earlier_bills OR b.period_to_on >= {member}.from_on))"


# The same where ``:person_id`` may be nobody: then it is all that the home sees.
SEEN_BY_PERSON = f"""
    ({SEEN} AND (CAST(:person_id AS bigint) IS NULL OR EXISTS (
        SELECT FROM household_member m
        WHERE m.household_id = h.household_id AND m.person_id = :person_id
          AND (m.earlier_bills OR b.period_to_on >= m.from_on))))
"""


class Accounts(dict[int, AnyAccount]):
    """Accounts somebody may see, by id; ``spans`` are of those whose bills they see in part.

    Take a part with ``only``, and put two together with ``|``: a plain dict forgets the spans.
    """

    def __init__(self) -> None:
        super().__init__()
        self.spans: dict[int, list[Span]] = {}

    def let_see(self, account: AnyAccount, span: Span) -> None:
        """Add an account, or more of one that is here."""
        assert account.id is not None
        if account.id in self and account.id not in self.spans:
            return  # all of it already
        self[account.id] = account
        if span == Span():
            self.spans.pop(account.id, None)
        else:
            self.spans.setdefault(account.id, []).append(span)

    def only(self, wanted: Callable[[AnyAccount], bool]) -> Self:
        """Return those of them that are wanted."""
        part = type(self)()
        for account_id, account in self.items():
            if wanted(account):
                part[account_id] = account
                if account_id in self.spans:
                    part.spans[account_id] = self.spans[account_id]
        return part

    def staying(self) -> Self:
        """Return those that have not been left, and are not to be."""
        return self.only(
            lambda one: any(span.left_on is None for span in self.spans.get(one.id or 0, [Span()]))
        )

    def __or__(self, other: Mapping[int, AnyAccount]) -> Self:  # type: ignore[override]
        both = self.only(lambda _: True)
        for account_id, account in other.items():
            for span in spans_of(other).get(account_id, [Span()]):
                both.let_see(account, span)
        return both


def spans_of(accounts: Mapping[int, AnyAccount]) -> dict[int, list[Span]]:
    """Return by account the spans somebody sees; of staff, who see all, none."""
    return accounts.spans if isinstance(accounts, Accounts) else {}


def may_see(accounts: Mapping[int, AnyAccount], bill: Bill | BillRow) -> bool:
    """Tell whether a bill is one of those of ``accounts`` that may be seen."""
    return bill.account_id in accounts and any(
        span.shows(bill.period_from_on, bill.period_to_on)
        for span in spans_of(accounts).get(bill.account_id, [Span()])
    )


def bills_of(accounts: Mapping[int, AnyAccount]) -> ColumnElement[bool]:
    """Return the condition that a bill is one of those of ``accounts`` that may be seen."""
    spans = spans_of(accounts)
    mine = col(Bill.account_id).in_(accounts)
    if not spans:
        return mine
    hidden = [
        and_(col(Bill.account_id) == account_id, ~or_(false(), *map(_within, of_it)))
        for account_id, of_it in sorted(spans.items())
    ]
    return and_(mine, ~or_(*hidden))


def _within(span: Span) -> ColumnElement[bool]:
    parts = []
    if span.since_on is not None:
        parts.append(col(Bill.period_to_on) > span.since_on)
    if span.left_on is not None:
        parts.append(col(Bill.period_from_on) <= span.left_on)
    return and_(*parts)
