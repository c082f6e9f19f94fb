"""X12 810, the invoice, as American utilities write it: every transaction set is a bill.

Source: docs/standards.md, X12 810. The line of a bill, of a reject and of what refuses a file is
the number of a segment: many an interchange is one line.
"""

from collections.abc import Iterator
from typing import BinaryIO, Final

from core.errors import BillFileError, Invalid
from providers.base import BillRecord, Heading, Reject
from providers.formats.rows import RowFault, reject
from providers.profiles import Profile
from providers.standards.drafts import Judge
from providers.standards.x12 import Opened, TransactionSet, transaction_sets
from providers.standards.x12_810_bills import check_totals, draft_of, terms_of

_LIMIT: Final = 50_000  # segments of one invoice


class X12Reader:
    """Reads a company's 810 interchanges; see `BillFileReader`."""

    def __init__(self, profile: Profile, judge: Judge | None = None) -> None:
        self._profile = profile
        self._judge = judge or Judge(profile)

    def read(self, stream: BinaryIO) -> Iterator[Heading | BillRecord | Reject]:
        bills, others, opened = 0, set(), False
        for found in transaction_sets(stream, self._profile.file.codec, limit=_LIMIT):
            if isinstance(found, Opened):
                if not opened:
                    yield Heading(found.identity)
                opened = True
            elif found.kind == "810":
                bills += 1
                yield self._bill(found)
            else:
                others.add(found.kind[:6])
        if not bills:
            held = f"sets {', '.join(sorted(others))}" if others else "no transaction set"
            raise BillFileError(
                f"the interchange holds {held} and no 810, and so no bill: check that this is the"
                " bill file",
                line_no=1,
            )

    def _bill(self, found: TransactionSet) -> BillRecord | Reject:
        check_totals(found)
        raw = "\n".join("*".join(segment.elements) for segment in found.segments[:20])
        try:
            draft = draft_of(found, chinese=self._profile.currency == "CNY")
            draft.raw = raw
            record = self._judge(draft)
            if isinstance(record, Reject):
                return record
            return record._replace(pay_terms=terms_of(found, record))
        except RowFault as fault:
            return reject(found.number, fault.column, fault.reason, raw)
        except Invalid as wrong:
            return reject(found.number, "", wrong.message, raw)
