"""Configuration: harmless as delivered, strict in production, every field documented."""

import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.settings import DEMO_SECRET, Environment, Settings

ROOT = Path(__file__).parents[2]
STRONG = "0123456789abcdef"
PRODUCTION = {
    "environment": "production",
    "secret_key": STRONG,
    "database_url": "postgresql://db/citybill",
    "redis_url": "redis://cache",
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch, tmp_path):
    """Neither this machine's variables nor a .env of the checkout have a say."""
    for name in [name for name in os.environ if name.startswith("CITYBILL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_a_demo_needs_no_configuration():
    chosen = Settings()

    assert chosen.demo
    assert chosen.secret_key.get_secret_value() == DEMO_SECRET


def test_production_starts_with_secrets_and_servers_of_its_own():
    assert Settings(**PRODUCTION).environment is Environment.PRODUCTION


@pytest.mark.parametrize("secret", [DEMO_SECRET, "", "fifteen chars …"])
def test_production_refuses_a_default_or_short_secret_by_name(secret):
    with pytest.raises(ValidationError, match="CITYBILL_SECRET_KEY"):
        Settings(**PRODUCTION | {"secret_key": secret})


def test_production_refuses_a_secret_that_was_left_out():
    given = {name: value for name, value in PRODUCTION.items() if name != "secret_key"}

    with pytest.raises(ValidationError, match="CITYBILL_SECRET_KEY"):
        Settings(**given)


def test_production_refuses_a_companys_default_secret_by_its_name():
    water = {"base_url": "https://water.example", "secret": DEMO_SECRET}

    with pytest.raises(ValidationError, match="CITYBILL_UTILITIES__water__SECRET"):
        Settings(**PRODUCTION, utilities={"water": water})


@pytest.mark.parametrize("field", ["database_url", "redis_url"])
def test_production_does_not_fall_back_on_embedded_servers(field):
    with pytest.raises(ValidationError, match=f"CITYBILL_{field.upper()}"):
        Settings(**PRODUCTION | {field: ""})


def test_a_complaint_about_a_secret_does_not_tell_the_secret():
    with pytest.raises(ValidationError) as refused:
        Settings(**PRODUCTION | {"secret_key": "hunter2"})

    assert "hunter2" not in str(refused.value)


def test_a_secret_is_not_shown_by_accident():
    assert STRONG not in repr(Settings(**PRODUCTION))


def test_the_environment_reaches_into_a_company(monkeypatch):
    monkeypatch.setenv("CITYBILL_UTILITIES__water__BASE_URL", "https://water.example")
    monkeypatch.setenv("CITYBILL_UTILITIES__water__SECRET", STRONG)

    assert Settings().utilities["water"].base_url == "https://water.example"


def test_a_dotenv_file_is_read_and_the_environment_wins(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("CITYBILL_SMTP_HOST=file\nCITYBILL_SMTP_USER=file\n")
    monkeypatch.setenv("CITYBILL_SMTP_HOST", "environment")

    chosen = Settings()

    assert (chosen.smtp_host, chosen.smtp_user) == ("environment", "file")


class TestThePage:
    """docs/settings.md lists every field, and nothing that is none."""

    @staticmethod
    def listed() -> set[str]:
        page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
        return set(re.findall(r"CITYBILL_[A-Z0-9_]*[A-Z0-9]", page))

    @pytest.mark.parametrize("field", Settings.model_fields)
    def test_every_field_is_on_it(self, field):
        assert f"CITYBILL_{field.upper()}" in self.listed()

    def test_it_lists_nothing_that_is_no_setting(self):
        known = {f"CITYBILL_{field.upper()}" for field in Settings.model_fields}
        known |= {"CITYBILL_REQUIRE_ALL"}  # of the tests

        strange = {name for name in self.listed() if name not in known}

        assert {name for name in strange if not name.startswith("CITYBILL_UTILITIES__")} == set()


@pytest.mark.parametrize("hour", ["00:00", "07:30", "08:59"])
def test_a_batch_that_is_cut_before_the_days_debits_are_asked_for_is_refused(hour):
    """It would be collected a day later than reckoned: after the last day to pay (rule 21)."""
    with pytest.raises(ValidationError, match="bank_debit_cut_off"):
        Settings(bank_debit_cut_off=hour)
