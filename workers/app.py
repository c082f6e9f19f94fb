"""The Celery application: queues by purpose, and nothing that must not be lost in Redis.

A task carries the id of a job row. Redis may be flushed at any moment: the row is the job, and
``workers.scheduler`` rings again for what was not done.
"""

from enum import StrEnum

from celery import Celery

from core.settings import settings


class Queue(StrEnum):
    BILLS = "bills"  # files to import: long
    PAYMENTS = "payments"  # somebody waits for these
    NOTICES = "notices"
    BULK = "bulk"  # notices nobody waits for, by the hundred thousand
    UPKEEP = "upkeep"


def broker_url(redis_url: str) -> str:
    """Return a Redis URL as Celery writes it: a unix socket is ``redis+socket://``."""
    if redis_url.startswith("unix://"):
        return f"redis+socket://{redis_url.removeprefix('unix://')}"
    return redis_url


def bell(queue: Queue) -> str:
    """Return the name of the one task of a queue: run these jobs."""
    return f"{queue}.jobs"


celery = Celery("citybill", broker=broker_url(settings().redis_url))
celery.conf.update(
    imports=["workers.tasks"],
    task_routes={f"{queue}.*": {"queue": queue} for queue in Queue},
    task_default_queue=Queue.UPKEEP,
    task_ignore_result=True,
    # Not processes by fork: polars, which reads bill files, has threads of its own from the moment
    # it is imported, and in a fork of its process it waits for them for ever.
    worker_pool="threads",
    task_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,  # our log lines go out as they are, not as lines of Celery's log
    broker_connection_retry_on_startup=True,
    # A Redis that accepts and never answers would hang a publisher for ever: two seconds, once.
    broker_transport_options={
        "socket_timeout": 2,
        "socket_connect_timeout": 2,
        "retry_policy": {"timeout": 2.0},
    },
    task_publish_retry=False,
)
