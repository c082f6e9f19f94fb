"""The demo's Alipay."""

from cli.demo_alipay import alipay
from core.settings import Settings
from payments.gateways.alipay import from_settings
from payments.gateways.base import GatewayStatus, Scene
from tests.payments.gateways.contract import an_order, asked
from tests.simulator.conftest import running


def test_both_sides_of_the_demo_believe_each_other(tmp_path):
    with running(tmp_path / "simulator") as simulator:
        names = alipay(tmp_path, str(simulator.client.base_url).rstrip("/"))
        chosen = {name.removeprefix("CITYBILL_").lower(): value for name, value in names.items()}
        gateway = from_settings(Settings(_env_file=None, **chosen))
        order = an_order(scene=Scene.SCREEN)

        opened = gateway.open_order(order)
        simulator.client.post(opened.pay_code, data={"choice": "nothing"})
        told = gateway.query(asked(order))
        gateway.hang_up()

    assert (opened.status, told.status) == (GatewayStatus.OPEN, GatewayStatus.PAID)


def test_its_keys_are_made_once(tmp_path):
    first, again = (alipay(tmp_path, "http://127.0.0.1:9") for _ in range(2))

    assert first == again
    private = tmp_path / "keys" / "alipay-merchant.private.pem"
    assert private.stat().st_mode & 0o077 == 0
    assert not (tmp_path / "simulator" / "keys" / private.name).exists()
