"""Which settlement files should be here, and which are."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "settlement_arrival",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("due_at", moment, nullable=False),
        sa.Column("asked_at", moment, nullable=True),
        sa.Column("answer", sa.String(), nullable=True),
        sa.Column("settlement_file_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'arrived', 'no_data')", name=op.f("ck_settlement_arrival_state")
        ),
        sa.CheckConstraint(
            "(state = 'waiting') = (settlement_file_id IS NULL)",
            name=op.f("ck_settlement_arrival_waits_without_file"),
        ),
        sa.ForeignKeyConstraint(
            ["settlement_file_id"],
            ["settlement_file.id"],
            name=op.f("fk_settlement_arrival_settlement_file_id"),
        ),
        sa.PrimaryKeyConstraint("source", "day", name=op.f("pk_settlement_arrival")),
    )
    op.create_index(
        "ix_settlement_arrival_due_at",
        "settlement_arrival",
        ["due_at"],
        postgresql_where=sa.text("state = 'waiting'"),
    )
    # Days that were matched before anybody expected files.
    op.execute(
        "INSERT INTO settlement_arrival (source, day, state, due_at, asked_at, settlement_file_id) "
        "SELECT source, day, 'arrived', run_at, run_at, settlement_file_id FROM reconciliation"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON settlement_arrival TO citybill_app")


def downgrade() -> None:
    op.drop_table("settlement_arrival")
