"""Guests pay, and gateways are tried in turn."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _let_guests_pay()


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


def downgrade() -> None:
    _forget_guests()
