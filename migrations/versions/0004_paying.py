"""Paying: any gateway, and what follows when money goes astray."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _know_what_a_gateway_was_asked()


def _know_what_a_gateway_was_asked() -> None:
    """Keep by which mode a payment is made, and what a callback is about."""
    op.add_column(
        "payment", sa.Column("mode", sa.String(), server_default="wallet", nullable=False)
    )
    op.alter_column("gateway_callback", "order_no", new_column_name="reference")
    op.add_column(
        "gateway_callback",
        sa.Column("kind", sa.String(length=32), server_default="payment", nullable=False),
    )
    op.alter_column("gateway_callback", "kind", server_default=None)
    op.create_check_constraint(
        op.f("ck_gateway_callback_callbackkind"),
        "gateway_callback",
        "kind IN ('payment', 'refund', 'dispute', 'mandate')",
    )


def downgrade() -> None:
    op.drop_column("gateway_callback", "kind")
    op.alter_column("gateway_callback", "reference", new_column_name="order_no")
    op.drop_column("payment", "mode")
