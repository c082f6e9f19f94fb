"""The demo's UnionPay."""

from cli.demo_unionpay import unionpay
from core.settings import Settings
from payments.gateways.base import GatewayStatus, Scene
from payments.gateways.unionpay import from_settings
from tests.payments.gateways.contract import an_order, asked
from tests.simulator.conftest import running


def test_both_sides_of_the_demo_believe_each_other(tmp_path):
    with running(tmp_path / "simulator") as simulator:
        names = unionpay(tmp_path, str(simulator.client.base_url).rstrip("/"))
        chosen = {name.removeprefix("CITYBILL_").lower(): value for name, value in names.items()}
        gateway = from_settings(Settings(_env_file=None, **chosen))
        order = an_order(scene=Scene.SCREEN)

        opened = gateway.open_order(order)
        simulator.client.post(opened.pay_code, data={"choice": "nothing"})
        told = gateway.query(asked(order))
        gateway.hang_up()

    assert (opened.status, told.status) == (GatewayStatus.OPEN, GatewayStatus.PAID)


def test_its_keys_are_made_once_and_ours_stays_here(tmp_path):
    first, again = (unionpay(tmp_path, "http://127.0.0.1:9") for _ in range(2))

    assert first == again
    private = tmp_path / "keys" / "unionpay-merchant.private.pem"
    assert private.stat().st_mode & 0o077 == 0
    there = tmp_path / "simulator" / "keys"
    assert not (there / private.name).exists()
    ours = "unionpay-merchant.cert.pem"
    assert (there / ours).read_bytes() == (tmp_path / "keys" / ours).read_bytes()
