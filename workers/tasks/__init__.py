"""Every job there is, by noun; importing this package registers them all."""

from celery.signals import worker_process_init

from workers.start import start
from workers.tasks import bills, notices, payments, upkeep

__all__ = ["bills", "notices", "payments", "upkeep"]


@worker_process_init.connect
def _connect(**_: object) -> None:
    start()
