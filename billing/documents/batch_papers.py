"""What stands in a volume: a share's bills or households, read a hundred at a time and drawn."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple, TypeVar

from sqlalchemy import ColumnElement, tuple_
from sqlmodel import Session, col, select

from billing.bills import ONLINE_MONTHS, views
from billing.documents.batches import (
    BatchKind,
    DocumentBatch,
    DocumentShare,
    Volume,
    note_progress,
    put,
    share_to_make,
    volume_path,
)
from billing.documents.bill_sheet import Printed
from billing.documents.charts import month_text
from billing.documents.household_statements import household_statement_volume
from billing.documents.paper import CHINESE, Properties
from billing.documents.pdf import bill_volume
from billing.homes.models import HouseholdAccount
from billing.household_statement import Statement, statements_of
from billing.models import Bill, UtilityAccount
from billing.rules.payable import Offer
from billing.views import BillView
from core.clock import add_months, billing_date
from core.db import HotStatement, transaction
from core.keys import month_range
from providers.registry import get_provider

CHUNK = 100
_HISTORY_MONTHS = 13
One = TypeVar("One")
OffersOf = Callable[[Session, Sequence[BillView]], Mapping[str, tuple[Offer, ...]]]


class NotWanted(Exception):
    """Somebody has called the batch off while its share was drawn."""


class Press(NamedTuple):
    """What every volume is made with; ``offers_of`` tells what may be paid for bills."""

    folder: Path | None
    public_url: str
    offers_of: OffersOf
    now: datetime


def make_share(batch_id: int, no: int, press: Press) -> bool:
    """Draw a share and put its volume in its place; tells whether it was this one that did."""
    with transaction() as session:
        found = share_to_make(session, batch_id, no)
    if found is None:
        return False
    batch, share = found
    place = volume_path(press.folder, batch_id, no)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        content, documents = _drawn(batch, share, press)
    except NotWanted:
        return False
    volume = _kept(content, documents, place)
    with transaction() as session:
        return put(session, batch_id, no, volume, place, now=press.now)


def _drawn(batch: DocumentBatch, share: DocumentShare, press: Press) -> tuple[bytes, int]:
    """Return a volume, and how many documents are in it."""
    counted: list[int] = []
    if batch.kind is BatchKind.BILLS:
        assert batch.provider_code is not None
        company = get_provider(batch.provider_code).name
        about = _about(f"{company} {month_text(batch.month)}账单", company, batch, share)
        content = bill_volume(_counted(_bills(batch, share, press), counted), about)
    else:
        about = _about(f"{month_text(batch.month)}家庭月度对账单", "CityBill", batch, share)
        content = household_statement_volume(
            _counted(_statements(batch, share), counted), about, locale="zh_CN",
            public_url=press.public_url,
        )  # fmt: skip
    return content, len(counted)


def _about(title: str, author: str, batch: DocumentBatch, share: DocumentShare) -> Properties:
    return Properties(
        title=f"{title} 第{share.no}册", author=author, subject=title, lang=CHINESE,
        made_at=batch.ordered_at,
    )  # fmt: skip


def _counted(documents: Iterator[One], counted: list[int]) -> Iterator[One]:
    for one in documents:
        counted.append(1)
        yield one


def _kept(content: bytes, documents: int, place: Path) -> Volume:
    """Write a volume beside its place, down to the disk."""
    with NamedTemporaryFile(dir=place.parent, suffix=".part", delete=False) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return Volume(
        Path(file.name), len(content), hashlib.sha256(content).hexdigest(), documents
    )  # fmt: skip


def _bills(batch: DocumentBatch, share: DocumentShare, press: Press) -> Iterator[Printed]:
    """Read the bills of a share, in the order of their accounts."""
    provider = get_provider(batch.provider_code or "")
    with transaction() as session:
        keys = session.exec(
            select(Bill.account_id, Bill.id)
            .join(UtilityAccount, col(UtilityAccount.id) == Bill.account_id)
            .where(UtilityAccount.provider_code == batch.provider_code, *_between(share))
            .where(*_in_month(batch.month), col(Bill.cancelled_at).is_(None), *_of_file(batch))
            .order_by(col(Bill.account_id), col(Bill.id))
        ).all()
    for at in range(0, len(keys), CHUNK):
        chunk = keys[at : at + CHUNK]
        _tell(share, at)
        with transaction() as session:
            shown = _shown(session, chunk, press.now)
            offers = press.offers_of(session, shown)
            history = _history(session, batch.month, shown)
        for bill in shown:
            before = history.get(bill.account.account_id, [])
            yield Printed(
                bill=bill, biller_no=provider.biller_no, phone=provider.phone,
                pay_url=f"{press.public_url}/bills/{bill.ref}", now=press.now,
                history=[*before[1 - _HISTORY_MONTHS :], (bill.billing_month, bill.amount_fen)],
                offers=offers[bill.ref],
            )  # fmt: skip


def _between(share: DocumentShare) -> list[ColumnElement[bool]]:
    key = tuple_(col(Bill.account_id), col(Bill.id))
    first, last = (share.first_id, share.first_bill_id), (share.last_id, share.last_bill_id)
    return [key >= tuple_(*first), key <= tuple_(*last)]


def _of_file(batch: DocumentBatch) -> list[ColumnElement[bool]]:
    return [] if batch.bill_file_id is None else [col(Bill.bill_file_id) == batch.bill_file_id]


def _in_month(month: date) -> list[ColumnElement[bool]]:
    first_id, after_id = month_range(month)
    return [col(Bill.id) >= first_id, col(Bill.id) < after_id]


def _shown(session: Session, keys: Sequence[tuple[int, int]], now: datetime) -> list[BillView]:
    """Return bills as they are printed for their holders, whose whole names go on letters."""
    rows = session.exec(
        select(Bill, UtilityAccount)
        .join(UtilityAccount, col(UtilityAccount.id) == Bill.account_id)
        .where(tuple_(col(Bill.account_id), col(Bill.id)).in_(keys))
        .order_by(col(Bill.account_id), col(Bill.id))
    ).all()
    accounts = {account.id: account for _, account in rows if account.id is not None}
    found = views(session, [bill for bill, _ in rows], accounts, today=billing_date(now))
    return [
        replace(one, account=replace(one.account, holder_masked=account.holder_name))
        for one, (_, account) in zip(found, rows, strict=True)
    ]


# What was billed before somebody moved away is nobody's to know who came after.
_HISTORY = HotStatement("""
    SELECT b.account_id, b.billing_month, b.amount_fen
    FROM unnest(CAST(:account_ids AS bigint[]), CAST(:until_ons AS date[])) AS n (id, until_on)
    CROSS JOIN LATERAL (
        SELECT max(left_on) AS left_on FROM account_departure
        WHERE account_id = n.id AND left_on < n.until_on) d
    JOIN bill b ON b.account_id = n.id AND b.id >= :first_id AND b.id < :before_id
    WHERE b.cancelled_at IS NULL AND b.amount_fen >= 0
      AND (d.left_on IS NULL OR b.period_to_on > d.left_on)
    ORDER BY b.account_id, b.billing_month, b.id
""")


def _history(
    session: Session, month: date, shown: Sequence[BillView]
) -> dict[int, list[tuple[date, int]]]:
    """Return what was billed before a month on the accounts of its bills, the oldest first."""
    until_ons = {one.account.account_id: one.period_to_on for one in shown}
    values = {
        "account_ids": list(until_ons), "until_ons": list(until_ons.values()),
        "before_id": month_range(month)[0],
        "first_id": month_range(add_months(month, -ONLINE_MONTHS))[0],
    }  # fmt: skip
    found: dict[int, list[tuple[date, int]]] = {}
    for account_id, billed, amount_fen in _HISTORY.rows(session, values):
        found.setdefault(account_id, []).append((billed, amount_fen))
    return found


def _statements(batch: DocumentBatch, share: DocumentShare) -> Iterator[Statement]:
    """Read the households of a share; those to which nothing happened have no statement."""
    with transaction() as session:
        households = session.exec(
            select(HouseholdAccount.household_id)
            .where(col(HouseholdAccount.household_id).between(share.first_id, share.last_id))
            .distinct()
            .order_by(col(HouseholdAccount.household_id))
        ).all()
    for at in range(0, len(households), CHUNK):
        chunk = households[at : at + CHUNK]
        _tell(share, at)
        with transaction() as session:
            found = statements_of(session, chunk, batch.month)
        yield from found


def _tell(share: DocumentShare, looked_at: int) -> None:
    """Say how far the share is.

    Raises:
        NotWanted: somebody has called the batch off.
    """
    if not note_progress(share.batch_id, share.no, min(looked_at, share.subjects)):
        raise NotWanted
