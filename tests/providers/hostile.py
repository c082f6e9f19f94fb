"""The hostile files of ``tests/data/hostile`` and what each is answered with."""

import io
import tomllib
from pathlib import Path
from typing import Final

from core.errors import BillFileError
from providers.base import BillFileReader, BillRecord, Reject
from providers.own_schema import OwnSchemaReader
from providers.registry import reader_for, reader_from
from tests.fuzz import sound
from tests.providers import samples_mapped as mapped
from tests.providers.contract import profile_of
from tests.providers.samples_text import by_names
from tests.providers.standards import test_espi as espi
from tests.providers.standards import test_pain_013 as pain
from tests.providers.standards import test_x12_810 as x12
from tests.providers.standards.documents import profile

HOSTILE: Final = Path(__file__).parents[1] / "data" / "hostile"
ANSWERS: Final[dict[str, dict[str, str]]] = tomllib.loads((HOSTILE / "answers.toml").read_text())

# A folder is named after its reader.
READERS: Final[dict[str, BillFileReader]] = {
    "csv": reader_from(profile_of(by_names(",", "detect"))),
    "water": reader_for("water"),
    "gas": reader_for("gas"),
    "xlsx": reader_from(mapped.sheet_profile()),
    "json": reader_from(mapped.LISTED),
    "json_lines": reader_from(mapped.LINES),
    "xml": reader_from(mapped.XML),
    "ubl": reader_from(profile("ubl")),
    "cii": reader_from(profile("cii")),
    "espi": reader_from(espi.company()),
    "pain_013": reader_from(pain.company()),
    "x12_810": reader_from(x12.company()),
    "own_schema": OwnSchemaReader(),
}


def answer(reader: BillFileReader, data: bytes) -> str:
    """Say what a reader makes of a file: refused and why, or how many bills and rejects."""
    bills, rejects = 0, []
    try:
        for row in reader.read(io.BytesIO(data)):
            sound(row)
            bills += isinstance(row, BillRecord)
            rejects += [row] if isinstance(row, Reject) else []
    except BillFileError as refused:
        return f"refused: {refused}"
    told = f", {len(rejects)} rejected: {rejects[0].reason}" if rejects else ""
    return f"{bills} read{told}"


def files() -> list[str]:
    """Return every file there is, as FOLDER/NAME."""
    return sorted(
        f"{path.parent.name}/{path.name}" for path in HOSTILE.glob("*/*") if "__" not in str(path)
    )
