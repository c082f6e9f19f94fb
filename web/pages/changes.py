"""What became of bills since somebody saw them, bill by bill: what it was, what it is, and why."""

from typing import NamedTuple

from billing.views import BillView
from core.money import format_yuan
from payments.reviews import LeftOut, Line, Review, Why
from web import look


class Change(NamedTuple):
    bill: BillView
    was: str | None  # in yuan; none: they had not seen it yet
    now: str | None  # none: nothing of it can be paid now
    why: str
    own_payment: str | None = None  # the payment it waits for, if it is their own


def changes_of(locale: str, found: Review) -> list[Change]:
    """Return every bill that is otherwise than somebody saw it, those left out first."""
    changes = [_left_out(locale, one) for one in found.left_out]
    for line in found.lines:
        if line.was_fen is not None or line.lost_option:
            changes.append(_moved(locale, line))
    return changes


def _left_out(locale: str, one: LeftOut) -> Change:
    was = None if one.was_fen is None else format_yuan(one.was_fen)
    if one.free_at is not None:
        why = look.say(
            locale,
            "It is being paid already. If that payment does not go through, it can be paid again"
            " from %(moment)s on.",
            moment=look.moment_text(locale, one.free_at),
        )
    else:
        why = {
            Why.CANCELLED: look.say(locale, "The company has cancelled it: do not pay it."),
            Why.BEING_PAID: look.say(locale, "It is being paid already."),
            Why.PAID: look.say(locale, "It is paid, so it is left out."),
            Why.NOT_HERE: look.say(locale, "It cannot be paid here now: please ask the company."),
        }.get(one.why, look.say(locale, "Nothing is due on it, so it is left out."))
    return Change(one.bill, was, None, why, one.own_payment)


def _moved(locale: str, line: Line) -> Change:
    now = format_yuan(max(line.bill.open_fen, 0))
    why = {
        Why.CORRECTED: look.say(locale, "The company has corrected it."),
        Why.PAID: look.say(locale, "Part of it was paid in the meantime."),
        Why.LATE_FEE: look.say(locale, "A late fee was added."),
        Why.TAKEN_OFF: look.say(locale, "The company took something off."),
        Why.CREDITED: look.say(locale, "An earlier credit covers part of it."),
    }
    said = []
    if line.was_fen is not None:
        said.append(
            look.say(locale, "It has changed since you saw it.")
            if line.why is None
            else why[line.why]
        )
    if line.lost_option:
        said.append(
            look.say(
                locale,
                "What was chosen for it can no longer be chosen: look at what there is now.",
            )
        )
    was = now if line.was_fen is None else format_yuan(line.was_fen)
    return Change(line.bill, was, now, (" " if locale == "en" else "").join(said))
