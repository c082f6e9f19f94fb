"""The books: closed days and their seals, terms, reminders, late fees, options, receipts.

The application works as the role ``citybill_app``, which may add to the ledger and never change it.
A day that is closed takes no transfer any more: the poster holds a shared lock on its day, the
closer an exclusive one, so that none slips in behind the sum.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from core.errors import NotAllowed

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _make_tables()
    _widen_bills()
    _widen_payments()
    _guard_the_ledger()
    _make_the_role()


def _make_tables() -> None:
    op.create_table(
        "ledger_day",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("transfers", sa.BigInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("before_on", sa.Date(), nullable=True),
        sa.Column("before_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("closed_by", sa.String(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(before_on IS NULL) = (before_sha256 IS NULL)", name=op.f("ck_ledger_day_chained")
        ),
        sa.CheckConstraint("before_on = day - 1", name=op.f("ck_ledger_day_no_gap")),
        sa.CheckConstraint(
            "day < CAST(closed_at AT TIME ZONE 'Asia/Shanghai' AS date)",
            name=op.f("ck_ledger_day_is_over"),
        ),
        sa.CheckConstraint("length(sha256) = 32", name=op.f("ck_ledger_day_whole_hash")),
        sa.CheckConstraint(
            "transfers >= 0 AND amount_fen >= 0", name=op.f("ck_ledger_day_counts_not_negative")
        ),
        sa.ForeignKeyConstraint(
            ["before_on"], ["ledger_day.day"], name=op.f("fk_ledger_day_before_on")
        ),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_ledger_day")),
        sa.UniqueConstraint("before_on", name=op.f("uq_ledger_day_before_on")),
    )
    op.create_table(
        "ledger_day_balance",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("ledger_account_id", sa.Integer(), nullable=False),
        sa.Column("debit_fen", sa.BigInteger(), nullable=False),
        sa.Column("credit_fen", sa.BigInteger(), nullable=False),
        sa.Column("total_debit_fen", sa.BigInteger(), nullable=False),
        sa.Column("total_credit_fen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "debit_fen >= 0 AND credit_fen >= 0",
            name=op.f("ck_ledger_day_balance_sums_not_negative"),
        ),
        sa.ForeignKeyConstraint(
            ["day"], ["ledger_day.day"], name=op.f("fk_ledger_day_balance_day")
        ),
        sa.ForeignKeyConstraint(
            ["ledger_account_id"],
            ["ledger_account.id"],
            name=op.f("fk_ledger_day_balance_ledger_account_id"),
        ),
        sa.PrimaryKeyConstraint("day", "ledger_account_id", name=op.f("pk_ledger_day_balance")),
    )
    op.create_table(
        "ledger_seal_part",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("part_no", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("row_digests", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "length(row_digests) = 8 * rows", name=op.f("ck_ledger_seal_part_a_digest_a_row")
        ),
        sa.CheckConstraint("length(sha256) = 32", name=op.f("ck_ledger_seal_part_whole_hash")),
        sa.ForeignKeyConstraint(["day"], ["ledger_day.day"], name=op.f("fk_ledger_seal_part_day")),
        sa.PrimaryKeyConstraint("day", "part_no", name=op.f("pk_ledger_seal_part")),
    )
    op.create_table(
        "missing_bill",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("billing_month", sa.Date(), nullable=False),
        sa.Column("expected_by_on", sa.Date(), nullable=False),
        sa.Column("noticed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("arrived_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["utility_account.id"], name=op.f("fk_missing_bill_account_id")
        ),
        sa.PrimaryKeyConstraint("account_id", "billing_month", name=op.f("pk_missing_bill")),
    )
    op.create_table(
        "provider_terms",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("provider_code", sa.String(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("proposed_by", sa.BigInteger(), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approved_by", sa.BigInteger(), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(approved_by IS NULL) = (approved_at IS NULL)",
            name=op.f("ck_provider_terms_approval_says_when"),
        ),
        sa.CheckConstraint(
            "approved_at IS NULL OR withdrawn_at IS NULL", name=op.f("ck_provider_terms_not_both")
        ),
        sa.CheckConstraint("approved_by <> proposed_by", name=op.f("ck_provider_terms_two_people")),
        sa.ForeignKeyConstraint(
            ["approved_by"], ["person.id"], name=op.f("fk_provider_terms_approved_by")
        ),
        sa.ForeignKeyConstraint(
            ["proposed_by"], ["person.id"], name=op.f("fk_provider_terms_proposed_by")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_terms")),
    )
    op.create_index(
        "ix_provider_terms_in_force",
        "provider_terms",
        ["provider_code", "effective_on"],
        unique=True,
        postgresql_where=sa.text("approved_at IS NOT NULL"),
    )
    op.create_table(
        "bill_correction",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("bill_id", sa.BigInteger(), nullable=False),
        sa.Column("bill_file_id", sa.BigInteger(), nullable=False),
        sa.Column("row_no", sa.Integer(), nullable=False),
        sa.Column("row", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "waiting",
                "applied",
                "refused",
                name="correctionstate",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'waiting') = (decided_at IS NULL)",
            name=op.f("ck_bill_correction_decided_says_when"),
        ),
        sa.CheckConstraint(
            "(state = 'refused') = (reason IS NOT NULL)",
            name=op.f("ck_bill_correction_refusal_says_why"),
        ),
        sa.ForeignKeyConstraint(
            ["account_id", "bill_id"],
            ["bill.account_id", "bill.id"],
            name=op.f("fk_bill_correction_account_id_bill_id"),
        ),
        sa.ForeignKeyConstraint(
            ["bill_file_id"], ["bill_file.id"], name=op.f("fk_bill_correction_bill_file_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bill_correction")),
        sa.UniqueConstraint(
            "bill_file_id", "row_no", name=op.f("uq_bill_correction_bill_file_id_row_no")
        ),
    )
    op.create_index(
        "ix_bill_correction_waiting",
        "bill_correction",
        ["account_id", "bill_id"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_table(
        "bill_late_fee",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bill_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("once_fen", sa.BigInteger(), nullable=False),
        sa.Column("penalty_fen", sa.BigInteger(), nullable=False),
        sa.Column("interest_microfen", sa.BigInteger(), nullable=False),
        sa.Column("interest_fen", sa.BigInteger(), nullable=False),
        sa.Column("waived_fen", sa.BigInteger(), nullable=False),
        sa.Column("counted_on", sa.Date(), nullable=False),
        sa.CheckConstraint(
            "once_fen >= 0 AND penalty_fen >= 0 AND interest_fen >= 0 AND waived_fen >= 0 AND interest_microfen >= 0 AND waived_fen <= once_fen + penalty_fen + interest_fen",
            name=op.f("ck_bill_late_fee_never_negative"),
        ),
        sa.ForeignKeyConstraint(
            ["account_id", "bill_id"],
            ["bill.account_id", "bill.id"],
            name=op.f("fk_bill_late_fee_account_id_bill_id"),
        ),
        sa.PrimaryKeyConstraint("account_id", "bill_id", name=op.f("pk_bill_late_fee")),
    )
    op.create_table(
        "bill_reminder",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bill_id", sa.BigInteger(), nullable=False),
        sa.Column("reminder_no", sa.String(), nullable=False),
        sa.Column("reminded_on", sa.Date(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("fee_fen", sa.BigInteger(), nullable=False),
        sa.Column("bill_file_id", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("fee_fen >= 0", name=op.f("ck_bill_reminder_fee_not_negative")),
        sa.ForeignKeyConstraint(
            ["account_id", "bill_id"],
            ["bill.account_id", "bill.id"],
            name=op.f("fk_bill_reminder_account_id_bill_id"),
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_bill_reminder")),
    )
    op.create_index(
        "ix_bill_reminder_account_id_bill_id",
        "bill_reminder",
        ["account_id", "bill_id"],
        unique=False,
    )
    op.create_table(
        "receipt",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("source_ref", sa.String(), nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "suspended",
                "returned",
                name="receiptstate",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("return_ref", sa.String(), nullable=True),
        sa.Column("returned_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'returned') = (returned_at IS NOT NULL)",
            name=op.f("ck_receipt_return_says_when"),
        ),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_receipt_amount_positive")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_receipt_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receipt")),
        sa.UniqueConstraint("source", "source_ref", name=op.f("uq_receipt_source_source_ref")),
    )
    op.create_index(op.f("ix_receipt_payment_id"), "receipt", ["payment_id"], unique=False)


def _widen_bills() -> None:
    op.add_column(
        "bill", sa.Column("adjusted_fen", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column(
        "bill", sa.Column("credited_fen", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column(
        "bill", sa.Column("pay_terms", postgresql.JSON(astext_type=sa.Text()), nullable=True)
    )
    op.add_column("bill_file", sa.Column("sequence_no", sa.String(), nullable=True))
    op.add_column(
        "bill_file", sa.Column("reminded", sa.Integer(), server_default="0", nullable=False)
    )
    op.add_column(
        "bill_file", sa.Column("waiting", sa.Integer(), server_default="0", nullable=False)
    )
    op.create_index(
        "ix_bill_file_sequence",
        "bill_file",
        ["provider_code", "sequence_no"],
        unique=True,
        postgresql_where=sa.text("status <> 'refused'"),
    )
    _recheck(
        "bill_file",
        every_row_accounted_for="status <> 'imported' OR rows = created + unchanged + superseded + "
        "cancelled + reminded + waiting + rejected",
    )
    op.create_index(
        "ix_bill_credit", "bill", ["account_id"], unique=False,
        postgresql_where=sa.text("amount_fen < 0"),
    )  # fmt: skip
    op.drop_constraint(op.f("ck_bill_cancelled_unpaid"), "bill", type_="check")
    _recheck(
        "bill",
        due_after_issue="issued_on < due_on",
        credited_within="credited_fen BETWEEN least(amount_fen + adjusted_fen, 0)"
        " AND greatest(amount_fen + adjusted_fen, 0)",
        paid_within="paid_fen BETWEEN 0 AND greatest(amount_fen + adjusted_fen - credited_fen, 0)",
        cancelled_owes_nothing="cancelled_at IS NULL"
        " OR (paid_fen = 0 AND credited_fen = 0 AND adjusted_fen = 0)",
    )


def _widen_payments() -> None:
    op.add_column(
        "payment", sa.Column("channel", sa.String(), server_default="web", nullable=False)
    )
    op.add_column(
        "payment", sa.Column("fee_fen", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column(
        "payment", sa.Column("fee_tax_fen", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column(
        "payment_item",
        sa.Column("advance_fen", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.add_column(
        "payment_item", sa.Column("adjust_fen", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column("payment_item", sa.Column("option_code", sa.String(), nullable=True))
    op.create_index(
        "ix_payment_item_option",
        "payment_item",
        ["account_id", "bill_id", "option_code"],
        unique=True,
        postgresql_where=sa.text(
            "option_code LIKE 'instalment-%' AND outcome IN ('waiting', 'paid', 'written_off')"
        ),
    )
    op.add_column(
        "refund", sa.Column("fee_fen", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.drop_constraint(op.f("ck_payment_item_amount_positive"), "payment_item", type_="check")
    _recheck(
        "payment",
        amount_positive="CASE WHEN gateway = 'none' THEN amount_fen = 0 ELSE amount_fen > 0 END",
        fee_within="fee_fen >= 0 AND fee_tax_fen >= 0 AND fee_fen + fee_tax_fen <= amount_fen",
    )
    _recheck(
        "payment_item",
        amount_not_negative="amount_fen >= 0",
        advance_within="advance_fen BETWEEN 0 AND amount_fen",
        adjusted_by_option="adjust_fen = 0 OR (option_code IS NOT NULL AND advance_fen = 0)",
    )
    _recheck(
        "refund",
        fee_within="fee_fen BETWEEN 0 AND amount_fen",
        success_says_when="(status = 'succeeded') = (succeeded_at IS NOT NULL)",
    )


def _recheck(table: str, **checks: str) -> None:
    """Put checks in place of those of the same name."""
    for name, check in checks.items():
        whole = f"ck_{table}_{name}"
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {whole}")
        op.create_check_constraint(op.f(whole), table, check)


def _guard_the_ledger() -> None:
    """Refuse changes of closed days and of approved terms, and postings on a closed day."""
    op.execute("""
        CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% of % is refused: %', TG_OP, TG_TABLE_NAME,
                    coalesce(TG_ARGV[0], 'the ledger is append-only')
                USING ERRCODE = 'restrict_violation',
                      HINT = coalesce(TG_ARGV[1], 'post a counter-transfer instead');
        END $$
    """)
    for table in ("ledger_day", "ledger_day_balance", "ledger_seal_part"):
        op.execute(f"""
            CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}
            FOR EACH ROW EXECUTE FUNCTION refuse_change('a closed day is never changed',
                                                        'post on an open day instead')
        """)
        op.execute(f"""
            CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('a closed day is never changed',
                                                              'post on an open day instead')
        """)
    op.execute("""
        CREATE TRIGGER for_ever_whole BEFORE TRUNCATE ON ledger_account
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """)
    _recheck(
        "ledger_transfer",
        its_own_day="posted_on = CAST(posted_at AT TIME ZONE 'Asia/Shanghai' AS date)",
    )
    op.execute("""
        CREATE TRIGGER approved_for_ever BEFORE UPDATE OR DELETE ON provider_terms
        FOR EACH ROW WHEN (OLD.approved_at IS NOT NULL)
        EXECUTE FUNCTION refuse_change('approved terms are never changed',
                                       'propose new terms from a later day')
    """)
    op.execute("""
        CREATE OR REPLACE FUNCTION know_ledger_accounts() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            first_on date;
            last_on date;
        BEGIN
            IF current_setting('transaction_isolation') <> 'read committed' THEN
                RAISE EXCEPTION 'a transfer is posted under READ COMMITTED: an older snapshot would '
                    'not see that its day was closed' USING ERRCODE = 'invalid_transaction_state';
            END IF;
            IF EXISTS (
                SELECT FROM (SELECT debit_account_id AS id FROM posted
                             UNION SELECT credit_account_id FROM posted) p
                WHERE NOT EXISTS (SELECT FROM ledger_account a WHERE a.id = p.id)
            ) THEN
                RAISE EXCEPTION 'a transfer names an account that the ledger does not have'
                    USING ERRCODE = 'foreign_key_violation';
            END IF;
            SELECT min(posted_on), max(posted_on) INTO first_on, last_on FROM posted;
            FOR at IN 0 .. coalesce(last_on - first_on, -1) LOOP
                PERFORM pg_advisory_xact_lock_shared(
                    hashtext('ledger.day'), first_on - date '2000-01-01' + at);
            END LOOP;
            IF EXISTS (SELECT FROM ledger_day WHERE day >= first_on) THEN
                RAISE EXCEPTION 'the books of % are closed', first_on
                    USING ERRCODE = 'restrict_violation', HINT = 'post on an open day instead';
            END IF;
            RETURN NULL;
        END $$
    """)


_APPEND_ONLY = ("ledger_transfer", "ledger_account", "ledger_day", "ledger_day_balance",
                "ledger_seal_part")  # fmt: skip


def _make_the_role() -> None:
    """Make the role the application works as, and give it what it needs and no more."""
    _have_the_role()
    op.execute("GRANT USAGE ON SCHEMA public TO citybill_app")
    op.execute("GRANT USAGE ON SEQUENCE payment_no TO citybill_app")
    op.execute("""
        DO $$ DECLARE one text; BEGIN
            FOR one IN SELECT quote_ident(relname) FROM pg_class
                       WHERE relkind IN ('r', 'p') AND NOT relispartition
                         AND relnamespace = 'public'::regnamespace
            LOOP
                EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO citybill_app', one);
            END LOOP;
        END $$
    """)
    op.execute("REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM citybill_app")
    op.execute(f"REVOKE UPDATE, DELETE ON {', '.join(_APPEND_ONLY)} FROM citybill_app")
    op.execute("REVOKE UPDATE, DELETE ON provider_terms FROM citybill_app")
    op.execute(
        "GRANT UPDATE (approved_by, approved_at, withdrawn_at) ON provider_terms TO citybill_app"
    )
    _make_months_by_function()


def _have_the_role() -> None:
    """Make the role unless it is there, and see that the owner can work as it.

    A role is the whole server's: another database may have made it, at this very moment. Since
    PostgreSQL 16 who makes a role is a member that may give it to others, but not become it.
    """
    bind = op.get_bind()
    owner = bind.execute(sa.text("SELECT quote_ident(current_user)")).scalar_one()
    try:
        bind.execute(
            sa.text("""
            DO $$ BEGIN
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'citybill_app') THEN
                    CREATE ROLE citybill_app NOLOGIN;
                END IF;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END $$
        """)
        )
        bind.execute(
            sa.text("""
            DO $$ BEGIN
                IF current_setting('server_version_num') :: integer < 160000 THEN
                    IF NOT pg_has_role(current_user, 'citybill_app', 'MEMBER') THEN
                        GRANT citybill_app TO CURRENT_USER;
                    END IF;
                ELSIF NOT pg_has_role(current_user, 'citybill_app', 'SET') THEN
                    EXECUTE 'GRANT citybill_app TO CURRENT_USER WITH SET TRUE, INHERIT FALSE';
                END IF;
            END $$
        """)
        )
    except sa.exc.ProgrammingError as refused:
        if getattr(refused.orig, "sqlstate", None) != "42501":
            raise
        raise NotAllowed(
            "the application works as the role citybill_app, and the schema's owner may not make "
            "it or become it: have an administrator of the server run "
            f"CREATE ROLE citybill_app NOLOGIN; (unless it exists) GRANT citybill_app TO {owner};",
            code="database.role",
        ) from None


def _make_months_by_function() -> None:
    """Let the application make a month's partitions, and no other table.

    A partition has no grants of its own: it is reached through its table only.
    """
    op.execute("""
        CREATE FUNCTION make_month(suffix text, first_key bigint, after_key bigint)
        RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
        DECLARE one text;
        BEGIN
            IF suffix !~ '^y[0-9]{4}m[0-9]{2}$' OR after_key - first_key <> 1::bigint << 51 THEN
                RAISE EXCEPTION 'not a month: % from % to %', suffix, first_key, after_key;
            END IF;
            PERFORM pg_advisory_xact_lock(hashtext('billing.partitions'));
            FOREACH one IN ARRAY ARRAY['bill', 'bill_version', 'ledger_transfer'] LOOP
                IF to_regclass(format('%s_%s', one, suffix)) IS NULL THEN
                    EXECUTE format('CREATE TABLE %s_%s PARTITION OF %s FOR VALUES FROM (%s) TO (%s)',
                                   one, suffix, one, first_key, after_key);
                    IF one = 'ledger_transfer' THEN
                        EXECUTE format('CREATE TRIGGER append_only_whole BEFORE TRUNCATE '
                            'ON %s_%s FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()',
                            one, suffix);
                    END IF;
                END IF;
            END LOOP;
        END $$
    """)
    op.execute("REVOKE ALL ON FUNCTION make_month(text, bigint, bigint) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION make_month(text, bigint, bigint) TO citybill_app")
