"""Jobs about bill files."""

import io
from typing import BinaryIO, cast

from billing.bill_files import StoredFile, get_bill_file
from billing.importing import import_bills
from core.clock import utc_now
from core.db import transaction
from core.errors import BillFileError, Conflict
from providers.registry import reader_for
from workers.jobs import NotYet, job


@job("bills.import_file")
def import_file(bill_file_id: str) -> None:
    """Import an uploaded file; a refusal is an answer, written on the file's row."""
    with transaction() as session:
        provider_code = get_bill_file(session, int(bill_file_id)).provider_code

    def stored() -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(StoredFile(int(bill_file_id)), 1 << 16))

    try:
        import_bills(int(bill_file_id), reader_for(provider_code), stored, now=utc_now())
    except BillFileError:
        return
    except Conflict as busy:
        raise NotYet(30) from busy
