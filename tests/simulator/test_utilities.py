import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulator.bills import WaterBill
from simulator.city import City, demo_household
from simulator.companies import COMPANIES
from simulator.extras import extra_telecom_bills
from simulator.faults import Fault
from simulator.journal import Journal
from simulator.utility import journal_path
from simulator.utility_books import (
    UtilityBooks,
    WriteOffRequest,
    closed_number,
    shared_number,
)
from tests.simulator.conftest import Simulator, running, running_water

PATH = "/write-offs"
NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)


def a_write_off(write_off_no: str, **changes: Any) -> dict[str, Any]:
    return {
        "write_off_no": write_off_no,
        "account_no": "2018008869",
        "bill_no": f"W-{write_off_no}",
        "billing_month": "2026-10",
        "amount_fen": 8_650,
        "paid_at": "2026-11-20T04:00:00Z",
        **changes,
    }


def switch(water: Simulator, fault: str, times: int | None = None) -> None:
    body = {"fault": fault, "times": times}
    water.client.post("/faults", json=body).raise_for_status()


class TestOpenBills:
    """Rule 18."""

    def test_are_told_until_they_are_written_off(self, water):
        account_no = demo_household().account_no("water")
        path = f"/accounts/{account_no}/bills"

        told = water.utility("GET", path).json()
        for bill in told["bills"]:
            facts = {name: bill[name] for name in ("bill_no", "billing_month", "amount_fen")}
            order = a_write_off(f"o-{bill['bill_no']}", account_no=account_no, **facts)
            water.utility("POST", PATH, order)

        assert told["result"] == "bills"
        assert len(told["bills"]) == 2
        assert water.utility("GET", path).json() == {"result": "none"}

    def test_of_an_account_nobody_has_is_404(self, water):
        answer = water.utility("GET", "/accounts/2000000000/bills")

        assert (answer.status_code, answer.json()) == (404, {"result": "unknown_account"})

    def test_of_a_company_that_is_down_is_500(self, water):
        account_no = demo_household().account_no("water")
        switch(water, "error")

        answer = water.utility("GET", f"/accounts/{account_no}/bills")

        switch(water, "none")
        assert answer.status_code == 500

    def test_are_nobody_elses_business(self, water):
        assert water.client.get("/accounts/1/bills").status_code == 401


@pytest.mark.parametrize("code", COMPANIES)
def test_the_numbers_to_try_things_on_are_no_households(code):
    numbers = shared_number(code), closed_number(code)

    assert [City().find(code, number) for number in numbers] == [None, None]
    assert {len(number) for number in numbers} == {COMPANIES[code].account_digits}


class TestWriteOff:
    def test_is_accepted_and_can_be_asked_for_again(self, water):
        posted = water.utility("POST", PATH, a_write_off("w1"))
        queried = water.utility("GET", f"{PATH}/w1")

        assert posted.status_code == queried.status_code == 200
        assert posted.json()["result"] == "accepted"
        assert posted.json()["utility_ref"]
        assert posted.json()["written_off_at"].endswith("Z")
        assert queried.json() == posted.json()

    def test_the_same_again_has_the_same_answer(self, water):
        first = water.utility("POST", PATH, a_write_off("w2"))
        time.sleep(1.01)  # so that a second answer would bear another time

        again = water.utility("POST", PATH, a_write_off("w2"))

        assert again.json() == first.json()

    @pytest.mark.parametrize("change", [{"amount_fen": 8_651}, {"bill_no": "other"}])
    def test_the_same_number_with_another_body_is_409(self, water, change):
        number = f"w3-{next(iter(change))}"
        water.utility("POST", PATH, a_write_off(number))

        again = water.utility("POST", PATH, a_write_off(number, **change))

        assert again.status_code == 409
        assert water.utility("GET", f"{PATH}/{number}").json()["result"] == "accepted"

    def test_a_bill_closed_under_another_number_is_already_paid(self, water):
        water.utility("POST", PATH, a_write_off("w4", bill_no="SAME"))

        second = water.utility("POST", PATH, a_write_off("w5", bill_no="SAME"))

        assert second.status_code == 200
        assert second.json()["result"] == "refused"
        assert second.json()["reason_code"] == "already_paid"

    def test_a_bill_is_closed_by_its_last_part(self, water):
        """Two halves of a water bill; not a fen more is taken."""
        bills = City().bills_of(3, date(2026, 9, 1))
        bill = next(one for one in bills if isinstance(one, WaterBill))
        halves = (bill.amount_fen // 2, bill.amount_fen - bill.amount_fen // 2)
        facts = {"account_no": bill.account_no, "bill_no": bill.bill_no}

        results = [
            water.utility(
                "POST", PATH,
                a_write_off(f"part-{at}", billing_month="2026-09", amount_fen=fen, **facts),
            ).json()["result"]
            for at, fen in enumerate((*halves, 1))
        ]  # fmt: skip

        assert results == ["accepted", "accepted", "refused"]

    def test_a_bill_in_instalments_is_closed_by_the_last(self, tmp_path):
        month = date(2026, 10, 1)
        extras = extra_telecom_bills(City(), month, month)
        phone = next(one for one in extras if one.instalments_fen)
        journal = Journal(tmp_path / "telecom.jsonl")
        books = UtilityBooks("telecom", journal)
        facts = {"account_no": phone.account_no, "bill_no": phone.bill_no, "paid_at": NOW}

        results = [
            books.receive(
                WriteOffRequest(**a_write_off(f"i-{at}", amount_fen=fen, **facts)),
                Fault.NONE, now=NOW,
            ).result
            for at, fen in enumerate((*phone.instalments_fen, 1))
        ]  # fmt: skip

        journal.close()
        assert results == ["accepted"] * len(phone.instalments_fen) + ["refused"]

    def test_a_number_never_seen_is_unknown(self, water):
        answer = water.utility("GET", f"{PATH}/never")

        assert answer.status_code == 404
        assert answer.json() == {"result": "unknown"}

    @pytest.mark.parametrize(
        "change",
        [
            {"amount_fen": 0},
            {"amount_fen": "8650"},
            {"amount_fen": 86.5},
            {"paid_at": "2026-11-20T12:00:00+08:00"},
            {"billing_month": "2026-13"},
            {"surprise": 1},
        ],
    )
    def test_a_malformed_body_is_422_and_leaves_nothing(self, water, change):
        answer = water.utility("POST", PATH, a_write_off("bad", **change))

        assert answer.status_code == 422
        assert water.utility("GET", f"{PATH}/bad").status_code == 404

    def test_many_at_once_make_one(self, water):
        with ThreadPoolExecutor(8) as pool:
            answers = list(
                pool.map(lambda _: water.utility("POST", PATH, a_write_off("race")).text, range(24))
            )

        assert len(set(answers)) == 1


class TestSignature:
    @pytest.mark.parametrize("off_by", [-301, 301])
    def test_stale_is_401(self, water, off_by):
        at = int(time.time()) + off_by

        assert water.utility("POST", PATH, a_write_off("s1"), at=at).status_code == 401

    def test_of_another_secret_is_401(self, water):
        stranger = Simulator(water.client, 0, water.data_dir, secret="guessed")

        assert stranger.utility("POST", PATH, a_write_off("s2")).status_code == 401
        assert stranger.utility("GET", f"{PATH}/s2").status_code == 401

    def test_missing_is_401(self, water):
        assert water.client.post(PATH, json=a_write_off("s3")).status_code == 401


class TestFaults:
    def test_error_does_nothing_and_counts_down(self, water):
        path = "/write-offs"
        switch(water, "error", times=2)

        answers = [water.utility("POST", path, a_write_off("e1")) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [500, 500, 200]

    def test_error_leaves_the_number_unknown(self, water):
        switch(water, "error", times=1)

        water.utility("POST", "/write-offs", a_write_off("e2"))

        assert water.utility("GET", "/write-offs/e2").status_code == 404

    def test_refuse_is_final(self, water):
        path = "/write-offs"
        switch(water, "refuse", times=1)

        refused = water.utility("POST", path, a_write_off("r1"))
        again = water.utility("POST", path, a_write_off("r1"))

        assert refused.json()["reason_code"] == "account_closed"
        assert again.json() == refused.json()

    def test_silent_does_it_and_hangs_up(self, water):
        switch(water, "silent", times=1)

        with pytest.raises(httpx.RemoteProtocolError):
            water.utility("POST", "/write-offs", a_write_off("q1"))

        known = water.utility("GET", "/write-offs/q1")
        assert known.json()["result"] == "accepted"

    def test_slow_answers_late(self, water):
        switch(water, "slow", times=1)
        before = time.monotonic()

        answer = water.utility("POST", "/write-offs", a_write_off("l1"))

        assert answer.json()["result"] == "accepted"
        assert time.monotonic() - before >= 0.3

    def test_without_a_count_lasts_until_switched_again(self, water):
        path = "/write-offs"
        switch(water, "error")
        assert {water.utility("POST", path, a_write_off("f1")).status_code for _ in range(4)} == {
            500
        }

        switch(water, "none")

        assert water.utility("POST", path, a_write_off("f1")).status_code == 200

    @pytest.mark.parametrize(
        "body",
        [
            {"fault": "odd"},
            {"fault": "slow", "times": 0},
            {"fault": "refuse", "operation": "fetch"},
            {"fault": "down", "times": 1},
            {},
        ],
    )
    def test_an_unknown_switch_is_422(self, water, body):
        assert water.client.post("/faults", json=body).status_code == 422

    def test_the_switches_are_told(self, water):
        switch(water, "slow", times=2)

        told = water.client.get("/faults").json()

        switch(water, "none")
        assert told == {"write_off": {"fault": "slow", "times": 2, "operation": None}}

    def test_one_operation_misbehaves_and_the_others_do_not(self, water):
        body = {"fault": "garbage", "operation": "query"}
        water.client.post("/faults", json=body).raise_for_status()

        posted = water.utility("POST", PATH, a_write_off("op1"))
        asked = water.utility("GET", f"{PATH}/op1")

        switch(water, "none")
        assert posted.json()["result"] == "accepted"
        assert asked.headers["content-type"].startswith("text/html")

    def test_many_at_once_take_a_counted_fault_just_so_often(self, water):
        switch(water, "error", times=5)
        with ThreadPoolExecutor(8) as pool:
            statuses = list(
                pool.map(
                    lambda at: water.utility("POST", PATH, a_write_off(f"c{at}")).status_code,
                    range(24),
                )
            )

        assert sorted(statuses) == [200] * 19 + [500] * 5


class TestTheFarSidesPage:
    """It switches the companies' processes through what both have on disk."""

    def test_switches_a_company_by_button_and_by_program(self, tmp_path):
        with running(tmp_path) as simulator, running_water(tmp_path) as water:
            form = {"fault": "error", "times": "1", "operation": "write_off"}
            answer = simulator.client.post("/utilities/water/faults", data=form)

            assert answer.status_code == 303
            assert "报错 Error 500 × 1" in simulator.client.get("/utilities").text
            assert water.utility("POST", PATH, a_write_off("b1")).status_code == 500
            assert water.utility("POST", PATH, a_write_off("b1")).status_code == 200
            assert "W-b1" in simulator.client.get("/utilities").text

            order = a_write_off("b1")
            back = {name: order[name] for name in ("write_off_no", "account_no", "bill_no",
                                                   "amount_fen")}  # fmt: skip
            reversed_ = water.utility("POST", "/reversals", back | {"reversal_no": "r1"})
            assert reversed_.json()["result"] == "reversed"
            assert "W-b1" in simulator.client.get("/utilities").text

    def test_no_such_company_is_404(self, simulator):
        assert simulator.client.post("/utilities/heat/faults", json={}).status_code == 404

    def test_it_leads_to_every_company(self, tmp_path):
        urls = {code: f"http://127.0.0.1:{at}" for at, code in enumerate(COMPANIES, start=9_001)}

        with running(tmp_path, company_urls=urls) as simulator:
            pages = [simulator.client.get(path).text for path in ("/", "/utilities")]

        assert all(f'href="{url}"' in page for page in pages for url in urls.values())


def test_the_page_shows_write_offs_escaped(water):
    water.utility("POST", PATH, a_write_off("p1", bill_no="<b>x</b>"))

    page = water.client.get("/").text

    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<b>x</b>" not in page


def test_write_offs_and_faults_survive_a_restart_but_not_what_is_forgotten(tmp_path):
    with running_water(tmp_path) as water:
        first = water.utility("POST", PATH, a_write_off("k1")).json()
        switch(water, "forgets", times=1)
        water.utility("POST", PATH, a_write_off("k0", bill_no="W-k0"))
        switch(water, "error", times=2)
        water.utility("POST", PATH, a_write_off("k2"))

    with running_water(tmp_path) as water:
        assert water.utility("GET", f"{PATH}/k1").json() == first
        assert water.utility("GET", f"{PATH}/k0").status_code == 404
        assert water.utility("POST", PATH, a_write_off("k1", amount_fen=1)).status_code == 500
        assert water.utility("POST", PATH, a_write_off("k1", amount_fen=1)).status_code == 409
        assert water.utility("POST", PATH, a_write_off("k2")).status_code == 200


class TestThePast:
    """``python -m simulator write-offs``: what was paid before the companies were there."""

    def tell(self, folder: Path, *orders: dict[str, Any]) -> list[tuple[str, ...]]:
        done = subprocess.run(
            [sys.executable, "-m", "simulator", "write-offs", "--data", str(folder)],
            input="".join(json.dumps(one) + "\n" for one in orders),
            cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True,
        )  # fmt: skip
        return [tuple(line.split("\t")) for line in done.stdout.splitlines()]

    def test_is_known_to_the_company_that_starts_afterwards(self, tmp_path):
        account_no = demo_household().account_no("water")
        with closing(Journal(tmp_path / "other.jsonl")) as journal:
            bill = UtilityBooks("water", journal).open_bills(account_no, now=NOW).bills[0]
        order = a_write_off(
            "P1", company="water", account_no=account_no, bill_no=bill.bill_no,
            billing_month=f"{bill.billing_month:%Y-%m}", amount_fen=bill.amount_fen,
        )  # fmt: skip

        receipts = self.tell(tmp_path, order, order, order | {"amount_fen": 1})

        with closing(Journal(journal_path(tmp_path, "water"))) as journal:
            water = UtilityBooks("water", journal)
            (found,) = water.latest(9)
            assert bill not in water.open_bills(account_no, now=NOW).bills
        assert found.received_at == NOW
        first, again, other = receipts
        assert first == again == ("P1", found.verdict.receipt)
        assert other == ("P1", "")  # another amount under the same number is not taken
