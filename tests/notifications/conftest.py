"""A real SMTP server that answers what a test tells it to."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from core.settings import Settings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class MailServer:
    """``answers`` are the replies to RCPT and DATA; ``taken`` is what was accepted."""

    port: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    taken: list[tuple[list[str], EmailMessage, bytes]] = field(default_factory=list)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.answers.get("RCPT", "250 OK")

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        answer = self.answers.get("DATA", "250 OK")
        if answer.startswith("2"):
            raw = envelope.original_content or b""
            mail = message_from_bytes(raw, policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.taken.append((list(envelope.rcpt_tos), mail, raw))
        return answer

    def authenticate(self, *_: Any) -> AuthResult:
        return AuthResult(success=False, handled=False)


@contextmanager
def running(server: MailServer) -> Iterator[MailServer]:
    """Let it answer on a free port."""
    server.port = free_port()
    controller = Controller(
        server, hostname="127.0.0.1", port=server.port, auth_require_tls=False,
        authenticator=server.authenticate,
    )  # fmt: skip
    controller.start()
    try:
        yield server
    finally:
        controller.stop()


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with running(MailServer()) as server:
        yield server


@pytest.fixture
def chosen(mail_server: MailServer, tmp_path: Any) -> Settings:
    """Settings that point every channel at this test."""
    return Settings(
        smtp_host="127.0.0.1", smtp_port=mail_server.port, demo_inbox_dir=tmp_path / "inbox",
        mail_from="城市账单 <no-reply@citybill.example>",
    )  # fmt: skip
