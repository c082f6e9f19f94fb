"""Who closed a day over what was still open, and why; what the morning's figures are counted by."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

PAID = "ix_payment_gateway_paid_at"
# Each holds only what waits, so it stays small however many rows there are.
WAITING = (
    ("ix_payment_item_unanswered", "payment_item", "outcome_at", "outcome = 'paid'"),
    ("ix_job_dead", "job", "id", "state = 'dead'"),
    ("ix_missing_bill_awaited", "missing_bill", "noticed_at", "arrived_at IS NULL"),
)


def upgrade() -> None:
    op.create_table(
        "day_closing",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("despite", sa.String(), nullable=True),
        sa.Column("found", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("despite ~ '[^[:space:]]'", name=op.f("ck_day_closing_reason_given")),
        sa.ForeignKeyConstraint(["day"], ["ledger_day.day"], name=op.f("fk_day_closing_day")),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_day_closing")),
    )
    words = "('how a day was closed is never changed', 'write down what came later elsewhere')"
    for name, what, each in (
        ("append_only", "UPDATE OR DELETE", "ROW"), ("append_only_whole", "TRUNCATE", "STATEMENT")
    ):  # fmt: skip
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {what} ON day_closing"
            f" FOR EACH {each} EXECUTE FUNCTION refuse_change{words}"
        )
    op.execute("GRANT SELECT, INSERT ON day_closing TO citybill_app")
    for name, table, column, only in WAITING:
        op.create_index(name, table, [column], postgresql_where=sa.text(only))
    _index_paid(["amount_fen"])


def _index_paid(include: list[str]) -> None:
    """Index what gateways took, with or without the amounts, so that a day is summed up by it."""
    op.drop_index(PAID, "payment")
    op.create_index(
        PAID, "payment", ["gateway", "paid_at"], postgresql_include=include,
        postgresql_where=sa.text("paid_at IS NOT NULL"),
    )  # fmt: skip


def downgrade() -> None:
    _index_paid([])
    for name, table, _column, _only in reversed(WAITING):
        op.drop_index(name, table)
    op.drop_table("day_closing")
