"""Where an account stands among its company's steps, summed from its own bills."""

from datetime import date
from decimal import Decimal

import pytest

from billing.bills import get_bill
from billing.homes.households import visible_accounts
from billing.rules.tiers import Step, Tiers
from billing.tiers import tier_stands, year_of
from providers.base import RecordKind
from tests.factories import a_home, a_record, bring_in

pytestmark = pytest.mark.usefixtures("city")

WATER = Tiers(
    unit="m³", steps=(Step(upto=220, yuan="4.05"), Step(upto=300, yuan="5.80"), Step(yuan="8.79"))
)
TODAY = date(2026, 11, 20)


def bring(home, month: date, usage: str, **changes) -> None:
    row = a_record(
        home.account_nos[0], bill_no=f"M{month:%y%m}", billing_month=month, usage=Decimal(usage),
        issued_on=date(2026, 11, 1), due_on=date(2026, 12, 1), **changes,
    )  # fmt: skip
    bring_in("water", row)


def standing(session, home, tiers=WATER):
    accounts = visible_accounts(session, home.owner_id)
    bill = get_bill(session, home.refs[0], accounts, today=TODAY)
    return tier_stands(session, [bill], tiers).get(home.refs[0])


def test_the_years_earlier_bills_count_and_no_others(session):
    home, stranger = a_home(usage=Decimal(37)), a_home(usage=Decimal(90))
    for month, usage in ((1, "60"), (5, "50.5"), (9, "60.5"), (11, "500")):
        bring(home, date(2026, month, 1), usage)
    bring(home, date(2025, 12, 1), "400")
    bring(stranger, date(2026, 3, 1), "70")

    found = standing(session, home)

    assert (found.stand.before, found.stand.now) == (Decimal(171), Decimal(37))
    assert found.stand.left == 12
    assert (found.year_from, found.year_until) == (date(2026, 1, 1), date(2027, 1, 1))
    assert found.counted_from is None


def test_a_cancelled_bill_does_not_count_and_a_credit_takes_back(session):
    home = a_home(usage=Decimal(10))
    bring(home, date(2026, 1, 1), "50")
    bring(home, date(2026, 4, 1), "20", amount_fen=-2_000)
    bring(home, date(2026, 6, 1), "40")
    bring(home, date(2026, 6, 1), "40", kind=RecordKind.CANCEL)

    assert standing(session, home).stand.before == 30


def test_without_the_years_first_bills_it_says_from_when_it_counts(session):
    home = a_home(usage=Decimal(10))
    bring(home, date(2026, 5, 1), "30")

    assert standing(session, home).counted_from == date(2026, 5, 1)


def test_last_years_bills_show_that_none_is_missing(session):
    home = a_home(usage=Decimal(10))
    bring(home, date(2025, 11, 1), "30")

    found = standing(session, home)

    assert (found.counted_from, found.stand.before) == (None, Decimal(0))


def test_a_year_may_begin_in_another_month(session):
    home = a_home(usage=Decimal(10))
    bring(home, date(2026, 6, 1), "99")
    bring(home, date(2026, 7, 1), "30")

    found = standing(session, home, WATER.model_copy(update={"year_from_month": 7}))

    assert found.stand.before == 30
    assert found.year_from == date(2026, 7, 1)
    assert year_of(date(2026, 6, 1), 7) == date(2025, 7, 1)


@pytest.mark.parametrize(
    ("fen", "changes"), [(8_650, {"usage": None}), (8_650, {"usage_unit": "kWh"}), (-100, {})]
)
def test_what_no_step_is_for_has_none(session, fen, changes):
    assert standing(session, a_home(fen, **changes)) is None


def test_a_company_without_steps_says_nothing(session):
    assert standing(session, a_home(), None) is None
