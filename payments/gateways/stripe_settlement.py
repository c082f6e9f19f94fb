"""Stripe's report of a day: every movement of our balance there but the payouts.

``balance_change_from_activity.itemized.3`` is made on demand and in a while, so the first question
for a day orders it and a later one fetches it. It carries no totals: the size Stripe tells of the
file, and net = gross - fee on every row, stand in for them.

Source: docs/wire/stripe.md, "The day's report".
"""

import csv
import io
from collections.abc import Mapping
from datetime import UTC, date, datetime

from core.clock import billing_date, day_bounds
from core.errors import Invalid, SettlementFileError
from core.money import parse_yuan
from payments.gateways.base import FileState, SettlementFetch, SettlementRecord
from payments.gateways.stripe_replies import CURRENCY
from payments.gateways.stripe_wire import NoAnswer, Refused, Told, Wire, at, fen_at, text_at

REPORT = "balance_change_from_activity.itemized.3"
_ORDER_NO, _REFUND_NO = "payment_metadata[order_no]", "refund_metadata[refund_no]"
_NEEDED = (
    "balance_transaction_id", "created_utc", "currency", "gross", "fee", "net",
    "reporting_category", "source_id", "payment_intent_id", _ORDER_NO, _REFUND_NO,
)  # fmt: skip
_ASKED_FOR = [*_NEEDED, "charge_id", "description", "automatic_payout_id"]
_KINDS = {
    "charge": "payment", "refund": "refund", "partial_capture_reversal": "refund",
    "dispute": "chargeback", "dispute_reversal": "chargeback",
    "fee": "fee", "network_cost": "fee", "tax": "fee",
    "payout": "payout", "payout_reversal": "payout",
}  # fmt: skip


def fetch_report(wire: Wire, day: date) -> SettlementFetch:
    """Order the report of a Shanghai day, or fetch it once it is made.

    Raises:
        UpstreamUnavailable: it could not be asked.
    """
    try:
        return _fetch(wire, day)
    except (NoAnswer, Refused):
        return SettlementFetch(FileState.UNKNOWN)


def _fetch(wire: Wire, day: date) -> SettlementFetch:
    start, end = (int(moment.timestamp()) for moment in day_bounds(day))
    reporting = wire.api.reporting
    known = wire.ask(lambda: reporting.report_types.retrieve(REPORT))
    known_until = fen_at(known, "data_available_end")
    if known_until is None:
        return SettlementFetch(FileState.UNKNOWN)
    if known_until < end:
        return SettlementFetch(FileState.NOT_YET)
    run = _run_of(wire, start, end)
    if run.get("status") == "pending":
        return SettlementFetch(FileState.NOT_YET)
    file_id = text_at(run, "result.id")
    if run.get("status") != "succeeded" or file_id is None:
        return SettlementFetch(FileState.UNKNOWN)
    content = wire.file(file_id)
    if len(content) != fen_at(run, "result.size"):
        return SettlementFetch(FileState.UNKNOWN)
    if len(content.split(b"\n", 2)) < 2 or not content.split(b"\n", 1)[1].strip():
        return SettlementFetch(FileState.NO_DATA)
    return SettlementFetch(FileState.READY, f"stripe-{day}.csv", content)


def _run_of(wire: Wire, start: int, end: int) -> Told:
    """Return the run of an interval: one that was ordered before, or a new one."""
    runs, failed = wire.api.reporting.report_runs, 0
    for run in wire.pages(runs.list, {"created": {"gte": start}}):
        span = at(run, "parameters.interval_start"), at(run, "parameters.interval_end")
        if run.get("report_type") == REPORT and span == (start, end):
            if run.get("status") in {"pending", "succeeded"}:
                return run
            failed += 1
    return wire.ask(
        lambda: runs.create(
            {
                "report_type": REPORT,
                "parameters": {
                    "interval_start": start, "interval_end": end, "columns": _ASKED_FOR,
                },
            },
            {"idempotency_key": f"{REPORT}-{start}-{failed}"},
        )
    )  # fmt: skip


def read_report(content: bytes, day: date) -> list[SettlementRecord]:
    """Read a day's report whole.

    Raises:
        SettlementFileError: malformed, of another day or currency, or a row does not add up.
    """
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as wrong:
        raise SettlementFileError(f"not a UTF-8 CSV file: {wrong}") from wrong
    header = rows[0] if rows else []
    missing = [name for name in _NEEDED if header.count(name) != 1]
    if missing:
        raise SettlementFileError(
            f"no column {missing[0]!r}, or more than one: is it a report {REPORT}, with our"
            " columns?", line_no=1,
        )  # fmt: skip
    seen: dict[str, int] = {}
    found = []
    for line_no, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise SettlementFileError(
                f"{len(row)} cells where the header has {len(header)}: is the file whole?",
                line_no=line_no,
            )
        cells = dict(zip(header, row, strict=True))
        number = cells["balance_transaction_id"]
        if number in seen:
            raise SettlementFileError(
                f"{number!r} stood in line {seen[number]} already: fetch the file again",
                line_no=line_no, column="balance_transaction_id",
            )  # fmt: skip
        seen[number] = line_no
        found.append(_record(cells, line_no, day))
    return found


def _record(cells: Mapping[str, str], line_no: int, day: date) -> SettlementRecord:
    gross_fen, fee_fen, net_fen = (_fen(cells, name, line_no) for name in ("gross", "fee", "net"))
    if not "".join(cells.values()).isprintable():
        raise SettlementFileError("a control character", line_no=line_no)
    if cells["currency"].lower() != CURRENCY:
        raise SettlementFileError(
            f"{cells['currency']!r} is not yuan: the account must settle in {CURRENCY}",
            line_no=line_no, column="currency",
        )  # fmt: skip
    if net_fen != gross_fen - fee_fen:
        raise SettlementFileError(
            f"{cells['net']} is not {cells['gross']} less {cells['fee']}",
            line_no=line_no, column="net",
        )  # fmt: skip
    happened_at = _moment(cells["created_utc"], line_no)
    if billing_date(happened_at) != day:
        raise SettlementFileError(
            f"{cells['created_utc']} UTC is not on {day} in Shanghai: is it another day's file?",
            line_no=line_no, column="created_utc",
        )  # fmt: skip
    kind = _KINDS.get(cells["reporting_category"], "other")
    ours = cells[_REFUND_NO] if kind == "refund" else cells[_ORDER_NO]
    return SettlementRecord(
        line_no=line_no,
        kind=kind,
        reference=ours,
        gateway_ref=cells["payment_intent_id"] if kind == "payment" else cells["source_id"],
        amount_fen=gross_fen,
        fee_fen=fee_fen,
        happened_at=happened_at,
    )


def _fen(cells: Mapping[str, str], name: str, line_no: int) -> int:
    try:
        return parse_yuan(cells[name])
    except Invalid as wrong:
        raise SettlementFileError(wrong.message, line_no=line_no, column=name) from wrong


def _moment(text: str, line_no: int) -> datetime:
    try:
        moment = datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        billing_date(moment)
        return moment
    except (ValueError, OverflowError) as wrong:
        raise SettlementFileError(
            f"{text!r} is not a time such as 2026-11-20 04:00:03",
            line_no=line_no, column="created_utc",
        ) from wrong  # fmt: skip
