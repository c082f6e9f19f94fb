"""What the demo city's bank said of earlier months: what the shop paid in, and a little else.

For staff to place: one sum is from somebody nobody knows, two days' money came too late to be
found by itself, one of them in two sums, and a payment that the shop's file lacks was paid to us.
"""

import io
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, select

from core.clock import add_months, month_start
from core.db import transaction
from core.money import yuan_text
from payments.gateways.counter import CODE
from payments.reconciliation.bank.accounts import list_accounts, name_account
from payments.reconciliation.intake.models import CameBy
from payments.reconciliation.intake.receiving import Given, Way
from payments.reconciliation.intake.work import take_now
from payments.reconciliation.models import Leg, Reconciliation

MONTHS = 13
_DAY = timedelta(days=1)
_ACCOUNT, _LABEL = "6217000000000000018", "城市结算户"
_BEFORE = (date.min, 5_000_000)  # it has told of nothing, and this is in it
_TOLD = text("""
    SELECT s.covers_to, s.closing_fen FROM bank_statement s JOIN bank_account a ON a.id = account_id
    WHERE a.account_no = :account ORDER BY s.covers_to DESC, s.id DESC LIMIT 1
""")
_LATE_DAYS = 12  # more than within which money is found by itself
_SATURDAY = 5


class _Entry(NamedTuple):
    fen: int
    words: str
    name: str = ""
    account: str = ""


_SHOP_PAYS = ("街角便利店有限公司", "6222000000000002026")
_Entries = Mapping[date, list[_Entry]]


def bring_statements(today: date, at: Callable[[date, int], datetime]) -> None:
    """Hand in what the bank said of the last months, but of yesterday: a file a month.

    A bank says a day once: what it said when the city was seeded before stands.

    Args:
        at: the moment of a day's hour at which something of the past is posted.
    """
    first, last = add_months(month_start(today), -MONTHS), today - 2 * _DAY
    with transaction() as session:
        entries = _entries(session, first, last)
        told_on, fen = session.execute(_TOLD, {"account": _ACCOUNT}).first() or _BEFORE
    days_to_tell = sorted(day for day in {*entries, last} if day > told_on)
    for month, days in groupby(days_to_tell, key=month_start):
        parts = []
        for day in days:
            parts.append(_statement(day, fen, entries.get(day, [])))
            fen += sum(one.fen for one in entries.get(day, []))
        until = min(add_months(month, 1) - _DAY, last)
        take_now(
            io.BytesIO("".join(parts).encode()), Given(leg=Leg.BANK), Way(CameBy.COMMAND), {},
            file_name=f"bank-{month:%Y-%m}.sta", now=at(until + _DAY, 9),
        )  # fmt: skip
    with transaction() as session:
        for account in list_accounts(session):
            name_account(session, account.id, _LABEL)


def _entries(session: Session, first: date, last: date) -> _Entries:
    """Return what the shop paid in of its days, a weekend's on Monday, and what else moved."""
    found: dict[date, list[_Entry]] = defaultdict(list)
    runs = _runs(session, first)
    nets = {run.day: fen for run in runs if (fen := run.their_total_fen - run.fee_total_fen)}
    late = sorted(day for day in nets if day + _LATE_DAYS * _DAY <= last)[-2:]
    for day in late:
        parts = (nets[day],) if day == late[-1] else (nets[day] // 3, nets[day] - nets[day] // 3)
        for at, fen in enumerate(parts):
            found[day + (_LATE_DAYS + at) * _DAY].append(_shop_pays(fen))
    sums: dict[date, int] = defaultdict(int)
    for day in nets.keys() - {*late}:
        sums[_paid_on(day)] += nets[day]
    for day, fen in sums.items():
        if day <= last:
            found[day].append(_shop_pays(fen))
    for day, fen, bill_no, name in session.execute(_FORGOTTEN, {"source": CODE}):
        found[_paid_on(day)].append(_Entry(fen, f"缴费 {bill_no}", name, "6222000000003141"))
    found[month_start(last)].append(_Entry(-1_500, "账户管理费"))
    found[last - 3 * _DAY].append(_Entry(8_650, "水费", "王先生", "6222000000000007777"))
    return found


# What the shop's files lack: it had been paid by transfer to us.
_FORGOTTEN = text("""
    SELECT r.day, p.amount_fen, b.bill_no, w.name
    FROM reconciliation_break r JOIN payment p ON p.order_no = r.reference
    JOIN person w ON w.id = p.payer_id
    JOIN payment_item i ON i.payment_id = p.id
    JOIN bill b ON (b.account_id, b.id) = (i.account_id, i.bill_id)
    WHERE (r.leg, r.source, r.state) = ('gateway', :source, 'open') AND r.theirs_fen IS NULL
""")


def _shop_pays(fen: int) -> _Entry:
    return _Entry(fen, "代收水电燃气费", *_SHOP_PAYS)


def _runs(session: Session, first: date) -> list[Reconciliation]:
    runs = select(Reconciliation).where(Reconciliation.source == CODE, Reconciliation.day >= first)
    return list(session.exec(runs.order_by(col(Reconciliation.day))))


def _paid_on(day: date) -> date:
    """Return the working day after."""
    after = day + _DAY
    return after + max(7 - after.weekday(), 0) * _DAY if after.weekday() >= _SATURDAY else after


def _statement(day: date, opens_fen: int, entries: list[_Entry]) -> str:
    """Write one day as MT940."""
    lines = [
        f":20:D{day:%Y%m%d}", f":25:{_ACCOUNT}", f":28C:{day:%j}/1",
        f":60F:{_amount(opens_fen, f'{day - _DAY:%y%m%d}CNY')}",
    ]  # fmt: skip
    for place, one in enumerate(entries, 1):
        lines.append(
            f":61:{_amount(one.fen, f'{day:%y%m%d}{day:%m%d}')}NTRFNONREF//B{day:%y%m%d}-{place}"
        )
        who = f"?31{one.account}?32{one.name}" if one.account else ""
        lines.append(f":86:166?20{one.words}{who}")
    closes_fen = opens_fen + sum(one.fen for one in entries)
    return "\n".join([*lines, f":62F:{_amount(closes_fen, f'{day:%y%m%d}CNY')}", "-", ""])


def _amount(fen: int, middle: str) -> str:
    """Write an amount as MT940 does; what stands in the middle differs by tag."""
    sign = "C" if fen >= 0 else "D"
    said = yuan_text(abs(fen)).replace(".", ",")
    return f"{sign}{middle}{said}" if middle.endswith("CNY") else f"{middle}{sign}{said}"
