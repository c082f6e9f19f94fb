"""Books that come by themselves: who may bring them by SFTP, whom we fetch them from, and answers.

Settings say whose they are; docs/books-in.md.
"""

import json
import os
from collections.abc import Callable, Iterable
from datetime import date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO
from urllib.parse import urlsplit

from pydantic import ValidationError
from sqlmodel import Session

from billing.files.deliveries import take_in as take_bills
from billing.files.drop_folders import DropFolder
from core import log
from core.db import transaction
from core.errors import Invalid
from core.settings import BookDelivery, BookSender, Settings
from payments.reconciliation.intake import receiving as intake
from payments.reconciliation.intake import senders as intake_senders
from payments.reconciliation.intake.models import CameBy
from payments.reconciliation.intake.receiving import Given, Way
from payments.reconciliation.models import Leg
from providers.clients.http_files import HttpFiles
from providers.clients.sftp_files import SftpFiles
from providers.delivery import Credentials, Delivery, FileSource
from providers.registry import PROVIDERS
from workers.pickup import Take

_DELIVERY = (
    "address", "files", "index", "host_key", "flag", "every", "window", "days_back", "after",
)  # fmt: skip
_log = log.logger(__name__)


def given_of(sender: BookSender) -> Given:
    """Return what the settings say of all files of a sender."""
    return Given(Leg(sender.leg) if sender.leg else None, sender.source, None, sender.profile)


def senders(chosen: Settings) -> dict[str, BookSender]:
    """Return who brings books to our SFTP server, by user name.

    Raises:
        Invalid: one has a company's user name.
    """
    both = sorted(chosen.book_senders.keys() & PROVIDERS.keys())
    if both:
        raise Invalid(
            f"CITYBILL_BOOK_SENDERS: {both[0]} is a company already: its lists go into its own /in,"
            " and `lists` in [delivery] of its profile says which files they are"
        )
    return chosen.book_senders


def as_books(given: Given) -> Take:
    """Return what keeps a file that came as somebody's books."""

    def take(
        session: Session, sender: str, stream: BinaryIO, *, claim: str, file_name: str,
        now: datetime,
    ) -> str:  # fmt: skip
        arrival = intake_senders.take_in(
            session, sender, stream, given, claim=claim, file_name=file_name, now=now
        )
        return f"b{arrival.id}"

    return take


def of_a_company(delivery: Delivery | None) -> Take:
    """Return what keeps a company's file: as bills, or as a list of what it wrote off."""
    pattern = delivery.lists if delivery is not None else None

    def take(
        session: Session, sender: str, stream: BinaryIO, *, claim: str, file_name: str,
        now: datetime,
    ) -> str:  # fmt: skip
        if pattern is not None and fnmatchcase(file_name, pattern):
            keep = as_books(Given(Leg.COMPANY, sender))
            return keep(session, sender, stream, claim=claim, file_name=file_name, now=now)
        return str(
            take_bills(session, sender, stream, claim=claim, file_name=file_name, now=now).id
        )

    return take


def answer_books(folder: DropFolder, sender: str, *, as_lines: bool, now: datetime) -> int:
    """Answer every file of a sender that is done with; returns how many.

    ``NAME.refused.txt`` first, if there is something to say, ``NAME.ack`` last.
    """
    with transaction() as session:
        claimed = intake_senders.claim_answers(session, sender)
        for arrival, facts in claimed:
            words = None if facts["complaint"] is None else [f"{facts['complaint']}\n"]
            answer_or_clear(folder.outgoing / f"{arrival.file_name}.refused.txt", words)
            lines = "".join(f"{key}={'' if v is None else v}\n" for key, v in facts.items())
            text = lines if as_lines else json.dumps(facts, ensure_ascii=False, indent=2) + "\n"
            write_answer(folder.outgoing / f"{arrival.file_name}.ack", [text])
            arrival.answered_at = now
            _log.info(
                "file_answered", sender=sender, file=arrival.file_name, status=facts["status"]
            )
    return len(claimed)


def answer_or_clear(path: Path, pieces: Iterable[str] | None) -> None:
    """Write an answer; without one, what an earlier file of this name was told goes."""
    if pieces is None:
        path.unlink(missing_ok=True)
    else:
        write_answer(path, pieces)


def write_answer(path: Path, pieces: Iterable[str]) -> None:
    """Write an answer beside its place and rename it, so that nobody reads half of one."""
    begun = path.parent.parent / f".answer-{token_hex(8)}"
    descriptor = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
        for piece in pieces:
            stream.write(piece)
        stream.flush()
        os.fsync(stream.fileno())
    begun.rename(path)


def delivery_of(code: str, told: BookDelivery) -> Delivery:
    """Return where we fetch somebody's books, checked as a profile's ``[delivery]`` is.

    Raises:
        Invalid: the settings are wrong; the message says what.
    """
    kind = "sftp" if urlsplit(told.address).scheme == "sftp" else "http"
    said = {"kind": kind} | {key: getattr(told, key) for key in _DELIVERY}
    try:
        return Delivery.model_validate(said)
    except ValidationError as wrong:
        why = "; ".join(error["msg"].removeprefix("Value error, ") for error in wrong.errors())
        raise Invalid(f"CITYBILL_BOOK_DELIVERIES: {code}: {why}") from None


def source_of(told: BookDelivery, delivery: Delivery, *, today: date) -> FileSource:
    """Return the adapter of somebody's own server."""
    credentials = Credentials(
        user=told.user, password=told.password.get_secret_value(), private_key=told.private_key,
        bearer=told.bearer.get_secret_value(),
    )  # fmt: skip
    make = SftpFiles if delivery.kind == "sftp" else HttpFiles
    return make(delivery, credentials, today=today, limit_bytes=intake.MAX_FILE_BYTES)


def keeping(code: str, told: BookDelivery) -> Callable[[Session, BinaryIO, str, datetime], None]:
    """Return what keeps a file we fetched."""

    def keep(session: Session, stream: BinaryIO, name: str, now: datetime) -> None:
        way = Way(CameBy.POLLED, sender=code)
        intake.receive(session, stream, given_of(told), way, file_name=name, now=now)

    return keep
