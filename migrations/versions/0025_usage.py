"""What homes of a place use month by month, and hints somebody has put aside."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)
usage = sa.Numeric(12, 3)


def _kept(*values: str, name: str) -> sa.Enum[Any]:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    op.create_table(
        "usage_level",
        sa.Column("provider_code", sa.String(), nullable=False),
        sa.Column("billing_month", sa.Date(), nullable=False),
        sa.Column("reach", _kept("compound", "street", "district", "city", name="placereach")),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("homes", sa.Integer(), nullable=False),
        sa.Column("p25", usage, nullable=False),
        sa.Column("p50", usage, nullable=False),
        sa.Column("p75", usage, nullable=False),
        sa.CheckConstraint("homes >= 20", name=op.f("ck_usage_level_nobody_alone")),
        sa.CheckConstraint(
            "0 <= p25 AND p25 <= p50 AND p50 <= p75", name=op.f("ck_usage_level_in_order")
        ),
        sa.CheckConstraint(
            "(reach = 'city') = (place = '')", name=op.f("ck_usage_level_city_is_nowhere_else")
        ),
        sa.PrimaryKeyConstraint(
            "provider_code", "billing_month", "reach", "place", "unit",
            name=op.f("pk_usage_level"),
        ),
    )  # fmt: skip
    op.create_table(
        "usage_count",
        sa.Column("provider_code", sa.String(), nullable=False),
        sa.Column("billing_month", sa.Date(), nullable=False),
        sa.Column("homes", sa.Integer(), nullable=False),
        sa.Column("counted_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("provider_code", "billing_month", name=op.f("pk_usage_count")),
    )
    op.create_table(
        "usage_known",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bill_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("person_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("known_at", moment, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id", "bill_id"], ["bill.account_id", "bill.id"],
            name=op.f("fk_usage_known_account_id"),
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_usage_known_person_id")
        ),
        sa.PrimaryKeyConstraint(
            "account_id", "bill_id", "person_id", name=op.f("pk_usage_known")
        ),
    )  # fmt: skip
    op.create_index("ix_usage_known_person_id", "usage_known", ["person_id"])
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON usage_level, usage_count, usage_known"
        " TO citybill_app"
    )


def downgrade() -> None:
    for table in ("usage_known", "usage_count", "usage_level"):
        op.drop_table(table)
