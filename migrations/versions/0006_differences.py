"""Files that should be here, differences that outlive a run, what people do about them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


KINDS = (
    "missing_here", "missing_at_gateway", "amount_differs", "duplicate", "ledger_differs",
    "written_off_unpaid", "paid_not_written_off", "unknown_credit", "unknown_debit", "not_settled",
)  # fmt: skip


ACT_RULES = (
    ("act",
     "act IN ('accept', 'write_off_difference', 'resend_write_off', 'query_again', 'undo')"),
    ("breakkind", f"kind IN {KINDS}"),
    ("reason_given", "reason ~ '[^[:space:]]'"),
    ("amount_not_negative", "amount_fen >= 0"),
    ("two_people", "approved_by <> proposed_by"),
    ("approval_whole", "num_nulls(approved_by, approved_at) IN (0, 2)"),
    ("decline_whole", "num_nulls(declined_by, declined_at) IN (0, 2)"),
    ("undoing_whole", "num_nulls(undone_by, undone_at) IN (0, 2)"),
    ("not_both", "declined_at IS NULL OR done_at IS NULL"),
    ("approved_is_done", "approved_at IS NULL OR done_at IS NOT NULL"),
    ("approved_if_needed", "NOT needs_two OR done_at IS NULL OR approved_at IS NOT NULL"),
    ("undone_was_done", "undone_at IS NULL OR done_at IS NOT NULL"),
    ("undo_of_something", "(act = 'undo') = (undoes_id IS NOT NULL)"),
)  # fmt: skip


def upgrade() -> None:
    _expect_files()
    _let_breaks_live()
    _let_people_resolve()


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


def _let_people_resolve() -> None:
    """Give what people do about a break a row each; only its later fate is ever written to it."""
    moment, person = sa.DateTime(timezone=True), "person"
    whom = ("proposed", "approved", "declined", "undone")
    op.create_table(
        "break_act",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("break_id", sa.BigInteger(), nullable=False),
        sa.Column("act", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("ours_fen", sa.BigInteger(), nullable=True),
        sa.Column("theirs_fen", sa.BigInteger(), nullable=True),
        sa.Column("needs_two", sa.Boolean(), nullable=False),
        *(sa.Column(f"{one}_by", sa.BigInteger(), nullable=one != "proposed") for one in whom),
        *(sa.Column(f"{one}_at", moment, nullable=one != "proposed") for one in whom),
        sa.Column("done_at", moment, nullable=True),
        sa.Column("undoes_id", sa.BigInteger(), nullable=True),
        sa.Column("answered_at", moment, nullable=True),
        sa.Column("answer", sa.String(), nullable=True),
        *(sa.CheckConstraint(rule, name=op.f(f"ck_break_act_{name}")) for name, rule in ACT_RULES),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_break_act")),
        sa.UniqueConstraint("undoes_id", name=op.f("uq_break_act_undoes_id")),
        *(
            sa.ForeignKeyConstraint([column], [f"{to}.id"], name=op.f(f"fk_break_act_{column}"))
            for column, to in (
                ("break_id", "reconciliation_break"), ("undoes_id", "break_act"),
                *((f"{one}_by", person) for one in whom),
            )
        ),
    )  # fmt: skip
    op.create_index("ix_break_act_break_id", "break_act", ["break_id"])
    op.create_index(
        "ix_break_act_live", "break_act", ["break_id"], unique=True,
        postgresql_where=sa.text(
            "act IN ('accept', 'write_off_difference')"
            " AND declined_at IS NULL AND undone_at IS NULL"
        ),
    )  # fmt: skip
    op.execute("GRANT SELECT, INSERT ON break_act TO citybill_app")
    op.execute(
        "GRANT UPDATE (approved_by, approved_at, declined_by, declined_at, undone_by, undone_at,"
        " done_at, answered_at, answer) ON break_act TO citybill_app"
    )


def downgrade() -> None:
    op.drop_table("break_act")
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
