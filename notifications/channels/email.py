"""E-mail by SMTP.

Source: RFC 5321 for the dialogue and its reply codes (4yz is "not now", 5yz is "never"), RFC 3463
for the codes that say why.
"""

import re
import smtplib
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parseaddr
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from core.errors import Invalid, Upstream, UpstreamUnavailable
from core.settings import Settings
from notifications.channels.base import AddressGone, Message, Receipt, Silent, Taken
from notifications.channels.bounces import read_report
from notifications.channels.mail import Seal, domain_of, our_id, write_mail
from notifications.channels.texting import check_token, configured

_TIMEOUT_SECONDS = 10
_KEPT_SECONDS = 20  # mail servers close what is idle after minutes; firewalls forget it sooner
_PATIENCE_WITH_KEPT = 3
_DKIM = ("dkim_selector", "dkim_domain", "dkim_private_key")
# No such mailbox, no such domain, no such syntax, moved away, takes no mail at all.
_GONE = re.compile(r"5\.1\.(1|2|3|6|10)\b")


class _Line(smtplib.SMTP):
    """A connection all of whose answers come before one moment, and that nobody has to close."""

    def __init__(self, host: str, port: int, until: float) -> None:
        self.until = until
        self.used_at = time.monotonic()
        super().__init__(host, port, timeout=self._left())

    def getreply(self) -> tuple[int, bytes]:
        if self.sock is not None:
            self.sock.settimeout(self._left())
        return super().getreply()

    def _left(self) -> float:
        return max(self.until - time.monotonic(), 0.01)

    def __del__(self) -> None:
        self.close()


class Email:
    """Mail through one server; each thread keeps its connection for a while."""

    code = channel = "email"
    repeats_safely = False

    def __init__(
        self,
        *,
        host: str,
        port: int,
        sender: str,
        starttls: bool,
        user: str,
        password: str,
        seal: Seal | None = None,
        token: str = "",
    ) -> None:
        self._host, self._port, self._sender = host, port, sender
        self._starttls, self._user, self._password = starttls, user, password
        self._seal, self._token = seal, token
        self._kept = threading.local()

    def send(self, message: Message) -> Taken:
        raw = write_mail(message, sender=self._sender, token=self._token)
        if self._seal is not None:
            raw = self._seal.sign(raw)
        try:
            line = self._begun(time.monotonic() + _TIMEOUT_SECONDS)
            _hand_over(line, message.address, raw)
        except (OSError, smtplib.SMTPException) as down:
            raise UpstreamUnavailable("the mail server cannot be reached") from down
        line.used_at = time.monotonic()
        self._kept.line = line
        return Taken()

    def _begun(self, until: float) -> _Line:
        """Return a connection on which a mail has begun: the one kept, if it is still alive."""
        kept: _Line | None = self._kept.__dict__.pop("line", None)
        if kept is not None and kept.used_at > time.monotonic() - _KEPT_SECONDS:
            kept.until = min(until, time.monotonic() + _PATIENCE_WITH_KEPT)
            with suppress(OSError, smtplib.SMTPException):
                if self._begin(kept):
                    kept.until = until
                    return kept
        line = _Line(self._host, self._port, until)
        self._introduce_ourselves(line)
        if not self._begin(line):
            raise UpstreamUnavailable("the mail server does not take mail from our address")
        return line

    def _introduce_ourselves(self, line: _Line) -> None:
        """Encrypt and sign in; a refusal here is about us, not about the mail: it can wait."""
        if self._starttls:
            line.starttls()
        if self._user:
            line.login(self._user, self._password)
        line.ehlo_or_helo_if_needed()

    def _begin(self, line: _Line) -> bool:
        code, _ = line.mail(parseaddr(self._sender)[1])
        return code == 250

    def read_receipts(self, headers: Mapping[str, str], body: bytes) -> list[Receipt]:
        check_token(headers, self._token)
        report = read_report(body)
        ref = our_id(report.message_id, self._token)
        if ref is None:
            raise Invalid("the mail that came back is none of ours")
        return [Receipt(ref, *fared) for fared in report.fared]

    def acknowledge(self) -> tuple[str, bytes]:
        return "text/plain", b""


def _hand_over(line: _Line, address: str, raw: bytes) -> None:
    """Say whom a mail is for, and hand it over; until its end is said, nobody has it."""
    code, said = line.rcpt(address)
    if code not in {250, 251}:
        raise _refusal(code, said)
    code, said = line.docmd("DATA")
    if code != 354:
        raise _refusal(code, said)
    line.send(re.sub(rb"(?m)^\.", b"..", raw) + b".\r\n")
    try:
        code, said = line.getreply()
    except (OSError, smtplib.SMTPException) as lost:
        raise Silent("the mail server took a mail and did not say so") from lost
    if code == 250:
        return
    raise _refusal(code, said) if 400 <= code < 600 else Silent("no mail server answers so")


def _refusal(code: int, said: bytes) -> Upstream:
    """Return what an answer means; its words may hold the address and are not repeated."""
    if not 500 <= code < 600:
        return UpstreamUnavailable("the mail server does not take it now")
    if _GONE.match(said.decode(errors="replace")):
        return AddressGone("nobody is at this address")
    return Upstream("the mail is refused")


def from_settings(settings: Settings) -> Email:
    """Make the channel from this process's configuration.

    Raises:
        Invalid: DKIM is set up by half, or with a key that cannot be read.
    """
    own = configured(settings, "email", (), *_DKIM, "receipt_token") or {}
    return Email(
        host=settings.smtp_host,
        port=settings.smtp_port,
        sender=settings.mail_from,
        starttls=settings.smtp_starttls,
        user=settings.smtp_user,
        password=settings.smtp_password.get_secret_value(),
        seal=_seal(own, settings.mail_from),
        token=own.get("receipt_token", ""),
    )


def _seal(own: Mapping[str, str], sender: str) -> Seal | None:
    parts = [own.get(name, "") for name in _DKIM]
    if not any(parts):
        return None
    if not all(parts):
        raise Invalid(
            f"DKIM is configured by half: set {', '.join(_DKIM)} of email in CITYBILL_CARRIERS,"
            " or none of them",
            code="carrier.half_configured",
        )
    selector, domain, path = parts
    if not f".{domain_of(sender)}".endswith(f".{domain}"):
        raise Invalid(
            f"a signature of {domain} says nothing for mail from {sender}: see dkim_domain"
        )
    try:
        key = Path(path).read_bytes()
        usable = isinstance(load_pem_private_key(key, password=None), RSAPrivateKey)
    except (OSError, ValueError, TypeError) as wrong:
        raise Invalid(f"the key of DKIM, {path}, cannot be read") from wrong
    if not usable:
        raise Invalid(f"the key of DKIM, {path}, is no RSA key")
    return Seal(selector, domain, key)
