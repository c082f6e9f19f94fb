"""What people answer to texts, offers of companies, what televisions show, complaints that lapse."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)
_SAID = ("asked", "reopened", "answered", "closed", "taken", "note", "passed", "company")
_WORDLESS = "words <> '' OR said IN ({})"
_WAITS = sa.text("state IN ('received', 'in_hand')")


def _kept(*values: str, name: str) -> sa.Enum[Any]:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    op.create_table(
        "reader_reply",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("call_id", sa.BigInteger(), nullable=True),
        sa.Column("carrier", sa.String(), nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("phone", sa.String(), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.Column("said_at", moment, nullable=True),
        sa.Column("received_at", moment, nullable=False),
        sa.Column("read_at", moment, nullable=True),
        sa.Column(
            "meaning",
            _kept(
                "refused", "refused_before", "outdated", "words", "stranger", name="replymeaning"
            ),
            nullable=True,
        ),
        sa.Column("person_id", sa.BigInteger(), nullable=True),
        sa.Column("notice_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(read_at IS NULL) = (meaning IS NULL)", name=op.f("ck_reader_reply_read_is_meant")
        ),
        sa.ForeignKeyConstraint(
            ["call_id"], ["carrier_call.id"], name=op.f("fk_reader_reply_call_id")
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_reader_reply_person_id")
        ),
        sa.ForeignKeyConstraint(
            ["notice_id"], ["notice.id"], name=op.f("fk_reader_reply_notice_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reader_reply")),
        sa.UniqueConstraint("carrier", "ref", name=op.f("uq_reader_reply_carrier_ref")),
    )
    op.create_index(
        "ix_reader_reply_waiting", "reader_reply", ["id"],
        postgresql_where=sa.text("read_at IS NULL"),
    )  # fmt: skip
    op.create_index("ix_reader_reply_call_id", "reader_reply", ["call_id"])
    op.create_index("ix_reader_reply_meaning", "reader_reply", ["meaning", "id"])
    op.create_table(
        "offer",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("provider_code", sa.String(), nullable=False),
        sa.Column("words_zh", sa.String(), nullable=False),
        sa.Column("words_en", sa.String(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.Column("reach", _kept("all", "address", "accounts", name="reach"), nullable=False),
        sa.Column("address_prefix", sa.String(), nullable=True),
        sa.Column("account_nos", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("made_by", sa.BigInteger(), nullable=False),
        sa.Column("made_at", moment, nullable=False),
        sa.Column("proposed_at", moment, nullable=True),
        sa.Column("decided_by", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", moment, nullable=True),
        sa.Column("declined_because", sa.String(), nullable=True),
        sa.Column("withdrawn_at", moment, nullable=True),
        sa.Column("told_after", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(reach = 'address') = (address_prefix IS NOT NULL)",
            name=op.f("ck_offer_has_address"),
        ),
        sa.CheckConstraint(
            "(reach = 'accounts') = (account_nos IS NOT NULL)", name=op.f("ck_offer_has_accounts")
        ),
        sa.CheckConstraint("decided_by <> made_by", name=op.f("ck_offer_two_people")),
        sa.CheckConstraint(
            "(decided_by IS NULL) = (decided_at IS NULL)", name=op.f("ck_offer_decision_says_when")
        ),
        sa.CheckConstraint(
            "decided_at IS NULL OR proposed_at IS NOT NULL", name=op.f("ck_offer_decided_if_asked")
        ),
        sa.CheckConstraint(
            "declined_because IS NULL OR decided_at IS NOT NULL",
            name=op.f("ck_offer_declined_by_somebody"),
        ),
        sa.ForeignKeyConstraint(["made_by"], ["person.id"], name=op.f("fk_offer_made_by")),
        sa.ForeignKeyConstraint(["decided_by"], ["person.id"], name=op.f("fk_offer_decided_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_offer")),
    )
    op.create_index("ix_offer_of_company", "offer", ["provider_code", "id"])
    op.create_index(
        "ix_offer_proposed", "offer", ["proposed_at", "id"],
        postgresql_where=sa.text("proposed_at IS NOT NULL AND decided_at IS NULL"),
    )  # fmt: skip
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON reader_reply, offer TO citybill_app")
    op.add_column("notice", sa.Column("permit", sa.String(), nullable=True))
    op.create_index(
        "ix_notice_permit", "notice", ["id"], postgresql_where=sa.text("permit IS NOT NULL")
    )  # fmt: skip
    op.create_index(
        "ix_notice_on_television", "notice", ["person_id", "created_at", "id"],
        postgresql_where=sa.text("channel = 'tv' AND read_at IS NULL"),
    )  # fmt: skip
    op.create_index(
        "ix_complaint_held", "complaint", ["taken_by", "id"], postgresql_where=_WAITS
    )  # fmt: skip
    op.create_index(
        "ix_complaint_answered", "complaint", ["state_at", "id"],
        postgresql_where=sa.text("state = 'answered'"),
    )  # fmt: skip
    _let_entries_be(*_SAID, "lapsing", "lapsed", wordless="'taken', 'closed', 'lapsing', 'lapsed'")


def _let_entries_be(*said: str, wordless: str) -> None:
    """Say which entries there are, and which of them need no words."""
    among = ", ".join(f"'{one}'" for one in said)
    op.drop_constraint(op.f("ck_complaint_entry_said"), "complaint_entry")
    op.create_check_constraint(
        op.f("ck_complaint_entry_said"), "complaint_entry", f"said IN ({among})"
    )
    op.drop_constraint(op.f("ck_complaint_entry_words_said"), "complaint_entry")
    op.create_check_constraint(
        op.f("ck_complaint_entry_words_said"), "complaint_entry", _WORDLESS.format(wordless)
    )


def downgrade() -> None:
    op.execute("UPDATE complaint_entry SET said = 'closed' WHERE said = 'lapsed'")
    op.execute("DELETE FROM complaint_entry WHERE said = 'lapsing'")
    _let_entries_be(*_SAID, wordless="'taken', 'closed'")
    op.drop_index("ix_complaint_answered", "complaint")
    op.drop_index("ix_complaint_held", "complaint")
    op.drop_index("ix_notice_on_television", "notice")
    op.drop_index("ix_notice_permit", "notice")
    op.drop_column("notice", "permit")
    for table in ("offer", "reader_reply"):
        op.drop_table(table)
