"""Configuration, from the environment (prefix ``CITYBILL_``) or a ``.env`` file.

Only edges (web, workers, cli) read it; the domain takes what it needs as arguments.
``docs/settings.md`` lists every field; a test holds the two together.
"""

from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DEMO_SECRET = "demo-only-not-a-secret"  # noqa: S105  production refuses it


class Environment(StrEnum):
    DEMO = "demo"
    TEST = "test"
    PRODUCTION = "production"


class UtilityApi(BaseModel):
    """Where a company's live API is, the secret shared with it, and how often it may be asked.

    The four figures are for each process of ours: providers/clients/guarded.py.
    """

    base_url: str
    secret: SecretStr
    declaration: Path | None = None
    calls_per_second: int = Field(default=20, ge=1)
    burst: int = Field(default=40, ge=1)
    failures_to_open: int = Field(default=5, ge=1)
    seconds_to_half_open: int = Field(default=30, ge=1)


class DeliveryLogin(BaseModel):
    """How we sign in at a company whose files we fetch."""

    user: str = ""
    password: SecretStr = SecretStr("")
    private_key: str = Field(default="", description="the path of a file")
    bearer: SecretStr = SecretStr("")


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
    unsigned_company_requests: bool | None = Field(
        default=None, description="take plain API keys; empty: everywhere but in production"
    )
    refused_file_days: int = Field(default=30, ge=1, description="how long its bytes are kept")
    database_pool_size: int = Field(default=15, ge=3)

    profiles_dir: Path | None = Field(
        default=None, description="companies' profiles beside the built-in ones"
    )
    utilities: dict[str, UtilityApi] = Field(default_factory=dict)
    deliveries: dict[str, DeliveryLogin] = Field(default_factory=dict)
    fetch_dir: Path = Field(
        default=Path("/var/tmp/citybill-fetch"),  # noqa: S108  made for us alone
        description="files on their way from a company",
    )
    sftp_dir: Path | None = Field(default=None, description="companies' folders; empty: no SFTP")
    sftp_host: str = "127.0.0.1"
    sftp_port: int = Field(default=8007, ge=1, le=65535)
    sftp_settle_seconds: int = Field(default=5, ge=1, le=3600)
    sftp_quota_bytes: int = Field(default=20 << 30, ge=1)
    sftp_keep_days: int = Field(default=30, ge=1)
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

    @field_validator("profiles_dir", mode="before")
    @classmethod
    def _empty_is_no_folder(cls, path: object) -> object:
        return path or None

    @property
    def demo(self) -> bool:
        return self.environment is Environment.DEMO

    @property
    def takes_unsigned(self) -> bool:
        """Whether companies may send a plain API key instead of signing their requests."""
        if self.unsigned_company_requests is not None:
            return self.unsigned_company_requests
        return self.environment is not Environment.PRODUCTION

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
