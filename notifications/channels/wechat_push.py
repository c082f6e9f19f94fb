"""What WeChat calls us with: what became of messages, and who allows how many more.

Source: developers.weixin.qq.com: 接入指南 (signature), 消息加解密说明, 模板消息
(``TEMPLATESENDJOBFINISH``), 订阅通知的事件推送 (``subscribe_msg_*_event``).

A call in the open is signed, but the signature says nothing of its body: whoever saw an address
may change what is said for ten minutes. That of an encrypted call covers it.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from lxml import etree

from core.errors import Invalid, NotSignedIn
from notifications.channels.base import Fate, Receipt

_QUERY: Final = "x-query-"  # how a route passes a query on, in lower case
_KEY_CHARS: Final = 43
_BLOCK: Final = 32
_OF_NOW_SECONDS: Final = 600  # it calls again for 15
_RANDOM: Final = 16


class Permission(NamedTuple):
    """What somebody said of a template's messages: one more, or no more at all."""

    openid: str
    template_id: str
    allowed: bool
    long_term: bool = False  # as many as there are, until they say no


class Key:
    """The key of calls that are encrypted.

    Raises:
        ValueError: it is not the 43 characters WeChat gave.
    """

    def __init__(self, aes_key: str, app_id: str) -> None:
        if len(aes_key) != _KEY_CHARS:
            raise ValueError(f"aes_key has {_KEY_CHARS} characters")
        self._key = base64.b64decode(aes_key + "=", validate=True)
        self._app_id = app_id.encode()

    def open(self, sealed: str) -> bytes:
        """Return what was encrypted for us. Raises Invalid."""
        try:
            cipher = Cipher(algorithms.AES(self._key), modes.CBC(self._key[:16])).decryptor()
            padded = cipher.update(base64.b64decode(sealed, validate=True)) + cipher.finalize()
            plain = padded[_RANDOM : -padded[-1]]
            (length,) = struct.unpack_from(">L", plain)
        except (ValueError, IndexError, struct.error, binascii.Error) as wrong:
            raise Invalid("WeChat's call cannot be decrypted") from wrong
        body, app_id = plain[4 : 4 + length], plain[4 + length :]
        if not 1 <= padded[-1] <= _BLOCK or app_id != self._app_id:
            raise Invalid("WeChat's call is not for us")
        return body


class Push:
    """What tells WeChat's calls from anybody else's.

    Args:
        token: which both sides sign with; without one nobody is believed.
        key: of an account whose calls are encrypted.
    """

    def __init__(self, token: str, key: Key | None, clock: Callable[[], datetime]) -> None:
        self._token, self._key, self._clock = token, key, clock

    def open(self, headers: Mapping[str, str], body: bytes) -> etree._Element:
        """Return a call's content, once it is known to be WeChat's.

        Raises:
            NotSignedIn: it is not; or it came in the open where calls are encrypted.
            Invalid: it is no XML.
        """
        if self._key is None:
            self._check(headers)
            return _parsed(body)
        sealed = _text(_parsed(body), "Encrypt")
        self._check(headers, sealed, name="msg_signature")
        return _parsed(self._key.open(sealed))

    def greet(self, headers: Mapping[str, str]) -> bytes:
        """Return what a first question wants to hear again. Raises NotSignedIn."""
        self._check(headers)
        return headers.get(f"{_QUERY}echostr", "").encode()

    def _check(self, headers: Mapping[str, str], *sealed: str, name: str = "signature") -> None:
        said_at, nonce = headers.get(f"{_QUERY}timestamp", ""), headers.get(f"{_QUERY}nonce", "")
        parts = sorted([self._token, said_at, nonce, *sealed])
        ours = hashlib.sha1("".join(parts).encode(), usedforsecurity=False).hexdigest()
        said = headers.get(_QUERY + name, "")
        if not self._token or not hmac.compare_digest(ours.encode(), said.encode()):
            raise NotSignedIn("this is not WeChat's signature", code="carrier.unsigned")
        # Only after the signature: what was signed is a number.
        if abs(int(said_at) - self._clock().timestamp()) > _OF_NOW_SECONDS:
            raise NotSignedIn("WeChat's call is not of now", code="carrier.stale")


def receipts(call: etree._Element) -> list[Receipt]:
    """Return what a call says became of messages; of most events, nothing.

    Raises:
        Invalid: it is not as WeChat describes it.
    """
    event, happened_at = _text(call, "Event"), _moment(call)
    if event == "TEMPLATESENDJOBFINISH":
        return [_receipt(_text(call, "MsgID"), _text(call, "Status"), happened_at)]
    if event == "subscribe_msg_sent_event":
        return [
            _receipt(_text(one, "MsgID"), _text(one, "ErrorStatus"), happened_at)
            for one in call.findall("SubscribeMsgSentEvent/List")
        ]
    return []


def permissions(call: etree._Element, long_term: Collection[str]) -> list[Permission]:
    """Return what somebody said at a prompt, or in their settings; of most events, nothing.

    Args:
        long_term: the templates WeChat has approved as that.
    """
    said = {
        "subscribe_msg_popup_event": ("SubscribeMsgPopupEvent", "accept"),
        "subscribe_msg_change_event": ("SubscribeMsgChangeEvent", "reject"),
    }.get(_text(call, "Event"))
    if said is None:
        return []
    inside, word = said
    # The documentation's own example of a change has the name of the other event inside.
    listed = call.findall(f"{inside}/List") or call.findall("SubscribeMsgPopupEvent/List")
    openid = _text(call, "FromUserName")
    of = [_text(one, "TemplateId") for one in listed if _text(one, "SubscribeStatusString") == word]
    return [Permission(openid, id_, word == "accept", id_ in long_term) for id_ in of]


def _receipt(ref: str, status: str, happened_at: datetime) -> Receipt:
    if not ref.isascii() or not ref.isdecimal():
        raise Invalid("WeChat's receipt names no message")
    if status == "success":
        return Receipt(ref, Fate.DELIVERED, happened_at)
    return Receipt(ref, Fate.FAILED, happened_at, reason=status[:100])


def _moment(call: etree._Element) -> datetime:
    try:
        return datetime.fromtimestamp(int(_text(call, "CreateTime")), UTC)
    except (ValueError, OverflowError, OSError) as wrong:
        raise Invalid("WeChat's call says no time") from wrong


def _parsed(body: bytes) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as wrong:
        raise Invalid("WeChat's call is no XML") from wrong
    if root.getroottree().docinfo.internalDTD is not None:
        raise Invalid("WeChat's call declares a document type, as no call does")
    return root


def _text(element: etree._Element, name: str) -> str:
    return (element.findtext(name) or "").strip()
