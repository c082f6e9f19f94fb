"""The advice of a remittance on paper: what it says, and how much of a long list."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from pypdfium2 import PdfDocument

from payments.remittance.advice_pdf import ITEMS_SHOWN, remittance_advice_pdf
from payments.remittance.models import Basis, LineKind, RemittanceState
from payments.remittance.views import Advice, Deduction, Item, Line, Share

DAY = date(2026, 11, 20)


def items(count: int) -> Iterator[Item]:
    for at in range(count):
        yield Item(DAY, LineKind.COLLECTED, f"B{at:05d}", "****0001", f"W{at:05d}", DAY, 8_650)


def an_advice(count: int = 3, **changes: Any) -> Advice:
    """A day of 86.50 yuan a bill, of which 1.73 are refunded and our fee is 2.00."""
    gross_fen = 8_650 * count
    net_fen = gross_fen - 373
    facts: dict[str, Any] = {
        "number": "RM2611200001", "provider_code": "water", "company_name": "城市自来水",
        "from_on": DAY, "to_on": DAY, "due_on": date(2026, 11, 23), "sent_on": None,
        "state": RemittanceState.PROPOSED, "is_paid": False, "basis": Basis.NET,
        "lines": (Line(DAY, LineKind.COLLECTED, count, gross_fen),
                  Line(DAY, LineKind.REFUNDED, 1, -173), Line(DAY, LineKind.FEE, count, -200)),
        "gross_fen": gross_fen,
        "deductions": (Deduction(LineKind.REFUNDED, 1, 173), Deduction(LineKind.FEE, count, 200)),
        "carried_fen": 0, "released_fen": 0, "held_fen": 0, "net_fen": net_fen,
        "paid_fen": net_fen, "claimed_fen": 0,
        "shares": (Share("自来水公司", "****1234", "102290000000", net_fen, "RM1"),),
        "made_at": datetime(2026, 11, 21, 2, tzinfo=UTC), "item_count": count,
        "items": items(count),
    }  # fmt: skip
    return Advice(**facts | changes)


def text_of(advice: Advice, locale: str = "en") -> str:
    pages = PdfDocument(remittance_advice_pdf(advice, locale))
    return "".join(page.get_textpage().get_text_range() for page in pages)


def test_it_says_what_is_paid_and_how_it_comes_about():
    told = text_of(an_advice())

    for said in (
        "¥255.77", "¥259.50", "Refunds", "-¥1.73", "Our fee", "-¥2.00", "****1234", "B00002",
        "RM2611200001", "城市自来水", "To be released",
    ):  # fmt: skip
        assert said in told


def test_it_speaks_chinese():
    told = text_of(an_advice(state=RemittanceState.SENT, sent_on=DAY), "zh_CN")

    for said in ("划拨通知书", "净额划拨", "已付出", "付出日期", "账单明细"):
        assert said in told


def test_what_is_claimed_apart_is_not_taken_off():
    told = text_of(an_advice(basis=Basis.GROSS, net_fen=25_950, paid_fen=25_950, claimed_fen=373))

    assert "You owe us, under this number" in told
    assert "¥3.73" in told
    assert "-¥1.73" in told  # of its day, and nowhere else
    assert told.count("-¥1.73") == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"held_fen": 100}, "Held back: disputed"),
        ({"released_fen": 100}, "Held back before, and released"),
        ({"carried_fen": -100}, "Carried from the one before"),
        ({"paid_fen": 0, "shares": (), "state": RemittanceState.CARRIED}, "goes to the next one"),
        ({"is_paid": True, "state": RemittanceState.SENT}, "in our bank's statement"),
    ],
)
def test_what_is_unusual_is_said(changes, said):
    assert said not in text_of(an_advice())
    assert said in text_of(an_advice(**changes))


def test_of_a_long_list_the_first_are_shown_and_how_many_more_there_are():
    advice = an_advice(count=ITEMS_SHOWN + 7)

    told = text_of(advice)

    assert f"B{ITEMS_SHOWN - 1:05d}" in told
    assert f"B{ITEMS_SHOWN:05d}" not in told
    assert "7 more are in the CSV file" in told


@pytest.mark.parametrize("state", RemittanceState)
@pytest.mark.parametrize("kind", LineKind)
def test_every_state_and_kind_has_its_words(state, kind):
    line = Line(DAY, kind, 1, 100)

    assert remittance_advice_pdf(an_advice(0, state=state, lines=(line,)), "en")
