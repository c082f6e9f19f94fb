"""What text messages by way of a company's HTTP API have in common, whichever company it is."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from core.clock import BILLING_ZONE
from core.errors import Invalid, NotSignedIn, Upstream, UpstreamUnavailable
from core.settings import Environment, Settings
from notifications.channels.base import AddressGone, NotPermitted, Silent

TOKEN_HEADER: Final = "x-citybill-token"  # noqa: S105 - a header's name
_SHORTEST_TOKEN: Final = 20
_PHONE: Final = re.compile(r"\+?[0-9]{7,15}", re.ASCII)
_WORD: Final = re.compile(r"(?!.*[0-9]{7})[A-Za-z0-9_.:-]{1,80}", re.ASCII)


class Meant(StrEnum):
    """What an answer means that is no yes."""

    LATER = "later"
    NEVER = "never"
    ADDRESS_GONE = "address_gone"
    NOT_PERMITTED = "not_permitted"
    UNKNOWN = "unknown"


_ERRORS: Final[dict[Meant, type[Upstream]]] = {
    Meant.LATER: UpstreamUnavailable,
    Meant.NEVER: Upstream,
    Meant.ADDRESS_GONE: AddressGone,
    Meant.NOT_PERMITTED: NotPermitted,
    Meant.UNKNOWN: Silent,
}


def refusal(carrier: str, meant: Meant, code: str) -> Upstream:
    """Return the error of an answer; ``code`` is the carrier's, said only if it can hold no number.

    What else a carrier says may repeat the phone number, and is left out.
    """
    word = code if _WORD.fullmatch(code) else "for a reason that cannot be repeated here"
    verb = "may have taken the message" if meant is Meant.UNKNOWN else "did not take the message"
    return _ERRORS[meant](f"{carrier} {verb}: {word}")


def phone_number(address: str) -> str:
    """Return a phone number, with or without its country.

    Raises:
        Upstream: it is none, or more than one.
    """
    if not _PHONE.fullmatch(address):
        raise Upstream("the address is not one phone number")
    return address


def reply_number(*said: object) -> str:
    """Return a number for a reply whose carrier gives it none: the same text said once is one."""
    told = "\n".join(str(part) for part in said)
    return hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()


def check_token(headers: Mapping[str, str], token: str) -> None:
    """Check the secret of a receipt nobody signs; without one, no receipt is believed.

    The carrier calls an address that ends in the token; the route gives it as ``TOKEN_HEADER``.

    Raises:
        NotSignedIn: another token, or none.
    """
    said = headers.get(TOKEN_HEADER, "")
    if not token or not hmac.compare_digest(said.encode(), token.encode()):
        raise NotSignedIn("this is not the address the carrier was given", code="carrier.unsigned")


def beijing_moment(text: str) -> datetime | None:
    """Read ``2026-11-21 08:03:04`` or ISO 8601; without a zone it is Beijing's. None: neither."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    local = moment if moment.tzinfo else moment.replace(tzinfo=BILLING_ZONE)
    return local.astimezone(UTC)


def configured(
    settings: Settings, carrier: str, needed: tuple[str, ...], *others: str
) -> dict[str, str] | None:
    """Return what ``CITYBILL_CARRIERS`` says of a carrier; None where it says nothing.

    Raises:
        Invalid: a part is missing or not known, the token is short, or production would speak in
            the open.
    """
    given = settings.carriers.get(carrier)
    if given is None:
        return None
    said = {name: text for name, value in given.items() if (text := value.get_secret_value())}
    where = f"CITYBILL_CARRIERS, {carrier}"
    missing = [name for name in needed if name not in said]
    if missing:
        raise Invalid(f"{where}: set {', '.join(missing)} too", code="carrier.half_configured")
    unknown = sorted(said.keys() - {*needed, *others})
    if unknown:
        known = ", ".join((*needed, *others))
        raise Invalid(
            f"{where}: there is no {', '.join(unknown)}; there are {known}",
            code="carrier.half_configured",
        )
    if "receipt_token" in said and len(said["receipt_token"]) < _SHORTEST_TOKEN:
        raise Invalid(
            f"{where}: receipt_token needs {_SHORTEST_TOKEN} characters or more",
            code="carrier.weak_token",
        )
    in_the_open = not said.get("url", "https://").startswith("https://")
    if in_the_open and settings.environment is Environment.PRODUCTION:
        raise Invalid(f"{where}: url must be an https address", code="carrier.in_the_open")
    return said
