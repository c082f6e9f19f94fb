"""People of homes: kinds of homes, days of a membership, invitations; leaving, and own data."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)


def _kept(*values: str, name: str) -> sa.Enum[Any]:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    _homes()
    _keep_a_manager()
    _invitations()
    _own_data()
    tables = "home_invitation, person_erasure, data_export"
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO citybill_app")


def _homes() -> None:
    op.add_column(
        "household",
        sa.Column(
            "kind",
            _kept("own", "parents", "let", "rented", name="homekind"),
            server_default="own",
            nullable=False,
        ),
    )
    op.create_check_constraint(
        op.f("ck_household_name_short"), "household", "char_length(name) <= 40"
    )
    op.add_column("household_member", sa.Column("from_on", sa.Date(), nullable=True))
    op.add_column("household_member", sa.Column("until_on", sa.Date(), nullable=True))
    op.create_check_constraint(
        op.f("ck_household_member_ends_after_begin"), "household_member", "until_on >= from_on"
    )
    op.create_check_constraint(
        op.f("ck_household_member_manages_for_good"),
        "household_member",
        "role <> 'manage' OR (from_on IS NULL AND until_on IS NULL)",
    )
    # Which day it is, the database says: nobody can forget to ask, or ask about another day.
    op.execute("""
        CREATE FUNCTION stands_today(from_on date, until_on date)
        RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
            SELECT (from_on IS NULL OR from_on <= (now() AT TIME ZONE 'Asia/Shanghai')::date)
               AND (until_on IS NULL OR until_on >= (now() AT TIME ZONE 'Asia/Shanghai')::date)
        $$
    """)


def _keep_a_manager() -> None:
    """Refuse, at the end of a transaction, a home with people or accounts that nobody manages.

    The home's row is locked first: of two managers who leave at one moment the second waits for
    the first, and then sees that they are gone.
    """
    op.execute("""
        CREATE FUNCTION keep_a_manager() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM FROM household WHERE id = OLD.household_id FOR NO KEY UPDATE;
            IF NOT EXISTS (SELECT FROM household_member
                           WHERE household_id = OLD.household_id AND role = 'manage')
               AND (EXISTS (SELECT FROM household_member WHERE household_id = OLD.household_id)
                    OR EXISTS (SELECT FROM household_account
                               WHERE household_id = OLD.household_id)) THEN
                RAISE EXCEPTION 'home % needs somebody who manages it', OLD.household_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'home_keeps_a_manager';
            END IF;
            RETURN NULL;
        END $$
    """)
    op.execute("""
        CREATE CONSTRAINT TRIGGER home_keeps_a_manager
        AFTER UPDATE OR DELETE ON household_member DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (OLD.role = 'manage') EXECUTE FUNCTION keep_a_manager()
    """)


def _invitations() -> None:
    op.create_table(
        "home_invitation",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("household_id", sa.BigInteger(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("role", _kept("see", "pay", "manage", name="memberrole"), nullable=False),
        sa.Column("from_on", sa.Date(), nullable=True),
        sa.Column("until_on", sa.Date(), nullable=True),
        sa.Column("invited_by", sa.BigInteger(), nullable=False),
        sa.Column("invited_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.Column(
            "state",
            _kept("waiting", "accepted", "declined", "withdrawn", "expired", name="invitation"),
            nullable=False,
        ),
        sa.Column("decided_at", moment, nullable=True),
        sa.CheckConstraint("until_on >= from_on", name=op.f("ck_home_invitation_ends_after_begin")),
        sa.CheckConstraint(
            "role <> 'manage' OR (from_on IS NULL AND until_on IS NULL)",
            name=op.f("ck_home_invitation_manages_for_good"),
        ),
        sa.CheckConstraint(
            "(state = 'waiting') = (decided_at IS NULL)",
            name=op.f("ck_home_invitation_decided_says_when"),
        ),
        sa.ForeignKeyConstraint(
            ["household_id"], ["household.id"], name=op.f("fk_home_invitation_household_id")
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_home_invitation_person_id")
        ),
        sa.ForeignKeyConstraint(
            ["invited_by"], ["person.id"], name=op.f("fk_home_invitation_invited_by")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_home_invitation")),
    )
    waiting = sa.text("state = 'waiting'")
    op.create_index(
        "ix_home_invitation_waiting", "home_invitation", ["household_id", "person_id"],
        unique=True, postgresql_where=waiting,
    )  # fmt: skip
    op.create_index(
        "ix_home_invitation_mine", "home_invitation", ["person_id"], postgresql_where=waiting
    )
    op.create_index("ix_home_invitation_by", "home_invitation", ["invited_by", "invited_at"])
    op.create_index("ix_home_invitation_home", "home_invitation", ["household_id", "invited_at"])


def _own_data() -> None:
    op.create_table(
        "person_erasure",
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", moment, nullable=False),
        sa.Column("erase_at", moment, nullable=False),
        sa.Column("done_at", moment, nullable=True),
        sa.CheckConstraint("erase_at > asked_at", name=op.f("ck_person_erasure_time_to_undo")),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_person_erasure_person_id")
        ),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_person_erasure")),
    )
    op.create_index(
        "ix_person_erasure_due", "person_erasure", ["erase_at"],
        postgresql_where=sa.text("done_at IS NULL"),
    )  # fmt: skip
    op.create_table(
        "data_export",
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("made_on", sa.Date(), nullable=False),
        sa.Column("turn", sa.SmallInteger(), nullable=False),
        sa.Column("made_at", moment, nullable=False),
        sa.CheckConstraint("turn BETWEEN 1 AND 3", name=op.f("ck_data_export_three_a_day")),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_data_export_person_id")
        ),
        sa.PrimaryKeyConstraint("person_id", "made_on", "turn", name=op.f("pk_data_export")),
    )


def downgrade() -> None:
    op.drop_table("data_export")
    op.drop_table("person_erasure")
    op.drop_table("home_invitation")
    op.execute("DROP TRIGGER home_keeps_a_manager ON household_member")
    op.execute("DROP FUNCTION keep_a_manager()")
    op.execute("DROP FUNCTION stands_today(date, date)")
    op.drop_constraint(op.f("ck_household_member_manages_for_good"), "household_member")
    op.drop_constraint(op.f("ck_household_member_ends_after_begin"), "household_member")
    op.drop_column("household_member", "until_on")
    op.drop_column("household_member", "from_on")
    op.drop_constraint(op.f("ck_household_name_short"), "household")
    op.drop_column("household", "kind")
