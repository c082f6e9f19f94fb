"""What the far side of Alipay knows, and what becomes of it.

Source: docs/wire/alipay.md.
"""

import secrets
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from pydantic import BaseModel

from core.clock import billing_date
from core.errors import NotFound
from core.money import yuan_text
from simulator.alipay_records import (
    APP_ID,
    SELLER_ID,
    Choice,
    Delivery,
    Failure,
    Fault,
    Refund,
    Trade,
    TradeStatus,
    beijing_text,
)
from simulator.far_books import FarBooks, whole
from simulator.journal import Journal
from simulator.one_time_faults import OneTimeFaults

_TERMS = ("total_fen", "subject")  # what a number cannot change any more


class AlipayBooks(FarBooks[Delivery]):
    """The state.

    Args:
        journal: read through once here, appended to afterwards.
        late_after: how long ``late`` and a slow refund take.
        retry_after: the waits between attempts at one notification.
    """

    def __init__(
        self, journal: Journal, *, late_after: timedelta, retry_after: Sequence[timedelta]
    ) -> None:
        kinds: dict[str, type[BaseModel]] = {"trade": Trade, "refund": Refund}
        super().__init__(journal, kinds, Delivery, retry_after=retry_after)
        self.faults = OneTimeFaults[Fault]()
        self._late_after = late_after
        self._trades: dict[str, Trade] = {}
        self._number_of: dict[str, str] = {}
        self._refunds: dict[tuple[str, str], Refund] = {}
        self._replay()

    def ask(self, asked: Trade, *, now: datetime) -> Trade:
        """Remember an order, once; no payer has come yet. Raises Failure."""
        with self._lock:
            known = self._trades.get(asked.out_trade_no)
            if known is None:
                extra = self.faults.take(asked.out_trade_no, Fault.OTHER_AMOUNT)
                self._change(asked.model_copy(update={"extra_fen": 1 if extra else 0}))
                return self._trades[asked.out_trade_no]
            known = self._now(known, now=now)
            if known.status is TradeStatus.TRADE_SUCCESS:
                raise Failure("ACQ.TRADE_HAS_SUCCESS")
            if known.status is TradeStatus.TRADE_CLOSED:
                raise Failure("ACQ.TRADE_HAS_CLOSE")
            if any(getattr(known, term) != getattr(asked, term) for term in _TERMS):
                raise Failure("ACQ.CONTEXT_INCONSISTENT")
            return known

    def find(self, out_trade_no: str, *, now: datetime) -> Trade:
        """Return a trade; one to which no payer has come is none. Raises Failure."""
        with self._lock:
            trade = self._trades.get(out_trade_no)
            if trade is not None:
                trade = self._now(trade, now=now)
            if trade is None or trade.trade_no is None:
                raise Failure("ACQ.TRADE_NOT_EXIST")
            return trade

    def by_token(self, token: str, *, now: datetime) -> Trade:
        """Return what a page is of. Raises NotFound."""
        with self._lock:
            if token not in self._number_of:
                raise NotFound("there is no such page")
            return self._now(self._trades[self._number_of[token]], now=now)

    def choose(self, token: str, choice: Choice, *, now: datetime) -> Trade:
        """Do what the payer pressed; what is over stays as it is."""
        with self._lock:
            trade = self.by_token(token, now=now)
            if not trade.waits:
                return trade
            if trade.trade_no is None:
                trade = trade.model_copy(
                    update={
                        "trade_no": f"{beijing_text(now)[:10].replace('-', '')}22001400"
                        f"{secrets.randbelow(10**12):012d}",
                        "created_at": whole(now),
                        "status": TradeStatus.WAIT_BUYER_PAY,
                    }
                )
            trade = trade.model_copy(update={"choice": choice})
            if choice is Choice.LATE:
                trade = trade.model_copy(update={"late_until": now + self._late_after})
            if choice in (Choice.LATE, Choice.ENTER, Choice.NO):
                self._change(trade)
                return trade
            return self._pay(trade, now=now)

    def close(self, out_trade_no: str, *, now: datetime) -> Trade:
        """Close a trade that waits. Raises Failure."""
        with self._lock:
            trade = self.find(out_trade_no, now=now)
            if trade.status is not TradeStatus.WAIT_BUYER_PAY:
                raise Failure("ACQ.TRADE_STATUS_ERROR")
            return self._close(trade, now=now)

    def refund(
        self, out_trade_no: str, out_request_no: str, amount_fen: int, *, now: datetime
    ) -> tuple[Refund, bool]:
        """Give money back, once; the flag tells whether it is new. Raises Failure."""
        with self._lock:
            trade = self.find(out_trade_no, now=now)
            known = self._refunds.get((out_trade_no, out_request_no))
            if known is not None:
                if known.amount_fen != amount_fen:
                    raise Failure("ACQ.DISCORDANT_REPEAT_REQUEST")
                return known, False
            if trade.paid_at is None:
                raise Failure("ACQ.TRADE_STATUS_ERROR")
            if self.refunded_fen(out_trade_no) + amount_fen > trade.taken_fen:
                raise Failure("ACQ.REASON_TRADE_REFUND_FEE_ERR")
            fault = self.faults.take(out_trade_no, Fault.NO_BALANCE, Fault.SLOW_REFUND)
            if fault is Fault.NO_BALANCE:
                raise Failure("ACQ.SELLER_BALANCE_NOT_ENOUGH")
            slow = now + self._late_after if fault is Fault.SLOW_REFUND else None
            made = Refund(
                out_request_no=out_request_no, out_trade_no=out_trade_no, amount_fen=amount_fen,
                refunded_at=whole(slow or now), due_at=slow,
            )  # fmt: skip
            if slow:
                self._change(made)
            else:
                self._send_back(trade, made, now=now)
            return made, True

    def find_refund(self, out_trade_no: str, out_request_no: str) -> Refund | None:
        """Return a refund that has been made."""
        with self._lock:
            found = self._refunds.get((out_trade_no, out_request_no))
            return found if found and found.due_at is None else None

    def refunded_fen(self, out_trade_no: str) -> int:
        """Return what went back of a trade so far, or is on its way."""
        with self._lock:
            return sum(
                one.amount_fen for (number, _), one in self._refunds.items()
                if number == out_trade_no
            )  # fmt: skip

    def paid_on(self, day: date) -> list[Trade]:
        """Return the trades paid on a Shanghai day."""
        with self._lock:
            trades = list(self._trades.values())
        return [one for one in trades if one.paid_at and billing_date(one.paid_at) == day]

    def refunded_on(self, day: date) -> list[tuple[Refund, Trade]]:
        """Return the refunds made on a Shanghai day, each with its trade."""
        with self._lock:
            made = [(one, self._trades[one.out_trade_no]) for one in self._refunds.values()]
        return [(r, t) for r, t in made if not r.due_at and billing_date(r.refunded_at) == day]

    def latest(self, limit: int) -> list[tuple[Trade, list[Delivery]]]:
        """Return the newest orders, each with its notifications."""
        with self._lock:
            newest = list(self._trades.values())[: -limit - 1 : -1]
            return [(one, self._told_of(one.out_trade_no)) for one in newest]

    def settle_due(self, *, now: datetime) -> None:
        """Pay every trade whose ``late`` is over, and make every slow refund that is due."""
        with self._lock:
            for trade in [one for one in self._trades.values() if one.late_until]:
                if trade.late_until is not None and trade.late_until <= now:
                    self._pay(trade, now=now)
            for refund in [one for one in self._refunds.values() if one.due_at]:
                if refund.due_at is not None and refund.due_at <= now:
                    made = refund.model_copy(update={"due_at": None, "refunded_at": whole(now)})
                    self._send_back(self._trades[made.out_trade_no], made, now=now)

    def _now(self, trade: Trade, *, now: datetime) -> Trade:
        """Return a trade as it stands, closed first if its time has run out."""
        if trade.waits and trade.expires_at is not None and now >= trade.expires_at:
            return self._close(trade, now=now)
        return trade

    def _close(self, trade: Trade, *, now: datetime) -> Trade:
        trade = trade.model_copy(update={"status": TradeStatus.TRADE_CLOSED, "late_until": None})
        self._change(trade, deliveries=_told(trade, now=now) if trade.trade_no else [])
        return trade

    def _pay(self, trade: Trade, *, now: datetime) -> Trade:
        trade = trade.model_copy(
            update={"status": TradeStatus.TRADE_SUCCESS, "paid_at": whole(now), "late_until": None}
        )
        deliveries: list[Delivery] = []
        if trade.choice is not Choice.NOTHING:
            deliveries += _told(trade, now=now)
        if trade.choice is Choice.TWICE:
            deliveries += _told(trade, now=now)
        self._change(trade, deliveries=deliveries)
        return trade

    def _send_back(self, trade: Trade, made: Refund, *, now: datetime) -> None:
        """Enter a refund; a trade of which all went back is closed."""
        self._refunds.setdefault((made.out_trade_no, made.out_request_no), made)
        if self.refunded_fen(trade.out_trade_no) == trade.taken_fen:
            trade = trade.model_copy(update={"status": TradeStatus.TRADE_CLOSED})
        told = {
            "refund_fee": yuan_text(self.refunded_fen(trade.out_trade_no)),
            "gmt_refund": f"{beijing_text(made.refunded_at)}.000",
            "out_biz_no": made.out_request_no,
        }
        self._change(trade, made, deliveries=_told(trade, now=now, **told))

    def _keep(self, record: BaseModel) -> None:
        match record:
            case Trade():
                self._trades[record.out_trade_no] = record
                self._number_of[record.token] = record.out_trade_no
            case Refund():
                self._refunds[record.out_trade_no, record.out_request_no] = record

    def _moments(self) -> Iterable[datetime | None]:
        yield from (one.late_until for one in self._trades.values())
        yield from (one.due_at for one in self._refunds.values())


def _told(trade: Trade, *, now: datetime, **more: str) -> list[Delivery]:
    """Write the notification of how a trade stands, if somebody is to be told."""
    if not trade.notify_url:
        return []
    notify_id = f"{beijing_text(now)[:10].replace('-', '')}00222{secrets.token_hex(12)}"
    total = yuan_text(trade.taken_fen)
    told = {
        "notify_type": "trade_status_sync",
        "notify_id": notify_id,
        "charset": "utf-8",
        "version": "1.0",
        "sign_type": "RSA2",
        "app_id": APP_ID,
        "auth_app_id": APP_ID,
        "seller_id": SELLER_ID,
        "buyer_logon_id": "138****0001",
        "trade_no": trade.trade_no or "",
        "out_trade_no": trade.out_trade_no,
        "trade_status": trade.status.value,
        "subject": trade.subject,
        "total_amount": total,
        "gmt_create": beijing_text(trade.created_at or now),
    }
    if trade.paid_at is not None:
        told |= {
            "receipt_amount": total,
            "gmt_payment": beijing_text(trade.paid_at),
            "fund_bill_list": f'[{{"amount":"{total}","fundChannel":"ALIPAYACCOUNT"}}]',
        }
    one = Delivery(
        delivery_id=notify_id, out_trade_no=trade.out_trade_no, url=trade.notify_url,
        told=told | more, due_at=now,
    )  # fmt: skip
    return [one]
