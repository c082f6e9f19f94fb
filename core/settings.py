"""Configuration, from the environment (prefix ``CITYBILL_``) or a ``.env`` file.

Only edges (web, workers, cli) read it; the domain takes what it needs as arguments.
``docs/settings.md`` lists every field; a test holds the two together.
"""

from datetime import time
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

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


class BookSender(BaseModel):
    """Whose books somebody's files are; what is left out is found out from each file."""

    leg: Literal["gateway", "company", "bank"] | None = None
    source: str = Field(default="", description="a gateway's or a company's code")
    profile: str = Field(default="", description="how a bank's CSV is written")


class BookDelivery(BookSender, DeliveryLogin):
    """Where a gateway, bank or company lets us fetch its books: keys as ``[delivery]`` has them."""

    address: str
    files: str = "*"
    index: Literal["none", "json", "html"] = "none"
    host_key: str | None = None
    flag: str | None = None
    every: int = 60
    window: str | None = None
    days_back: int = 3
    after: str = "leave"


SenderCode = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,30}$")]
AgentCode = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{1,15}$")]


class CounterAgent(BaseModel):
    """A shop or bank that takes cash for us, by its code; what it may take in a day."""

    name: str
    most_fen: int | None = Field(default=None, ge=1, description="of one payment")
    float_fen: int | None = Field(default=None, ge=1, description="of one day; none: no end")


class AgreedFee(BaseModel, frozen=True):
    """What a gateway takes for a payment, as agreed: so much, and millionths of the amount."""

    fixed_fen: int = Field(default=0, ge=0)
    rate_ppm: int = Field(default=0, ge=0, le=1_000_000)


class SourceTerms(BaseModel, frozen=True, extra="forbid"):
    """What is agreed with, or known of, whom a day is reconciled with: docs/reconciling.md."""

    within_days: int = Field(default=10, ge=0, le=31, description="in which its money may come")
    late_after_days: int = Field(
        default=5, ge=0, le=31, description="after which it is a difference that it has not"
    )
    file_days: int = Field(
        default=0, ge=0, le=7, description="later, in whose file a day's row may still stand"
    )
    cut_off: time = Field(
        default=time(23, 55), description="from here on a row may stand in the next day's file"
    )
    tolerance_fen: int = Field(default=0, ge=0, description="by which a sum may be off")
    fee: AgreedFee | None = Field(default=None, description="none: fees are not checked")


class ComplaintDays(BaseModel, frozen=True, extra="forbid"):
    """In how many working days what a resident writes to us is answered."""

    question: int = Field(default=3, ge=0, le=60)
    complaint: int = Field(default=5, ge=0, le=60)
    fault: int = Field(default=1, ge=0, le=60)


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="CITYBILL_",
        env_nested_delimiter="__",
        env_file=".env",
        extra="ignore",
        hide_input_in_errors=True,  # it holds secrets
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
    book_file_days: int = Field(
        default=90, ge=1, description="how long the bytes of settlement files are kept"
    )
    database_pool_size: int = Field(default=15, ge=3)
    refund_approval_above_fen: int = Field(
        default=20_000, ge=0, description="a refund by staff above it needs a second person"
    )
    remittance_approval_above_fen: int = Field(
        default=0, ge=0, description="a remittance above it needs a second person"
    )
    remittance_name: str = Field(default="CityBill", description="whose account we pay from")
    remittance_account: str = Field(default="", description="its number; empty: no payment files")
    remittance_bank: str = Field(default="", description="its bank's CNAPS code or BIC")
    break_approval_above_fen: int = Field(
        default=20_000, ge=0, description="a difference above it is resolved by two people"
    )
    break_tolerance_fen: int = Field(
        default=100, ge=0, description="the largest difference of amounts that is written off"
    )
    source_terms: dict[str, SourceTerms] = Field(
        default_factory=dict, description="by gateway, or transfers: how it is reconciled"
    )

    complaint_days: ComplaintDays = Field(
        default=ComplaintDays(), description="working days in which each kind is answered"
    )
    complaint_closes_after_days: int = Field(default=15, ge=4, le=365)
    complaint_calendar: str = Field(
        default="CN", pattern=r"^[A-Z]{2}$", description="which days those are"
    )

    profiles_dir: Path | None = Field(
        default=None, description="companies' profiles beside the built-in ones"
    )
    usage_factors: Path | None = Field(
        default=None, description="CO₂ and household figures of usage; empty: the built-in ones"
    )
    utilities: dict[str, UtilityApi] = Field(default_factory=dict)
    deliveries: dict[str, DeliveryLogin] = Field(default_factory=dict)
    book_senders: dict[SenderCode, BookSender] = Field(default_factory=dict)
    book_deliveries: dict[SenderCode, BookDelivery] = Field(default_factory=dict)
    fetch_dir: Path = Field(
        default=Path("/var/tmp/citybill-fetch"),  # noqa: S108  made for us alone
        description="files on their way from a company",
    )
    documents_dir: Path | None = Field(
        default=None, description="volumes of papers to print; empty: none are made"
    )
    documents_days: int = Field(default=7, ge=1, description="how long volumes are kept")
    sftp_dir: Path | None = Field(default=None, description="companies' folders; empty: no SFTP")
    sftp_host: str = "127.0.0.1"
    sftp_port: int = Field(default=8007, ge=1, le=65535)
    sftp_settle_seconds: int = Field(default=5, ge=1, le=3600)
    sftp_quota_bytes: int = Field(default=20 << 30, ge=1)
    sftp_keep_days: int = Field(default=30, ge=1)
    sandbox_url: str = "http://127.0.0.1:8001"
    sandbox_secret: SecretStr = SecretStr(DEMO_SECRET)
    stripe_secret_key: SecretStr = Field(default=SecretStr(""), description="empty: no Stripe")
    stripe_webhook_secret: SecretStr = SecretStr("")
    stripe_url: str = Field(default="", description="empty: Stripe's own")
    wechatpay_appid: str = Field(default="", description="empty: no WeChat Pay")
    wechatpay_mchid: str = ""
    wechatpay_merchant_serial: str = Field(default="", description="of our certificate")
    wechatpay_private_key: Path | None = Field(default=None, description="a PEM file")
    wechatpay_api_v3_key: SecretStr = SecretStr("")
    wechatpay_public_key: Path | None = Field(default=None, description="theirs, a PEM file")
    wechatpay_public_key_id: str = ""
    wechatpay_url: str = "https://api.mch.weixin.qq.com"
    counter_agents: dict[AgentCode, CounterAgent] = Field(default_factory=dict)
    counter_hold_minutes: int = Field(default=5, ge=1, le=60)
    counter_reversal_until: time = Field(
        default=time(22, 30), description="of the same day, the city's time"
    )
    counter_days_after_due: int = Field(default=90, ge=0, le=730)
    bank_debit_url: str = Field(default="", description="the bank's; empty: no bank debit")
    bank_debit_secret: SecretStr = SecretStr("")
    bank_debit_creditor: str = Field(default="", description="our number at the bank")
    bank_debit_account: str = Field(default="", description="where it collects to")
    bank_debit_cut_off: time = Field(  # a day's debits are asked for from eight on
        default=time(16, 0), ge=time(9), description="the city's time"
    )
    bank_debit_xml: bool = Field(default=False, description="pain.008 instead of its layout")
    bank_debit_silence_days: int = Field(default=3, ge=1, le=30, description="working days")
    alipay_url: str = "https://openapi.alipay.com/gateway.do"
    alipay_app_id: str = Field(default="", description="empty, as all of these: no Alipay")
    alipay_seller_id: str = ""
    alipay_private_key: str = Field(default="", description="the path of a PEM file, as below")
    alipay_public_key: str = Field(default="", description="Alipay's, not ours")
    alipay_app_cert: str = Field(default="", description="certificates in place of its key")
    alipay_root_cert: str = ""
    alipay_cert: str = ""
    alipay_refund_days: int = Field(default=90, ge=0, le=365, description="as our contract says")
    alipay_cost_ppm: int = Field(default=6_000, ge=0, description="of an amount, as it says")
    unionpay_url: str = "https://gateway.95516.com"
    unionpay_files_url: str = "https://filedownload.95516.com/"
    unionpay_mer_id: str = Field(default="", description="empty, as the paths: no UnionPay")
    unionpay_private_key: str = Field(default="", description="the path of a PEM file, as below")
    unionpay_cert: str = Field(default="", description="ours: its serial number is our certId")
    unionpay_root_cert: str = ""
    unionpay_middle_cert: str = ""
    unionpay_signer: str = Field(default="中国银联股份有限公司", description="in its certificates")
    unionpay_refund_days: int = Field(default=330, ge=0, le=365, description="as our contract")
    unionpay_cost_ppm: int = Field(default=6_000, ge=0, description="of an amount, as it says")

    smtp_host: str = "127.0.0.1"
    smtp_port: int = Field(default=1025, ge=1, le=65535)
    smtp_starttls: bool = False
    smtp_user: str = ""
    smtp_password: SecretStr = SecretStr("")
    mail_from: str = "CityBill <no-reply@citybill.example>"
    carriers: dict[str, dict[str, SecretStr]] = Field(
        default={}, description="what each carrier of messages needs, by its code"
    )
    carrier_weights: dict[str, Annotated[int, Field(ge=0, le=100)]] = {}

    demo_inbox_dir: Path | None = Field(default=None, description="Maildir of the demo inbox")
    demo_inbox_url: str | None = None

    @field_validator(
        "profiles_dir",
        "usage_factors",
        "wechatpay_private_key",
        "wechatpay_public_key",
        mode="before",
    )
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
    def _stripe_is_whole(self) -> Self:
        key = self.stripe_secret_key.get_secret_value()
        secret = self.stripe_webhook_secret.get_secret_value()
        if bool(key) != bool(secret):
            raise ValueError(
                "Stripe is half configured: set both CITYBILL_STRIPE_SECRET_KEY and"
                " CITYBILL_STRIPE_WEBHOOK_SECRET, or neither"
            )
        if self.environment is not Environment.PRODUCTION or not key:
            return self
        live = key.startswith(("sk_live_", "rk_live_")) and secret.startswith("whsec_")
        if not live or DEMO_SECRET in key + secret or min(len(key), len(secret)) < 16:
            raise ValueError(
                "production takes a live key (sk_live_…, rk_live_…) and the secret of its webhook"
                " (whsec_…): set CITYBILL_STRIPE_SECRET_KEY and CITYBILL_STRIPE_WEBHOOK_SECRET"
            )
        if self.stripe_url and not self.stripe_url.startswith("https://"):
            raise ValueError("production speaks TLS with Stripe: leave CITYBILL_STRIPE_URL empty")
        return self

    @model_validator(mode="after")
    def _bank_debit_is_whole(self) -> Self:
        parts = {
            "CITYBILL_BANK_DEBIT_URL": self.bank_debit_url,
            "CITYBILL_BANK_DEBIT_SECRET": self.bank_debit_secret.get_secret_value(),
            "CITYBILL_BANK_DEBIT_CREDITOR": self.bank_debit_creditor,
            "CITYBILL_BANK_DEBIT_ACCOUNT": self.bank_debit_account,
        }
        missing = [name for name, value in parts.items() if not value]
        if missing and len(missing) < len(parts):
            raise ValueError(
                f"bank debit is set up whole or not at all: set {', '.join(missing)} as well"
            )
        return self

    @model_validator(mode="after")
    def _production_has_its_own_secrets(self) -> Self:
        if self.environment is not Environment.PRODUCTION:
            return self
        secrets = {"CITYBILL_SECRET_KEY": self.secret_key} | {
            f"CITYBILL_UTILITIES__{code}__SECRET": api.secret
            for code, api in self.utilities.items()
        }
        if self.bank_debit_url:
            secrets["CITYBILL_BANK_DEBIT_SECRET"] = self.bank_debit_secret
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
