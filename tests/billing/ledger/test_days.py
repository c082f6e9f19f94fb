"""The daily close: once, in a row, and never posted on again."""

import threading
import time
from datetime import date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from billing.ledger import books
from billing.ledger import checks as ledger_checks
from billing.ledger.books import Move
from billing.ledger.days import close_day, close_through, list_days, next_to_close, show_day
from billing.ledger.models import LedgerDay
from core.clock import day_bounds
from core.db import transaction
from core.errors import Conflict
from core.keys import month_key
from tests.conftest import as_owner
from tests.factories import MONTH, NOW, at_once

SUBJECT = month_key(MONTH, 7)
TUESDAY, WEDNESDAY, THURSDAY, TODAY = (date(2026, 11, day) for day in (17, 18, 19, 20))


def noon(day: date) -> datetime:
    return day_bounds(day)[0] + timedelta(hours=12)


def a_move(entry_key: str = "paid:1", amount_fen: int = 8_650, **changes: object) -> Move:
    move = Move(1, SUBJECT, entry_key, "gateway:sandbox", "receivable:water", amount_fen)
    return move._replace(**changes)


def post(day: date, *moves: Move) -> None:
    with transaction() as session:
        books.post(session, moves, now=noon(day))


def close(day: date, *, closed_by: str = "li", now: datetime = NOW) -> LedgerDay:
    with transaction() as session:
        return close_day(session, day, closed_by=closed_by, now=now)


def close_impatiently(day: date) -> None:
    with transaction() as session:
        session.execute(text("SET LOCAL lock_timeout = '50ms'"))
        close_day(session, day, closed_by="li", now=NOW)


def broken() -> list[str]:
    """What does not hold of the ledger alone: these transfers speak of bills that are not there."""
    with transaction() as session:
        found = list(ledger_checks.broken_seals(session))
        for query in ledger_checks.INVARIANTS.values():
            found += session.execute(text(query.replace(":", "\\:"))).scalars()
        return found


@pytest.mark.usefixtures("city")
class TestClose:
    def test_a_closed_day_is_summed_up(self):
        post(WEDNESDAY, a_move(), a_move("paid:2", 100), a_move("returned:2", 100)._replace(
            debit="returns", credit="gateway:sandbox"))  # fmt: skip

        closed = close(WEDNESDAY)

        assert (closed.transfers, closed.amount_fen, closed.closed_by) == (3, 8_850, "li")
        assert (closed.before_on, closed.before_sha256, closed.closed_at) == (None, None, NOW)
        with transaction() as session:
            view = show_day(session, WEDNESDAY)
        assert view.accounts == (
            ("gateway:sandbox", 8_750, 100, 8_650),
            ("receivable:water", 0, 8_750, -8_750),
            ("returns", 100, 0, 100),
        )
        assert (view.seal, view.before, view.transfers) == (closed.sha256.hex(), None, 3)
        assert broken() == []

    def test_days_make_a_chain_and_an_empty_day_is_a_link_of_it(self):
        post(TUESDAY, a_move())
        post(THURSDAY, a_move("paid:2"))

        tuesday, wednesday, thursday = map(close, (TUESDAY, WEDNESDAY, THURSDAY))

        assert (wednesday.transfers, wednesday.amount_fen) == (0, 0)
        assert (wednesday.before_on, wednesday.before_sha256) == (TUESDAY, tuesday.sha256)
        assert (thursday.before_on, thursday.before_sha256) == (WEDNESDAY, wednesday.sha256)
        assert len({tuesday.sha256, wednesday.sha256, thursday.sha256}) == 3
        with transaction() as session:
            assert show_day(session, WEDNESDAY).accounts[0] == ("gateway:sandbox", 0, 0, 8_650)
            assert show_day(session, THURSDAY).accounts[0].balance_fen == 2 * 8_650
            assert [one.day for one in list_days(session, limit=2)] == [THURSDAY, WEDNESDAY]
        assert broken() == []

    def test_closing_again_changes_nothing_whoever_asks(self):
        post(WEDNESDAY, a_move())
        first = close(WEDNESDAY)

        again = close(WEDNESDAY, closed_by="wang", now=NOW + timedelta(days=3))

        assert again == first

    def test_a_day_is_over_when_it_is_over_in_shanghai(self):
        midnight = day_bounds(WEDNESDAY)[1]
        with pytest.raises(Conflict, match="not over") as refused:
            close(WEDNESDAY, now=midnight - timedelta(microseconds=1))
        assert refused.value.code == "day.not_over"

        assert close(WEDNESDAY, now=midnight).day == WEDNESDAY

    def test_a_day_before_it_that_is_open_is_closed_first(self):
        post(TUESDAY, a_move())
        for day, gap in ((THURSDAY, TUESDAY), (WEDNESDAY, TUESDAY)):
            with pytest.raises(Conflict, match=f"close {gap} first") as refused:
                close(day)
            assert (refused.value.code, refused.value.facts) == ("day.gap", {"next_on": str(gap)})

        close(TUESDAY)

        with pytest.raises(Conflict, match=f"close {WEDNESDAY} first"):  # though it is empty
            close(THURSDAY)

    def test_before_the_first_closed_day_nothing_can_be_closed_or_posted(self):
        close(WEDNESDAY)

        with pytest.raises(Conflict) as refused:
            close(TUESDAY)
        assert refused.value.code == "day.before_books"
        with pytest.raises(DatabaseError, match="are closed"):
            post(TUESDAY, a_move())

    def test_which_day_is_next(self):
        def following(today: date = TODAY) -> date | None:
            with transaction() as session:
                return next_to_close(session, today=today)

        assert following() is None
        post(WEDNESDAY, a_move())
        assert following(WEDNESDAY) is None
        assert following() == WEDNESDAY
        close(WEDNESDAY)
        assert following() == THURSDAY
        close(THURSDAY)
        assert following() is None

    def test_an_open_day_is_shown_as_it_stands(self):
        post(TUESDAY, a_move())
        post(WEDNESDAY, a_move("paid:2", 50))
        post(THURSDAY, a_move("paid:3", 7))
        with transaction() as session:
            unsealed = [show_day(session, day) for day in (TUESDAY, WEDNESDAY, THURSDAY)]
        close(TUESDAY)
        with transaction() as session:
            half = [show_day(session, day) for day in (WEDNESDAY, THURSDAY)]
        close(WEDNESDAY)
        with transaction() as session:
            sealed = [show_day(session, day) for day in (TUESDAY, WEDNESDAY)]

        assert [one.accounts for one in unsealed] == [
            *(one.accounts for one in sealed), half[1].accounts
        ]  # fmt: skip
        assert half[0].accounts == sealed[1].accounts
        assert half[1].accounts == (
            ("gateway:sandbox", 7, 0, 8_707),
            ("receivable:water", 0, 7, -8_707),
        )
        assert {(one.closed_at, one.closed_by, one.seal, one.before) for one in half} == {
            (None, None, None, None)
        }
        assert [(one.transfers, one.amount_fen) for one in half] == [(1, 50), (1, 7)]


@pytest.mark.usefixtures("city")
class TestPosting:
    def test_after_the_close_a_transfer_is_refused_and_nothing_of_its_transaction_stays(self):
        close(WEDNESDAY)

        def post_on_both_days() -> None:
            with transaction() as session:
                books.post(session, [a_move("paid:2")], now=noon(THURSDAY))
                books.post(session, [a_move(debit="returns")], now=noon(WEDNESDAY))

        with pytest.raises(DatabaseError, match=f"the books of {WEDNESDAY} are closed"):
            post_on_both_days()

        with transaction() as session:
            assert books.balances(session) == []

    def test_a_close_waits_for_transfers_being_posted_and_later_ones_are_refused(self):
        found: dict[str, object] = {}

        def keep(name: str, act) -> threading.Thread:
            def run() -> None:
                try:
                    found[name] = act()
                except Exception as error:  # noqa: BLE001  what a thread raises is a result here
                    found[name] = error

            thread = threading.Thread(target=run)
            thread.start()
            return thread

        post(THURSDAY, a_move("paid:0"))  # an account's first transfer opens it, once for all
        with transaction() as session:
            books.post(session, [a_move()], now=noon(WEDNESDAY))
            closer = keep("closed", lambda: close(WEDNESDAY))
            wait_for_waiting(1)
            late = keep("late", lambda: post(WEDNESDAY, a_move("paid:2")))
            other_day = keep("thursday", lambda: post(THURSDAY, a_move("paid:3")))
            other_day.join()
            wait_for_waiting(2)
            assert found == {"thursday": None}
        closer.join()
        late.join()

        assert found["closed"].transfers == 1  # type: ignore[attr-defined]
        assert "are closed" in str(found["late"])
        assert broken() == []

    def test_whoever_posts_for_too_long_is_not_waited_for(self):
        with transaction() as poster:
            books.post(poster, [a_move()], now=noon(WEDNESDAY))
            with pytest.raises(Conflict) as refused:
                close_impatiently(WEDNESDAY)
        assert refused.value.code == "day.busy"

        assert close(WEDNESDAY).transfers == 1

    def test_the_first_close_waits_for_those_who_post_on_days_before_it(self):
        with transaction() as poster:
            books.post(poster, [a_move()], now=noon(TUESDAY))
            with pytest.raises(Conflict) as refused:
                close_impatiently(WEDNESDAY)
        assert refused.value.code == "day.busy"

        with pytest.raises(Conflict, match=f"close {TUESDAY} first"):
            close(WEDNESDAY)

    def test_eight_closers_close_a_day_once(self):
        post(WEDNESDAY, a_move())

        found = at_once([lambda n=n: close(WEDNESDAY, closed_by=f"clerk {n}") for n in range(8)])

        assert len({one.closed_by for one in found}) == 1
        assert len({one.sha256 for one in found}) == 1
        with transaction() as session:
            assert len(list_days(session, limit=9)) == 1
        assert broken() == []

    def test_eight_closers_of_four_days_make_one_chain(self):
        post(date(2026, 11, 16), a_move())
        days = [date(2026, 11, 16) + timedelta(days=n) for n in range(4)] * 2

        found = at_once([lambda day=day: close(day) for day in days])

        assert all(
            one.code == "day.gap" if isinstance(one, Conflict) else isinstance(one, LedgerDay)
            for one in found
        )
        assert broken() == []


def wait_for_waiting(count: int) -> None:
    """Wait until so many sessions wait for an advisory lock."""
    for _ in range(200):
        with transaction() as session:
            waiting = session.execute(
                text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            ).scalar_one()
        if waiting == count:
            return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


@pytest.mark.usefixtures("city")
class TestBalances:
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 3), st.sampled_from("abcd"), st.sampled_from("efgh"),
                st.integers(1, 10**15), st.integers(0, 86_399_999_999),
            ),
            max_size=12,
        ),
        st.integers(0, 3),
    )  # fmt: skip
    @settings(
        max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    def test_the_rollup_and_the_rest_are_what_was_posted(self, session, drawn, closed):
        inside = session.begin_nested()
        expected: dict[str, list[int]] = {}
        for at, (offset, debit, credit, fen, micros) in enumerate(drawn):
            moment = day_bounds(TUESDAY)[0] + timedelta(days=offset, microseconds=micros)
            moves = [Move(at, SUBJECT, f"drawn:{at}", debit, credit, fen)]
            books.post(session, moves, now=moment)
            expected.setdefault(debit, [0, 0])[0] += fen
            expected.setdefault(credit, [0, 0])[1] += fen
        before = books.balances(session)

        for offset in range(closed):
            day = TUESDAY + timedelta(days=offset)
            close_day(session, day, closed_by="li", now=noon(TODAY))

        assert books.balances(session) == before
        assert before == [(code, *sums) for code, sums in sorted(expected.items())]
        shown = show_day(session, TODAY).accounts
        assert {one.code: one.balance_fen for one in shown} == {
            code: debit - credit for code, (debit, credit) in expected.items()
        }
        assert list(ledger_checks.broken_seals(session)) == []
        inside.rollback()

    def test_what_is_closed_is_not_read_again(self):
        """Proved by taking it away: the balance still knows it."""
        post(TUESDAY, a_move())
        close(TUESDAY)
        post(WEDNESDAY, a_move("paid:2", 50))

        with as_owner(unguarded=True) as connection:
            connection.execute(text("DELETE FROM ledger_transfer WHERE entry_key = 'paid:1'"))

        with transaction() as session:
            assert books.balance_fen(session, "gateway:sandbox") == 8_700


@pytest.mark.usefixtures("city")
class TestThrough:
    def test_every_day_that_waits_is_closed_in_its_order(self):
        for day in (TUESDAY, THURSDAY):
            post(day, a_move(f"paid.{day.day}"))
        seen: list[date] = []

        count = close_through(WEDNESDAY, closed_by="li", now=NOW, progress=seen.append)
        again = close_through(WEDNESDAY, closed_by="li", now=NOW)

        assert (count, again, seen) == (2, 0, [TUESDAY, WEDNESDAY])

    def test_a_day_that_is_not_over_stays_open(self):
        post(TODAY, a_move("paid.1"))

        assert close_through(TODAY, closed_by="li", now=NOW) == 0
