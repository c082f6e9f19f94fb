"""Carriers of messages: how much goes to each, what they tell us, and operators' alerts."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)


def _kept(*values: str, name: str) -> sa.Enum[Any]:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    _carriers()
    _alerts()
    tables = "carrier_call, carrier_minute, carrier_receipt, carrier_state, operator_alert"
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO citybill_app")


def _carriers() -> None:
    op.create_table(
        "carrier_call",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("carrier", sa.String(), nullable=False),
        sa.Column("headers", JSONB(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("body_hash", sa.String(), nullable=False),
        sa.Column("received_at", moment, nullable=False),
        sa.Column("read_at", moment, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_carrier_call")),
        sa.UniqueConstraint("carrier", "body_hash", name=op.f("uq_carrier_call_carrier_body_hash")),
    )
    op.create_table(
        "carrier_minute",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("minute_at", moment, nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.Column("not_now", sa.Integer(), nullable=False),
        sa.Column("silent", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("delivered", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("slow", sa.Integer(), nullable=False),
        sa.Column("wait_ms", sa.BigInteger(), nullable=False),
        sa.Column("waits", sa.ARRAY(sa.Integer()), nullable=False),
        sa.PrimaryKeyConstraint("code", "minute_at", name=op.f("pk_carrier_minute")),
    )
    op.create_index("ix_carrier_minute_minute_at", "carrier_minute", ["minute_at"])
    op.create_table(
        "carrier_receipt",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("call_id", sa.BigInteger(), nullable=True),
        sa.Column("carrier", sa.String(), nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("fate", _kept("delivered", "failed", "read", name="fate"), nullable=False),
        sa.Column("happened_at", moment, nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("received_at", moment, nullable=False),
        sa.Column("applied_at", moment, nullable=True),
        sa.ForeignKeyConstraint(
            ["call_id"], ["carrier_call.id"], name=op.f("fk_carrier_receipt_call_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_carrier_receipt")),
        sa.UniqueConstraint(
            "carrier", "ref", "fate", name=op.f("uq_carrier_receipt_carrier_ref_fate")
        ),
    )
    op.create_index("ix_carrier_receipt_call_id", "carrier_receipt", ["call_id"])
    op.create_index(
        "ix_carrier_receipt_waiting",
        "carrier_receipt",
        ["id"],
        postgresql_where=sa.text("applied_at IS NULL"),
    )
    op.create_table(
        "carrier_state",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("weight", sa.SmallInteger(), nullable=False),
        sa.Column("resting_weight", sa.SmallInteger(), nullable=False),
        sa.Column("shifted_at", moment, nullable=True),
        sa.Column("eased_at", moment, nullable=True),
        sa.Column("misses", sa.Integer(), nullable=False),
        sa.Column("down_since", moment, nullable=True),
        sa.Column("paused_until", moment, nullable=True),
        sa.Column("stopped_at", moment, nullable=True),
        sa.Column("stopped_by", sa.BigInteger(), nullable=True),
        sa.Column("stop_reason", sa.String(), nullable=True),
        sa.Column("per_minute", sa.Integer(), nullable=True),
        sa.Column("paced_until", moment, nullable=True),
        sa.CheckConstraint(
            "(stopped_at IS NULL) = (stopped_by IS NULL)",
            name=op.f("ck_carrier_state_stopped_by_somebody"),
        ),
        sa.CheckConstraint("per_minute > 0", name=op.f("ck_carrier_state_per_minute")),
        sa.CheckConstraint(
            "resting_weight BETWEEN 0 AND 100", name=op.f("ck_carrier_state_resting_weight")
        ),
        sa.CheckConstraint("weight BETWEEN 0 AND 100", name=op.f("ck_carrier_state_weight")),
        sa.ForeignKeyConstraint(
            ["stopped_by"], ["person.id"], name=op.f("fk_carrier_state_stopped_by")
        ),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_carrier_state")),
    )


def _alerts() -> None:
    op.create_table(
        "operator_alert",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("finding", sa.String(), nullable=False),
        sa.Column("hour_at", moment, nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("raised_at", moment, nullable=False),
        sa.Column("sent_at", moment, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operator_alert")),
        sa.UniqueConstraint("finding", "hour_at", name=op.f("uq_operator_alert_finding_hour_at")),
    )


def downgrade() -> None:
    for table in (
        "operator_alert", "carrier_state", "carrier_receipt", "carrier_minute", "carrier_call",
    ):  # fmt: skip
        op.drop_table(table)
