"""How a day stands with gateways, companies and the bank."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from core.clock import day_bounds
from core.db import transaction
from core.errors import BillFileError
from payments.reconciliation.gateway.arrivals import expect
from payments.reconciliation.models import Leg
from payments.reconciliation.standing import (
    BillFiles,
    Files,
    Matched,
    bill_files_between,
    files_of,
    matched_on,
    together,
)
from tests.factories import NOW, a_home, a_paid_payment, a_record, bring_in
from tests.payments.reconciliation.banking import DAY, Line, bank_says
from tests.payments.reconciliation.company_days import row_of as list_row
from tests.payments.reconciliation.company_days import run as run_list
from tests.payments.reconciliation.company_days import written_off
from tests.payments.reconciliation.test_arrivals import Filing
from tests.payments.reconciliation.test_matching import a_file, row_of, run

MORNING = datetime.fromisoformat("2026-11-21T11:00:00+08:00")
pytestmark = pytest.mark.usefixtures("city")


def matched() -> list[Matched]:
    with transaction() as session:
        return matched_on(session, DAY)


def files(*, now: datetime = MORNING) -> dict[Leg, Files]:
    with transaction() as session:
        return {one.leg: one for one in files_of(session, DAY, now=now)}


class TestMatched:
    def test_a_gateways_day_counts_the_longer_of_both_books(self):
        right, wrong = (a_paid_payment(a_home(8_650)) for _ in range(2))
        run(a_file([row_of(right), row_of(wrong, amount="86.48")]))

        assert matched() == [Matched(Leg.GATEWAY, "sandbox", 1, 2)]

    def test_a_companys_day_leaves_out_what_its_next_list_may_have(self):
        one, _awaited = written_off(), written_off()
        run_list([list_row(one)])

        assert matched() == [Matched(Leg.COMPANY, "water", 1, 1)]

    def test_of_the_bank_entries_are_counted(self):
        bank_says(Line(100, on=0), Line(-200, on=0))

        assert matched() == [Matched(Leg.BANK, "account-1", 0, 2)]

    def test_a_day_whose_files_are_not_here_has_no_share(self):
        a_paid_payment(a_home(8_650))

        assert together(matched(), Leg.GATEWAY).per_mille is None

    @given(st.integers(0, 10**9), st.integers(1, 10**9))
    def test_a_thousand_in_a_thousand_means_all_of_them(self, some, more):
        share = Matched(Leg.GATEWAY, "", some, some + more).per_mille

        assert share is not None
        assert 0 <= share < 1_000
        assert Matched(Leg.GATEWAY, "", more, more).per_mille == 1_000


class TestFiles:
    def test_a_gateways_file_is_expected_then_late_then_here(self):
        payment = a_paid_payment(a_home(8_650))
        with transaction() as session:
            expect(session, {"sandbox": Filing()}, now=MORNING)
        assert files()[Leg.GATEWAY] == Files(Leg.GATEWAY, 1, 0, 0)
        later = MORNING + timedelta(hours=4)
        assert files(now=later)[Leg.GATEWAY] == Files(Leg.GATEWAY, 1, 0, 1)

        run(a_file([row_of(payment)]))

        assert files(now=later)[Leg.GATEWAY] == Files(Leg.GATEWAY, 1, 1, 0)

    def test_of_the_bank_an_account_is_here_when_its_statements_reach_the_day(self):
        bank_says(Line(100, on=-2))
        assert files()[Leg.BANK] == Files(Leg.BANK, 1, 0, 1)

        bank_says(Line(100, on=0))

        assert files()[Leg.BANK] == Files(Leg.BANK, 1, 1, 0)

    def test_a_companys_list(self):
        run_list([list_row(written_off())])

        assert files()[Leg.COMPANY] == Files(Leg.COMPANY, 1, 1, 0)

    def test_bill_files_of_a_day_and_companies_nobody_can_fetch_from(self):
        bring_in("water", a_record("0000000001"))
        bring_in("water", a_record("0000000002"), now=NOW + timedelta(days=1))
        with pytest.raises(BillFileError):
            bring_in("power", refuse="torn")
        with transaction() as session:
            session.execute(
                text("INSERT INTO delivery_poll (provider_code, due_at, failures, complaint)"
                     " VALUES ('gas', :now, 2, 'away'), ('telecom', :now, 0, NULL)"),
                {"now": NOW},
            )  # fmt: skip
            seen = bill_files_between(session, *day_bounds(DAY))

        assert seen == BillFiles(received=2, imported=1, refused=1, rows=1, unreachable=1)
