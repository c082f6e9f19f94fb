"""``citybill people``: a city's first admin, and what takes a second one where there is none."""

import json

import pytest


@pytest.fixture
def listed(citybill):
    def run() -> dict[str, dict[str, object]]:
        people = json.loads(citybill("people", "list", "--json").stdout)["people"]
        return {one["contact"]: one for one in people}

    return run


def test_the_first_admin_is_added_with_their_duties(citybill, listed):
    done = citybill(
        "people", "add", "li@city.example", "--name", "李敏", "--duty", "admin", "--duty", "finance"
    )

    assert done.returncode == 0, done.stderr
    assert listed()["li@city.example"] == {
        "name": "李敏", "contact": "li@city.example", "company": None,
        "duties": ["finance", "admin"], "proposed": [],
    }  # fmt: skip
    assert "李敏" in citybill("people", "list").stdout


def test_duties_are_given_and_a_person_ended(citybill, listed):
    for name in ("a", "b"):
        citybill("people", "add", f"{name}@city.example", "--name", name, "--duty", "admin")
    assert citybill("people", "give", "a@city.example", "service", "setup").returncode == 0
    assert listed()["a@city.example"]["duties"] == ["service", "setup", "admin"]

    assert citybill("people", "end", "a@city.example").returncode == 0
    assert "a@city.example" not in listed()
    last = citybill("people", "end", "b@city.example")
    assert (last.returncode, "last admin" in last.stderr) == (1, True)


def test_what_is_wrong_is_refused(citybill, listed):
    citybill("people", "add", "shen@water.example", "--name", "沈清", "--company", "water")

    for arguments, code, words in (
        (("add", "shen@water.example", "--name", "x"), 1, "has this contact already"),
        (("add", "not a contact", "--name", "x"), 1, "phone number or an e-mail"),
        (("add", "x@city.example", "--name", "x", "--company", "nobody"), 1, "no provider"),
        (
            ("add", "x@w.example", "--name", "x", "--company", "water", "--duty", "admin"),
            2,
            "duties",
        ),
        (("give", "shen@water.example", "admin"), 1, "own staff"),
        (("give", "nobody@city.example", "admin"), 1, "nobody has the contact"),
        (("give", "shen@water.example", "king"), 2, "king"),
    ):
        done = citybill("people", *arguments)
        assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert set(listed()) == {"shen@water.example"}
