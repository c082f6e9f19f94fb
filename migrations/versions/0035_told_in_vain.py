"""How long a company was told in vain, and when a bank was first given a file: before either ends."""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("payment_item", sa.Column("tried_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "payment_item",
        sa.Column("tried_seconds", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.add_column(
        "collection_batch", sa.Column("offered_at", sa.DateTime(timezone=True), nullable=True)
    )
    # Any of them may have reached the bank.
    op.execute("UPDATE collection_batch SET offered_at = cut_at WHERE state <> 'open'")


def downgrade() -> None:
    op.drop_column("collection_batch", "offered_at")
    op.drop_column("payment_item", "tried_seconds")
    op.drop_column("payment_item", "tried_at")
