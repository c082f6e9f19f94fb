"""What somebody looked for may stand in the address, and stands in no line of the log."""

from urllib.parse import quote

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from tests.conftest import ROOT
from web.edge import Edge

NAME, PHONE = "欧阳小明", "13812345678"


async def found(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as a list does that was filtered."""
    await PlainTextResponse("found")(scope, receive, send)


@pytest.mark.parametrize("path", ["/console/bank/entries", "/console/users", "/search"])
@pytest.mark.parametrize("words", [NAME, PHONE])
def test_no_line_of_the_log_holds_what_was_looked_for(capfd, path, words):
    browser = TestClient(Edge(found, pay_origins=[], secure=True))

    with capture_logs() as lines:
        answer = browser.get(f"{path}?words={quote(words)}")

    # A logger that another test has used writes as it was set up then.
    said = str(lines) + "".join(capfd.readouterr())
    assert path in said
    assert words not in said
    assert quote(words) not in said
    assert answer.headers["referrer-policy"] == "same-origin"  # nobody else is told either


def test_where_it_runs_it_is_served_by_our_own_module():
    """Which has the server's own log of addresses off: ``test_serving`` looks at what it writes."""
    for name in ("Dockerfile", "docker-compose.yml", "cli/serve.py"):
        told = (ROOT / name).read_text(encoding="utf-8")
        assert (told.count("web.serving"), told.count("web.app:create_app")) == (1, 0), name
