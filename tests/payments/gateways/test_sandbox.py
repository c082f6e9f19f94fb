"""The sandbox gateway, held to the contract against the simulator."""

from collections.abc import Iterator

import pytest

from core.clock import billing_date, utc_now
from core.settings import Environment, Settings
from payments.gateways.base import (
    Asked,
    Gateway,
    GatewayReply,
    GatewayStatus,
    MandateOrder,
    MandateReply,
    Order,
)
from payments.gateways.sandbox import Sandbox, from_settings
from tests.payments.gateways.contract import FarSide, GatewayContract, saying
from tests.payments.gateways.mandate_contract import MandateContract
from tests.simulator.conftest import SECRET, Simulator


@pytest.fixture(scope="module")
def far(simulator: Simulator) -> Iterator[FarSide]:
    made: list[Sandbox] = []

    def at(url: str) -> Gateway:
        made.append(Sandbox(url, SECRET))
        return made[-1]

    def choose(order: Order, opened: GatewayReply, choice: str) -> None:
        answer = simulator.client.post(opened.pay_url or "", data={"choice": choice})
        assert answer.status_code == 303, answer.text

    def settlement() -> bytes:
        day = billing_date(utc_now())
        return simulator.sandbox("GET", f"/sandbox/settlements/{day}.csv").content

    def fault(order_no: str, name: str) -> None:
        answer = simulator.client.post(
            "/sandbox/faults", json={"order_no": order_no, "fault": name}
        )
        assert answer.status_code == 204, answer.text

    def decide(order: MandateOrder, told: MandateReply, choice: str) -> None:
        answer = simulator.client.post(f"/sandbox/sign/{told.mandate_ref}", data={"choice": choice})
        assert answer.status_code == 303, answer.text

    yield FarSide(
        at(str(simulator.client.base_url)), at, choose, settlement, fault, decide=decide,
        decisions=frozenset({"agree", "refuse", "short", "pays", "end"}),
    )  # fmt: skip
    for one in made:
        one.hang_up()


def test_production_takes_no_play_money():
    chosen = Settings(_env_file=None, environment=Environment.TEST)
    assert from_settings(chosen) is not None

    chosen.environment = Environment.PRODUCTION
    assert from_settings(chosen) is None


class TestSandbox(GatewayContract, MandateContract):
    @pytest.mark.parametrize("paid_at", ['"yesterday"', '"2026-11-20T04:00:00"', "17", "[]"])
    def test_paid_at_a_time_nobody_can_read_is_not_knowing(self, far, paid_at):
        body = f'{{"status": "paid", "gateway_ref": "s", "amount_fen": 1, "paid_at": {paid_at}}}'
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"

        with saying((head + body).encode()) as url:
            told = far.at(url).query(Asked(order_no="CB1", amount_fen=1, asked_at=utc_now()))
        assert told.status is GatewayStatus.UNKNOWN
