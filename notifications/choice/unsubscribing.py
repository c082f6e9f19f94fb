"""The way out of offers that each of them carries: an address that needs no sign-in (RFC 8058).

It says who and which channel, signed; opening it changes nothing, because mail programs open every
link they see. It stays good for as long as the mail lies in somebody's folder.
"""

from datetime import datetime
from typing import NamedTuple

from sqlmodel import Session

from core import crypto
from core.errors import NotFound
from identity.models import Person
from notifications.catalogue import CHANNELS
from notifications.choice.consents import refuse
from notifications.choice.models import ConsentSource


class WayOut(NamedTuple):
    """Who wants no more offers, over which channel."""

    person_id: int
    channel: str


def unsubscribe_url(public_url: str, person_id: int, channel: str, *, secret: str) -> str:
    """Return the address of a person's way out of one channel's offers."""
    way_out = WayOut(person_id, channel)
    return f"{public_url}/unsubscribe/{person_id}.{channel}.{_signature(way_out, secret)}"


def read_token(token: str, *, secret: str) -> WayOut:
    """Return what an address says.

    Raises:
        NotFound: it is none of ours.
    """
    number, _, rest = token.partition(".")
    channel, _, signature = rest.partition(".")
    if number.isascii() and number.isdecimal() and len(number) < 19 and channel in CHANNELS:
        way_out = WayOut(int(number), channel)
        if crypto.verify(secret, _message(way_out), signature):
            return way_out
    raise NotFound("there is no such address to unsubscribe at")


def unsubscribe(session: Session, token: str, *, secret: str, now: datetime) -> WayOut:
    """Send no more offers over a channel, from now on, those that wait included.

    Raises:
        NotFound: the address is none of ours, or its person is not there.
    """
    way_out = read_token(token, secret=secret)
    if session.get(Person, way_out.person_id) is None:
        raise NotFound("there is no such person")
    refuse(
        session, way_out.person_id, source=ConsentSource.ONE_CLICK, channel=way_out.channel,
        proof=f"the link of an offer over {way_out.channel}, with our signature", now=now,
    )  # fmt: skip
    return way_out


def _message(way_out: WayOut) -> bytes:
    return f"unsubscribe {way_out.person_id} {way_out.channel}".encode()


def _signature(way_out: WayOut, secret: str) -> str:
    return crypto.sign(secret, _message(way_out))
