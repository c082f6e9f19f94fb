"""How often an address asks within an hour for what guessers ask for, in rows all processes share.

Whoever asks is told of nobody by it: what is counted is the same whether or not anybody is meant.
"""

import ipaddress
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import text
from sqlmodel import Field, Session, SQLModel

from core import crypto
from core.db import HotStatement, UtcDateTime


class Of(StrEnum):
    """What is counted."""

    CALENDAR = "calendar"  # links that are none
    CODE = "code"  # one-time codes asked for, for whomever
    WRONG_CODE = "wrong code"


class Miss(SQLModel, table=True):
    """One count. ``client`` is a keyed hash that says neither the address nor what it asked for."""

    __tablename__ = "client_miss"

    client: str = Field(primary_key=True)
    hour_at: datetime = Field(primary_key=True, sa_type=UtcDateTime)
    misses: int


def counted_as(host: str) -> str:
    """Return whose tries are counted together: an address, or the network one household has."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    of_ipv4 = address.ipv4_mapped  # ::ffff:203.0.113.9
    return str(of_ipv4 or ipaddress.ip_network((address, 64), strict=False))


_ONE_MORE = HotStatement("""
    INSERT INTO client_miss (client, hour_at, misses) VALUES (:client, :hour_at, 1)
    ON CONFLICT (client, hour_at) DO UPDATE SET misses = client_miss.misses + 1
    RETURNING misses
""")
_SO_FAR = HotStatement("""
    SELECT misses FROM client_miss WHERE client = :client AND hour_at = :hour_at
""")


def one_more(of: Of, client: str, *, secret: str, now: datetime) -> int:
    """Count one, in a transaction of its own, and return how many it are within the hour."""
    misses: int = _ONE_MORE.alone(_row(of, client, secret=secret, now=now))[0][0]
    return misses


def so_far(of: Of, client: str, *, secret: str, now: datetime) -> int:
    """Return how many it are within the hour."""
    return sum(misses for (misses,) in _SO_FAR.alone(_row(of, client, secret=secret, now=now)))


def _row(of: Of, client: str, *, secret: str, now: datetime) -> dict[str, object]:
    return {
        "client": crypto.sign(secret, f"{of}:{client}".encode()),
        "hour_at": now.replace(minute=0, second=0, microsecond=0),
    }


def forget(session: Session, *, now: datetime) -> None:
    """Forget what was counted before yesterday's hour."""
    session.execute(
        text("DELETE FROM client_miss WHERE hour_at < :before"),
        {"before": now - timedelta(days=1)},
    )
