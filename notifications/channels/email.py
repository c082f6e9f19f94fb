"""E-mail by SMTP.

Source: RFC 5321 for the reply codes: 4yz is "not now", 5yz is "never".
"""

import smtplib
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate

from core.errors import Upstream, UpstreamUnavailable
from core.settings import Settings
from notifications.channels.base import Message

_TIMEOUT_SECONDS = 10


class Email:
    code = "email"

    def __init__(
        self, *, host: str, port: int, sender: str, starttls: bool, user: str, password: str
    ) -> None:
        self._host, self._port, self._sender = host, port, sender
        self._starttls, self._user, self._password = starttls, user, password

    def send(self, message: Message) -> None:
        mail = self._mail(message)
        try:
            with smtplib.SMTP(self._host, self._port, timeout=_TIMEOUT_SECONDS) as smtp:
                self._introduce_ourselves(smtp)
                _hand_over(smtp, mail)
        except (OSError, smtplib.SMTPException) as down:
            raise UpstreamUnavailable("the mail server cannot be reached") from down

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        try:
            mail["From"] = self._sender
            mail["To"] = Address(addr_spec=message.address)  # one, or it raises
            mail["Subject"] = message.title
        except (ValueError, IndexError, MessageError) as wrong:  # a line break, two, none
            raise Upstream("the address or the title cannot stand in a mail") from wrong
        mail["Date"] = formatdate()
        mail["Message-ID"] = f"<{message.message_id}@{self._sender.rpartition('@')[2].rstrip('>')}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.body)
        if message.body_html is not None:
            mail.add_alternative(message.body_html, subtype="html")
        return mail

    def _introduce_ourselves(self, smtp: smtplib.SMTP) -> None:
        """Encrypt and sign in; a refusal here is about us, not about the mail: it can wait."""
        if self._starttls:
            smtp.starttls()
        if self._user:
            smtp.login(self._user, self._password)


def _hand_over(smtp: smtplib.SMTP, mail: EmailMessage) -> None:
    try:
        smtp.send_message(mail)
    except smtplib.SMTPNotSupportedError as refused:
        raise Upstream("the mail server takes no such address") from refused
    except smtplib.SMTPRecipientsRefused as refused:
        final = all(code >= 500 for code, _ in refused.recipients.values())
        raise (Upstream if final else UpstreamUnavailable)("the address is refused") from refused
    except smtplib.SMTPResponseException as answer:
        final = answer.smtp_code >= 500
        raise (Upstream if final else UpstreamUnavailable)("the mail is refused") from answer


def from_settings(settings: Settings) -> Email:
    """Make the channel from this process's configuration."""
    return Email(
        host=settings.smtp_host,
        port=settings.smtp_port,
        sender=settings.mail_from,
        starttls=settings.smtp_starttls,
        user=settings.smtp_user,
        password=settings.smtp_password.get_secret_value(),
    )
