"""Every job there is, by noun; importing this package registers them all."""

from celery.signals import worker_init

from workers.start import start
from workers.tasks import (
    autopay,
    bills,
    collections,
    deliveries,
    notices,
    payments,
    reconciliation,
    upkeep,
)

__all__ = [
    "autopay", "bills", "collections", "deliveries", "notices", "payments", "reconciliation",
    "upkeep",
]  # fmt: skip


@worker_init.connect
def _connect(**_: object) -> None:
    start()
