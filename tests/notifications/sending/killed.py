"""A worker of its own process, to be killed: hands over what is due and notes what it sent."""

import sys
import time
from pathlib import Path

from core import db
from core.clock import utc_now
from notifications.channels.base import Message, Taken, WithoutReceipts
from notifications.models import Lane
from notifications.sending.handing import hand_over_due
from tests.notifications.far import know


class Noting(WithoutReceipts):
    """Takes every message, and writes its number at the end of a file."""

    code = channel = "email"
    repeats_safely = False

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, message: Message) -> Taken:
        time.sleep(0.002)
        with self._path.open("a") as file:
            file.write(f"{message.message_id}\n")
        return Taken()


def work(path: Path) -> None:
    carrier = Noting(path)
    know(carrier)
    while hand_over_due(Lane.BULK, {"email": [carrier]}, now=utc_now()):
        pass


if __name__ == "__main__":
    db.bind(sys.argv[1])
    work(Path(sys.argv[2]))
