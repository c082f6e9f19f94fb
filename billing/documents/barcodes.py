"""The codes on a bill: thirty digits a counter scans or types, and a QR code for a phone.

What is said here of the thirty digits, agents' engineers read in ``docs/counter.md``.

The thirty digits, as Code 128 set C::

    biller 4 | account 13 | billing month YYMM 4 | amount in fen 8 | check digit 1

The account number is padded on the left with zeros. An amount of ``00000000`` asks the counter to
look the amount up. The check digit is that of GS1 (mod 10): from the right, the digits before it
weigh 3, 1, 3, 1 …; it brings the sum to a multiple of ten. It catches every single wrong digit of
someone typing; a scanner has Code 128's own check besides.
"""

import re
from dataclasses import dataclass
from datetime import date
from html import escape
from typing import Final

import segno
from reportlab.graphics.barcode.code128 import Code128
from reportlab.lib.colors import black
from reportlab.pdfgen.canvas import Canvas

from core.errors import Invalid

CODE_128_WIDTH: Final = 200  # modules of thirty digits: start, 15 pairs, check, stop; no quiet zone
_MOST_FEN: Final = 99_999_999
_QUIET, _HIGH = 10, 50  # modules beside the bars, and their height, on a page
_LAYOUT = re.compile(r"([0-9]{4})([0-9]{13})([0-9]{2})([0-9]{2})([0-9]{8})([0-9])")


@dataclass(frozen=True, slots=True, kw_only=True)
class BarcodeFields:
    """What a scanned bill says of itself."""

    biller_no: str
    account_no: str  # thirteen digits: compare it with the account's number after zfill(13)
    billing_month: date
    amount_fen: int | None  # None: look the amount up


def barcode_digits(biller_no: str, account_no: str, billing_month: date, amount_fen: int) -> str:
    """Return the thirty digits under a bill's barcode.

    An amount of zero, or of more than eight digits, is written as "look the amount up".

    Raises:
        Invalid: a part that does not fit; ``code`` says which (``barcode.biller_no``,
            ``barcode.account_no``, ``barcode.billing_month``, ``barcode.amount``).
    """
    if re.fullmatch(r"[0-9]{4}", biller_no) is None:
        raise Invalid("a biller number has four digits", code="barcode.biller_no")
    if re.fullmatch(r"[0-9]{1,13}", account_no) is None:
        raise Invalid(
            "a barcode holds an account number of one to thirteen digits and nothing else",
            code="barcode.account_no",
        )
    if not 2000 <= billing_month.year <= 2099:
        raise Invalid(
            "a barcode holds a month of the years 2000 to 2099", code="barcode.billing_month"
        )
    if amount_fen < 0:
        raise Invalid(
            "a credit cannot be paid at a counter: it has no barcode", code="barcode.amount"
        )
    shown_fen = amount_fen if amount_fen <= _MOST_FEN else 0
    month = f"{billing_month.year % 100:02d}{billing_month.month:02d}"
    body = f"{biller_no}{account_no.zfill(13)}{month}{shown_fen:08d}"
    return body + check_digit(body)


def parse_barcode(digits: str) -> BarcodeFields:
    """Read the thirty digits back; blanks between them, as printed, are allowed.

    Raises:
        Invalid: not thirty digits, a check digit that does not match, or no such month.
    """
    match = _LAYOUT.fullmatch(digits.replace(" ", ""))
    if match is None:
        raise Invalid("a bill's barcode has thirty digits", code="barcode.malformed")
    biller_no, account_no, year, month, amount, check = match.groups()
    if check_digit("".join(match.groups()[:-1])) != check:
        raise Invalid(
            "the check digit does not match: scan again, or compare each digit with the bill",
            code="barcode.check_digit",
        )
    if not 1 <= int(month) <= 12:
        raise Invalid(f"the barcode names a month {month}", code="barcode.malformed")
    return BarcodeFields(
        biller_no=biller_no,
        account_no=account_no,
        billing_month=date(2000 + int(year), int(month), 1),
        amount_fen=int(amount) or None,
    )


def grouped(digits: str) -> str:
    """Set the thirty digits in groups that an eye can hold, part by part."""
    parts = (digits[:4], digits[4:8], digits[8:12], digits[12:17], digits[17:21], digits[21:])
    return " ".join(parts)


def check_digit(body: str) -> str:
    """Return the digit that brings the weighed sum to a multiple of ten."""
    total = sum(int(d) * (1 if at % 2 else 3) for at, d in enumerate(reversed(body)))
    return str(-total % 10)


def draw_code_128(canvas: Canvas, digits: str, *, x: int, y: int, height: int) -> None:
    """Draw the bars, each module one point (0.35 mm) wide; keep ten points clear on both sides."""
    canvas.setFillColor(black)
    Code128(digits, barWidth=1, barHeight=height, quiet=0).drawOn(canvas, x, y)


def code_128_svg(digits: str, *, label: str) -> str:
    """Return the bars as an ``<svg>`` element to stand in a page, black on white in any theme.

    Args:
        label: what it is, for who cannot see it.
    """
    code = Code128(digits, quiet=0)
    code.validate()
    code.encode()
    code.decompose()
    bars, x = [], _QUIET
    for mark in code.decomposed:  # A to D is a bar of one to four modules, a to d a gap
        width = ord(mark.upper()) - ord("A") + 1
        if mark.isupper():
            bars.append(f"M{x} 0h{width}v{_HIGH}h-{width}z")
        x += width
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(label)}" '
        f'viewBox="0 -4 {x + _QUIET} {_HIGH + 8}" shape-rendering="crispEdges">'
        f'<path fill="#fff" d="M0 -4h{x + _QUIET}v{_HIGH + 8}h-{x + _QUIET}z"/>'
        f'<path fill="#000" d="{"".join(bars)}"/></svg>'
    )


@dataclass(frozen=True, slots=True)
class QrCode:
    """A QR code of error level M, in whole points; keep four modules clear around it."""

    rows: tuple[bytearray, ...]
    module: int

    @classmethod
    def of(cls, text: str) -> "QrCode":
        rows = segno.make_qr(text, error="m", boost_error=False).matrix
        return cls(tuple(rows), 2 if len(rows) <= 57 else 1)

    @property
    def side(self) -> int:
        return len(self.rows) * self.module

    def draw(self, canvas: Canvas, *, x: int, top: int) -> None:
        """Draw with the upper left corner at ``(x, top)``, each row's dark runs as one bar."""
        step, runs = self.module, []
        for down, row in enumerate(self.rows, start=1):
            for run in re.finditer(rb"\x01+", bytes(row)):
                left, right = run.span()
                runs.append(
                    f"{x + left * step} {top - down * step} {(right - left) * step} {step} re"
                )
        canvas.setFillColor(black)
        canvas.addLiteral("\n".join([*runs, "f"]))
