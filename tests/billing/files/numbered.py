"""Bill files whose header has a number."""

import io
from collections.abc import Iterator
from datetime import datetime
from itertools import count
from typing import BinaryIO

from billing.files.bill_files import register
from billing.files.importing import import_bills
from core.db import transaction
from core.errors import BillFileError
from providers.base import BillRecord, Heading
from tests.factories import NOW, a_record

_files = count(1)


class Numbered:
    """A reader of a file of one bill, whose header has a number."""

    def __init__(self, number: str, *, refuse: bool = False) -> None:
        self.number, self.refuse = number, refuse

    def read(self, stream: BinaryIO) -> Iterator[Heading | BillRecord]:
        yield Heading(self.number)
        yield a_record("0000000001", f"B{self.number}")
        if self.refuse:
            raise BillFileError("the trailer is wrong", line_no=3)


def bring(*numbers: int, company: str = "water", now: datetime = NOW, refuse: bool = False) -> None:
    """Import a file of each of these numbers, or have it refused."""
    for number in numbers:
        with transaction() as session:
            bill_file, _ = register(
                session, company, sha256=f"gap-{next(_files)}", size_bytes=1, file_name="b.txt",
                received_via="test", now=now,
            )  # fmt: skip
        assert bill_file.id is not None
        try:
            reader = Numbered(str(number), refuse=refuse)
            import_bills(bill_file.id, reader, lambda: io.BytesIO(), now=now)
        except BillFileError:
            assert refuse
