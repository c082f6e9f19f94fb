"""Celery with nothing to do: what its queue alone costs on this machine."""

import os

from celery import Celery

from workers.app import broker_url

celery = Celery("noop", broker=broker_url(os.environ.get("CITYBILL_REDIS_URL", "")))
celery.conf.update(
    task_ignore_result=True, worker_pool="threads", task_default_queue="noop",
    broker_connection_retry_on_startup=True, worker_hijack_root_logger=False,
)  # fmt: skip


@celery.task(name="noop")
def noop(_row: int) -> None:
    """Do nothing with a row's id."""
