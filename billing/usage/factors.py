"""What usage is at home (showers, pots of rice) and in CO₂e, by figures that say their source.

The figures are data: ``factors.toml``, or an operator's own file of the same form. Decimal
all the way, rounded once, half up.
"""

import tomllib
from collections.abc import Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import Invalid
from providers.profiles import Service

BUILT_IN: Final = Path(__file__).parent / "factors.toml"
_Figure = Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=6)]
_Link = Annotated[str, Field(pattern=r"^https?://[^\s\"<>]+$")]


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    units: str
    url: _Link | None = None


class Carbon(_Told):
    """Kilograms of CO₂e a unit, of which year, and where that stands."""

    kg: _Figure
    year: int
    of_zh: str
    of_en: str
    source_zh: str
    source_en: str
    more_url: _Link | None = None
    read_on: date

    def grams(self, milli: int) -> int:
        """Return the grams of CO₂e of a usage in thousandths of a unit."""
        return int((self.kg * milli).quantize(Decimal(1), ROUND_HALF_UP))


class Likeness(_Told):
    """Something at home that takes ``each`` units once."""

    service: Service
    each: _Figure
    name_zh: str
    name_en: str
    how_zh: str
    how_en: str

    def count(self, milli: int) -> int:
        """Return how often a usage in thousandths of a unit would do it."""
        scale = 10**9
        each = int(self.each.scaleb(9))
        return (2 * milli * scale // 1000 + each) // (2 * each)


class Factors(BaseModel):
    """All figures of a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    carbon: dict[Service, Carbon]
    likeness: tuple[Likeness, ...]

    def carbon_of(self, service: Service, unit: str) -> Carbon | None:
        """Return the factor of a service, if it is of the unit that bills are in."""
        found = self.carbon.get(service)
        return found if found is not None and found.units == unit else None

    def likenesses_of(self, service: Service, unit: str) -> Sequence[Likeness]:
        return [one for one in self.likeness if (one.service, one.units) == (service, unit)]


@lru_cache(maxsize=4)
def load_factors(path: Path = BUILT_IN) -> Factors:
    """Read a file of figures, once.

    Raises:
        Invalid: it cannot be read, or a figure of it is wrong; which one is said.
    """
    try:
        return Factors.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as missing:
        raise Invalid(f"CITYBILL_USAGE_FACTORS: {path} cannot be read: {missing}") from missing
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
        raise Invalid(f"CITYBILL_USAGE_FACTORS: {path} is no TOML: {broken}") from broken
    except ValidationError as wrong:
        first = wrong.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Invalid(f"CITYBILL_USAGE_FACTORS: {path}: {where}: {first['msg']}") from wrong
