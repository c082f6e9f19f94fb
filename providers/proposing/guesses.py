"""One column of a sample, and what it is taken for."""

from dataclasses import dataclass
from typing import Final, Literal

from providers.formats.dates import DateFormat
from providers.profile_tables import Role
from providers.proposing.values import WEAK, Facts, Style, is_month
from providers.proposing.words import Meaning

Sure = Literal["sure", "likely", "perhaps"]
ASK: Final = "# ASK THE COMPANY: "  # marks a line that only the company can answer
DAY_ROLES: Final[tuple[Role, ...]] = ("period_from", "period_to", "issued", "due")
MONEY_ROLES: Final[tuple[Role, ...]] = (
    "amount", "charge", "early_amount", "late_amount", "minimum_amount",
)  # fmt: skip
_NEVER_DAYS: Final = (
    "account_no", "bill_no", "amount", "charge", "quantity", "version", "holder_name", "address",
)  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Guess:
    """A column; ``holds`` is ``unused`` until something speaks for more."""

    at: int
    name: str
    facts: Facts
    says: Meaning | None = None
    holds: Role = "unused"
    why: str = ""
    sure: Sure = "perhaps"
    layout: DateFormat | None = None
    trusts_weak: bool = False  # it was cut out as a day

    def take(self, role: Role, why: str, sure: Sure) -> None:
        self.holds, self.why, self.sure = role, why, sure

    @property
    def is_free(self) -> bool:
        return self.holds == "unused" and not (self.says is not None and self.says.role == "unused")

    @property
    def style(self) -> Style | None:
        return self.facts.style

    @property
    def is_punched(self) -> bool:
        """Whether its figures are signed in their last character, as mainframes do."""
        return self.style is not None and self.style.punched

    @property
    def day_layouts(self) -> list[DateFormat]:
        """The layouts by which its cells are days; weak ones only where the name says so."""
        if self.says is not None and self.says.exact and self.says.role in _NEVER_DAYS:
            return []
        named = self.says is not None and self.says.role in (*DAY_ROLES, "early_until")
        named = named or self.trusts_weak
        return [
            layout
            for layout in self.facts.layouts
            if not is_month(layout) and (named or layout not in WEAK)
        ]

    @property
    def month_layouts(self) -> list[DateFormat]:
        named = self.says is not None and self.says.role == "billing_month"
        return [
            layout
            for layout in self.facts.layouts
            if is_month(layout) and (named or layout not in WEAK)
        ]
