"""Stripe's report of a day: every movement of our balance there but the payouts.

``balance_change_from_activity.itemized.3`` is made on demand and in a while, so the first question
for a day orders it and a later one fetches it. It carries no totals: the size Stripe tells of the
file, and net = gross - fee on every row, stand in for them.

Source: docs/wire/stripe.md, "The day's report".
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime

from core.clock import billing_date, day_bounds
from core.errors import Invalid, SettlementFileError
from core.progress import tell
from payments.gateways.as_written import Header, decoded, moment, table, yuan
from payments.gateways.base import FileState, SettlementFetch, SettlementRecord
from payments.gateways.stripe_replies import CURRENCY
from payments.gateways.stripe_wire import NoAnswer, Refused, Told, Wire, at, fen_at, text_at
from payments.packed import unpacked

REPORT = "balance_change_from_activity.itemized.3"
_ORDER_NO, _REFUND_NO = "payment_metadata[order_no]", "refund_metadata[refund_no]"
_NEEDED = (
    "balance_transaction_id", "created_utc", "currency", "gross", "fee", "net",
    "reporting_category", "source_id", "payment_intent_id", _ORDER_NO, _REFUND_NO,
)  # fmt: skip
_ASKED_FOR = [*_NEEDED, "charge_id", "description", "automatic_payout_id"]
# Without these nothing can be matched; the others are there when there is something to say.
_MUST = (
    "balance_transaction_id", "created_utc", "currency", "gross", "fee", "net",
    "reporting_category", "source_id", _ORDER_NO,
)  # fmt: skip
# What other reports, and the export of the dashboard, call a column.
_NAMED = {
    "id": "balance_transaction_id", "created(utc)": "created_utc", "amount": "gross",
    "type": "reporting_category", "source": "source_id",
    "payment_intent": "payment_intent_id", "metadata[order_no]": _ORDER_NO,
    "order_no(metadata)": _ORDER_NO, "metadata[refund_no]": _REFUND_NO,
    "refund_no(metadata)": _REFUND_NO,
}  # fmt: skip
_KINDS = {
    "charge": "payment", "payment": "payment",
    "refund": "refund", "partial_capture_reversal": "refund", "payment_refund": "refund",
    "refund_failure": "refund",  # it came back: above zero
    "dispute": "chargeback", "dispute_reversal": "chargeback",
    "fee": "fee", "network_cost": "fee", "tax": "fee", "stripe_fee": "fee",
    "payout": "payout", "payout_reversal": "payout", "payout_cancel": "payout",
    "payout_failure": "payout",
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
    """Read a day's report whole: the one we order, one that pays out, or the dashboard's export.

    Raises:
        SettlementFileError: malformed, of another day or currency, or a row does not add up.
    """
    header, lines = _table(content)
    seen: dict[str, int] = {}
    found: list[SettlementRecord] = []
    for done, (line_no, row) in enumerate(lines, start=1):
        tell(done, len(lines))
        fitted = header.fit(row, line_no)
        cells = {name: fitted[place] for name, place in header.at.items()}
        number = cells["balance_transaction_id"]
        if number in seen:
            raise SettlementFileError(
                f"{number!r} stood in line {seen[number]} already: fetch the file again",
                line_no=line_no, column="balance_transaction_id",
            )  # fmt: skip
        seen[number] = line_no
        found.append(_record(cells, line_no, day))
    return found


def _table(content: bytes) -> tuple[Header, list[tuple[int, list[str]]]]:
    """Return the columns and rows of the one table in what was handed in."""
    members = unpacked(content)
    if len(members) != 1:
        raise SettlementFileError(f"there are {len(members)} files in it, and must be one")
    lines = list(table(decoded(members[0].raw)))
    line_no, names = lines[0] if lines else (1, [])
    header = Header([name.casefold() for name in names], line_no=line_no, named=_NAMED)
    missing = [name for name in _MUST if name not in header.at]
    if missing:
        raise SettlementFileError(
            f"no column {missing[0]!r}: is it a report {REPORT}, with our columns?", line_no=1
        )
    return header, lines[1:]


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
    kind = _KINDS.get(cells["reporting_category"].lower(), "other")
    if kind == "refund" and _REFUND_NO not in cells:
        raise SettlementFileError(f"no column {_REFUND_NO!r}: whose refund is it?", line_no=line_no)
    taken = cells.get("payment_intent_id") or cells.get("charge_id") or cells["source_id"]
    return SettlementRecord(
        line_no=line_no,
        kind=kind,
        reference=cells[_REFUND_NO] if kind == "refund" else cells[_ORDER_NO],
        gateway_ref=taken if kind == "payment" else cells["source_id"],
        amount_fen=gross_fen,
        fee_fen=fee_fen,
        happened_at=happened_at,
    )


def _fen(cells: Mapping[str, str], name: str, line_no: int) -> int:
    try:
        return yuan(cells[name])
    except Invalid as wrong:
        raise SettlementFileError(wrong.message, line_no=line_no, column=name) from wrong


def _moment(text: str, line_no: int) -> datetime:
    try:
        found = moment(text, UTC)
        billing_date(found)
        return found
    except (ValueError, OverflowError) as wrong:
        raise SettlementFileError(
            f"{text!r} is not a time such as 2026-11-20 04:00:03",
            line_no=line_no, column="created_utc",
        ) from wrong  # fmt: skip
