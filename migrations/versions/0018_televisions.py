"""Televisions that may show somebody's bills."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    state = sa.Enum(
        "waiting", "allowed", "denied", "used",
        name="pairingstate", native_enum=False, create_constraint=True, length=32,
    )  # fmt: skip
    op.create_table(
        "television_pairing",
        sa.Column("device_hash", sa.String(), nullable=False),
        sa.Column("user_code", sa.String(), nullable=False),
        sa.Column("state", state, nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=True),
        sa.Column("interval_seconds", sa.SmallInteger(), nullable=False),
        sa.Column("begun_at", moment, nullable=False),
        sa.Column("asked_at", moment, nullable=True),
        sa.Column("expires_at", moment, nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_television_pairing_person_id")
        ),
        sa.PrimaryKeyConstraint("device_hash", name=op.f("pk_television_pairing")),
        sa.UniqueConstraint("user_code", name=op.f("uq_television_pairing_user_code")),
    )
    op.create_table(
        "television",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("paired_at", moment, nullable=False),
        sa.Column("seen_at", moment, nullable=False),
        sa.Column("ended_at", moment, nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_television_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_television")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_television_token_hash")),
    )
    op.create_index(
        "ix_television_live", "television", ["person_id"],
        postgresql_where=sa.text("ended_at IS NULL"),
    )  # fmt: skip
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON television_pairing, television TO citybill_app"
    )


def downgrade() -> None:
    op.drop_table("television")
    op.drop_table("television_pairing")
