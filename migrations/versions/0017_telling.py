"""Who is told what over which channel, in whose words, and what became of it."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)


def _kept(*values: str, name: str) -> sa.Enum[Any]:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    _words()
    _notices()
    _choices()
    _digests()
    _rights()


def _words() -> None:
    op.create_table(
        "notice_template",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("form", sa.String(), nullable=False),
        sa.Column("locale", sa.String(), nullable=False),
        sa.Column("edition", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("carrier_ids", JSONB(), nullable=False),
        sa.Column(
            "state",
            _kept("draft", "proposed", "approved", "declined", "retired", name="templatestate"),
            nullable=False,
        ),
        sa.Column("made_by", sa.BigInteger(), nullable=False),
        sa.Column("made_at", moment, nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("proposed_at", moment, nullable=True),
        sa.Column("decided_by", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", moment, nullable=True),
        sa.Column("declined_because", sa.String(), nullable=True),
        sa.CheckConstraint(
            "(state IN ('approved', 'declined', 'retired')) = (decided_by IS NOT NULL)",
            name=op.f("ck_notice_template_decided"),
        ),
        sa.CheckConstraint(
            "edition IN ('plain', 'elder')", name=op.f("ck_notice_template_edition")
        ),
        sa.CheckConstraint("form IN ('letter', 'short')", name=op.f("ck_notice_template_form")),
        sa.CheckConstraint("decided_by <> made_by", name=op.f("ck_notice_template_two_people")),
        sa.ForeignKeyConstraint(
            ["decided_by"], ["person.id"], name=op.f("fk_notice_template_decided_by")
        ),
        sa.ForeignKeyConstraint(
            ["made_by"], ["person.id"], name=op.f("fk_notice_template_made_by")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_template")),
        sa.UniqueConstraint(
            "event",
            "form",
            "locale",
            "edition",
            "version",
            name=op.f("uq_notice_template_event_form_locale_edition_version"),
        ),
    )
    op.create_index(
        "ix_notice_template_approved",
        "notice_template",
        ["event", "form", "locale", "edition"],
        unique=True,
        postgresql_where=sa.text("state = 'approved'"),
    )


def _notices() -> None:
    op.add_column(
        "notice",
        sa.Column(
            "kind",
            _kept("code", "service", "commercial", name="kind"),
            server_default="service",
            nullable=False,
        ),
    )
    op.add_column(
        "notice",
        sa.Column("lane", _kept("now", "bulk", name="lane"), server_default="now", nullable=False),
    )
    op.add_column(
        "notice", sa.Column("locale", sa.String(), server_default="zh_CN", nullable=False)
    )
    op.add_column("notice", sa.Column("link", sa.String(), server_default="", nullable=False))
    op.add_column("notice", sa.Column("attachment_ref", sa.String(), nullable=True))
    op.add_column("notice", sa.Column("template_id", sa.BigInteger(), nullable=True))
    op.add_column("notice", sa.Column("template_values", JSONB(), nullable=True))
    op.add_column("notice", sa.Column("reason", sa.String(), nullable=True))
    op.add_column("notice", sa.Column("due_at", moment, nullable=True))
    op.add_column(
        "notice", sa.Column("held", _kept("chain", "quiet", "again", name="held"), nullable=True)
    )
    op.add_column("notice", sa.Column("expires_at", moment, nullable=True))
    op.add_column(
        "notice", sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False)
    )
    op.add_column("notice", sa.Column("after_id", sa.BigInteger(), nullable=True))
    op.add_column("notice", sa.Column("wait_seconds", sa.Integer(), nullable=True))
    op.add_column("notice", sa.Column("answer_by_at", moment, nullable=True))
    op.add_column("notice", sa.Column("carrier", sa.String(), nullable=True))
    op.add_column("notice", sa.Column("carrier_ref", sa.String(), nullable=True))
    op.add_column("notice", sa.Column("accepted_at", moment, nullable=True))
    op.add_column("notice", sa.Column("delivered_at", moment, nullable=True))
    op.create_index(
        "ix_notice_after", "notice", ["after_id"], postgresql_where=sa.text("after_id IS NOT NULL")
    )
    op.create_index(
        "ix_notice_answer_by",
        "notice",
        ["answer_by_at"],
        postgresql_where=sa.text("state = 'accepted' AND answer_by_at IS NOT NULL"),
    )
    op.create_index(
        "ix_notice_carrier",
        "notice",
        ["carrier", "carrier_ref"],
        postgresql_where=sa.text("carrier_ref IS NOT NULL"),
    )
    op.create_index("ix_notice_created_at", "notice", ["created_at", "id"])
    op.create_index(
        "ix_notice_failed",
        "notice",
        ["state_at"],
        postgresql_where=sa.text("state = 'failed'"),
    )
    op.create_index(
        "ix_notice_unread",
        "notice",
        ["person_id"],
        postgresql_where=sa.text("channel = 'inbox' AND read_at IS NULL"),
    )
    op.create_index(
        "ix_notice_due",
        "notice",
        ["lane", "due_at", "id"],
        postgresql_where=sa.text("state = 'created' AND due_at IS NOT NULL"),
    )
    op.create_foreign_key(
        op.f("fk_notice_template_id"), "notice", "notice_template", ["template_id"], ["id"]
    )
    op.create_foreign_key(op.f("fk_notice_after_id"), "notice", "notice", ["after_id"], ["id"])
    _states("created", "accepted", "delivered", "read", "failed", "dropped")
    op.execute(
        "ALTER TABLE notice_again RENAME CONSTRAINT ck_notice_again_noticestate TO ck_notice_again_againstate"
    )
    # What was on its way is due now; the row is the job from here on.
    op.execute("UPDATE notice SET due_at = state_at WHERE state = 'created'")
    op.execute(
        "UPDATE notice SET accepted_at = state_at, carrier = channel WHERE state = 'accepted'"
    )
    op.execute("DELETE FROM job WHERE task = 'notices.deliver'")
    op.execute(
        "UPDATE outbox_event SET relayed_at = emitted_at WHERE topic = 'notice.created' AND relayed_at IS NULL"
    )
    op.create_check_constraint(
        op.f("ck_notice_due_or_behind_another"),
        "notice",
        "state <> 'created' OR (due_at IS NULL) = (held IS NOT DISTINCT FROM 'chain')",
    )


def _states(*states: str) -> None:
    op.drop_constraint(op.f("ck_notice_noticestate"), "notice")
    known = ", ".join(f"'{state}'" for state in states)
    op.create_check_constraint(op.f("ck_notice_noticestate"), "notice", f"state IN ({known})")


def _choices() -> None:
    op.create_table(
        "contact_point",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("address_hash", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("made_at", moment, nullable=False),
        sa.Column("gone_at", moment, nullable=True),
        sa.Column("gone_reason", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_contact_point_person_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact_point")),
    )
    op.create_index(
        "ix_contact_point_live",
        "contact_point",
        ["channel", "address_hash"],
        unique=True,
        postgresql_where=sa.text("gone_at IS NULL"),
    )
    op.create_index("ix_contact_point_person_id", "contact_point", ["person_id", "channel"])
    op.create_table(
        "notice_choice",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("household_id", sa.BigInteger(), nullable=True),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("channels", sa.ARRAY(sa.String()), nullable=False),
        sa.Column("chosen_at", moment, nullable=False),
        sa.ForeignKeyConstraint(
            ["household_id"], ["household.id"], name=op.f("fk_notice_choice_household_id")
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_notice_choice_person_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_choice")),
        sa.UniqueConstraint(
            "person_id",
            "household_id",
            "subject",
            name=op.f("uq_notice_choice_person_id_household_id_subject"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_table(
        "notice_settings",
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("quiet_from", sa.Time(), nullable=True),
        sa.Column("quiet_until", sa.Time(), nullable=True),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("digest", sa.Boolean(), nullable=False),
        sa.Column("elder", sa.Boolean(), nullable=False),
        sa.Column("texts_per_day", sa.SmallInteger(), nullable=False),
        sa.Column("changed_at", moment, nullable=False),
        sa.CheckConstraint(
            "(quiet_from IS NULL) = (quiet_until IS NULL)",
            name=op.f("ck_notice_settings_quiet_is_whole"),
        ),
        sa.CheckConstraint("quiet_from <> quiet_until", name=op.f("ck_notice_settings_quiet_ends")),
        sa.CheckConstraint(
            "texts_per_day BETWEEN 1 AND 20", name=op.f("ck_notice_settings_texts_per_day")
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_notice_settings_person_id")
        ),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_notice_settings")),
    )
    op.create_table(
        "consent",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.String(), nullable=True),
        sa.Column("given", sa.Boolean(), nullable=False),
        sa.Column(
            "source",
            _kept("page", "one_click", "text_reply", "staff", name="consentsource"),
            nullable=False,
        ),
        sa.Column("proof", sa.String(), nullable=False),
        sa.Column("said_at", moment, nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_consent_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent")),
    )
    op.create_index("ix_consent_person_id", "consent", ["person_id", "id"])
    op.create_table(
        "wechat_permit",
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("template_id", sa.String(), nullable=False),
        sa.Column("left_count", sa.Integer(), nullable=False),
        sa.Column("long_term", sa.Boolean(), nullable=False),
        sa.Column("granted_at", moment, nullable=False),
        sa.CheckConstraint("left_count >= 0", name=op.f("ck_wechat_permit_never_over_used")),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_wechat_permit_person_id")
        ),
        sa.PrimaryKeyConstraint("person_id", "template_id", name=op.f("pk_wechat_permit")),
    )


def _digests() -> None:
    op.create_table(
        "digest",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("household_id", sa.BigInteger(), nullable=True),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("flush_at", moment, nullable=False),
        sa.Column("flushed_at", moment, nullable=True),
        sa.ForeignKeyConstraint(
            ["household_id"], ["household.id"], name=op.f("fk_digest_household_id")
        ),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_digest_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_digest")),
    )
    op.create_index(
        "ix_digest_flush_at", "digest", ["flush_at"], postgresql_where=sa.text("flushed_at IS NULL")
    )
    op.create_index(
        "ix_digest_open",
        "digest",
        ["person_id", "household_id", "event"],
        unique=True,
        postgresql_where=sa.text("flushed_at IS NULL"),
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "digest_entry",
        sa.Column("digest_id", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subject_ref", sa.String(), nullable=False),
        sa.Column("facts", JSONB(), nullable=False),
        sa.Column("entered_at", moment, nullable=False),
        sa.Column("left_reason", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["digest_id"], ["digest.id"], name=op.f("fk_digest_entry_digest_id")
        ),
        sa.PrimaryKeyConstraint("event", "person_id", "subject_ref", name=op.f("pk_digest_entry")),
    )
    op.create_index("ix_digest_entry_digest_id", "digest_entry", ["digest_id"])


CHANGED = "notice_template, contact_point, notice_choice, notice_settings, wechat_permit, digest, digest_entry"


def _rights() -> None:
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {CHANGED} TO citybill_app")
    op.execute("GRANT SELECT, INSERT ON consent TO citybill_app")


def downgrade() -> None:
    for table in (
        "digest_entry",
        "digest",
        "wechat_permit",
        "consent",
        "notice_settings",
        "notice_choice",
        "contact_point",
    ):
        op.drop_table(table)
    op.drop_constraint(op.f("ck_notice_due_or_behind_another"), "notice")
    op.execute(
        "ALTER TABLE notice_again RENAME CONSTRAINT ck_notice_again_againstate TO ck_notice_again_noticestate"
    )
    op.execute(
        "UPDATE notice SET state = CASE WHEN state IN ('delivered', 'read') THEN 'accepted' ELSE 'failed' END WHERE state IN ('delivered', 'read', 'dropped')"
    )
    _states("created", "accepted", "failed")
    for index in (
        "ix_notice_after",
        "ix_notice_answer_by",
        "ix_notice_carrier",
        "ix_notice_created_at",
        "ix_notice_due",
        "ix_notice_failed",
        "ix_notice_unread",
    ):
        op.drop_index(index, "notice")
    for column in (
        "kind",
        "lane",
        "locale",
        "link",
        "attachment_ref",
        "template_id",
        "template_values",
        "reason",
        "due_at",
        "held",
        "expires_at",
        "attempts",
        "after_id",
        "wait_seconds",
        "answer_by_at",
        "carrier",
        "carrier_ref",
        "accepted_at",
        "delivered_at",
    ):
        op.drop_column("notice", column)
    op.drop_table("notice_template")
