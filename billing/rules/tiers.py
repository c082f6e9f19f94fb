"""Tiers: the more a home uses in a year, the dearer the next unit. Pure: no database, no clock.

A company's steps are the table ``[tiers]`` of its terms, and so proposed by one person, approved by
another and in force from a day on. They explain a bill; its amount is the company's and never
recomputed.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from billing.rules.tables import Table
from core.money import price

_YUAN: Final = re.compile(r"(0|[1-9][0-9]{0,3})\.[0-9]{2,4}")


class StepFault(ValueError):
    """A step that does not fit the others; ``path`` leads to it from its table."""

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.path = path


def _price(value: object) -> object:
    if not isinstance(value, str) or _YUAN.fullmatch(value) is None:
        raise ValueError('write yuan a unit in quotes, with two to four decimals: "0.617"')
    return Decimal(value)


Yuan = Annotated[Decimal, BeforeValidator(_price)]


class Step(Table):
    """What the units up to and with ``upto`` cost each; none: however many."""

    upto: Annotated[int, Field(ge=1, le=10**9, strict=True)] | None = None
    yuan: Yuan
    valley_yuan: Yuan | None = None  # where nights are cheaper; ``yuan`` is then the day's


class Tiers(Table):
    """The steps of a company's household tariff, counted through a year.

    One step begins where the one before it ends, so that there can be no gap and no overlap.
    """

    unit: Literal["m³", "kWh"]
    year_from_month: Annotated[int, Field(ge=1, le=12, strict=True)] = 1
    # Homes of so many people may ask the company for more of the cheaper steps.
    more_from_people: Annotated[int, Field(ge=2, le=20, strict=True)] | None = None
    steps: Annotated[tuple[Step, ...], Field(min_length=2, max_length=9)]

    @model_validator(mode="after")
    def _steps_rise(self) -> Self:
        before = 0
        for at, step in enumerate(self.steps[:-1]):
            if step.upto is None:
                raise StepFault(
                    f"step {at + 1} has no upto: say where it ends; the next begins there",
                    "steps", at,
                )  # fmt: skip
            if step.upto <= before:
                raise StepFault(
                    f"step {at + 1} ends at {step.upto}, inside the step before it, which ends at"
                    f" {before}: let each end above the one before",
                    "steps", at, "upto",
                )  # fmt: skip
            before = step.upto
        if self.steps[-1].upto is not None:
            raise StepFault(
                "the last step has no upto: it is for every further unit",
                "steps", len(self.steps) - 1, "upto",
            )  # fmt: skip
        valleys = {step.valley_yuan is None for step in self.steps}
        if len(valleys) > 1:
            raise StepFault("all steps have a valley_yuan, or none", "steps")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUse:
    """How much of one step a year has used; ``no`` counts from 1."""

    no: int
    above: int
    upto: int | None
    yuan: Decimal
    valley_yuan: Decimal | None
    before: Decimal
    now: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class TierStand:
    """Where an account stands in its year after a bill."""

    unit: str
    steps: tuple[StepUse, ...]
    before: Decimal
    now: Decimal

    @property
    def used(self) -> Decimal:
        return self.before + self.now

    @property
    def step(self) -> StepUse:
        """The step that the next unit falls in."""
        return next(one for one in self.steps if one.upto is None or self.used < one.upto)

    @property
    def left(self) -> Decimal | None:
        """How much is left of it; None: it is the last."""
        upto = self.step.upto
        return None if upto is None else upto - self.used

    @property
    def highest(self) -> StepUse:
        """The highest step this bill used anything of; of nothing used, the first."""
        return next((one for one in reversed(self.steps) if one.now > 0), self.steps[0])

    @property
    def dearer_fen(self) -> int:
        """What its units above the first step cost more than they would have in it."""
        first = self.steps[0].yuan
        return sum(price(one.now, one.yuan - first) for one in self.steps[1:])


def stand(tiers: Tiers, before: Decimal, now: Decimal) -> TierStand:
    """Divide a bill's usage over the steps, after what its year had used before.

    Args:
        before: not below zero, like ``now``.
    """
    steps, above = [], 0
    for no, step in enumerate(tiers.steps, start=1):
        steps.append(
            StepUse(
                no=no, above=above, upto=step.upto, yuan=step.yuan, valley_yuan=step.valley_yuan,
                before=_within(before, above, step.upto),
                now=_within(before + now, above, step.upto) - _within(before, above, step.upto),
            )
        )  # fmt: skip
        above = step.upto or above
    return TierStand(unit=tiers.unit, steps=tuple(steps), before=before, now=now)


def _within(used: Decimal, above: int, upto: int | None) -> Decimal:
    top = used if upto is None else min(used, Decimal(upto))
    return max(top - above, Decimal(0))
