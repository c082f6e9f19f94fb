"""What the books can hold, whoever read the file: a row beyond it is rejected, and no other."""

from typing import Final

import polars as pl

from providers.base import BillRecord, MeterReading, Reject

MAX_FEN: Final = 10**12  # ten billion yuan; so that no sum of a chunk leaves 64 bits
YEARS: Final = range(2000, 2200)  # a key counts its months from January 2000
MAX_VERSION: Final = 99
_USAGE_DIGITS: Final = 9  # before the point; see ``bill.usage``
_METER_NO_LENGTH: Final = 32

_AMOUNT = "the amount is more than ten billion yuan: check its unit and its decimal point"
_USAGE = "the usage has more than nine digits before its point: check its unit"
_MONTH = "the billing month lies before 2000 or after 2199: correct the date"
_READING = "a meter reading has more than nine digits before its point: check its unit"
_READ_ON = "the meter was read before 2000 or after 2199: correct the date"
_METER_NO = "the meter number has more than 32 characters: shorten it"
_VERSION = "the version is not a number from 1 to 99"
_TOO_MUCH_USED = pl.col("usage").str.contains(f"^-?[0-9]{{{_USAGE_DIGITS + 1}}}|[^-.0-9]")
_REASON = (
    pl.when(pl.col("amount_fen").abs() > MAX_FEN)
    .then(pl.lit(_AMOUNT))
    .when(_TOO_MUCH_USED)
    .then(pl.lit(_USAGE))
    .when(~pl.col("billing_month").dt.year().is_between(YEARS.start, YEARS.stop - 1))
    .then(pl.lit(_MONTH))
    .when(~pl.col("version").is_between(1, MAX_VERSION))
    .then(pl.lit(_VERSION))
    .alias("reason")
)


def record_complaint(record: BillRecord) -> str | None:
    """Say why the books cannot hold a record, if they cannot."""
    if abs(record.amount_fen) > MAX_FEN:
        return _AMOUNT
    usage = record.usage
    if usage is not None and (not usage.is_finite() or usage.adjusted() >= _USAGE_DIGITS):
        return _USAGE
    if record.billing_month.year not in YEARS:
        return _MONTH
    if not 0 < record.version <= MAX_VERSION:
        return _VERSION
    return None if record.reading is None else reading_complaint(record.reading)


def reading_complaint(reading: MeterReading) -> str | None:
    """Say why the books cannot hold what was read off a meter, if they cannot."""
    for figure in (reading.before, reading.after):
        if figure is not None and (not figure.is_finite() or figure.adjusted() >= _USAGE_DIGITS):
            return _READING
    if reading.read_on is not None and reading.read_on.year not in YEARS:
        return _READ_ON
    return None if len(reading.meter_no) <= _METER_NO_LENGTH else _METER_NO


def split(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[Reject]]:
    """Part the rows of a bulk reader's frame into those that the books can hold and the others."""
    reasons = frame.select(_REASON)["reason"]
    if reasons.null_count() == frame.height:
        return frame, []
    named = pl.concat_str("account_no", "billing_month", "bill_no", separator=" ").alias("raw")
    beyond = frame.with_columns(reasons, named).filter(reasons.is_not_null())
    rejects = [
        Reject(line_no, "", reason, raw)
        for line_no, reason, raw in beyond.select("line_no", "reason", "raw").iter_rows()
    ]
    return frame.filter(reasons.is_null()), rejects
