"""Files that mean harm, or look like it: each gets its answer, in little time and memory.

The small ones are in ``tests/data/hostile``; the large ones are made here.
"""

import gzip
import io
import json
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections import deque
from contextlib import suppress

import pytest

from core.errors import BillFileError
from providers.base import BillFileReader
from providers.bulk import read_bulk
from providers.proposing.proposal import propose
from tests.conftest import ROOT
from tests.providers import samples_mapped as mapped
from tests.providers.files import WATER
from tests.providers.hostile import ANSWERS, HOSTILE, READERS, answer, files
from tests.providers.samples_text import CELLS, NAMES, lines
from tests.providers.standards.documents import cii_file, pdf, ubl_file

SECONDS, MEMORY_BYTES = 5, 24_000_000
MEGABYTES = 10


@pytest.mark.parametrize("name", files())
@pytest.mark.filterwarnings("ignore")  # zipfile warns of a name that is there twice
def test_a_hostile_file_gets_its_answer(name):
    folder, _, file = name.partition("/")
    data = (HOSTILE / name).read_bytes()
    began = time.process_time()

    told = answer(READERS[folder], data)

    assert time.process_time() - began < SECONDS
    assert told.startswith(ANSWERS[folder][file])


@pytest.mark.filterwarnings("ignore")
def test_the_wizard_proposes_something_or_says_why_not():
    for name in files():
        with suppress(BillFileError):
            assert propose(io.BytesIO((HOSTILE / name).read_bytes())).text, name


def test_every_answer_has_its_file():
    assert sorted(f"{folder}/{name}" for folder in ANSWERS for name in ANSWERS[folder]) == files()


def test_the_corpus_stays_small():
    assert sum((HOSTILE / name).stat().st_size for name in files()) < 500_000


@pytest.mark.parametrize("name", [name for name in files() if name.startswith(("csv/", "water/"))])
def test_what_is_read_by_stretches_is_answered_alike(name):
    reader = READERS[name.partition("/")[0]]
    data = (HOSTILE / name).read_bytes()

    refused = answer(reader, data).startswith("refused")

    if refused:
        with pytest.raises(BillFileError):
            deque(read_bulk(reader, io.BytesIO(data)), maxlen=0)
    else:
        deque(read_bulk(reader, io.BytesIO(data)), maxlen=0)


def zipped(data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bills", data)
    return packed.getvalue()


def long(piece: bytes) -> bytes:
    return piece * (MEGABYTES * 1_000_000 // len(piece))


HEADER = lines(",", NAMES).encode()
OBJECT = json.dumps(mapped.OBJECT, ensure_ascii=False).encode()
ROW = mapped.XML_ROW.format("1000000001")
LARGE = {
    "csv: one line": lambda: ("csv", HEADER + long(b"9"), "longer than"),
    "csv: one line before any header": lambda: ("csv", long(b"x"), "longer than"),
    "csv: a million cells": lambda: ("csv", HEADER + long(b"1,") + b"\n", "longer than"),
    "csv: blank lines": lambda: ("csv", HEADER + long(b"\n"), "no bill"),
    "csv: a line that is wrong, again and again": lambda: ("csv", HEADER + b"x,y\n" * 50_000, ""),
    "water: one line": lambda: ("water", WATER.header + b"\n" + long(b"D|"), "longer than"),
    "gas: one line": lambda: ("gas", long(b"2"), ""),
    "json: one text": lambda: ("json", b'["' + long(b"x") + b'"]', "no text runs on"),
    "json: one number": lambda: ("json", b"[" + long(b"9") + b"]", "hundreds of digits"),
    "json: one list": lambda: ("json", b"[[" + b"1," * 500_000 + b"1]]", ""),
    "json: a key as long as a book": lambda: ("json", b'[{"' + long(b"k") + b'": 1}]', ""),
    "json lines: one line": lambda: ("json_lines", b'{"a": "' + long(b"x") + b'"}\n', ""),
    "xml: one text": lambda: ("xml", mapped.xml(ROW.replace("B-1", "B" * MEGABYTES * 1_000_000))
                              .encode(), ""),
    "xml: one element after another": lambda: ("xml", mapped.xml("<u:a/>" * 1_500_000).encode(),
                                               ""),
    "ubl: one text": lambda: ("ubl", ubl_file(number="9" * MEGABYTES * 1_000_000), ""),
    "ubl: blanks": lambda: ("ubl", b'<?xml version="1.0"?>' + long(b" "), ""),
    "x12: one segment": lambda: ("x12_810", b"ISA" + long(b"*"), "ISA"),
    "packed: a bomb in gzip": lambda: ("csv", gzip.compress(HEADER + long(b"\n") * 2),
                                       "200 times"),
    "packed: a bomb in zip": lambda: ("csv", zipped(HEADER + long(b"\n") * 2), "200 times"),
}  # fmt: skip


@pytest.mark.parametrize("name", LARGE)
def test_a_large_hostile_file_costs_little(name):
    folder, data, words = LARGE[name]()
    began = time.process_time()
    tracemalloc.start()
    try:
        told = refusal_of(READERS[folder], data)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert words in told
    assert peak < MEMORY_BYTES, f"{peak:,} bytes"
    assert time.process_time() - began < 30  # measuring memory makes it ten times slower


def refusal_of(reader: BillFileReader, data: bytes) -> str:
    """Read a file without keeping anything of it; returns why it is refused, if it is."""
    try:
        deque(reader.read(io.BytesIO(data)), maxlen=0)
    except BillFileError as refused:
        return str(refused)
    return "not refused"


def test_a_bomb_in_a_pdf_is_refused_within_a_bound_of_memory():
    """In a process of its own, whose memory the system bounds."""
    bomb = pdf(long(b" ") * 8 + cii_file())
    script = (
        "import io, resource, sys\n"
        "from tests.providers.hostile import READERS, answer\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n"
        "print(answer(READERS['cii'], sys.stdin.buffer.read()))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], input=bomb, capture_output=True, cwd=ROOT, timeout=60
    )

    assert done.stdout.startswith(b"refused"), done.stderr[-2_000:]


def test_formulas_of_a_spreadsheet_are_names_like_any_other():
    told = answer(READERS["csv"], (HOSTILE / "csv/formula_equals.csv").read_bytes())

    assert told == "2 read"
    assert CELLS[1] == "张珅"
