"""``citybill day``: what a clerk or a nightly job sees of closing a day."""

import getpass
import json
from datetime import date, timedelta

import pytest
from pypdfium2 import PdfDocument
from sqlalchemy import text

from billing.ledger import books
from billing.ledger.days import list_days
from core.clock import billing_date, day_bounds, utc_now
from core.db import transaction
from core.keys import month_key
from payments.reconciliation.closing.checklist import Name
from tests.cli.test_commands import complaint
from tests.factories import MONTH

YESTERDAY = billing_date(utc_now()) - timedelta(days=1)
BEFORE = YESTERDAY - timedelta(days=1)


def post(
    day: date, *, why: str = "paid", debit: str = "gateway:sandbox",
    credit: str = "receivable:water", fen: int = 8_650,
) -> None:  # fmt: skip
    move = books.Move(1, month_key(MONTH, 7), f"{why}:{day.day}", debit, credit, fen)
    with transaction() as session:
        books.post(session, [move], now=day_bounds(day)[0])


def closed_days() -> list[date]:
    with transaction() as session:
        return [one.day for one in list_days(session, limit=9)]


def test_a_day_is_closed_once_and_shown_as_one_object(citybill):
    post(YESTERDAY)
    opened = citybill("day", "show", YESTERDAY, "--json")
    closed = citybill("day", "close", YESTERDAY, "--despite", "no worker here", "--json")
    again = citybill("day", "close", YESTERDAY, "--json")
    shown = citybill("day", "show", YESTERDAY, "--json")

    assert {done.returncode for done in (opened, closed, again, shown)} == {0}
    found = json.loads(closed.stdout)
    assert found["day"] == str(YESTERDAY)
    assert (found["transfers"], found["amount_fen"]) == (1, 8_650)
    assert (found["closed_by"], found["before"]) == (getpass.getuser(), None)
    assert len(bytes.fromhex(found["seal"])) == 32
    assert found["accounts"][0] == {
        "code": "gateway:sandbox", "debit_fen": 8_650, "credit_fen": 0, "balance_fen": 8_650
    }  # fmt: skip
    assert json.loads(again.stdout) == json.loads(shown.stdout) == found
    assert found["despite"] == "no worker here"
    assert [check["name"] for check in found["checks"]] == ["late_fees"]
    before = json.loads(opened.stdout)
    assert (before["closed_at"], before["closed_by"], before["seal"]) == (None, None, None)
    assert before["accounts"] == found["accounts"]
    assert {check["name"]: check["state"] for check in before["checks"]} == {
        name.value: "waiting" if name is Name.LATE_FEES else "done" for name in Name
    }


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_day_that_waits_for_something_is_closed_with_a_reason_only(citybill, more):
    post(YESTERDAY)

    refused = citybill("day", "close", YESTERDAY, *more)

    assert refused.returncode == 1
    assert "still waits for late_fees" in complaint(refused)
    assert closed_days() == []
    assert citybill("day", "close", YESTERDAY, *more, "--despite", "none due").returncode == 0
    assert closed_days() == [YESTERDAY]


def test_earlier_days_are_closed_with_the_same_reason(citybill):
    post(BEFORE)

    done = citybill("day", "close", YESTERDAY, "--with-earlier", "--despite", "a long weekend")

    assert done.returncode == 0, done.stderr
    assert closed_days() == [YESTERDAY, BEFORE]
    told = json.loads(citybill("day", "show", BEFORE, "--json").stdout)
    assert told["despite"] == "a long weekend"


@pytest.mark.parametrize(("language", "title"), [("zh_CN", "日结报表"), ("en", "Report of")])
def test_a_report_is_written_to_a_file(citybill, tmp_path, language, title):
    post(YESTERDAY)
    out = tmp_path / "day.pdf"

    done = citybill("day", "report", YESTERDAY, "--out", out, "--language", language)

    assert (done.returncode, done.stdout) == (0, "")
    written = PdfDocument(out.read_bytes()).get_metadata_dict()["Title"]
    assert written.startswith(title)
    assert str(YESTERDAY) in written


def test_people_are_shown_yuan_and_the_seal(citybill):
    post(YESTERDAY, fen=108_650)
    opened = citybill("day", "show", YESTERDAY)
    closed = citybill("day", "close", YESTERDAY, "--despite", "no worker here")

    assert "The late fees of the day are not counted yet." in opened.stdout
    assert "no worker here" in closed.stdout
    assert "not sealed" in opened.stdout
    assert "¥1,086.50" in closed.stdout
    assert "receivable:water" in closed.stdout
    assert json.loads(citybill("day", "show", YESTERDAY, "--json").stdout)["seal"] in closed.stdout


def test_people_are_not_shown_accounts_on_which_nothing_stands_and_nothing_moved(citybill):
    post(BEFORE, why="stray", credit="returns")
    post(BEFORE, why="returned", debit="returns", credit="gateway:sandbox")
    post(YESTERDAY, debit="gateway:other")
    citybill("day", "close", BEFORE, "--despite", "a test")
    closed = citybill("day", "close", YESTERDAY, "--despite", "a test")

    assert "gateway:other" in closed.stdout
    assert "returns" not in closed.stdout
    told = json.loads(citybill("day", "show", YESTERDAY, "--json").stdout)
    assert "returns" in {one["code"] for one in told["accounts"]}


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_what_is_refused_is_one_line_and_closes_nothing(citybill, more):
    today = citybill("day", "close", YESTERDAY + timedelta(days=1), *more)
    post(BEFORE)
    gap = citybill("day", "close", YESTERDAY, *more)

    assert (today.returncode, gap.returncode) == (1, 1)
    assert "not over" in complaint(today)
    assert f"close {BEFORE} first" in complaint(gap)
    assert closed_days() == []


@pytest.mark.parametrize("act", ["close", "show"])
def test_a_day_that_is_none_is_misuse(citybill, act):
    done = citybill("day", act, "2026-02-30")

    assert done.returncode == 2
    assert "2026-02-30" in complaint(done)


def test_the_books_are_verified_with_their_seals(citybill):
    citybill("day", "close", YESTERDAY, "--despite", "a test")

    done = citybill("ledger", "verify", "--json")

    assert done.returncode == 0, done.stdout
    checks = {check["name"]: check["ok"] for check in json.loads(done.stdout)["checks"]}
    assert checks["every seal is what its transfers hash to"]


def test_what_a_day_waits_for_is_told_in_words_and_in_codes_to_scripts(citybill):
    """Whose it is, how it stands, and what it means for closing."""
    post(YESTERDAY)
    with transaction() as session:
        session.execute(
            text("INSERT INTO confirmation_arrival (provider_code, day, state, due_at)"
                 " VALUES ('water', :day, 'waiting', :due_at)"),
            {"day": YESTERDAY, "due_at": utc_now() - timedelta(days=1)},
        )  # fmt: skip

    shown = citybill("day", "show", YESTERDAY).stdout
    told = json.loads(citybill("day", "show", YESTERDAY, "--json").stdout)

    (line,) = [one for one in shown.splitlines() if "lists of the day are missing" in one]
    assert line.split()[:2] == ["to", "do"]
    assert "1 City Water" in " ".join(line.split())
    assert "waits" in shown
    assert "done" in shown
    (check,) = [one for one in told["checks"] if one["name"] == "company_lists"]
    assert (check["state"], check["who"], check["weight"]) == ("problem", ["water"], "asks")
