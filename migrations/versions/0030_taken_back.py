"""A company can be asked to take a write-off back."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_ACTS = (
    "accept", "write_off_difference", "rematch", "suspend", "return_money", "refund",
    "resend_write_off", "query_again", "undo",
)  # fmt: skip


def upgrade() -> None:
    _name((*_ACTS, "reverse_write_off"))
    op.create_index(
        "ix_break_act_reversal", "break_act", ["break_id"], unique=True,
        postgresql_where=sa.text(
            "act = 'reverse_write_off' AND declined_at IS NULL AND answered_at IS NULL"
        ),
    )  # fmt: skip


def _name(acts: tuple[str, ...]) -> None:
    op.drop_constraint(op.f("ck_break_act_act"), "break_act")
    op.create_check_constraint(op.f("ck_break_act_act"), "break_act", f"act IN {acts}")


def downgrade() -> None:
    op.drop_index("ix_break_act_reversal", "break_act")
    op.execute("DELETE FROM break_act WHERE act = 'reverse_write_off'")
    _name(_ACTS)
