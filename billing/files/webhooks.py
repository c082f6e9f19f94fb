"""What companies' systems announce: stored as it came, once by its id, and acted on afterwards.

Bills announced go the way of pushed bills. Form and signature: docs/company-api.md.
"""

import json
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, LargeBinary, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, Session, SQLModel, select

from billing.files import pushed_bills
from billing.files.delivery_models import DeliveryPoll
from core import outbox
from core.db import UtcDateTime, text_enum, transaction
from core.errors import BillFileError, Conflict, Invalid
from providers.own_schema import read_json

RECEIVED_VIA = "webhook"
MAX_BODY_BYTES = 1 << 20


class WebhookType(StrEnum):
    BILL_ISSUED = "bill.issued"
    BILL_CHANGED = "bill.changed"
    BILL_CANCELLED = "bill.cancelled"
    FILE_READY = "file.ready"  # a bill file lies where we fetch the company's files


class CompanyWebhook(SQLModel, table=True):
    """One announcement; the company's id of it is once in the company."""

    __tablename__ = "company_webhook"
    __table_args__ = (UniqueConstraint("provider_code", "webhook_id"),)

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    provider_code: str
    webhook_id: str
    type: WebhookType = Field(sa_column=Column(text_enum(WebhookType), nullable=False))
    body: bytes = Field(sa_type=LargeBinary)
    received_at: datetime = Field(sa_type=UtcDateTime)
    processed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    bill_file_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("bill_file.id"))
    )


def store(
    session: Session, provider_code: str, webhook_id: str, body: bytes, *, now: datetime
) -> bool:
    """Keep an announcement whose signature was checked; tells whether it is new.

    Raises:
        Invalid: it is not of the form of any announcement.
        Conflict: this id came before, with something else in it.
    """
    kind, _ = _read(body)
    if kind is WebhookType.FILE_READY and session.get(DeliveryPoll, provider_code) is None:
        raise Invalid(
            "we do not fetch this company's files: send the file itself, or have fetching set up",
            code="webhook.not_fetched",
        )
    made = session.execute(
        insert(CompanyWebhook)
        .values(
            provider_code=provider_code, webhook_id=webhook_id, type=kind, body=body,
            received_at=now,
        )
        .on_conflict_do_nothing(index_elements=["provider_code", "webhook_id"])
        .returning(CompanyWebhook.id)  # type: ignore[call-overload]
    ).scalar_one_or_none()  # fmt: skip
    if made is not None:
        outbox.emit(session, "company_webhook.received", made, now=now)
        return True
    known = session.exec(
        select(CompanyWebhook).where(
            CompanyWebhook.provider_code == provider_code, CompanyWebhook.webhook_id == webhook_id
        )
    ).one()
    if known.body != body:
        raise Conflict(
            "another announcement came under this webhook-id: give each one its own",
            code="webhook.id_reused",
        )
    return False


def process(company_webhook_id: int, *, now: datetime) -> None:
    """Act on an announcement; again does nothing.

    Raises:
        Conflict: its bills are being imported at this moment, or an earlier announcement of the
            company's waits: it may tell of the bill that this one cancels.
    """
    with transaction() as session:
        known = session.get_one(CompanyWebhook, company_webhook_id)
        if known.processed_at is not None:
            return
        whose = {"id": known.id, "code": known.provider_code, "since": now - _HELD_UP}
        if session.execute(_EARLIER, whose).first() is not None:
            raise Conflict("an earlier announcement comes first", code="webhook.out_of_turn")
        kind, data = _read(known.body)
        if kind is WebhookType.FILE_READY:
            session.execute(_LOOK_NOW, {"code": known.provider_code, "now": now})
            known.processed_at = now
            return
    pushed = pushed_bills.push(
        known.provider_code, _bills(kind, data), identity=f"webhook:{known.id}",
        file_name=f"webhook-{known.webhook_id}.json", received_via=RECEIVED_VIA, now=now,
    )  # fmt: skip
    with transaction() as session:
        known = session.get_one(CompanyWebhook, company_webhook_id)
        known.processed_at, known.bill_file_id = now, pushed.bill_file_id


_HELD_UP = timedelta(minutes=10)  # by one that does not get on
_EARLIER = text("""
    SELECT FROM company_webhook
    WHERE id BETWEEN :id - 1000 AND :id - 1 AND provider_code = :code
      AND processed_at IS NULL AND received_at > :since
    LIMIT 1
""")

# An announcement says when to look, never where: we look where the company was set up.
_LOOK_NOW = text("""
    UPDATE delivery_poll SET due_at = least(due_at, :now) WHERE provider_code = :code
""")


def _read(body: bytes) -> tuple[WebhookType, dict[str, Any]]:
    """Return an announcement's type and data.

    Raises:
        Invalid: it is not of our form; the words say what is missing.
    """
    try:
        told = read_json(body)
    except BillFileError as wrong:
        raise Invalid(str(wrong), code="webhook.malformed") from None
    kind = told.get("type") if isinstance(told, dict) else None
    if not isinstance(kind, str) or kind not in set(WebhookType):
        known = ", ".join(WebhookType)
        raise Invalid(f"the `type` of a webhook is one of {known}", code="webhook.malformed")
    data = told.get("data")
    if not isinstance(data, dict):
        raise Invalid("the `data` of a webhook is an object", code="webhook.malformed")
    if kind != WebhookType.FILE_READY:
        try:
            pushed_bills.check_form(_bills(WebhookType(kind), data))
        except BillFileError as wrong:
            raise Invalid(f"data: {wrong}", code="webhook.malformed") from None
    return WebhookType(kind), data


def _bills(kind: WebhookType, data: dict[str, Any]) -> bytes:
    """Return what is announced as the body of a push: one bill, or ``bills`` of them.

    In plain ASCII, because JSON may hold half of a character: its row is then rejected.
    """
    bills = data.get("bills", [data])
    if kind is WebhookType.BILL_CANCELLED and isinstance(bills, list):
        bills = [{**one, "kind": "cancel"} if isinstance(one, dict) else one for one in bills]
    return json.dumps({"bills": bills}, default=str).encode()
