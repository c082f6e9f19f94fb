"""A notice as a mail: its headers, its parts, and our domain's signature.

Source: RFC 5322 (the mail), RFC 6376 (DKIM), RFC 8058 (the way out by one click).
"""

import hmac
import re
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import formatdate, parseaddr
from typing import NamedTuple

import dkim

from core.errors import Upstream
from notifications.channels.base import Kind, Message

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")  # line breaks the headers refuse by themselves
_LONGEST_URL = 900  # of a line of 998
_SIGNED = (
    "from", "to", "subject", "date", "message-id", "mime-version", "content-type",
    "content-transfer-encoding", "content-language", "auto-submitted", "list-unsubscribe",
    "list-unsubscribe-post",
)  # fmt: skip
_OUR_ID = re.compile(r"<(?P<ref>[^<>]+)\.(?P<tag>[0-9a-f]{16})@[^<>@]+>")


class _AsWritten(EmailPolicy):
    """Leaves one header as it is: folded as words are, a long URL would come out encoded."""

    def fold_binary(self, name: str, value: str) -> bytes:
        if name == "List-Unsubscribe":
            return f"{name}: {value}{self.linesep}".encode("ascii")
        return super().fold_binary(name, value)


# Seven bits throughout: a server on the way that recodes a mail breaks its signature.
_POLICY = _AsWritten(linesep="\r\n", cte_type="7bit")


class Seal(NamedTuple):
    """What our domain signs mail with: ``key`` is an RSA key as PEM."""

    selector: str
    domain: str
    key: bytes

    def sign(self, mail: bytes) -> bytes:
        """Return a mail under its DKIM signature.

        Each header is named once more than it is there, so that nobody can add another.
        """
        signature: bytes = dkim.sign(
            mail, self.selector.encode(), self.domain.encode(), self.key,
            canonicalize=(b"relaxed", b"relaxed"),
            include_headers=[name.encode() for name in _SIGNED for _ in range(2)],
        )  # fmt: skip
        return signature + mail


def write_mail(message: Message, *, sender: str, token: str = "") -> bytes:
    """Return a message as a mail, ready to be signed.

    Args:
        sender: what stands in From, with or without a name.
        token: what its id is marked with, so that only who has the mail can say it came back.

    Raises:
        Upstream: it cannot be a mail, however often it is tried.
    """
    if message.kind is Kind.COMMERCIAL and not message.unsubscribe_url:
        raise Upstream("a commercial mail shows a way out of it, and this one has none")
    mail = EmailMessage(policy=_POLICY)
    try:
        mail["From"] = sender
        mail["To"] = _one_address(message.address)
        mail["Subject"] = _without_control(message.title)
        _add_the_way_out(mail, message.unsubscribe_url)
        _add_the_parts(mail, message)
    except (ValueError, IndexError, MessageError) as wrong:  # a line break, two, none
        raise Upstream("the address or the title cannot stand in a mail") from wrong
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{_marked(message.message_id, token)}@{domain_of(sender)}>"
    mail["Content-Language"] = message.locale.replace("_", "-")
    mail["Auto-Submitted"] = "auto-generated"
    return mail.as_bytes()


def domain_of(sender: str) -> str:
    """Return the domain a sender's mail comes from."""
    return parseaddr(sender)[1].rpartition("@")[2]


def our_id(header: str, token: str) -> str | None:
    """Return which message of ours a Message-ID names; None: it is none that we have marked."""
    named = _OUR_ID.fullmatch(header.strip())
    if named is None or not hmac.compare_digest(_tag(named["ref"], token), named["tag"]):
        return None
    return named["ref"]


def _marked(message_id: str, token: str) -> str:
    return f"{message_id}.{_tag(message_id, token)}" if token else message_id


def _tag(message_id: str, token: str) -> str:
    return hmac.new(token.encode(), message_id.encode(), "sha256").hexdigest()[:16]


def _one_address(written: str) -> Address:
    address = Address(addr_spec=written)  # one, or it raises
    if address.addr_spec != written or not (written.isascii() and written.isprintable()):
        raise ValueError("no plain address")
    return address


def _without_control(title: str) -> str:
    if _CONTROL.search(title):
        raise ValueError("no words")
    return title


def _add_the_way_out(mail: EmailMessage, url: str) -> None:
    if not url:
        return
    if not url.isascii() or len(url) > _LONGEST_URL or re.search(r"[\s<>]", url):
        raise ValueError("no address of a page")
    mail["List-Unsubscribe"] = f"<{url}>"
    mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"


def _add_the_parts(mail: EmailMessage, message: Message) -> None:
    mail.set_content(message.body)
    if message.body_html is not None:
        mail.add_alternative(message.body_html, subtype="html")
    for attached in message.attachments:
        maintype, _, subtype = attached.content_type.partition("/")
        mail.add_attachment(
            attached.content, maintype=maintype, subtype=subtype, filename=attached.file_name
        )
