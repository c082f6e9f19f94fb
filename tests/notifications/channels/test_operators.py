"""Alerts to operators through Apprise: who took one, and what is never said of an address."""

import json
import logging
from io import StringIO

import pytest
from pydantic import SecretStr

from core.errors import Invalid, UpstreamUnavailable
from core.settings import Settings
from notifications.channels.operators import from_settings
from tests.notifications.channels.contract import Arrived, CarrierContract
from tests.notifications.channels.http_far import HttpFar

PASSWORD = "hunter2hunter2"
# One of Apprise's many plugins asks Python for a module that goes with 3.13.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


class FarHook(HttpFar):
    """A chat's incoming hook, as Apprise's ``json://`` speaks to it."""

    def answer(self, asked):
        if self.fault in {"busy", "refuse"}:
            return {"busy": 503, "refuse": 403}[self.fault], b""
        said = json.loads(asked.body)
        self.taken.append(
            Arrived(CarrierContract.MESSAGE.address, f"{said['title']}\n{said['message']}")
        )
        return 200, b"{}"

    def apprise_url(self, **parts):
        query = "&".join(f"{name}={value}" for name, value in {"rto": "0.3", **parts}.items())
        return f"{self.url.replace('http://', f'json://ops:{PASSWORD}@')}/{PASSWORD}?{query}"


@pytest.fixture
def far():
    with FarHook() as far:
        yield far


def operators(*urls):
    return from_settings(Settings(carriers={"operators": {"urls": SecretStr(" ".join(urls))}}))


class TestContract(CarrierContract):
    SECRETS = (PASSWORD,)

    @pytest.fixture
    def carrier(self, far):
        return operators(far.apprise_url())

    @pytest.mark.parametrize("fault", ["hang"])
    def test_no_answer_is_no_answer_and_soon(self, carrier, far, fault):
        self.is_told_again(carrier, far, fault)

    def test_refused_is_for_good(self, carrier, far):
        """Apprise does not say why: an operator is better told twice than not at all."""
        self.is_told_again(carrier, far, "refuse")

    def is_told_again(self, carrier, far, fault):
        far.behave(fault)

        with pytest.raises(UpstreamUnavailable) as away:
            carrier.send(self.MESSAGE)

        self.says_nothing_of_anybody(away.value)


MESSAGE = CarrierContract.MESSAGE


class TestWhoWasTold:
    def test_one_address_that_took_it_is_enough(self, far):
        with FarHook() as other:
            other.behave("refuse")

            operators(far.apprise_url(), other.apprise_url()).send(MESSAGE)

        assert len(far.taken) == 1

    def test_addresses_that_need_not_take_it_and_did_not_are_no_success(self, far):
        """Why: to Apprise that is one."""
        far.behave("refuse")

        with pytest.raises(UpstreamUnavailable):
            operators(far.apprise_url(optional="yes")).send(MESSAGE)

    def test_several_are_told_without_a_pause(self, far):
        carrier = operators(*(far.apprise_url(n=str(number)) for number in range(3)))

        carrier.send(MESSAGE)
        carrier.send(MESSAGE)

        assert len(far.taken) == 6


class TestSecrets:
    def test_nothing_of_an_address_comes_into_the_log(self, far, capfd):
        far.behave("refuse")
        written = StringIO()
        handler = logging.StreamHandler(written)
        logging.getLogger().addHandler(handler)
        try:
            with pytest.raises(UpstreamUnavailable):
                operators(far.apprise_url()).send(MESSAGE)
        finally:
            logging.getLogger().removeHandler(handler)

        assert (written.getvalue(), *capfd.readouterr()) == ("", "", "")

    def test_what_is_no_address_is_said_at_the_start_without_repeating_it(self, far, capfd):
        with pytest.raises(Invalid) as wrong:
            operators(far.apprise_url(), f"nowhere://{PASSWORD}")

        assert PASSWORD not in str(wrong.value) + "".join(capfd.readouterr())

    def test_without_an_address_there_is_no_carrier(self):
        assert from_settings(Settings()) is None
