"""On the console and by API: saying what settled a payment that came another way."""

import io
from collections.abc import Callable

import pytest
from lxml import html

from core.clock import billing_date, utc_now
from core.db import transaction
from payments.reconciliation.gateway.matching import reconcile
from payments.reconciliation.models import BreakState
from payments.reconciliation.repair.models import ActState
from tests.factories import balances, violations
from tests.payments.reconciliation.banking import Line, the_entry
from tests.payments.reconciliation.repairing import acts_of, the_break
from tests.payments.reconciliation.test_matching import GATEWAY, a_file
from tests.web.conftest import Browser
from tests.web.test_console_bank import says
from tests.web.test_console_breaks import (
    ENGLISH,
    boxes_of,
    breaks,
    colleagues,
    decide,
    limits,
    send_act,
    shown_of,
)
from tests.web.test_console_terms import main_of, told

__all__ = ["colleagues", "limits"]  # fixtures
pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture
def found(monkeypatch) -> int:
    """A payment of yesterday that its gateway's file lacks, and its sum in our bank."""
    monkeypatch.setattr("tests.payments.reconciliation.banking.DAY", billing_date(utc_now()))
    [one] = breaks("")
    says(Line(8_650, on=0, no="E7", name="王小明"))
    return one


@pytest.fixture
def file_again() -> Callable[[int], None]:
    """The gateway sends its file of that day anew, with the payment in it."""

    def send(found: int) -> None:
        ours = the_break(found)
        at = ours.happened_at.isoformat().replace("+00:00", "Z")
        row = ["payment", ours.reference, "g1", "", "", "86.50", "0.00", at]
        with transaction() as session:
            reconcile(session, GATEWAY, io.BytesIO(a_file([row], day=ours.day)), day=ours.day,
                      file_name="again.csv", now=utc_now())  # fmt: skip

    return send


def ways(browser: Browser, found: int) -> list[tuple[str, str]]:
    """What may be chosen: its name, and what is read."""
    page = html.fromstring(browser.get(f"/console/breaks/{found}", headers=ENGLISH).text)
    return [(one.get("value"), " ".join(one.text_content().split()))
            for one in page.xpath("//select[@name='target']/option")]  # fmt: skip


def test_it_is_chosen_approved_by_a_colleague_told_and_undone(colleagues, found):
    one, other = colleagues
    [(name, words)] = ways(one, found)
    assert name == f"account-1 {billing_date(utc_now())} E7"
    assert "王小明" in words

    assert send_act(one, found, "rematch", target=name) == ""
    assert [act.state for act in acts_of(found)] == [ActState.PROPOSED]
    assert "Proposed what it was settled by" in main_of(one, f"/console/breaks/{found}")
    for where in ("/console/approvals", f"/console/breaks/{found}"):
        page = main_of(other, where)
        assert "Say what it was settled by" in page
        assert " · E7 · " in page
    assert decide(other, found, "approval") == ""

    assert (the_break(found).state, balances()["bank"]) == (BreakState.RESOLVED, 8_650)
    page = main_of(other, f"/console/breaks/{found}")
    assert " · E7 · " in page
    assert "account-1" not in page
    assert "In our bank’s statement" in page
    entry = f"/console/bank/entries/{the_entry(8_650).id}"
    assert "The money of a payment that came another way" in main_of(one, entry)
    assert f"/console/breaks/{found}" in one.get(entry).text
    assert decide(one, found, "undo", reason="查明是别人的") == ""
    assert ("bank" in balances(), ways(one, found)) == (False, [(name, words)])
    assert violations() == []


def test_it_speaks_chinese(colleagues, found):
    page = colleagues[0].get(f"/console/breaks/{found}", headers={"Accept-Language": "zh"}).text

    assert "指明由哪一笔到账" in page
    assert "哪一笔" in page


def test_asking_the_gateway_stays_what_is_suggested(colleagues, found):
    assert "Ask the gateway again Suggested" in main_of(colleagues[0], f"/console/breaks/{found}")


def test_where_nothing_fits_it_is_said_and_what_is_made_up_refused(colleagues):
    [found] = breaks("")
    one, _ = colleagues
    assert "No row of the same sum waits near that day" in main_of(one, f"/console/breaks/{found}")

    answer = one.send_form(
        f"/console/breaks/{found}/act",
        {"shown": shown_of(one, found), "what": "rematch", "reason": "x", "target": "account-1 E7"},
        headers=ENGLISH,
    )

    assert (answer.status_code, "choose one of those shown" in told(answer.text)) == (404, True)
    assert acts_of(found) == []


def test_listed_after_all_its_match_is_undone_before_anything_else(colleagues, found, file_again):
    one, other = colleagues
    [(name, _)] = ways(one, found)
    send_act(one, found, "rematch", target=name)
    decide(other, found, "approval")

    file_again(found)

    page = main_of(one, f"/console/breaks/{found}")
    assert ("Listed twice" in page, "undo that match" in page, "Do this" in page) == (
        True, True, False,
    )  # fmt: skip
    assert "先撤销该匹配" in one.get(f"/console/breaks/{found}").text
    [box] = boxes_of(one)
    form = {"what": "accept", "reason": "x", "shown": box}
    answer = one.send_form(f"/console/breaks/{found}/act", form, headers=ENGLISH)
    assert "undo what it was matched with first" in told(answer.text)
    assert decide(one, found, "undo", reason="渠道已列出") == ""
    assert the_break(found).state is BreakState.EXPLAINED


def test_by_api_it_is_named(colleagues, found):
    ours = the_break(found)
    path = f"/api/v1/reconciliations/{ours.source}/{ours.day}/breaks/{found}/resolution"
    body = {"act": "rematch", "reason": "the payer showed us", "kind": ours.kind,
            "ours_fen": 8_650, "theirs_fen": None}  # fmt: skip

    wrong = colleagues[0].post(path, json=body | {"target": "account-1 2026-01-01 E7"})
    done = colleagues[0].post(path, json=body | {"target": ways(colleagues[0], found)[0][0]})

    assert (wrong.status_code, wrong.json()["code"]) == (404, "break.no_way")
    assert (done.status_code, done.json()["state"]) == (201, "proposed")
