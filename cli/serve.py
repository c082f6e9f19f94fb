"""``citybill serve``: everything a town needs, on one machine, until Ctrl-C."""

import fcntl
import json
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from cli import demo
from cli.connect import CHECKOUT, data_dir, note_settings, use
from cli.demo_alipay import alipay
from cli.demo_counters import counters, open_shop, shop_file
from cli.demo_push import push
from cli.demo_remittances import paying_account
from cli.demo_unionpay import unionpay
from cli.demo_wechatpay import far_side_file, wechatpay
from cli.migrations import migrate
from cli.processes import Family
from cli.servers import ServerError, Servers
from core import db, log
from core.clock import billing_date, utc_now
from core.settings import DEMO_SECRET, settings
from identity.host_key import host_key

DEFAULT_PORT = 8000
COMPANIES = ("water", "power", "gas", "telecom")  # simulated; each its own process
PORTS = 4 + len(COMPANIES)  # the web, the far side, its mail, each company, our SFTP
_PATHS = {"power": "/epay", "telecom": "/open"}  # of their APIs: docs/wire
# Each process, the queues it hears and its threads; a test compares them with workers.app.Queue.
WORKERS = (
    ("worker", "payments,notices,upkeep", 3),
    ("bulk", "bills,bulk", 4),  # files and cities: whatever it is full of, nobody waits behind it
)
READY_SECONDS = 60
console = Console(stderr=True, highlight=False)


def serve(*, demo_city: bool, port: int | None) -> None:
    """Start, tell where things are, and stop everything that was started.

    Raises:
        ServerError: a port is in use, this checkout runs already, or a part does not come up.
    """
    log.configure(as_json=settings().log_json)
    with ExitStack() as stack:
        folder = data_dir()
        if not settings().database_url:
            servers = Servers(folder)
            servers.prepare()
            stack.enter_context(_only_one(folder / "serve.lock"))
            port = _choose_port(port)
            stack.enter_context(servers)
            use(servers)
        else:
            port = _choose_port(port)
            migrate(
                settings().owner_database_url or settings().database_url,
                today=billing_date(utc_now()),
            )
        _configure_children(folder, port, demo_city=demo_city)
        stack.enter_context(note_settings(folder))
        if demo_city:
            demo.seed_once(folder, now=utc_now())
            secret_key = settings().secret_key.get_secret_value()
            city_url = f"http://127.0.0.1:{port}"
            open_shop(folder, city_url, secret_key=secret_key, now=utc_now())
        db.hang_up()
        family = Family(CHECKOUT)
        stack.callback(family.stop)
        _start(family, folder, port, demo_city=demo_city)
        _wait_until_ready(family, port)
        _tell(port, folder, demo_city=demo_city)
        died = family.watch()
        console.print("\nstopping …")
    if died is not None:
        raise ServerError(f"{died} has stopped by itself, so everything was stopped: see above")
    console.print("stopped; the data is kept")


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ServerError(
                "CityBill is running from this checkout already: use that one, or stop it first"
            ) from None
        yield


def _choose_port(wanted: int | None) -> int:
    """Return a free port with free ones after it; one that was asked for stays as it is."""
    if wanted is not None:
        busy = next((one for one in range(wanted, wanted + PORTS) if not _is_free(one)), None)
        if busy is not None:
            raise ServerError(f"port {busy} is in use: stop what uses it, or choose another --port")
        return wanted
    for candidate in range(DEFAULT_PORT, DEFAULT_PORT + 200, 10):
        if all(_is_free(one) for one in range(candidate, candidate + PORTS)):
            if candidate != DEFAULT_PORT:
                console.print(f"port {DEFAULT_PORT} is in use, so this one takes {candidate}")
            return candidate
    raise ServerError("no port between 8000 and 8200 is free: choose one with --port")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _configure_children(folder: Path, port: int, *, demo_city: bool) -> None:
    """Put into the environment what web and workers read as their settings."""
    os.environ.setdefault("CITYBILL_PUBLIC_URL", f"http://127.0.0.1:{port}")
    os.environ.setdefault("CITYBILL_SFTP_DIR", str(folder / "sftp"))
    os.environ.setdefault("CITYBILL_SFTP_PORT", str(port + PORTS - 1))
    os.environ.setdefault("CITYBILL_FETCH_DIR", str(folder / "fetch"))
    os.environ.setdefault("CITYBILL_DOCUMENTS_DIR", str(folder / "documents"))
    if demo_city:
        far_side = f"http://127.0.0.1:{port + 1}"
        utilities = {
            code: {"base_url": url + _PATHS.get(code, ""), "secret": DEMO_SECRET}
            for code, url in _company_urls(port).items()
        }
        os.environ |= {
            "CITYBILL_ENVIRONMENT": "demo",
            "CITYBILL_SANDBOX_URL": far_side,
            "CITYBILL_STRIPE_URL": f"{far_side}/stripe",
            "CITYBILL_STRIPE_SECRET_KEY": f"sk_test_{DEMO_SECRET}",
            "CITYBILL_STRIPE_WEBHOOK_SECRET": f"whsec_{DEMO_SECRET}",
            **alipay(folder, far_side),
            **unionpay(folder, far_side),
            **wechatpay(folder, far_side),
            **counters(far_side),
            **paying_account(),
            **push(folder),
            "CITYBILL_UTILITIES": json.dumps(utilities),
            "CITYBILL_SMTP_PORT": str(port + 2),
            "CITYBILL_DEMO_INBOX_DIR": str(folder / "simulator" / "inbox"),
            "CITYBILL_DEMO_INBOX_URL": f"{far_side}/inbox",
        }
    settings.cache_clear()


def _company_urls(port: int) -> dict[str, str]:
    """Return where each simulated company is, beside a web on ``port``."""
    return {code: f"http://127.0.0.1:{at}" for at, code in enumerate(COMPANIES, start=port + 3)}


def _start(family: Family, folder: Path, port: int, *, demo_city: bool) -> None:
    if demo_city:
        memory = ("--data", str(folder / "simulator"), "--secret", DEMO_SECRET)
        webhook = f"http://127.0.0.1:{port}/api/v1/callbacks/stripe"
        pages = [f"--company={code}={url}" for code, url in _company_urls(port).items()]
        family.start(
            "simulator", "simulator", "--port", str(port + 1), "--smtp-port", str(port + 2),
            "--stripe-notify-url", webhook, "--wechatpay", str(far_side_file(folder)),
            "--shop", str(shop_file(folder)),
            *pages, *memory,
        )  # fmt: skip
        for at, code in enumerate(COMPANIES, start=port + 3):
            family.start(f"company {code}", "simulator.utility", code, "--port", str(at), *memory)
    for name, queues, threads in WORKERS:
        family.start(name, *worker(name, queues, threads))
    family.start("scheduler", "workers.scheduler")
    family.start("sftp", "workers.sftp_server")
    family.start("web", "web.serving", "--port", str(port))


def worker(name: str, queues: str, threads: int) -> tuple[str, ...]:
    """Return the module and arguments of a worker process."""
    return (
        "celery", "--quiet", "-A", "workers.app", "worker", "--hostname", f"{name}@%h",
        "--queues", queues, "--concurrency", str(threads), "--loglevel", "WARNING",
        "--without-gossip", "--without-mingle", "--without-heartbeat",
    )  # fmt: skip


def _wait_until_ready(family: Family, port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        died = family.dead()
        if died is not None:
            raise ServerError(f"{died} does not start: see its words above")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise ServerError(f"the web does not answer within {READY_SECONDS} seconds: see above")


def _tell(port: int, folder: Path, *, demo_city: bool) -> None:
    rows = [("CityBill", f"http://127.0.0.1:{port}")]
    if demo_city:
        far_side = f"http://127.0.0.1:{port + 1}"
        rows += [("demo inbox", f"{far_side}/inbox   one-time codes and receipts arrive here")]
        rows += [("far side", f"{far_side}   the sandbox gateway and the companies' faults")]
        rows += [(f"company {code}", url) for code, url in _company_urls(port).items()]
        rows += [(f"sign in as {role}", contact) for role, contact in demo.SIGN_INS]
        rows += [("companies' API keys", str(demo.keys_file(folder)))]
    chosen = settings()
    if chosen.sftp_dir is not None:
        place = f"sftp://{chosen.sftp_host}:{chosen.sftp_port}"
        rows += [("companies' SFTP", f"{place}   {host_key(chosen.sftp_dir).get_fingerprint()}")]
    rows += [("API", f"http://127.0.0.1:{port}/api/v1/openapi.json"), ("data", str(folder))]
    console.rule("the city is running")
    for name, value in rows:
        console.print(f"  [bold]{name:<38}[/]{value}", soft_wrap=True)
    console.rule("Ctrl-C stops it")
