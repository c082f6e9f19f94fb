"""Paying: what a gateway was asked, and states that move by their tables only."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _know_what_a_gateway_was_asked()
    _move_by_the_tables_only()
    _know_bills_paid_elsewhere()


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


def _move_by_the_tables_only() -> None:
    """Hold states to the moves of payments/states.py; the pairs stand in the triggers' WHEN."""
    op.drop_constraint("ck_payment_paymentstatus", "payment")
    op.create_check_constraint(
        op.f("ck_payment_paymentstatus"),
        "payment",
        "status IN ('created', 'unknown', 'open', 'paid', 'refused', 'expired')",
    )
    op.alter_column(
        "gateway_callback",
        "body",
        type_=sa.LargeBinary(),
        postgresql_using="convert_to(body, 'UTF8')",
    )
    op.execute("""
        CREATE FUNCTION refuse_move() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE restrict_violation USING MESSAGE = format(
                'a %s cannot become %s', TG_TABLE_NAME,
                to_jsonb(NEW) ->> TG_ARGV[0]), HINT = 'payments/states.py has the moves';
        END $$
    """)
    for table, column, moves in (
        ("payment", "status", _PAYMENT_MOVES),
        ("payment_item", "outcome", _ITEM_MOVES),
    ):
        pairs = ", ".join(f"('{start}', '{end}')" for start, end in moves)
        op.execute(
            f"CREATE TRIGGER moves BEFORE UPDATE OF {column} ON {table} FOR EACH ROW "
            f"WHEN (OLD.{column} <> NEW.{column} "
            f"AND (OLD.{column}, NEW.{column}) NOT IN ({pairs})) "
            f"EXECUTE FUNCTION refuse_move('{column}')"
        )


def _know_bills_paid_elsewhere() -> None:
    """Let a bill be void because its company has the money by another way."""
    op.add_column("bill", sa.Column("paid_elsewhere_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        op.f("ck_bill_elsewhere_is_void_here"),
        "bill",
        "paid_elsewhere_at IS NULL OR cancelled_at IS NOT NULL",
    )


_PAYMENT_MOVES = [
    *((start, end) for start in ("created", "unknown") for end in ("open", "paid", "refused")),
    ("created", "unknown"), ("created", "expired"), ("unknown", "expired"),
    ("open", "paid"), ("open", "refused"), ("open", "expired"),
    ("refused", "paid"), ("expired", "paid"),
]  # fmt: skip


_ITEM_MOVES = [
    ("waiting", "paid"), ("waiting", "returning"), ("waiting", "not_paid"),
    ("paid", "written_off"), ("paid", "returning"), ("returning", "returned"),
    ("not_paid", "paid"), ("not_paid", "returning"), ("written_off", "returning"),
]  # fmt: skip


def downgrade() -> None:
    op.drop_constraint("ck_bill_elsewhere_is_void_here", "bill")
    op.drop_column("bill", "paid_elsewhere_at")
    op.execute("DROP TRIGGER moves ON payment_item")
    op.execute("DROP TRIGGER moves ON payment")
    op.execute("DROP FUNCTION refuse_move()")
    op.alter_column(
        "gateway_callback",
        "body",
        type_=sa.String(),
        postgresql_using="convert_from(body, 'UTF8')",
    )
    op.execute("UPDATE payment SET status = 'created' WHERE status = 'unknown'")
    op.drop_constraint("ck_payment_paymentstatus", "payment")
    op.create_check_constraint(
        op.f("ck_payment_paymentstatus"),
        "payment",
        "status IN ('created', 'open', 'paid', 'refused', 'expired')",
    )
    op.drop_column("gateway_callback", "kind")
    op.alter_column("gateway_callback", "reference", new_column_name="order_no")
    op.drop_column("payment", "mode")
