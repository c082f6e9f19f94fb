"""Whatever a caller has at hand leads to whom they mean, and a mistyped thing to nobody."""

import pytest

from billing.bills import format_ref
from billing.models import Bill, MemberRole
from billing.papers import Paper, put_paper
from core.db import transaction
from identity.people import get_person
from payments.desk.finding import Found, accounts_of, find, members_of
from tests.conftest import NOW
from tests.factories import a_home, a_paid_payment, a_person, a_record, bring_in, items_of, join

pytestmark = pytest.mark.usefixtures("city")


def found(typed: str) -> Found:
    with transaction() as session:
        return find(session, typed, {"sandbox": None}, now=NOW)  # type: ignore[dict-item]


def ids(typed: str) -> tuple[list[int | None], list[int | None], list[int]]:
    """People, accounts, payments."""
    hits = found(typed)
    return (
        [one.id for one in hits.people], [one.id for one in hits.accounts],
        [one.id for one in hits.payments],
    )  # fmt: skip


def test_an_account_number_finds_the_account_of_every_company_that_has_it():
    home = a_home(8_650)
    bring_in("gas", a_record(home.account_nos[0]))

    accounts = found(f" {home.account_nos[0]} ").accounts

    assert [one.provider_code for one in accounts] == ["gas", "water"]


def test_a_bill_is_found_by_account_and_bill_number_and_by_its_reference():
    home = a_home(8_650)
    [account_no], [ref] = home.account_nos, home.refs

    assert ids(f"{account_no} B1") == ([], [ref[0]], [])
    assert ids(f"{account_no}  B2") == ([], [], [])
    assert ids(format_ref(ref)) == ([], [ref[0]], [])
    assert ids(f"{ref[0]}.1") == ([], [], [])


def test_a_phone_finds_its_resident_and_a_name_all_of_that_name():
    one, other = a_person(name="王珅"), a_person(name="王珅琪")
    with transaction() as session:
        contact = get_person(session, one).contact

    assert ids(contact) == ([one], [], [])
    assert ids("王珅")[0] == [one, other]
    assert ids("王珅琪")[0] == [other]


def test_any_number_of_a_payment_finds_it():
    payment = a_paid_payment(a_home(8_650, 1_000))
    write_off = items_of(payment)[1].write_off_no

    for number in (str(payment.id), payment.order_no, payment.gateway_ref, write_off):
        assert ids(number) == ([], [], [payment.id]), number


@pytest.mark.parametrize("typed", ["", "  ", "nobody", "0000", "1.2.3", "9" * 60, "%", "'"])
def test_what_fits_nothing_finds_nothing(typed):
    a_home(8_650)

    assert found(typed).hits == 0


def test_more_than_a_page_of_namesakes_is_said():
    for _ in range(21):
        a_person(name="张伟")

    hits = found("张伟")

    assert (len(hits.people), hits.more) == (20, True)


def test_an_account_knows_its_people_and_a_person_their_accounts():
    home, other = a_home(8_650, 1_000), a_person()
    join(home, other, MemberRole.SEE)

    with transaction() as session:
        members = members_of(session, home.refs[0][0])
        [accounts] = accounts_of(session, other).values()

    assert [(one.person_id, one.role) for one in members] == [
        (home.owner_id, "manage"), (other, "see")
    ]  # fmt: skip
    assert [one.id for one in accounts] == [ref[0] for ref in home.refs]


def test_the_number_of_a_companys_own_invoice_finds_its_account():
    ref = a_home(8_650).refs[0]
    paper = Paper("application/pdf", b"%PDF-1.7", "26312000000048542163", NOW.date())
    with transaction() as session:
        put_paper(session, session.get_one(Bill, ref), paper, now=NOW)

    assert ids("26312000000048542163") == ([], [ref[0]], [])
