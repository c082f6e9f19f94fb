"""Alembic's environment: every room's tables, one history, timeouts on."""

import re
from typing import Any

from alembic import context
from sqlalchemy import NullPool, create_engine, text
from sqlmodel import SQLModel

import billing.challenges
import billing.delivery_models
import billing.ledger_models
import billing.models
import billing.pay_grants
import billing.resending
import billing.terms
import billing.webhooks
import core.jobs
import core.outbox
import identity.company_logins
import identity.models
import notifications.models
import payments.attempts
import payments.autopay.collection_models
import payments.autopay.models
import payments.counter.models
import payments.models
import payments.reconciliation.bank_models
import payments.reconciliation.company_models
import payments.reconciliation.models
import payments.reconciliation.repair_models
import payments.returns.models
from core.db import sqlalchemy_url
from core.settings import settings

# Imported for the tables they declare.
ROOMS = (
    core.outbox,
    core.jobs,
    identity.models,
    identity.company_logins,
    billing.models,
    billing.pay_grants,
    billing.challenges,
    billing.ledger_models,
    billing.delivery_models,
    billing.terms,
    billing.resending,
    billing.webhooks,
    payments.models,
    payments.reconciliation.models,
    payments.reconciliation.company_models,
    payments.reconciliation.bank_models,
    payments.reconciliation.repair_models,
    payments.attempts,
    payments.autopay.models,
    payments.autopay.collection_models,
    payments.counter.models,
    payments.returns.models,
    notifications.models,
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
