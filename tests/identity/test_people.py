"""Who there is: one person a contact, whatever way it is typed."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from core.db import transaction
from core.errors import Invalid, NotFound
from identity.models import Role
from identity.people import add_person, find_person, get_person, normalise_contact
from tests.threads import at_once


def add(session, now, contact="19900000001", **others):
    return add_person(
        session, **{"role": Role.RESIDENT, "name": "王小明"} | others, contact=contact, now=now
    )


def test_the_same_contact_again_is_the_same_person(session, now):
    first = add(session, now, "Wang@Example.com")

    assert add(session, now, " wang@example.com ", name="别人") == first
    assert first.name == "王小明"


@pytest.mark.usefixtures("city")
def test_twenty_at_once_with_one_contact_are_one_person(now):
    def enter(_: int) -> int | None:
        with transaction() as session:
            return add(session, now).id

    assert len(set(at_once(20, enter))) == 1
    with transaction() as session:
        assert session.execute(text("SELECT count(*) FROM person")).scalar_one() == 1


@pytest.mark.parametrize(
    "contact",
    [
        "", " ", "-", "+", "王小明", "１９９００００x", "19900000001x", "@", "a@", "@b",
        "a@b,c@d", "a@b\nBcc:c@d", "a@b;c@d", "<a@b>", "a@b@c", "++19900000001",
    ],
)  # fmt: skip
def test_what_is_neither_a_phone_nor_one_address_is_refused(session, now, contact):
    with pytest.raises(Invalid) as refused:
        add(session, now, contact)

    assert refused.value.code == "contact.malformed"


@pytest.mark.parametrize("contact", ["19900000001", "+8619900000001", "wang.x+bills@mail.example"])
def test_phones_and_addresses_are_taken(session, now, contact):
    assert find_person(session, contact) is None
    assert add(session, now, contact) == find_person(session, contact)


def test_an_operator_is_of_a_company_and_nobody_else_is(session, now):
    with pytest.raises(IntegrityError, match="operator_of_company"), session.begin_nested():
        add(session, now, role=Role.OPERATOR)
    with pytest.raises(IntegrityError, match="operator_of_company"), session.begin_nested():
        add(session, now, provider_code="water")

    assert add(session, now, role=Role.OPERATOR, provider_code="water").id


def test_nobody_is_not_found(session):
    with pytest.raises(NotFound):
        get_person(session, 1)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("199-0000 0001", "19900000001"),
        ("Water-Ops@CityBill.example", "water-ops@citybill.example"),
        (" wang @ example.com ", "wang@example.com"),
        ("１９９－００００ ０００１", "19900000001"),  # as some keyboards write
    ],
)
def test_a_contact_is_kept_as_it_is_written_to(typed, kept):
    assert normalise_contact(typed) == kept
