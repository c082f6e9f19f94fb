"""A run may take back what was written off of a difference that a corrected file has ended."""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_RULE = "ck_break_act_undoing_whole"


def upgrade() -> None:
    op.drop_constraint(op.f(_RULE), "break_act")
    op.create_check_constraint(
        op.f(_RULE), "break_act", "undone_by IS NULL OR undone_at IS NOT NULL"
    )


def downgrade() -> None:
    op.execute(
        "UPDATE break_act SET undone_by = proposed_by"
        " WHERE undone_at IS NOT NULL AND undone_by IS NULL"
    )
    op.drop_constraint(op.f(_RULE), "break_act")
    op.create_check_constraint(
        op.f(_RULE), "break_act", "num_nulls(undone_by, undone_at) IN (0, 2)"
    )
