"""Random files for every reader, guided by what code they reach: ``make fuzz SECONDS=60``.

A reader may answer with rows that are sound, or refuse the file with `BillFileError`; anything else
is a finding: another error, two seconds of the processor for a small file, memory without bound, a
row the books could not hold, or two ways of reading that differ. ``tests/providers/test_fuzz.py``
does the same with Hypothesis; this needs atheris, which is there for Linux.

    python -m tests.fuzz [--seconds N] [--memory MB] [TARGET ...]
    python -m tests.fuzz --show TARGET FILE     what a reader makes of a finding
"""

import argparse
import gzip
import importlib.util
import io
import json
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl

from billing.files.limits import record_complaint
from core.errors import BillFileError, Invalid
from core.keys import named_key
from payments.gateways import sandbox
from payments.gateways.base import SettlementRecord
from payments.gateways.counter import Counter
from payments.statements.reading import read_statements
from providers.base import BillFileReader, BillRecord, Heading, RecordKind, Reject
from providers.bulk import Bulk, BulkReader
from providers.own_schema import OwnSchemaReader
from providers.profiles import parse_profile
from providers.proposing.proposal import propose
from providers.registry import PROFILES, reader_for, reader_from
from tests.payments.gateways import test_as_written as written
from tests.payments.reconciliation.test_intake import STATEMENT
from tests.providers.contract import SAMPLES
from tests.providers.files import MAKERS
from tests.providers.standards.test_invoice_contract import SAMPLES as INVOICES
from tests.providers.standards.test_message_contract import SAMPLES as MESSAGES
from tests.providers.test_contract import REGISTERED

assert REGISTERED, "importing them is what fills SAMPLES"
SECONDS_A_FILE = 2.0
_INT16, _INT64 = 2**15, 2**63
_DAYS = range(2000 * 12, 10_000 * 12)
Act = Callable[[bytes], None]


@dataclass(frozen=True)
class Target:
    """One reader, or several alike: the first byte of a file says which."""

    acts: Sequence[Act]
    seeds: Sequence[bytes]  # each with its first byte

    def try_out(self, data: bytes) -> None:
        if not data:
            return
        began = time.process_time()
        self.acts[data[0] % len(self.acts)](data[1:])
        spent = time.process_time() - began
        assert spent < SECONDS_A_FILE, f"{spent:.1f} seconds for {len(data)} bytes"


def sound(row: Heading | BillRecord | Reject) -> None:
    """Assert that the books could hold a row."""
    if isinstance(row, Heading):
        assert type(row.sequence_no) is str
        assert row.sequence_no
        return
    assert type(row.line_no) is int
    assert 0 < row.line_no < 2**31
    if isinstance(row, Reject):
        assert row.reason
        assert len(row.raw) <= 500
        _texts(row.column, row.reason, row.raw)
        return
    assert isinstance(row, BillRecord)
    assert isinstance(row.kind, RecordKind)
    assert type(row.amount_fen) is int
    assert -_INT64 <= row.amount_fen < _INT64
    assert type(row.version) is int
    assert 0 < row.version < _INT16
    _texts(row.account_no, row.holder_name, row.address, row.bill_no, row.usage_unit)
    assert 0 < len(row.account_no) <= 64
    assert 0 < len(row.bill_no) <= 64
    _days(row)
    _quantity(row.usage)
    for item in row.items:
        assert type(item.amount_fen) is int
        assert -_INT64 <= item.amount_fen < _INT64
        assert item.quantity is None or item.quantity.is_finite()
        _texts(item.name, item.unit)
    if record_complaint(row) is None:
        named_key(row.billing_month, row.bill_no)


def _texts(*texts: str) -> None:
    for text in texts:
        text.encode()  # no half of a character


def _days(row: BillRecord) -> None:
    for day in (row.billing_month, row.period_from_on, row.period_to_on, row.issued_on, row.due_on):
        assert type(day) is date
    assert row.billing_month.day == 1
    assert row.billing_month.year * 12 in _DAYS
    assert row.period_from_on <= row.period_to_on
    assert row.issued_on < row.due_on


def _quantity(usage: Decimal | None) -> None:
    if usage is not None:
        assert usage.is_finite()
        assert abs(usage) < 10**12
        assert usage == usage.quantize(Decimal("0.001"))


def reads(reader: BillFileReader) -> Act:
    """Return what a reader is tried with: read by rows, and by stretches where it can."""

    def act(data: bytes) -> None:
        by_rows = _told(lambda: reader.read(io.BytesIO(data)))
        assert by_rows[1] != "", "refused without a word"
        bulk = reader
        if isinstance(bulk, BulkReader):
            stretches = _told(lambda: _unfolded(bulk.read_bulk(io.BytesIO(data))))
            # Of two faults each way of reading may come upon another first.
            assert (stretches[1] is None) == (by_rows[1] is None), (stretches[1], by_rows[1])
            if by_rows[1] is None:
                assert stretches[0] == by_rows[0]

    return act


Rows = list[tuple[object, ...]]


def _told(read: Callable[[], Iterator[Heading | BillRecord | Reject]]) -> tuple[Rows, str | None]:
    """Return the rows of a file, what matters of each, and why it is refused."""
    rows: Rows = []
    try:
        for row in read():
            sound(row)
            rows.append(_facts(row))
    except BillFileError as refused:
        return rows, str(refused)
    return sorted(rows, key=repr), None


def _facts(row: Heading | BillRecord | Reject) -> tuple[object, ...]:
    if not isinstance(row, BillRecord):
        return tuple(row)
    return (row.line_no, row.kind.value, row.account_no, row.holder_name, row.address,
            row.billing_month, row.bill_no, row.version, row.issued_on, row.due_on,
            None if row.usage is None else str(row.usage), row.amount_fen)  # fmt: skip


def _unfolded(parts: Iterator[Heading | Bulk]) -> Iterator[Heading | BillRecord | Reject]:
    """Yield what stretches hold, as rows; a frame's lines of a bill are not taken apart."""
    for part in parts:
        if isinstance(part, Heading):
            yield part
            continue
        for row in part.frame.with_columns(pl.col("version").cast(pl.Int64)).to_dicts():
            row["usage"] = None if row["usage"] is None else Decimal(row["usage"])
            yield BillRecord(kind=RecordKind.BILL, **row | {"items": ()})
        yield from part.others


def _profile(data: bytes) -> None:
    with suppress(Invalid):
        parse_profile(data.decode("utf-8", "replace"), "fuzz.toml")


def _propose(data: bytes) -> None:
    try:
        proposal = propose(io.BytesIO(data))
    except BillFileError:
        return
    assert proposal.text
    assert proposal.found is not None


_GATEWAY = sandbox.Sandbox("http://127.0.0.1:9", "secret")
Books = Callable[[bytes], Iterable[SettlementRecord]]


def _settles(read: Books) -> Act:
    """Return what a reader of settlement files is tried with."""

    def act(data: bytes) -> None:
        with suppress(BillFileError):
            for row in read(data):
                assert type(row.amount_fen) is int
                assert type(row.fee_fen) is int
                assert row.happened_at.tzinfo is not None

    return act


def _statement(data: bytes) -> None:
    with suppress(BillFileError):
        for statement in read_statements(io.BytesIO(data), name="fuzz"):
            for entry in statement.entries:
                assert type(entry.amount_fen) is int
                assert entry.entry_no


def _books() -> Target:
    """Return every reader of settlement files, with a file of each."""
    november = date(2026, 11, 20)
    readers: list[tuple[Books, bytes]] = [
        (
            lambda data: _GATEWAY.read_settlement(io.BytesIO(data), day=date(2026, 11, 1)),
            SETTLEMENT,
        ),
        (written.alipay, written.BUSINESS.encode("gb18030")),
        (written.wechatpay, written.WECHAT.encode()),
        (written.unionpay, written.packed(written.row())),
        (written.stripe, written.REPORT.encode()),
        (lambda data: Counter().read_settlement(io.BytesIO(data), day=november),
         written.CASH.encode()),
    ]  # fmt: skip
    seeds = [bytes([at]) + data for at, (_, data) in enumerate(readers)]
    return Target([_settles(read) for read, _ in readers], seeds)


def _targets() -> dict[str, Target]:
    """Return what there is to try, by name."""
    found = {
        name: Target([reads(reader) for reader in readers], seeds)
        for name, (readers, seeds) in _formats().items()
    }
    city = [(reader_for(maker.code), maker.file({}, {})) for maker in MAKERS]
    found["city"] = Target(
        [reads(reader) for reader, _ in city],
        [bytes([at]) + data for at, (_, data) in enumerate(city)],
    )
    water = city[0][1]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packing:
        packing.writestr("bills.txt", water)
    packed = [gzip.compress(water), archive.getvalue(), gzip.compress(water) * 2]
    found["packed"] = Target([reads(city[0][0])], [b"\0" + data for data in packed])
    pushed = b'{"bills": [%s]}' % json.dumps(PUSHED).encode()
    found["own_schema"] = Target([reads(OwnSchemaReader())], [b"\0" + pushed])
    toml = [b"\0" + path.read_bytes() for path in sorted(PROFILES.glob("*.toml"))]
    found["profile"] = Target([_profile], toml)
    samples = [b"\0" + sample.data for sample in SAMPLES if len(sample.data) < 10_000]
    found["propose"] = Target([_propose], samples)
    found["settlement"] = _books()
    statements = [b"\0" + STATEMENT, b"\0" + gzip.compress(STATEMENT)]
    found["statements"] = Target([_statement], statements)
    return found


def _formats() -> dict[str, tuple[list[BillFileReader], list[bytes]]]:
    """Return the readers and seeds of each format, from the samples of the shared contract."""
    found: dict[str, tuple[list[BillFileReader], list[bytes]]] = {}
    for sample in [*SAMPLES, *INVOICES, *MESSAGES]:
        readers, seeds = found.setdefault(sample.profile.file.format, ([], []))
        seeds.append(bytes([len(readers)]) + sample.data)
        readers.append(reader_from(sample.profile))
    return found


PUSHED = {
    "account_no": "1000000001", "bill_no": "B-1", "billing_month": "2026-10", "version": 2,
    "holder_name": "王珅", "period_from_on": "2026-10-01", "period_to_on": "2026-10-31",
    "issued_on": "2026-11-01", "due_on": "2026-12-01", "usage": 12.1, "amount_fen": 8650,
    "items": [{"name": "基本费", "quantity": "12.1", "unit": "m³", "amount_fen": 8650}],
}  # fmt: skip
SETTLEMENT = (
    b"#SANDBOX SETTLEMENT,2026-11-01\n"
    + ",".join(sandbox._COLUMNS).encode()
    + b"\npayment,P1,ref-1,,,86.50,0.10,2026-11-01T10:00:00Z\n#TOTAL,1,86.50,0.10\n"
)
TARGETS: dict[str, Target] = _targets()


def have_atheris() -> bool:
    return importlib.util.find_spec("atheris") is not None


def fuzz(name: str, seconds: int, memory_mb: int, folder: Path) -> tuple[int, str]:
    """Fuzz one target in a process of its own; returns its exit status and what it told."""
    corpus, found = folder / name, folder / "found"
    corpus.mkdir(parents=True)
    found.mkdir(exist_ok=True)
    for at, seed in enumerate(TARGETS[name].seeds):
        (corpus / f"seed-{at}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}", f"-rss_limit_mb={memory_mb}", "-timeout=20",
        f"-artifact_prefix={found}/{name}-", "-print_final_stats=1", "-max_len=20000",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz_inside", name, *options, str(corpus)],
        capture_output=True, text=True, errors="replace",
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def told(output: str) -> str:
    """Return in a line how many files were tried and how much code they reached."""
    covered = [int(number) for number in re.findall(r"\bcov: ([0-9]+)", output)]
    tried = re.findall(r"number_of_executed_units: ([0-9]+)", output)
    memory = re.findall(r"peak_rss_mb: +([0-9]+)", output)
    reached = f"{covered[0]} -> {covered[-1]}" if covered else "?"
    peak, files = (memory or ["?"])[-1], (tried or ["?"])[-1]
    return f"{files:>9} files, code reached {reached}, peak {peak} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--memory", type=int, default=2_048)
    parser.add_argument("--show", type=Path)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()))
    chosen = parser.parse_args()
    if chosen.show is not None:
        TARGETS[chosen.targets[0]].try_out(chosen.show.read_bytes())
        return
    if not have_atheris():
        sys.stdout.write("atheris is not installed here: the suite's Hypothesis does the fuzzing\n")
        return
    failed = 0
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=chosen.keep))
    for name in chosen.targets or TARGETS:
        status, output = fuzz(name, chosen.seconds, chosen.memory, folder)
        sys.stdout.write(f"{name:12} {told(output)}{'' if status == 0 else '  FOUND SOMETHING'}\n")
        sys.stdout.flush()
        if status:
            failed = 1
            _, found, error = output.partition("Uncaught Python exception")
            sys.stdout.write((found + error)[:3_000] or output[-3_000:])
    sys.stdout.write(f"findings and corpus: {folder}\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
