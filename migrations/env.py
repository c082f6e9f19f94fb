"""Alembic's environment: every room's tables, one history, timeouts on."""

import re
from typing import Any

from alembic import context
from sqlalchemy import NullPool, create_engine, text
from sqlmodel import SQLModel

import billing.cycles
import billing.documents.batches
import billing.files.delivery_models
import billing.files.resending
import billing.files.webhooks
import billing.homes.challenges
import billing.homes.invitations
import billing.homes.models
import billing.homes.pay_grants
import billing.late_fees
import billing.ledger.models
import billing.models
import billing.paper_uploads
import billing.papers
import billing.readings
import billing.terms
import billing.usage.models
import core.jobs
import core.outbox
import identity.audit
import identity.calendar_links
import identity.company_logins
import identity.duties
import identity.leaving
import identity.looking
import identity.models
import identity.televisions
import notifications.alerts
import notifications.choice.models
import notifications.models
import notifications.sending.models
import payments.attempts
import payments.autopay.collection_models
import payments.autopay.models
import payments.counter.models
import payments.models
import payments.reconciliation.bank.models
import payments.reconciliation.closing.models
import payments.reconciliation.company.models
import payments.reconciliation.intake.models
import payments.reconciliation.models
import payments.reconciliation.repair.models
import payments.remittance.models
import payments.returns.models
import payments.takings
import support.models
from core.db import sqlalchemy_url
from core.settings import settings

# Imported for the tables they declare.
ROOMS = (
    core.outbox,
    core.jobs,
    identity.models,
    identity.televisions,
    identity.audit,
    identity.company_logins,
    identity.duties,
    identity.looking,
    identity.leaving,
    billing.models,
    billing.papers,
    billing.readings,
    billing.homes.models,
    billing.homes.invitations,
    billing.cycles,
    billing.late_fees,
    billing.homes.pay_grants,
    billing.homes.challenges,
    billing.ledger.models,
    billing.files.delivery_models,
    billing.terms,
    billing.usage.models,
    billing.files.resending,
    billing.files.webhooks,
    payments.models,
    payments.reconciliation.models,
    payments.reconciliation.company.models,
    payments.reconciliation.intake.models,
    payments.reconciliation.bank.models,
    payments.reconciliation.closing.models,
    payments.reconciliation.repair.models,
    payments.attempts,
    payments.autopay.models,
    payments.autopay.collection_models,
    payments.counter.models,
    payments.remittance.models,
    payments.returns.models,
    notifications.models,
    notifications.alerts,
    notifications.choice.models,
    notifications.sending.models,
    support.models,
)

_PARTITION = re.compile(r"_y[0-9]{4}m[0-9]{2}$")


def ours(thing: Any, name: str | None, kind: str, _reflected: bool, _other: Any) -> bool:
    """Leave out partitions, made by the month and not by hand, and what PostgreSQL hangs on them."""
    if kind == "foreign_key_constraint":
        return not _PARTITION.search(thing.referred_table.name)
    return not (kind == "table" and name is not None and _PARTITION.search(name))


def run() -> None:
    url = context.config.attributes.get("database_url") or settings().database_url
    engine = create_engine(sqlalchemy_url(url), poolclass=NullPool)  # closed also when it fails
    with engine.connect() as connection:
        connection.execute(text("SET lock_timeout = '5s'"))
        connection.execute(text("SET statement_timeout = '15min'"))
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=SQLModel.metadata,
            include_object=ours,
            compare_server_default=True,
        )
        with context.begin_transaction():
            context.run_migrations()


run()
