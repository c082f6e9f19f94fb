"""More kinds of differences, and what is done about a bank's."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


_KINDS = (
    "missing_here", "missing_at_gateway", "amount_differs", "duplicate", "ledger_differs",
    "written_off_unpaid", "paid_not_written_off", "unknown_credit", "unknown_debit", "not_settled",
)  # fmt: skip
_NEW_KINDS = ("fee_differs", "late", "other_route", "refund_unmatched")
_CLOSING = ("accept", "write_off_difference")
_NEW_CLOSING = ("rematch", "suspend", "return_money")
_ASKING = ("resend_write_off", "query_again", "undo")
_WHY = ("cash", "never", "window_shut", "no_parts", "too_many", "refused", "no_gateway")
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _name(_KINDS + _NEW_KINDS, _CLOSING + _NEW_CLOSING, ("refund", *_ASKING), (*_WHY, "unknown"))
    op.add_column("reconciliation_break", sa.Column("elsewhere", sa.String()))
    op.add_column(
        "settlement_row", sa.Column("payer", sa.String(), server_default="", nullable=False)
    )
    op.add_column(
        "reconciliation",
        sa.Column("matched_elsewhere", sa.Integer(), server_default="0", nullable=False),
    )
    op.add_column(
        "bank_match",
        sa.Column("written_off_fen", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.add_column("break_act", sa.Column("target", sa.String()))
    op.create_check_constraint(
        op.f("ck_break_act_rematch_says_what"), "break_act",
        "act <> 'rematch' OR target IS NOT NULL",
    )  # fmt: skip
    op.alter_column("bank_transfer", "payment_id", nullable=True)
    _keep_leftovers()
    _keep_suspense()


def _keep_leftovers() -> None:
    """What a day leaves, and what it was matched with."""
    op.create_table(
        "settlement_left",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False)
          for name in ("row_kind", "reference", "verdict")),
        sa.Column("is_named", sa.Boolean(), nullable=False),
        sa.Column("payer", sa.String(), nullable=False),
        sa.Column("their_ref", sa.String()),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("ours_fen", sa.BigInteger()),
        sa.Column("theirs_fen", sa.BigInteger()),
        sa.Column("happened_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint(
            "source", "day", "row_kind", "reference", name=op.f("pk_settlement_left")
        ),
    )  # fmt: skip
    op.create_table(
        "gateway_match",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("source", "parts")),
        sa.Column("found_by", sa.String(length=32), nullable=False),
        sa.Column("first_on", sa.Date(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("made_at", _MOMENT, nullable=False),
        sa.Column("undone_at", _MOMENT),
        sa.Column("undone_by", sa.BigInteger()),
        sa.Column("undo_reason", sa.String()),
        sa.CheckConstraint(
            "found_by IN ('other_day', 'their_number', 'amount', 'parts')",
            name=op.f("ck_gateway_match_foundby"),
        ),
        sa.CheckConstraint(
            "num_nulls(undone_by, undo_reason) IN (0, 2) AND (undone_by IS NULL OR"
            " undone_at IS NOT NULL)", name=op.f("ck_gateway_match_undone_whole"),
        ),
        sa.ForeignKeyConstraint(
            ["undone_by"], ["person.id"], name=op.f("fk_gateway_match_undone_by")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_match")),
    )  # fmt: skip
    op.create_index(
        "ix_gateway_match_parts", "gateway_match", ["source", "parts"], unique=True,
        postgresql_where=sa.text("undone_at IS NULL"),
    )  # fmt: skip
    op.create_index("ix_gateway_match_first_on", "gateway_match", ["first_on"])
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON settlement_left TO citybill_app")
    op.execute("GRANT SELECT, INSERT ON gateway_match TO citybill_app")
    op.execute("GRANT UPDATE (undone_at, undone_by, undo_reason) ON gateway_match TO citybill_app")


def _keep_suspense() -> None:
    """Money in our bank that nobody announced, while it waits to be known."""
    op.create_table(
        "bank_suspense",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("act_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("suspended_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT),
        sa.Column("is_returned", sa.Boolean(), nullable=False),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_bank_suspense_amount_positive")),
        sa.CheckConstraint(
            "is_returned IS FALSE OR ended_at IS NOT NULL",
            name=op.f("ck_bank_suspense_returned_is_over"),
        ),
        sa.ForeignKeyConstraint(
            ["entry_id"], ["bank_entry.id"], name=op.f("fk_bank_suspense_entry_id")
        ),
        sa.ForeignKeyConstraint(["act_id"], ["break_act.id"], name=op.f("fk_bank_suspense_act_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_suspense")),
    )
    op.create_index(
        "ix_bank_suspense_entry_id", "bank_suspense", ["entry_id"], unique=True,
        postgresql_where=sa.text("ended_at IS NULL OR is_returned"),
    )  # fmt: skip
    op.create_index("ix_bank_suspense_act_id", "bank_suspense", ["act_id"], unique=True)
    op.execute("GRANT SELECT, INSERT ON bank_suspense TO citybill_app")
    op.execute("GRANT UPDATE (ended_at, is_returned) ON bank_suspense TO citybill_app")


def _name(
    kinds: tuple[str, ...], closing: tuple[str, ...], asking: tuple[str, ...], why: tuple[str, ...]
) -> None:
    """Say which kinds, acts and reasons there are."""
    for table, name, rule in (
        ("reconciliation_break", "breakkind", f"kind IN {kinds}"),
        ("break_act", "breakkind", f"kind IN {kinds}"),
        ("break_act", "act", f"act IN {closing + asking}"),
        ("bank_transfer", "transferreason", f"why IN {why}"),
    ):
        op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
        op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)
    op.drop_index("ix_break_act_live", "break_act")
    op.create_index(
        "ix_break_act_live", "break_act", ["break_id"], unique=True,
        postgresql_where=sa.text(
            f"act IN {closing} AND declined_at IS NULL AND undone_at IS NULL"
        ),
    )  # fmt: skip


def downgrade() -> None:
    for table in ("bank_suspense", "gateway_match", "settlement_left"):
        op.drop_table(table)
    gone = f"act IN {(*_NEW_CLOSING, 'refund')}"
    op.execute(
        f"DELETE FROM break_act WHERE {gone} OR kind IN {_NEW_KINDS}"
        f" OR undoes_id IN (SELECT id FROM break_act WHERE {gone})"
    )
    op.execute(f"DELETE FROM reconciliation_break WHERE kind IN {_NEW_KINDS}")
    op.execute("DELETE FROM bank_transfer WHERE payment_id IS NULL")
    op.alter_column("bank_transfer", "payment_id", nullable=False)
    op.drop_constraint("ck_break_act_rematch_says_what", "break_act")
    for table, column in (
        ("break_act", "target"), ("bank_match", "written_off_fen"),
        ("reconciliation", "matched_elsewhere"), ("settlement_row", "payer"),
        ("reconciliation_break", "elsewhere"),
    ):  # fmt: skip
        op.drop_column(table, column)
    _name(_KINDS, _CLOSING, _ASKING, _WHY)
