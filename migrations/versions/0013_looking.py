"""Who of the staff looks at whom and why, notices sent once more, and lists that page at once."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

INDEXES = (
    ("ix_person_email", "person", ["email"], "email IS NOT NULL"),
    ("ix_payment_created_at", "payment", ["created_at", "id"], None),
    ("ix_payment_amount_fen", "payment", ["amount_fen", "created_at", "id"], None),
    ("ix_payment_not_paid", "payment", ["status", "created_at", "id"], "status <> 'paid'"),
    ("ix_gateway_callback_reference", "gateway_callback", ["reference"], None),
    ("ix_reconciliation_break_reference", "reconciliation_break", ["reference"], None),
)


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "looking",
        sa.Column("session_hash", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.Column("stated_at", moment, nullable=False),
        sa.CheckConstraint(
            "reason IN ('asked', 'complaint', 'refund', 'fraud', 'difference', 'other')",
            name=op.f("ck_looking_lookreason"),
        ),
        sa.CheckConstraint(
            "reason <> 'other' OR words ~ '[^[:space:]]'", name=op.f("ck_looking_other_says_what")
        ),
        sa.ForeignKeyConstraint(
            ["session_hash"], ["web_session.token_hash"],
            name=op.f("fk_looking_session_hash"), ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_hash", "subject", name=op.f("pk_looking")),
    )  # fmt: skip
    op.create_table(
        "notice_again",
        sa.Column("notice_id", sa.BigInteger(), nullable=False),
        sa.Column("time_no", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("asked_by", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", moment, nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("state_at", moment, nullable=False),
        sa.CheckConstraint(
            "state IN ('created', 'accepted', 'failed')", name=op.f("ck_notice_again_noticestate")
        ),
        sa.CheckConstraint("time_no BETWEEN 1 AND 3", name=op.f("ck_notice_again_three_at_most")),
        sa.ForeignKeyConstraint(
            ["notice_id"], ["notice.id"], name=op.f("fk_notice_again_notice_id")
        ),
        sa.ForeignKeyConstraint(
            ["asked_by"], ["person.id"], name=op.f("fk_notice_again_asked_by")
        ),
        sa.PrimaryKeyConstraint("notice_id", "time_no", name=op.f("pk_notice_again")),
    )  # fmt: skip
    for name, table, columns, only in INDEXES:
        op.create_index(name, table, columns, postgresql_where=only and sa.text(only))
    op.create_index(
        "ix_person_name", "person", ["name"], postgresql_ops={"name": "text_pattern_ops"}
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON looking, notice_again TO citybill_app")


def downgrade() -> None:
    op.drop_index("ix_person_name", "person")
    for name, table, _, _ in reversed(INDEXES):
        op.drop_index(name, table)
    op.drop_table("notice_again")
    op.drop_table("looking")
