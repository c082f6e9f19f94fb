"""Enough for the owner to know it again, never enough for anybody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.masking import mask_address, mask_contact, mask_name, mask_no


@pytest.mark.parametrize(
    ("whole", "shown"),
    [("12345678", "****5678"), ("0000000001", "******0001"), ("12345", "****2345"), ("", "")],
)
def test_an_account_number_shows_its_last_four(whole, shown):
    assert mask_no(whole) == shown


@pytest.mark.parametrize(("whole", "shown"), [("王小明", "王**"), ("王", "王*"), ("", "")])
def test_a_name_shows_the_family(whole, shown):
    assert mask_name(whole) == shown


@pytest.mark.parametrize(
    ("whole", "shown"),
    [
        ("19900000001", "199****0001"), ("+8619900000001", "+86****0001"), ("1234567", "****"),
        ("", "****"), ("wang@example.com", "w***@example.com"), ("@example.com", "***@example.com"),
    ],
)  # fmt: skip
def test_a_contact_shows_its_ends(whole, shown):
    assert mask_contact(whole) == shown


@pytest.mark.parametrize(
    ("whole", "shown"),
    [
        ("汉口路1弄2号", "汉口路****"),
        ("南京东路１００号", "南京东路****"),
        ("12号", "****"),
        ("", ""),
    ],
)
def test_an_address_shows_the_street(whole, shown):
    assert mask_address(whole) == shown


@given(st.text("0123456789", min_size=1, max_size=30))
def test_at_most_four_digits_of_a_number_are_ever_seen(number):
    seen = mask_no(number)

    assert sum(mark.isdigit() for mark in seen) <= 4
    assert number not in seen


@given(st.text("王小明李", min_size=2, max_size=6))
def test_a_name_of_two_or_more_is_never_whole(name):
    assert mask_name(name) != name
    assert mask_name(name).count("*") == len(name) - 1


@given(st.text("0123456789", min_size=1, max_size=15))
def test_a_phone_is_never_whole(phone):
    assert phone not in mask_contact(phone)
