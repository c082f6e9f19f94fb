"""Accounts with a name, rules ended by somebody, and what a company's list could not say."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "bank_account", sa.Column("label", sa.String(), nullable=False, server_default="")
    )
    op.add_column("bank_rule", sa.Column("ended_by", sa.BigInteger(), nullable=True))
    op.add_column("bank_rule", sa.Column("end_reason", sa.String(), nullable=True))
    op.create_foreign_key(
        op.f("fk_bank_rule_ended_by"), "bank_rule", "person", ["ended_by"], ["id"]
    )
    op.create_check_constraint(
        op.f("ck_bank_rule_ended_whole"), "bank_rule",
        "num_nulls(ended_by, end_reason) IN (0, 2)"
        " AND (ended_by IS NULL OR ended_at IS NOT NULL)",
    )  # fmt: skip
    for table, day in (("bank_entry", "booked_on"), ("bank_due", "day")):
        op.create_index(
            f"ix_{table}_open", table, [day, "id"], postgresql_where=sa.text("match_id IS NULL")
        )
    op.create_table(
        "confirmation_reject",
        sa.Column("confirmation_file_id", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("line_no", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("column_name", "reason", "raw")),
        sa.ForeignKeyConstraint(
            ["confirmation_file_id"], ["confirmation_file.id"], ondelete="CASCADE",
            name=op.f("fk_confirmation_reject_confirmation_file_id"),
        ),
        sa.PrimaryKeyConstraint(
            "confirmation_file_id", "place", name=op.f("pk_confirmation_reject")
        ),
    )  # fmt: skip
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON confirmation_reject TO citybill_app")


def downgrade() -> None:
    op.drop_table("confirmation_reject")
    for table in ("bank_due", "bank_entry"):
        op.drop_index(f"ix_{table}_open", table)
    op.drop_constraint("ck_bank_rule_ended_whole", "bank_rule")
    op.drop_constraint("fk_bank_rule_ended_by", "bank_rule")
    for column in ("end_reason", "ended_by"):
        op.drop_column("bank_rule", column)
    op.drop_column("bank_account", "label")
