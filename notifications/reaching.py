"""Which of a company's accounts a message of its own is for, and whom it so reaches."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlmodel import Session

from core.db import HotStatement
from core.errors import Invalid
from notifications.models import Offer, Reach, ServiceMessage

MOST_ACCOUNTS = 5_000
# Of utility_account ``a``, with the values of ``concerned``.
CONCERNED = """
    a.provider_code = :provider_code
    AND (CAST(:prefix AS text) IS NULL OR starts_with(a.address, CAST(:prefix AS text)))
    AND (CAST(:account_nos AS text[]) IS NULL OR a.account_no = ANY(CAST(:account_nos AS text[])))
"""
_COUNT = HotStatement(f"""
    SELECT count(DISTINCT a.id), count(DISTINCT h.household_id)
    FROM utility_account a JOIN household_account h ON h.account_id = a.id
    WHERE {CONCERNED}
""")  # noqa: S608  our own text
_NEXT = HotStatement(f"""
    SELECT a.id FROM utility_account a
    WHERE {CONCERNED} AND a.id > :after
      AND EXISTS (SELECT FROM household_account h WHERE h.account_id = a.id)
    ORDER BY a.id LIMIT :limit
""")  # noqa: S608  our own text


class Reached(NamedTuple):
    """How many accounts of a company a message concerns, and in how many households."""

    accounts: int
    households: int


def check_reach(reach: Reach, address_prefix: str, account_nos: Sequence[str]) -> None:
    """Make sure that a message says whom it is for.

    Raises:
        Invalid: it does not.
    """
    if reach is Reach.ADDRESS and len(address_prefix.strip()) < 2:
        raise Invalid(
            "write how the addresses begin, two characters at least", code="service_message.address"
        )
    if reach is Reach.ACCOUNTS and not 0 < len(set(account_nos)) <= MOST_ACCOUNTS:
        raise Invalid(
            "list the account numbers, one on each line, 5,000 at most",
            code="service_message.accounts",
        )


def concerned(message: ServiceMessage | Offer) -> dict[str, Any]:
    """Return the values of ``CONCERNED``."""
    return {
        "provider_code": message.provider_code, "prefix": message.address_prefix,
        "account_nos": message.account_nos,
    }  # fmt: skip


def reached(session: Session, message: ServiceMessage | Offer) -> Reached:
    """Count whom a message concerns, of those who are with us."""
    return Reached(*_COUNT.rows(session, concerned(message))[0])


def next_accounts(
    session: Session, message: ServiceMessage | Offer, after: int, *, limit: int
) -> list[int]:
    """Return the next accounts a message is for, in the order of their numbers."""
    values = concerned(message) | {"after": after, "limit": limit}
    return [account_id for (account_id,) in _NEXT.rows(session, values)]
