"""What we pay to companies of what we took for them."""

from collections.abc import Mapping

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = (
    "remittance", "remittance_line", "remittance_file", "remittance_payment", "remittance_act",
)  # fmt: skip


def upgrade() -> None:
    _keep_remittances()
    _keep_lines()
    _keep_payments()
    _keep_history()
    _expect_them_at_the_bank("'net', 'payout', 'transfer', 'remittance', 'claim'")
    op.execute("GRANT SELECT, INSERT, UPDATE ON remittance, remittance_payment TO citybill_app")
    op.execute("GRANT DELETE ON remittance_payment TO citybill_app")
    op.execute(
        "GRANT SELECT, INSERT ON remittance_line, remittance_file, remittance_act TO citybill_app"
    )


def _keep_remittances() -> None:
    _table(
        "remittance",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        _text("number"), _text("provider_code"), _number("previous_id", True),
        *map(_day, ("from_on", "to_on", "due_on")), _word("basis"),
        *(_number(f"{name}_fen") for name in (
            "gross", "deducted", "carried", "released", "held", "net", "claimed",
        )),
        _word("state"), _moment("state_at"), _moment("made_at"),
        sa.Column("needs_two", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        _number("released_by", True), _moment("released_at", True),
        _number("approved_by", True), _moment("approved_at", True),
        checks={
            "basis": "basis IN ('net', 'gross')",
            "remittancestate": "state IN ('proposed', 'released', 'approved', 'sent', 'returned',"
                               " 'carried')",
            "days_in_order": "from_on <= to_on AND to_on <= due_on",
            "amounts_not_negative": "least(gross_fen, deducted_fen, held_fen, released_fen) >= 0",
            "claims_when_gross": "claimed_fen = CASE basis WHEN 'gross' THEN deducted_fen ELSE 0"
                                 " END",
            "sums_up": "net_fen = gross_fen - deducted_fen + claimed_fen + carried_fen"
                       " + released_fen - held_fen",
            "pays_something": "state = 'carried' OR net_fen > 0",
            "release_says_when": "num_nulls(released_by, released_at) IN (0, 2)",
            "approval_says_when": "num_nulls(approved_by, approved_at) IN (0, 2)",
            "two_people": "approved_by <> released_by",
            "approved_if_needed": "state NOT IN ('approved', 'sent') OR (released_by IS NOT NULL"
                                  " AND (NOT needs_two OR approved_by IS NOT NULL))",
        },
        unique=(("number",), ("previous_id",), ("provider_code", "to_on")),
        to={"previous_id": "remittance", "released_by": "person", "approved_by": "person"},
    )  # fmt: skip
    op.create_index(
        "ix_remittance_first", "remittance", ["provider_code"], unique=True,
        postgresql_where=sa.text("previous_id IS NULL"),
    )  # fmt: skip
    op.create_index(
        "ix_remittance_under_way", "remittance", ["provider_code"],
        postgresql_where=sa.text("state NOT IN ('sent', 'carried')"),
    )  # fmt: skip


def _keep_lines() -> None:
    _table(
        "remittance_line",
        _text("provider_code"), _day("day"), _word("kind"), _number("remittance_id"),
        _number("transfers"), _number("amount_fen"),
        checks={
            "linekind": "kind IN ('collected', 'advance', 'refunded', 'charged_back', 'fee',"
                        " 'fee_tax', 'other')",
            "moves_something": "transfers > 0 AND amount_fen <> 0",
        },
        key=("provider_code", "day", "kind"), to={"remittance_id": "remittance"},
    )  # fmt: skip
    op.create_index("ix_remittance_line_remittance_id", "remittance_line", ["remittance_id"])


def _keep_payments() -> None:
    _table(
        "remittance_file",
        _own_key(), _text("number"), _day("pays_on"),
        sa.Column("payments", sa.Integer(), nullable=False), _number("total_fen"),
        *map(_text, ("debtor_name", "debtor_account", "debtor_bank")),
        _number("made_by"), _moment("made_at"),
        checks={"pays_something": "payments > 0 AND total_fen > 0"},
        unique=(("number",),), to={"made_by": "person"},
    )  # fmt: skip
    _table(
        "remittance_payment",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        _number("remittance_id"),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("place", "attempt")),
        *map(_text, ("account_ref", "account_name", "account_no", "bank_code")),
        _number("amount_fen"), _text("end_to_end_id"), _number("file_id", True),
        _moment("sent_at", True), _moment("returned_at", True), _number("returned_by", True),
        sa.Column("return_reason", sa.String()), sa.Column("was_debited", sa.Boolean()),
        checks={
            "amount_positive": "amount_fen > 0",
            "at_most_five": "place BETWEEN 1 AND 5",
            "sent_whole": "num_nulls(file_id, sent_at) IN (0, 2)",
            "sent_before_returned": "returned_at IS NULL OR sent_at IS NOT NULL",
            "return_whole": "num_nulls(returned_at, returned_by, return_reason, was_debited)"
                            " IN (0, 4)",
        },
        unique=(("end_to_end_id",), ("remittance_id", "place", "attempt")),
        to={"remittance_id": "remittance", "file_id": "remittance_file", "returned_by": "person"},
    )  # fmt: skip
    op.create_index(
        "ix_remittance_payment_live", "remittance_payment", ["remittance_id", "place"],
        unique=True, postgresql_where=sa.text("returned_at IS NULL"),
    )  # fmt: skip
    op.create_index("ix_remittance_payment_file_id", "remittance_payment", ["file_id"])


def _keep_history() -> None:
    _table(
        "remittance_act",
        _own_key(), _number("remittance_id"), _word("act"), _moment("at"), _number("by", True),
        sa.Column("note", sa.String()),
        checks={
            "act": "act IN ('proposed', 'carried', 'changed', 'released', 'approved', 'declined',"
                   " 'sent', 'returned')",
        },
        to={"remittance_id": "remittance", "by": "person"},
    )  # fmt: skip
    op.create_index("ix_remittance_act_remittance_id", "remittance_act", ["remittance_id"])


def _expect_them_at_the_bank(kinds: str) -> None:
    op.drop_constraint(op.f("ck_bank_due_duekind"), "bank_due")
    op.create_check_constraint(op.f("ck_bank_due_duekind"), "bank_due", f"kind IN ({kinds})")


def _table(
    name: str, *columns: sa.schema.SchemaItem,
    checks: Mapping[str, str], to: Mapping[str, str],
    unique: tuple[tuple[str, ...], ...] = (), key: tuple[str, ...] = ("id",),
) -> None:  # fmt: skip
    """Make a table; ``to``: which column is another table's key."""
    op.create_table(
        name,
        *columns,
        *(sa.CheckConstraint(text, name=op.f(f"ck_{name}_{one}")) for one, text in checks.items()),
        *(sa.ForeignKeyConstraint([one], [f"{other}.id"], name=op.f(f"fk_{name}_{one}"))
          for one, other in to.items()),
        *(sa.UniqueConstraint(*one, name=op.f(f"uq_{name}_{'_'.join(one)}")) for one in unique),
        sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{name}")),
    )  # fmt: skip


def _own_key() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=False)


def _word(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=32), nullable=False)


def _number(name: str, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _day(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Date(), nullable=False)


def _moment(name: str, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def downgrade() -> None:
    op.execute("DELETE FROM bank_due WHERE kind IN ('remittance', 'claim')")
    _expect_them_at_the_bank("'net', 'payout', 'transfer'")
    for name in reversed(TABLES):
        op.drop_table(name)
