"""Complaints and questions, what was said about each, and the figures of the service."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    _complaints()
    _entries()
    _indicators()
    op.execute("GRANT SELECT, INSERT, UPDATE ON complaint TO citybill_app")
    op.execute("GRANT SELECT, INSERT ON complaint_entry TO citybill_app")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON service_indicator TO citybill_app")


def _kept(*values: str, name: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def _complaints() -> None:
    op.create_table(
        "complaint",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("request_key", sa.String(), nullable=False),
        sa.Column("kind", _kept("question", "complaint", "fault", name="kind"), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("bill_id", sa.BigInteger(), nullable=True),
        sa.Column("payment_id", sa.BigInteger(), nullable=True),
        sa.Column("provider_code", sa.String(), nullable=True),
        sa.Column(
            "state",
            _kept("received", "in_hand", "answered", "closed", name="state"),
            nullable=False,
        ),
        sa.Column("state_at", moment, nullable=False),
        sa.Column("received_at", moment, nullable=False),
        sa.Column("first_due_at", moment, nullable=False),
        sa.Column("due_at", moment, nullable=False),
        sa.Column("answered_at", moment, nullable=True),
        sa.Column("taken_by", sa.BigInteger(), nullable=True),
        sa.Column("passed_to", sa.String(), nullable=True),
        sa.Column("reopened", sa.SmallInteger(), nullable=False),
        sa.CheckConstraint(
            "(account_id IS NULL) = (bill_id IS NULL)", name=op.f("ck_complaint_bill_whole")
        ),
        sa.CheckConstraint(
            "num_nonnulls(bill_id, payment_id) <= 1", name=op.f("ck_complaint_about_one_thing")
        ),
        sa.CheckConstraint(
            "bill_id IS NULL OR provider_code IS NOT NULL",
            name=op.f("ck_complaint_bill_has_company"),
        ),
        sa.CheckConstraint("reopened BETWEEN 0 AND 2", name=op.f("ck_complaint_reopened_seldom")),
        sa.CheckConstraint(
            "state NOT IN ('in_hand', 'answered') OR taken_by IS NOT NULL",
            name=op.f("ck_complaint_taken_by_somebody"),
        ),
        sa.CheckConstraint(
            "state <> 'answered' OR answered_at IS NOT NULL",
            name=op.f("ck_complaint_answer_says_when"),
        ),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_complaint_person_id")),
        sa.ForeignKeyConstraint(
            ["account_id", "bill_id"],
            ["bill.account_id", "bill.id"],
            name=op.f("fk_complaint_account_id_bill_id"),
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payment.id"], name=op.f("fk_complaint_payment_id")
        ),
        sa.ForeignKeyConstraint(["taken_by"], ["person.id"], name=op.f("fk_complaint_taken_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_complaint")),
        sa.UniqueConstraint(
            "person_id", "request_key", name=op.f("uq_complaint_person_id_request_key")
        ),
    )
    op.create_index("ix_complaint_person_id_id", "complaint", ["person_id", "id"])
    op.create_index(
        "ix_complaint_waiting", "complaint", ["due_at", "id"],
        postgresql_where=sa.text("state IN ('received', 'in_hand')"),
    )  # fmt: skip
    op.create_index(
        "ix_complaint_passed", "complaint", ["passed_to", "id"],
        postgresql_where=sa.text("passed_to IS NOT NULL"),
    )  # fmt: skip
    op.create_index("ix_complaint_received_at", "complaint", ["received_at"])


def _entries() -> None:
    op.create_table(
        "complaint_entry",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("complaint_id", sa.BigInteger(), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "said",
            _kept(
                "asked", "reopened", "answered", "closed", "taken", "note", "passed", "company",
                name="said",
            ),
            nullable=False,
        ),
        sa.Column("provider_code", sa.String(), nullable=True),
        sa.Column("words", sa.String(), nullable=False),
        sa.CheckConstraint(
            "(said IN ('passed', 'company')) = (provider_code IS NOT NULL)",
            name=op.f("ck_complaint_entry_says_company"),
        ),
        sa.CheckConstraint(
            "char_length(words) <= 2000", name=op.f("ck_complaint_entry_words_short")
        ),
        sa.CheckConstraint(
            "words <> '' OR said IN ('taken', 'closed')",
            name=op.f("ck_complaint_entry_words_said"),
        ),
        sa.ForeignKeyConstraint(
            ["complaint_id"], ["complaint.id"], name=op.f("fk_complaint_entry_complaint_id")
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_complaint_entry_person_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_complaint_entry")),
    )  # fmt: skip
    op.create_index("ix_complaint_entry_complaint_id_id", "complaint_entry", ["complaint_id", "id"])


def _indicators() -> None:
    op.create_table(
        "service_indicator",
        sa.Column("provider_code", sa.String(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("bills_issued", sa.BigInteger(), nullable=False),
        sa.Column("bills_due", sa.BigInteger(), nullable=False),
        sa.Column("bills_paid_in_time", sa.BigInteger(), nullable=False),
        sa.Column("write_offs", sa.BigInteger(), nullable=False),
        sa.Column("write_offs_in_a_day", sa.BigInteger(), nullable=False),
        sa.Column("complaints", sa.Integer(), nullable=False),
        sa.Column("complaints_answered_in_time", sa.Integer(), nullable=False),
        sa.Column("median_answer_minutes", sa.Integer(), nullable=True),
        sa.Column("counted_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("provider_code", "month", name=op.f("pk_service_indicator")),
    )


def downgrade() -> None:
    op.drop_table("service_indicator")
    op.drop_table("complaint_entry")
    op.drop_table("complaint")
