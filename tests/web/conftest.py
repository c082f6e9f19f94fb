"""The application as browsers and programs meet it, on the real database and a real far side."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI
from starlette.testclient import TestClient

from core.clock import utc_now
from core.db import transaction
from core.settings import settings
from identity import keys, sign_in
from identity.people import get_person
from tests.conftest import empty_city
from tests.simulator.conftest import SECRET, Simulator, running
from web.app import create_app

PUBLIC_URL = "https://city.example"


@pytest.fixture(scope="session")
def far_side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with running(tmp_path_factory.mktemp("far-side")) as simulator:
        yield simulator


@pytest.fixture(scope="package")  # its settings are nobody else's
def app(database_url: str, far_side: Simulator) -> Iterator[FastAPI]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "ENVIRONMENT": "test",
            "DATABASE_URL": database_url,
            "PUBLIC_URL": PUBLIC_URL,
            "SANDBOX_URL": str(far_side.client.base_url).rstrip("/"),
            "SANDBOX_SECRET": SECRET,
            "SECRET_KEY": "signs the codes of these tests",
        }.items():
            patch.setenv(f"CITYBILL_{name}", value)
        settings.cache_clear()
        made = create_app()
        with start_blocking_portal() as made.state.portal:
            yield made
        for gateway in made.state.gateways.values():
            gateway.hang_up()
    settings.cache_clear()


class Browser(TestClient):
    """A client that follows no redirect by itself and knows its forms' token."""

    csrf: str = ""
    token: str = ""  # sent to the API alone: it takes no cookie

    def __init__(self, app: FastAPI, **how: Any) -> None:
        super().__init__(app, **how)
        # An event loop for all requests, as on a server; one for each takes longer than most.
        self.portal = getattr(app.state, "portal", None)

    def request(self, method: str, url: Any, **kwargs: Any) -> Any:
        if self.token and str(url).startswith("/api/"):
            kwargs["headers"] = {"Authorization": f"Bearer {self.token}"} | (
                kwargs.get("headers") or {}
            )
        return super().request(method, url, **kwargs)

    def send_form(self, path: str, data: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        return self.post(path, data={"csrf": self.csrf, **(data or {})}, **kwargs)

    def open_form(self, path: str) -> Any:
        """Look at a page and keep its token, as a visitor does who is not signed in."""
        answer = self.get(path)
        found = re.search(r'name="csrf" value="([^"]+)"', answer.text)
        assert found, answer.text
        self.csrf = found[1]
        return answer


def a_browser(app: FastAPI, **headers: str) -> Browser:
    return Browser(app, base_url=PUBLIC_URL, follow_redirects=False, headers=headers)


def signed_in(app: FastAPI, person_id: int) -> Browser:
    """A browser somebody is signed in with."""
    with transaction() as session:
        token, row = sign_in.start_session(session, get_person(session, person_id), now=utc_now())
    browser = a_browser(app)
    browser.cookies.set("__Host-citybill_session", token)
    browser.csrf, browser.token = row.csrf, token
    return browser


def with_key(app: FastAPI, company: str) -> Browser:
    """A company's system with its API key."""
    with transaction() as session:
        key = keys.issue_key(session, company, now=utc_now())
    return a_browser(app, authorization=f"Bearer {key}")


@pytest.fixture
def browser(app: FastAPI, city: str) -> Browser:
    return a_browser(app)


@pytest.fixture(scope="module")
def kept_city(app: FastAPI) -> Iterator[None]:
    """One city for a whole module, for tests that only look."""
    yield
    empty_city()
