"""A payment's life and an item's: every state and all news is in its table, and nothing else."""

from itertools import product

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.errors import IllegalTransition
from docs import states as picture
from payments.gateways.base import GatewayStatus
from payments.models import Payment, PaymentItem
from payments.states import (
    NEWS,
    OUTCOME_MOVES,
    PAYMENT_MOVES,
    PENDING,
    UNOPENED,
    ItemNews,
    News,
    Outcome,
    PaymentStatus,
    sources_of,
)
from payments.views import PublicStatus, public_status
from tests.conftest import as_owner
from tests.factories import NOW, a_home, a_payment


class TestTables:
    def test_every_status_and_every_outcome_is_in_its_table(self):
        assert set(PAYMENT_MOVES) == set(PaymentStatus)
        assert set(OUTCOME_MOVES) == set(Outcome)

    def test_all_news_changes_something_somewhere(self):
        assert set().union(*PAYMENT_MOVES.values()) == set(News)
        assert set().union(*OUTCOME_MOVES.values()) == set(ItemNews)

    def test_every_word_of_a_gateway_is_news_or_known_to_be_none(self):
        assert set(NEWS) == set(GatewayStatus)
        # These two are our own findings: another amount, and two days of silence.
        assert set(News) - set(NEWS.values()) == {News.OTHER_AMOUNT, News.NEVER_ANSWERED}

    def test_every_state_but_the_first_can_be_reached(self):
        reached = {end for ends in PAYMENT_MOVES.values() for end in ends.values()}
        assert reached == set(PaymentStatus) - {PaymentStatus.CREATED}
        reached = {end for ends in OUTCOME_MOVES.values() for end in ends.values()}
        assert reached == set(Outcome) - {Outcome.WAITING}

    def test_money_that_has_come_is_never_unsaid(self):  # rule 14
        assert PAYMENT_MOVES[PaymentStatus.PAID] == {}
        for status in set(PaymentStatus) - {PaymentStatus.PAID}:
            assert PAYMENT_MOVES[status][News.PAID] is PaymentStatus.PAID

    def test_no_answer_is_no_failure(self):  # rule 25
        ends = {moves.get(News.NO_ANSWER) for moves in PAYMENT_MOVES.values()}
        assert ends == {PaymentStatus.UNKNOWN, None}

    def test_debited_and_written_off_are_two_states(self):  # rule 26
        assert Outcome.WRITTEN_OFF.value in {*OUTCOME_MOVES[Outcome.PAID].values()}
        assert Outcome.WRITTEN_OFF.value not in {*OUTCOME_MOVES[Outcome.WAITING].values()}

    def test_pending_are_those_that_a_gateway_may_still_decide(self):
        may_be_refused = {PaymentStatus(one) for one in sources_of(PaymentStatus.REFUSED)}
        assert may_be_refused == PENDING
        assert {PaymentStatus(one) for one in sources_of(PaymentStatus.OPEN)} == UNOPENED

    @pytest.mark.parametrize("status", PaymentStatus)
    def test_every_state_has_a_word_for_the_payer(self, status):
        for outcome in Outcome:
            assert public_status(status, {outcome.value}) in PublicStatus

    def test_the_picture_is_of_these_tables(self):
        assert picture.PAGE.read_text("utf-8") == picture.page()


class TestMoves:
    @pytest.mark.parametrize(("before", "news"), list(product(PaymentStatus, News)))
    def test_a_payment_moves_by_its_table_only(self, before, news):
        payment = Payment(status=before)
        after = PAYMENT_MOVES[before].get(news)

        assert payment.hear(news, now=NOW) is (after is not None)
        assert payment.status is (after or before)

    @pytest.mark.parametrize(("before", "news"), list(product(Outcome, ItemNews)))
    def test_an_item_moves_by_its_table_only(self, before, news):
        item = PaymentItem(outcome=before)

        if news in OUTCOME_MOVES[before]:
            item.hear(news, now=NOW)
            assert (item.outcome, item.outcome_at) == (OUTCOME_MOVES[before][news], NOW)
        else:
            with pytest.raises(IllegalTransition):
                item.hear(news, now=NOW)
            assert item.outcome is before

    @pytest.mark.parametrize(
        ("table", "column", "moves", "states"),
        [
            ("payment", "status", PAYMENT_MOVES, PaymentStatus),
            ("payment_item", "outcome", OUTCOME_MOVES, Outcome),
        ],
    )
    @pytest.mark.usefixtures("city")
    def test_the_database_knows_the_same_moves(self, table, column, moves, states):
        a_payment(a_home())
        allowed = {(start, end) for start, ends in moves.items() for end in ends.values()}

        for start, end in product(states, repeat=2):
            with as_owner(unguarded=True) as owner:
                when = "now()" if start == "paid" and table == "payment" else "NULL"
                paid = f", paid_at = {when}" if table == "payment" else ""
                owner.execute(text(f"UPDATE {table} SET {column} = '{start}'{paid}"))
            assert self.moves(table, column, end) is (start == end or (start, end) in allowed)

    def moves(self, table: str, column: str, end: str) -> bool:
        when = "now()" if end == "paid" else "NULL"
        paid = f", paid_at = {when}" if table == "payment" else ""
        try:
            with as_owner() as owner:
                owner.execute(text(f"UPDATE {table} SET {column} = '{end}'{paid}"))
        except DBAPIError as refused:
            assert "cannot become" in str(refused)  # noqa: PT017
            return False
        return True
