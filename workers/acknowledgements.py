"""Answers to files that came by SFTP, written into the company's ``out``.

``NAME.rejects.csv`` or ``NAME.refused.txt`` first, ``NAME.ack`` last: who sees the acknowledgement
sees the rest, and what an earlier file of this name was told is gone. Each is written beside its
place and renamed, so nobody reads half of one.
"""

from datetime import datetime

from billing.files.deliveries import Answer, claim_answers
from billing.files.drop_folders import DropFolder
from billing.files.reject_files import csv_lines
from core import log
from core.db import transaction
from providers.delivery import Delivery
from workers.books import answer_or_clear, write_answer

_log = log.logger(__name__)


def answer(
    folder: DropFolder,
    provider_code: str,
    delivery: Delivery | None,
    *,
    bill_file_id: int | None = None,
    now: datetime,
) -> int:
    """Answer every file of a company whose outcome is known; returns how many.

    Answered once; killed in between, the same answer is written again.
    """
    kind = delivery.acknowledgement if delivery is not None else "json"
    with transaction() as session:
        claimed = claim_answers(session, provider_code, bill_file_id=bill_file_id)
        for arrival, told in claimed:
            rows = None
            if told.rejected and told.bill_file_id is not None:
                rows = csv_lines(told.bill_file_id)
            answer_or_clear(folder.outgoing / f"{told.file_name}.rejects.csv", rows)
            words = None if told.complaint is None else [f"{told.complaint}\n"]
            answer_or_clear(folder.outgoing / f"{told.file_name}.refused.txt", words)
            _acknowledge(folder, told, kind)
            arrival.answered_at = now
    return len(claimed)


def _acknowledge(folder: DropFolder, told: Answer, kind: str) -> None:
    content = told.acknowledgement("lines" if kind == "lines" else "json")
    write_answer(folder.outgoing / f"{told.file_name}.ack", [content])
    _log.info("file_answered", file=told.file_name, status=told.facts["status"])
