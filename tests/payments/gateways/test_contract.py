"""Every installed gateway is held to the contract."""

import importlib
import pkgutil
from importlib.metadata import entry_points

import tests.payments.gateways
from tests.payments.gateways.contract import GatewayContract

INSTALLED = {point.name for point in entry_points(group="citybill.gateways")}


def test_every_installed_gateway_is_held_to_the_contract():
    for module in pkgutil.iter_modules(tests.payments.gateways.__path__):
        importlib.import_module(f"tests.payments.gateways.{module.name}")
    held = {kept.__module__.rpartition("test_")[2] for kept in GatewayContract.__subclasses__()}
    assert held >= INSTALLED
