"""Every error this system raises on purpose.

CityBillError
├─ Invalid               the input is wrong; the caller can mend it            422
│  └─ BillFileError      a whole file is refused, with line and column
│     ├─ SettlementFileError  the same of a gateway's or bank's file
│     └─ ConfirmationFileError  the same of a company's list of write-offs
├─ NotSignedIn           we do not know who asks                               401
├─ NotAllowed            we know, and the answer is no                         403
├─ NotFound              no such thing, or not yours to see                    404
├─ Conflict              true, but not now                                     409
│  ├─ AmountMismatch     figures that must agree do not
│  └─ IllegalTransition  a state machine said no
├─ TooMany               asked too often; wait                                 429
└─ Upstream              somebody else's system failed us                      502
   └─ UpstreamUnavailable  the request never left us; safe to retry            503

Only ``web/errors.py`` acts on the numbers and only ``workers`` on retries. "We do not know what
became of the money" is not an error: gateways and utilities *return* UNKNOWN.
"""

from typing import ClassVar


class CityBillError(Exception):
    """Base of all of them.

    ``code`` is public and never changes meaning. ``message`` is a sentence a clerk can act on;
    ``facts`` are further public members of the answer (never a secret or a full account number).
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, code: str | None = None, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts
        if code is not None:
            self.code = code  # type: ignore[misc]


class Invalid(CityBillError):
    code = "invalid"


class BillFileError(Invalid):
    """A bill file refused whole: nothing of it lands.

    Args:
        message: what is wrong and how to mend it.
        line_no: 1-based line of the file, where one is to blame.
        column: the column's name in the profile, where one is to blame.
    """

    code = "bill_file.refused"

    def __init__(
        self, message: str, *, line_no: int | None = None, column: str | None = None
    ) -> None:
        super().__init__(message, line_no=line_no, column=column)
        self.line_no = line_no
        self.column = column

    def __str__(self) -> str:
        where = [f"line {self.line_no}"] if self.line_no is not None else []
        where += [f"column {self.column}"] if self.column is not None else []
        return f"{', '.join(where)}: {self.message}" if where else self.message


class SettlementFileError(BillFileError):
    code = "settlement_file.refused"


class ConfirmationFileError(BillFileError):
    code = "confirmation_file.refused"


class NotSignedIn(CityBillError):
    code = "not_signed_in"


class NotAllowed(CityBillError):
    code = "not_allowed"


class NotFound(CityBillError):
    code = "not_found"


class Conflict(CityBillError):
    code = "conflict"


class AmountMismatch(Conflict):
    code = "amount.mismatch"


class IllegalTransition(Conflict):
    code = "state.illegal_transition"


class TooMany(CityBillError):
    code = "too_many"


class Upstream(CityBillError):
    code = "upstream"


class UpstreamUnavailable(Upstream):
    code = "upstream.unavailable"
