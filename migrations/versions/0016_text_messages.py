"""A text message is one, whoever carries it."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE notice SET channel = 'sms' WHERE channel = 'console'")


def downgrade() -> None:
    op.execute("UPDATE notice SET channel = 'console' WHERE channel = 'sms'")
