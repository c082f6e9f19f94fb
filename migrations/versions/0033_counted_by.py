"""By which profile a bill file's rows were counted: an import goes on where one stopped only by it."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("bill_file", sa.Column("profile_sha256", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("bill_file", "profile_sha256")
