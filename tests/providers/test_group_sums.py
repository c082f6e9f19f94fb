"""Sums that spreadsheet programs write below each group of rows, and below all."""

import io

import pytest

from providers.base import BillRecord, Reject
from providers.profiles import Profile, parse_profile
from providers.proposing.proposal import Company, Proposal, propose
from providers.registry import reader_from
from tests.providers.samples_mapped import xlsx

SPRING = Company("spring_water", "春镇自来水", "Spring Water", "water", "000-0000-0107", "9107")
HEAD = (
    "户号", "户名", "账期", "账单号", "起始日期", "截止日期", "出账日期", "缴费截止日", "应缴金额",
)  # fmt: skip


def bill(account: str, month: int, amount: str, holder: str = "王小明") -> tuple[str, ...]:
    days = (f"2026{month:02d}01", f"2026{month:02d}30", f"2026{month + 1:02d}01")
    number = f"B{account[-2:]}{month:02d}"
    return (account, holder, f"2026{month:02d}", number, *days, f"2026{month + 1:02d}20", amount)


def total(name: str, amount: str) -> tuple[str, ...]:
    return (name, *[""] * 7, amount)


def table(
    below: str = "{} 汇总", all_: str = "总计", holder: str = "王小明"
) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for account in ("0310001230", "0310001231", "0310001232"):
        rows += [bill(account, month, "80.50", holder) for month in (9, 10)]
        rows.append(total(below.format(account), "161.00"))
    return [*rows, total(all_, "483.00")]


def csv(rows: list[tuple[str, ...]]) -> bytes:
    return "".join(",".join(row) + "\n" for row in (HEAD, *rows)).encode()


def proposed(data: bytes) -> Proposal:
    return propose(io.BytesIO(data), SPRING)


def read(profile: Profile, data: bytes) -> list[BillRecord | Reject]:
    return list(reader_from(profile).read(io.BytesIO(data)))  # type: ignore[arg-type]


@pytest.mark.parametrize("form", [csv, lambda rows: xlsx([HEAD, *rows])])
@pytest.mark.parametrize(
    ("below", "all_"), [("{} 汇总", "总计"), ("{} Total", "Grand Total"), ("{} 小计", "合计")]
)
def test_sums_of_groups_are_proposed_to_be_passed_over_and_asked_about(form, below, all_):
    data = form(table(below, all_))

    found = proposed(data)
    rows = read(parse_profile(found.text, "the proposal"), data)

    ending = below.removeprefix("{} ")
    assert f"may the first cell of a bill end in {ending}? It is no bill" in found.questions
    assert f'skip_endings = [" {ending}"]' in found.text
    assert [row.amount_fen for row in rows if isinstance(row, BillRecord)] == [8_050] * 6
    assert len(rows) == 6


def test_a_sum_that_nobody_agreed_on_is_a_reject_and_never_left_out_unseen():
    known = proposed(csv([row for row in table() if row[0].isdigit()]))
    profile = parse_profile(known.text, "the proposal")

    rows = read(profile, csv(table()[:-1]))

    assert sum(isinstance(row, Reject) for row in rows) == 3


def test_the_bill_of_somebody_called_like_a_sum_is_one():
    names = [row[1:] for row in table(holder="La Somme Totale Total") if row[0].isdigit()]
    head = (*HEAD[1:3], "户号", *HEAD[3:])
    rows = [(row[0], row[1], f"03100012{at}0", *row[2:]) for at, row in enumerate(names)]
    data = "".join(",".join(row) + "\n" for row in (head, *rows)).encode()

    found = proposed(data)

    assert "skip_endings" not in found.text
    assert len(read(parse_profile(found.text, "the proposal"), data)) == 6
