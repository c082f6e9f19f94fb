"""Readings and tax invoices of bills."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)
MOST_BYTES = 2 << 20


def upgrade() -> None:
    _readings()
    _papers()
    op.execute("GRANT SELECT, INSERT, UPDATE ON bill_reading, bill_paper TO citybill_app")


def _kept(*values: str, name: str) -> sa.Enum[Any]:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def _readings() -> None:
    op.create_table(
        "bill_reading",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bill_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("before", sa.Numeric(12, 3), nullable=True),
        sa.Column("after", sa.Numeric(12, 3), nullable=True),
        sa.Column("read_on", sa.Date(), nullable=True),
        sa.Column("version", sa.SmallInteger(), nullable=False),
        sa.Column(
            "kind",
            _kept("read", "remote", "own", "estimated", name="readingkind"),
            nullable=True,
        ),
        sa.Column("meter_no", sa.String(), nullable=False),
        sa.Column("recorded_at", moment, nullable=False),
        sa.CheckConstraint(
            "before >= 0 AND after >= 0", name=op.f("ck_bill_reading_never_negative")
        ),
        sa.CheckConstraint("version BETWEEN 1 AND 99", name=op.f("ck_bill_reading_version_range")),
        sa.ForeignKeyConstraint(
            ["account_id", "bill_id"],
            ["bill.account_id", "bill.id"],
            name=op.f("fk_bill_reading_account_id_bill_id"),
        ),
        sa.PrimaryKeyConstraint("account_id", "bill_id", name=op.f("pk_bill_reading")),
    )


def _papers() -> None:
    op.create_table(
        "bill_paper",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bill_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column(
            "kind",
            _kept("invoice_pdf", "invoice_ofd", "invoice_xml", "meter_photo", name="paperkind"),
            nullable=False,
        ),
        sa.Column("invoice_no", sa.String(), nullable=False),
        sa.Column("issued_on", sa.Date(), nullable=True),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", moment, nullable=False),
        sa.CheckConstraint(
            f"size_bytes = octet_length(content) AND size_bytes BETWEEN 1 AND {MOST_BYTES}",
            name=op.f("ck_bill_paper_size"),
        ),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_bill_paper_sha256_whole")),
        sa.CheckConstraint(
            "CASE WHEN kind = 'meter_photo' THEN invoice_no = ''"
            " ELSE invoice_no ~ '^[0-9]{8,20}$' AND issued_on IS NOT NULL END",
            name=op.f("ck_bill_paper_invoice_has_number"),
        ),
        sa.ForeignKeyConstraint(
            ["account_id", "bill_id"],
            ["bill.account_id", "bill.id"],
            name=op.f("fk_bill_paper_account_id_bill_id"),
        ),
        sa.PrimaryKeyConstraint("account_id", "bill_id", "sha256", name=op.f("pk_bill_paper")),
        sa.UniqueConstraint(
            "account_id", "bill_id", "kind", "invoice_no",
            name=op.f("uq_bill_paper_account_id_bill_id_kind_invoice_no"),
        ),
    )  # fmt: skip
    op.create_index(
        "ix_bill_paper_invoice_no",
        "bill_paper",
        ["invoice_no", "account_id"],
        postgresql_where=sa.text("invoice_no <> ''"),
    )


def downgrade() -> None:
    op.drop_table("bill_paper")
    op.drop_table("bill_reading")
