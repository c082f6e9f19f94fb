"""Every job there is, by noun; importing this package registers them all."""

from celery.signals import worker_init

from workers.start import start
from workers.tasks import bills, deliveries, notices, payments, upkeep

__all__ = ["bills", "deliveries", "notices", "payments", "upkeep"]


@worker_init.connect
def _connect(**_: object) -> None:
    start()
