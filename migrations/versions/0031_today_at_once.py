"""What the console's first page reads at once: sums of hours that are over, open differences."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "taking_hour",
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("payments", sa.BigInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("started_at", "gateway", name=op.f("pk_taking_hour")),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON taking_hour TO citybill_app")
    # Of open differences alone: a small part of them, and the table is read once.
    op.create_index(
        "ix_reconciliation_break_age", "reconciliation_break", ["kind", "found_at"],
        postgresql_where=sa.text("state = 'open'"),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_index("ix_reconciliation_break_age", "reconciliation_break")
    op.drop_table("taking_hour")
