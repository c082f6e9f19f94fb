"""Leave given once: mandates, and what was done by them."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _agree_once()


def _agree_once() -> None:
    """Make mandates, and what becomes of each bill under one."""
    moment = sa.DateTime(timezone=True)
    op.add_column("payment", sa.Column("mandate_ref", sa.String(), nullable=True))
    op.create_index(
        "ix_payment_to_collect",
        "payment",
        ["gateway"],
        postgresql_where=sa.text("status = 'open' AND mandate_ref IS NOT NULL"),
    )
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
    "no_answer", "returned",
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
        ("tell_on", ["tell_on", "id"], "state = 'planned'"),
        ("debit_on", ["debit_on"], "state IN ('announced', 'retry')"),
        ("bill", ["account_id", "bill_id"], None),
        ("payment", ["payment_id"], "payment_id IS NOT NULL"),
        ("waiting", ["account_id", "bill_id"], "state IN ('planned', 'announced', 'retry')"),
        ("tried", ["payment_id"], "state IN ('debiting', 'retry')"),
        ("ended", ["state_at"], "state IN ('skipped', 'failed') AND payment_id IS NOT NULL"),
    ):
        op.create_index(
            f"ix_autopay_run_{name}", "autopay_run", columns, unique=name == "payment",
            postgresql_where=sa.text(where) if where else None,
        )  # fmt: skip


def _forget_mandates() -> None:
    op.drop_table("autopay_run")
    op.drop_table("mandate")
    op.execute("DROP SEQUENCE mandate_no")
    op.drop_column("payment", "mandate_ref")


def downgrade() -> None:
    _forget_mandates()
