"""The demo's shop has a key of its own, and its bank is set up whole."""

import json

from cli.demo_counters import SHOP, counters, open_shop, shop_file
from core.clock import utc_now
from core.db import transaction
from core.settings import Settings
from identity.keys import list_signing_keys
from identity.models import Holder
from payments.gateways.bank_debit import BankDebit
from payments.gateways.bank_debit import from_settings as bank_of
from payments.gateways.counter import Counter
from payments.gateways.counter import from_settings as counter_of


def test_what_it_sets_offers_both_gateways(monkeypatch):
    for name, value in counters("http://127.0.0.1:9").items():
        monkeypatch.setenv(name, value)
    chosen = Settings(_env_file=None)

    assert isinstance(counter_of(chosen), Counter)
    bank = bank_of(chosen)
    assert isinstance(bank, BankDebit)
    bank.hang_up()


def test_the_shop_keeps_its_key_and_learns_where_the_city_has_gone(city, tmp_path):
    for url in ("http://127.0.0.1:1", "http://127.0.0.1:2"):
        open_shop(tmp_path, url, secret_key="a secret of the tests", now=utc_now())
        told = json.loads(shop_file(tmp_path).read_text())
        assert told["city_url"] == url

    with transaction() as session:
        (key,) = list_signing_keys(session, SHOP, holder=Holder.AGENT)
    assert key.id == told["key"]
    assert shop_file(tmp_path).stat().st_mode & 0o077 == 0
