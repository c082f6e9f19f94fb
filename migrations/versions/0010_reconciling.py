"""Which settlement files should be here, and which are; differences that live longer than a run."""

from collections.abc import Mapping
from types import MappingProxyType

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
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

BANK_TABLES = (
    "bank_account", "bank_statement", "bank_match", "bank_entry", "bank_due", "bank_rule",
)  # fmt: skip


def upgrade() -> None:
    _expect_files()
    _let_breaks_live()
    _keep_confirmations()
    _let_people_resolve()
    _keep_statements()


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


def _keep_statements() -> None:
    """Bank statements, what should stand in them, and what was found to be the same money."""
    moment, many = sa.DateTime(timezone=True), postgresql.ARRAY(sa.Text())
    _table("bank_account", _text("account_no"), unique=("account_no",))
    _table(
        "bank_statement",
        _number("account_id"), *map(_text, ("digest", "statement_no", "source_format")),
        _number("sequence_no", True), _number("page_no", True),
        sa.Column("from_on", sa.Date()), sa.Column("covers_to", sa.Date()),
        _number("opening_fen", True), _number("closing_fen", True),
        sa.Column("entries", sa.Integer(), nullable=False), _text("file_name"),
        sa.Column("taken_at", moment, nullable=False),
        unique=("account_id", "digest"), to={"account_id": "bank_account"},
    )  # fmt: skip
    op.create_table(
        "bank_match",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("parts", sa.Text(), nullable=False),
        _text("source"), sa.Column("matched_by", sa.String(length=32), nullable=False),
        sa.Column("first_on", sa.Date(), nullable=False),
        _number("amount_fen"), _number("fee_fen"), sa.Column("made_at", moment, nullable=False),
        _number("made_by", True), sa.Column("reason", sa.String()),
        sa.Column("undone_at", moment), _number("undone_by", True),
        sa.Column("undo_reason", sa.String()),
        sa.CheckConstraint(
            "matched_by IN ('reference', 'amount', 'rule', 'person')",
            name=op.f("ck_bank_match_matchedby"),
        ),
        sa.CheckConstraint(
            "num_nulls(made_by, reason) = CASE WHEN matched_by = 'person' THEN 0 ELSE 2 END",
            name=op.f("ck_bank_match_person_says_why"),
        ),
        sa.CheckConstraint(
            "num_nulls(undone_by, undo_reason) IN (0, 2) AND (undone_by IS NULL OR"
            " undone_at IS NOT NULL)", name=op.f("ck_bank_match_undone_whole"),
        ),
        *(sa.ForeignKeyConstraint([who], ["person.id"], name=op.f(f"fk_bank_match_{who}"))
          for who in ("made_by", "undone_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_match")),
    )  # fmt: skip
    _table(
        "bank_entry",
        _number("account_id"), _text("entry_no"), _number("statement_id"),
        sa.Column("booked_on", sa.Date(), nullable=False), _number("amount_fen"),
        sa.Column("refs", many, nullable=False),
        *map(_text, ("other_name", "other_account_no", "words", "bank_code")),
        _number("match_id", True),
        sa.CheckConstraint("amount_fen <> 0", name=op.f("ck_bank_entry_moves_something")),
        unique=("account_id", "entry_no"),
        to={"account_id": "bank_account", "statement_id": "bank_statement",
            "match_id": "bank_match"},
    )  # fmt: skip
    _table(
        "bank_due",
        _text("source"), sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("day", sa.Date(), nullable=False), _text("reference"),
        sa.Column("refs", many, nullable=False), _number("amount_fen"), _number("fee_fen"),
        _number("settlement_file_id", True), _number("match_id", True),
        sa.CheckConstraint(
            "kind IN ('net', 'payout', 'transfer')", name=op.f("ck_bank_due_duekind")
        ),
        unique=("source", "kind", "day", "reference"),
        to={"settlement_file_id": "settlement_file", "match_id": "bank_match"},
    )  # fmt: skip
    _table(
        "bank_rule",
        _text("fingerprint"), _text("source"), _number("learnt_from"),
        sa.Column("learnt_at", moment, nullable=False), sa.Column("ended_at", moment),
        to={"learnt_from": "bank_match"},
    )  # fmt: skip
    _find_statements()


def _find_statements() -> None:
    for table, columns, only in (
        ("bank_statement", ["account_id", "covers_to"], None),
        ("bank_match", ["parts"], "undone_at IS NULL"), ("bank_match", ["first_on"], None),
        ("bank_entry", ["booked_on"], None), ("bank_entry", ["match_id"], None),
        ("bank_due", ["day"], None), ("bank_due", ["match_id"], None),
        ("bank_rule", ["fingerprint"], "ended_at IS NULL"),
    ):  # fmt: skip
        op.create_index(
            f"ix_{table}_{columns[-1]}", table, columns, unique=only is not None,
            postgresql_where=only and sa.text(only),
        )  # fmt: skip
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(BANK_TABLES)} TO citybill_app")


def _table(
    name: str, *columns: sa.schema.SchemaItem, unique: tuple[str, ...] = (),
    to: Mapping[str, str] = MappingProxyType({}),
) -> None:  # fmt: skip
    """Make a table with a key of its own; ``to``: which column is another table's key."""
    op.create_table(
        name,
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        *columns,
        *(sa.ForeignKeyConstraint([one], [f"{other}.id"], name=op.f(f"fk_{name}_{one}"))
          for one, other in to.items()),
        *([sa.UniqueConstraint(*unique, name=op.f(f"uq_{name}_{'_'.join(unique)}"))]
          if unique else []),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
    )  # fmt: skip


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=False)


def _number(name: str, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _keep_confirmations() -> None:
    """Keep what companies say they wrote off, and which of their lists should be here."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "confirmation_file",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("provider_code", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("sum_fen", sa.BigInteger(), nullable=False),
        sa.Column("is_proven", sa.Boolean(), nullable=False),
        sa.Column("received_at", moment, nullable=False),
        sa.CheckConstraint(
            "rows >= 0 AND rejected >= 0", name=op.f("ck_confirmation_file_counts_not_negative")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_confirmation_file")),
        sa.UniqueConstraint(
            "provider_code", "day", "sha256",
            name=op.f("uq_confirmation_file_provider_code_day_sha256"),
        ),
    )  # fmt: skip
    op.create_table(
        "confirmation_row",
        sa.Column("confirmation_file_id", sa.BigInteger(), nullable=False),
        sa.Column("row_no", sa.Integer(), nullable=False),
        sa.Column("line_no", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        *(
            sa.Column(name, sa.String(), nullable=False)
            for name in ("write_off_no", "account_no", "bill_no", "receipt_no")
        ),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("written_off_at", moment, nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('written_off', 'reversed', 'refused')",
            name=op.f("ck_confirmation_row_confirmationkind"),
        ),
        sa.CheckConstraint(
            "(kind = 'reversed') = (amount_fen < 0) OR amount_fen = 0",
            name=op.f("ck_confirmation_row_signed"),
        ),
        sa.ForeignKeyConstraint(
            ["confirmation_file_id"], ["confirmation_file.id"], ondelete="CASCADE",
            name=op.f("fk_confirmation_row_confirmation_file_id"),
        ),
        sa.PrimaryKeyConstraint(
            "confirmation_file_id", "row_no", name=op.f("pk_confirmation_row")
        ),
    )  # fmt: skip
    op.create_index(
        "ix_confirmation_row_name", "confirmation_row", ["write_off_no", "account_no", "bill_no"]
    )
    _expect_confirmations()
    op.create_index(
        "ix_payment_item_told", "payment_item", ["outcome_at"],
        postgresql_where=sa.text("outcome IN ('paid', 'written_off')"),
    )  # fmt: skip
    for table in ("confirmation_file", "confirmation_row", "confirmation_arrival"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO citybill_app")


def _expect_confirmations() -> None:
    moment, run = sa.DateTime(timezone=True), ("matched", "awaited", "our_count")
    op.create_table(
        "confirmation_arrival",
        sa.Column("provider_code", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("due_at", moment, nullable=False),
        sa.Column("asked_at", moment, nullable=True),
        sa.Column("answer", sa.String(), nullable=True),
        sa.Column("confirmation_file_id", sa.BigInteger(), nullable=True),
        sa.Column("run_at", moment, nullable=True),
        *(sa.Column(name, sa.Integer(), nullable=True) for name in run),
        sa.Column("our_total_fen", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'arrived', 'no_data')",
            name=op.f("ck_confirmation_arrival_arrivalstate"),
        ),
        sa.CheckConstraint(
            "(state = 'waiting') = (confirmation_file_id IS NULL)",
            name=op.f("ck_confirmation_arrival_waits_without_file"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(confirmation_file_id, run_at, matched, awaited, our_count, our_total_fen)"
            " IN (0, 6)",
            name=op.f("ck_confirmation_arrival_run_whole"),
        ),
        sa.ForeignKeyConstraint(
            ["confirmation_file_id"], ["confirmation_file.id"],
            name=op.f("fk_confirmation_arrival_confirmation_file_id"),
        ),
        sa.PrimaryKeyConstraint("provider_code", "day", name=op.f("pk_confirmation_arrival")),
    )  # fmt: skip
    op.create_index(
        "ix_confirmation_arrival_due_at", "confirmation_arrival", ["due_at"],
        postgresql_where=sa.text("state = 'waiting'"),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_index("ix_payment_item_told", "payment_item")
    for gone in ("confirmation_arrival", "confirmation_row", "confirmation_file"):
        op.drop_table(gone)
    for name in reversed(BANK_TABLES):
        op.drop_table(name)
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
