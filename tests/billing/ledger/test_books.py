"""Double entry: once, balanced, and never changed."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError, IntegrityError

from billing.ledger import books
from billing.ledger.books import Move
from billing.ledger.models import Transfer
from core.db import transaction
from core.errors import AmountMismatch
from core.keys import month_key
from tests.conftest import as_owner
from tests.factories import MONTH, at_once

SUBJECT = month_key(MONTH, 7)


def a_move(**changes: object) -> Move:
    move = Move(1, SUBJECT, "paid:1", books.gateway("sandbox"), books.receivable("water"), 8_650)
    return move._replace(**changes)


def post(moves: Sequence[Move], *, now: datetime) -> int:
    with transaction() as session:
        return books.post(session, moves, now=now)


@pytest.mark.usefixtures("city")
class TestPost:
    def test_what_is_debited_here_is_credited_there(self, session, now):
        assert books.post(session, [a_move()], now=now) == 1

        assert books.balances(session) == [
            ("gateway:sandbox", 8_650, 0),
            ("receivable:water", 0, 8_650),
        ]
        assert books.balance_fen(session, "receivable:water") == -8_650

    def test_an_account_nobody_opened_is_level(self, session):
        assert books.balance_fen(session, "receivable:nobody") == 0

    def test_nothing_to_post_opens_no_account(self, session, now):
        assert books.post(session, [], now=now) == 0
        assert books.balances(session) == []

    def test_the_same_moves_again_change_nothing(self, session, now):
        moves = [a_move(), a_move(entry_key="paid:2")]
        books.post(session, moves, now=now)

        assert books.post(session, moves, now=now) == 0
        assert books.balance_fen(session, "gateway:sandbox") == 2 * 8_650

    def test_new_moves_beside_known_ones_are_posted(self, session, now):
        books.post(session, [a_move()], now=now)

        assert books.post(session, [a_move(), a_move(account_id=2)], now=now) == 1
        assert books.balance_fen(session, "gateway:sandbox") == 2 * 8_650

    @pytest.mark.parametrize(
        "other",
        [
            {"amount_fen": 8_649},
            {"amount_fen": 8_651},
            {"debit": books.gateway("other")},
            {"credit": books.receivable("gas")},
            {"debit": books.receivable("water"), "credit": books.gateway("sandbox")},
        ],
    )
    def test_the_same_key_with_other_figures_is_refused_whole(self, now, other):
        post([a_move()], now=now)

        with pytest.raises(AmountMismatch) as refused:
            post([a_move(**other), a_move(entry_key="paid:9")], now=now)

        assert refused.value.code == "ledger.conflict"
        with transaction() as session:
            assert books.balance_fen(session, "gateway:sandbox") == 8_650

    def test_one_batch_that_contradicts_itself_is_refused(self, session, now):
        with pytest.raises(AmountMismatch):
            books.post(session, [a_move(), a_move(amount_fen=1)], now=now)

    @pytest.mark.parametrize(
        "wrong",
        [{"amount_fen": 0}, {"amount_fen": -1}, {"credit": books.gateway("sandbox")}],
    )
    def test_the_database_takes_no_empty_negative_or_circular_move(self, session, now, wrong):
        with pytest.raises(IntegrityError):
            books.post(session, [a_move(**wrong)], now=now)

    def test_sixteen_threads_with_one_entry_post_it_once(self, now):
        found = at_once([lambda: post([a_move()], now=now)] * 16)

        assert sorted(found) == [0] * 15 + [1]
        with transaction() as session:
            assert books.balance_fen(session, "gateway:sandbox") == 8_650

    def test_accounts_opened_by_many_at_once_are_opened_once(self, now):
        def open_some(turn: int) -> dict[str, int]:
            codes = [f"gateway:{n}" for n in range(20)]
            with transaction() as session:
                return books.account_ids(session, codes[turn:] + codes[:turn])

        found = at_once([lambda turn=turn: open_some(turn) for turn in range(10)])

        assert all(ids == found[0] for ids in found)
        assert len(set(found[0].values())) == 20

    @pytest.mark.parametrize(
        ("moment", "day"),
        [
            (datetime(2026, 11, 19, 15, 59, 59, tzinfo=UTC), date(2026, 11, 19)),
            (datetime(2026, 11, 19, 16, 0, tzinfo=UTC), date(2026, 11, 20)),
        ],
    )
    def test_a_move_stands_on_the_day_of_shanghai(self, session, moment, day):  # rule 23
        books.post(session, [a_move()], now=moment)

        assert session.get_one(Transfer, (1, SUBJECT, "paid:1")).posted_on == day

    @given(
        st.lists(
            st.tuples(
                st.integers(1, 5),
                st.sampled_from("abcd"),
                st.sampled_from("efgh"),
                st.integers(1, 10**15),
            ),
            max_size=12,
        )
    )
    @settings(
        max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    def test_whatever_is_posted_the_books_sum_to_zero(self, session, now, drawn):
        turn = session.execute(text("SELECT count(*) FROM ledger_transfer")).scalar_one()
        moves = [
            Move(account_id, SUBJECT, f"drawn:{turn}:{at}", debit, credit, fen)
            for at, (account_id, debit, credit, fen) in enumerate(drawn)
        ]

        assert books.post(session, moves, now=now) == len(moves)

        found = books.balances(session)
        assert sum(debits for _, debits, _ in found) == sum(credits for *_, credits in found)


@pytest.mark.usefixtures("city")
class TestAppendOnly:
    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE ledger_transfer SET amount_fen = 1",
            "DELETE FROM ledger_transfer",
            "TRUNCATE ledger_transfer",
            "TRUNCATE ledger_transfer_y2026m10",
        ],
    )
    def test_the_database_refuses_to_change_what_was_posted(self, now, change):
        post([a_move()], now=now)

        with pytest.raises(DatabaseError, match="permission denied"), transaction() as session:
            session.execute(text(change))
        with pytest.raises(DatabaseError, match="append-only"), as_owner() as connection:
            connection.execute(text(change))

        with transaction() as session:
            assert books.balance_fen(session, "gateway:sandbox") == 8_650
