"""An import in a process of its own, to be killed: see ``tests.kill``.

    python -m tests.victim DATABASE_URL FILE BILL_FILE_ID CHUNK_ROWS

Says "begun" when it begins. Ends with status 0 when the file is imported, 3 when another process
has it.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from billing.files import importing
from core import db
from core.errors import Conflict
from providers.registry import reader_for

BEGUN, BUSY = "begun\n", 3
NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)


def main(url: str, path: str, bill_file_id: str, chunk_rows: str) -> int:
    importing.CHUNK_ROWS = int(chunk_rows)
    db.bind(url)
    sys.stdout.write(BEGUN)
    sys.stdout.flush()
    with Path(path).open("rb") as file:
        try:
            importing.import_bills(int(bill_file_id), reader_for("water"), lambda: file, now=NOW)
        except Conflict:
            return BUSY
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
