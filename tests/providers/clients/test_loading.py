"""Which client a company gets."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from core.clock import utc_now
from core.errors import Invalid
from core.settings import UtilityApi
from providers.clients.declared import OWN_PROTOCOL
from providers.clients.loading import limits_of, load_clients, spoken_by

API = UtilityApi(base_url="http://company.invalid", secret="agreed-for-this-test")


@pytest.mark.parametrize(
    ("code", "spoken"),
    [
        ("water", "citybill.toml"),
        ("power", "power.toml"),
        ("gas", "gas.toml"),
        ("telecom", "providers.clients.telecom:TelecomClient"),
        ("spring_town", "citybill.toml"),
    ],
)
def test_code_before_a_declaration_before_our_own_protocol(code, spoken):
    assert spoken_by(code, API) == spoken
    assert list(load_clients({code: API}, utc_now)) == [code]


def test_a_declaration_of_the_configuration_goes_first(tmp_path):
    path = tmp_path / "other.toml"
    path.write_bytes(OWN_PROTOCOL.read_bytes())
    api = API.model_copy(update={"declaration": path})

    assert spoken_by("telecom", api) == "other.toml"


def test_a_wrong_declaration_is_named():
    api = API.model_copy(update={"declaration": Path("/nowhere/spring.toml")})

    with pytest.raises(Invalid, match=r"/nowhere/spring\.toml: cannot be read"):
        load_clients({"spring": api}, utc_now)


def test_an_entry_point_that_is_no_client_is_named():
    point = EntryPoint("spring", "providers.clients.telecom:NoSuch", "citybill.utility_clients")

    with pytest.raises(Invalid, match=r"spring = .*NoSuch is no utility client"):
        load_clients({"spring": API}, utc_now, [point])


def test_the_figures_of_the_configuration_are_the_limits():
    api = API.model_copy(update={"calls_per_second": 3, "failures_to_open": 7})

    limits = limits_of(api)

    assert (limits.calls_per_second, limits.failures_to_open, limits.burst) == (3, 7, api.burst)
