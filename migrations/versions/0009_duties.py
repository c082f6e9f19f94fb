"""Who of the staff may do what, and who did what and looked at whom."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# What the console's lists are read by: whole, and by what they are filtered by.
BEGAN_AT = sa.text("coalesce(proposed_at, requested_at)")
LISTS = (
    ("ix_bill_file_received_at", "bill_file", ["received_at", "id"], None),
    ("ix_bill_file_of_company", "bill_file", ["provider_code", "received_at", "id"], None),
    ("ix_bill_file_of_status", "bill_file", ["status", "received_at", "id"], None),
    ("ix_refund_began", "refund", [BEGAN_AT, "refund_no"], None),
    ("ix_refund_of_status", "refund", ["status", BEGAN_AT, "refund_no"], None),
    ("ix_chargeback_open", "chargeback",
     [sa.text("coalesce(evidence_due_at, 'infinity')"), "id"], "state = 'open'"),
    ("ix_chargeback_opened_at", "chargeback", ["opened_at", "id"], None),
    ("ix_reconciliation_day", "reconciliation", ["day", "source"], None),
    ("ix_settlement_arrival_day", "settlement_arrival", ["day", "source"], None),
    ("ix_confirmation_arrival_day", "confirmation_arrival", ["day", "provider_code"], None),
    ("ix_person_colleagues", "person", ["name", "id"], "role IN ('staff', 'operator')"),
)  # fmt: skip


def upgrade() -> None:
    op.add_column("person", sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True))
    _keep_duties()
    _keep_deeds()
    for name, table, columns, only in LISTS:
        op.create_index(name, table, columns, postgresql_where=only and sa.text(only))


def _keep_duties() -> None:
    moment = sa.DateTime(timezone=True)
    people = ("person_id", "proposed_by", "given_by", "taken_by")
    op.create_table(
        "staff_duty",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("duty", sa.String(length=32), nullable=False),
        sa.Column("proposed_by", sa.BigInteger(), nullable=True),
        sa.Column("proposed_at", moment, nullable=False),
        sa.Column("given_by", sa.BigInteger(), nullable=True),
        sa.Column("given_at", moment, nullable=True),
        sa.Column("taken_by", sa.BigInteger(), nullable=True),
        sa.Column("taken_at", moment, nullable=True),
        sa.CheckConstraint(
            "duty IN ('service', 'finance', 'setup', 'admin')", name=op.f("ck_staff_duty_duty")
        ),
        sa.CheckConstraint(
            "(given_at IS NOT NULL OR given_by IS NULL)"
            " AND (taken_at IS NOT NULL OR taken_by IS NULL)",
            name=op.f("ck_staff_duty_whole"),
        ),
        sa.CheckConstraint(
            "given_by <> proposed_by AND given_by <> person_id",
            name=op.f("ck_staff_duty_given_by_another"),
        ),
        sa.CheckConstraint(
            "proposed_by <> person_id AND taken_by <> person_id",
            name=op.f("ck_staff_duty_nobodys_own"),
        ),
        *(sa.ForeignKeyConstraint([who], ["person.id"], name=op.f(f"fk_staff_duty_{who}"))
          for who in people),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_duty")),
    )  # fmt: skip
    op.create_index(
        "ix_staff_duty_stands", "staff_duty", ["person_id", "duty"], unique=True,
        postgresql_where=sa.text("taken_at IS NULL"),
    )  # fmt: skip
    op.create_index(
        "ix_staff_duty_waits", "staff_duty", ["id"],
        postgresql_where=sa.text("taken_at IS NULL AND given_at IS NULL"),
    )  # fmt: skip
    # Whoever was of the staff could do all of this; admins are made on the command line.
    op.execute("""
        INSERT INTO staff_duty (person_id, duty, proposed_at, given_at)
        SELECT id, duty, now(), now()
        FROM person, unnest(ARRAY['service', 'finance', 'setup']) duty WHERE role = 'staff'
    """)
    _refuse(
        "staff_duty", "what was given and taken is history", "give it anew",
        taken_for_ever="UPDATE ON {} FOR EACH ROW WHEN (OLD.taken_at IS NOT NULL)",
        given_for_ever="UPDATE ON {} FOR EACH ROW WHEN (OLD.given_at IS NOT NULL AND"
        " (OLD.given_at, OLD.given_by) IS DISTINCT FROM (NEW.given_at, NEW.given_by))",
        kept_for_ever="DELETE ON {} FOR EACH ROW",
        kept_whole="TRUNCATE ON {} FOR EACH STATEMENT",
    )  # fmt: skip
    op.execute("GRANT SELECT, INSERT ON staff_duty TO citybill_app")
    op.execute(
        "GRANT UPDATE (given_by, given_at, taken_by, taken_at) ON staff_duty TO citybill_app"
    )


def _keep_deeds() -> None:
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=True),
        *(sa.Column(name, sa.String(), nullable=False)
          for name in ("what", "subject_kind", "subject_id")),
        sa.Column("detail", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_audit_entry_person_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entry")),
    )  # fmt: skip
    for name, columns in (
        ("at_id", ()), ("person_id_at_id", ("person_id",)), ("what_at_id", ("what",)),
        ("subject", ("subject_kind", "subject_id")),
    ):  # fmt: skip
        op.create_index(f"ix_audit_entry_{name}", "audit_entry", [*columns, "at", "id"])
    _refuse(
        "audit_entry", "the audit log is append-only", "write another entry",
        append_only="UPDATE OR DELETE ON {} FOR EACH ROW",
        append_only_whole="TRUNCATE ON {} FOR EACH STATEMENT",
    )  # fmt: skip
    op.execute("GRANT SELECT, INSERT ON audit_entry TO citybill_app")


def _refuse(table: str, why: str, instead: str, **triggers: str) -> None:
    """Refuse what each trigger is before, whoever asks."""
    for name, before in triggers.items():
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {before.format(table)}"
            f" EXECUTE FUNCTION refuse_change('{why}', '{instead}')"
        )


def downgrade() -> None:
    for name, table, _, _ in reversed(LISTS):
        op.drop_index(name, table)
    op.drop_table("audit_entry")
    op.drop_table("staff_duty")
    op.drop_column("person", "ended_at")
