"""Cash over the counter, and the keys of those who take it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _take_cash()


def _take_cash() -> None:
    """Let agents sign, and keep the cash they report; its payer is nobody we know."""
    op.add_column(
        "company_key",
        sa.Column("holder", sa.String(length=32), server_default="company", nullable=False),
    )
    op.create_check_constraint(
        op.f("ck_company_key_holder"), "company_key", "holder IN ('company', 'agent')"
    )
    _index_live_keys(["holder", "provider_code", "slot"])
    op.alter_column("payment", "payer_id", existing_type=sa.BigInteger(), nullable=True)
    op.create_check_constraint(
        op.f("ck_payment_payer_known"), "payment", "payer_id IS NOT NULL OR gateway = 'counter'"
    )
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "counter_payment",
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("agent_txn_no", sa.String(), nullable=False),
        sa.Column("barcode", sa.String(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("paid_at", moment, nullable=False),
        sa.Column("received_at", moment, nullable=False),
        sa.Column("received_via", sa.String(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("payment_id", sa.BigInteger(), nullable=True),
        sa.Column("return_no", sa.String(), nullable=True),
        sa.Column("returned_at", moment, nullable=True),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_counter_payment_amount_positive")),
        sa.CheckConstraint(
            "(state = 'unmatched') = (payment_id IS NULL)",
            name=op.f("ck_counter_payment_payment_if_matched"),
        ),
        sa.CheckConstraint(
            "(state = 'returned') = (returned_at IS NOT NULL AND return_no IS NOT NULL)",
            name=op.f("ck_counter_payment_return_says_when"),
        ),
        sa.CheckConstraint(
            "(state = 'booked') = (reason IS NULL)",
            name=op.f("ck_counter_payment_no_bill_says_why"),
        ),
        sa.CheckConstraint(
            "received_via IN ('api', 'file')", name=op.f("ck_counter_payment_received_via")
        ),
        sa.CheckConstraint(
            "state IN ('booked', 'suspended', 'unmatched', 'returned')",
            name=op.f("ck_counter_payment_cashstate"),
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payment.id"], name=op.f("fk_counter_payment_payment_id")
        ),
        sa.PrimaryKeyConstraint("agent", "agent_txn_no", name=op.f("pk_counter_payment")),
    )
    op.create_index(op.f("ix_counter_payment_payment_id"), "counter_payment", ["payment_id"])
    op.create_index("ix_counter_payment_agent_paid_at", "counter_payment", ["agent", "paid_at"])
    op.create_table(
        "counter_hold",
        sa.Column("payment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payment.id"], name=op.f("fk_counter_hold_payment_id")
        ),
        sa.PrimaryKeyConstraint("payment_id", name=op.f("pk_counter_hold")),
    )
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON counter_payment, counter_hold TO citybill_app"
    )


def _index_live_keys(columns: list[str]) -> None:
    op.drop_index("ix_company_key_live", "company_key")
    op.create_index(
        "ix_company_key_live",
        "company_key",
        columns,
        unique=True,
        postgresql_where=sa.text("revoked_at IS NULL"),
    )


def _take_no_cash() -> None:
    """Undo it; cash of nobody cannot stand in the older schema, so its presence refuses this."""
    for table in ("counter_hold", "counter_payment"):
        op.drop_table(table)
    op.drop_constraint("ck_payment_payer_known", "payment")
    op.alter_column("payment", "payer_id", existing_type=sa.BigInteger(), nullable=False)
    op.execute(
        "UPDATE company_key SET revoked_at = now() WHERE holder = 'agent' AND revoked_at IS NULL"
    )
    _index_live_keys(["provider_code", "slot"])
    op.drop_constraint("ck_company_key_holder", "company_key")
    op.drop_column("company_key", "holder")


def downgrade() -> None:
    _take_no_cash()
