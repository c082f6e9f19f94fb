"""Carriers as they are installed; ``channels/contract.py`` is what each of them keeps."""

from importlib.metadata import entry_points

import pytest
from pydantic import SecretStr

from core.errors import Invalid
from core.settings import Environment, Settings
from notifications.channels import by_channel, load_carriers
from notifications.channels.base import Carrier

INSTALLED = sorted(point.name for point in entry_points(group="citybill.channels"))


def codes(carriers: dict[str, list[Carrier]]) -> dict[str, list[str]]:
    return {channel: [one.code for one in found] for channel, found in carriers.items()}


def test_ours_are_installed():
    assert {"console", "email", "inbox", "tv"} <= set(INSTALLED)


def test_a_carrier_is_there_under_its_code(chosen):
    for code, carrier in load_carriers(chosen).items():
        assert carrier.code == code


def test_without_any_setting_there_are_mail_our_own_pages_and_the_terminal(chosen):
    assert codes(by_channel(load_carriers(chosen), {})) == {
        "email": ["email"], "inbox": ["inbox"], "sms": ["console"], "tv": ["tv"],
    }  # fmt: skip


def test_no_code_is_written_to_the_terminal_in_production(chosen):
    made = load_carriers(chosen.model_copy(update={"environment": Environment.PRODUCTION}))

    assert "console" not in made


def test_a_carrier_of_weight_zero_is_not_asked(chosen):
    assert "sms" not in by_channel(load_carriers(chosen), {"console": 0})


@pytest.mark.parametrize(
    "wrong",
    [
        Settings(carriers={"aliyum": {"key": SecretStr("x")}}),
        Settings(carrier_weights={"aliyum": 1}),
    ],
    ids=["carriers", "weights"],
)
def test_a_carrier_nobody_has_installed_stops_the_start(wrong):
    with pytest.raises(Invalid, match="aliyum; installed are aliyun") as refused:
        load_carriers(wrong)

    assert refused.value.code == "carrier.unknown"
