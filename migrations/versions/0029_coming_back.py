"""Homes that come back to an account see their earlier bills; tenants, theirs from the first day."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

_STAYED = ("household_account", "removed_account", "account_departure")
_INVITED = ("household_member", "home_invitation")

# Of who has left: since when they saw bills. Where the home has the account no more, or has come
# back, since the last day of whoever left before: a home that comes begins there.
_SINCE = """
    UPDATE account_departure d SET since_on = coalesce(
        (SELECT h.since_on FROM household_account h
         WHERE h.account_id = d.account_id AND h.household_id = d.household_id
           AND h.left_on = d.left_on),
        (SELECT max(o.left_on) FROM account_departure o
         WHERE o.account_id = d.account_id AND o.left_on < d.left_on))
"""
_CAME_BACK = """
    UPDATE household_account h
    SET earlier = datemultirange(daterange(d.since_on, d.left_on, '(]'))
    FROM account_departure d
    WHERE d.account_id = h.account_id AND d.household_id = h.household_id
      AND h.since_on >= d.left_on AND (h.left_on IS NULL OR h.left_on > d.left_on)
"""


def upgrade() -> None:
    for table in _STAYED:
        op.add_column(
            table,
            sa.Column(
                "earlier", postgresql.DATEMULTIRANGE(), nullable=False, server_default="{}"
            ),
        )  # fmt: skip
    op.add_column("account_departure", sa.Column("since_on", sa.Date(), nullable=True))
    op.execute(_SINCE)
    op.execute(_CAME_BACK)
    for table in _INVITED:
        op.add_column(
            table,
            sa.Column("earlier_bills", sa.Boolean(), nullable=False, server_default=sa.true()),
        )
        op.create_check_constraint(
            op.f(f"ck_{table}_earlier_until"), table, "earlier_bills OR from_on IS NOT NULL"
        )


def downgrade() -> None:
    for table in _INVITED:
        op.drop_constraint(op.f(f"ck_{table}_earlier_until"), table)
        op.drop_column(table, "earlier_bills")
    op.drop_column("account_departure", "since_on")
    for table in _STAYED:
        op.drop_column(table, "earlier")
