"""Accounts of homes: names of one's own, taking off and putting back, moving house."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)
_TABLES = ("move_request", "house_move", "account_departure", "removed_account")


def _kept(*values: str, name: str) -> sa.Enum[Any]:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    op.add_column("household_account", sa.Column("bound_by", sa.BigInteger(), nullable=True))
    op.add_column("household_account", sa.Column("name", sa.String(), nullable=True))
    op.add_column("household_account", sa.Column("since_on", sa.Date(), nullable=True))
    op.add_column("household_account", sa.Column("left_on", sa.Date(), nullable=True))
    op.create_foreign_key(
        op.f("fk_household_account_bound_by"), "household_account", "person", ["bound_by"], ["id"]
    )
    op.create_check_constraint(
        op.f("ck_household_account_name_short"),
        "household_account",
        "char_length(name) BETWEEN 1 AND 40",
    )
    op.create_index(
        "ix_household_account_left_on",
        "household_account",
        ["left_on"],
        postgresql_where=sa.text("left_on IS NOT NULL"),
    )
    op.add_column("pay_grant", sa.Column("left_on", sa.Date(), nullable=True))
    _make_leaving()
    _make_moving()
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(_TABLES)} TO citybill_app")
    op.execute("GRANT SELECT, INSERT ON home_account_deed TO citybill_app")


def _make_leaving() -> None:
    op.create_table(
        "removed_account",
        sa.Column("household_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("bound_at", moment, nullable=False),
        sa.Column("bound_by", sa.BigInteger(), nullable=True),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("since_on", sa.Date(), nullable=True),
        sa.Column("left_on", sa.Date(), nullable=True),
        sa.Column("removed_at", moment, nullable=False),
        sa.Column("removed_by", sa.BigInteger(), nullable=False),
        *_fk("removed_account", household_id="household", account_id="utility_account"),
        *_fk("removed_account", bound_by="person", removed_by="person"),
        sa.PrimaryKeyConstraint("household_id", "account_id", name=op.f("pk_removed_account")),
    )
    op.create_index(op.f("ix_removed_account_removed_at"), "removed_account", ["removed_at"])
    op.create_table(
        "home_account_deed",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("household_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("deed", sa.String(), nullable=False),
        sa.Column("by", sa.BigInteger(), nullable=True),
        sa.Column("at", moment, nullable=False),
        *_fk("home_account_deed", household_id="household", account_id="utility_account"),
        *_fk("home_account_deed", by="person"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_home_account_deed")),
    )
    op.create_index("ix_home_account_deed_of_home", "home_account_deed", ["household_id", "id"])
    op.create_table(
        "account_departure",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("household_id", sa.BigInteger(), nullable=False),
        sa.Column("left_on", sa.Date(), nullable=False),
        sa.Column("holder_mark", sa.String(), nullable=False),
        *_fk("account_departure", household_id="household", account_id="utility_account"),
        sa.PrimaryKeyConstraint("account_id", "household_id", name=op.f("pk_account_departure")),
    )


def _make_moving() -> None:
    op.create_table(
        "house_move",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("household_id", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.BigInteger(), nullable=False),
        sa.Column("made_at", moment, nullable=False),
        sa.Column("leaves_on", sa.Date(), nullable=False),
        sa.Column("new_address", sa.String(), nullable=False),
        sa.Column("phone", sa.String(), nullable=False),
        sa.Column("cancelled_at", moment, nullable=True),
        sa.Column("done_at", moment, nullable=True),
        sa.CheckConstraint(
            "cancelled_at IS NULL OR done_at IS NULL", name=op.f("ck_house_move_not_both")
        ),
        sa.CheckConstraint(
            "char_length(new_address) BETWEEN 1 AND 120", name=op.f("ck_house_move_address_short")
        ),
        sa.CheckConstraint("char_length(phone) <= 30", name=op.f("ck_house_move_phone_short")),
        *_fk("house_move", household_id="household", made_by="person"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_house_move")),
    )
    op.create_index(
        "ix_house_move_under_way",
        "house_move",
        ["household_id"],
        unique=True,
        postgresql_where=sa.text("cancelled_at IS NULL AND done_at IS NULL"),
    )
    op.create_table(
        "move_request",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("move_id", sa.BigInteger(), nullable=False),
        sa.Column("asks", _kept("close", "open", name="asked"), nullable=False),
        sa.Column("provider_code", sa.String(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("asked_at", moment, nullable=False),
        sa.Column("answer", sa.String(), nullable=False),
        sa.Column("answered_at", moment, nullable=True),
        sa.Column("answered_by", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(asks = 'close') = (account_id IS NOT NULL)",
            name=op.f("ck_move_request_close_has_account"),
        ),
        sa.CheckConstraint(
            "(answered_at IS NULL) = (answered_by IS NULL)",
            name=op.f("ck_move_request_answer_says_who"),
        ),
        sa.CheckConstraint("char_length(answer) <= 500", name=op.f("ck_move_request_answer_short")),
        *_fk(
            "move_request", move_id="house_move", account_id="utility_account", answered_by="person"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_move_request")),
    )
    for asks, column in (("close", "account_id"), ("open", "provider_code")):
        op.create_index(
            f"ix_move_request_{asks}",
            "move_request",
            ["move_id", column],
            unique=True,
            postgresql_where=sa.text(f"asks = '{asks}'"),
        )
    op.create_index("ix_move_request_of_company", "move_request", ["provider_code", "id"])


def _fk(table: str, **columns: str) -> list[sa.ForeignKeyConstraint]:
    return [
        sa.ForeignKeyConstraint([column], [f"{other}.id"], name=op.f(f"fk_{table}_{column}"))
        for column, other in columns.items()
    ]


def downgrade() -> None:
    for table in (*_TABLES, "home_account_deed"):
        op.drop_table(table)
    op.drop_column("pay_grant", "left_on")
    for column in ("left_on", "since_on", "name", "bound_by"):
        op.drop_column("household_account", column)
