"""``citybill import``: a file on this machine into the ledger."""

from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from billing.files.bill_files import fingerprint, register
from billing.files.importing import ImportResult, import_bills
from core.db import transaction
from providers.registry import get_provider, reader_for


def import_path(
    path: Path, provider_code: str, *, now: datetime, quiet: bool = False
) -> ImportResult:
    """Import one file, with a bar on standard error if that is a terminal.

    Args:
        now: when it came: its bills are posted on that day.

    Raises:
        NotFound: no such company.
        BillFileError: the file is refused; nothing landed.
    """
    provider, reader = get_provider(provider_code), reader_for(provider_code)
    with path.open("rb") as stream:
        sha256, size_bytes = fingerprint(stream)
    with transaction() as session:
        bill_file, _ = register(
            session, provider.code, sha256=sha256, size_bytes=size_bytes, file_name=path.name,
            received_via="cli", now=now,
        )  # fmt: skip
    assert bill_file.id is not None
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        shown = bar.add_task(f"{provider.code} {path.name}", total=None)
        with path.open("rb") as stream:
            return import_bills(
                bill_file.id,
                reader,
                lambda: stream,
                now=now,
                progress=lambda done, rows: bar.update(shown, completed=done, total=rows),
            )
