"""``citybill doctor``: what is configured, reachable and behind."""

import socket
import urllib.parse
from datetime import date, datetime, timedelta
from enum import StrEnum

import redis
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from billing.files.deliveries import polls
from billing.files.delivery_models import DeliveryPoll
from billing.rules.workdays import known_through
from billing.terms import terms_of
from cli import sftp
from core.backlog import MOST
from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import Invalid
from core.settings import UtilityApi, settings
from notifications.models import Lane
from notifications.sending.claiming import find_behind
from payments.gateways import load_gateways
from payments.reconciliation.gateway.arrivals import LATE_AFTER, Asked, count_late, how_asked
from payments.reconciliation.intake.senders import POLLED
from providers.clients.loading import load_clients, spoken_by
from providers.registry import PROVIDERS, provider_codes

HOLIDAYS_AHEAD = timedelta(days=60)


class Health(StrEnum):
    """How a part is: ``SOON`` asks for something in time, and fails nothing today."""

    WELL = "[green]ok[/]"
    SOON = "[bold yellow]! [/]"
    WRONG = "[bold red]!![/]"


def examine() -> bool:
    """Print one line for each part; tells whether all are well."""
    today = billing_date(utc_now())
    findings = [
        _database(),
        _redis(),
        *_endpoints(),
        *_backlog(),
        notices(),
        autopay(),
        late_files(),
        *books(),
        sources(),
        *deliveries(),
        *calendars(today),
    ]
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
    gateways = load_gateways(chosen)
    urls = {"sandbox gateway": chosen.sandbox_url} if "sandbox" in gateways else {}
    urls |= {f"utility {code}": api.base_url for code, api in chosen.utilities.items()}
    urls |= {"mail server": f"smtp://{chosen.smtp_host}:{chosen.smtp_port}"}
    found = [_reach(name, url) for name, url in sorted(urls.items())]
    found += [_agreed(code, api) for code, api in sorted(chosen.utilities.items())]
    missing = [code for code in provider_codes() if code not in chosen.utilities]
    if missing:
        found.append(
            (Health.WRONG, "utilities", f"no live API configured for {', '.join(missing)}")
        )
    found.append((Health.WELL, "gateways", ", ".join(gateways) or "none"))
    return found


def _agreed(code: str, api: UtilityApi) -> Finding:
    """Tell how a company is spoken to and how often, or what is wrong with its declaration."""
    try:
        load_clients({code: api}, utc_now)
    except Invalid as wrong:
        return Health.WRONG, f"utility {code}", str(wrong)
    told = (
        f"speaks {spoken_by(code, api)}; {api.calls_per_second} calls a second,"
        f" {api.burst} at once; left alone for {api.seconds_to_half_open} s"
        f" after {api.failures_to_open} failures"
    )
    return Health.WELL, f"utility {code}", told


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


def notices() -> Finding:
    """Tell how many notices are due and not handed over, lane by lane, and how old the oldest is.

    What goes to a whole city at once takes its time; what somebody waits for must not.
    """
    now = utc_now()
    with transaction() as session:
        behind = find_behind(session, now=now, most=MOST)
    waited = {one.lane: now - (one.oldest_at or now) for one in behind}
    told = [
        f"{one.lane}: {one.how_many}{'+' if one.how_many == MOST else ''} due,"
        f" the oldest for {int(waited[one.lane].total_seconds())} s"
        for one in behind
    ]
    well = waited[Lane.NOW] < timedelta(minutes=1) and waited[Lane.BULK] < timedelta(hours=1)
    return _well(well), "notices", "; ".join(told)


def autopay() -> Finding:
    """Tell whether debits are behind: of an earlier day, or without an outcome for eight days.

    A bank says nothing of what it collected, so a debit may be under way for days.
    """
    with transaction() as session:
        late, stuck, today = session.execute(
            text("""
                SELECT count(*) FILTER (WHERE state IN ('announced', 'retry')
                                          AND debit_on < :today),
                       count(*) FILTER (WHERE state = 'debiting'
                                          AND state_at < :now - interval '8 days'),
                       count(*) FILTER (WHERE state IN ('announced', 'retry')
                                          AND debit_on = :today)
                FROM autopay_run WHERE state IN ('announced', 'retry', 'debiting')
            """),
            {"today": billing_date(utc_now()), "now": utc_now()},
        ).one()
    told = f"{today} debits to come today, {late} of earlier days, {stuck} without an outcome"
    return _well(late == 0 and stuck == 0), "autopay", told


def late_files() -> Finding:
    """Tell whether files of gateways and companies should have been here for hours."""
    with transaction() as session:
        late = count_late(session, now=utc_now())
    return _well(late == 0), "files", f"{late} of gateways and companies are late"


def books() -> list[Finding]:
    """Tell how files of gateways and companies come: which came last, and when the next is due."""
    now = utc_now()
    with transaction() as session:
        asked = how_asked(session, now=now)
        looked = polls(session)
    found = [_asked(one, now=now) for one in asked]
    for name, delivery in sorted(settings().book_deliveries.items()):
        told = fetched(looked.get(f"{POLLED}{name}"))
        found.append((told[0], f"books {name}", f"{told[1]}, every {delivery.every} min"))
    return found


def _asked(one: Asked, *, now: datetime) -> Finding:
    part = f"books {one.source}"
    told = "none here yet"
    if one.newest_on is not None and one.came_at is not None:
        told = f"{one.newest_on} is here, came at {one.came_at:%Y-%m-%d %H:%M} UTC"
    if one.waits_on is None or one.due_at is None:
        return Health.WELL, part, f"{told}; nothing waits, the next is of {billing_date(now)}"
    told += f"; {one.waits_on} waits, due at {one.due_at:%Y-%m-%d %H:%M} UTC"
    told += f", asked and told: {one.answer}" if one.answer else ""
    return _well(now <= one.due_at + LATE_AFTER), part, told


def fetched(poll: DeliveryPoll | None) -> tuple[Health, str]:
    """Tell how looking at somebody's own server went, and when it is looked at again."""
    if poll is None:
        return Health.WELL, "never fetched yet"
    last = poll.succeeded_at
    told = f"fetched last at {last:%Y-%m-%d %H:%M} UTC" if last else "never fetched yet"
    told += f", next at {poll.due_at:%Y-%m-%d %H:%M} UTC"
    if poll.complaint is not None:
        told += f"; {poll.failures} failures since: {poll.complaint}"
    return _well(not poll.failures), told


def sources() -> Finding:
    """Tell with whom it is agreed how they pay, and how they are reconciled."""
    told = [
        f"{code}: money within {one.within_days} days, files {one.file_days} later, fees "
        + ("not checked" if one.fee is None else f"{one.fee.fixed_fen} fen and {one.fee.rate_ppm}"
           " millionths")
        for code, one in sorted(settings().source_terms.items())
    ]  # fmt: skip
    return Health.WELL, "terms of sources", "; ".join(told) or "as usual of all: fees not checked"


def deliveries() -> list[Finding]:
    """Tell how companies' files come: what waits at our SFTP server, and how fetching went."""
    found, chosen = [], settings()
    if chosen.sftp_dir is not None:
        place = f"sftp://{chosen.sftp_host}:{chosen.sftp_port}"
        told = f"{place}, host key {sftp.our_fingerprint() or 'not made yet'}"
        found.append((_reach("SFTP server", place)[0], "SFTP server", told))
    with transaction() as session:
        looked = polls(session)
    for code in provider_codes():
        files, unfinished = sftp.waiting(code)
        if files or unfinished:
            told = f"{files} files wait, {unfinished} uploads never ended"
            found.append((Health.SOON if unfinished else Health.WELL, f"SFTP {code}", told))
        delivery = PROVIDERS[code].delivery
        if delivery is None or delivery.kind == "push":
            continue
        health, told = fetched(looked.get(code))
        found.append((health, f"fetching {code}", told))
    return found


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
