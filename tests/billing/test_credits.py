"""Credits cover open bills of their account: in the declared order, once, and never held ones."""

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import count

import pytest
from sqlalchemy import text

from billing import credits
from billing.bills import BillRef
from billing.credits import Consumed, consume, consume_file
from billing.late_fees import assess
from core.clock import add_months
from core.db import transaction
from core.errors import Conflict
from core.keys import named_key
from payments.gateways.base import GatewayStatus
from payments.quotes import Wanted
from providers.base import BillRecord, LineItem
from tests.factories import (
    MONTH,
    NOW,
    a_home,
    a_payment,
    a_record,
    at_once,
    balances,
    book,
    bring_in,
    the_bill,
    the_terms,
    topics,
    violations,
)

_numbers = count(1)

pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture(autouse=True)
def _the_books_hold(city: str) -> Iterator[None]:
    yield
    assert violations() == []


def a_row(account_no: str, month: date, amount_fen: int, bill_no: str = "B1") -> BillRecord:
    return a_record(
        account_no, bill_no, billing_month=month, amount_fen=amount_fen,
        items=(LineItem("基本费", None, "", amount_fen),),
    )  # fmt: skip


def an_account(*amounts_fen: int, company: str = "water") -> tuple[list[BillRef], int]:
    """An account billed once a month up to October; the references, oldest first, and the file."""
    number = f"{next(_numbers):010d}"
    months = [add_months(MONTH, back - len(amounts_fen) + 1) for back in range(len(amounts_fen))]
    done = bring_in(
        company, *(a_row(number, *one) for one in zip(months, amounts_fen, strict=True))
    )
    with transaction() as session:
        account_id = session.execute(
            text("SELECT id FROM utility_account WHERE (provider_code, account_no) = (:p, :no)"),
            {"p": company, "no": number},
        ).scalar_one()
    return [(account_id, named_key(month, "B1")) for month in months], done.bill_file_id


def covering(*refs: BillRef, company: str = "water") -> Consumed:
    with transaction() as session:
        accounts = [ref[0] for ref in refs]
        return consume(session, accounts, provider_code=company, now=NOW)


def opens(refs: list[BillRef]) -> list[int]:
    return [the_bill(ref).open_fen for ref in refs]


def transfers(refs: list[BillRef]) -> list[tuple[int, str, int]]:
    """(which bill, entry key, fen) of what credits moved."""
    with transaction() as session:
        rows = session.execute(
            text("""
                SELECT subject_id, entry_key, amount_fen FROM ledger_transfer
                WHERE account_id = :account AND entry_key ~ '^(credited|spent)'
                ORDER BY subject_id, entry_key
            """),
            {"account": refs[0][0]},
        ).all()
    bill_ids = [ref[1] for ref in refs]
    return [(bill_ids.index(bill_id), key, fen) for bill_id, key, fen in rows]


class TestCovering:
    def test_a_credit_covers_the_oldest_bill_first_and_what_is_left_stays_on_it(self):
        """Rules 8 and 9."""
        refs, _ = an_account(5_000, 3_000, -9_000)

        assert covering(*refs) == Consumed(2, 8_000)

        assert opens(refs) == [0, 0, -1_000]
        assert transfers(refs) == [
            (0, "credited.0", 5_000), (1, "credited.0", 3_000),
            (2, "spent.0", 5_000), (2, "spent.5000", 3_000),
        ]  # fmt: skip

    def test_the_clearing_account_stays_level(self):
        refs, _ = an_account(5_000, -3_000)

        covering(*refs)

        assert "credits:water" not in balances()
        assert balances() == {"receivable:water": 2_000, "uncollected:water": -2_000}

    @pytest.mark.parametrize(("credit_fen", "left"), [(4_999, [1, 0]), (5_001, [0, -1])])
    def test_a_fen_too_little_and_a_fen_too_much(self, credit_fen, left):
        refs, _ = an_account(5_000, -credit_fen)

        covering(*refs)

        assert opens(refs) == left

    def test_a_bill_takes_from_several_credits(self):
        refs, _ = an_account(-1_000, -500, 4_000)

        assert covering(*refs) == Consumed(2, 1_500)

        assert opens(refs) == [0, 0, 2_500]
        assert transfers(refs) == [
            (0, "spent.0", 1_000), (1, "spent.0", 500),
            (2, "credited.0", 1_000), (2, "credited.1000", 500),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("order", "left"),
        [
            ("oldest_first", [0, -2_000, -500, 0]),
            ("newest_first", [-1_000, -1_500, 0, 0]),
            ("largest_first", [-1_000, -1_000, -500, 0]),
        ],
    )
    def test_credits_are_used_up_in_the_company_s_order(self, order, left):
        """Rule 9."""
        the_terms("water", f"[credits]\norder = '{order}'\n")
        refs, _ = an_account(-1_000, -2_000, -500, 1_000)

        covering(*refs)

        assert opens(refs) == left

    def test_a_late_fee_is_covered_with_its_bill(self):
        the_terms("water", "[late_fee]\nonce_fen = 300\n")
        refs, _ = an_account(1_000, -5_000)
        day = the_bill(refs[0]).due_on + timedelta(days=1)
        assess("water", day, now=NOW + timedelta(days=40))

        assert covering(*refs) == Consumed(1, 1_300)

        assert opens(refs) == [0, -3_700]

    def test_again_changes_nothing(self):
        refs, _ = an_account(5_000, -3_000)
        covering(*refs)

        assert covering(*refs) == Consumed(0, 0)
        assert topics(like="credits.%") == ["credits.consumed"]

    def test_a_company_that_pays_its_credits_out_keeps_them(self):
        the_terms("water", "[credits]\nconsume = false\n")
        refs, file_id = an_account(5_000, -3_000)

        assert covering(*refs) == Consumed(0, 0)
        assert consume_file(file_id, now=NOW) == Consumed(0, 0)
        assert opens(refs) == [5_000, -3_000]

    def test_one_account_s_credit_covers_no_other_account_s_bill(self):
        debt, _ = an_account(5_000)
        credit, _ = an_account(-5_000)

        assert covering(*debt, *credit) == Consumed(0, 0)

    def test_another_company_s_accounts_are_left_alone(self):
        refs, _ = an_account(5_000, -3_000, company="gas")

        assert covering(*refs, company="water") == Consumed(0, 0)


class TestFiles:
    def test_a_credit_in_a_file_covers_an_older_bill(self):
        refs, _ = an_account(5_000)
        number = f"{next(_numbers) - 1:010d}"
        done = bring_in("water", a_row(number, MONTH, -2_000, "B2"))

        assert consume_file(done.bill_file_id, now=NOW) == Consumed(1, 2_000)
        assert opens(refs) == [3_000]

    def test_a_bill_in_a_file_is_covered_by_an_older_credit(self):
        refs, _ = an_account(-5_000)
        number = f"{next(_numbers) - 1:010d}"
        done = bring_in("water", a_row(number, MONTH, 2_000, "B2"))

        assert consume_file(done.bill_file_id, now=NOW) == Consumed(1, 2_000)
        assert opens(refs) == [-3_000]

    def test_accounts_that_are_not_in_the_file_are_left_alone(self):
        refs, _ = an_account(5_000, -3_000)
        _, other = an_account(1_000)

        assert consume_file(other, now=NOW) == Consumed(0, 0)
        assert opens(refs) == [5_000, -3_000]

    def test_many_accounts_are_covered_chunk_by_chunk(self, monkeypatch):
        monkeypatch.setattr(credits, "CHUNK_ACCOUNTS", 2)
        rows = [
            a_row(f"{at:010d}", MONTH, fen, f"B{fen}") for at in range(5) for fen in (-300, 500)
        ]
        done = bring_in("water", *rows)

        assert consume_file(done.bill_file_id, now=NOW) == Consumed(5, 1_500)
        assert topics(like="credits.%") == ["credits.consumed"] * 3
        assert consume_file(done.bill_file_id, now=NOW) == Consumed(0, 0)


class TestSideBySide:
    def test_consumed_by_eight_at_once_nothing_is_covered_twice(self):
        refs, file_id = an_account(5_000, 3_000, -6_000)

        found = at_once([lambda: consume_file(file_id, now=NOW)] * 8)

        assert sum(one.fen for one in found) == 6_000
        assert opens(refs) == [0, 2_000, 0]

    def test_a_held_bill_is_left_to_its_payment_and_covered_when_that_came_to_nothing(self):
        home = a_home(8_650)
        payment = a_payment(home, wanted=[Wanted(home.refs[0], None)])
        credit = a_row(home.account_nos[0], MONTH, -2_000, "B2")
        done = bring_in("water", credit)

        assert consume_file(done.bill_file_id, now=NOW) == Consumed(0, 0)
        book(payment, GatewayStatus.CLOSED)

        assert consume_file(done.bill_file_id, now=NOW) == Consumed(1, 2_000)
        assert opens(list(home.refs)) == [6_650]

    @pytest.mark.parametrize("turn", range(5))
    def test_against_a_payment_that_starts_at_the_same_moment(self, turn):
        """The credit was first and the payer must look again, or the payment was."""
        home = a_home(8_650)
        credit = a_row(home.account_nos[0], MONTH, -2_000, "B2")
        done = bring_in("water", credit)

        paying, covered = at_once(
            [
                lambda: a_payment(home, wanted=[Wanted(home.refs[0], 8_650)]),
                lambda: consume_file(done.bill_file_id, now=NOW),
            ]
        )

        assert isinstance(paying, Conflict) == (covered == Consumed(1, 2_000)), (paying, covered)
        assert covered in (Consumed(0, 0), Consumed(1, 2_000))
