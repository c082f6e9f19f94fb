import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import httpx
import pytest

from simulator.bills import PowerBill
from simulator.city import City, demo_household
from simulator.extras import extra_telecom_bills
from tests.simulator.conftest import Simulator, running

PATH = "/utilities/water/write-offs"


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


def switch(simulator: Simulator, company: str, fault: str, times: int | None = None) -> None:
    body = {"fault": fault, "times": times}
    simulator.client.post(f"/utilities/{company}/faults", json=body).raise_for_status()


class TestOpenBills:
    """Rule 18."""

    @pytest.mark.parametrize("company", ["power", "telecom"])
    def test_are_told_until_they_are_written_off(self, simulator, company):
        account_no = demo_household().account_no(company)
        path = f"/utilities/{company}/accounts/{account_no}/bills"

        told = simulator.utility("GET", path).json()
        for bill in told["bills"]:
            facts = {name: bill[name] for name in ("bill_no", "billing_month", "amount_fen")}
            order = a_write_off(f"o-{bill['bill_no']}", account_no=account_no, **facts)
            simulator.utility("POST", f"/utilities/{company}/write-offs", order)

        assert told["result"] == "bills"
        assert simulator.utility("GET", path).json() == {"result": "none"}

    def test_of_an_account_nobody_has_is_404(self, simulator):
        answer = simulator.utility("GET", "/utilities/water/accounts/2000000000/bills")

        assert (answer.status_code, answer.json()) == (404, {"result": "unknown_account"})

    def test_of_a_company_that_is_down_is_500(self, simulator):
        account_no = demo_household().account_no("gas")
        switch(simulator, "gas", "error")

        answer = simulator.utility("GET", f"/utilities/gas/accounts/{account_no}/bills")

        switch(simulator, "gas", "none")
        assert answer.status_code == 500

    def test_are_nobody_elses_business(self, simulator):
        assert simulator.client.get("/utilities/water/accounts/1/bills").status_code == 401


class TestWriteOff:
    def test_is_accepted_and_can_be_asked_for_again(self, simulator):
        posted = simulator.utility("POST", PATH, a_write_off("w1"))
        queried = simulator.utility("GET", f"{PATH}/w1")

        assert posted.status_code == queried.status_code == 200
        assert posted.json()["result"] == "accepted"
        assert posted.json()["utility_ref"]
        assert posted.json()["written_off_at"].endswith("Z")
        assert queried.json() == posted.json()

    def test_the_same_again_has_the_same_answer(self, simulator):
        first = simulator.utility("POST", PATH, a_write_off("w2"))
        time.sleep(1.01)  # so that a second answer would bear another time

        again = simulator.utility("POST", PATH, a_write_off("w2"))

        assert again.json() == first.json()

    @pytest.mark.parametrize("change", [{"amount_fen": 8_651}, {"bill_no": "other"}])
    def test_the_same_number_with_another_body_is_409(self, simulator, change):
        number = f"w3-{next(iter(change))}"
        simulator.utility("POST", PATH, a_write_off(number))

        again = simulator.utility("POST", PATH, a_write_off(number, **change))

        assert again.status_code == 409
        assert simulator.utility("GET", f"{PATH}/{number}").json()["result"] == "accepted"

    def test_a_bill_closed_under_another_number_is_already_paid(self, simulator):
        simulator.utility("POST", PATH, a_write_off("w4", bill_no="SAME"))

        second = simulator.utility("POST", PATH, a_write_off("w5", bill_no="SAME"))

        assert second.status_code == 200
        assert second.json()["result"] == "refused"
        assert second.json()["reason_code"] == "already_paid"

    def test_a_bill_is_closed_by_its_last_part(self, simulator):
        """One half of a power bill, and instalments of the extras; not a fen more is taken."""
        city, month = City(), date(2026, 10, 1)
        power = next(one for one in city.bills_of(3, month) if isinstance(one, PowerBill))
        phone = next(one for one in extra_telecom_bills(city, month, month) if one.instalments_fen)
        halves = (power.amount_fen // 2, power.amount_fen - power.amount_fen // 2)
        for bill, company, parts in (
            (power, "power", halves), (phone, "telecom", phone.instalments_fen)
        ):  # fmt: skip
            facts = {"account_no": bill.account_no, "bill_no": bill.bill_no}
            results = [
                simulator.utility(
                    "POST", f"/utilities/{company}/write-offs",
                    a_write_off(f"part-{bill.bill_no}-{at}", amount_fen=fen, **facts),
                ).json()["result"]
                for at, fen in enumerate((*parts, 1))
            ]  # fmt: skip
            assert results == ["accepted"] * len(parts) + ["refused"]

    def test_a_number_never_seen_is_unknown(self, simulator):
        answer = simulator.utility("GET", f"{PATH}/never")

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
    def test_a_malformed_body_is_422_and_leaves_nothing(self, simulator, change):
        answer = simulator.utility("POST", PATH, a_write_off("bad", **change))

        assert answer.status_code == 422
        assert simulator.utility("GET", f"{PATH}/bad").status_code == 404

    def test_many_at_once_make_one(self, simulator):
        with ThreadPoolExecutor(8) as pool:
            answers = list(
                pool.map(
                    lambda _: simulator.utility("POST", PATH, a_write_off("race")).text, range(24)
                )
            )

        assert len(set(answers)) == 1


class TestSignature:
    @pytest.mark.parametrize("off_by", [-301, 301])
    def test_stale_is_401(self, simulator, off_by):
        at = int(time.time()) + off_by

        assert simulator.utility("POST", PATH, a_write_off("s1"), at=at).status_code == 401

    def test_of_another_secret_is_401(self, simulator):
        stranger = Simulator(simulator.client, 0, simulator.data_dir, secret="guessed")

        assert stranger.utility("POST", PATH, a_write_off("s2")).status_code == 401
        assert stranger.utility("GET", f"{PATH}/s2").status_code == 401

    def test_missing_is_401(self, simulator):
        assert simulator.client.post(PATH, json=a_write_off("s3")).status_code == 401

    def test_of_another_company_is_401(self, tmp_path):
        with running(tmp_path, secrets={"gas": "gas-only"}) as simulator:
            body = a_write_off("g1")
            theirs = Simulator(simulator.client, 0, tmp_path, secret="gas-only")

            assert simulator.utility("POST", "/utilities/gas/write-offs", body).status_code == 401
            assert theirs.utility("POST", "/utilities/gas/write-offs", body).status_code == 200
            assert theirs.utility("POST", PATH, body).status_code == 401


class TestFaults:
    def test_error_does_nothing_and_counts_down(self, simulator):
        path = "/utilities/power/write-offs"
        switch(simulator, "power", "error", times=2)

        answers = [simulator.utility("POST", path, a_write_off("e1")) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [500, 500, 200]

    def test_error_leaves_the_number_unknown(self, simulator):
        switch(simulator, "power", "error", times=1)

        simulator.utility("POST", "/utilities/power/write-offs", a_write_off("e2"))

        assert simulator.utility("GET", "/utilities/power/write-offs/e2").status_code == 404

    def test_refuse_is_final(self, simulator):
        path = "/utilities/gas/write-offs"
        switch(simulator, "gas", "refuse", times=1)

        refused = simulator.utility("POST", path, a_write_off("r1"))
        again = simulator.utility("POST", path, a_write_off("r1"))

        assert refused.json()["reason_code"] == "account_closed"
        assert again.json() == refused.json()

    def test_silent_does_it_and_hangs_up(self, simulator):
        switch(simulator, "telecom", "silent", times=1)

        with pytest.raises(httpx.RemoteProtocolError):
            simulator.utility("POST", "/utilities/telecom/write-offs", a_write_off("q1"))

        known = simulator.utility("GET", "/utilities/telecom/write-offs/q1")
        assert known.json()["result"] == "accepted"

    def test_slow_answers_late(self, simulator):
        switch(simulator, "gas", "slow", times=1)
        before = time.monotonic()

        answer = simulator.utility("POST", "/utilities/gas/write-offs", a_write_off("l1"))

        assert answer.json()["result"] == "accepted"
        assert time.monotonic() - before >= 0.3

    def test_without_a_count_lasts_until_switched_again(self, simulator):
        path = "/utilities/gas/write-offs"
        switch(simulator, "gas", "error")
        assert {
            simulator.utility("POST", path, a_write_off("f1")).status_code for _ in range(4)
        } == {500}

        switch(simulator, "gas", "none")

        assert simulator.utility("POST", path, a_write_off("f1")).status_code == 200

    @pytest.mark.parametrize("body", [{"fault": "odd"}, {"fault": "slow", "times": 0}, {}])
    def test_an_unknown_switch_is_422(self, simulator, body):
        assert simulator.client.post("/utilities/water/faults", json=body).status_code == 422

    def test_the_page_switches_by_button(self, simulator):
        form = {"fault": "refuse", "times": "1"}

        answer = simulator.client.post("/utilities/power/faults", data=form)

        assert answer.status_code == 303
        assert "拒绝 Refuse × 1" in simulator.client.get("/utilities").text
        switch(simulator, "power", "none")

    def test_no_such_company_is_404(self, simulator):
        assert simulator.client.post("/utilities/heat/faults", json={}).status_code == 404


def test_the_page_shows_write_offs_escaped(simulator):
    simulator.utility("POST", PATH, a_write_off("p1", bill_no="<b>x</b>"))

    page = simulator.client.get("/utilities").text

    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<b>x</b>" not in page


def test_write_offs_and_faults_survive_a_restart(tmp_path):
    with running(tmp_path) as simulator:
        first = simulator.utility("POST", PATH, a_write_off("k1")).json()
        switch(simulator, "gas", "error", times=2)
        simulator.utility("POST", "/utilities/gas/write-offs", a_write_off("k2"))

    with running(tmp_path) as simulator:
        assert simulator.utility("GET", f"{PATH}/k1").json() == first
        assert simulator.utility("POST", PATH, a_write_off("k1", amount_fen=1)).status_code == 409
        gas = [
            simulator.utility("POST", "/utilities/gas/write-offs", a_write_off("k2"))
            for _ in range(2)
        ]
    assert [answer.status_code for answer in gas] == [500, 200]
