"""What a company may decide about its bills: one TOML a company, checked key by key.

Pure: no database, no clock. Amounts are fen; rates are parts per million (``_ppm``: 500 is 0.05 %),
because a rate is no float. ``docs/terms.md`` explains every key to those who write them.
"""

import re
import tomllib
from datetime import time
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from billing.rules.tables import Table
from billing.rules.tiers import StepFault, Tiers
from billing.rules.workdays import check_calendar
from core.errors import Invalid
from providers.base import Exactness
from providers.profile_lines import LineFinder

Fen = Annotated[int, Field(ge=0, le=10**12, strict=True)]
Ppm = Annotated[int, Field(ge=0, le=10**6, strict=True)]


def _of_the_city(value: object) -> object:
    """Take an hour of the city's clocks: left alone, pydantic reads 17 as seconds."""
    if not isinstance(value, time) or value.tzinfo is not None:
        raise ValueError("write the hour as 17:00:00, with seconds and without quotes")
    return value


def _known(calendar: str) -> str:
    complaint = check_calendar(calendar)
    if complaint:
        raise ValueError(complaint)
    return calendar


Hour = Annotated[time, BeforeValidator(_of_the_city)]
Calendar = Annotated[str, AfterValidator(_known)]
MAX_SPLITS = 5


class Amount(Table):
    """Which amounts are taken for a bill of this company (rule 2)."""

    mode: Exactness = Exactness.EXACT
    minimum_fen: Fen | None = None
    maximum_fen: Fen | None = None
    multiple_fen: Annotated[int, Field(ge=1, strict=True)] | None = None

    @model_validator(mode="after")
    def _mode_has_its_figures(self) -> Self:
        if self.mode is Exactness.RANGE and (self.minimum_fen is None or self.maximum_fen is None):
            raise ValueError("mode 'range' needs minimum_fen and maximum_fen")
        if (self.mode is Exactness.MULTIPLE_OF) != (self.multiple_fen is not None):
            raise ValueError("mode 'multiple_of' and multiple_fen go together")
        if None not in (self.minimum_fen, self.maximum_fen) and (
            (self.minimum_fen or 0) > (self.maximum_fen or 0)
        ):
            raise ValueError("minimum_fen is above maximum_fen")
        return self


class Surplus(StrEnum):
    """What becomes of money above what is owed."""

    REFUSE = "refuse"  # it is not taken
    ADVANCE = "advance"  # it goes to the company as a prepayment


class FeeSlab(Table):
    """The convenience fee of amounts up to and with ``upto_fen``; none: however large."""

    upto_fen: Fen | None = None
    fixed_fen: Fen = 0
    rate_ppm: Ppm = 0


class FeePayer(StrEnum):
    RESIDENT = "resident"
    COMPANY = "company"  # settled between us and the company; never shown as the resident's


class Fee(Table):
    slabs: tuple[FeeSlab, ...] = ()
    tax_ppm: Ppm = 0
    paid_by: FeePayer = FeePayer.RESIDENT

    @model_validator(mode="after")
    def _slabs_rise(self) -> Self:
        ends = [slab.upto_fen for slab in self.slabs]
        if ends and ends[-1] is not None:
            raise ValueError("the last slab has no upto_fen: it is for every larger amount")
        bounded = [end for end in ends[:-1] if end is not None]
        if len(bounded) < len(ends) - 1 or bounded != sorted(set(bounded)):
            raise ValueError("each slab but the last has an upto_fen above the one before")
        return self


class LateFee(Table):
    """What lateness costs. Penalty, interest and one-off are three things; all may apply (24)."""

    grace_days: Annotated[int, Field(ge=0, le=365, strict=True)] = 0
    once_fen: Fen = 0
    penalty_ppm: Ppm = 0  # of what is open when the grace is over, once
    interest_ppm_per_day: Ppm = 0  # of what is open, for every day since it was due
    cap_ppm: Ppm = 10**6  # of the bill's amount: all three together never more
    stop_after_days: Annotated[int, Field(ge=1, le=730, strict=True)] = 180


class Roll(StrEnum):
    """Where a due date goes that falls on a day off (rule 19)."""

    NONE = "none"
    NEXT_WORKING_DAY = "next_working_day"
    LAST_WORKING_DAY_OF_MONTH = "last_working_day_of_month"


class Due(Table):
    calendar: Calendar = "CN"  # the country whose public holidays and make-up days count
    roll: Roll = Roll.NONE


class CutOff(Table):
    """A payment before ``at``, Shanghai time, counts that day, else the next (rule 21).

    So it is also the hour at which the last day to pay ends (rule 19).
    """

    at: Hour | None = None  # none: every moment counts on its own day
    working_days: StrictBool = False


class Quote(Table):
    """How long amounts that were shown may be paid (rule 17)."""

    minutes: Annotated[int, Field(ge=5, le=1440, strict=True)] = 30
    same_day: StrictBool = False


class WriteOff(Table):
    """How long the company may take to confirm a payment; what it never took then goes back."""

    hours: Annotated[int, Field(ge=1, le=720, strict=True)] = 48


class Cycle(Table):
    """In which months a bill comes (rule 22). ``months = 2, anchor_month = 1`` is every odd one."""

    months: Annotated[int, Field(ge=1, le=12, strict=True)] = 1
    anchor_month: Annotated[int, Field(ge=1, le=12, strict=True)] = 1
    expect_within_days: Annotated[int, Field(ge=1, le=120, strict=True)] = (
        40  # after the billing month's end
    )


class Mode(StrEnum):
    """How a gateway takes money."""

    WALLET = "wallet"
    CARD = "card"
    CASH = "cash"
    BANK_DEBIT = "bank_debit"


class Channel(StrEnum):
    """Where the payer is."""

    WEB = "web"
    API = "api"
    TV = "tv"
    COUNTER = "counter"
    KIOSK = "kiosk"
    AUTOPAY = "autopay"  # nowhere: they agreed once


class Limit(Table):
    """A way to pay this company: a mode, on which channels, up to how much (rule 5)."""

    mode: Mode
    channels: Annotated[tuple[Channel, ...], Field(min_length=1)]
    maximum_fen: Fen | None = None

    @model_validator(mode="after")
    def _cash_is_for_counters(self) -> Self:
        if self.mode is Mode.CASH and not {*self.channels} <= {Channel.COUNTER, Channel.KIOSK}:
            raise ValueError("cash is taken at a counter or a kiosk only")
        return self


class Period(StrEnum):
    OLDEST_FIRST = "oldest_first"
    NEWEST_FIRST = "newest_first"
    LARGEST_FIRST = "largest_first"


class Head(StrEnum):
    """What a bill consists of, to a payment."""

    LATE_FEE = "late_fee"
    CHARGE = "charge"


class Proof(StrEnum):
    """What somebody knows of an account who is no member of its household."""

    AMOUNT = "amount"  # the amount of one of its last three bills
    NAME = "name"  # its holder's, in full


class Guest(Table):
    """By which proofs somebody who is no member may pay an account; none: nobody may."""

    proofs: tuple[Proof, ...] = (Proof.AMOUNT, Proof.NAME)


class Apportion(Table):
    """In which order money covers what is open (rule 9)."""

    periods: Period = Period.OLDEST_FIRST
    heads: tuple[Head, ...] = (Head.CHARGE, Head.LATE_FEE)

    @model_validator(mode="after")
    def _each_head_once(self) -> Self:
        if sorted(self.heads) != sorted(Head):
            raise ValueError(f"heads names each of {', '.join(sorted(Head))} once")
        return self


class Credits(Table):
    """Whether and in which order negative bills cover open ones."""

    consume: StrictBool = True
    order: Period = Period.OLDEST_FIRST


def _written(pattern: str, told: str) -> AfterValidator:
    """Take a text written so; else say how."""

    def check(value: str) -> str:
        if re.fullmatch(pattern, value) is None:
            raise ValueError(told)
        return value

    return AfterValidator(check)


class BankAccount(Table):
    """Where money is sent: an account as a bank knows it."""

    # A name that a spreadsheet would take for a formula is no name.
    name: Annotated[
        str,
        _written(
            r"(?=.{1,70}$)[^\s=+@-](.*\S)?", "write whose account it is, in 70 characters at most"
        ),
    ]
    account_no: Annotated[
        str, _written(r"[0-9A-Z]{6,34}", "write 6 to 34 digits or capital letters, without blanks")
    ]
    bank_code: Annotated[str, _written(
        r"[0-9]{12}|[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?",
        "write the bank's CNAPS code of twelve digits, or its BIC",
    )]  # fmt: skip


class Basis(StrEnum):
    """What of the money we took is paid out to the company."""

    NET = "net"  # what is left after refunds, lost disputes and our fees
    GROSS = "gross"  # all of it; what the company owes us is claimed apart


class Remit(Table):
    """How and when the company gets what we took for it (rule 47)."""

    days: Annotated[int, Field(ge=0, le=30, strict=True)] = 1  # working days after the day itself
    basis: Basis = Basis.NET
    minimum_fen: Fen = 0  # less waits for the next day
    account: BankAccount | None = None  # its primary; none: nothing can be paid out


class Split(Table):
    """A share of what is settled to the company that goes to another of its accounts (rule 10)."""

    account_ref: Annotated[str, Field(min_length=1, max_length=64)]
    fixed_fen: Fen = 0
    rate_ppm: Ppm = 0
    account: BankAccount | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.fixed_fen == 0) == (self.rate_ppm == 0):
            raise ValueError("a split has a fixed_fen or a rate_ppm above zero, not both")
        return self


class Terms(Table):
    """Everything a company decides; the defaults are the plainest there are."""

    amount: Amount = Amount()
    surplus: Surplus = Surplus.REFUSE
    fee: Fee = Fee()
    late_fee: LateFee = LateFee()
    due: Due = Due()
    cut_off: CutOff = CutOff()
    quote: Quote = Quote()
    write_off: WriteOff = WriteOff()
    cycle: Cycle = Cycle()
    limits: tuple[Limit, ...] = ()  # none: every mode on every channel
    guest: Guest = Guest()
    apportion: Apportion = Apportion()
    credits: Credits = Credits()
    remit: Remit = Remit()
    splits: Annotated[tuple[Split, ...], Field(max_length=MAX_SPLITS - 1)] = ()
    tiers: Tiers | None = None  # none: every unit costs the same, or nobody knows

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        above = {Exactness.EXACT_AND_ABOVE, Exactness.ANY, Exactness.RANGE, Exactness.MULTIPLE_OF}
        if self.surplus is Surplus.ADVANCE and self.amount.mode not in above:
            raise ValueError(
                f"surplus 'advance' needs an amount.mode of {', '.join(sorted(above))}"
            )
        if self.splits and self.amount.mode not in {Exactness.EXACT, Exactness.EXACT_AND_ABOVE}:
            raise ValueError("splits need amount.mode 'exact' or 'exact_and_above'")
        if sum(split.rate_ppm for split in self.splits) > 10**6:
            raise ValueError("splits: the rates together are more than the whole")
        if len({split.account_ref for split in self.splits}) < len(self.splits):
            raise ValueError("splits: an account is named twice")
        if self.remit.account and any(split.account is None for split in self.splits):
            raise ValueError("splits: with remit.account, each split needs its account too")
        return self


@lru_cache(maxsize=256)
def parse_terms(content: str) -> Terms:
    """Read and check a company's terms, written in TOML.

    Raises:
        Invalid: the message names the table and key, and what would be right.
    """
    try:
        return Terms.model_validate(tomllib.loads(content))
    except tomllib.TOMLDecodeError as wrong:
        raise Invalid(f"the terms are not TOML: {wrong}", code="terms.invalid") from None
    except ValidationError as wrong:
        told = "; ".join(_told(error, content) for error in wrong.errors())
        raise Invalid(told, code="terms.invalid") from None


def _told(error: ErrorDetails, content: str) -> str:
    """Say one complaint; among steps, which are much alike, with its line."""
    fault = error.get("ctx", {}).get("error")
    path = error["loc"] + (fault.path if isinstance(fault, StepFault) else ())
    told = f"{'.'.join(map(str, path)) or 'terms'}: {_remedy(error)}"
    return f"line {LineFinder(content).line(path)}: {told}" if path[:1] == ("tiers",) else told


def _remedy(error: ErrorDetails) -> str:
    """Say what is wrong with a key, to those who write it."""
    if error["type"] == "extra_forbidden":
        return "there is no such key: docs/terms.md names them all"
    return error["msg"].removeprefix("Value error, ")
