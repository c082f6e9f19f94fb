"""Stripe is offered when it is configured, whole, and in production with live keys only."""

import os

import pytest
from pydantic import ValidationError

from core.settings import DEMO_SECRET, Settings
from payments.gateways.base import Debiting, Disputing
from payments.gateways.stripe import from_settings

KEY, WEBHOOK = "rk_live_0123456789abcdef", "whsec_0123456789abcdef"
PRODUCTION = {
    "environment": "production", "secret_key": KEY,
    "database_url": "postgresql://db/citybill", "redis_url": "redis://cache",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("CITYBILL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_it_is_not_offered_where_it_is_not_configured():
    assert from_settings(Settings()) is None
    assert from_settings(Settings(**PRODUCTION)) is None


def test_configured_it_is_offered_and_disputes_and_debits():
    made = from_settings(
        Settings(**PRODUCTION, stripe_secret_key=KEY, stripe_webhook_secret=WEBHOOK)
    )

    assert isinstance(made, Disputing)
    assert isinstance(made, Debiting)
    made.hang_up()


@pytest.mark.parametrize("field", ["stripe_secret_key", "stripe_webhook_secret"])
def test_half_a_configuration_is_refused_everywhere(field):
    with pytest.raises(ValidationError, match="half configured"):
        Settings(**{field: "rk_live_0123456789abcdef"})


@pytest.mark.parametrize(
    ("key", "webhook", "url"),
    [
        ("sk_test_0123456789abcdef", WEBHOOK, ""),
        (f"sk_live_{DEMO_SECRET}", WEBHOOK, ""),
        (KEY, f"whsec_{DEMO_SECRET}", ""),
        (KEY, "0123456789abcdef", ""),
        (KEY, "whsec_1", ""),
        (KEY, WEBHOOK, "http://stripe.example"),
    ],
)
def test_production_refuses_test_keys_demo_secrets_and_a_line_without_tls(key, webhook, url):
    with pytest.raises(ValidationError, match=r"CITYBILL_STRIPE_(SECRET_KEY|URL)"):
        Settings(**PRODUCTION, stripe_secret_key=key, stripe_webhook_secret=webhook, stripe_url=url)
