"""What a payer remembers of a mandate."""

from dataclasses import dataclass, field
from datetime import datetime

from tests.weeks.city import Account


@dataclass
class Agreed:
    """A mandate as its payer knows it; ``caps`` is every cap they set, and whether we said yes."""

    mandate_id: int
    mandate_no: str
    person_id: int
    gateway: str
    accounts: list[Account]
    caps: list[tuple[datetime, int, bool]] = field(default_factory=list)
