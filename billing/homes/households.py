"""Households: whose bills a person may see, and whose they may pay."""

from datetime import datetime

from sqlalchemy import func, text
from sqlmodel import Session, col, select

from billing.homes.spans import Accounts, Span
from billing.models import (
    Household,
    HouseholdMember,
    MemberRole,
)
from billing.rows import AccountRow, AnyAccount
from billing.views import AccountView
from core.db import HotStatement, count_changed
from core.masking import mask_name, mask_no
from providers.registry import get_provider

PAYING_ROLES = [MemberRole.PAY, MemberRole.MANAGE]
# That a membership holds today; the database knows the day.
BELONGS = func.stands_today(col(HouseholdMember.from_on), col(HouseholdMember.until_on))


def create_household(session: Session, *, name: str, owner_id: int, now: datetime) -> Household:
    """Make a household that ``owner_id`` manages."""
    household = Household(name=name, created_at=now)
    session.add(household)
    session.flush()
    assert household.id is not None
    session.add(
        HouseholdMember(household_id=household.id, person_id=owner_id, role=MemberRole.MANAGE)
    )
    return household


def bind_accounts(
    session: Session,
    household_id: int,
    accounts: list[tuple[str, str]],
    *,
    now: datetime,
) -> int:
    """Bind (provider code, account no) pairs that companies have billed; returns how many are new.

    The caller has made sure that the household may have them.
    """
    bound = session.execute(
        text("""
            INSERT INTO household_account (household_id, account_id, bound_at)
            SELECT :household_id, a.id, :now
            FROM utility_account a
            JOIN unnest(CAST(:providers AS text[]), CAST(:numbers AS text[])) AS w (code, no)
              ON a.provider_code = w.code AND a.account_no = w.no
            ON CONFLICT DO NOTHING
        """),
        {
            "household_id": household_id,
            "now": now,
            "providers": [code for code, _ in accounts],
            "numbers": [number for _, number in accounts],
        },
    )
    return count_changed(bound)


def find_household(session: Session, person_id: int) -> Household | None:
    """Return the first household a person belongs to today."""
    return session.exec(
        select(Household)
        .join(HouseholdMember, col(HouseholdMember.household_id) == col(Household.id))
        .where(HouseholdMember.person_id == person_id, BELONGS)
        .order_by(col(Household.id))
        .limit(1)
    ).one_or_none()


def list_households(session: Session, person_id: int) -> list[Household]:
    """Return the households a person belongs to today, the first first."""
    return list(
        session.exec(
            select(Household)
            .join(HouseholdMember, col(HouseholdMember.household_id) == col(Household.id))
            .where(HouseholdMember.person_id == person_id, BELONGS)
            .order_by(col(Household.id))
        )
    )


def pays_in(session: Session, person_id: int, household_id: int | None) -> bool:
    """Tell whether somebody may pay the bills of a household today."""
    paying = select(HouseholdMember.person_id).where(
        HouseholdMember.household_id == household_id,
        HouseholdMember.person_id == person_id,
        col(HouseholdMember.role).in_(PAYING_ROLES),
        BELONGS,
    )
    return session.exec(paying).first() is not None


_VISIBLE = HotStatement("""
    SELECT a.id, a.provider_code, a.account_no, a.holder_name, a.address,
           h.since_on, h.left_on, h.earlier, m.from_on, m.earlier_bills
    FROM household_member m
    JOIN household_account h USING (household_id) JOIN utility_account a ON a.id = h.account_id
    WHERE m.person_id = :person_id AND m.role = ANY(:roles) AND stands_today(m.from_on, m.until_on)
      AND (CAST(:household_id AS bigint) IS NULL OR m.household_id = :household_id)
    ORDER BY a.id, h.household_id
""")


def visible_accounts(
    session: Session, person_id: int, *, to_pay: bool = False, household_id: int | None = None
) -> Accounts:
    """Return the accounts, by id, of the households a person belongs to today.

    Args:
        to_pay: only those whose bills the person may also pay.
        household_id: of this household alone; of somebody else's there are none.
    """
    values = {
        "person_id": person_id, "household_id": household_id,
        "roles": PAYING_ROLES if to_pay else list(MemberRole),
    }  # fmt: skip
    seen = Accounts()
    for *account, since_on, left_on, earlier, from_on, earlier_bills in _VISIBLE.rows(
        session, values
    ):
        for span in (Span(since_on, left_on), *map(Span.of_stay, earlier)):
            seen.let_see(AccountRow(*account), span.of_member(from_on, earlier_bills=earlier_bills))
    return seen


def account_view(account: AnyAccount) -> AccountView:
    """Return an account as it may be shown: number and holder masked."""
    provider = get_provider(account.provider_code)
    assert account.id is not None
    return AccountView(
        account_id=account.id,
        provider_code=provider.code,
        provider_name=provider.name,
        provider_name_en=provider.name_en,
        account_no_masked=mask_no(account.account_no),
        holder_masked=mask_name(account.holder_name),
        address=account.address,
    )
