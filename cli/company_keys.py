"""``citybill keys``: what companies and agents sign their requests with."""

from typing import Any

from rich.console import Console
from rich.table import Table

from core.clock import utc_now
from core.db import transaction
from core.errors import NotFound
from core.settings import settings
from identity import keys
from identity.keys import IssuedKey
from identity.models import CompanyKey, Holder
from providers.registry import get_provider


def issue(code: str) -> IssuedKey:
    """Make a key for a company.

    Raises:
        NotFound: there is no such company.
        Conflict: it has two live keys.
    """
    with transaction() as session:
        return keys.issue_signing_key(
            session, get_provider(code).code, issued_by="citybill keys", now=utc_now(),
            secret_key=settings().secret_key.get_secret_value(),
        )  # fmt: skip


def issue_to_agent(code: str) -> IssuedKey:
    """Make a key for an agent that takes cash for us.

    Raises:
        NotFound: the settings name no such agent.
        Conflict: it has two live keys.
    """
    if code not in settings().counter_agents:
        raise NotFound(f"there is no agent {code!r}: name it in CITYBILL_COUNTER_AGENTS first")
    with transaction() as session:
        return keys.issue_signing_key(
            session, code, issued_by="citybill keys", now=utc_now(), holder=Holder.AGENT,
            secret_key=settings().secret_key.get_secret_value(),
        )  # fmt: skip


def revoke(key_id: str) -> CompanyKey:
    """Make a key worthless.

    Raises:
        NotFound: there is no such key.
    """
    with transaction() as session:
        return keys.revoke_signing_key(session, key_id, now=utc_now())


def listed(code: str | None) -> list[dict[str, Any]]:
    """Return a company's keys, or everybody's, without their secrets."""
    with transaction() as session:
        found = keys.list_signing_keys(session, get_provider(code).code if code else None)
    return [one.model_dump(exclude={"secret_sealed", "slot"}) for one in found]


def print_list(rows: list[dict[str, Any]]) -> None:
    """Print keys as a table."""
    table = Table("key", "of", "", "issued", "by", "last used", "revoked", box=None)
    for row in rows:
        moments = (row["created_at"], row["last_used_at"], row["revoked_at"])
        issued, used, revoked = (f"{at:%Y-%m-%d %H:%M} UTC" if at else "–" for at in moments)
        whose = row["provider_code"], row["holder"]
        table.add_row(row["id"], *whose, issued, row["issued_by"], used, revoked)
    Console().print(table)
