"""What of bills and services is to be told, and how far the telling is."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)


def _kept(*values: str, name: str) -> sa.Enum[Any]:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    op.create_table(
        "bill_news",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bill_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "news",
            _kept("ready", "soon", "today", "late_1", "late_7", "late_30", name="news"),
            nullable=False,
        ),
        sa.Column("found_at", moment, nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "bill_id", "version", "news", name=op.f("pk_bill_news")
        ),
    )
    op.create_table(
        "reminder_day",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("bills", sa.Integer(), nullable=False),
        sa.Column("found_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_reminder_day")),
    )
    op.create_table(
        "service_message",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("provider_code", sa.String(), nullable=False),
        sa.Column("kind", _kept("outage", "work", "other", name="servicekind"), nullable=False),
        sa.Column("words_zh", sa.String(), nullable=False),
        sa.Column("words_en", sa.String(), nullable=False),
        sa.Column("from_at", moment, nullable=False),
        sa.Column("until_at", moment, nullable=True),
        sa.Column("reach", _kept("all", "address", "accounts", name="reach"), nullable=False),
        sa.Column("address_prefix", sa.String(), nullable=True),
        sa.Column("account_nos", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("made_by", sa.BigInteger(), nullable=False),
        sa.Column("made_at", moment, nullable=False),
        sa.Column("sent_at", moment, nullable=True),
        sa.Column("over_at", moment, nullable=True),
        sa.Column("withdrawn_at", moment, nullable=True),
        sa.Column("told_after", sa.BigInteger(), nullable=False),
        sa.Column("over_told_after", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "until_at > from_at", name=op.f("ck_service_message_ends_after_it_begins")
        ),
        sa.CheckConstraint(
            "(reach = 'address') = (address_prefix IS NOT NULL)",
            name=op.f("ck_service_message_has_address"),
        ),
        sa.CheckConstraint(
            "(reach = 'accounts') = (account_nos IS NOT NULL)",
            name=op.f("ck_service_message_has_accounts"),
        ),
        sa.CheckConstraint(
            "sent_at IS NULL OR withdrawn_at IS NULL", name=op.f("ck_service_message_not_both")
        ),
        sa.CheckConstraint(
            "over_at IS NULL OR sent_at IS NOT NULL", name=op.f("ck_service_message_over_if_sent")
        ),
        sa.ForeignKeyConstraint(
            ["made_by"], ["person.id"], name=op.f("fk_service_message_made_by")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_message")),
    )
    op.create_index(
        "ix_service_message_of_company", "service_message", ["provider_code", "made_at", "id"]
    )
    op.create_index("ix_service_message_made_at", "service_message", ["made_at", "id"])
    # A file's bills fall due on few days and lie together: a thousandth of a B-tree, and an import
    # pays nothing for it.
    op.drop_index("ix_bill_bill_file_id", "bill")
    op.create_index(
        "ix_bill_bill_file_id", "bill", ["bill_file_id", "due_on"], postgresql_using="brin"
    )
    tables = "bill_news, reminder_day, service_message"
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO citybill_app")


def downgrade() -> None:
    op.drop_index("ix_bill_bill_file_id", "bill")
    op.create_index("ix_bill_bill_file_id", "bill", ["bill_file_id"], postgresql_using="brin")
    for table in ("service_message", "reminder_day", "bill_news"):
        op.drop_table(table)
