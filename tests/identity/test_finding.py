"""People are found by a phone however it is typed, by an address, by a name's beginning."""

import pytest

from core.db import transaction
from identity.finding import find_by_contact, find_by_name
from identity.models import Role
from identity.people import add_person
from tests.conftest import NOW
from tests.factories import a_guest, a_person

pytestmark = pytest.mark.usefixtures("city")


def add(name: str, contact: str, role: Role = Role.RESIDENT, **others: str) -> int:
    with transaction() as session:
        person = add_person(session, role=role, name=name, contact=contact, now=NOW, **others)
        assert person.id is not None
        return person.id


def by_contact(typed: str) -> list[int | None]:
    with transaction() as session:
        return [one.id for one in find_by_contact(session, typed, limit=20)]


def by_name(typed: str, limit: int = 20) -> list[int | None]:
    with transaction() as session:
        return [one.id for one in find_by_name(session, typed, limit=limit)]


@pytest.mark.parametrize(
    "typed", ["19900000001", "199 0000 0001", "199-0000-0001", "+8619900000001", "+86 19900000001"]
)
@pytest.mark.parametrize("stored", ["19900000001", "+8619900000001"])
def test_a_phone_is_found_with_its_country_and_without(stored, typed):
    person = add("王小明", stored)
    add("李四", "19900000002")

    assert by_contact(typed) == [person]


def test_an_address_is_found_by_sign_in_and_by_receipts_of_guests_too():
    person = add("王小明", "wang@city.example")
    receipts = add("李四", "19900000002", email="li@city.example")
    guest = a_guest(email="li@city.example")

    assert by_contact("Wang@City.example") == [person]
    assert by_contact("li@city.example") == [guest, receipts]


@pytest.mark.parametrize("typed", ["", "123", "@", "王小明", "%", "1990000000_"])
def test_what_is_no_contact_finds_nobody(typed):
    add("王小明", "19900000001")

    assert by_contact(typed) == []


def test_staff_and_operators_are_no_residents():
    add("陈晓", "staff@city.example", Role.STAFF)
    a_person(Role.OPERATOR, name="陈晓")

    assert by_contact("staff@city.example") == []
    assert by_name("陈晓") == []


def test_a_name_is_found_by_its_beginning_those_of_exactly_that_name_first():
    longer, exact, other = (
        add(name, f"1990000000{at}") for at, name in enumerate(["王小明", "王小", "王大"])
    )

    assert by_name("王小") == [exact, longer]
    assert by_name(" 王大 ") == [other]
    assert len(by_name("王小", limit=1)) == 1


@pytest.mark.parametrize("typed", ["王", "", "%%", "王_", "小明"])
def test_one_family_name_or_a_pattern_finds_nobody(typed):
    add("王小明", "19900000001")

    assert by_name(typed) == []
