"""A mandate's life, and that of one bill it may debit, as tables: what is heard, what follows.

``Mandate.hear`` and ``AutopayRun.hear`` write a state by these and nothing else does; set-based
statements name the states they may start from with ``runs_before``. ``docs/autopay.md`` draws them.
"""

from enum import StrEnum


class MandateStatus(StrEnum):
    OPEN = "open"  # the payer has not agreed yet
    ACTIVE = "active"
    PAUSED = "paused"  # by the payer, or frozen because a debit bounced
    ENDED = "ended"
    REFUSED = "refused"


class MandateNews(StrEnum):
    """What may be heard of a mandate, from whomever and however often."""

    AGREED = "agreed"
    REFUSED = "refused"
    PAUSED = "paused"
    BOUNCED = "bounced"  # a debit came back after it was good: frozen until the payer looks
    RESUMED = "resumed"
    ENDED = "ended"


class RunState(StrEnum):
    """What became of one bill under a mandate."""

    PLANNED = "planned"  # it is known, and its day is too far away to announce
    ANNOUNCED = "announced"
    TOLD = "told"  # announced as not to be paid: over the cap, say
    DEBITING = "debiting"
    RETRY = "retry"  # no money this time: again on ``debit_on``
    DONE = "done"
    SKIPPED = "skipped"  # the last look before the debit found a reason
    FAILED = "failed"


class RunNews(StrEnum):
    """What may be heard of one bill under a mandate."""

    ANNOUNCED = "announced"
    TOLD = "told"
    DEBITED = "debited"  # a payment has started
    PAID = "paid"
    SHORT = "short"  # refused, and to be tried again
    REFUSED = "refused"  # for good
    NOT_WANTED = "not_wanted"


_M, _N = MandateStatus, MandateNews
# News that a state has no line for changes nothing there.
MANDATE_MOVES: dict[MandateStatus, dict[MandateNews, MandateStatus]] = {
    _M.OPEN: {_N.AGREED: _M.ACTIVE, _N.REFUSED: _M.REFUSED, _N.ENDED: _M.ENDED},
    _M.ACTIVE: {_N.PAUSED: _M.PAUSED, _N.BOUNCED: _M.PAUSED, _N.ENDED: _M.ENDED},
    _M.PAUSED: {_N.RESUMED: _M.ACTIVE, _N.ENDED: _M.ENDED},
    _M.ENDED: {},
    _M.REFUSED: {},
}
LIVE = frozenset({_M.OPEN, _M.ACTIVE, _M.PAUSED})

_R, _H = RunState, RunNews
RUN_MOVES: dict[RunState, dict[RunNews, RunState]] = {
    _R.PLANNED: {
        _H.ANNOUNCED: _R.ANNOUNCED, _H.TOLD: _R.TOLD, _H.NOT_WANTED: _R.SKIPPED,
    },
    _R.ANNOUNCED: {_H.DEBITED: _R.DEBITING, _H.NOT_WANTED: _R.SKIPPED},
    _R.TOLD: {},
    _R.DEBITING: {_H.PAID: _R.DONE, _H.SHORT: _R.RETRY, _H.REFUSED: _R.FAILED},
    # A "paid" that comes after all wins, as it does for the payment.
    _R.RETRY: {
        _H.DEBITED: _R.DEBITING, _H.NOT_WANTED: _R.SKIPPED, _H.PAID: _R.DONE,
        _H.REFUSED: _R.FAILED,  # it came after all, and cannot be kept
    },
    _R.DONE: {},
    _R.SKIPPED: {_H.PAID: _R.DONE},
    _R.FAILED: {_H.PAID: _R.DONE},
}  # fmt: skip


def runs_before(state: RunState) -> list[str]:
    """Return the states from which a run may come to ``state``: for a set-based move's WHERE."""
    return [start.value for start, ends in RUN_MOVES.items() if state in ends.values()]
