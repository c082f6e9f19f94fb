"""Text messages straight to an SMS centre, by SMPP 3.4.

Source: SMPP 3.4, 4.4 (submit_sm), 4.6 (deliver_sm), 5.1.3 (statuses), 5.2 (parameters), 7.1.1
(times), appendix B (receipts).

Receipts and replies come over the connection that messages leave by, not by HTTP: ``hear`` and
``hear_replies`` say who keeps them.
"""

import re
import threading
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from smpplib import consts
from smpplib.command import Command

from core.errors import Invalid, Upstream, UpstreamUnavailable
from core.settings import Settings
from notifications.channels.base import (
    Fate,
    Message,
    Receipt,
    Silent,
    Taken,
    TextReply,
    WithoutReceipts,
)
from notifications.channels.smpp_line import Bind, Line, NoAnswer, NotSent
from notifications.channels.smpp_text import Part, parts_of, read_text
from notifications.channels.texting import Meant, configured, phone_number, refusal

_PATIENCE_SECONDS: Final = 9
_PAUSE_SECONDS: Final = 1  # after the centre could not be reached, or wanted no more for now
_LONGEST_ID: Final = 15
_LONGEST_PASSWORD: Final = 8
_NOT_NOW: Final = {
    consts.SMPP_ESME_RINVBNDSTS,  # we are no longer bound
    consts.SMPP_ESME_RSYSERR,
    consts.SMPP_ESME_RMSGQFUL,
    consts.SMPP_ESME_RTHROTTLED,
    consts.SMPP_ESME_RX_T_APPN,
}
_FATES: Final = {
    "DELIVRD": Fate.DELIVERED,
    "EXPIRED": Fate.FAILED,
    "DELETED": Fate.FAILED,
    "UNDELIV": Fate.FAILED,
    "REJECTD": Fate.FAILED,
}  # others, such as ENROUTE and ACCEPTD, are no end
_RECEIPT: Final = re.compile(
    r"\bid:(?P<ref>\S+) .*?\bstat:(?P<stat>[A-Z]+)(?: err:(?P<err>\S+))?", re.DOTALL
)
_IS_RECEIPT: Final = 0x04  # in bits 5 to 2 of esm_class

_HAS_HEADER: Final = 0x40

Keep = Callable[[list[Receipt]], bool]
KeepReplies = Callable[[list[TextReply]], bool]


class Smpp(WithoutReceipts):
    """One account at one SMS centre.

    The connection is made for the first message and kept; a lost one is made anew for the next.

    Args:
        sender: who the message is from: digits, or up to eleven letters.
        country_code: of a number without one.
        window: how many messages may be on their way to the centre at once.
    """

    code, channel = "smpp", "sms"
    repeats_safely = False

    def __init__(
        self,
        bind: Bind,
        *,
        sender: str,
        country_code: str = "86",
        window: int = 10,
        patience_seconds: int = _PATIENCE_SECONDS,
    ) -> None:
        self._bind, self._sender, self._country_code = bind, sender, country_code
        self._patience_seconds = patience_seconds
        self._window = threading.BoundedSemaphore(window)
        self._connecting = threading.Lock()
        self._line: Line | None = None
        self._not_before = 0.0
        self._keep: Keep = lambda _receipts: False
        self._keep_replies: KeepReplies = lambda _replies: False

    def hear(self, keep: Keep) -> None:
        """Say who keeps receipts; until then the centre is told to say them again later."""
        self._keep = keep

    def hear_replies(self, keep: KeepReplies) -> None:
        """Say who keeps what people answer; until then the centre is told to come again later."""
        self._keep_replies = keep

    def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            self._line.close()

    def send(self, message: Message) -> Taken:
        """Hand over one text, the parts of a long one in turn; its number is the last part's.

        A part that is not taken for now is tried again by itself while there is time: the ones
        before it are never sent twice. A text of which only some parts were taken has failed.
        """
        by = time.monotonic() + self._patience_seconds
        text = message.body or message.title
        try:
            parts = parts_of(text, reference=zlib.crc32(message.message_id.encode()) & 0xFF)
        except ValueError as long:
            raise Upstream("the text is too long for a text message") from long
        if not self._window.acquire(timeout=self._patience_seconds / 3):
            raise UpstreamUnavailable("the SMS centre is busy with other messages")
        try:
            ref = self._submit(message, parts[0], is_last=len(parts) == 1, by=by)
            for number, part in enumerate(parts[1:], 2):
                ref = self._follow_up(message, part, is_last=number == len(parts), by=by)
        finally:
            self._window.release()
        return Taken(ref)

    def _follow_up(self, message: Message, part: Part, *, is_last: bool, by: float) -> str:
        """Send a part whose text has begun to go out: there is no way back."""
        while True:
            try:
                return self._submit(message, part, is_last=is_last, by=by)
            except Silent:
                raise
            except UpstreamUnavailable as not_now:
                cause: Upstream = not_now
                if time.monotonic() + _PAUSE_SECONDS < by:
                    time.sleep(_PAUSE_SECONDS)
                    continue
            except Upstream as refused:
                cause = refused
            raise Upstream(
                "the SMS centre took only some parts of the text", code="carrier.cut_short"
            ) from cause

    def _submit(self, message: Message, part: Part, *, is_last: bool, by: float) -> str:
        """Send one part and return its number at the centre."""
        named = not self._sender.isdecimal()
        number = phone_number(message.address)
        number = number[1:] if number.startswith("+") else self._country_code + number
        try:
            answer = self._bound(by - self._patience_seconds / 3).ask(
                "submit_sm", by=by, service_type="",
                source_addr_ton=consts.SMPP_TON_ALNUM if named else consts.SMPP_TON_UNK,
                source_addr_npi=consts.SMPP_NPI_UNK if named else consts.SMPP_NPI_ISDN,
                source_addr=self._sender,
                dest_addr_ton=consts.SMPP_TON_INTL, dest_addr_npi=consts.SMPP_NPI_ISDN,
                destination_addr=number,
                esm_class=consts.SMPP_GSMFEAT_UDHI if part.joined else 0,
                validity_period=_until(message.expires_at),
                registered_delivery=int(is_last), data_coding=part.data_coding,
                sm_length=len(part.octets), short_message=part.octets,
            )  # fmt: skip
        except NotSent as away:
            raise UpstreamUnavailable(str(away)) from away
        except NoAnswer as silent:
            raise Silent(str(silent)) from silent
        if answer.is_error():
            raise refusal("the SMS centre", _meant(answer.status), f"status:{answer.status:#x}")
        return _text(answer.message_id)

    def _bound(self, by: float) -> Line:
        """Return a connection that is up; one thread makes it, and none soon after it failed."""
        line = self._line
        if line is not None and not line.down:
            return line
        if not self._connecting.acquire(timeout=max(0, by - time.monotonic())):
            raise NotSent("the SMS centre cannot be reached")
        try:
            if self._line is not None and not self._line.down:
                return self._line
            if time.monotonic() < self._not_before:
                raise NotSent("the SMS centre could not be reached a moment ago")
            try:
                self._line = Line(self._bind, self._hear, by=by)
            except NotSent:
                self._not_before = time.monotonic() + _PAUSE_SECONDS
                raise
            return self._line
        finally:
            self._connecting.release()

    def _hear(self, pdus: list[Command]) -> bool:
        receipts = [receipt for pdu in pdus if (receipt := _read(pdu)) is not None]
        replies = [reply for pdu in pdus if (reply := _read_reply(pdu)) is not None]
        # All come again if any is not kept. Receipts are known again, replies are not: they wait.
        return (not receipts or self._keep(receipts)) and (
            not replies or self._keep_replies(replies)
        )


def _until(expires_at: datetime | None) -> str:
    """Return when the centre shall stop trying; empty: when it always does."""
    return "" if expires_at is None else f"{expires_at.astimezone(UTC):%y%m%d%H%M%S}000+"


def _meant(status: int) -> Meant:
    if status in _NOT_NOW:
        return Meant.LATER
    return Meant.ADDRESS_GONE if status == consts.SMPP_ESME_RINVDSTADR else Meant.NEVER


def _read(pdu: Command) -> Receipt | None:
    """Return what a receipt says; None for anything else, and for what is no end.

    Its date is in a time zone no specification names, so it says nothing of when.
    """
    if pdu.esm_class is None or pdu.esm_class & 0x3C != _IS_RECEIPT:
        return None
    told = _RECEIPT.search(_text(getattr(pdu, "short_message", None) or pdu.message_payload))
    if told is None or told["stat"] not in _FATES:
        return None
    fate = _FATES[told["stat"]]
    reason = "" if fate is Fate.DELIVERED else f"{told['stat']} {told['err'] or ''}".strip()
    return Receipt(_text(pdu.receipted_message_id) or told["ref"], fate, reason=reason)


def _read_reply(pdu: Command) -> TextReply | None:
    """Return what somebody wrote to us; None for anything that is not a phone's own message.

    A centre numbers no reply: one it says again, because our answer was lost, is another. Its text
    and its moment are no number either: somebody may refuse, agree and refuse within a minute, and
    a refusal must not be taken for the one before. So nothing is decided by how often one came.
    """
    if pdu.esm_class is None or pdu.esm_class & 0x3C:
        return None
    octets = getattr(pdu, "short_message", None) or pdu.message_payload or b""
    if pdu.esm_class & _HAS_HEADER and octets:
        octets = octets[1 + octets[0] :]
    return TextReply(uuid4().hex, _text(pdu.source_addr), read_text(octets, pdu.data_coding or 0))


def _text(octets: bytes | None) -> str:
    return (octets or b"").decode("ascii", "replace")


def from_settings(settings: Settings) -> Smpp | None:
    """Make the carrier; None until its settings are there."""
    said = configured(
        settings, "smpp", ("host", "system_id", "password", "sender"),
        "port", "system_type", "country_code", "window",
    )  # fmt: skip
    if said is None:
        return None
    if len(said["system_id"]) > _LONGEST_ID or len(said["password"]) > _LONGEST_PASSWORD:
        raise Invalid(
            f"CITYBILL_CARRIERS, smpp: system_id has {_LONGEST_ID} characters at most, password"
            f" {_LONGEST_PASSWORD}",
            code="carrier.half_configured",
        )
    try:
        port, window = int(said.get("port", "2775")), int(said.get("window", "10"))
    except ValueError:
        raise Invalid(
            "CITYBILL_CARRIERS, smpp: port and window are numbers", code="carrier.half_configured"
        ) from None
    system_type = said.get("system_type", "")
    return Smpp(
        Bind(said["host"], port, said["system_id"], said["password"], system_type),
        sender=said["sender"],
        country_code=said.get("country_code", "86"),
        window=window,
    )
