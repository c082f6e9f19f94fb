"""A real SMTP server that answers what a test tells it to."""

import asyncio
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

NOTHING, CUT = "nothing", "cut"  # no answer at all; no answer and no connection


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class MailServer:
    """``answers`` are the replies to MAIL, RCPT and DATA; ``taken`` is what was accepted.

    ``once`` are replies given one time; ``lines`` are the connections there were, in their order.
    """

    port: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    once: dict[str, str] = field(default_factory=dict)
    taken: list[tuple[list[str], EmailMessage, bytes]] = field(default_factory=list)
    lines: list[SMTP] = field(default_factory=list)

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, said: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.lines.append(server)
        return said

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return await self.answer("MAIL", server)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return await self.answer("RCPT", server)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        answer = await self.answer("DATA", server)
        if answer.startswith("2"):
            raw = envelope.original_content or b""
            mail = message_from_bytes(raw, policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.taken.append((list(envelope.rcpt_tos), mail, raw))
        return answer

    async def answer(self, to: str, server: SMTP) -> str:
        said = self.once.pop(to, None) or self.answers.get(to, "250 OK")
        if said == CUT:
            server.transport.abort()
        if said in {NOTHING, CUT}:
            await asyncio.sleep(60)  # until the server is stopped
        return said

    def hang_up(self) -> None:
        """Close every connection, as a server does with those that are idle."""
        for line in self.lines:
            line.loop.call_soon_threadsafe(line.transport.close)

    def authenticate(self, *_: Any) -> AuthResult:
        return AuthResult(success=False, handled=False)


@contextmanager
def running(server: MailServer, **how: Any) -> Iterator[MailServer]:
    """Let it answer on a free port."""
    server.port = free_port()
    controller = Controller(
        server, hostname="127.0.0.1", port=server.port, auth_require_tls=False,
        authenticator=server.authenticate, **how,
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
