"""Which settlement files should be here, and which are; differences that live longer than a run."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


KINDS = (
    "missing_here", "missing_at_gateway", "amount_differs", "duplicate", "ledger_differs",
    "written_off_unpaid", "paid_not_written_off", "unknown_credit",
)  # fmt: skip


def upgrade() -> None:
    _expect_files()
    _let_breaks_live()


def _expect_files() -> None:
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


def _let_breaks_live() -> None:
    """Give a break a row of its own, with an age, an owner and an end."""
    table, moment = "reconciliation_break", sa.DateTime(timezone=True)
    op.drop_constraint("pk_reconciliation_break", table)
    op.drop_constraint("ck_reconciliation_break_breakkind", table)
    op.alter_column(table, "gateway_ref", new_column_name="their_ref")
    op.add_column(table, sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False))
    op.create_primary_key(op.f("pk_reconciliation_break"), table, ["id"])
    for name, kept in (("leg", "gateway"), ("state", "open")):
        op.add_column(
            table, sa.Column(name, sa.String(length=32), server_default=kept, nullable=False)
        )
        op.alter_column(table, name, server_default=None)
    op.add_column(table, sa.Column("due_at", moment, nullable=True))
    op.execute("UPDATE reconciliation_break SET due_at = found_at + interval '1 day'")
    op.alter_column(table, "due_at", nullable=False)
    op.add_column(table, sa.Column("owner_id", sa.BigInteger(), nullable=True))
    op.add_column(table, sa.Column("closed_at", moment, nullable=True))
    op.create_foreign_key(
        op.f("fk_reconciliation_break_owner_id"), table, "person", ["owner_id"], ["id"]
    )
    op.create_unique_constraint(
        op.f("uq_reconciliation_break_leg_source_day_row_kind_reference"),
        table,
        ["leg", "source", "day", "row_kind", "reference"],
    )
    for name, rule in (
        ("breakkind", f"kind IN {KINDS}"),
        ("leg", "leg IN ('gateway', 'company', 'bank')"),
        ("breakstate", "state IN ('open', 'explained', 'resolved')"),
        ("closed_says_when", "(state = 'open') = (closed_at IS NULL)"),
    ):
        op.create_check_constraint(op.f(f"ck_reconciliation_break_{name}"), table, rule)
    op.create_index(
        "ix_reconciliation_break_open",
        table,
        ["due_at", "id"],
        postgresql_where=sa.text("state = 'open'"),
    )


def downgrade() -> None:
    table = "reconciliation_break"
    op.drop_index("ix_reconciliation_break_open", table)
    for name in ("breakkind", "leg", "breakstate", "closed_says_when"):
        op.drop_constraint(f"ck_reconciliation_break_{name}", table)
    op.drop_constraint("uq_reconciliation_break_leg_source_day_row_kind_reference", table)
    op.execute("DELETE FROM reconciliation_break WHERE leg <> 'gateway' OR state <> 'open'")
    op.drop_constraint("pk_reconciliation_break", table)
    for column in ("id", "leg", "state", "due_at", "owner_id", "closed_at"):
        op.drop_column(table, column)
    op.alter_column(table, "their_ref", new_column_name="gateway_ref")
    op.create_check_constraint(
        op.f("ck_reconciliation_break_breakkind"), table, f"kind IN {KINDS[:5]}"
    )
    op.create_primary_key(
        "pk_reconciliation_break", table, ["source", "day", "kind", "row_kind", "reference"]
    )
    op.drop_table("settlement_arrival")
