"""What is no longer so when its turn comes is not told, and it is known why."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import text

from core.db import transaction
from identity.sign_in import check_code
from notifications import bill_notices, digests, notices
from notifications.still_so import Told, no_longer_so, over
from payments.gateways.base import GatewayStatus
from tests.conftest import NOW, as_owner
from tests.factories import COMPANIES, a_home, a_paid_payment, a_payment, a_person, book
from tests.notifications.events import DAY, URL, find_ready, one_by_one, tell_all, tell_some, told
from tests.payments.autopay.autopaying import UP_TO_200, FarDebits, a_mandate, plan

pytestmark = pytest.mark.usefixtures("city")


def reasons(*channels: str) -> set[str]:
    """Why what was told over these channels is over."""
    with transaction() as session:
        rows = [one for channel in channels or ("inbox",) for one in told(channel=channel)]
        return set(over(session, rows).values())


@pytest.fixture
def home():
    home = a_home()
    one_by_one()
    find_ready(home.refs[0])
    tell_all()
    return home


class TestBills:
    def test_what_is_owed_is_still_so(self, home):
        assert reasons() == set()

    def test_a_payment_under_way_changes_nothing_yet(self, home):
        book(a_payment(home), GatewayStatus.OPEN)
        assert reasons() == set()

    def test_paid(self, home):
        a_paid_payment(home)
        assert reasons("inbox", "email") == {"paid"}

    def test_cancelled(self, home):
        home.cancel(0)
        assert reasons() == {"cancelled"}

    def test_corrected(self, home):
        home.correct(0, version=2, amount_fen=1_000)
        assert reasons() == {"superseded"}

    def test_who_left_the_household_is_told_nothing_of_it_any_more(self, home):
        with as_owner(unguarded=True) as connection:
            connection.execute(text("DELETE FROM household_member"))
        assert reasons() == {"left"}

    def test_autopay_will_pay_what_somebody_was_to_be_reminded_of(self, home):
        a_mandate(home, UP_TO_200)
        plan(FarDebits(), NOW)
        reminder = told()[0].subject_ref
        with transaction() as session:
            asked = [
                Told(event, home.owner_id, reminder)
                for event in ("bill.ready", "bill.due_soon", "bill.due_today")
            ]
            found = no_longer_so(session, asked)

        assert found == {asked[1]: "autopay", asked[2]: "autopay"}

    def test_an_unusual_usage_stays_one_though_it_was_paid(self, home):
        a_paid_payment(home)
        with transaction() as session:
            asked = Told("usage.unusual", home.owner_id, told()[0].subject_ref)
            assert no_longer_so(session, [asked]) == {}


class TestDigests:
    def test_a_digest_is_over_when_all_of_it_is(self):
        home = a_home(*[8_650] * len(COMPANIES))
        for ref in home.refs:
            find_ready(ref)
        tell_some()
        with transaction() as session:
            digests.flush_due(session, public_url=URL, now=NOW + timedelta(hours=2))
        assert [one.event for one in told()] == ["bill.ready.many"]

        a_paid_payment(home, *home.refs[1:])
        assert reasons() == set()
        a_paid_payment(home, home.refs[0])
        assert reasons() == {"paid"}


class TestOthers:
    def test_a_code_that_was_used_or_replaced_is_over(self):
        a_person()
        with transaction() as session:
            contact = session.execute(text("SELECT contact FROM person")).scalar_one()
            notices.send_sign_in_code(session, contact, secret="s" * 32, now=NOW)
        first = reasons("sms")
        with transaction() as session:
            notices.send_sign_in_code(session, contact, secret="s" * 32, now=NOW + DAY)
        assert (first, reasons("sms")) == (set(), {"superseded"})

        (code,) = re.findall(r"\d{6}", told(channel="sms")[-1].body)
        with transaction() as session:
            assert check_code(session, contact, code, secret="s" * 32, now=NOW + DAY) is not None
        assert reasons("sms") == {"superseded", "used"}

    def test_a_missing_bill_that_came(self):
        home = a_home()
        one_by_one()
        account_id = home.refs[0][0]
        with transaction() as session:
            session.execute(
                text(
                    "INSERT INTO missing_bill (account_id, billing_month, expected_by_on, "
                    "noticed_at) VALUES (:id, '2026-11-01', '2026-11-19', :now)"
                ),
                {"id": account_id, "now": NOW},
            )
            bill_notices.tell_missing(session, f"{account_id}.2026-11", public_url=URL, now=NOW)
        assert reasons() == set()

        with transaction() as session:
            session.execute(text("UPDATE missing_bill SET arrived_at = now()"))
        assert reasons() == {"arrived"}

    def test_what_nobody_can_take_back_is_never_over(self):
        with transaction() as session:
            asked = Told("payment.receipt", 1, "17")
            assert no_longer_so(session, [asked]) == {}
