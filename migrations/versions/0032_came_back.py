"""Money a gateway had sent back and that came back to it: suspended money, once for each number."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

_WHY = (
    "cash", "never", "window_shut", "no_parts", "too_many", "refused", "no_gateway", "unknown",
)  # fmt: skip
_FOUND_BY = ("other_day", "their_number", "amount", "parts")


def upgrade() -> None:
    op.add_column("receipt", sa.Column("came_back_of", sa.String(), nullable=True))
    op.create_unique_constraint(op.f("uq_receipt_came_back_of"), "receipt", ["came_back_of"])
    op.create_check_constraint(
        op.f("ck_receipt_never_by_gateway"), "receipt",
        "came_back_of IS NULL OR asked_at IS NULL",
    )  # fmt: skip
    _allow((*_WHY, "came_back"), (*_FOUND_BY, "cancels"))


def _allow(why: tuple[str, ...], found_by: tuple[str, ...]) -> None:
    """Say which reasons of transfers and which ways of matching there are."""
    for table, name, rule in (
        ("bank_transfer", "transferreason", f"why IN {why}"),
        ("gateway_match", "foundby", f"found_by IN {found_by}"),
    ):
        op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
        op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)


def downgrade() -> None:
    op.execute("UPDATE bank_transfer SET why = 'refused' WHERE why = 'came_back'")
    op.execute("DELETE FROM gateway_match WHERE found_by = 'cancels'")
    _allow(_WHY, _FOUND_BY)
    op.drop_constraint(op.f("ck_receipt_never_by_gateway"), "receipt")
    op.drop_constraint(op.f("uq_receipt_came_back_of"), "receipt")
    op.drop_column("receipt", "came_back_of")
