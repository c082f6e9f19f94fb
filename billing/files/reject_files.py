"""A bill file's rejects as CSV that opens well in spreadsheets: for the API, pages and SFTP."""

import csv
import io
from collections.abc import Callable, Iterator

from billing.files.bill_files import iter_rejects
from billing.models import BillFileReject
from core.db import transaction
from core.formulas import as_plain


def csv_lines(bill_file_id: int, say: Callable[[str], str] = str) -> Iterator[str]:
    """Yield the lines: line, column, reason, raw; the first carries a byte order mark.

    Args:
        say: what says a reason in a reader's language; what programs read is in English.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    buffer.write("\ufeff")
    writer.writerow(["line", "column", "reason", "raw"])
    with transaction() as session:
        for row in iter_rejects(session, bill_file_id):
            writer.writerow(_plain(row, say))
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _plain(row: BillFileReject, say: Callable[[str], str]) -> list[str]:
    return [as_plain(one) for one in (str(row.line_no), row.column_name, say(row.reason), row.raw)]
