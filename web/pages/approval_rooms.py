"""Every room of which something may wait for a second person."""

from collections.abc import Mapping
from typing import Final

from notifications import offer_approving
from notifications.wording import approving
from payments.desk import approvals

ROOMS: Final[Mapping[str, approvals.Room]] = {
    **approvals.ROOMS, approving.KIND: approving.ROOM,
    offer_approving.KIND: offer_approving.ROOM,
}  # fmt: skip
