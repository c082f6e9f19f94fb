"""What addresses get wrong is counted of one-time codes too, not of links of calendars alone."""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _rename("calendar_miss", "client_miss")


def _rename(old: str, new: str) -> None:
    op.rename_table(old, new)
    op.execute(f"ALTER TABLE {new} RENAME CONSTRAINT pk_{old} TO pk_{new}")


def downgrade() -> None:
    _rename("client_miss", "calendar_miss")
