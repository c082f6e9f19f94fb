"""What an operator is told of a profile that is wrong, and how companies are found."""

import tomllib
from importlib.metadata import EntryPoint
from io import BytesIO
from pathlib import Path

import pytest

from core.errors import Invalid, NotFound
from providers.profiles import load_profile, parse_profile
from providers.registry import (
    PROFILES,
    PROVIDERS,
    get_provider,
    load_providers,
    provider_codes,
    reader_for,
    reader_from,
)
from tests.providers.files import WATER

WATER_TOML = (PROFILES / "water.toml").read_text("utf-8")
GAS_TOML = (PROFILES / "gas.toml").read_text("utf-8")


@pytest.fixture
def complaint(tmp_path):
    def told(text: str) -> str:
        path = tmp_path / "mine.toml"
        path.write_text(text, "utf-8")
        with pytest.raises(Invalid) as refused:
            load_profile(path)
        assert refused.value.message.startswith("mine.toml line ")
        assert refused.value.code == "profile.invalid"
        return refused.value.message

    return told


class TestAWrongProfile:
    @pytest.mark.parametrize(
        ("old", "new", "told"),
        [
            ('code = "water"', "", "code: is missing"),
            ('code = "water"', 'code = "Water"', "code: "),
            ('biller_no = "9001"', 'biller_no = "901"', "biller_no: "),
            ('service = "water"', 'service = "steam"', "service: should be 'water', 'power'"),
            ("usage_unit", "usage_units", "usage_units: is no key of this table; the keys are"),
            ('encoding = "gb18030"', 'encoding = "gb"', "file.encoding: should be 'utf-8', 'gb18"),
            ('delimiter = "|"', 'delimiter = "\\n"', "file: delimited files need delimiter = one"),
            ('format = "delimited"', 'format = "csv"', "file.format: should be 'delimited', 'fix"),
            ('delimiter = "|"', 'delimiter = "|"\nrow_bytes = 9', "format = 'fixed_width'"),
            ('holds = "due"', 'holds = "dew"', "columns[16].holds: should be"),
            ('holds = "due"', 'holds = "unused"', "no column holds 'due'"),
            ('holds = "issued"', 'holds = "due"', "no column holds 'issued'"),
            ('name = "出账日"', 'name = "账期"', "'账期' is named twice"),
            ('pattern = "[0-9]{10}"', 'pattern = "[0-9"', "account_no.pattern: is not a regular"),
            ('earliest = "2000-01"', 'earliest = "2000-1"', "billing_months.earliest: "),
            ('"N" = "bill"', '"N" = "normal"', "status.N: should be 'bill', 'cancel', 'remind' or"),
            ('usage = ["用水量"]', 'usage = ["用电量"]', "usage: '用电量' must be a column"),
            ('amount = "供水费"', 'amount = "水费"', "items: 供水费: amount '水费' must be"),
            ('quantity = "用水量"', 'quantity = "供水费"', "items: 供水费: quantity '供水费'"),
            ('must_be = "T"', 'must_be = "D"', "trailer: its first field needs a must_be"),
            ('kind = "record"', 'kind = "names"', "header: kind = 'names' takes its names"),
        ],
    )  # fmt: skip
    def test_is_told_by_table_key_and_remedy(self, complaint, old, new, told):
        assert old in WATER_TOML

        assert told in complaint(WATER_TOML.replace(old, new, 1))

    @pytest.mark.parametrize(
        ("old", "new", "told"),
        [
            ("row_bytes = 201", "", "fixed_width files need row_bytes"),
            ("row_bytes = 201", "row_bytes = 200", "they reach byte 201, past row_bytes 200"),
            ("at = 13, bytes = 40", "at = 12, bytes = 40", "'户名' overlaps the column before it"),
            ("at = 13, bytes = 40", "at = 13", "户名: say at (first byte, from 0) and bytes"),
            ("row_bytes = 201", 'row_bytes = 201\ndelimiter = "|"', "format = 'delimited'"),
        ],
    )  # fmt: skip
    def test_of_a_fixed_width_file_is_told_in_bytes(self, complaint, old, new, told):
        assert told in complaint(GAS_TOML.replace(old, new, 1))

    def test_that_is_not_toml_is_told_with_its_place(self, complaint):
        assert "line 1" in complaint('code = "water\n')

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("a = " + "[" * 5000, "lie too deep in one another"),
            ("a = " + "{b=" * 5000, "lie too deep in one another"),
            ("a = " + "1" * 5000, "a number has thousands of digits"),
            ('[bill_no]\npattern = "' + "(" * 5000 + '"', "bill_no.pattern: repeats or nests"),
            ('[bill_no]\npattern = "a{9999999999}"', "bill_no.pattern: repeats or nests"),
            ('[items_from]\nlines = "x"', "the keys are amount, amount_unit, name, path"),
        ],
        ids=["lists", "tables", "digits", "brackets", "repeats", "key"],
    )
    def test_that_nobody_would_write_is_refused_in_words_too(self, text, told):
        with pytest.raises(Invalid) as refused:
            parse_profile(text, "mine.toml")

        assert told in refused.value.message

    def test_that_is_not_there_is_told(self, tmp_path):
        with pytest.raises(Invalid, match=r"mine\.toml: cannot be read"):
            load_profile(tmp_path / "mine.toml")


class TestANewCompany:
    def test_of_a_known_family_needs_a_toml_only(self, tmp_path):
        """Other delimiter, other mark, no status, no version, no trailer, no rounding line."""
        text = WATER_TOML
        for line in ('{ name = "版本"', '{ name = "状态"', '{ name = "原账单号"', "rounding_item"):
            start = text.index(line)
            text = text[:start] + text[text.index("\n", start) :]
        text = text[: text.index("[trailer]")] + text[text.index("[account_no]") :]
        text = text[: text.index("[status]")] + text[text.index("[[items]]") :]
        text = text.replace('delimiter = "|"', 'delimiter = "\\t"').replace("WATER", "SPRING")
        path = tmp_path / "spring.toml"
        path.write_text(text, "utf-8")
        row = {name: cell for name, cell in WATER.row.items() if name not in ("版本", "状态")}
        data = "\n".join(["H\tSPRING\t1\t20261101", "\t".join(["D", *row.values()])])

        heading, record = reader_from(load_profile(path)).read(BytesIO(data.encode("gb18030")))

        assert heading.sequence_no == "1"
        assert (record.version, record.kind, record.amount_fen) == (1, "bill", 8_650)

    def test_shares_no_code_and_no_biller_number_with_another(self, tmp_path):
        (tmp_path / "a.toml").write_text(WATER_TOML, "utf-8")
        (tmp_path / "b.toml").write_text(WATER_TOML, "utf-8")
        with pytest.raises(Invalid, match="two providers are called 'water'"):
            load_providers(tmp_path, [])

        (tmp_path / "b.toml").write_text(WATER_TOML.replace('"water"  ', '"spring"', 1), "utf-8")
        with pytest.raises(Invalid, match="share the biller_no 9001"):
            load_providers(tmp_path, [])

    def test_by_entry_point_is_found(self, tmp_path):
        plugin = EntryPoint("telecom", "providers.telecom:CityTelecom", "citybill.providers")

        assert load_providers(tmp_path, [plugin])["telecom"].name_en == "City Telecom"

    @pytest.mark.parametrize(
        "value", ["no_such_module:X", "providers.telecom:Nothing", "json:loads"]
    )
    def test_by_a_broken_entry_point_is_told(self, tmp_path, value):
        plugin = EntryPoint("odd", value, "citybill.providers")

        with pytest.raises(Invalid, match="entry point odd"):
            load_providers(tmp_path, [plugin])


class TestTheRegistry:
    def test_holds_the_four_companies(self):
        assert provider_codes() == ("gas", "power", "telecom", "water")
        assert {provider.service for provider in PROVIDERS.values()} == set(provider_codes())

    def test_shows_no_phone_number_that_could_ring(self):
        assert all(provider.phone.startswith("000-0000-") for provider in PROVIDERS.values())

    def test_tells_the_known_codes_of_an_unknown_one(self):
        with pytest.raises(NotFound, match="gas, power, telecom, water"):
            reader_for("steam")

    def test_names_every_profile_after_its_code(self):
        for path in PROFILES.glob("*.toml"):
            assert tomllib.loads(path.read_text("utf-8"))["code"] == path.stem

    def test_gives_a_company_and_its_reader(self):
        assert get_provider("water").reader is reader_for("water")
        assert Path(PROFILES).is_dir()
