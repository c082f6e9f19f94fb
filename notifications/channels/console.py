"""Text messages of a city without an SMS contract: to the terminal, and to the demo inbox."""

import mailbox
import sys
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path

from core.errors import Upstream
from core.settings import Environment, Settings
from notifications.channels.base import Message, Taken, WithoutReceipts


class Console(WithoutReceipts):
    """Writes each message as one block to standard error, and to a Maildir if there is one."""

    code, channel = "console", "sms"
    repeats_safely = False

    def __init__(self, inbox_dir: Path | None = None) -> None:
        self._inbox_dir = inbox_dir

    def send(self, message: Message) -> Taken:
        mail = EmailMessage()
        try:
            mail["X-Channel"] = "sms"
            mail["To"] = message.address
            mail["Subject"] = message.title
        except ValueError as wrong:
            raise Upstream("a line break has no place in an address or a title") from wrong
        sys.stderr.write(f"\n  ✉ {message.address}  {message.body}\n\n")
        sys.stderr.flush()
        if self._inbox_dir is not None:
            mail["Date"] = formatdate()
            mail["Message-ID"] = f"<{message.message_id}@citybill>"
            mail.set_content(message.body)
            mailbox.Maildir(self._inbox_dir, create=True).add(mail)
        return Taken()


def from_settings(settings: Settings) -> Console | None:
    """Make the carrier; production has a real one: codes have no place in a log."""
    if settings.environment is Environment.PRODUCTION:
        return None
    return Console(settings.demo_inbox_dir if settings.demo else None)
