"""Any file at all is answered with sound rows or a refusal, by every reader there is.

The long run, guided by what code a file reaches, is ``make fuzz``.
"""

import subprocess
import sys

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.fuzz import TARGETS, have_atheris

EACH = pytest.mark.parametrize("name", TARGETS)
FILES_OF_ATHERIS = 3_000
ATHERIS_IS_MADE_FOR_IT = sys.platform == "linux" and sys.version_info < (3, 12)
# What breaks readers: ends of lines and cells, odd numbers, and what other formats begin with.
PIECES = st.sampled_from([
    b"", b"\0", b"\n", b"\r", b"\r\n", b"\t", b"|", b",", b'"', b"'", b"\\", b"<", b">", b"&", b"{",
    b"[", b"]", b"}", b"~", b"*", b"-", b"0", b"9" * 40, b"1e999999999", b"NaN", b"0.0000000001",
    b"99991231", b"00000000", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1f\x8b", b"PK\x03\x04", b"%PDF-1.7",
    b"\xed\xa0\x80", b"\xc0\xaf", b"\\ud800", b"&#0;", b"<!DOCTYPE x>", b"]]>", b"\xe2\x80\xae",
    "１２".encode(), "张".encode("gb18030"), "张".encode("utf-16"), b" " * 300, b"[" * 300,
])  # fmt: skip
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 40), PIECES | st.binary(max_size=6)),
    min_size=1, max_size=6,
)  # fmt: skip


@EACH
def test_the_seeds_are_answered(name):
    for seed in TARGETS[name].seeds:
        TARGETS[name].try_out(seed)


@EACH
@settings(
    max_examples=50, deadline=None, phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(which=st.integers(0), edits=EDITS, twice=st.booleans())
def test_an_edited_file_is_answered(name, which, edits, twice):
    seeds = TARGETS[name].seeds
    seed = seeds[which % len(seeds)]
    first, data = seed[:1], seed[1:] * (2 if twice else 1)
    for part, cut, put in edits:
        at = int(part * len(data))
        data = data[:at] + put + data[at + cut :]

    TARGETS[name].try_out(first + data)


def test_a_short_run_guided_by_coverage_finds_nothing(tmp_path):
    """Where there is no atheris to install, as on macOS, the tests above are all there is."""
    if not have_atheris():
        assert not ATHERIS_IS_MADE_FOR_IT, "pyproject.toml installs atheris here: make setup"
        return
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for at, seed in enumerate(TARGETS["delimited"].seeds):
        (corpus / str(at)).write_bytes(seed)

    done = subprocess.run(
        [
            sys.executable, "-m", "tests.fuzz_inside", "delimited",
            f"-runs={FILES_OF_ATHERIS}", "-seed=1", f"-artifact_prefix={tmp_path}/", str(corpus),
        ],
        capture_output=True, cwd=ROOT,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-3_000:]
