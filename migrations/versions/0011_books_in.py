"""Files of gateways, companies and banks on their way in."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLES = ("book_file", "book_file_part", "book_arrival")


def upgrade() -> None:
    """Keep each file once with its bytes, how far it is, and who is to be answered."""
    _keep_files()
    op.create_index("ix_book_file_state", "book_file", ["state", "id"])
    op.create_table(
        "book_file_part",
        sa.Column("book_file_id", sa.BigInteger(), nullable=False),
        sa.Column("part_no", sa.Integer(), nullable=False),
        sa.Column("packed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["book_file_id"], ["book_file.id"], name=op.f("fk_book_file_part_book_file_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("book_file_id", "part_no", name=op.f("pk_book_file_part")),
    )  # fmt: skip
    # Packed by us already: the database need not try again.
    op.execute("ALTER TABLE book_file_part ALTER COLUMN packed SET STORAGE EXTERNAL")
    _keep_arrivals()
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(TABLES)} TO citybill_app")


def _keep_files() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "book_file",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        *map(_text, ("sha256", "given_as", "file_name")),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("leg", sa.String(length=32)), _text("source"), sa.Column("day", sa.Date()),
        _text("profile"), sa.Column("came_by", sa.String(length=32), nullable=False),
        sa.Column("brought_by", sa.BigInteger()), _text("sender"),
        sa.Column("received_at", moment, nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("state_at", moment, nullable=False),
        sa.Column("rows_done", sa.Integer(), nullable=False),
        sa.Column("rows_of", sa.Integer(), nullable=False),
        sa.Column("line_no", sa.Integer()), sa.Column("complaint", sa.String()),
        sa.Column("told", sa.JSON(), nullable=False),
        sa.CheckConstraint(
            "leg IN ('gateway', 'company', 'bank')", name=op.f("ck_book_file_leg")
        ),
        sa.CheckConstraint(
            "came_by IN ('upload', 'api', 'sftp', 'polled', 'asked', 'command')",
            name=op.f("ck_book_file_cameby"),
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'reading', 'matching', 'done', 'unclear', 'refused')",
            name=op.f("ck_book_file_bookstate"),
        ),
        sa.CheckConstraint(
            "(complaint IS NOT NULL) = (state IN ('unclear', 'refused'))",
            name=op.f("ck_book_file_complains"),
        ),
        sa.CheckConstraint(
            "state <> 'done' OR (leg IS NOT NULL AND source <> '')",
            name=op.f("ck_book_file_done_known"),
        ),
        sa.ForeignKeyConstraint(
            ["brought_by"], ["person.id"], name=op.f("fk_book_file_brought_by")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_book_file")),
        sa.UniqueConstraint("sha256", "given_as", name=op.f("uq_book_file_sha256_given_as")),
    )  # fmt: skip


def _keep_arrivals() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "book_arrival",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        *map(_text, ("sender", "claim", "file_name")),
        sa.Column("book_file_id", sa.BigInteger()), sa.Column("complaint", sa.String()),
        sa.Column("arrived_at", moment, nullable=False), sa.Column("answered_at", moment),
        sa.CheckConstraint(
            "(book_file_id IS NULL) = (complaint IS NOT NULL)",
            name=op.f("ck_book_arrival_says_why"),
        ),
        sa.ForeignKeyConstraint(
            ["book_file_id"], ["book_file.id"], name=op.f("fk_book_arrival_book_file_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_book_arrival")),
        sa.UniqueConstraint("sender", "claim", name=op.f("uq_book_arrival_sender_claim")),
    )  # fmt: skip
    op.create_index(
        "ix_book_arrival_unanswered", "book_arrival", ["sender"],
        postgresql_where=sa.text("answered_at IS NULL"),
    )  # fmt: skip


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=False)


def downgrade() -> None:
    """Forget what came, and keep what was made of it."""
    for table in reversed(TABLES):
        op.drop_table(table)
