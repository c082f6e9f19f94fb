"""Secret links by which calendar programs read somebody's calendar; papers, printed and sent."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _links()
    _batches_of_files()
    _uploads()


def _batches_of_files() -> None:
    op.add_column("document_batch", sa.Column("bill_file_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(
        op.f("fk_document_batch_bill_file_id"), "document_batch", "bill_file", ["bill_file_id"],
        ["id"],
    )  # fmt: skip
    op.create_check_constraint(
        op.f("ck_document_batch_file_of_bills"), "document_batch",
        "bill_file_id IS NULL OR kind = 'bills'",
    )  # fmt: skip
    op.alter_column("document_batch", "ordered_by", nullable=True)
    _be_once("kind", "provider_code", "month", "bill_file_id")


def _be_once(*columns: str) -> None:
    op.drop_index("uq_document_batch_live", "document_batch")
    op.create_index(
        "uq_document_batch_live", "document_batch", columns, unique=True,
        postgresql_where=sa.text("state IN ('ordered', 'making')"),
        postgresql_nulls_not_distinct=True,
    )  # fmt: skip


def _links() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "calendar_link",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("locale", sa.String(), nullable=False),
        sa.Column("shows_amounts", sa.Boolean(), nullable=False),
        sa.Column("made_at", moment, nullable=False),
        sa.Column("last_read_at", moment, nullable=True),
        sa.Column("ended_at", moment, nullable=True),
        sa.Column("counted_from_at", moment, nullable=True),
        sa.Column("reads", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "token_hash ~ '^[0-9a-f]{64}$'", name=op.f("ck_calendar_link_hash_whole")
        ),
        sa.CheckConstraint(
            "last_read_at >= made_at", name=op.f("ck_calendar_link_read_after_made")
        ),
        sa.CheckConstraint("ended_at >= made_at", name=op.f("ck_calendar_link_ended_after_made")),
        sa.CheckConstraint("reads >= 0", name=op.f("ck_calendar_link_reads_counted")),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_calendar_link_person_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calendar_link")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_calendar_link_token_hash")),
    )
    op.create_index(
        "ix_calendar_link_live", "calendar_link", ["person_id"],
        postgresql_where=sa.text("ended_at IS NULL"),
    )  # fmt: skip
    op.create_table(
        "calendar_miss",
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("hour_at", moment, nullable=False),
        sa.Column("misses", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("client", "hour_at", name=op.f("pk_calendar_miss")),
    )
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON calendar_link, calendar_miss TO citybill_app"
    )


def _uploads() -> None:
    op.create_table(
        "paper_upload",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("provider_code", sa.String(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("sent_by", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "extract(day FROM month) = 1", name=op.f("ck_paper_upload_month_begins")
        ),
        sa.ForeignKeyConstraint(["sent_by"], ["person.id"], name=op.f("fk_paper_upload_sent_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paper_upload")),
    )
    op.create_index("ix_paper_upload_of_company", "paper_upload", ["provider_code", "id"])
    outcomes = ("kept", "replaced", "there", "refused")
    op.create_table(
        "paper_upload_file",
        sa.Column("upload_id", sa.BigInteger(), nullable=False),
        sa.Column("no", sa.Integer(), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("bill_no", sa.String(), nullable=False),
        sa.Column(
            "outcome",
            sa.Enum(
                *outcomes, name="outcome", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
        ),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.CheckConstraint(
            "(outcome = 'refused') = (code <> '')", name=op.f("ck_paper_upload_file_refusal_says")
        ),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["paper_upload.id"], name=op.f("fk_paper_upload_file_upload_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("upload_id", "no", name=op.f("pk_paper_upload_file")),
    )  # fmt: skip
    op.create_index("ix_paper_upload_file_bill_no", "paper_upload_file", ["bill_no", "upload_id"])
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON paper_upload, paper_upload_file TO citybill_app"
    )


def downgrade() -> None:
    op.drop_table("paper_upload_file")
    op.drop_table("paper_upload")
    op.execute(
        "DELETE FROM document_share WHERE batch_id IN (SELECT id FROM document_batch"
        " WHERE bill_file_id IS NOT NULL OR ordered_by IS NULL)"
    )
    op.execute("DELETE FROM document_batch WHERE bill_file_id IS NOT NULL OR ordered_by IS NULL")
    _be_once("kind", "provider_code", "month")
    op.alter_column("document_batch", "ordered_by", nullable=False)
    op.drop_column("document_batch", "bill_file_id")
    op.drop_table("calendar_miss")
    op.drop_table("calendar_link")
