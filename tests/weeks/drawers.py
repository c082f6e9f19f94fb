"""The far side of cash at a counter: agents' drawers, and the day files they write."""

from dataclasses import dataclass
from datetime import date, datetime

from core.clock import billing_date
from core.money import yuan_text
from payments.counter.models import CashState

AGENTS = ("family", "postbank")
HEAD = "agent,kind,agent_txn_no,barcode,amount,happened_at,return_no"


@dataclass
class FarCash:
    """Cash an agent took. ``answer`` is what it heard of it; until ``back_at`` it is there."""

    agent: str
    agent_txn_no: str
    barcode: str
    amount_fen: int
    paid_at: datetime
    answer: CashState | None = None
    wants_back: bool = False  # the payer stands there, and we have not said yes or no
    back_at: datetime | None = None
    return_no: str = ""

    @property
    def name(self) -> str:
        return f"{self.agent}-{self.agent_txn_no}"


class Drawers:
    """Every agent's drawer."""

    def __init__(self) -> None:
        self.cash: list[FarCash] = []
        self.filed: set[date] = set()  # days whose file we have taken in

    def put(self, agent: str, barcode: str, amount_fen: int, at: datetime) -> FarCash:
        made = FarCash(agent, f"{len(self.cash) + 1:06d}", barcode, amount_fen, at)
        self.cash.append(made)
        return made

    def untold(self) -> list[FarCash]:
        return [one for one in self.cash if one.answer is None]

    def days(self) -> list[date]:
        """Return the days on which anything was taken, in their order."""
        return sorted({billing_date(one.paid_at) for one in self.cash})

    def file_of(self, day: date) -> bytes:
        """Write the agents' day file: cash taken on that day, and given back on it."""
        rows, total_fen = [], 0
        for one in self.cash:
            if billing_date(one.paid_at) != day or one.answer is CashState.UNMATCHED:
                continue
            facts = f"{one.agent_txn_no},{one.barcode}"
            rows.append(
                f"{one.agent},payment,{facts},{yuan_text(one.amount_fen)},"
                f"{one.paid_at.isoformat()},"
            )
            total_fen += one.amount_fen
            if one.back_at is not None:
                rows.append(
                    f"{one.agent},return,{facts},{yuan_text(-one.amount_fen)},"
                    f"{one.back_at.isoformat()},{one.return_no}"
                )
                total_fen -= one.amount_fen
        whole = [f"#COUNTER DAY,{day}", HEAD, *rows,
                 f"#TOTAL,{len(rows)},{yuan_text(total_fen)}"]  # fmt: skip
        return ("\n".join(whole) + "\n").encode()

    def total_fen(self) -> int:
        """Return what lies in the drawers that we may ask for."""
        return sum(
            one.amount_fen for one in self.cash
            if one.back_at is None and one.answer is not CashState.UNMATCHED
        )  # fmt: skip
