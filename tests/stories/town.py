"""A whole town for a story: every process as an operator would start it, in a folder of its own."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
from playwright.sync_api import Browser, Page

from cli.serve import PORTS
from cli.servers import default_data_dir

ROOT = Path(__file__).parents[2]
T = TypeVar("T")
PHONE = {"width": 390, "height": 844}


def eventually(find: Callable[[], T | None], *, seconds: int = 30, what: str) -> T:
    """Ask until there is an answer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = find()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


def free_ports() -> int:
    """Return a port that is free together with as many after it as a town takes."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 18_000 + 200 * (worker % 50)  # two towns that start at once do not see each other
    for port in range(first, first + 200, 10):
        try:
            for one in range(port, port + PORTS):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", one))
        except OSError:
            continue
        return port
    raise AssertionError("no free ports")


class Town:
    """``citybill serve --demo`` in a data folder of its own, with people and no bills."""

    def __init__(self) -> None:
        folder = default_data_dir(ROOT)
        self.data_dir = folder.with_name(f"{folder.name}-story-{os.getpid()}")
        self.port = free_ports()
        self.web, self.far_side = (f"http://127.0.0.1:{self.port + n}" for n in (0, 1))
        ours = {
            name: value for name, value in os.environ.items() if not name.startswith("CITYBILL_")
        }
        self.environment = ours | {"CITYBILL_DATA_DIR": str(self.data_dir)}
        self.keys: dict[str, str] = self.begin()
        self.log_file = Path(tempfile.gettempdir()) / f"citybill-story-{os.getpid()}.log"
        self.log = self.log_file.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli", "serve", "--demo", "--port", str(self.port)],
            cwd=ROOT, env=self.environment, stdout=self.log, stderr=self.log,
        )  # fmt: skip
        eventually(self._ready, seconds=180, what="the town is up")

    def begin(self) -> dict[str, str]:
        """Make what is there before the town is up; returns the companies' API keys."""
        told: dict[str, str] = json.loads(self.citybill("demo", "people", "--json").stdout)
        return told

    def _ready(self) -> bool:
        assert self.process.poll() is None, f"the town stopped by itself: see {self.log_file}"
        try:
            return httpx.get(f"{self.web}/readyz", timeout=2).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def citybill(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the command line as somebody would in a second terminal."""
        return self.run("cli", *arguments)

    def run(self, module: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a program in the town's folder."""
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    def push(self, code: str, content: bytes, name: str) -> httpx.Response:
        """Push a bill file as the company's system does."""
        return httpx.post(
            f"{self.web}/api/v1/providers/{code}/bill-files",
            content=content,
            headers={"Authorization": f"Bearer {self.keys[code]}", "X-File-Name": name},
            timeout=30,
        )

    def imported(self, code: str, bill_file_id: int) -> dict[str, Any]:
        """Wait until a pushed file was imported or refused."""

        def finished() -> dict[str, Any] | None:
            answer = httpx.get(
                f"{self.web}/api/v1/bill-files/{bill_file_id}",
                headers={"Authorization": f"Bearer {self.keys[code]}"},
            ).json()
            return answer if answer["status"] in {"imported", "refused"} else None

        return eventually(finished, what=f"file {bill_file_id} of {code} is done")

    def messages(self) -> list[dict[str, Any]]:
        """Return the demo inbox, newest first."""
        found: list[dict[str, Any]] = httpx.get(f"{self.far_side}/inbox.json").json()["messages"]
        return found

    def code_after(self, seen: set[str]) -> str:
        """Wait for the next one-time code."""

        def arrived() -> str | None:
            for message in self.messages():
                code = re.search(r"验证码 (\d{6})", message["text"] or "")
                if message["id"] not in seen and code:
                    return code.group(1)
            return None

        return eventually(arrived, what="a one-time code")

    def stop(self) -> int:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(timeout=60)
        self.log.close()
        return code


def sign_in(browser: Browser, town: Town, contact: str, screen: dict[str, int] = PHONE) -> Page:
    """Sign somebody in by the code that reaches the demo inbox."""
    context = browser.new_context(locale="zh-CN", viewport=screen)
    page = context.new_page()
    page.goto(town.web)
    seen = {message["id"] for message in town.messages()}
    page.fill("#contact", contact)
    page.click("form.door__card button")
    page.fill("#code", town.code_after(seen))
    page.click("form:has(#code) button")
    page.wait_for_load_state()
    return page


def without_night(page: Page, town: Town) -> Page:
    """Have whoever is signed in choose no quiet hours: a story waits for nobody's morning."""
    cookies = {one["name"].removeprefix("__Host-"): one["value"] for one in page.context.cookies()}
    signed = {"Authorization": f"Bearer {cookies['citybill_session']}"}
    where = f"{town.web}/api/v1/preferences"
    now = httpx.get(where, headers=signed).raise_for_status().json()
    changed = now | {"quiet_from": None, "quiet_until": None, "offers": None}
    httpx.put(where, headers=signed, json=changed).raise_for_status()
    return page
