"""The sandbox's mandates and faults, as the wire notes have them."""

from typing import Any

import httpx
import pytest

from tests.simulator.conftest import Simulator, running
from tests.simulator.test_sandbox import an_order, query

SEE_OTHER = httpx.codes.SEE_OTHER


def a_mandate(mandate_no: str, **changes: Any) -> dict[str, Any]:
    return {
        "mandate_no": mandate_no,
        "maximum_fen": 20_000,
        "subject": "代扣",
        "notify_url": "http://127.0.0.1:9/nobody",
        "return_url": "http://127.0.0.1:9/autopay/1",
        **changes,
    }


def agreed(simulator: Simulator, mandate_no: str, *choices: str) -> str:
    """Sign a mandate and press these buttons; returns its reference."""
    made = simulator.sandbox("POST", "/sandbox/mandates", a_mandate(mandate_no)).json()
    for choice in ("agree", *choices):
        answer = simulator.client.post(made["sign_url"], data={"choice": choice})
        assert answer.status_code == SEE_OTHER
    return str(made["mandate_ref"])


def debit(simulator: Simulator, order_no: str, mandate_ref: str, **changes: Any) -> httpx.Response:
    body = an_order(order_no, **changes) | {"mandate_ref": mandate_ref}
    return simulator.sandbox("POST", "/sandbox/debits", body)


class TestMandates:
    def test_signed_once_and_another_maximum_is_409(self, simulator):
        answers = [simulator.sandbox("POST", "/sandbox/mandates", a_mandate("m1")) for _ in "ab"]
        other = simulator.sandbox("POST", "/sandbox/mandates", a_mandate("m1", maximum_fen=1))

        assert [one.status_code for one in (*answers, other)] == [201, 200, 409]
        assert answers[0].json() == answers[1].json()

    @pytest.mark.parametrize(
        ("choices", "amount_fen", "reason"),
        [
            ([], 20_001, "over_maximum"), (["short"], 1, "short_of_funds"),
            (["end"], 1, "mandate_ended"), (["short", "pays"], 20_000, None),
        ],
    )  # fmt: skip
    def test_a_debit_goes_as_the_payer_chose(self, simulator, choices, amount_fen, reason):
        number = f"d-{'-'.join(choices)}-{amount_fen}"
        ref = agreed(simulator, number, *choices)

        told = debit(simulator, number, ref, amount_fen=amount_fen).json()

        assert (told["status"], told.get("reason")) == ("declined" if reason else "paid", reason)
        assert query(simulator, number) == told

    def test_late_is_open_and_paid_afterwards(self, simulator):
        ref = agreed(simulator, "late", "late")
        assert debit(simulator, "late-1", ref).json()["status"] == "open"

    def test_one_never_agreed_to_or_unknown_takes_nothing(self, simulator):
        made = simulator.sandbox("POST", "/sandbox/mandates", a_mandate("m2")).json()

        assert debit(simulator, "n1", made["mandate_ref"]).json()["reason"] == "mandate_ended"
        assert debit(simulator, "n2", "sbm_nothing").status_code == httpx.codes.NOT_FOUND

    def test_what_was_agreed_outlives_a_restart(self, tmp_path):
        with running(tmp_path) as before:
            ref = agreed(before, "kept", "short")
        with running(tmp_path) as after:
            assert debit(after, "kept-1", ref).json()["reason"] == "short_of_funds"

    def test_its_page_says_what_can_be_pressed(self, simulator):
        ref = agreed(simulator, "page")
        page = simulator.client.get(f"/sandbox/sign/{ref}").text
        assert all(f'value="{one}"' in page for one in ("pays", "short", "late", "end"))
        wrong = simulator.client.post(f"/sandbox/sign/{ref}", data={"choice": "x"})
        assert wrong.status_code == httpx.codes.UNPROCESSABLE_ENTITY

    @pytest.mark.parametrize(
        ("method", "path"),
        [("POST", "/sandbox/mandates"), ("GET", "/sandbox/mandates/m1"),
         ("POST", "/sandbox/mandates/m1/end"), ("POST", "/sandbox/debits")],
    )  # fmt: skip
    def test_without_the_secret_it_is_401(self, simulator, method, path):
        stranger = Simulator(simulator.client, 0, simulator.data_dir, secret="guessed")
        body = {} if method == "POST" else None
        assert stranger.sandbox(method, path, body).status_code == httpx.codes.UNAUTHORIZED


class TestFaults:
    def test_a_person_presses_one_for_the_next_order(self, simulator):
        pressed = simulator.client.post("/sandbox/faults", data={"order_no": "*", "fault": "error"})
        answers = [simulator.sandbox("POST", "/sandbox/orders", an_order("f1")) for _ in "ab"]

        assert pressed.status_code == SEE_OTHER
        assert [one.status_code for one in answers] == [500, 200]

    def test_one_fen_more_is_on_every_side(self, simulator):
        simulator.client.post("/sandbox/faults", json={"order_no": "f2", "fault": "other_amount"})
        ref = agreed(simulator, "m3")

        assert debit(simulator, "f2", ref).json()["amount_fen"] == 8_651
        assert query(simulator, "f2")["amount_fen"] == 8_651

    @pytest.mark.parametrize("body", [{"order_no": "f3", "fault": "x"}, {"order_no": "", "fault":
                                      "error"}, {"fault": "error"}])  # fmt: skip
    def test_what_is_no_fault_is_refused(self, simulator, body):
        answer = simulator.client.post("/sandbox/faults", json=body)
        assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY

    def test_the_page_has_them_as_buttons(self, simulator):
        page = simulator.client.get("/sandbox").text
        assert all(f'value="{one}"' in page for one in ("silent", "error", "other_amount"))
