"""``citybill profile check``: a dry run of a company's file."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from core.errors import BillFileError
from core.money import format_yuan
from providers.base import BillRecord, Heading
from providers.profiles import load_profile
from providers.registry import reader_from

REJECTS_SHOWN = 20


def check(file: Path, profile: Path, *, rows: int) -> bool:
    """Print what a file would become; tells whether it would be taken without a complaint.

    Raises:
        Invalid: the profile itself is wrong.
    """
    console = Console()
    table = Table("line", "account", "holder", "month", "bill no", "v", "amount", "due")
    records = rejects = 0
    refusal = None
    try:
        with file.open("rb") as stream:
            for row in reader_from(load_profile(profile)).read(stream):
                if isinstance(row, Heading):
                    console.print(f"file number {row.sequence_no}")
                elif isinstance(row, BillRecord):
                    records += 1
                    if records <= rows:
                        table.add_row(*_cells(row))
                else:
                    rejects += 1
                    if rejects <= REJECTS_SHOWN:
                        console.print(
                            escape(f"line {row.line_no}, column {row.column}: {row.reason}")
                        )
    except BillFileError as wrong:
        refusal = wrong
    console.print(table)
    console.print(f"{records:,} bills would land, {rejects:,} rows would be rejected")
    if refusal is not None:
        console.print(
            f"[bold red]the file would be refused[/] {escape(str(refusal))}", highlight=False
        )
    return refusal is None and rejects == 0


def _cells(row: BillRecord) -> list[str]:
    return [
        str(row.line_no), row.account_no, row.holder_name, f"{row.billing_month:%Y-%m}",
        row.bill_no, str(row.version), format_yuan(row.amount_fen), str(row.due_on),
    ]  # fmt: skip
