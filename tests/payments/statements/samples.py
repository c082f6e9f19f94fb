"""The sample files, whole and with something changed."""

import io
from pathlib import Path

from payments.statements import profiles
from payments.statements.base import Statement
from payments.statements.profiles import BankProfile, load_bank_profile
from payments.statements.reading import read_statements

DATA = Path(__file__).parents[2] / "data" / "statements"
OURS = Path(profiles.__file__).parent / "profiles"
ACCOUNT = "6200000000000000001"


def sample(name: str) -> bytes:
    return (DATA / name).read_bytes()


def profile(name: str) -> BankProfile:
    return load_bank_profile(OURS / f"{name}.toml")


def read(content: bytes, bank: BankProfile | None = None) -> tuple[Statement, ...]:
    return read_statements(io.BytesIO(content), name="bank.txt", profile=bank)


def changed(content: bytes, *changes: tuple[str, str], encoding: str = "utf-8") -> bytes:
    """Replace the first of each; what is not there would be a test of nothing."""
    text = content.decode(encoding)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text.encode(encoding)
