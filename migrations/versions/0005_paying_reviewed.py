"""What a review of paying found missing: rules that held in code alone, and indexes."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_REASONS = (
    "over_cap", "not_fixed", "first_bill", "too_late", "enrolled_late", "not_taken", "paid",
    "cancelled", "superseded", "changed", "paused", "ended", "not_allowed", "short_of_funds",
    "no_answer", "returned")  # fmt: skip
_REASONS_BEFORE = tuple("refused" if one == "no_answer" else one for one in _REASONS)
_RUNS = "state IN ('planned', 'announced', 'retry')"
# name, table, columns, where, unique
_INDEXES = (
    ("ix_receipt_suspended", "receipt", ["received_at"], "state = 'suspended'", False),
    ("ix_payment_to_collect", "payment", ["gateway"],
     "status = 'open' AND mandate_ref IS NOT NULL", False),
    ("ix_collection_entry_waiting", "collection_entry", ["batch_id", "order_no"],
     "state = 'waiting'", False),
    ("ix_autopay_run_tell_on", "autopay_run", ["tell_on", "id"], "state = 'planned'", False),
    ("ix_autopay_run_payment", "autopay_run", ["payment_id"], "payment_id IS NOT NULL", True),
    ("ix_autopay_run_waiting", "autopay_run", ["account_id", "bill_id"], _RUNS, False),
    ("ix_autopay_run_tried", "autopay_run", ["payment_id"], "state IN ('debiting', 'retry')", False),
    ("ix_autopay_run_ended", "autopay_run", ["state_at"],
     "state IN ('skipped', 'failed') AND payment_id IS NOT NULL", False),
)  # fmt: skip
_REPLACED = (
    ("ix_collection_entry_batch_id", "collection_entry", ["batch_id"], None, False),
    ("ix_autopay_run_tell_on", "autopay_run", ["tell_on"], "state = 'planned'", False),
    ("ix_autopay_run_payment", "autopay_run", ["payment_id"],
     "payment_id IS NOT NULL AND state <> 'done'", False),
)  # fmt: skip
_RULES = (
    ("counter_payment", "no_bill_says_why", "(state = 'booked') = (reason IS NULL)"),
    ("counter_payment", "received_via", "received_via IN ('api', 'file')"),
    ("collection_batch", "refusal_says_why", "state <> 'refused' OR complaint IS NOT NULL"),
)


def upgrade() -> None:
    op.execute(
        "UPDATE counter_payment"
        " SET reason = CASE WHEN state <> 'booked' THEN 'amount' END"
        " WHERE (state = 'booked') <> (reason IS NULL)"
    )
    op.execute(
        "UPDATE collection_batch SET complaint = 'refused'"
        " WHERE state = 'refused' AND complaint IS NULL"
    )
    for table, name, rule in _RULES:
        op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)
    _know_reasons(_REASONS, ("refused", "no_answer"))
    _drop(_REPLACED)
    _make(_INDEXES)


def downgrade() -> None:
    _drop(_INDEXES)
    _make(_REPLACED)
    _know_reasons(_REASONS_BEFORE, ("no_answer", "refused"))
    for table, name, _ in reversed(_RULES):
        op.drop_constraint(f"ck_{table}_{name}", table)


def _know_reasons(reasons: tuple[str, ...], renamed: tuple[str, str]) -> None:
    op.drop_constraint("ck_autopay_run_notpaid", "autopay_run")
    before, after = renamed
    op.execute(f"UPDATE autopay_run SET reason = '{after}' WHERE reason = '{before}'")
    op.create_check_constraint(
        op.f("ck_autopay_run_notpaid"), "autopay_run", f"reason IN {reasons}"
    )


def _drop(indexes: tuple[tuple[str, str, list[str], str | None, bool], ...]) -> None:
    for name, table, _columns, _where, _unique in indexes:
        op.drop_index(name, table)


def _make(indexes: tuple[tuple[str, str, list[str], str | None, bool], ...]) -> None:
    for name, table, columns, where, unique in indexes:
        op.create_index(
            name, table, columns, unique=unique, postgresql_where=where and sa.text(where)
        )
