"""Configuration, from the environment (prefix ``CITYBILL_``) or a ``.env`` file.

Only edges (web, workers, cli) read it; the domain takes what it needs as arguments.
``docs/settings.md`` lists every field; a test holds the two together.
"""

from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DEMO_SECRET = "demo-only-not-a-secret"  # noqa: S105  production refuses it


class Environment(StrEnum):
    DEMO = "demo"
    TEST = "test"
    PRODUCTION = "production"


class UtilityApi(BaseModel):
    """Where a company's live API is, and the secret shared with it."""

    base_url: str
    secret: SecretStr


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="CITYBILL_", env_nested_delimiter="__", env_file=".env", extra="ignore"
    )

    environment: Environment = Environment.DEMO
    database_url: str = Field(default="", description="postgresql://…; empty: embedded server")
    owner_database_url: str = Field(
        default="", description="the schema's owner, for migrations; empty: database_url"
    )
    redis_url: str = Field(default="", description="redis://…; empty: embedded server")
    data_dir: Path | None = Field(default=None, description="of the embedded servers")
    public_url: str = "http://127.0.0.1:8000"
    secret_key: SecretStr = SecretStr(DEMO_SECRET)
    log_json: bool = False
    database_pool_size: int = Field(default=10, ge=1)

    utilities: dict[str, UtilityApi] = Field(default_factory=dict)
    sandbox_url: str = "http://127.0.0.1:8001"
    sandbox_secret: SecretStr = SecretStr(DEMO_SECRET)

    smtp_host: str = "127.0.0.1"
    smtp_port: int = Field(default=1025, ge=1, le=65535)
    smtp_starttls: bool = False
    smtp_user: str = ""
    smtp_password: SecretStr = SecretStr("")
    mail_from: str = "CityBill <no-reply@citybill.example>"

    demo_inbox_dir: Path | None = Field(default=None, description="Maildir of the demo inbox")
    demo_inbox_url: str | None = None

    @property
    def demo(self) -> bool:
        return self.environment is Environment.DEMO

    @model_validator(mode="after")
    def _production_has_its_own_secrets(self) -> Self:
        if self.environment is not Environment.PRODUCTION:
            return self
        secrets = {
            "CITYBILL_SECRET_KEY": self.secret_key,
            "CITYBILL_SANDBOX_SECRET": self.sandbox_secret,
        } | {
            f"CITYBILL_UTILITIES__{code}__SECRET": api.secret
            for code, api in self.utilities.items()
        }
        weak = [
            name
            for name, secret in secrets.items()
            if secret.get_secret_value() == DEMO_SECRET or len(secret.get_secret_value()) < 16
        ]
        if weak:
            raise ValueError(
                f"production needs its own secrets, of 16 characters or more: set {', '.join(weak)}"
            )
        if not self.database_url or not self.redis_url:
            raise ValueError(
                "production needs its own servers: set CITYBILL_DATABASE_URL and CITYBILL_REDIS_URL"
            )
        return self


@cache
def settings() -> Settings:
    """Return this process's settings, read once."""
    return Settings()
