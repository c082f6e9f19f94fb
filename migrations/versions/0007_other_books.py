"""What companies say they wrote off, and what our bank says it moved."""

from collections.abc import Mapping
from types import MappingProxyType

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


BANK_TABLES = (
    "bank_account", "bank_statement", "bank_match", "bank_entry", "bank_due", "bank_rule",
)  # fmt: skip


def upgrade() -> None:
    _keep_confirmations()
    _keep_statements()


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
    for name in reversed(BANK_TABLES):
        op.drop_table(name)
    op.drop_index("ix_payment_item_told", "payment_item")
    for gone in ("confirmation_arrival", "confirmation_row", "confirmation_file"):
        op.drop_table(gone)
