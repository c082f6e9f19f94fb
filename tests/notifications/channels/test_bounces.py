"""Mail that came back: whose it is, and what became of it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from core.errors import Invalid, NotSignedIn
from notifications.channels.base import Fate, Receipt
from notifications.channels.bounces import read_report
from notifications.channels.email import from_settings
from tests.notifications.channels.reports import TOKEN, a_report, marked_id
from tests.notifications.channels.test_email import MESSAGE

SIGNED = {"x-citybill-token": TOKEN}


@pytest.fixture
def email(chosen):
    carriers = {"email": {"receipt_token": SecretStr(TOKEN)}}
    return from_settings(chosen.model_copy(update={"carriers": carriers}))


def test_a_report_says_when_and_why_but_not_whom(email):
    told = email.read_receipts(SIGNED, a_report())

    at = datetime(2026, 11, 21, 1, 0, 5, tzinfo=UTC)
    assert told == [Receipt("notice-7", Fate.FAILED, at, "5.1.1")]


def test_the_mail_that_went_out_is_the_one_that_comes_back(email, mail_server):
    email.send(MESSAGE)
    [(_, mail, _)] = mail_server.taken

    [told] = email.read_receipts(SIGNED, a_report(message_id=mail["Message-ID"]))

    assert told.ref == MESSAGE.message_id


def test_the_mail_itself_may_be_returned_and_not_its_headers_alone(email):
    [told] = email.read_receipts(SIGNED, a_report(returned="message/rfc822"))

    assert told.ref == "notice-7"


@pytest.mark.parametrize("action", ["delayed", "relayed", "expanded", "unheard of", ""])
def test_what_is_not_the_end_of_it_is_no_receipt(email, action):
    assert email.read_receipts(SIGNED, a_report(action=action)) == []


def test_what_went_on_to_several_fared_several_ways(email):
    told = email.read_receipts(SIGNED, a_report(action="delivered failed"))

    assert [receipt.fate for receipt in told] == [Fate.DELIVERED, Fate.FAILED]


@pytest.mark.parametrize("at", ["", "yesterday", "Sat, 41 Nov 2026 09:00:05 +0800"])
def test_a_moment_nobody_can_read_is_none(email, at):
    [told] = email.read_receipts(SIGNED, a_report(at=at))

    assert told.happened_at is None


class TestForgery:
    """Anybody can write to the address mail comes back to; only who has a mail knows its id."""

    @pytest.mark.parametrize("given", ["", "another", TOKEN + " ", "密"])
    def test_only_our_mail_server_brings_them(self, email, given):
        with pytest.raises(NotSignedIn):
            email.read_receipts({"x-citybill-token": given}, a_report())

    def test_without_a_token_nobody_does(self, chosen):
        with pytest.raises(NotSignedIn):
            from_settings(chosen).read_receipts({"x-citybill-token": ""}, a_report())

    @pytest.mark.parametrize(
        "named",
        ["<notice-7@citybill.example>", "<notice-7.0123456789abcdef@citybill.example>",
         marked_id("notice-7", "another token"),
         marked_id("notice-7").replace("notice-7", "notice-8"), "notice-7", "<>"],
    )  # fmt: skip
    def test_a_guessed_id_is_none_of_ours(self, email, named):
        with pytest.raises(Invalid, match="none of ours"):
            email.read_receipts(SIGNED, a_report(message_id=named))


class TestAnythingElse:
    @pytest.mark.parametrize(
        "mail",
        [b"", b"Subject: out of office\r\n\r\nback on Monday\r\n",
         a_report().replace(b"message/delivery-status", b"text/plain"),
         a_report(returned="text/plain")],
        ids=["empty", "answer", "no status", "no mail"],
    )  # fmt: skip
    def test_a_mail_that_is_no_report_is_refused(self, email, mail):
        with pytest.raises(Invalid):
            email.read_receipts(SIGNED, mail)

    @hypothesis_settings(max_examples=300, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.integers(0, len(a_report())), st.integers(0, 30),
                st.sampled_from([b"", b"\r\n", b"\xff", b"--", b":", b"message/rfc822", b"+9900"]),
            ),
            max_size=5,
        )
    )  # fmt: skip
    def test_a_broken_report_is_refused_and_breaks_nothing(self, edits):
        raw = a_report()
        for at, length, put in edits:
            raw = raw[:at] + put + raw[at + length :]
        read = None
        try:
            read = read_report(raw)
        except Invalid:
            return

        assert all(told.fate in {Fate.FAILED, Fate.DELIVERED} for told in read.fared)
