"""The city's letter box and telephone: catches mail over SMTP and shows it, with SMS, on a page.

Mail and SMS lie in one Maildir. SMS are ordinary messages another process writes there, with a
header ``X-Channel: sms``.
"""

import heapq
import mailbox
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from pathlib import Path
from typing import Annotated, NamedTuple

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from core.errors import NotFound
from simulator.pages import page
from simulator.wire import utc_text

_KEY = re.compile(r"[0-9A-Za-z][0-9A-Za-z._=,+-]{0,254}")  # a file name, and nothing above it
_SHOWN = 100
_HTML_HEAD = '<!doctype html><meta charset="utf-8"><base target="_blank">'  # links leave the frame


class Attachment(NamedTuple):
    name: str
    content: bytes


class Letter(NamedTuple):
    """One message, read for showing; ``is_sms`` tells a telephone message from mail."""

    key: str
    received_at: datetime
    sender: str
    to: str
    subject: str
    text: str
    html: str
    is_sms: bool
    attachments: Sequence[Attachment]


class Inbox:
    """The Maildir both kinds of message lie in; safe beside other writers of it."""

    def __init__(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._maildir = mailbox.Maildir(str(folder), create=True)

    def add(self, content: bytes) -> str:
        """Store one message and return its key."""
        return self._maildir.add(content)

    def newest(self, limit: int) -> list[Letter]:
        """Return the newest messages, newest first."""
        letters = []
        for _, file in heapq.nlargest(limit, self._files()):
            with suppress(FileNotFoundError):
                letters.append(_letter(file))
        return letters

    def get(self, key: str) -> Letter:
        """Return one message. Raises NotFound."""
        return _letter(self._file(key))

    def get_raw(self, key: str) -> bytes:
        """Return one message as it came. Raises NotFound."""
        return self._file(key).read_bytes()

    def _files(self) -> Iterator[tuple[int, Path]]:
        """Yield every message with when it came, in ns; a reader may move one meanwhile."""
        for part in ("new", "cur"):
            for file in (self._folder / part).iterdir():
                with suppress(FileNotFoundError):
                    if _KEY.fullmatch(_key_of(file)):
                        yield file.stat().st_mtime_ns, file

    def _file(self, key: str) -> Path:
        if _KEY.fullmatch(key):
            for part in ("new", "cur"):
                for file in (self._folder / part).glob(f"{key}*"):
                    if _key_of(file) == key:
                        return file
        raise NotFound("no such message")


def _key_of(file: Path) -> str:
    """Return a Maildir file's name without the flags another reader may have added."""
    return file.name.partition(":")[0]


def _letter(file: Path) -> Letter:
    with file.open("rb") as content:
        message: Message = mailbox.MaildirMessage(content)
    text, html, attachments = _parts(message)
    return Letter(
        key=_key_of(file),
        received_at=datetime.fromtimestamp(file.stat().st_mtime, UTC),
        sender=_header(message, "From"),
        to=_header(message, "To") or _header(message, "X-RcptTo"),
        subject=_header(message, "Subject"),
        text=text,
        html=html,
        is_sms=_header(message, "X-Channel").strip().lower() == "sms",
        attachments=attachments,
    )


def _parts(message: Message) -> tuple[str, str, list[Attachment]]:
    """Return the first plain text, the first HTML, and everything else."""
    text = html = ""
    attachments: list[Attachment] = []
    for part in message.walk():
        if part.is_multipart():
            continue
        payload = part.get_payload(decode=True)
        content = payload if isinstance(payload, bytes) else b""
        kind = part.get_content_type()
        is_inline = part.get_content_disposition() != "attachment"
        if is_inline and kind == "text/plain" and not text:
            text = _decode(content, part.get_content_charset())
        elif is_inline and kind == "text/html" and not html:
            html = _decode(content, part.get_content_charset())
        else:
            name = _plain(part.get_filename() or "") or kind
            attachments.append(Attachment(name, content))
    return text, html, attachments


def _decode(content: bytes, charset: str | None) -> str:
    try:
        return content.decode(charset or "utf-8", "replace")
    except LookupError:
        return content.decode("utf-8", "replace")


def _header(message: Message, name: str) -> str:
    """Return a header as text, whatever a clumsy sender put into it."""
    return _plain(message.get(name, ""))


def _plain(value: object) -> str:
    try:
        pieces = decode_header(value)  # type: ignore[arg-type]  # a Header too, for raw 8-bit
    except HeaderParseError:
        return str(value)
    text = "".join(
        piece if isinstance(piece, str) else _decode(piece, charset) for piece, charset in pieces
    )
    return " ".join(text.split())


class Catcher:
    """An SMTP server that keeps everything it is given, on 127.0.0.1 alone."""

    def __init__(self, inbox: Inbox, port: int) -> None:
        self._inbox = inbox
        self._controller = Controller(self, hostname="127.0.0.1", port=port)

    def start(self) -> None:
        """Listen, in a thread of its own."""
        self._controller.start()

    def stop(self) -> None:
        """Stop listening."""
        self._controller.stop()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep one message, with the addresses of its envelope."""
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        addresses = ", ".join(envelope.rcpt_tos)
        envelope_headers = f"X-MailFrom: {envelope.mail_from}\r\nX-RcptTo: {addresses}\r\n"
        self._inbox.add(envelope_headers.encode("utf-8", "replace") + content)
        return "250 kept"


def _inbox(request: Request) -> Inbox:
    inbox: Inbox = request.app.state.inbox
    return inbox


router = APIRouter(prefix="/inbox")
TheInbox = Annotated[Inbox, Depends(_inbox)]


@router.get("")
def show_inbox(inbox: TheInbox, pause: bool = False) -> Response:
    """List the newest messages; the page fetches itself again every five seconds."""
    return page("inbox.html", letters=inbox.newest(_SHOWN), paused=pause)


@router.get(".json")
def list_messages(inbox: TheInbox, limit: int = _SHOWN) -> Response:
    """List the newest messages for a program."""
    letters = inbox.newest(max(0, min(limit, 1_000)))
    facts = [
        {
            "id": letter.key,
            "channel": "sms" if letter.is_sms else "email",
            "received_at": utc_text(letter.received_at),
            "to": letter.to,
            "subject": letter.subject,
            "text": letter.text,
        }
        for letter in letters
    ]
    return JSONResponse({"messages": facts})


@router.get("/{key}")
def show_letter(key: str, inbox: TheInbox) -> Response:
    """Show one message; its HTML stays in a frame that may run nothing and load nothing."""
    letter = inbox.get(key)
    return page("letter.html", letter=letter, framed=_HTML_HEAD + letter.html)


@router.get("/{key}/raw")
def show_raw(key: str, inbox: TheInbox) -> Response:
    """Show a message as it came."""
    return Response(
        inbox.get_raw(key),
        media_type="text/plain; charset=utf-8",
        headers={"X-Content-Type-Options": "nosniff"},
    )


@router.get("/{key}/attachments/{index}")
def download_attachment(key: str, index: int, inbox: TheInbox) -> Response:
    """Give one attachment, to be saved and never shown in place."""
    attachments = inbox.get(key).attachments
    if not 0 <= index < len(attachments):
        raise NotFound("no such attachment")
    return Response(
        attachments[index].content,
        media_type="application/octet-stream",
        headers={
            "Content-Disposition": "attachment",
            "X-Content-Type-Options": "nosniff",
        },
    )
