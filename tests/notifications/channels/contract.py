"""What every carrier keeps, whoever wrote it: subclass ``CarrierContract``.

A channel of our own pages has no far side, so nobody there can be down, silent or forged: of it
``ChannelContract`` holds alone, and ``test_own_pages`` says what stands for the rest. Any other
subclass gives a fixture ``carrier`` (the adapter, as its ``from_settings`` makes it) and a
fixture ``far``: the other side, written from its documentation and checking what we sign.
"""

import time
from abc import abstractmethod
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from core.errors import CityBillError, Invalid, NotSignedIn, Upstream, UpstreamUnavailable
from notifications.channels.base import Carrier, Fate, Message, Silent, Taken

LONGEST_SECONDS = 12


class Arrived(NamedTuple):
    """A message as the far side has it."""

    address: str
    text: str  # title and body, or what a template was filled with


class FarSide:
    """The carrier's own system; faults are those every one has."""

    FAULTS = ("down", "busy", "hang", "garbage", "refuse")

    @property
    @abstractmethod
    def arrived(self) -> list[Arrived]: ...

    @abstractmethod
    def behave(self, fault: str) -> None:
        """From now on: ``down`` (no connection), ``busy`` (says: later), ``hang`` (takes the
        request and never answers), ``garbage`` (answers what nobody understands), ``refuse``
        (says: never).
        """

    def receipt(self, ref: str, fate: Fate) -> tuple[dict[str, str], bytes] | None:
        """Return a genuine call about a message, headers in lower case; None: it never calls."""
        return None


class ChannelContract:
    """What holds of each channel, whether or not anything leaves the house."""

    MESSAGE = Message(
        message_id="notice-7", address="wang@example.com", title="缴费回执：已收到 ¥86.50",
        body="王小明，您好！\n您的水费已缴。",
    )  # fmt: skip

    def test_it_says_what_it_is(self, carrier: Carrier) -> None:
        assert carrier.code
        assert carrier.channel in {
            "email", "sms", "wechat", "push", "inbox", "tv", "webhook", "operators",
        }  # fmt: skip


class CarrierContract(ChannelContract):
    """What holds of each carrier that hands messages to somebody else."""

    SECRETS: tuple[str, ...] = ()  # what no error may say, beside the address

    def test_a_message_arrives_once(self, carrier: Carrier, far: Any) -> None:
        taken = carrier.send(self.MESSAGE)

        assert isinstance(taken, Taken)
        [there] = far.arrived
        assert there.address == self.MESSAGE.address
        assert self.words() in there.text

    def words(self) -> str:
        """Return something of the message that arrives as it is."""
        return "86.50"

    def test_sent_again_it_is_one_where_it_says_so(self, carrier: Carrier, far: Any) -> None:
        carrier.send(self.MESSAGE)
        carrier.send(self.MESSAGE)

        assert len(far.arrived) == (1 if carrier.repeats_safely else 2)

    @pytest.mark.parametrize("fault", ["down", "busy"])
    def test_not_now_may_be_tried_again(self, carrier: Carrier, far: Any, fault: str) -> None:
        far.behave(fault)

        with pytest.raises(UpstreamUnavailable) as away:
            carrier.send(self.MESSAGE)

        self.says_nothing_of_anybody(away.value)
        assert far.arrived == []

    @pytest.mark.parametrize("fault", ["hang", "garbage"])
    def test_no_answer_is_no_answer_and_soon(self, carrier: Carrier, far: Any, fault: str) -> None:
        far.behave(fault)
        started = time.monotonic()

        with pytest.raises(Silent) as silent:
            carrier.send(self.MESSAGE)

        assert time.monotonic() - started < LONGEST_SECONDS
        self.says_nothing_of_anybody(silent.value)

    def test_refused_is_for_good(self, carrier: Carrier, far: Any) -> None:
        far.behave("refuse")

        with pytest.raises(Upstream) as refused:
            carrier.send(self.MESSAGE)

        assert not isinstance(refused.value, UpstreamUnavailable | Silent)
        self.says_nothing_of_anybody(refused.value)

    def says_nothing_of_anybody(self, error: CityBillError) -> None:
        told = f"{error} {error.__cause__}"
        for secret in (self.MESSAGE.address, *self.SECRETS):
            assert secret not in told

    @pytest.mark.parametrize(
        "broken", ["\r\nBcc: thief@example.com", "\nX-Evil: 1", "\x00", "\u2028"]
    )
    @pytest.mark.parametrize("member", ["address", "title"])
    def test_a_line_break_is_refused_for_good_or_harmless(
        self, carrier: Carrier, far: Any, member: str, broken: str
    ) -> None:
        message = replace(self.MESSAGE, **{member: getattr(self.MESSAGE, member) + broken})
        answer: type[Exception] | None = None
        try:
            carrier.send(message)
        except Upstream as refused:
            answer = type(refused)

        assert answer not in {UpstreamUnavailable, Silent}
        for there in far.arrived:
            assert "\n" not in there.address
            assert "thief" not in there.address

    def test_an_empty_body_is_still_a_message(self, carrier: Carrier, far: Any) -> None:
        carrier.send(replace(self.MESSAGE, body="", body_html=None))

        assert len(far.arrived) == 1

    @pytest.mark.parametrize("fate", [Fate.DELIVERED, Fate.FAILED])
    def test_a_receipt_tells_its_fate(self, carrier: Carrier, far: Any, fate: Fate) -> None:
        ref = carrier.send(self.MESSAGE).ref or self.MESSAGE.message_id
        call = far.receipt(ref, fate)
        if call is None:
            assert carrier.read_receipts({}, b"") == []
            return

        [told] = carrier.read_receipts(*call)

        assert (told.ref, told.fate) == (ref, fate)

    def test_a_forged_receipt_is_nobodys(self, carrier: Carrier, far: Any) -> None:
        call = far.receipt("a message", Fate.DELIVERED)
        if call is None:
            return
        headers, body = call

        for forged in (
            (headers, body.replace(b"a message", b"b message")), ({}, body), (headers, b""),
            (headers, b"\xff{"),
        ):  # fmt: skip
            with pytest.raises((NotSignedIn, Invalid)):
                carrier.read_receipts(*forged)
