"""How a day was closed: what was still open then, and why it was closed all the same."""

from datetime import date
from typing import Any

from sqlalchemy import CheckConstraint, Column, Date, ForeignKey
from sqlmodel import Field, SQLModel

from core.db import json_text


class DayClosing(SQLModel, table=True):
    """What a closed day's checklist said, once; who closed it and when stands in ``ledger_day``."""

    __tablename__ = "day_closing"
    __table_args__ = (CheckConstraint("despite ~ '[^[:space:]]'", name="reason_given"),)

    day: date = Field(sa_column=Column(Date, ForeignKey("ledger_day.day"), primary_key=True))
    despite: str | None = None  # the reason; none where nothing was open that asks for one
    # Each check that was not done: name, state, how_many, who.
    found: list[dict[str, Any]] = Field(sa_column=Column(json_text(), nullable=False))
