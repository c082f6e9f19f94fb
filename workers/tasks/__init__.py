"""Every job there is, by noun; importing this package registers them all."""

from celery.signals import worker_init

from core.garbage import spare_what_stays
from workers import lanes
from workers.start import start
from workers.tasks import (
    autopay,
    bills,
    collections,
    deliveries,
    documents,
    homes,
    notices,
    payments,
    reconciliation,
    remittance,
    telling,
    upkeep,
    usage,
)

__all__ = [
    "autopay", "bills", "collections", "deliveries", "documents", "homes", "lanes", "notices",
    "payments", "reconciliation", "remittance", "telling", "upkeep", "usage",
]  # fmt: skip


@worker_init.connect
def _connect(**_: object) -> None:
    start()
    spare_what_stays()
