"""``citybill profile``: a check, a proposal, and a company added without touching the code."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from core.errors import Invalid
from providers import registry
from providers.registry import PROVIDERS, add_folder, get_provider, source_of
from tests.cli.conftest import Run
from tests.commands import Commands
from tests.providers.files import POWER, WATER

ROOT = Path(__file__).parents[2]
PROFILES = ROOT / "providers" / "profiles"
SPRING = ["--code", "spring", "--name", "春镇电力", "--name-en", "Spring Power", "--service",
          "power", "--phone", "000-0000-0107", "--biller-no", "9107"]  # fmt: skip


@pytest.fixture
def citybill(commands: Commands) -> Run:
    """Run a command that needs no database."""

    def run(*arguments: object, **settings: str) -> subprocess.CompletedProcess[str]:
        return commands.run(*arguments, env=os.environ | {"COLUMNS": "160"} | settings)

    return run


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "power.csv"
    path.write_bytes(POWER.file({}, {"户号": "3100000000002", "账单编号": "P-202610-2"}))
    return path


@pytest.fixture
def spring(citybill: Run, tmp_path: Path, sample: Path) -> Path:
    """A profile that was proposed and is whole."""
    path = tmp_path / "spring.toml"
    done = citybill("profile", "propose", sample, *SPRING, "--out", path)
    assert done.returncode == 0, done.stderr
    return path


class TestACheck:
    def test_shows_rows_beside_their_raw_text(self, citybill, sample):
        done = citybill("profile", "check", sample, "--profile", PROFILES / "power.toml")

        assert done.returncode == 0
        for words in ("as it would land", "3100000000001,李瑋", "UTF-8", "2 bills would land"):
            assert words in done.stdout

    def test_prints_one_object_and_says_no_by_its_exit_code(self, citybill, tmp_path):
        path = tmp_path / "water.txt"
        path.write_bytes(WATER.file({}, {"应缴金额": "86,50"}, count=2, total="86.50"))

        done = citybill("profile", "check", path, "--profile", PROFILES / "water.toml", "--json")

        assert done.returncode == 1
        told = json.loads(done.stdout)
        assert (told["ok"], told["bills"], told["rejects"]) == (False, 1, 1)
        assert told["complaints"][0]["column"] == "应缴金额"
        assert told["complaints"][0]["line_no"] == 3
        assert told["rows"][0]["raw"].startswith("D|1000000001|")
        assert told["rows"][0]["record"]["amount_fen"] == 8_650
        assert told["heading"] == "42"
        assert {"name": "明细笔数", "stated": "2", "read": "2"} in told["totals"]

    def test_of_a_wrong_profile_names_its_line(self, citybill, tmp_path, sample):
        wrong = tmp_path / "wrong.toml"
        wrong.write_text((PROFILES / "power.toml").read_text().replace('"yuan"', '"?"', 1))

        done = citybill("profile", "check", sample, "--profile", wrong)

        assert done.returncode == 1
        assert "wrong.toml line" in done.stderr
        assert "amount_unit" in done.stderr


class TestAProposal:
    def test_is_written_where_it_was_asked_for_and_tried(self, citybill, sample, spring):
        again = citybill("profile", "propose", sample, "--out", spring)
        checked = citybill("profile", "check", sample, "--profile", spring)

        assert again.returncode == 1
        assert "is there already" in again.stderr
        assert checked.returncode == 0

    def test_says_what_is_missing(self, citybill, sample):
        done = citybill("profile", "propose", sample)

        assert done.returncode == 0
        assert "# ASK THE COMPANY: phone: customer service" in done.stdout
        assert "2 bills would land" in done.stderr
        assert "code: is missing" in done.stderr

    def test_can_be_kept_by_the_shell(self, citybill, sample, tmp_path):
        kept = tmp_path / "kept.toml"
        kept.write_text(citybill("profile", "propose", sample, *SPRING).stdout)

        done = citybill("profile", "check", sample, "--profile", kept)

        assert done.returncode == 0, done.stderr

    def test_prints_one_object(self, citybill, sample):
        told = json.loads(citybill("profile", "propose", sample, *SPRING, "--json").stdout)

        assert told["valid"] is True
        assert told["check"]["bills"] == 2
        assert {"name": "户号", "holds": "account_no", "sure": "sure"}.items() <= (
            told["columns"][0].items()
        )

    def test_of_no_bill_file_is_refused(self, citybill, tmp_path):
        path = tmp_path / "x.bin"
        path.write_bytes(b"\x00\x01\x02")

        done = citybill("profile", "propose", path)

        assert done.returncode == 1
        assert "Traceback" not in done.stderr


class TestAnInstalledProfile:
    def test_is_in_place_and_its_company_known_at_the_next_start(self, citybill, spring, tmp_path):
        folder = tmp_path / "profiles"
        folder.mkdir()
        here = {"CITYBILL_PROFILES_DIR": str(folder)}

        done = citybill("profile", "install", spring, **here)
        again = citybill("profile", "install", spring, **here)
        replaced = citybill("profile", "install", spring, "--replace", **here)

        assert done.returncode == 0, done.stderr
        assert "restart" in done.stderr
        assert (folder / "spring.toml").read_bytes() == spring.read_bytes()
        assert again.returncode == 1
        assert "--replace" in again.stderr
        assert replaced.returncode == 0

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ('code = "spring"', 'code = "water"', "the code 'water' is taken (built in)"),
            ('"9107"', '"9001"', "the biller_no 9001 is that of 'water'"),
            ('"yuan"', '"?"', "amount_unit"),
        ],
    )
    def test_is_not_one_that_is_wrong_or_takes_anothers_place(
        self, citybill, spring, tmp_path, old, new, words
    ):
        spring.write_text(spring.read_text().replace(old, new, 1))
        folder = tmp_path / "profiles"
        folder.mkdir()

        done = citybill("profile", "install", spring, CITYBILL_PROFILES_DIR=str(folder))

        assert done.returncode == 1
        assert list(folder.iterdir()) == []
        assert words in done.stderr

    def test_needs_a_folder(self, citybill, spring):
        done = citybill("profile", "install", spring, CITYBILL_PROFILES_DIR="")

        assert done.returncode == 1
        assert "CITYBILL_PROFILES_DIR" in done.stderr


class TestAFolderOfProfiles:
    @pytest.fixture(autouse=True)
    def _is_forgotten_again(self, tmp_path_factory):
        yield
        registry.add_folder(tmp_path_factory.mktemp("none"))

    def test_stands_beside_the_built_in_ones(self, tmp_path, spring):
        folder = tmp_path / "companies"
        folder.mkdir()
        (folder / "spring.toml").write_bytes(spring.read_bytes())

        add_folder(folder)
        add_folder(folder)

        assert get_provider("spring").name == "春镇电力"
        assert source_of("spring") == str(folder / "spring.toml")
        assert source_of("water") == "built in"
        assert list(PROVIDERS) == sorted(PROVIDERS)

    def test_that_is_wrong_is_named_with_its_line_and_changes_nothing(self, tmp_path):
        (tmp_path / "bad.toml").write_text('code = "bad"\nname = 1\n')
        before = dict(PROVIDERS)

        with pytest.raises(Invalid, match=r"bad\.toml line 2: name"):
            add_folder(tmp_path)

        assert dict(PROVIDERS) == before

    def test_that_takes_a_code_is_refused(self, tmp_path):
        (tmp_path / "water.toml").write_bytes((PROFILES / "water.toml").read_bytes())

        with pytest.raises(Invalid, match="two providers are called 'water'"):
            add_folder(tmp_path)

    def test_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(Invalid, match="there is no folder"):
            add_folder(tmp_path / "none")
