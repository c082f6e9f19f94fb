"""Alerts to whoever runs the city's installation, wherever they read them: Apprise knows how.

Its own word for a success is not taken: it says yes when every address failed that was marked as
optional. Whether an address that failed had taken the alert it does not say; an operator is better
told twice than not at all, so whatever no address surely took is "not now".

Source: Apprise 2.2, of which the addresses are (github.com/caronc/apprise/wiki).
"""

import logging

from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType
from apprise.result import AppriseResultStatus

from core.errors import Invalid, UpstreamUnavailable
from core.settings import Settings
from notifications.channels.base import Message, Taken, WithoutReceipts
from notifications.channels.texting import configured

_TIMEOUT_SECONDS = 9
# Its warnings name hosts, and what it looks into is addresses with passwords in them.
logging.getLogger("apprise").propagate = False


class Operators(WithoutReceipts):
    """All addresses of the settings are told; one that took the alert is enough."""

    code = channel = "operators"
    repeats_safely = False

    def __init__(self, urls: str) -> None:
        """Read addresses as Apprise writes them, with blanks between them.

        Raises:
            Invalid: one is none.
        """
        self._apprise = Apprise(
            asset=AppriseAsset(
                app_id="CityBill", app_desc="", http_redirects=False,
                service_timeout=_TIMEOUT_SECONDS,
            )
        )  # fmt: skip
        if not self._apprise.add(urls):
            raise Invalid(
                "CITYBILL_CARRIERS has an address for operators that Apprise does not know:"
                " try each with the command apprise"
            )
        for service in self._apprise:
            service.request_rate_per_sec = 0  # else it sleeps; a handful an hour is no flood

    def send(self, message: Message) -> Taken:
        told = self._apprise.notify(
            title=message.title,
            body="\n".join(part for part in (message.body, message.link) if part) or message.title,
            body_format=NotifyFormat.TEXT,
            notify_type=NotifyType.WARNING,
            timeout=_TIMEOUT_SECONDS,
        )
        if not any(
            attempt.status is AppriseResultStatus.SUCCESS for service in told for attempt in service
        ):
            raise UpstreamUnavailable("no address of the operators took the alert")
        return Taken()


def from_settings(settings: Settings) -> Operators | None:
    """Make the carrier; None where no address is set."""
    said = configured(settings, "operators", ("urls",))
    return Operators(said["urls"]) if said is not None else None
