"""Households: whose bills a person may see, and whose they may pay."""

from datetime import datetime

from sqlalchemy import ColumnElement, func, text, true
from sqlmodel import Session, col, select

from billing.homes.models import HouseholdAccount
from billing.homes.spans import Accounts, Span
from billing.models import (
    Household,
    HouseholdMember,
    MemberRole,
    UtilityAccount,
)
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


_PAYS_OF = HotStatement("""
    SELECT EXISTS (
        SELECT FROM household_account h JOIN household_member m USING (household_id)
        WHERE m.person_id = :person_id AND h.account_id = :account_id
          AND m.role IN ('pay', 'manage') AND stands_today(m.from_on, m.until_on))
""")


def pays_of(session: Session, person_id: int, account_id: int) -> bool:
    """Tell whether somebody may pay the bills of an account today, of those they see."""
    pays: bool = _PAYS_OF.rows(session, {"person_id": person_id, "account_id": account_id})[0][0]
    return pays


def visible_accounts(
    session: Session, person_id: int, *, to_pay: bool = False, household_id: int | None = None
) -> Accounts:
    """Return the accounts, by id, of the households a person belongs to today.

    Args:
        to_pay: only those whose bills the person may also pay.
        household_id: of this household alone; of somebody else's there are none.
    """
    roles = PAYING_ROLES if to_pay else list(MemberRole)
    found = session.exec(
        select(UtilityAccount, HouseholdAccount, HouseholdMember)
        .join(HouseholdAccount, col(HouseholdAccount.account_id) == col(UtilityAccount.id))
        .join(
            HouseholdMember,
            col(HouseholdMember.household_id) == col(HouseholdAccount.household_id),
        )
        .where(HouseholdMember.person_id == person_id, col(HouseholdMember.role).in_(roles))
        .where(BELONGS, _of_home(household_id))
        .order_by(col(UtilityAccount.id), col(HouseholdAccount.household_id))
    )
    seen = Accounts()
    for account, row, member in found:
        for span in (Span(row.since_on, row.left_on), *map(Span.of_stay, row.earlier)):
            seen.let_see(account, span.of_member(member))
    return seen


def _of_home(household_id: int | None) -> ColumnElement[bool]:
    if household_id is None:
        return true()
    return col(HouseholdMember.household_id) == household_id


def account_view(account: UtilityAccount) -> AccountView:
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
