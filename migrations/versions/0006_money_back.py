"""Money goes back: refunds by staff, transfers from our bank, chargebacks."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _send_money_back()


def _send_money_back() -> None:
    """Make staff's refunds, transfers from our own bank, and chargebacks."""
    _keep_chargebacks()
    _transfer_what_a_gateway_cannot()
    _refund_by_two_people()
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON bank_transfer, chargeback, chargeback_part"
        " TO citybill_app"
    )


def _keep_chargebacks() -> None:
    op.create_table(
        "chargeback",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("dispute_ref", sa.String(), nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("fee_fen", sa.BigInteger(), nullable=False),
        sa.Column("fee_returned_fen", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "open",
                "won",
                "lost",
                name="chargebackstate",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("evidence_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("bills_fen", sa.BigInteger(), nullable=False),
        sa.Column("waiting_fen", sa.BigInteger(), nullable=False),
        sa.Column("service_fee_fen", sa.BigInteger(), nullable=False),
        sa.Column("service_tax_fen", sa.BigInteger(), nullable=False),
        sa.Column("borne_fen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(state = 'open') = (decided_at IS NULL)", name=op.f("ck_chargeback_decided_says_when")
        ),
        sa.CheckConstraint(
            "least(bills_fen, waiting_fen, service_fee_fen, service_tax_fen, borne_fen) >= 0 AND bills_fen + waiting_fen + service_fee_fen + service_tax_fen + borne_fen = CASE WHEN state = 'lost' THEN amount_fen ELSE 0 END",
            name=op.f("ck_chargeback_borne_whole"),
        ),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_chargeback_amount_positive")),
        sa.CheckConstraint(
            "fee_returned_fen BETWEEN 0 AND fee_fen", name=op.f("ck_chargeback_fee_within")
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payment.id"], name=op.f("fk_chargeback_payment_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chargeback")),
        sa.UniqueConstraint(
            "gateway", "dispute_ref", name=op.f("uq_chargeback_gateway_dispute_ref")
        ),
    )
    op.create_index(op.f("ix_chargeback_payment_id"), "chargeback", ["payment_id"], unique=False)
    op.create_table(
        "chargeback_part",
        sa.Column("chargeback_id", sa.BigInteger(), nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bill_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("advance_fen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "advance_fen BETWEEN 0 AND amount_fen", name=op.f("ck_chargeback_part_advance_within")
        ),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_chargeback_part_amount_positive")),
        sa.ForeignKeyConstraint(
            ["chargeback_id"], ["chargeback.id"], name=op.f("fk_chargeback_part_chargeback_id")
        ),
        sa.ForeignKeyConstraint(
            ["payment_id", "account_id", "bill_id"],
            ["payment_item.payment_id", "payment_item.account_id", "payment_item.bill_id"],
            name=op.f("fk_chargeback_part_payment_id_account_id_bill_id"),
        ),
        sa.PrimaryKeyConstraint(
            "chargeback_id", "account_id", "bill_id", name=op.f("pk_chargeback_part")
        ),
    )
    op.create_index(
        "ix_chargeback_part_payment_id", "chargeback_part", ["payment_id"], unique=False
    )


def _transfer_what_a_gateway_cannot() -> None:
    op.create_table(
        "bank_transfer",
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column(
            "why",
            sa.Enum(
                "cash",
                "never",
                "window_shut",
                "no_parts",
                "too_many",
                "refused",
                "no_gateway",
                name="transferreason",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("gateway_said", sa.String(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("needs_two", sa.Boolean(), nullable=False),
        sa.Column("payee_name", sa.String(), nullable=True),
        sa.Column("payee_bank", sa.String(), nullable=True),
        sa.Column("payee_account_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("payee_account_masked", sa.String(), nullable=True),
        sa.Column("payee_by", sa.BigInteger(), nullable=True),
        sa.Column("payee_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_by", sa.BigInteger(), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("bank_ref", sa.String(), nullable=True),
        sa.Column("dropped_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "NOT needs_two OR sent_by <> payee_by", name=op.f("ck_bank_transfer_two_people")
        ),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_bank_transfer_amount_positive")),
        sa.CheckConstraint(
            "num_nulls(payee_name, payee_bank, payee_account_sealed, payee_account_masked, payee_by, payee_at) IN (0, 6)",
            name=op.f("ck_bank_transfer_payee_whole"),
        ),
        sa.CheckConstraint(
            "num_nulls(sent_by, sent_at, bank_ref) IN (0, 3)",
            name=op.f("ck_bank_transfer_sent_whole"),
        ),
        sa.CheckConstraint(
            "sent_at IS NULL OR dropped_at IS NULL", name=op.f("ck_bank_transfer_not_both")
        ),
        sa.CheckConstraint(
            "sent_at IS NULL OR payee_at IS NOT NULL",
            name=op.f("ck_bank_transfer_sent_to_somebody"),
        ),
        sa.ForeignKeyConstraint(
            ["payee_by"], ["person.id"], name=op.f("fk_bank_transfer_payee_by")
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payment.id"], name=op.f("fk_bank_transfer_payment_id")
        ),
        sa.ForeignKeyConstraint(["sent_by"], ["person.id"], name=op.f("fk_bank_transfer_sent_by")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_bank_transfer")),
        sa.UniqueConstraint("bank_ref", name=op.f("uq_bank_transfer_bank_ref")),
    )
    op.create_index(
        op.f("ix_bank_transfer_payment_id"), "bank_transfer", ["payment_id"], unique=False
    )
    op.create_index(
        "ix_bank_transfer_waiting",
        "bank_transfer",
        ["opened_at"],
        unique=False,
        postgresql_where=sa.text("sent_at IS NULL AND dropped_at IS NULL"),
    )
    op.add_column("receipt", sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "receipt",
        sa.Column("charged_back_fen", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.create_check_constraint(
        op.f("ck_receipt_charged_back_within"),
        "receipt",
        "charged_back_fen BETWEEN 0 AND amount_fen",
    )
    op.execute("UPDATE receipt SET asked_at = coalesce(returned_at, received_at)")
    op.create_index(
        "ix_receipt_suspended",
        "receipt",
        ["received_at"],
        postgresql_where=sa.text("state = 'suspended'"),
    )


def _refund_by_two_people() -> None:
    """What was requested before may have been asked for already: it is pending."""
    op.add_column(
        "payment_item",
        sa.Column("returned_fen", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.execute(
        "UPDATE payment_item i SET returned_fen = r.amount_fen - r.fee_fen FROM refund r"
        " WHERE (r.payment_id, r.account_id, r.bill_id)"
        " = (i.payment_id, i.account_id, i.bill_id)"
    )
    op.create_check_constraint(
        op.f("ck_payment_item_returned_within"),
        "payment_item",
        "returned_fen BETWEEN 0 AND amount_fen",
    )
    for column in (
        sa.Column("advance_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "reason_code",
            sa.Enum(
                "paid_twice",
                "wrong_bill",
                "billed_too_much",
                "account_closed",
                "not_by_payer",
                "other",
                name="refundreason",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=True,
        ),
        sa.Column("needs_two", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("proposed_by", sa.BigInteger(), nullable=True),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("idempotency_key", sa.String(), nullable=True),
        sa.Column("request_sha256", sa.String(), nullable=True),
        sa.Column("approved_by", sa.BigInteger(), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("declined_by", sa.BigInteger(), nullable=True),
        sa.Column("declined_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decline_reason", sa.String(), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("charged_back_fen", sa.BigInteger(), server_default="0", nullable=False),
    ):
        op.add_column("refund", column)
    op.alter_column(
        "refund", "requested_at", existing_type=sa.DateTime(timezone=True), nullable=True
    )
    op.drop_constraint(op.f("uq_refund_payment_id_account_id_bill_id"), "refund", type_="unique")
    op.create_index(
        "ix_refund_automatic",
        "refund",
        ["payment_id", "account_id", "bill_id"],
        unique=True,
        postgresql_where=sa.text("proposed_by IS NULL"),
    )
    op.create_index("ix_refund_payment_id", "refund", ["payment_id"], unique=False)
    op.create_index(
        "ix_refund_under_way",
        "refund",
        ["status"],
        unique=False,
        postgresql_where=sa.text("status NOT IN ('succeeded', 'declined', 'charged_back')"),
    )
    op.create_unique_constraint(
        op.f("uq_refund_proposed_by_idempotency_key"), "refund", ["proposed_by", "idempotency_key"]
    )
    for column, table in (
        ("approved_by", "person"),
        ("declined_by", "person"),
        ("proposed_by", "person"),
    ):
        op.create_foreign_key(op.f(f"fk_refund_{column}"), "refund", table, [column], ["id"])
    op.drop_constraint("ck_refund_refundstatus", "refund")
    for name, check in _REFUND_CHECKS.items():
        op.create_check_constraint(op.f(f"ck_refund_{name}"), "refund", check)
    op.execute("UPDATE refund SET asked_at = requested_at")
    op.execute("UPDATE refund SET status = 'pending' WHERE status = 'requested'")


_REFUND_CHECKS = {
    "refundstatus": "status IN ('proposed', 'requested', 'pending', 'by_transfer', 'succeeded',"
    " 'declined', 'charged_back')",
    "advance_within": "advance_fen BETWEEN 0 AND amount_fen - fee_fen",
    "proposed_whole": "num_nulls(proposed_by, proposed_at, reason_code, idempotency_key,"
    " request_sha256) IN (0, 5)",
    "in_books_when": "(requested_at IS NULL) = (status IN ('proposed', 'declined'))",
    "by_somebody": "proposed_by IS NOT NULL OR requested_at IS NOT NULL",
    "two_people": "approved_by <> proposed_by",
    "approval_says_when": "(approved_by IS NULL) = (approved_at IS NULL)",
    "approved_if_needed": "NOT needs_two OR requested_at IS NULL OR approved_by IS NOT NULL",
    "decline_says_when": "(status = 'declined') = (declined_at IS NOT NULL)",
    "charged_back_within": "charged_back_fen BETWEEN 0 AND amount_fen",
    "charged_back_whole": "(status = 'charged_back') = (charged_back_fen = amount_fen)",
}


def _send_no_money_back() -> None:
    op.execute("DELETE FROM refund WHERE status IN ('proposed', 'declined')")
    for name in _REFUND_CHECKS:
        op.drop_constraint(f"ck_refund_{name}", "refund")
    op.execute("UPDATE refund SET status = 'requested' WHERE status IN ('pending', 'by_transfer')")
    op.create_check_constraint(
        op.f("ck_refund_refundstatus"), "refund", "status IN ('requested', 'succeeded')"
    )
    for name in ("ix_refund_automatic", "ix_refund_payment_id", "ix_refund_under_way"):
        op.drop_index(name, "refund")
    op.drop_constraint("uq_refund_proposed_by_idempotency_key", "refund")
    for column in (
        "advance_fen",
        "reason_code",
        "needs_two",
        "proposed_by",
        "proposed_at",
        "idempotency_key",
        "request_sha256",
        "approved_by",
        "approved_at",
        "declined_by",
        "declined_at",
        "decline_reason",
        "asked_at",
        "charged_back_fen",
    ):
        op.drop_column("refund", column)
    op.alter_column("refund", "requested_at", nullable=False)
    op.create_unique_constraint(
        op.f("uq_refund_payment_id_account_id_bill_id"),
        "refund",
        ["payment_id", "account_id", "bill_id"],
    )
    op.drop_column("payment_item", "returned_fen")
    op.drop_index("ix_receipt_suspended", "receipt")
    op.drop_column("receipt", "asked_at")
    op.drop_column("receipt", "charged_back_fen")
    for table in ("chargeback_part", "chargeback", "bank_transfer"):
        op.drop_table(table)


def downgrade() -> None:
    _send_no_money_back()
