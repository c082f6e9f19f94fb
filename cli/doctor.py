"""``citybill doctor``: what is configured, reachable and behind."""

import socket
import urllib.parse
from datetime import date, timedelta
from enum import StrEnum

import redis
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from billing.rules.workdays import known_through
from billing.terms import terms_of
from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import Invalid
from core.settings import settings
from payments.gateways import load_gateways
from providers.registry import provider_codes

HOLIDAYS_AHEAD = timedelta(days=60)


class Health(StrEnum):
    """How a part is: ``SOON`` asks for something in time, and fails nothing today."""

    WELL = "[green]ok[/]"
    SOON = "[bold yellow]! [/]"
    WRONG = "[bold red]!![/]"


def examine() -> bool:
    """Print one line for each part; tells whether all are well."""
    today = billing_date(utc_now())
    findings = [_database(), _redis(), *_endpoints(), *_backlog(), *calendars(today)]
    table = Table("", "part", "finding", box=None)
    for health, part, finding in findings:
        table.add_row(health.value, part, finding)
    Console().print(table)
    return all(health is not Health.WRONG for health, _, _ in findings)


Finding = tuple[Health, str, str]


def _well(ok: bool) -> Health:
    return Health.WELL if ok else Health.WRONG


def _database() -> Finding:
    with transaction() as session:
        version = session.execute(text("SHOW server_version")).scalar_one()
        revision = session.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    return Health.WELL, "PostgreSQL", f"{version}, schema {revision}"


def _redis() -> Finding:
    client = redis.Redis.from_url(settings().redis_url, socket_timeout=2, socket_connect_timeout=2)
    try:
        policy = str(client.info("memory").get("maxmemory_policy"))
    except redis.exceptions.RedisError as away:
        return Health.WRONG, "Redis", f"cannot be reached: {away}; work waits, nothing is lost"
    return _well(policy == "noeviction"), "Redis", f"eviction {policy} (must be noeviction)"


def _endpoints() -> list[Finding]:
    chosen = settings()
    urls = {"sandbox gateway": chosen.sandbox_url}
    urls |= {f"utility {code}": api.base_url for code, api in chosen.utilities.items()}
    urls |= {"mail server": f"smtp://{chosen.smtp_host}:{chosen.smtp_port}"}
    found = [_reach(name, url) for name, url in sorted(urls.items())]
    missing = [code for code in provider_codes() if code not in chosen.utilities]
    if missing:
        found.append(
            (Health.WRONG, "utilities", f"no live API configured for {', '.join(missing)}")
        )
    found.append((Health.WELL, "gateways", ", ".join(load_gateways(chosen)) or "none"))
    return found


def _reach(name: str, url: str) -> Finding:
    parts = urllib.parse.urlsplit(url)
    if parts.hostname is None:
        raise Invalid(f"{name}: {url!r} is not an address")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname, port), timeout=2).close()
    except OSError as away:
        return Health.WRONG, name, f"{url} cannot be reached: {away}"
    return Health.WELL, name, url


def _backlog() -> list[Finding]:
    with transaction() as session:
        row = session.execute(
            text("""
                SELECT (SELECT count(*) FROM outbox_event WHERE relayed_at IS NULL),
                       count(*) FILTER (WHERE state IN ('waiting', 'running') AND due_at < now()),
                       count(*) FILTER (WHERE state = 'dead'),
                       coalesce(extract(epoch FROM now() - min(due_at) FILTER (
                           WHERE state = 'waiting' AND due_at < now())), 0)::int
                FROM job
            """)
        ).one()
    events, due, dead, oldest_seconds = row
    return [
        (_well(oldest_seconds < 60), "jobs", f"{due} due, the oldest for {oldest_seconds} s"),
        (_well(events < 1000), "outbox", f"{events} events waiting"),
        (_well(dead == 0), "dead jobs", f"{dead} gave up and wait for a person"),
    ]


def calendars(today: date) -> list[Finding]:
    """Tell how far the holidays are known that companies' due dates are reckoned by."""
    with transaction() as session:
        terms = terms_of(session, provider_codes(), today)
    found = []
    for name in sorted({one.due.calendar for one in terms.values()}):
        last = known_through(name)
        told = f"working days known through {last}"
        health = Health.WELL if last - today > HOLIDAYS_AHEAD else Health.SOON
        if health is Health.SOON:
            told += "; when next year's holidays are published, upgrade the package holidays"
        found.append((health if last > today else Health.WRONG, f"calendar {name}", told))
    return found
