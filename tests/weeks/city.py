"""The city a week begins with: people, households, bills; and how companies send more of them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from random import Random
from typing import Any

from sqlalchemy import text

from billing.bills import BillRef
from billing.files.bill_files import register
from billing.files.importing import import_bills
from billing.homes.households import bind_accounts, create_household
from billing.models import HouseholdMember, MemberRole
from billing.terms import ProviderTerms
from core.clock import add_months, utc_now
from core.db import transaction
from identity.models import Role
from identity.people import add_person
from providers.base import BillRecord, OptionKind, PayOption, PayTerms, RecordKind
from tests.conftest import as_owner, empty_city
from tests.factories import MONTH, Rows, a_record

ISSUED_ON = date(2026, 11, 1)
COMPANIES = ("water", "power", "gas", "telecom")
TERMS = {
    "water": (
        '[amount]\nmode = "exact_and_below"\nminimum_fen = 100\n'
        "[late_fee]\ninterest_ppm_per_day = 500\nonce_fen = 7\n"
    ),
    "power": "[late_fee]\npenalty_ppm = 30000\ngrace_days = 1\n",
    "gas": "[fee]\ntax_ppm = 60000\nslabs = [{ rate_ppm = 6000 }]\n",
    "telecom": 'surplus = "advance"\n[amount]\nmode = "any"\n',
}
PARTS = PayTerms(
    options=tuple(
        PayOption(f"instalment-{at}", OptionKind.INSTALMENT, str(at), fen)
        for at, fen in enumerate((4_000, 4_650), start=1)
    )
)
EARLY = PayTerms(
    options=(PayOption("early", OptionKind.EARLY, "early", 8_000, until_on=date(2026, 11, 19)),)
)
_RESTART = text(
    "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, 1, false) "
    "FROM pg_sequences WHERE schemaname = 'public'"
)


@dataclass
class Account:
    """A utility account of a household, and what its company has billed on it."""

    account_no: str
    company: str
    account_id: int = 0
    bills: dict[str, tuple[date, int]] = field(default_factory=dict)  # number: month, version


@dataclass
class Household:
    people: list[int]
    accounts: list[Account]
    household_id: int = 0


@dataclass
class BillFile:
    """A file a company has sent; imported again until it is through."""

    file_id: int
    company: str
    rows: tuple[BillRecord, ...]


class City:
    """Everybody in it, and what was sent to it."""

    def __init__(self, dice: Random) -> None:
        self.dice = dice
        self.households: list[Household] = []
        self.unfinished: list[BillFile] = []
        self.staff = 0, 0
        self._files = 0

    def found(self, households: int | None = None) -> None:
        """Empty the database and people it anew, with two to four households if nobody says."""
        empty_city()
        with as_owner() as connection:
            connection.execute(_RESTART)
        self._agree_on_terms()
        first = [self._move_in(at) for at in range(households or self.dice.randint(2, 4))]
        rows: dict[str, list[BillRecord]] = {}
        for household in first:
            for account in household.accounts:
                for _ in range(self.dice.choice((1, 2, 3))):
                    rows.setdefault(account.company, []).append(self.next_bill(account))
        for company in sorted(rows):
            self.land(self.send(company, rows[company]))
        for household in first:
            self._bind(household)

    def _person(self, number: int, role: Role) -> int:
        with transaction() as session:
            person = add_person(
                session, role=role, name="王珅", contact=f"+8613{number:09d}",
                email=f"person-{number}@city.example" if number % 2 else None, now=utc_now(),
            )  # fmt: skip
        assert person.id is not None
        return person.id

    def _agree_on_terms(self) -> None:
        first, second = self._person(9_000_001, Role.STAFF), self._person(9_000_002, Role.STAFF)
        self.staff = first, second
        with transaction() as session:
            for company, toml in TERMS.items():
                session.add(
                    ProviderTerms(
                        provider_code=company, effective_on=date(2020, 1, 1), content=toml,
                        reason="a week", proposed_by=first, proposed_at=utc_now(),
                        approved_by=second, approved_at=utc_now(),
                    )
                )  # fmt: skip

    def _move_in(self, at: int) -> Household:
        people = [self._person(10 * at + 1 + one, Role.RESIDENT) for one in range(1 + at % 2)]
        companies = self.dice.sample(COMPANIES, self.dice.randint(2, 4))
        accounts = [Account(f"{at:04d}{no:06d}", one) for no, one in enumerate(companies)]
        household = Household(people, accounts)
        self.households.append(household)
        return household

    def _bind(self, household: Household) -> None:
        owned = [(account.company, account.account_no) for account in household.accounts]
        with transaction() as session:
            made = create_household(
                session, name="汉口路", owner_id=household.people[0], now=utc_now()
            )
            assert made.id is not None
            household.household_id = made.id
            bind_accounts(session, made.id, owned, now=utc_now())
            for person_id in household.people[1:]:
                session.add(
                    HouseholdMember(household_id=made.id, person_id=person_id, role=MemberRole.PAY)
                )
            ids = session.execute(
                text("SELECT account_no, id FROM utility_account WHERE account_no = ANY(:nos)"),
                {"nos": [number for _, number in owned]},
            )
            found = {row.account_no: row.id for row in ids}
        for account in household.accounts:
            account.account_id = found[account.account_no]

    # --- what companies send

    def next_bill(self, account: Account) -> BillRecord:
        """Make a bill nobody has seen; now and then a credit, or one with alternatives."""
        number = f"B{len(account.bills) + 1}"
        month = add_months(MONTH, -(len(account.bills) % 3))
        account.bills[number] = month, 1
        due_on = self.dice.choice((date(2026, 11, 15), date(2026, 11, 18), date(2026, 12, 10)))
        changes: dict[str, Any] = {"amount_fen": self.dice.choice((8_650, 12_345, 1, 999, 8_650))}
        if self.dice.random() < 0.08:
            changes["amount_fen"] = -700
        elif self.dice.random() < 0.2:
            changes |= {"amount_fen": 8_650, "pay_terms": self.dice.choice((PARTS, EARLY))}
        return a_record(
            account.account_no, number, billing_month=month, due_on=due_on,
            issued_on=ISSUED_ON, **changes,
        )  # fmt: skip

    def next_change(self, account: Account) -> BillRecord:
        """Make a correction, a cancellation or a reminder of a bill that was sent."""
        number = self.dice.choice(sorted(account.bills))
        month, version = account.bills[number]
        account.bills[number] = month, version + 1
        kind = self.dice.choice((RecordKind.BILL, RecordKind.BILL, RecordKind.CANCEL,
                                 RecordKind.REMIND))  # fmt: skip
        due_on = date(2026, 12, 12)
        changes: dict[str, Any] = {
            "kind": kind, "version": version + 1, "amount_fen": self.dice.randint(1, 15_000),
            "billing_month": month, "due_on": due_on, "issued_on": ISSUED_ON,
        }  # fmt: skip
        if kind is RecordKind.REMIND:
            changes |= {"original_no": number, "amount_fen": self.dice.choice((0, 200))}
            number = f"R{number}-{version}"
            changes["version"] = 1
        return a_record(account.account_no, number, **changes)

    def send(self, company: str, rows: Sequence[BillRecord]) -> BillFile:
        """Upload a file: it is registered, and lands later."""
        self._files += 1
        with transaction() as session:
            bill_file, _ = register(
                session, company, sha256=f"file-{self._files}", size_bytes=1,
                file_name=f"bills-{self._files}.txt", received_via="test", now=utc_now(),
            )  # fmt: skip
        assert bill_file.id is not None
        numbered = tuple(row._replace(line_no=at) for at, row in enumerate(rows, start=2))
        sent = BillFile(bill_file.id, company, numbered)
        self.unfinished.append(sent)
        return sent

    def land(self, sent: BillFile) -> None:
        """Import a file, or go on with it."""
        import_bills(sent.file_id, Rows(*sent.rows), io.BytesIO, now=utc_now())
        self.unfinished.remove(sent)

    # --- what residents see

    def refs_of(self, household: Household) -> list[BillRef]:
        """Return a household's bills that may have something open, in a fixed order."""
        with transaction() as session:
            rows = session.execute(
                text(
                    "SELECT account_id, id FROM bill WHERE account_id = ANY(:accounts) "
                    "AND cancelled_at IS NULL "
                    "AND amount_fen + adjusted_fen - paid_fen - credited_fen > 0 ORDER BY 1, 2"
                ),
                {"accounts": [account.account_id for account in household.accounts]},
            )
            return [(row.account_id, row.id) for row in rows]
