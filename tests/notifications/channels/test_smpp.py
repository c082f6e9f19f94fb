"""Text messages by SMPP, against an SMS centre that reads every octet."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from core.errors import Invalid, Upstream, UpstreamUnavailable
from core.settings import Settings
from notifications.channels.base import AddressGone, Fate, Message, Receipt, Silent
from notifications.channels.smpp import Smpp, from_settings
from notifications.channels.smpp_line import Bind, Line
from notifications.channels.smpp_text import parts_of
from notifications.segments import segments
from tests.notifications.channels import smpp_far
from tests.notifications.channels.contract import CarrierContract
from tests.notifications.channels.smpp_far import (
    BIND_TRANSCEIVER,
    ENQUIRE,
    QUEUE_FULL,
    SUBMIT_FAILED,
    THROTTLED,
    TRY_LATER,
    SmsCentre,
    until,
)
from tests.threads import at_once

BILL = Message(
    message_id="notice-7", address="+8613900000001", title="缴费回执",
    body="您的水费 ¥86.50 已缴。",
)  # fmt: skip
LONG = replace(BILL, body="您的水费 ¥86.50 已缴，" * 12)  # three parts


@pytest.fixture
def far() -> Iterator[SmsCentre]:
    centre = SmsCentre()
    yield centre
    centre.close()


def account(far: SmsCentre, **more: Any) -> Smpp:
    bind = Bind("127.0.0.1", far.port, far.system_id, far.password)
    return Smpp(bind, **{"sender": "10690000", **more})


@pytest.fixture
def carrier(far: SmsCentre) -> Iterator[Smpp]:
    made = account(far)
    yield made
    made.close()


@pytest.fixture
def impatient(far: SmsCentre) -> Iterator[Smpp]:
    made = account(far, patience_seconds=2)
    yield made
    made.close()


class TestContract(CarrierContract):
    MESSAGE = BILL
    SECRETS = ("s3cr3t-9",)

    @pytest.fixture
    def carrier(self, impatient: Smpp) -> Smpp:
        return impatient


class TestWords:
    def test_chinese_goes_as_ucs_2_and_latin_as_gsm_7(self, carrier, far):
        carrier.send(BILL)
        carrier.send(replace(BILL, body="Paid: £86.50 [water] €1"))

        assert [one.coding for one in far.submitted] == [8, 0]
        assert [there.text for there in far.arrived] == [BILL.body, "Paid: £86.50 [water] €1"]

    def test_a_long_text_goes_in_parts_and_is_whole_again_on_the_phone(self, carrier, far):
        carrier.send(LONG)

        assert [one.header[1:] for one in far.submitted] == [(3, 1), (3, 2), (3, 3)]
        assert [there.text for there in far.arrived] == [LONG.body]

    def test_only_the_last_part_asks_for_a_receipt_and_gives_its_number(self, carrier, far):
        taken = carrier.send(LONG)

        assert [one.registered for one in far.submitted] == [0, 0, 1]
        assert taken.ref == far.submitted[-1].ref

    def test_a_text_tried_once_more_is_the_same_text_for_a_phone(self, carrier, far):
        carrier.send(LONG)
        carrier.send(LONG)

        first, again = far.submitted[:3], far.submitted[3:]
        assert [one.octets for one in first] == [one.octets for one in again]

    @pytest.mark.parametrize(
        ("sender", "source"), [("10690000", (0, 1, "10690000")), ("CityBill", (5, 0, "CityBill"))]
    )
    def test_a_sender_is_a_number_or_a_name(self, far, sender, source):
        carrier = account(far, sender=sender)
        carrier.send(BILL)
        carrier.close()

        assert far.submitted[0].source == source

    def test_a_number_without_a_country_is_of_ours(self, carrier, far):
        carrier.send(replace(BILL, address="13900000001"))

        assert far.arrived[0].address == "+8613900000001"

    def test_the_centre_gives_up_when_the_message_is_of_no_use_any_more(self, carrier, far):
        shanghai = timezone(timedelta(hours=8))
        carrier.send(replace(BILL, expires_at=datetime(2026, 11, 20, 12, 10, tzinfo=shanghai)))

        assert far.submitted[0].validity == "261120041000000+"

    def test_more_parts_than_can_be_numbered_are_refused(self, carrier, far):
        with pytest.raises(Upstream, match="too long"):
            carrier.send(replace(BILL, body="水" * (67 * 255 + 1)))

        assert far.submitted == []

    def test_as_many_parts_as_can_be_numbered_are_numbered(self):
        numbers = [part.octets[5] for part in parts_of("水" * 67 * 255, reference=0)]

        assert numbers == list(range(1, 256))

    @given(
        st.text(
            st.one_of(
                st.sampled_from("aé€[~¥水😀\n"), st.characters(exclude_categories=["Cs"])
            ),
            max_size=400,
        )
    )  # fmt: skip
    @example("x" * 160)
    @example("x" * 161)
    @example("x" * 152 + "€" * 10)
    @example("水" * 70)
    @example("水" * 71)
    @example("水" * 66 + "😀" * 10)
    def test_parts_are_as_many_as_are_counted_and_none_tears_a_character(self, words):
        parts = parts_of(words, reference=7)
        read = [
            smpp_far.Submitted(
                (0, 0, ""), (0, 0, ""), 0x40 if part.joined else 0, part.data_coding, 0, "",
                part.octets,
            ).read()
            for part in parts
        ]  # fmt: skip

        assert "".join(read) == words
        assert len(parts) == segments(words).parts
        assert all(len(part.octets) <= (140 if part.data_coding else 160) for part in parts)


class TestRefusals:
    @pytest.mark.parametrize("status", [THROTTLED, QUEUE_FULL, TRY_LATER, 0x08, 0x04])
    def test_not_now_is_not_now(self, carrier, far, status):
        far.script = [status]

        with pytest.raises(UpstreamUnavailable):
            carrier.send(BILL)

        carrier.send(BILL)
        assert len(far.arrived) == 1

    def test_a_number_the_centre_does_not_know_is_forgotten(self, carrier, far):
        with pytest.raises(AddressGone):
            carrier.send(replace(BILL, address="+0139000000"))

    @pytest.mark.parametrize(
        "address",
        ["", "wang@example.com", "139 0000 0001", "+", "13900000001\n", "１３９０００００００１"],
    )
    def test_what_is_no_number_never_leaves(self, carrier, far, address):
        with pytest.raises(Upstream, match="not one phone number"):
            carrier.send(replace(BILL, address=address))

        assert far.submitted == []

    def test_a_wrong_password_can_wait_for_somebody_to_mend_it(self, far):
        carrier = account(far)
        far.password = "other"

        with pytest.raises(UpstreamUnavailable, match="does not let us in: status:0xe"):
            carrier.send(BILL)
        with pytest.raises(UpstreamUnavailable, match="a moment ago"):
            carrier.send(BILL)

        assert far.commands[BIND_TRANSCEIVER] == 1

    def test_a_centre_that_never_lets_us_in_took_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            bind = Bind("127.0.0.1", deaf.getsockname()[1], "citybill", "s3cr3t-9")
            with pytest.raises(UpstreamUnavailable):
                Smpp(bind, sender="10690000", patience_seconds=1).send(BILL)


class TestSomePartsOnly:
    """A text that has begun to go out is never sent from the start again."""

    def test_a_part_that_is_too_many_for_now_is_tried_again_by_itself(self, carrier, far):
        far.script = [0, THROTTLED, 0, 0]

        carrier.send(LONG)

        assert [one.header[2] for one in far.submitted if one.status == 0] == [1, 2, 3]
        assert [there.text for there in far.arrived] == [LONG.body]

    @pytest.mark.parametrize("statuses", [[0, SUBMIT_FAILED], [0, *[THROTTLED] * 9]])
    def test_a_text_that_is_cut_short_has_failed_for_good(self, impatient, far, statuses):
        far.script = statuses

        with pytest.raises(Upstream) as cut:
            impatient.send(LONG)

        assert type(cut.value) is Upstream
        assert cut.value.code == "carrier.cut_short"
        assert far.arrived == []

    def test_the_first_part_refused_is_the_whole_text_not_taken(self, carrier, far):
        far.script = [THROTTLED]

        with pytest.raises(UpstreamUnavailable):
            carrier.send(LONG)

        assert [one.header[2] for one in far.submitted] == [1]

    def test_a_part_goes_on_over_a_new_connection(self, carrier, far):
        far.script, far.hang_up_after = [0, THROTTLED], 2

        carrier.send(LONG)

        assert far.commands[BIND_TRANSCEIVER] == 2
        assert [there.text for there in far.arrived] == [LONG.body]


class TestConnection:
    def test_one_connection_serves_many_messages(self, carrier, far):
        for _ in range(5):
            carrier.send(BILL)

        assert far.commands[BIND_TRANSCEIVER] == 1

    def test_many_threads_share_it_and_each_hears_of_its_own(self, far):
        carrier = account(far, window=8)
        far.slowest_seconds = 0.05

        refs = at_once(
            40,
            lambda number: carrier.send(
                replace(BILL, address=f"+86139{number:08}", body=f"{number}")
            ).ref,
        )  # fmt: skip

        carrier.close()
        by_ref = {one.ref: one for one in far.submitted}
        assert [by_ref[ref].read() for ref in refs] == [str(number) for number in range(40)]
        assert far.commands[BIND_TRANSCEIVER] == 1
        assert 1 < far.window <= 8

    def test_a_lost_connection_is_made_anew(self, carrier, far):
        carrier.send(BILL)
        far.hang_up()
        until(lambda: carrier._line.down)

        carrier.send(BILL)

        assert len(far.arrived) == 2
        assert far.commands[BIND_TRANSCEIVER] == 2

    def test_one_on_which_nothing_comes_back_is_not_used_again(self, impatient, far):
        far.behave("hang")
        with pytest.raises(Silent):
            impatient.send(BILL)
        far.behave("")

        impatient.send(BILL)

        assert far.commands[BIND_TRANSCEIVER] == 2

    def test_however_often_it_is_asked_it_tries_again_after_a_moment(self, far):
        carrier = account(far)
        far.password, right = "other", far.password
        with pytest.raises(UpstreamUnavailable):
            carrier.send(BILL)
        far.password = right

        def arrives() -> bool:
            with suppress(UpstreamUnavailable):
                return bool(carrier.send(BILL).ref)
            return False

        until(arrives)
        carrier.close()

    def test_a_quiet_connection_is_asked_about_and_given_up_without_an_answer(
        self, far, monkeypatch
    ):
        monkeypatch.setattr("notifications.channels.smpp_line._TICK_SECONDS", 0.02)
        bind = Bind("127.0.0.1", far.port, far.system_id, far.password)
        line = Line(bind, lambda _: True, by=time.monotonic() + 2, idle_seconds=0.1)

        until(lambda: far.commands[ENQUIRE] == 3)
        assert not line.down
        far.behave("hang")
        until(lambda: line.down)

    def test_its_own_question_is_answered(self, carrier, far):
        carrier.send(BILL)

        far.send_raw(smpp_far.pdu(ENQUIRE, 0, 77))
        until(lambda: far.commands[ENQUIRE | smpp_far.RESP])

    def test_a_command_nobody_knows_is_refused_and_the_connection_stays(self, carrier, far):
        carrier.send(BILL)

        far.send_raw(smpp_far.pdu(0x0999, 0, 78))
        until(lambda: far.commands[smpp_far.NACK])
        carrier.send(BILL)

        assert far.commands[BIND_TRANSCEIVER] == 1

    @pytest.mark.parametrize("length", [0, 15, 2_000_000_000])
    def test_a_length_no_pdu_has_ends_the_connection(self, carrier, far, length):
        carrier.send(BILL)

        far.send_raw(struct.pack(">LLLL", length, ENQUIRE, 0, 1))

        until(lambda: carrier._line.down)


class TestReceipts:
    @pytest.fixture
    def kept(self, carrier) -> list[Receipt]:
        kept: list[Receipt] = []

        def keep(receipts: list[Receipt]) -> bool:
            kept.extend(receipts)
            return True

        carrier.hear(keep)
        return kept

    @pytest.mark.parametrize("payload", [False, True])
    @pytest.mark.parametrize("by_option", [False, True])
    def test_a_receipt_says_of_which_message_it_is(self, carrier, far, kept, by_option, payload):
        ref = carrier.send(BILL).ref

        number = far.tell(ref, "DELIVRD", by_option=by_option, payload=payload)

        until(lambda: far.answered)
        assert kept == [Receipt(ref, Fate.DELIVERED)]
        assert far.answered == [(number, 0)]

    @pytest.mark.parametrize("state", ["UNDELIV", "EXPIRED", "REJECTD", "DELETED"])
    def test_a_failure_has_the_centres_own_word(self, carrier, far, kept, state):
        ref = carrier.send(BILL).ref

        far.tell(ref, state)

        until(lambda: far.answered)
        assert kept == [Receipt(ref, Fate.FAILED, reason=f"{state} 021")]

    @pytest.mark.parametrize("state", ["ENROUTE", "ACCEPTD", "UNKNOWN"])
    def test_what_is_no_end_is_no_receipt(self, carrier, far, kept, state):
        far.tell(carrier.send(BILL).ref, state)

        until(lambda: far.answered)
        assert kept == []

    def test_what_somebody_writes_to_us_is_no_receipt(self, carrier, far, kept):
        carrier.send(BILL)

        far.deliver(b"id:5E00 sub:001 dlvrd:001 stat:DELIVRD err:000 text:", esm_class=0)
        far.deliver(b"\x00\xff", esm_class=4)

        until(lambda: len(far.answered) == 2)
        assert kept == []

    def test_what_nobody_keeps_the_centre_sends_again_later(self, carrier, far):
        ref = carrier.send(BILL).ref

        number = far.tell(ref, "DELIVRD")

        until(lambda: far.answered)
        assert far.answered == [(number, TRY_LATER)]

    def test_receipts_that_come_together_are_kept_together(self, carrier, far):
        ref = carrier.send(BILL).ref
        batches: list[int] = []

        def keep(receipts: list[Receipt]) -> bool:
            batches.append(len(receipts))
            time.sleep(0.1)
            return True

        carrier.hear(keep)
        numbers = [far.tell(ref, "DELIVRD") for _ in range(60)]

        until(lambda: len(far.answered) == 60)
        assert far.answered == [(number, 0) for number in numbers]
        assert sum(batches) == 60
        assert len(batches) <= 3

    def test_whoever_keeps_them_slowly_holds_up_no_message(self, carrier, far):
        ref = carrier.send(BILL).ref
        carrier.hear(lambda _: time.sleep(0.5) is None)

        far.tell(ref, "DELIVRD")
        started = time.monotonic()
        carrier.send(BILL)

        assert time.monotonic() - started < 0.4
        until(lambda: far.answered)


class TestSettings:
    GOOD = ("host", "smsc.example"), ("system_id", "citybill"), ("password", "s3cr3t-9"), (
        "sender", "CityBill",
    )  # fmt: skip

    @staticmethod
    def chosen(*told: tuple[str, str]) -> Settings:
        return Settings(carriers={"smpp": {name: SecretStr(value) for name, value in told}})

    def test_without_settings_there_is_none(self):
        assert from_settings(Settings()) is None

    def test_with_them_there_is_one(self):
        assert isinstance(from_settings(self.chosen(*self.GOOD)), Smpp)

    @pytest.mark.parametrize(
        "wrong",
        [
            GOOD[1:],
            (*GOOD, ("port", "smpp")),
            (*GOOD, ("pasword", "x")),
            (*GOOD, ("password", "longer than eight")),
        ],
        ids=["no host", "a port that is no number", "a slip of the pen", "a long password"],
    )  # fmt: skip
    def test_what_is_wrong_stops_the_start_and_shows_no_secret(self, wrong):
        with pytest.raises(Invalid) as refused:
            from_settings(self.chosen(*wrong))

        assert refused.value.code == "carrier.half_configured"
        assert "s3cr3t-9" not in str(refused.value)
