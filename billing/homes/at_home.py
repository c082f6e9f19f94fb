"""What a home page stands on: somebody's homes, and the accounts in them."""

from typing import NamedTuple

from sqlmodel import Session

from billing.homes.people import Home, Standing
from billing.homes.spans import Accounts, Span
from billing.models import HomeKind, MemberRole
from billing.rows import AccountRow
from core.db import HotStatement
from core.errors import NotFound


class AtHome(NamedTuple):
    """All of somebody's homes, and the accounts of all or of the one they chose."""

    homes: list[Standing]
    chosen: Standing | None
    accounts: Accounts
    payable: set[int]  # of all homes, the accounts whose bills they may also pay
    names: dict[int, str]  # by account the home that has it, of several the first


_HOMES = HotStatement("""
    SELECT h.id, h.name, h.kind, m.role, m.from_on, m.earlier_bills, s.since_on, s.left_on,
           s.earlier, a.id, a.provider_code, a.account_no, a.holder_name, a.address
    FROM household_member m JOIN household h ON h.id = m.household_id
    LEFT JOIN household_account s ON s.household_id = h.id
    LEFT JOIN utility_account a ON a.id = s.account_id
    WHERE m.person_id = :person_id AND stands_today(m.from_on, m.until_on)
    ORDER BY a.id, h.id
""")


def look_at_home(session: Session, person_id: int, household_id: int | None = None) -> AtHome:
    """Return in one query what ``list_standings`` and ``visible_accounts`` do.

    Raises:
        NotFound: they have no such home.
    """
    homes: dict[int, Standing] = {}
    seen = Accounts()
    payable: set[int] = set()
    names: dict[int, str] = {}
    for number, name, kind, role, from_on, earlier_bills, *rest in _HOMES.rows(
        session, {"person_id": person_id}
    ):
        home = homes.setdefault(
            number, Standing(Home(number, name, HomeKind(kind)), MemberRole(role))
        )
        since_on, left_on, earlier, *account = rest
        if account[0] is None:
            continue
        row = AccountRow(*account)
        names.setdefault(row.id, name)
        if home.pays:
            payable.add(row.id)
        if household_id in (None, number):
            for span in (Span(since_on, left_on), *map(Span.of_stay, earlier)):
                seen.let_see(row, span.of_member(from_on, earlier_bills=earlier_bills))
    if household_id is not None and household_id not in homes:
        raise NotFound("there is no such home")
    chosen = None if household_id is None else homes[household_id]
    return AtHome([homes[one] for one in sorted(homes)], chosen, seen, payable, names)
