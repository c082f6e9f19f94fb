"""What a bill says of the meter: kept beside it, for the bill's page alone.

Usage and amounts never follow from it: meters get replaced, and some figures are estimates. A
reading belongs to a version of its bill; a correction that says nothing of the meter has none.
"""

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import polars as pl
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Numeric,
    SmallInteger,
    text,
)
from sqlmodel import Field, Session, SQLModel

from billing.files.limits import reading_complaint
from billing.models import Bill
from core.db import UtcDateTime, text_enum
from core.errors import Invalid
from providers.base import MeterReading, ReadingKind


class BillReading(SQLModel, table=True):
    """The meter as ``version`` of a bill states it."""

    __tablename__ = "bill_reading"
    __table_args__ = (
        CheckConstraint('"before" >= 0 AND "after" >= 0', name="never_negative"),
        CheckConstraint("version BETWEEN 1 AND 99", name="version_range"),
        ForeignKeyConstraint(["account_id", "bill_id"], ["bill.account_id", "bill.id"]),
    )

    account_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    bill_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    before: Decimal | None = Field(default=None, sa_type=Numeric(12, 3))
    after: Decimal | None = Field(default=None, sa_type=Numeric(12, 3))
    read_on: date | None = None
    version: int = Field(sa_type=SmallInteger)
    kind: ReadingKind | None = Field(default=None, sa_column=Column(text_enum(ReadingKind)))
    meter_no: str = ""
    recorded_at: datetime = Field(sa_type=UtcDateTime)

    @property
    def was_replaced(self) -> bool:
        """Whether the figures run backwards: another meter hangs there now."""
        return self.before is not None and self.after is not None and self.after < self.before


def reading_text(reading: MeterReading | None) -> str | None:
    """Write what a bill says of the meter as it waits in a staged row."""
    if reading is None:
        return None
    said: dict[str, Any] = {
        name: value if isinstance(value, str) else str(value)
        for name, value in reading._asdict().items()
        if value not in (None, "")
    }
    return json.dumps(said, ensure_ascii=False)


_COLUMNS: Final = """
    (r ->> 'before')::numeric, (r ->> 'after')::numeric, (r ->> 'read_on')::date, {version},
    r ->> 'kind', coalesce(r ->> 'meter_no', ''), :now
"""
_INSERT: Final = """
    INSERT INTO bill_reading (account_id, bill_id, "before", "after", read_on, version, kind,
                              meter_no, recorded_at)
"""
# Of one version the first word stands; a file that comes again changes nothing.
_NEWER: Final = """
    ON CONFLICT (account_id, bill_id) DO UPDATE
    SET "before" = excluded."before", "after" = excluded."after", read_on = excluded.read_on,
        version = excluded.version, kind = excluded.kind, meter_no = excluded.meter_no,
        recorded_at = excluded.recorded_at
    WHERE bill_reading.version < excluded.version
"""

_KEEP: Final = text(f"""
    {_INSERT}
    SELECT DISTINCT ON (a.id, b.id) a.id, b.id, {_COLUMNS.format(version="n.version")}
    FROM unnest(CAST(:account_nos AS text[]), CAST(:ids AS bigint[]), CAST(:versions AS int[]),
                CAST(:readings AS json[])) WITH ORDINALITY AS n (account_no, id, version, r, at)
    CROSS JOIN LATERAL (
        SELECT u.id FROM utility_account u
        WHERE u.provider_code = :provider_code AND u.account_no = n.account_no OFFSET 0) a
    CROSS JOIN LATERAL (
        SELECT h.id FROM bill h
        WHERE h.account_id = a.id AND h.id = n.id AND h.version = n.version
          AND h.id BETWEEN :first_id AND :last_id AND h.cancelled_at IS NULL OFFSET 0) b
    ORDER BY a.id, b.id, n.at
    {_NEWER}
""")  # noqa: S608  our own text above

# Of what replaces a bill in the table ``verdict`` of `billing.corrections`.
KEEP_OF_VERDICT: Final = text(f"""
    {_INSERT}
    SELECT v.account_id, v.id, {_COLUMNS.format(version="v.version")}
    FROM verdict v, CAST(v.reading AS json) AS r
    WHERE v.verdict = 'superseded' AND v.reading IS NOT NULL
    ORDER BY v.account_id, v.id
    {_NEWER}
""")  # noqa: S608  our own text above


def keep(session: Session, provider_code: str, rows: pl.DataFrame, *, now: datetime) -> None:
    """Keep what a chunk's rows say of meters, once its bills have landed; costs nothing without.

    Args:
        rows: as ``billing.files.staging`` has them.
    """
    told = rows["reading"]
    if told.null_count() == rows.height:
        return
    rows = rows.filter(told.is_not_null() & rows["kind"].is_in(["bill", "correct"]))
    session.execute(
        _KEEP,
        {
            "provider_code": provider_code,
            "account_nos": rows["account_no"].to_list(),
            "ids": rows["id"].to_list(),
            "versions": rows["version"].to_list(),
            "readings": rows["reading"].to_list(),
            "first_id": rows["id"].min(),
            "last_id": rows["id"].max(),
            "now": now,
        },
    )


def put_reading(session: Session, bill: Bill, reading: MeterReading, *, now: datetime) -> None:
    """Put down what a company tells of the meter later; its last word about a version stands.

    Raises:
        Invalid: it says nothing, or what no meter shows.
    """
    if reading == MeterReading():
        raise Invalid("the reading says nothing: send before, after or kind", code="reading.empty")
    complaint = reading_complaint(reading)
    if complaint is not None:
        raise Invalid(complaint, code="reading.invalid")
    session.merge(
        BillReading(
            account_id=bill.account_id, bill_id=bill.id, version=bill.version, recorded_at=now,
            **reading._asdict(),
        )
    )  # fmt: skip
    session.flush()


def get_reading(session: Session, ref: tuple[int, int], version: int) -> BillReading | None:
    """Return what a version of a bill says of the meter, if it says anything."""
    found = session.get(BillReading, ref)
    return found if found is not None and found.version == version else None
