"""Paying: any gateway, and what follows when money goes astray."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _know_what_a_gateway_was_asked()
    _move_by_the_tables_only()
    _know_bills_paid_elsewhere()
    _let_guests_pay()
    _send_money_back()
    _take_cash()
    _debit_accounts()
    _agree_once()


def _know_what_a_gateway_was_asked() -> None:
    """Keep by which mode a payment is made, and what a callback is about."""
    op.add_column(
        "payment", sa.Column("mode", sa.String(), server_default="wallet", nullable=False)
    )
    op.alter_column("gateway_callback", "order_no", new_column_name="reference")
    op.add_column(
        "gateway_callback",
        sa.Column("kind", sa.String(length=32), server_default="payment", nullable=False),
    )
    op.alter_column("gateway_callback", "kind", server_default=None)
    op.create_check_constraint(
        op.f("ck_gateway_callback_callbackkind"),
        "gateway_callback",
        "kind IN ('payment', 'refund', 'dispute', 'mandate')",
    )


def _move_by_the_tables_only() -> None:
    """Hold states to the moves of payments/states.py; the pairs stand in the triggers' WHEN."""
    op.drop_constraint("ck_payment_paymentstatus", "payment")
    op.create_check_constraint(
        op.f("ck_payment_paymentstatus"),
        "payment",
        "status IN ('created', 'unknown', 'open', 'paid', 'refused', 'expired')",
    )
    op.alter_column(
        "gateway_callback",
        "body",
        type_=sa.LargeBinary(),
        postgresql_using="convert_to(body, 'UTF8')",
    )
    op.execute("""
        CREATE FUNCTION refuse_move() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE restrict_violation USING MESSAGE = format(
                'a %s cannot become %s', TG_TABLE_NAME,
                to_jsonb(NEW) ->> TG_ARGV[0]), HINT = 'payments/states.py has the moves';
        END $$
    """)
    for table, column, moves in (
        ("payment", "status", _PAYMENT_MOVES),
        ("payment_item", "outcome", _ITEM_MOVES),
    ):
        pairs = ", ".join(f"('{start}', '{end}')" for start, end in moves)
        op.execute(
            f"CREATE TRIGGER moves BEFORE UPDATE OF {column} ON {table} FOR EACH ROW "
            f"WHEN (OLD.{column} <> NEW.{column} "
            f"AND (OLD.{column}, NEW.{column}) NOT IN ({pairs})) "
            f"EXECUTE FUNCTION refuse_move('{column}')"
        )


def _know_bills_paid_elsewhere() -> None:
    """Let a bill be void because its company has the money by another way."""
    op.add_column("bill", sa.Column("paid_elsewhere_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        op.f("ck_bill_elsewhere_is_void_here"),
        "bill",
        "paid_elsewhere_at IS NULL OR cancelled_at IS NOT NULL",
    )


_PAYMENT_MOVES = [
    *((start, end) for start in ("created", "unknown") for end in ("open", "paid", "refused")),
    ("created", "unknown"), ("created", "expired"), ("unknown", "expired"),
    ("open", "paid"), ("open", "refused"), ("open", "expired"),
    ("refused", "paid"), ("expired", "paid"),
]  # fmt: skip
_ITEM_MOVES = [
    ("waiting", "paid"), ("waiting", "returning"), ("waiting", "not_paid"),
    ("paid", "written_off"), ("paid", "returning"), ("returning", "returned"),
    ("not_paid", "paid"), ("not_paid", "returning"), ("written_off", "returning"),
]  # fmt: skip


def _let_guests_pay() -> None:
    """Know guests, what they may pay, how often was tried, and which gateway was asked when."""
    op.add_column("payment", sa.Column("pay_code", sa.String(), nullable=True))
    op.add_column("payment", sa.Column("pay_fields", sa.JSON(), nullable=True))
    op.drop_constraint("ck_person_role", "person")
    op.create_check_constraint(
        op.f("ck_person_role"), "person", "role IN ('resident', 'staff', 'operator', 'guest')"
    )
    op.alter_column("person", "contact", nullable=True)
    op.create_check_constraint(
        op.f("ck_person_guest_without_contact"), "person", "(role = 'guest') = (contact IS NULL)"
    )
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "pay_grant",
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("proof", sa.String(length=32), nullable=False),
        sa.Column("granted_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.CheckConstraint("proof IN ('amount', 'name')", name=op.f("ck_pay_grant_proof")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_pay_grant_person_id")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["utility_account.id"], name=op.f("fk_pay_grant_account_id")
        ),
        sa.PrimaryKeyConstraint("person_id", "account_id", name=op.f("pk_pay_grant")),
    )
    op.create_index(op.f("ix_pay_grant_expires_at"), "pay_grant", ["expires_at"])
    op.create_table(
        "challenge_try",
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("since_at", moment, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "since_at", name=op.f("pk_challenge_try")),
    )
    op.create_table(
        "payment_attempt",
        sa.Column("payment_id", sa.BigInteger(), nullable=False),
        sa.Column("attempt_no", sa.Integer(), nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("scene", sa.String(length=32), nullable=False),
        sa.Column("payer_ref", sa.String(), nullable=True),
        sa.Column("payer_ip", sa.String(), nullable=True),
        sa.Column("asked_at", moment, nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.CheckConstraint(
            "scene IN ('desktop', 'phone', 'in_app', 'screen')",
            name=op.f("ck_payment_attempt_scene"),
        ),
        sa.CheckConstraint(
            "outcome IN ('asked', 'unreachable')", name=op.f("ck_payment_attempt_attemptoutcome")
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payment.id"], name=op.f("fk_payment_attempt_payment_id")
        ),
        sa.PrimaryKeyConstraint("payment_id", "attempt_no", name=op.f("pk_payment_attempt")),
    )
    op.create_index(
        "ix_payment_attempt_health", "payment_attempt", ["gateway", "outcome", "asked_at"]
    )
    op.execute("""
        CREATE FUNCTION keep_gateway() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF OLD.status <> 'created' OR EXISTS (
                SELECT FROM payment_attempt WHERE payment_id = OLD.id AND outcome = 'asked'
            ) THEN
                RAISE restrict_violation USING
                    MESSAGE = 'a gateway that may have heard of a payment keeps it';
            END IF;
            RETURN NEW;
        END $$
    """)
    op.execute(
        "CREATE TRIGGER keep_gateway BEFORE UPDATE OF gateway ON payment FOR EACH ROW "
        "WHEN (OLD.gateway <> NEW.gateway) EXECUTE FUNCTION keep_gateway()"
    )
    for table in ("pay_grant", "challenge_try", "payment_attempt"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO citybill_app")


def _forget_guests() -> None:
    op.execute("DROP TRIGGER keep_gateway ON payment")
    op.execute("DROP FUNCTION keep_gateway()")
    for table in ("payment_attempt", "challenge_try", "pay_grant"):
        op.drop_table(table)
    op.drop_constraint("ck_person_guest_without_contact", "person")
    # Who paid stays on record: a guest becomes a resident nobody can sign in as.
    op.execute("UPDATE person SET role = 'resident', contact = 'guest-' || id WHERE role = 'guest'")
    op.alter_column("person", "contact", nullable=False)
    op.drop_constraint("ck_person_role", "person")
    op.create_check_constraint(
        op.f("ck_person_role"), "person", "role IN ('resident', 'staff', 'operator')"
    )
    op.drop_column("payment", "pay_fields")
    op.drop_column("payment", "pay_code")


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
    op.drop_column("receipt", "asked_at")
    op.drop_column("receipt", "charged_back_fen")
    for table in ("chargeback_part", "chargeback", "bank_transfer"):
        op.drop_table(table)


def _take_cash() -> None:
    """Let agents sign, and keep the cash they report; its payer is nobody we know."""
    op.add_column(
        "company_key",
        sa.Column("holder", sa.String(length=32), server_default="company", nullable=False),
    )
    op.create_check_constraint(
        op.f("ck_company_key_holder"), "company_key", "holder IN ('company', 'agent')"
    )
    _index_live_keys(["holder", "provider_code", "slot"])
    op.alter_column("payment", "payer_id", existing_type=sa.BigInteger(), nullable=True)
    op.create_check_constraint(
        op.f("ck_payment_payer_known"), "payment", "payer_id IS NOT NULL OR gateway = 'counter'"
    )
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "counter_payment",
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("agent_txn_no", sa.String(), nullable=False),
        sa.Column("barcode", sa.String(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("paid_at", moment, nullable=False),
        sa.Column("received_at", moment, nullable=False),
        sa.Column("received_via", sa.String(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("payment_id", sa.BigInteger(), nullable=True),
        sa.Column("return_no", sa.String(), nullable=True),
        sa.Column("returned_at", moment, nullable=True),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_counter_payment_amount_positive")),
        sa.CheckConstraint(
            "(state = 'unmatched') = (payment_id IS NULL)",
            name=op.f("ck_counter_payment_payment_if_matched"),
        ),
        sa.CheckConstraint(
            "(state = 'returned') = (returned_at IS NOT NULL AND return_no IS NOT NULL)",
            name=op.f("ck_counter_payment_return_says_when"),
        ),
        sa.CheckConstraint(
            "state IN ('booked', 'suspended', 'unmatched', 'returned')",
            name=op.f("ck_counter_payment_cashstate"),
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payment.id"], name=op.f("fk_counter_payment_payment_id")
        ),
        sa.PrimaryKeyConstraint("agent", "agent_txn_no", name=op.f("pk_counter_payment")),
    )
    op.create_index(op.f("ix_counter_payment_payment_id"), "counter_payment", ["payment_id"])
    op.create_index("ix_counter_payment_agent_paid_at", "counter_payment", ["agent", "paid_at"])
    op.create_table(
        "counter_hold",
        sa.Column("payment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payment.id"], name=op.f("fk_counter_hold_payment_id")
        ),
        sa.PrimaryKeyConstraint("payment_id", name=op.f("pk_counter_hold")),
    )
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON counter_payment, counter_hold TO citybill_app"
    )


def _index_live_keys(columns: list[str]) -> None:
    op.drop_index("ix_company_key_live", "company_key")
    op.create_index(
        "ix_company_key_live",
        "company_key",
        columns,
        unique=True,
        postgresql_where=sa.text("revoked_at IS NULL"),
    )


def _take_no_cash() -> None:
    """Undo it; cash of nobody cannot stand in the older schema, so its presence refuses this."""
    for table in ("counter_hold", "counter_payment"):
        op.drop_table(table)
    op.drop_constraint("ck_payment_payer_known", "payment")
    op.alter_column("payment", "payer_id", existing_type=sa.BigInteger(), nullable=False)
    op.execute(
        "UPDATE company_key SET revoked_at = now() WHERE holder = 'agent' AND revoked_at IS NULL"
    )
    _index_live_keys(["provider_code", "slot"])
    op.drop_constraint("ck_company_key_holder", "company_key")
    op.drop_column("company_key", "holder")


def _debit_accounts() -> None:
    """Keep the batches a bank collects, and what it says came back."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "collection_batch",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("opened_at", moment, nullable=False),
        sa.Column("batch_no", sa.String(), nullable=True),
        sa.Column("collect_on", sa.Date(), nullable=True),
        sa.Column("silent_until", sa.Date(), nullable=True),
        sa.Column("cut_at", moment, nullable=True),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("total_fen", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("complaint", sa.String(), nullable=True),
        sa.Column("state_at", moment, nullable=False),
        sa.CheckConstraint(
            "(state = 'open') = (batch_no IS NULL) AND num_nulls(batch_no, content, collect_on,"
            " silent_until, cut_at) IN (0, 5)",
            name=op.f("ck_collection_batch_cut_whole"),
        ),
        sa.CheckConstraint(
            "state IN ('open', 'cut', 'taken', 'refused', 'closed')",
            name=op.f("ck_collection_batch_batchstate"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collection_batch")),
        sa.UniqueConstraint("batch_no", name=op.f("uq_collection_batch_batch_no")),
    )
    op.create_index(
        "ix_collection_batch_open",
        "collection_batch",
        ["gateway"],
        unique=True,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "collection_entry",
        sa.Column("order_no", sa.String(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=False),
        sa.Column("debtor_ref", sa.String(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("entered_at", moment, nullable=False),
        sa.Column("state_at", moment, nullable=False),
        sa.Column("return_code", sa.String(), nullable=True),
        sa.Column("return_file_no", sa.String(), nullable=True),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_collection_entry_amount_positive")),
        sa.CheckConstraint(
            "(state IN ('returned', 'bounced')) = (return_code IS NOT NULL)",
            name=op.f("ck_collection_entry_return_says_why"),
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'dropped', 'returned', 'collected', 'bounced')",
            name=op.f("ck_collection_entry_entrystate"),
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["collection_batch.id"], name=op.f("fk_collection_entry_batch_id")
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payment.id"], name=op.f("fk_collection_entry_payment_id")
        ),
        sa.PrimaryKeyConstraint("order_no", name=op.f("pk_collection_entry")),
        sa.UniqueConstraint("payment_id", name=op.f("uq_collection_entry_payment_id")),
    )
    op.create_index(op.f("ix_collection_entry_batch_id"), "collection_entry", ["batch_id"])
    op.create_table(
        "collection_return_file",
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("file_no", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("total_fen", sa.BigInteger(), nullable=False),
        sa.Column("received_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("gateway", "file_no", name=op.f("pk_collection_return_file")),
    )
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON collection_batch, collection_entry,"
        " collection_return_file TO citybill_app"
    )


def _agree_once() -> None:
    """Make mandates, and what becomes of each bill under one."""
    moment = sa.DateTime(timezone=True)
    op.add_column("payment", sa.Column("mandate_ref", sa.String(), nullable=True))
    op.create_table(
        "mandate",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("household_id", sa.BigInteger(), nullable=True),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("mandate_ref", sa.String(), nullable=True),
        sa.Column("sign_url", sa.String(), nullable=True),
        sa.Column("return_url", sa.String(), nullable=False),
        sa.Column("status", _word("mandatestatus", _MANDATE_STATUS), nullable=False),
        sa.Column("status_at", moment, nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("cap_kind", _word("capkind", ["fixed", "max", "none"]), nullable=False),
        sa.Column("cap_fen", sa.BigInteger(), nullable=True),
        sa.Column("first_bill", _word("firstbill", ["same", "more", "tell"]), nullable=False),
        sa.Column("first_factor", sa.Integer(), nullable=False),
        sa.Column("pay_day", _word("payday", ["due", "before", "day"]), nullable=False),
        sa.Column("pay_day_n", sa.Integer(), nullable=True),
        sa.Column("in_parts", sa.Boolean(), nullable=False),
        sa.Column("signed_most_fen", sa.BigInteger(), nullable=True),
        sa.Column("request_key", sa.String(), nullable=True),
        sa.Column("request_sha256", sa.String(), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("enrolled_at", moment, nullable=True),
        sa.CheckConstraint(
            "num_nonnulls(account_id, household_id) = 1", name=op.f("ck_mandate_one_scope")
        ),
        sa.CheckConstraint(
            "(cap_kind = 'none') = (cap_fen IS NULL)", name=op.f("ck_mandate_cap_has_amount")
        ),
        sa.CheckConstraint("cap_fen > 0", name=op.f("ck_mandate_cap_positive")),
        sa.CheckConstraint(
            "first_factor BETWEEN 2 AND 3", name=op.f("ck_mandate_first_factor_range")
        ),
        sa.CheckConstraint(
            "(pay_day = 'due') = (pay_day_n IS NULL)", name=op.f("ck_mandate_pay_day_has_number")
        ),
        sa.CheckConstraint(
            "status NOT IN ('active', 'paused') OR (enrolled_at IS NOT NULL AND mandate_ref"
            " IS NOT NULL)",
            name=op.f("ck_mandate_agreed_says_when"),
        ),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_mandate_person_id")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["utility_account.id"], name=op.f("fk_mandate_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["household_id"], ["household.id"], name=op.f("fk_mandate_household_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mandate")),
        sa.UniqueConstraint(
            "person_id", "request_key", name=op.f("uq_mandate_person_id_request_key")
        ),
    )
    op.create_index(op.f("ix_mandate_person_id"), "mandate", ["person_id"])
    for name in ("account", "household"):
        op.create_index(
            f"ix_mandate_{name}", "mandate", [f"{name}_id"], unique=True,
            postgresql_where=sa.text("status IN ('open', 'active', 'paused')"),
        )  # fmt: skip
    _run_mandates()
    op.execute("CREATE SEQUENCE mandate_no")
    op.execute("GRANT USAGE ON SEQUENCE mandate_no TO citybill_app")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON mandate, autopay_run TO citybill_app")


_MANDATE_STATUS = ["open", "active", "paused", "ended", "refused"]
_RUN_STATES = [
    "planned", "announced", "told", "debiting", "retry", "done", "skipped", "failed",
]  # fmt: skip
_NOT_PAID = [
    "over_cap", "not_fixed", "first_bill", "too_late", "enrolled_late", "not_taken", "paid",
    "cancelled", "superseded", "changed", "paused", "ended", "not_allowed", "short_of_funds",
    "refused", "returned",
]  # fmt: skip


def _word(name: str, words: list[str]) -> sa.Enum:
    return sa.Enum(*words, name=name, native_enum=False, create_constraint=True, length=32)


def _run_mandates() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "autopay_run",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("mandate_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("bill_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("first", sa.Boolean(), nullable=False),
        sa.Column("state", _word("runstate", _RUN_STATES), nullable=False),
        sa.Column("state_at", moment, nullable=False),
        sa.Column("reason", _word("notpaid", _NOT_PAID), nullable=True),
        sa.Column("pay_by_on", sa.Date(), nullable=False),
        sa.Column("tell_on", sa.Date(), nullable=False),
        sa.Column("debit_on", sa.Date(), nullable=False),
        sa.Column("first_debit_on", sa.Date(), nullable=True),
        sa.Column("asked_on", sa.Date(), nullable=True),
        sa.Column("amount_fen", sa.BigInteger(), nullable=True),
        sa.Column("announced_at", moment, nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('planned', 'skipped') OR announced_at IS NOT NULL",
            name=op.f("ck_autopay_run_announced_before"),
        ),
        sa.CheckConstraint(
            "state IN ('planned', 'skipped', 'told') OR amount_fen > 0",
            name=op.f("ck_autopay_run_amount_announced"),
        ),
        sa.CheckConstraint(
            "payment_id IS NULL OR debit_on - (announced_at AT TIME ZONE 'Asia/Shanghai')::date"
            " >= 3",
            name=op.f("ck_autopay_run_notice_kept"),
        ),
        sa.CheckConstraint(
            "state <> 'debiting' OR payment_id IS NOT NULL",
            name=op.f("ck_autopay_run_debit_has_payment"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('told', 'skipped', 'failed') OR reason IS NOT NULL",
            name=op.f("ck_autopay_run_no_says_why"),
        ),
        sa.ForeignKeyConstraint(
            ["mandate_id"], ["mandate.id"], name=op.f("fk_autopay_run_mandate_id")
        ),
        sa.ForeignKeyConstraint(
            ["account_id", "bill_id"], ["bill.account_id", "bill.id"],
            name=op.f("fk_autopay_run_account_id_bill_id"),
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payment.id"], name=op.f("fk_autopay_run_payment_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_autopay_run")),
        sa.UniqueConstraint(
            "mandate_id", "account_id", "bill_id", "version",
            name=op.f("uq_autopay_run_mandate_id_account_id_bill_id_version"),
        ),
    )  # fmt: skip
    for name, columns, where in (
        ("tell_on", ["tell_on"], "state = 'planned'"),
        ("debit_on", ["debit_on"], "state IN ('announced', 'retry')"),
        ("bill", ["account_id", "bill_id"], None),
        ("payment", ["payment_id"], "payment_id IS NOT NULL AND state <> 'done'"),
    ):
        op.create_index(
            f"ix_autopay_run_{name}", "autopay_run", columns,
            postgresql_where=sa.text(where) if where else None,
        )  # fmt: skip


def _forget_mandates() -> None:
    op.drop_table("autopay_run")
    op.drop_table("mandate")
    op.execute("DROP SEQUENCE mandate_no")
    op.drop_column("payment", "mandate_ref")


def downgrade() -> None:
    _forget_mandates()
    for table in ("collection_return_file", "collection_entry", "collection_batch"):
        op.drop_table(table)
    _take_no_cash()
    _send_no_money_back()
    _forget_guests()
    op.drop_constraint("ck_bill_elsewhere_is_void_here", "bill")
    op.drop_column("bill", "paid_elsewhere_at")
    op.execute("DROP TRIGGER moves ON payment_item")
    op.execute("DROP TRIGGER moves ON payment")
    op.execute("DROP FUNCTION refuse_move()")
    op.alter_column(
        "gateway_callback",
        "body",
        type_=sa.String(),
        postgresql_using="convert_from(body, 'UTF8')",
    )
    op.execute("UPDATE payment SET status = 'created' WHERE status = 'unknown'")
    op.drop_constraint("ck_payment_paymentstatus", "payment")
    op.create_check_constraint(
        op.f("ck_payment_paymentstatus"),
        "payment",
        "status IN ('created', 'open', 'paid', 'refused', 'expired')",
    )
    op.drop_column("gateway_callback", "kind")
    op.alter_column("gateway_callback", "reference", new_column_name="order_no")
    op.drop_column("payment", "mode")
