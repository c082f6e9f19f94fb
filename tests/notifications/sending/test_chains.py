"""From channel to channel: on failure at once, on silence in time, never past who was reached."""

import os
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from core.db import transaction
from core.errors import Upstream, UpstreamUnavailable
from notifications.channels.base import AddressGone, Message, NotPermitted, Silent, Taken
from notifications.models import Held, Notice, NoticeState
from notifications.sending import chains
from notifications.sending.retries import pauses_of
from tests.conftest import NOW, empty_city
from tests.notifications.far import Far, a_chain, a_notice, a_person, hand_over, the_notice
from tests.notifications.sending.test_handing import told

pytestmark = pytest.mark.usefixtures("city")
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
ROUND = 20 * MINUTE
WAITING = (NoticeState.CREATED, None)
STEPS = ("wechat", "sms", "email")


@pytest.fixture
def person():
    return a_person(NOW, email="wang@example.com")


def sweep(at):
    with transaction() as session:
        return chains.sweep_silence(session, now=at)


def reached(notice_id, at=NOW):
    """Do what a receipt does."""
    with transaction() as session:
        notice = session.get_one(Notice, notice_id)
        notice.state, notice.state_at, notice.due_at = NoticeState.DELIVERED, at, None
        session.flush()
        chains.reached(session, [notice_id], now=at)


class TestFailure:
    @pytest.mark.parametrize("answer", [Upstream("x"), NotPermitted("x"), AddressGone("x")])
    def test_the_next_channel_has_its_turn_at_once(self, person, answer):
        first, second, third = a_chain(person, NOW, *STEPS)
        far = Far("sms")

        hand_over(Far("wechat", answer), far, now=NOW)

        assert told(first)[0] is NoticeState.FAILED
        assert told(second) == (NoticeState.ACCEPTED, None)
        assert told(third) == WAITING
        assert (the_notice(third).held, the_notice(third).due_at) == (Held.CHAIN, None)
        assert the_notice(second).accepted_at - the_notice(first).state_at < timedelta(seconds=5)

    def test_all_fail_and_nothing_is_left_to_do(self, person):
        ids = a_chain(person, NOW, *STEPS)

        hand_over(*(Far(code, Upstream("x")) for code in STEPS), now=NOW)

        assert [told(one) for one in ids] == [(NoticeState.FAILED, "upstream")] * 3

    def test_a_carrier_away_for_long_gives_way_where_somebody_is_behind(self, person):
        away = Far("sms", UpstreamUnavailable("x"))
        first, second = a_chain(person, NOW, "sms", "email")
        alone = a_notice(person, NOW, channel="sms", subject_ref="alone")
        at = NOW
        for _ in range(pauses_of("sms").tries):
            at += pauses_of("sms").cap
            with transaction() as session:  # whatever the carrier's own pause is
                session.execute(text("UPDATE carrier_state SET down_since = NULL, misses = 0,"
                                     " paused_until = NULL"))  # fmt: skip
            hand_over(away, Far(), now=at)

        assert told(first) == (NoticeState.FAILED, "unavailable")
        assert told(second)[0] is NoticeState.ACCEPTED
        assert told(alone) == (NoticeState.CREATED, "unavailable")


class TestSilence:
    def test_nothing_heard_in_time_and_the_next_has_its_turn(self, person):
        first, second = a_chain(person, NOW, "sms", "email", wait_seconds=1800)
        hand_over(Far("sms"), now=NOW)
        answer_by = the_notice(first).answer_by_at
        assert NOW + 30 * MINUTE <= answer_by < NOW + 31 * MINUTE

        assert sweep(answer_by - MINUTE) == 0
        assert sweep(answer_by) == 1
        assert sweep(answer_by) == 0
        hand_over(Far(), now=answer_by)

        assert [told(one)[0] for one in (first, second)] == [NoticeState.ACCEPTED] * 2

    def test_the_last_of_a_chain_waits_for_nobody(self, person):
        notice_id = a_notice(person, NOW, wait_seconds=1800)

        hand_over(Far(), now=NOW)

        assert the_notice(notice_id).answer_by_at is None

    def test_a_channel_nobody_waits_for_lets_the_next_go_only_when_word_of_failure_comes(
        self, person
    ):
        first, second = a_chain(person, NOW, "email", "sms", expires_at=NOW + DAY)
        hand_over(Far(), now=NOW)
        assert the_notice(first).answer_by_at == NOW + DAY

        sweep(NOW + DAY)
        hand_over(Far("sms"), now=NOW + DAY)

        assert told(second) == (NoticeState.DROPPED, "expired")

    def test_a_silent_carrier_is_silence_too(self, person):
        first, second = a_chain(person, NOW, "sms", "email", wait_seconds=60)
        hand_over(Far("sms", Silent("?")), now=NOW)

        sweep(NOW + 2 * MINUTE)
        hand_over(Far(), now=NOW + 2 * MINUTE)

        assert told(first) == (NoticeState.ACCEPTED, "silent")
        assert told(second)[0] is NoticeState.ACCEPTED


class TestReached:
    def test_delivered_at_once_drops_all_behind(self, person):
        _, *behind = a_chain(person, NOW, *STEPS)

        hand_over(Far("wechat", Taken(delivered=True)), now=NOW)

        assert [told(one) for one in behind] == [(NoticeState.DROPPED, "reached")] * 2

    def test_by_a_receipt_too_even_past_one_that_has_gone(self, person):
        first, second, third = a_chain(person, NOW, *STEPS, wait_seconds=60)
        hand_over(Far("wechat"), now=NOW)
        sweep(NOW + 2 * MINUTE)
        hand_over(Far("sms"), now=NOW + 2 * MINUTE)

        reached(first, NOW + 3 * MINUTE)

        assert told(second) == (NoticeState.ACCEPTED, None)
        assert told(third) == (NoticeState.DROPPED, "reached")

    def test_one_in_a_worker_s_hands_is_not_taken_out_of_them(self, person):
        first, second = a_chain(person, NOW, "wechat", "sms", wait_seconds=60)
        hand_over(Far("wechat"), now=NOW)
        sweep(NOW + 2 * MINUTE)
        at = NOW + 2 * MINUTE
        hand_over(Far("sms", says=lambda _: reached(first, at)), now=at)

        assert told(first)[0] is NoticeState.DELIVERED
        assert told(second) == (NoticeState.ACCEPTED, None)

    def test_one_that_waits_for_its_next_try_looks_before_it_is_sent(self, person):
        first, second = a_chain(person, NOW, "wechat", "sms", wait_seconds=60)
        away = Far("sms", UpstreamUnavailable("x"))
        at = NOW + 2 * MINUTE
        hand_over(Far("wechat"), now=NOW)
        sweep(at)
        away.says = lambda _: reached(first, at) or UpstreamUnavailable("x")
        hand_over(away, now=at)
        assert told(second) == (NoticeState.CREATED, "unavailable")

        hand_over(away, now=the_notice(second).due_at)

        assert told(second) == (NoticeState.DROPPED, "reached")
        assert len(away.sent) == 1

    def test_what_is_no_longer_so_takes_those_behind_it_along(self, person):
        ids = a_chain(person, NOW, *STEPS, expires_at=NOW + MINUTE)

        hand_over(*map(Far, STEPS), now=NOW + MINUTE)

        assert [told(one) for one in ids] == [(NoticeState.DROPPED, "expired")] * 3


ANSWERS = {
    "taken": None, "delivered": Taken(delivered=True), "silent": Silent("?"),
    "away": UpstreamUnavailable("x"), "never": Upstream("x"), "43101": NotPermitted("x"),
    "gone": AddressGone("x"),
}  # fmt: skip
SCRIPT = st.lists(st.lists(st.sampled_from(sorted(ANSWERS)), min_size=1, max_size=3),
                  min_size=1, max_size=3)  # fmt: skip


def follow(script: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Say what should become of a chain whose steps answer so: by the words of the rules."""
    states, asked = [], []
    over = False
    for answers in script:
        if over:
            states, asked = [*states, "dropped"], [*asked, []]
            continue
        heard = []
        for answer in [*answers, *[answers[-1]] * 20]:
            heard.append(answer)
            if answer != "away" or len(heard) == pauses_of("x").tries:
                break
        last = heard[-1]
        state = {"taken": "accepted", "silent": "accepted", "delivered": "delivered"}
        states.append(state.get(last, "failed"))
        asked.append(heard)
        over = last == "delivered"
    return states, asked


def told_as(script: list[list[str]]) -> tuple[list[Notice], dict[str, list[datetime]]]:
    """Live through a script: the rows of its chain in the end, and when each carrier was asked."""
    person, at = a_person(NOW), NOW
    asked_at: dict[str, list[datetime]] = {f"c{no}": [] for no in range(len(script))}

    def far(code: str, answers: list[str]) -> Far:
        def says(_: Message) -> Any:
            asked_at[code].append(at)
            return ANSWERS[answers[min(len(asked_at[code]), len(answers)) - 1]]

        return Far(code, says=says)

    carriers = [far(code, answers) for code, answers in zip(asked_at, script, strict=True)]
    ids = a_chain(person, NOW, *asked_at, wait_seconds=60, expires_at=NOW + 2 * DAY)
    for _ in range(29):  # until evening, in which nobody is told
        hand_over(*carriers, now=at)
        sweep(at)
        at += ROUND
    return [the_notice(one) for one in ids], asked_at


@settings(max_examples=int(os.environ.get("CITYBILL_CHAINS", "20")), deadline=None)
@given(script=SCRIPT)
def test_any_script_of_answers_ends_as_the_rules_say(script):
    """N-8: each step ends once, the next goes at once, and nothing goes once somebody was reached.

    A thousand scripts: ``CITYBILL_CHAINS=1000 pytest --timeout=0 -k any_script``.
    """
    # The last of a chain is tried until its end, which is another test's.
    script = [*script[:-1], ["never" if answer == "away" else answer for answer in script[-1]]]
    try:
        rows, asked_at = told_as(script)
        states, heard = follow(script)
        assert [row.state for row in rows] == states
        assert [len(asked) for asked in asked_at.values()] == [len(one) for one in heard]
        for row, behind in pairwise(rows):
            if row.state is NoticeState.FAILED:
                assert asked_at[behind.channel][0] == asked_at[row.channel][-1]
            elif asked_at[behind.channel]:
                assert asked_at[behind.channel][0] == asked_at[row.channel][-1] + 2 * ROUND
    finally:
        empty_city()
