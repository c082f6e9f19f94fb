"""A profile proposed from a sample: right where the sample tells, a question where it does not."""

import io
import random
import zlib
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.errors import BillFileError
from providers.base import BillRecord, Reject
from providers.profiles import Profile
from providers.proposing.proposal import Company, Proposal, propose
from providers.proposing.trial import try_out
from providers.registry import PROVIDERS, reader_from
from tests.providers import samples_mapped, samples_text
from tests.providers.contract import SAMPLES, Sample
from tests.providers.files import GAS, POWER, TELECOM, WATER
from tests.providers.standards.documents import cii_file, pdf, ubl_file
from tests.providers.standards.test_espi import feed, point
from tests.providers.standards.test_pain_013 import plain
from tests.providers.standards.test_x12_810 import interchange, invoice

HOSTILE = Path(__file__).parents[1] / "data" / "hostile"
REGISTERED = (samples_mapped, samples_text)
SPRING = Company("spring", "春镇", "Spring", "water", "000-0000-0107", "9107")
NAMES = {  # by role, several ways to say it
    "account_no": ("户号", "用户编号", "客户编号", "Account No.", "account_number"),
    "holder_name": ("户名", "客户名称", "Customer Name"),
    "address": ("地址", "用水地址", "Address"),
    "billing_month": ("账期", "电费年月", "Billing Month"),
    "bill_no": ("账单号", "账单编号", "Bill No"),
    "period_from": ("抄表起", "起始日期", "Period From"),
    "period_to": ("抄表止", "结束日期", "Period To"),
    "issued": ("出账日", "发行日期", "Issue Date"),
    "due": ("最后缴费日", "缴费截止日期", "Due Date"),
    "quantity": ("用水量", "用量", "Usage"),
    "amount": ("应缴金额", "应收金额", "Amount Due"),
}
DAYS = {
    "yyyymmdd": "%Y%m%d", "yyyy-mm-dd": "%Y-%m-%d", "yyyy/mm/dd": "%Y/%m/%d",
    "dd.mm.yyyy": "%d.%m.%Y", "dd/mm/yyyy": "%d/%m/%Y", "mm/dd/yyyy": "%m/%d/%Y",
    "yyyy年mm月dd日": "%Y年%m月%d日",
}  # fmt: skip
MONTHS = {"yyyymm": "%Y%m", "yyyy-mm": "%Y-%m", "yyyy年mm月": "%Y年%m月"}
OFTEN = settings(max_examples=120, deadline=None, suppress_health_check=[*HealthCheck])


@dataclass(frozen=True)
class Layout:
    """How a made-up company writes; ``order`` is that of its columns."""

    delimiter: str
    encoding: str
    day: str
    month: str
    amounts: str
    order: tuple[str, ...]
    names: tuple[int, ...]
    packed: bool
    count: int
    seed: int


LAYOUTS = st.builds(
    Layout,
    delimiter=st.sampled_from([",", ";", "|", "\t", "~|~", "\x1f", "^"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "gb18030", "utf-16"]),
    day=st.sampled_from(sorted(DAYS)), month=st.sampled_from(sorted(MONTHS)),
    amounts=st.sampled_from(["plain", "thousands", "comma", "marked"]),
    order=st.permutations(list(NAMES)).map(tuple),
    names=st.tuples(*[st.integers(0, 4)] * len(NAMES)),
    packed=st.booleans(), count=st.integers(3, 30), seed=st.integers(0, 10**6),
)  # fmt: skip


def quoted(cell: str, layout: Layout) -> str:
    return f'"{cell}"' if layout.delimiter in cell else cell


def yuan(amount: Decimal, style: str) -> str:
    if style == "comma":
        return f"{amount:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")
    if style == "marked":
        return f"¥{amount:,.2f}"
    return f"{amount:,.2f}" if style == "thousands" else f"{amount:.2f}"


def made(layout: Layout) -> tuple[bytes, list[dict[str, object]]]:
    """Make a file of a layout, and what its bills are."""
    chance = random.Random(layout.seed)
    bills = []
    for at in range(layout.count):
        start = date(2026, 1 + at % 9, 1)
        bills.append({
            "account_no": f"{10**9 + chance.randrange(10**8)}", "bill_no": f"B-{at:05d}",
            "holder_name": chance.choice(["张珅", "李瑋", "王小明"]), "billing_month": start,
            "address": f"示例路{chance.randrange(1, 99)}号", "period_from": start,
            "period_to": start + timedelta(days=27), "issued": start + timedelta(days=33),
            "due": start + timedelta(days=50 + chance.randrange(5)),
            "quantity": Decimal(chance.randrange(1, 400)),
            "amount": Decimal(chance.randrange(100, 999_999)) / 100 + 1000 * (at == 0),
        })  # fmt: skip
    names = {role: NAMES[role][pick % len(NAMES[role])] for role, pick in
             zip(NAMES, layout.names, strict=True)}  # fmt: skip
    lines = [layout.delimiter.join(names[role] for role in layout.order)]
    for bill in bills:
        cells = dict(bill)
        for role, value in bill.items():
            if role == "billing_month":
                cells[role] = value.strftime(MONTHS[layout.month])
            elif isinstance(value, date):
                cells[role] = value.strftime(DAYS[layout.day])
        cells["amount"] = yuan(bill["amount"], layout.amounts)
        lines.append(layout.delimiter.join(quoted(str(cells[r]), layout) for r in layout.order))
    data = ("\r\n".join(lines) + "\r\n").encode(layout.encoding)
    if layout.packed:
        packer = zlib.compressobj(wbits=31)
        data = packer.compress(data) + packer.flush()
    return data, bills


def proposed(data: bytes, company: Company = SPRING) -> Proposal:
    return propose(io.BytesIO(data), company)


def read(profile: Profile, data: bytes) -> list[object]:
    return list(reader_from(profile).read(io.BytesIO(data)))


class TestAPlainFileOfAnyLayout:
    @OFTEN
    @given(layout=LAYOUTS)
    def test_is_proposed_as_a_profile_that_reads_the_same_bills(self, layout):
        data, bills = made(layout)

        proposal = proposed(data)

        assert proposal.fault is None, proposal.text
        assert proposal.trial is not None
        rows = read(proposal.trial, data)
        assert [row for row in rows if isinstance(row, Reject)] == []
        for row, bill in zip(rows, bills, strict=True):
            assert isinstance(row, BillRecord)
            assert (row.account_no, row.bill_no) == (bill["account_no"], bill["bill_no"])
            assert (row.holder_name, row.address) == (bill["holder_name"], bill["address"])
            assert row.amount_fen == int(bill["amount"] * 100)
            assert (row.billing_month, row.usage) == (bill["billing_month"], bill["quantity"])
            assert (row.period_from_on, row.period_to_on) == (
                bill["period_from"], bill["period_to"],
            )  # fmt: skip
            assert (row.issued_on, row.due_on) == (bill["issued"], bill["due"])


HEAD = "户号,户名,地址,账期,账单号,抄表起,抄表止,出账日,最后缴费日,应缴金额\n"


def line(days: tuple[str, str, str, str], amount: str, account: str = "1000000001") -> str:
    return f"{account},张珅,示例路1号,202601,B-{account},{','.join(days)},{amount}\n"


class TestWhatTheSampleDoesNotTell:
    def test_days_that_may_be_months_are_asked_about(self):
        days = ("01/01/2026", "02/02/2026", "03/03/2026", "04/04/2026")

        proposal = proposed((HEAD + line(days, "86.50")).encode())

        assert "dates.day: should be" in str(proposal.fault)
        assert any("dd/mm/yyyy" in asked for asked in proposal.questions)

    def test_one_day_beyond_the_twelfth_settles_all_columns(self):
        days = ("01/01/2026", "31/01/2026", "02/02/2026", "03/03/2026")

        proposal = proposed((HEAD + line(days, "86.50")).encode())

        assert proposal.trial is not None
        assert proposal.trial.dates.day == "dd/mm/yyyy"

    def test_whole_numbers_may_be_yuan_or_fen(self):
        days = ("20260101", "20260131", "20260202", "20260220")

        proposal = proposed((HEAD + line(days, "8650")).encode())

        assert "amount_unit: should be" in str(proposal.fault)
        assert any("yuan, fen" in asked for asked in proposal.questions)

    def test_a_name_that_states_the_unit_answers_that(self):
        days = ("20260101", "20260131", "20260202", "20260220")
        head = HEAD.replace("应缴金额", "应缴金额(分)")

        proposal = proposed((head + line(days, "8650")).encode())

        assert proposal.trial is not None
        assert proposal.trial.amount_unit == "fen"

    def test_a_thousand_or_one_and_a_bit_is_asked_about(self):
        days = ("20260101", "20260131", "20260202", "20260220")
        data = (HEAD + line(days, "1,234")).replace(",", ";").replace("1;234", "1,234")

        assert any("1,234" in asked for asked in proposed(data.encode()).questions)

    def test_a_second_total_is_asked_about(self):
        days = ("20260101", "20260131", "20260202", "20260220")
        data = HEAD.replace("\n", ",总额\n") + line(days, "86.50,90.00")

        proposal = proposed(data.encode())

        assert any("which of these is the amount due" in asked for asked in proposal.questions)
        assert "no column holds 'amount'" in str(proposal.fault)

    def test_a_role_nobody_was_found_for_is_named_with_a_proposal(self):
        proposal = proposed(b"\n".join(
            b",".join(row.split(b",")[:8] + row.split(b",")[9:])
            for row in (HEAD + line(("20260101", "20260131", "20260202", "x"), "1.50"))
            .encode().splitlines()
        ))  # fmt: skip

        assert "# due_days = 15" in proposal.text
        assert "no column holds 'due'" in str(proposal.fault)

    def test_a_flag_nobody_knows_is_not_guessed(self):
        power = POWER.file({}, {"冲销标志": "7", "户号": "3100000000002"})

        assert '"7" = "?"' in proposed(power).text

    def test_a_number_in_the_header_is_not_taken_for_the_files_own(self):
        proposal = proposed(WATER.file({}, {"户号": "1000000002"}))

        assert 'holds = "sequence"' not in proposal.text
        assert any("never used for another file" in asked for asked in proposal.questions)

    def test_what_is_not_known_of_the_company_is_missing_and_the_sample_is_tried_all_the_same(self):
        proposal = proposed(POWER.file({}), Company())

        assert "code: is missing" in str(proposal.fault)
        assert proposal.trial is not None
        assert proposal.text.count("ASK THE COMPANY") >= 5


class TestTheDemosFiles:
    def test_power_is_wholly_right(self):
        data = POWER.file({}, {"户号": "3100000000002", "账单编号": "P-202610-2"})
        profile = PROVIDERS["power"].profile
        assert profile is not None

        trial = proposed(data).trial

        assert trial is not None
        assert [c.holds for c in trial.columns] == [c.holds for c in profile.columns]
        assert trial.usage == profile.usage

    def test_water_is_right_to_the_control_totals(self):
        data = WATER.file({}, {"户号": "1000000002", "账单号": "W-202610-2"})
        profile = PROVIDERS["water"].profile
        assert profile is not None

        trial = proposed(data).trial

        assert trial is not None
        assert trial.trailer is not None
        assert [c.holds for c in trial.columns] == [c.holds for c in profile.columns[:16]]
        assert [cell.holds for cell in trial.trailer.fields] == ["text", "row_count", "amount_sum"]

    def test_gas_is_cut_where_its_fields_are_and_its_sum_finds_the_amount(self):
        data = GAS.file({}, {"户号": "200000000002", "账单号": "G-202610-2"})

        proposal = proposed(data)

        held = {guess.holds: proposal.grid.places[guess.at] for guess in proposal.guesses}
        assert held["account_no"] == (1, 12)
        assert held["amount"] == (177, 10)
        assert (held["period_from"], held["due"]) == ((138, 8), (194, 7))
        assert 'amount_unit = "?"' in proposal.text

    def test_telecoms_document_is_read_with_its_totals(self):
        data = TELECOM.file({}, {"AccountNo": "80000002", "BillNo": "T-202610-2"})

        trial = try_out(proposed(data).trial, io.BytesIO(data), rows=2)

        assert (trial.bills, trial.rejects, trial.amount_fen) == (2, 0, 17_300)


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("ubl", ubl_file()),
        ("cii", cii_file()),
        ("cii", pdf(cii_file())),
        ("espi", feed(point())),
        ("pain_013", plain()),
        ("x12_810", interchange(invoice())),
    ],
)
def test_a_standard_is_known_by_its_beginning_and_lists_no_columns(form, data):
    proposal = proposed(data)

    assert proposal.trial is not None
    assert proposal.trial.file.format == form
    assert proposal.trial.columns == ()
    try_out(proposal.trial, io.BytesIO(data), rows=2)


def right_share(sample: Sample) -> tuple[int, int]:
    """Count the columns of a named sample that are proposed as its own profile has them."""
    proposal = proposed(sample.data)
    assert proposal.grid is not None
    grid, profile = proposal.grid, sample.profile
    held = {grid.paths[g.at] if grid.paths else g.name: g.holds for g in proposal.guesses}
    right = 0
    for column in profile.columns:
        where = (column.path or column.name).replace("b:", "") if grid.paths else column.name
        right += held.get(where) == column.holds
    return right, len(profile.columns)


NAMED = [
    sample for sample in SAMPLES
    if sample.name.startswith(("tabs", "detected", "several characters", "a western", "one bill in",
                               "XML in", "XML with", "a workbook", "an old", "a JSON", "gas's"))
]  # fmt: skip


@pytest.mark.parametrize("sample", NAMED, ids=lambda sample: sample.name)
def test_a_file_that_names_its_columns_is_understood(sample):
    right, count = right_share(sample)

    assert right >= count - 1


class TestHostileBytes:
    @OFTEN
    @given(data=st.binary(max_size=600))
    def test_raise_nothing_but_a_bill_file_error(self, data):
        self.nothing_but_a_refusal(data)

    @settings(OFTEN, max_examples=40)
    @given(at=st.integers(0, 2_000), put=st.binary(max_size=6), pick=st.integers(0, 10**6))
    def test_in_a_sound_file_raise_nothing_but_a_bill_file_error(self, at, put, pick):
        sound = [WATER.file({}), POWER.file({}), GAS.file({}), TELECOM.file({})]
        sound += [sample.data for sample in SAMPLES if sample.profile.file.format != "spreadsheet"]
        data = sound[pick % len(sound)]
        at %= len(data)

        self.nothing_but_a_refusal(data[:at] + put + data[at + 2 :])

    @settings(OFTEN)
    @given(text=st.text("户号,;|\t\n\"'{}[]<>/=:.-0123456789aX€", max_size=300))
    @example("户号,账期,金额\n" * 3)
    @example('{"a":' * 400)
    @example("[" * 100_000)
    @example("<a>" * 3_000)
    @example('<!DOCTYPE a [<!ENTITY b "c">]><a><b x="1" y="2">&b;</b></a>')
    @example('{"\\ud800": [{"amount": 1e999999, "户号": "\\u0000"}]}')
    @example("," * 70_000)
    @example(",,,,\n,,,,\n")
    @example('[{"amount": ' + "9" * 5_000 + "}]")
    @example('{"a": ' + "9" * 5_000 + "}\n{}\n")
    def test_of_text_raise_nothing_but_a_bill_file_error(self, text):
        self.nothing_but_a_refusal(text.encode())

    @staticmethod
    def nothing_but_a_refusal(data: bytes) -> None:
        try:
            proposal = proposed(data)
        except BillFileError:
            return
        proposal.text.encode()
        if proposal.trial is not None:
            try_out(proposal.trial, io.BytesIO(data), rows=3)

    def test_of_the_hostile_corpus_raise_nothing_but_a_bill_file_error(self):
        files = [path for path in sorted(HOSTILE.rglob("*")) if path.is_file()]

        for path in files:
            self.nothing_but_a_refusal(path.read_bytes())

    def test_only_the_beginning_of_a_long_file_is_looked_at(self):
        row = line(("20260101", "20260131", "20260202", "20260220"), "86.50")
        data = (HEAD + row * 40_000).encode()

        proposal = proposed(data)

        assert proposal.grid is not None
        assert len(proposal.grid.rows) <= 5_000
        assert "Only the beginning" in proposal.text


class TestATrial:
    @pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
    def test_shows_every_first_row_beside_its_raw_text(self, sample):
        trial = try_out(sample.profile, io.BytesIO(sample.data), rows=3)

        assert (trial.bills, trial.rejects) == (len(sample.expected), sample.rejects)
        assert trial.landed
        assert all(one.raw for one in trial.landed)
        assert len(trial.landed) <= 3

    def test_states_control_totals_beside_what_was_read(self):
        profile = PROVIDERS["water"].profile
        assert profile is not None

        trial = try_out(profile, io.BytesIO(WATER.file({}, {}, count=3)), rows=5)

        assert [(total.stated, total.read) for total in trial.totals] == [
            ("3", "2"), ("173.00", "¥173.00"),
        ]  # fmt: skip
        assert trial.refusal is not None
