"""What an answer says of an address and of what somebody permits, kept for the next notice."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlmodel import Session

from core.db import HotStatement
from notifications.permits import give_back, none_left, take_one
from notifications.sending.asking import Answer

_GONE = HotStatement("""
    UPDATE contact_point SET gone_at = :now, gone_reason = 'carrier'
    FROM unnest(CAST(:channels AS text[]), CAST(:addresses AS text[])) AS g (channel, address)
    WHERE contact_point.channel = g.channel AND gone_at IS NULL
      AND address_hash = encode(sha256(convert_to(g.address, 'UTF8')), 'hex')
    RETURNING id
""")

_COUNTED = HotStatement("""
    SELECT person_id, template_id FROM wechat_permit WHERE person_id = ANY(:person_ids)
""")


_HOLD = HotStatement("UPDATE notice SET permit = :template_id WHERE id = :id RETURNING id")
_LET_GO = HotStatement("""
    UPDATE notice SET permit = NULL WHERE id = :id AND permit = :template_id RETURNING id
""")


def forget_gone(session: Session, gone: Sequence[tuple[str, str]], *, now: datetime) -> None:
    """Mark addresses, each with its channel, where nobody is any more."""
    if gone:
        channels, addresses = (list(column) for column in zip(*gone, strict=True))
        _GONE.rows(session, {"channels": channels, "addresses": addresses, "now": now})


def take_permits(
    session: Session, wanted: Sequence[tuple[int, int, str]], *, held: Mapping[int, str]
) -> tuple[set[int], set[int]]:
    """Use a permit for each notice, given with its reader and WeChat's template.

    Somebody of whom no permit is known is asked all the same: WeChat keeps the books that matter.
    What a notice uses stands on its row until an answer is written down, so that the next worker of
    one whose worker was killed goes on with it.

    Args:
        held: the permits notices have in hand, by their ids.

    Returns:
        The notices that used one, and those whose reader has none left.
    """
    people = sorted({person_id for _, person_id, _ in wanted})
    counted = set(_COUNTED.rows(session, {"person_ids": people})) if people else set()
    used: set[int] = set()
    refused: set[int] = set()
    for notice_id, person_id, template_id in wanted:
        if held.get(notice_id) == template_id:
            used.add(notice_id)
        elif (person_id, template_id) in counted:
            taken = take_one(session, person_id, template_id)
            (used if taken else refused).add(notice_id)
            if taken:
                _HOLD.rows(session, {"id": notice_id, "template_id": template_id})
    return used, refused


def settle_permit(
    session: Session, notice_id: int, person_id: int, template_id: str, answer: Answer
) -> None:
    """Give back a permit that WeChat did not use, or believe WeChat that there is none.

    Who lost its lease settles nothing: the permit is in the next worker's hands.
    """
    if not _LET_GO.rows(session, {"id": notice_id, "template_id": template_id}):
        return
    if answer is Answer.NOT_PERMITTED:
        none_left(session, person_id, template_id)
    elif answer not in {Answer.TAKEN, Answer.SILENT}:
        give_back(session, person_id, template_id)
