"""The first city: people, accounts, bills, the ledger, payments, reconciliation, notices, jobs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_key",
        sa.Column("key_hash", sa.String(), nullable=False),
        sa.Column("provider_code", sa.String(), nullable=False),
        sa.Column("hint", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key_hash", name=op.f("pk_api_key")),
    )
    op.create_index(
        "ix_api_key_live",
        "api_key",
        ["provider_code"],
        unique=False,
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_table(
        "bill_file",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("provider_code", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("received_via", sa.String(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "received",
                "importing",
                "imported",
                "refused",
                name="billfilestatus",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("status_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("rows_done", sa.Integer(), nullable=False),
        sa.Column("created", sa.Integer(), nullable=False),
        sa.Column("unchanged", sa.Integer(), nullable=False),
        sa.Column("superseded", sa.Integer(), nullable=False),
        sa.Column("cancelled", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("total_fen", sa.BigInteger(), nullable=False),
        sa.Column("complaint", sa.String(), nullable=True),
        sa.CheckConstraint(
            "(status = 'refused') = (complaint IS NOT NULL)",
            name=op.f("ck_bill_file_refusal_says_why"),
        ),
        sa.CheckConstraint(
            "status <> 'imported' OR rows = created + unchanged + superseded + cancelled + rejected",
            name=op.f("ck_bill_file_every_row_accounted_for"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bill_file")),
        sa.UniqueConstraint(
            "provider_code", "sha256", name=op.f("uq_bill_file_provider_code_sha256")
        ),
    )
    op.create_table(
        "bill_version",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("bill_file_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("usage", sa.Numeric(precision=12, scale=3), nullable=True),
        sa.Column("items", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("replaced_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "id", "version", name=op.f("pk_bill_version")),
        postgresql_partition_by="RANGE (id)",
    )
    op.create_table(
        "gateway_callback",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("order_no", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_callback")),
        sa.UniqueConstraint(
            "gateway", "external_id", name=op.f("uq_gateway_callback_gateway_external_id")
        ),
    )
    op.create_table(
        "household",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_household")),
    )
    op.create_table(
        "ledger_account",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_account")),
        sa.UniqueConstraint("code", name=op.f("uq_ledger_account_code")),
    )
    op.create_table(
        "ledger_transfer",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subject_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_key", sa.String(), nullable=False),
        sa.Column("debit_account_id", sa.Integer(), nullable=False),
        sa.Column("credit_account_id", sa.Integer(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("posted_on", sa.Date(), nullable=False),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_ledger_transfer_amount_positive")),
        sa.CheckConstraint(
            "debit_account_id <> credit_account_id", name=op.f("ck_ledger_transfer_two_accounts")
        ),
        sa.PrimaryKeyConstraint(
            "account_id", "subject_id", "entry_key", name=op.f("pk_ledger_transfer")
        ),
        postgresql_partition_by="RANGE (subject_id)",
    )
    op.create_index(
        "ix_ledger_transfer_posted_at",
        "ledger_transfer",
        ["posted_at"],
        unique=False,
        postgresql_using="brin",
    )
    op.create_table(
        "outbox_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column(
            "facts", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("emitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("relayed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_event")),
    )
    op.create_index(
        "ix_outbox_event_waiting",
        "outbox_event",
        ["id"],
        unique=False,
        postgresql_where=sa.text("relayed_at IS NULL"),
    )
    op.create_table(
        "person",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "resident",
                "staff",
                "operator",
                name="role",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("contact", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("provider_code", sa.String(), nullable=True),
        sa.Column("locale", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(role = 'operator') = (provider_code IS NOT NULL)",
            name=op.f("ck_person_operator_of_company"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
        sa.UniqueConstraint("contact", name=op.f("uq_person_contact")),
    )
    op.create_table(
        "reconciliation_break",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "missing_here",
                "missing_at_gateway",
                "amount_differs",
                "duplicate",
                "ledger_differs",
                name="breakkind",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("row_kind", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("gateway_ref", sa.String(), nullable=True),
        sa.Column("ours_fen", sa.BigInteger(), nullable=True),
        sa.Column("theirs_fen", sa.BigInteger(), nullable=True),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(
            "source", "day", "kind", "row_kind", "reference", name=op.f("pk_reconciliation_break")
        ),
    )
    op.create_table(
        "settlement_file",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settlement_file")),
        sa.UniqueConstraint(
            "source", "day", "sha256", name=op.f("uq_settlement_file_source_day_sha256")
        ),
    )
    op.create_table(
        "utility_account",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("provider_code", sa.String(), nullable=False),
        sa.Column("account_no", sa.String(), nullable=False),
        sa.Column("holder_name", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_utility_account")),
        sa.UniqueConstraint(
            "provider_code", "account_no", name=op.f("uq_utility_account_provider_code_account_no")
        ),
    )
    op.create_table(
        "bill",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bill_file_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("paid_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("written_off_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("held_by", sa.BigInteger(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("billing_month", sa.Date(), nullable=False),
        sa.Column("period_from_on", sa.Date(), nullable=False),
        sa.Column("period_to_on", sa.Date(), nullable=False),
        sa.Column("issued_on", sa.Date(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("file_line_no", sa.Integer(), nullable=False),
        sa.Column("version", sa.SmallInteger(), nullable=False),
        sa.Column("usage", sa.Numeric(precision=12, scale=3), nullable=True),
        sa.Column("bill_no", sa.String(), nullable=False),
        sa.Column("usage_unit", sa.String(), nullable=False),
        sa.Column("items", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint(
            "cancelled_at IS NULL OR paid_fen = 0", name=op.f("ck_bill_cancelled_unpaid")
        ),
        sa.CheckConstraint(
            "id >> 51 = (extract(year FROM billing_month) - 2000) * 12 + extract(month FROM billing_month) - 1",
            name=op.f("ck_bill_id_knows_month"),
        ),
        sa.CheckConstraint("issued_on <= due_on", name=op.f("ck_bill_due_after_issue")),
        sa.CheckConstraint(
            "paid_fen BETWEEN 0 AND greatest(amount_fen, 0)", name=op.f("ck_bill_paid_within")
        ),
        sa.CheckConstraint("period_from_on <= period_to_on", name=op.f("ck_bill_period_forward")),
        sa.CheckConstraint("version BETWEEN 1 AND 99", name=op.f("ck_bill_version_range")),
        sa.CheckConstraint(
            "written_off_fen BETWEEN 0 AND paid_fen", name=op.f("ck_bill_written_off_within")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["utility_account.id"], name=op.f("fk_bill_account_id")
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_bill")),
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index(
        "ix_bill_bill_file_id", "bill", ["bill_file_id"], unique=False, postgresql_using="brin"
    )
    op.create_table(
        "bill_file_part",
        sa.Column("bill_file_id", sa.BigInteger(), nullable=False),
        sa.Column("part_no", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["bill_file_id"],
            ["bill_file.id"],
            name=op.f("fk_bill_file_part_bill_file_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("bill_file_id", "part_no", name=op.f("pk_bill_file_part")),
    )
    op.create_table(
        "bill_file_reject",
        sa.Column("bill_file_id", sa.BigInteger(), nullable=False),
        sa.Column("reject_no", sa.Integer(), nullable=False),
        sa.Column("line_no", sa.Integer(), nullable=False),
        sa.Column("column_name", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("raw", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["bill_file_id"],
            ["bill_file.id"],
            name=op.f("fk_bill_file_reject_bill_file_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("bill_file_id", "reject_no", name=op.f("pk_bill_file_reject")),
    )
    op.create_table(
        "household_account",
        sa.Column("household_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("bound_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["utility_account.id"], name=op.f("fk_household_account_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["household_id"], ["household.id"], name=op.f("fk_household_account_household_id")
        ),
        sa.PrimaryKeyConstraint("household_id", "account_id", name=op.f("pk_household_account")),
    )
    op.create_index(
        op.f("ix_household_account_account_id"), "household_account", ["account_id"], unique=False
    )
    op.create_table(
        "household_member",
        sa.Column("household_id", sa.BigInteger(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "see",
                "pay",
                "manage",
                name="memberrole",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["household_id"], ["household.id"], name=op.f("fk_household_member_household_id")
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_household_member_person_id")
        ),
        sa.PrimaryKeyConstraint("household_id", "person_id", name=op.f("pk_household_member")),
    )
    op.create_index(
        op.f("ix_household_member_person_id"), "household_member", ["person_id"], unique=False
    )
    op.create_table(
        "job",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=True),
        sa.Column("schedule_key", sa.String(), nullable=True),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "waiting",
                "running",
                "done",
                "dead",
                name="jobstate",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rung_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.CheckConstraint(
            "(state = 'running') = (lease_until IS NOT NULL)", name=op.f("ck_job_running_is_leased")
        ),
        sa.ForeignKeyConstraint(["event_id"], ["outbox_event.id"], name=op.f("fk_job_event_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        sa.UniqueConstraint("event_id", "task", name=op.f("uq_job_event_id_task")),
        sa.UniqueConstraint("schedule_key", name=op.f("uq_job_schedule_key")),
    )
    op.create_index(
        "ix_job_due_at",
        "job",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('waiting', 'running')"),
    )
    op.create_table(
        "notice",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("subject_ref", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("body_html", sa.String(), nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "created",
                "accepted",
                "failed",
                name="noticestate",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_notice_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
        sa.UniqueConstraint(
            "event",
            "person_id",
            "subject_ref",
            "channel",
            name=op.f("uq_notice_event_person_id_subject_ref_channel"),
        ),
    )
    op.create_index(
        "ix_notice_person_id_created_at", "notice", ["person_id", "created_at"], unique=False
    )
    op.create_table(
        "payment",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("payer_id", sa.BigInteger(), nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("order_no", sa.String(), nullable=False),
        sa.Column("gateway_ref", sa.String(), nullable=True),
        sa.Column("pay_url", sa.String(), nullable=True),
        sa.Column("return_url", sa.String(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "created",
                "open",
                "paid",
                "refused",
                "expired",
                name="paymentstatus",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'paid') = (paid_at IS NOT NULL)", name=op.f("ck_payment_paid_says_when")
        ),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_payment_amount_positive")),
        sa.ForeignKeyConstraint(["payer_id"], ["person.id"], name=op.f("fk_payment_payer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment")),
        sa.UniqueConstraint("gateway", "gateway_ref", name=op.f("uq_payment_gateway_gateway_ref")),
        sa.UniqueConstraint("order_no", name=op.f("uq_payment_order_no")),
    )
    op.create_index(
        "ix_payment_gateway_paid_at",
        "payment",
        ["gateway", "paid_at"],
        unique=False,
        postgresql_where=sa.text("paid_at IS NOT NULL"),
    )
    op.create_index(op.f("ix_payment_payer_id"), "payment", ["payer_id"], unique=False)
    op.create_table(
        "reconciliation",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("settlement_file_id", sa.BigInteger(), nullable=False),
        sa.Column("matched", sa.Integer(), nullable=False),
        sa.Column("our_count", sa.Integer(), nullable=False),
        sa.Column("their_count", sa.Integer(), nullable=False),
        sa.Column("our_total_fen", sa.BigInteger(), nullable=False),
        sa.Column("their_total_fen", sa.BigInteger(), nullable=False),
        sa.Column("fee_total_fen", sa.BigInteger(), nullable=False),
        sa.Column("run_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["settlement_file_id"],
            ["settlement_file.id"],
            name=op.f("fk_reconciliation_settlement_file_id"),
        ),
        sa.PrimaryKeyConstraint("source", "day", name=op.f("pk_reconciliation")),
    )
    op.create_table(
        "settlement_row",
        sa.Column("settlement_file_id", sa.BigInteger(), nullable=False),
        sa.Column("line_no", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("gateway_ref", sa.String(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("fee_fen", sa.BigInteger(), nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["settlement_file_id"],
            ["settlement_file.id"],
            name=op.f("fk_settlement_row_settlement_file_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("settlement_file_id", "line_no", name=op.f("pk_settlement_row")),
    )
    op.create_index(
        "ix_settlement_row_reference",
        "settlement_row",
        ["settlement_file_id", "kind", "reference"],
        unique=False,
    )
    op.create_table(
        "sign_in_code",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("code_hash", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("tries BETWEEN 0 AND 5", name=op.f("ck_sign_in_code_five_tries")),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_sign_in_code_person_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_code")),
    )
    op.create_index(
        "ix_sign_in_code_person_id_issued_at",
        "sign_in_code",
        ["person_id", "issued_at"],
        unique=False,
    )
    op.create_table(
        "web_session",
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("csrf", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_web_session_person_id")
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_web_session")),
    )
    op.create_index(op.f("ix_web_session_person_id"), "web_session", ["person_id"], unique=False)
    op.create_table(
        "idempotent_request",
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("request_sha256", sa.String(), nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payment.id"], name=op.f("fk_idempotent_request_payment_id")
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_idempotent_request_person_id")
        ),
        sa.PrimaryKeyConstraint("person_id", "key", name=op.f("pk_idempotent_request")),
    )
    op.create_table(
        "payment_item",
        sa.Column("payment_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bill_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("write_off_no", sa.String(), nullable=False),
        sa.Column(
            "outcome",
            sa.Enum(
                "waiting",
                "paid",
                "written_off",
                "returning",
                "returned",
                "not_paid",
                name="outcome",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("outcome_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("utility_ref", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_payment_item_amount_positive")),
        sa.ForeignKeyConstraint(
            ["account_id", "bill_id"],
            ["bill.account_id", "bill.id"],
            name=op.f("fk_payment_item_account_id_bill_id"),
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payment.id"], name=op.f("fk_payment_item_payment_id")
        ),
        sa.PrimaryKeyConstraint(
            "payment_id", "account_id", "bill_id", name=op.f("pk_payment_item")
        ),
        sa.UniqueConstraint("write_off_no", name=op.f("uq_payment_item_write_off_no")),
    )
    op.create_index(
        "ix_payment_item_account_id_bill_id",
        "payment_item",
        ["account_id", "bill_id"],
        unique=False,
    )
    op.create_table(
        "refund",
        sa.Column("refund_no", sa.String(), nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("bill_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "requested",
                "succeeded",
                name="refundstatus",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("gateway_ref", sa.String(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("succeeded_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_refund_amount_positive")),
        sa.ForeignKeyConstraint(
            ["payment_id", "account_id", "bill_id"],
            ["payment_item.payment_id", "payment_item.account_id", "payment_item.bill_id"],
            name=op.f("fk_refund_payment_id_account_id_bill_id"),
        ),
        sa.PrimaryKeyConstraint("refund_no", name=op.f("pk_refund")),
        sa.UniqueConstraint(
            "payment_id",
            "account_id",
            "bill_id",
            name=op.f("uq_refund_payment_id_account_id_bill_id"),
        ),
    )
    _make_transfers_append_only()


def _make_transfers_append_only() -> None:
    """Refuse UPDATE, DELETE and TRUNCATE of transfers, whoever asks."""
    op.execute("""
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% of % is refused: the ledger is append-only', TG_OP, TG_TABLE_NAME
                USING ERRCODE = 'restrict_violation',
                      HINT = 'post a counter-transfer instead';
        END $$
    """)
    op.execute("""
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger_transfer
        FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """)
    op.execute("""
        CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON ledger_transfer
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """)
    # What a foreign key would hold, at a tenth of its price in a bulk load: one look per statement.
    op.execute("""
        CREATE FUNCTION know_ledger_accounts() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (
                SELECT FROM (SELECT debit_account_id AS id FROM posted
                             UNION SELECT credit_account_id FROM posted) p
                WHERE NOT EXISTS (SELECT FROM ledger_account a WHERE a.id = p.id)
            ) THEN
                RAISE EXCEPTION 'a transfer names an account that the ledger does not have'
                    USING ERRCODE = 'foreign_key_violation';
            END IF;
            RETURN NULL;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER known_accounts AFTER INSERT ON ledger_transfer
        REFERENCING NEW TABLE AS posted FOR EACH STATEMENT EXECUTE FUNCTION know_ledger_accounts()
    """)
    op.execute("""
        CREATE TRIGGER for_ever BEFORE UPDATE OR DELETE ON ledger_account
        FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """)
    op.execute("CREATE SEQUENCE payment_no AS bigint MAXVALUE 2251799813685247 CYCLE")
