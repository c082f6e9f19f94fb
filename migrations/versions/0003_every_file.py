"""Every utility's file: signed requests, files that are brought and fetched."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _sign_requests()
    _fetch_files()


def _sign_requests() -> None:
    """Make what signed requests, webhooks and sending again need."""
    op.create_table(
        "company_key",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("provider_code", sa.String(), nullable=False),
        sa.Column("slot", sa.SmallInteger(), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("issued_by", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("slot BETWEEN 1 AND 2", name=op.f("ck_company_key_two_at_most")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_company_key")),
    )
    op.create_index(
        "ix_company_key_live",
        "company_key",
        ["provider_code", "slot"],
        unique=True,
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_table(
        "used_nonce",
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["key_id"], ["company_key.id"], name=op.f("fk_used_nonce_key_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key_id", "nonce", name=op.f("pk_used_nonce")),
    )
    op.create_index(op.f("ix_used_nonce_expires_at"), "used_nonce", ["expires_at"])
    op.create_table(
        "company_webhook",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("provider_code", sa.String(), nullable=False),
        sa.Column("webhook_id", sa.String(), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("bill_file_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "type IN ('bill.issued', 'bill.changed', 'bill.cancelled', 'file.ready')",
            name=op.f("ck_company_webhook_webhooktype"),
        ),
        sa.ForeignKeyConstraint(
            ["bill_file_id"], ["bill_file.id"], name=op.f("fk_company_webhook_bill_file_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_company_webhook")),
        sa.UniqueConstraint(
            "provider_code",
            "webhook_id",
            name=op.f("uq_company_webhook_provider_code_webhook_id"),
        ),
    )
    op.create_table(
        "bill_file_replacement",
        sa.Column("bill_file_id", sa.BigInteger(), nullable=False),
        sa.Column("replaced_id", sa.BigInteger(), nullable=False),
        sa.Column("replaced_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "bill_file_id <> replaced_id", name=op.f("ck_bill_file_replacement_another_file")
        ),
        sa.ForeignKeyConstraint(
            ["bill_file_id"],
            ["bill_file.id"],
            name=op.f("fk_bill_file_replacement_bill_file_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["replaced_id"],
            ["bill_file.id"],
            name=op.f("fk_bill_file_replacement_replaced_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("bill_file_id", name=op.f("pk_bill_file_replacement")),
    )
    op.create_index(
        op.f("ix_bill_file_replacement_replaced_id"), "bill_file_replacement", ["replaced_id"]
    )
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON company_key, used_nonce, company_webhook,"
        " bill_file_replacement TO citybill_app"
    )


def _fetch_files() -> None:
    """Make what our SFTP server and polling a company's SFTP or HTTP need."""
    op.create_table(
        "company_login",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("provider_code", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("public_key", sa.String(), nullable=True),
        sa.Column("fingerprint", sa.String(), nullable=True),
        sa.Column("password_hash", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(public_key IS NULL) <> (password_hash IS NULL)", name=op.f("ck_company_login_one_way")
        ),
        sa.CheckConstraint(
            "(public_key IS NULL) = (fingerprint IS NULL)",
            name=op.f("ck_company_login_key_has_fingerprint"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_company_login")),
    )
    op.create_index(
        "ix_company_login_live_key",
        "company_login",
        ["provider_code", "fingerprint"],
        unique=True,
        postgresql_where=sa.text("revoked_at IS NULL AND fingerprint IS NOT NULL"),
    )
    op.create_table(
        "delivery_arrival",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("provider_code", sa.String(), nullable=False),
        sa.Column("claim", sa.String(), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("bill_file_id", sa.BigInteger(), nullable=True),
        sa.Column("complaint", sa.String(), nullable=True),
        sa.Column("arrived_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(bill_file_id IS NULL) = (complaint IS NOT NULL)",
            name=op.f("ck_delivery_arrival_no_bill_file_says_why"),
        ),
        sa.ForeignKeyConstraint(
            ["bill_file_id"], ["bill_file.id"], name=op.f("fk_delivery_arrival_bill_file_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_arrival")),
        sa.UniqueConstraint(
            "provider_code", "claim", name=op.f("uq_delivery_arrival_provider_code_claim")
        ),
    )
    op.create_index(
        "ix_delivery_arrival_unanswered",
        "delivery_arrival",
        ["provider_code", "bill_file_id"],
        postgresql_where=sa.text("answered_at IS NULL"),
    )
    op.create_table(
        "delivery_poll",
        sa.Column("provider_code", sa.String(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("polled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("succeeded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("complaint", sa.String(), nullable=True),
        sa.CheckConstraint(
            "(failures = 0) = (complaint IS NULL)", name=op.f("ck_delivery_poll_failure_says_why")
        ),
        sa.PrimaryKeyConstraint("provider_code", name=op.f("pk_delivery_poll")),
    )
    op.create_table(
        "delivery_file",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("provider_code", sa.String(), nullable=False),
        sa.Column("remote_name", sa.String(), nullable=False),
        sa.Column("mark", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fetched_mark", sa.String(), nullable=True),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sha256", sa.String(), nullable=True),
        sa.Column("bill_file_id", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("complaint", sa.String(), nullable=True),
        sa.CheckConstraint(
            "(fetched_mark IS NULL) = (fetched_at IS NULL)"
            " AND (fetched_mark IS NULL) = (sha256 IS NULL)",
            name=op.f("ck_delivery_file_fetched_says_what"),
        ),
        sa.ForeignKeyConstraint(
            ["bill_file_id"], ["bill_file.id"], name=op.f("fk_delivery_file_bill_file_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_file")),
        sa.UniqueConstraint(
            "provider_code", "remote_name", name=op.f("uq_delivery_file_provider_code_remote_name")
        ),
    )
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON company_login, delivery_arrival, delivery_poll,"
        " delivery_file TO citybill_app"
    )
