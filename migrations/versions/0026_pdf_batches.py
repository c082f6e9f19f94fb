"""Batches of documents."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)


def _kept(*values: str, name: str) -> sa.Enum[Any]:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    _batches()
    _shares()
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON document_batch, document_share TO citybill_app"
    )


def _batches() -> None:
    op.create_table(
        "document_batch",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", _kept("bills", "statements", name="batchkind"), nullable=False),
        sa.Column("provider_code", sa.String(), nullable=True),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column(
            "state",
            _kept("ordered", "making", "done", "cancelled", "expired", name="batchstate"),
            nullable=False,
        ),
        sa.Column("ordered_by", sa.BigInteger(), nullable=False),
        sa.Column("ordered_at", moment, nullable=False),
        sa.Column("ended_at", moment, nullable=True),
        sa.CheckConstraint(
            "(kind = 'bills') = (provider_code IS NOT NULL)",
            name=op.f("ck_document_batch_bills_of_company"),
        ),
        sa.CheckConstraint(
            "extract(day FROM month) = 1", name=op.f("ck_document_batch_month_begins")
        ),
        sa.CheckConstraint(
            "(state IN ('ordered', 'making')) = (ended_at IS NULL)",
            name=op.f("ck_document_batch_end_says_when"),
        ),
        sa.ForeignKeyConstraint(
            ["ordered_by"], ["person.id"], name=op.f("fk_document_batch_ordered_by")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document_batch")),
    )
    op.create_index(
        "ix_document_batch_provider_code_id", "document_batch", ["provider_code", "id"]
    )  # fmt: skip
    op.create_index(
        "uq_document_batch_live", "document_batch", ["kind", "provider_code", "month"],
        unique=True, postgresql_where=sa.text("state IN ('ordered', 'making')"),
        postgresql_nulls_not_distinct=True,
    )  # fmt: skip


def _shares() -> None:
    big = sa.BigInteger()
    op.create_table(
        "document_share",
        sa.Column("batch_id", big, nullable=False),
        sa.Column("no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first_id", big, nullable=False),
        sa.Column("first_bill_id", big, nullable=False),
        sa.Column("last_id", big, nullable=False),
        sa.Column("last_bill_id", big, nullable=False),
        sa.Column("subjects", sa.Integer(), nullable=False),
        sa.Column("looked_at", sa.Integer(), nullable=False),
        sa.Column("documents", sa.Integer(), nullable=False),
        sa.Column("file_bytes", big, nullable=False),
        sa.Column("sha256", sa.String(), nullable=True),
        sa.Column("made_at", moment, nullable=True),
        sa.CheckConstraint(
            "looked_at BETWEEN 0 AND subjects", name=op.f("ck_document_share_looked_within")
        ),
        sa.CheckConstraint(
            "documents BETWEEN 0 AND subjects", name=op.f("ck_document_share_documents_within")
        ),
        sa.CheckConstraint(
            "(made_at IS NULL) = (sha256 IS NULL) AND (made_at IS NULL OR looked_at = subjects)",
            name=op.f("ck_document_share_made_whole"),
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["document_batch.id"], name=op.f("fk_document_share_batch_id")
        ),
        sa.PrimaryKeyConstraint("batch_id", "no", name=op.f("pk_document_share")),
    )


def downgrade() -> None:
    op.drop_table("document_share")
    op.drop_table("document_batch")
