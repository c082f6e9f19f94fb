"""What each act posts: ``docs/ledger.md`` says it by example, and every example is posted."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import text

from billing import late_fees
from billing.ledger import books, postings
from core.clock import day_bounds
from core.db import transaction
from core.keys import month_key, named_key
from providers.base import RecordKind
from tests.factories import MONTH, NOW, a_home, balances, the_bill, the_terms

DOC = Path(__file__).parents[3] / "docs" / "ledger.md"
BILL, OTHER = (1, named_key(MONTH, "B1")), (1, named_key(MONTH, "C1"))
# The doc writes the short numbers; a subject's key knows its month.
PAYMENT, PAPER = month_key(MONTH, 725), month_key(MONTH, 31)
AHEAD = {"amount_fen": 9_000, "advance_fen": 350}
CHEAPER = {"amount_fen": 8_500, "adjust_fen": -150}
SANDBOX = books.gateway("sandbox")
DEARER = {"amount_fen": 8_850, "adjust_fen": 200}

# The calls behind the table, in its order.
EXAMPLES = (
    ("issued", postings.issued(BILL, "water", 8_650, 1)),
    ("issued", postings.issued(OTHER, "water", -500, 1)),
    ("reversed", postings.reversed_(BILL, "water", 8_650, 1)),
    ("late fee", postings.late_fee(BILL, "water", "penalty", "20261221", 87)),
    ("late fee", postings.late_fee(BILL, "water", "surcharge", str(PAYMENT), 200)),
    ("reminded", postings.reminded(BILL, "water", "R1", 200)),
    ("waived", postings.waived(BILL, "water", str(PAYMENT), 87)),
    ("waived", postings.waived(BILL, "water", "elsewhere.1", -150)),
    ("credited", postings.credited(BILL, OTHER, "water", 500, debt_from_fen=0, spent_fen=0)),
    ("captured", postings.captured(BILL, "water", "sandbox", PAYMENT, **AHEAD)),
    ("captured", postings.captured(BILL, "water", "sandbox", PAYMENT, **CHEAPER)),
    ("captured", postings.captured(BILL, "water", "sandbox", PAYMENT, **DEARER)),
    ("fee charged", postings.fee_charged(PAYMENT, "sandbox", 50, 3)),
    ("stray", postings.stray(BILL, "sandbox", PAYMENT, 8_650)),
    ("fee given back", postings.fee_given_back(PAYMENT, 50, 3)),
    ("written off", postings.written_off(BILL, "water", PAYMENT, **AHEAD)),
    ("unpaid", postings.unpaid(BILL, "water", PAYMENT, **AHEAD)),
    ("unpaid", postings.unpaid(BILL, "water", PAYMENT, **CHEAPER)),
    ("unpaid", postings.unpaid(BILL, "water", PAYMENT, **DEARER)),
    ("returned", postings.returned(BILL, SANDBOX, str(PAYMENT), 8_650)),
    ("returned", postings.returned(BILL, books.BANK, "R9", 8_650)),
    ("refunded", postings.refunded(BILL, "water", "R9", 8_650)),
    ("refunded", postings.refunded(BILL, "water", "R9", 9_000, advance_fen=350)),
    ("suspended", postings.suspended(PAPER, "sandbox", 8_650)),
    ("released", postings.released(PAPER, "sandbox", SANDBOX, 8_650)),
    ("settled", postings.settled(PAPER, "sandbox", 9_000, 52)),
    ("settled", postings.settled(PAPER, "sandbox", -1_000, 0)),
    ("settled", postings.settled(PAPER, "sandbox", -1_000, -6)),
    ("unsettled", postings.unsettled(PAPER, "sandbox", 9_000, 52)),
    ("remitted", postings.remitted(PAPER, "water", 9_000)),
    ("unremitted", postings.unremitted(PAPER, "water", 9_000)),
    ("fee borne", postings.fee_borne(PAPER, "water", 150, 9)),
    ("claim paid", postings.claim_paid(PAPER, "water", 7_000)),
    ("claim paid", postings.claim_paid(PAPER, "water", 7_000, undone=True)),
    ("charged back", postings.charged_back(PAPER, PAYMENT, "sandbox", 9_000)),
    ("dispute fee", postings.dispute_fee(PAPER, PAYMENT, "sandbox", 1_500)),
    ("dispute fee returned", postings.dispute_fee_returned(PAPER, PAYMENT, "sandbox", 1_500)),
    ("chargeback won", postings.chargeback_won(PAPER, PAYMENT, "sandbox", 9_000)),
    ("chargeback lost", postings.chargeback_lost(PAPER, BILL, "water", 9_000, advance_fen=350)),
    ("taken back", postings.taken_back(BILL, books.RETURNS, PAPER, "R2611-01-1", 8_650)),
    (
        "taken back",
        postings.taken_back(postings.about(PAPER), books.suspense("sandbox"), PAPER, "S31", 8_650),
    ),
    (
        "chargeback borne",
        postings.chargeback_borne(PAPER, PAYMENT, fee_fen=50, tax_fen=3, loss_fen=1_000),
    ),
    ("loss regained", postings.loss_regained(PAPER, PAYMENT, "S31", 1_000)),
    ("difference written off", postings.difference_written_off(8, PAYMENT, "sandbox", 2)),
    ("difference written off", postings.difference_written_off(9, PAYMENT, "sandbox", -2)),
    (
        "difference written off",
        postings.difference_written_off(8, PAYMENT, "sandbox", 2, undone=True),
    ),
    ("difference written off", postings.difference_written_off(PAPER, PAPER, "sandbox", 2)),
    ("credit suspended", postings.credit_suspended(PAPER, 4_000)),
    ("credit suspended", postings.credit_suspended(PAPER, 4_000, undone=True)),
    ("released", postings.released(PAPER, "bank", books.BANK, 4_000)),
    ("rerouted", postings.rerouted(8, PAYMENT, "sandbox", "alipay", 8_650)),
    ("rerouted", postings.rerouted(8, PAYMENT, "sandbox", "alipay", 8_650, undone=True)),
    ("rerouted", postings.rerouted(9, PAYMENT, "sandbox", None, 8_650)),
)


class Written(NamedTuple):
    """One act of the table and its transfers."""

    act: str
    moves: list[books.Move]


def written() -> Iterator[Written]:
    """Read the acts of the doc's table, one after the other."""
    subjects = {"bill": BILL, "other": OTHER, "0.725": (0, PAYMENT), "0.31": (0, PAPER)}
    row = re.compile(r"\| (.*?) ?\| (\S+) \| `(\S+)` \| `(\S+)` \| `(\S+)` \| (\d+) \|")
    found: list[Written] = []
    for line in DOC.read_text(encoding="utf-8").splitlines():
        if match := row.fullmatch(line):
            told, subject, key, debit, credit, fen = match.groups()
            if named := re.match(r"\*\*(.+?)\*\*", told):
                found.append(Written(named[1], []))
            key = (
                key.replace(":725", f":{PAYMENT}")
                .replace(".725", f".{PAYMENT}")
                .replace(":31", f":{PAPER}")
            )
            found[-1].moves.append(books.Move(*subjects[subject], key, debit, credit, int(fen)))
    return iter(found)


def sums(*acts: list[books.Move]) -> dict[str, int]:
    """Balances of some acts posted one after the other, level accounts left out."""
    with transaction() as session:
        for act in acts:
            books.post(session, act, now=NOW)
    return balances()


class TestExamples:
    def test_the_doc_shows_what_the_code_posts(self):
        assert [*written()] == [Written(act, moves) for act, moves in EXAMPLES]

    @pytest.mark.usefixtures("city")
    @pytest.mark.parametrize("at", range(len(EXAMPLES)), ids=lambda at: f"{at}-{EXAMPLES[at][0]}")
    def test_each_is_posted_once_however_often_it_is_told(self, at):
        moves = EXAMPLES[at][1]

        with transaction() as session:
            assert books.post(session, moves, now=NOW) == len(moves)
        with transaction() as session:
            assert books.post(session, moves, now=NOW) == 0

        assert sum(balances().values()) == 0

    def test_every_act_there_is_has_an_example(self):
        acts = {
            name.rstrip("_").replace("_", " ")
            for name, one in vars(postings).items()
            if callable(one) and one.__module__ == postings.__name__ and not name.startswith("_")
        }

        assert acts - {"about"} == {act for act, _ in EXAMPLES}

    def test_every_account_they_use_is_in_the_chart(self):
        chart = {
            re.sub(r":<.*>", "", code)
            for code in re.findall(r"^\| `([a-z_]+(?::<\w+>)?)` \|", DOC.read_text(), re.MULTILINE)
        }
        used = {
            code.partition(":")[0]
            for _, moves in EXAMPLES
            for move in moves
            for code in (move.debit, move.credit)
        }

        assert used == chart


@pytest.mark.usefixtures("city")
class TestStories:
    """The balances the doc promises at the end of each."""

    ISSUED = postings.issued(BILL, "water", 8_650, 1)
    PAID = postings.captured(BILL, "water", "sandbox", PAYMENT, amount_fen=8_650)
    CONFIRMED = postings.written_off(BILL, "water", PAYMENT, amount_fen=8_650)

    def test_issued(self):
        assert sums(self.ISSUED) == {"receivable:water": 8_650, "uncollected:water": -8_650}

    def test_paid_and_confirmed(self):
        assert sums(self.ISSUED, self.PAID, self.CONFIRMED) == {
            "payable:water": -8_650, "gateway:sandbox": 8_650,
        }  # fmt: skip

    def test_paid_refused_and_returned(self):
        refused = postings.unpaid(BILL, "water", PAYMENT, amount_fen=8_650)
        back = postings.returned(BILL, SANDBOX, str(PAYMENT), 8_650)

        assert sums(self.ISSUED, self.PAID, refused, back) == sums(self.ISSUED)

    def test_settled_and_remitted(self):
        settled = postings.settled(PAPER, "sandbox", 8_650, 0)
        remitted = postings.remitted(PAPER + 1, "water", 8_650)

        assert sums(self.ISSUED, self.PAID, self.CONFIRMED, settled, remitted) == {}

    @pytest.mark.parametrize("option", [CHEAPER, DEARER, AHEAD])
    def test_an_option_undone_leaves_the_bill_as_it_was(self, option):
        taken = postings.captured(BILL, "water", "sandbox", PAYMENT, **option)
        undone = postings.unpaid(BILL, "water", PAYMENT, **option)
        back = postings.returned(BILL, SANDBOX, str(PAYMENT), option["amount_fen"])

        assert sums(self.ISSUED, taken, undone, back) == sums(self.ISSUED)

    def test_a_chargeback_won_leaves_nothing_and_one_lost_is_the_companys(self):
        taken = postings.charged_back(PAPER, PAYMENT, "sandbox", 8_650)
        won = postings.chargeback_won(PAPER, PAYMENT, "sandbox", 8_650)
        assert sums(taken, won) == {}

    def test_a_chargeback_lost_makes_the_bill_owe_again(self):
        before = (self.ISSUED, self.PAID, self.CONFIRMED)
        taken = postings.charged_back(PAPER, PAYMENT, "sandbox", 8_650)
        lost = postings.chargeback_lost(PAPER, BILL, "water", 8_650)

        assert sums(*before, taken, lost) == sums(self.ISSUED)


@pytest.mark.usefixtures("city")
class TestBySets:
    """SQL that posts whole files and days at once posts what the rule book says, key by key."""

    @staticmethod
    def posted(key: postings.Key) -> set[books.Move]:
        with transaction() as session:
            rows = session.execute(_POSTED, {"account_id": key[0], "subject_id": key[1]})
            return {books.Move(*row) for row in rows}

    def test_issuing_correcting_and_cancelling(self):
        home = a_home(8_650, -500, 700)
        home.correct(0, version=2, amount_fen=8_000)
        home.cancel(2)
        bill, credit, void = home.refs

        assert self.posted(bill) == {
            *postings.issued(bill, "water", 8_650, 1),
            *postings.reversed_(bill, "water", 8_650, 1),
            *postings.issued(bill, "water", 8_000, 2),
        }
        assert self.posted(credit) == {*postings.issued(credit, "power", -500, 1)}
        assert self.posted(void) == {
            *postings.issued(void, "gas", 700, 1), *postings.reversed_(void, "gas", 700, 1),
        }  # fmt: skip

    def test_reminding_and_what_goes_with_the_version_that_is_cancelled(self):
        home = a_home(8_650)
        home.correct(
            0, version=1, kind=RecordKind.REMIND, bill_no="R1", original_no="B1", amount_fen=200
        )
        (bill,) = home.refs
        before = {*postings.issued(bill, "water", 8_650, 1)}
        before |= {*postings.reminded(bill, "water", "R1", 200)}
        assert self.posted(bill) == before

        home.cancel(0)

        assert self.posted(bill) == before | {
            *postings.waived(bill, "water", "v1", 200),
            *postings.reversed_(bill, "water", 8_650, 1),
        }

    def test_lateness(self):
        the_terms(
            "water",
            "[late_fee]\nonce_fen = 7\npenalty_ppm = 10000\ninterest_ppm_per_day = 1000\n",
        )
        home = a_home(8_000)
        (bill,) = home.refs
        day = the_bill(bill).due_on + timedelta(days=2)

        late_fees.assess("water", day, now=day_bounds(day)[1] + timedelta(hours=3))

        on = f"{day:%Y%m%d}"
        assert self.posted(bill) == {
            *postings.issued(bill, "water", 8_000, 1),
            *postings.late_fee(bill, "water", "once", on, 7),
            *postings.late_fee(bill, "water", "penalty", on, 80),
            *postings.late_fee(bill, "water", "interest", on, 16),
        }


_POSTED = text("""
    SELECT t.account_id, t.subject_id, t.entry_key, d.code, c.code, t.amount_fen
    FROM ledger_transfer t
    JOIN ledger_account d ON d.id = t.debit_account_id
    JOIN ledger_account c ON c.id = t.credit_account_id
    WHERE t.account_id = :account_id AND t.subject_id = :subject_id
""")
