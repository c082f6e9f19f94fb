"""Links to a payment for a payer who cannot sign in: signed by us, good for a while."""

import re
from datetime import datetime, timedelta

from core import crypto
from core.errors import NotFound

GOOD_FOR = timedelta(days=90)
_SECONDS = re.compile(r"[0-9]{1,12}")


def receipt_path(payment_id: int, *, secret: str, now: datetime) -> str:
    """Return where a guest finds a payment again, until the link's time is over."""
    until = str(int((now + GOOD_FOR).timestamp()))
    return f"/receipts/{payment_id}/{until}/{crypto.sign(secret, _message(payment_id, until))}"


def check_receipt(
    payment_id: int, until: str, signature: str, *, secret: str, now: datetime
) -> None:
    """Make sure that a link is ours and its time not over.

    Raises:
        NotFound: it is not, or it is: the two are not told apart.
    """
    ours = crypto.verify(secret, _message(payment_id, until), signature)
    if not ours or not _SECONDS.fullmatch(until) or int(until) < int(now.timestamp()):
        raise NotFound("there is no such payment")


def _message(payment_id: int, until: str) -> bytes:
    return f"receipt:{payment_id}:{until}".encode()
