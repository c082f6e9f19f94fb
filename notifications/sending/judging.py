"""What becomes of a notice: what to do before it is sent, and what an answer makes of it."""

import random
from datetime import datetime, timedelta

from notifications.models import Held, NoticeState
from notifications.sending.asking import Answer, Reply
from notifications.sending.claiming import Claimed
from notifications.sending.looking import Look
from notifications.sending.recording import Ended
from notifications.sending.retries import (
    BROKEN_TRIES,
    MOST_LOST,
    MOST_TRIES,
    SILENT_TRIES,
    pause,
    pauses_of,
)

_NOBODY_FREE = timedelta(seconds=2)  # until a carrier's rate lets through more


def hopeless(one: Claimed, *, now: datetime) -> Ended | None:
    """Return the end of a notice that was tried too often, whatever else may be said of it."""
    if one.lost > MOST_LOST or one.tries > MOST_TRIES:
        return _ended(one, NoticeState.FAILED, now, "too_many_tries")
    return None


def before(one: Claimed, seen: Look, *, now: datetime) -> Ended | None:
    """Return what becomes of a notice that is not sent now; None: send it."""
    notice = one.notice
    if notice.expires_at is not None and notice.expires_at <= now:
        return _ended(one, NoticeState.DROPPED, now, "expired")
    if one.id in seen.not_so:
        return _ended(one, NoticeState.DROPPED, now, seen.not_so[one.id])
    if one.id in seen.too_many:
        return _ended(one, NoticeState.FAILED, now, "too_many")
    if one.id in seen.opens:
        return given_back(one, now, due_at=seen.opens[one.id], held=Held.QUIET)
    if not seen.wheres[one.id]:
        return _ended(one, NoticeState.FAILED, now, "address_gone")
    return None


def without_carrier(one: Claimed, at: datetime) -> Ended:
    """Return what becomes of a notice of a channel nobody carries."""
    return _ended(one, NoticeState.FAILED, at, "no_carrier")


def not_permitted(one: Claimed, at: datetime) -> Ended:
    """Return what becomes of a notice whose reader permits no more of its kind."""
    return _ended(one, NoticeState.FAILED, at, "not_permitted")


def not_composed(one: Claimed, at: datetime, reason: str) -> Ended:
    """Return what becomes of a notice whose file cannot be made."""
    return _ended(one, NoticeState.FAILED, at, reason)


def nobody_free(one: Claimed, at: datetime, draw: random.Random) -> Ended:
    """Return what becomes of a notice that no carrier may take now: it waits, untried."""
    return given_back(one, at, due_at=at + _NOBODY_FREE * (1 + draw.random()), held=Held.AGAIN)


def given_back(one: Claimed, at: datetime, *, due_at: datetime, held: Held | None = None) -> Ended:
    """Return a notice to the others as it was, to be sent at a time."""
    if held is None and one.attempt > one.counted:
        held = Held.AGAIN
    return Ended(
        one.id, one.attempt, NoticeState.CREATED, at, one.notice.reason, due_at, held,
        uncount=one.counted, carrier=one.may_have_it, carrier_ref=one.notice.carrier_ref,
    )  # fmt: skip


def after(
    one: Claimed, reply: Reply, *, behind: bool, repeats_safely: bool, at: datetime,
    draw: random.Random,
) -> Ended:  # fmt: skip
    """Return what an answer makes of a notice; ``behind``: another channel waits for its turn."""
    if reply.answer is Answer.TAKEN:
        state = NoticeState.DELIVERED if reply.delivered else NoticeState.ACCEPTED
        return _taken(one, reply, state, at)
    tries = {
        Answer.SILENT: SILENT_TRIES if repeats_safely else 0,
        Answer.BROKEN: BROKEN_TRIES,
        Answer.NOT_NOW: pauses_of(one.notice.channel).tries if behind else MOST_TRIES,
    }.get(reply.answer, 0)
    due_at = at + pause(one.notice.channel, one.notice.kind, one.tries, draw)
    end = one.notice.expires_at
    if one.tries < tries and (end is None or due_at < end):
        return _again(one, reply, at, due_at)
    if reply.answer is Answer.SILENT:
        return _taken(one, reply, NoticeState.ACCEPTED, at)
    if reply.answer in {Answer.NOT_NOW, Answer.BROKEN}:
        reason = "expired" if one.tries < tries else reply.reason
        return _ended(one, NoticeState.FAILED, at, reason)
    return Ended(one.id, one.attempt, NoticeState.FAILED, at, reply.reason)


def _again(one: Claimed, reply: Reply, at: datetime, due_at: datetime) -> Ended:
    silent = reply.answer is Answer.SILENT
    return Ended(
        one.id, one.attempt, NoticeState.CREATED, at, reply.reason, due_at, Held.AGAIN,
        carrier=reply.carrier if silent else one.may_have_it,
        carrier_ref=reply.ref if silent else one.notice.carrier_ref,
    )  # fmt: skip


def _taken(one: Claimed, reply: Reply, state: NoticeState, at: datetime) -> Ended:
    return Ended(
        one.id, one.attempt, state, at, reply.reason, carrier=reply.carrier, carrier_ref=reply.ref
    )


def _ended(one: Claimed, state: NoticeState, at: datetime, reason: str | None) -> Ended:
    """Return an end without a carrier; what a silent one may have counts as taken instead."""
    if one.may_have_it is not None:
        return Ended(
            one.id, one.attempt, NoticeState.ACCEPTED, at, "silent", carrier=one.may_have_it,
            carrier_ref=f"notice-{one.id}",
        )  # fmt: skip
    return Ended(one.id, one.attempt, state, at, reason)
