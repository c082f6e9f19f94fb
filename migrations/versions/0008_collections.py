"""Accounts are debited in batches."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _debit_accounts()


def _debit_accounts() -> None:
    """Keep the batches a bank collects, and what it says came back."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "collection_batch",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("opened_at", moment, nullable=False),
        sa.Column("batch_no", sa.String(), nullable=True),
        sa.Column("collect_on", sa.Date(), nullable=True),
        sa.Column("silent_until", sa.Date(), nullable=True),
        sa.Column("cut_at", moment, nullable=True),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("total_fen", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("complaint", sa.String(), nullable=True),
        sa.Column("state_at", moment, nullable=False),
        sa.CheckConstraint(
            "(state = 'open') = (batch_no IS NULL) AND num_nulls(batch_no, content, collect_on,"
            " silent_until, cut_at) IN (0, 5)",
            name=op.f("ck_collection_batch_cut_whole"),
        ),
        sa.CheckConstraint(
            "state <> 'refused' OR complaint IS NOT NULL",
            name=op.f("ck_collection_batch_refusal_says_why"),
        ),
        sa.CheckConstraint(
            "state IN ('open', 'cut', 'taken', 'refused', 'closed')",
            name=op.f("ck_collection_batch_batchstate"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collection_batch")),
        sa.UniqueConstraint("batch_no", name=op.f("uq_collection_batch_batch_no")),
    )
    op.create_index(
        "ix_collection_batch_open",
        "collection_batch",
        ["gateway"],
        unique=True,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "collection_entry",
        sa.Column("order_no", sa.String(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=False),
        sa.Column("debtor_ref", sa.String(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("entered_at", moment, nullable=False),
        sa.Column("state_at", moment, nullable=False),
        sa.Column("return_code", sa.String(), nullable=True),
        sa.Column("return_file_no", sa.String(), nullable=True),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_collection_entry_amount_positive")),
        sa.CheckConstraint(
            "(state IN ('returned', 'bounced')) = (return_code IS NOT NULL)",
            name=op.f("ck_collection_entry_return_says_why"),
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'dropped', 'returned', 'collected', 'bounced')",
            name=op.f("ck_collection_entry_entrystate"),
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["collection_batch.id"], name=op.f("fk_collection_entry_batch_id")
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payment.id"], name=op.f("fk_collection_entry_payment_id")
        ),
        sa.PrimaryKeyConstraint("order_no", name=op.f("pk_collection_entry")),
        sa.UniqueConstraint("payment_id", name=op.f("uq_collection_entry_payment_id")),
    )
    op.create_index(
        "ix_collection_entry_waiting",
        "collection_entry",
        ["batch_id", "order_no"],
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_table(
        "collection_return_file",
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("file_no", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("total_fen", sa.BigInteger(), nullable=False),
        sa.Column("received_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("gateway", "file_no", name=op.f("pk_collection_return_file")),
    )
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON collection_batch, collection_entry,"
        " collection_return_file TO citybill_app"
    )


def downgrade() -> None:
    for table in ("collection_return_file", "collection_entry", "collection_batch"):
        op.drop_table(table)
