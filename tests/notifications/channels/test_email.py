"""E-mail through a real SMTP server: what is said, and what each answer means."""

import socket
import threading
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, timedelta
from email import message_from_bytes
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from core.clock import utc_now
from core.errors import Upstream, UpstreamUnavailable
from notifications.channels.base import AddressGone, Attachment, Kind, Message, Silent
from notifications.channels.email import Email, from_settings
from tests.notifications.channels.contract import Arrived, CarrierContract, FarSide
from tests.notifications.channels.reports import TOKEN, a_report
from tests.notifications.conftest import CUT, NOTHING, MailServer, free_port, running

A_MINUTE = timedelta(minutes=1)
MESSAGE = Message(
    message_id="notice-7",
    address="wang@example.com",
    title="缴费回执：已收到 ¥86.50",
    body="王小明，您好！\n" + "很长的一行" * 300 + "\n.\n从一个点开始\n",
    body_html="<p>王小明，您好！</p>",
)
WAY_OUT = "https://city.example/unsubscribe/" + "k7" * 80
PDF = Attachment("2026年11月 账单.pdf", "application/pdf", b"%PDF-1.7\r\n\xe2\xe3" + bytes(9_000))


def an_email(port, *, starttls=False, user=""):
    return Email(
        host="127.0.0.1", port=port, sender="CityBill <no-reply@citybill.example>",
        starttls=starttls, user=user, password="x",
    )  # fmt: skip


def short_of_patience(monkeypatch):
    monkeypatch.setattr("notifications.channels.email._TIMEOUT_SECONDS", 0.3)


@pytest.fixture
def email(chosen):
    return from_settings(chosen)


class FarMail(FarSide):
    """The mail server, and whoever sends us the reports of what came back."""

    def __init__(self) -> None:
        self.running = ExitStack()
        self.server = self.running.enter_context(running(MailServer()))

    @property
    def arrived(self):
        return [
            Arrived(*recipients, f"{mail['Subject']}\n{mail.get_body(('plain',)).get_content()}")
            for recipients, mail, _ in self.server.taken
        ]

    def behave(self, fault):
        if fault == "down":
            self.running.close()
        elif fault == "busy":
            self.server.answers["RCPT"] = "451 4.7.1 greylisted, try again later"
        else:
            said = {"hang": NOTHING, "garbage": "done", "refuse": "554 5.7.1 no"}
            self.server.answers["DATA"] = said[fault]

    def receipt(self, ref, fate):
        return {"x-citybill-token": TOKEN}, a_report(ref, action=fate.value)


class TestContract(CarrierContract):
    SECRETS = (TOKEN,)

    @pytest.fixture
    def far(self):
        far = FarMail()
        yield far
        far.running.close()

    @pytest.fixture
    def carrier(self, far, chosen, monkeypatch):
        short_of_patience(monkeypatch)
        reached = {
            "smtp_port": far.server.port,
            "carriers": {"email": {"receipt_token": SecretStr(TOKEN)}},
        }
        return from_settings(chosen.model_copy(update=reached))


class TestTheMail:
    def test_it_goes_to_one_address_with_the_words_in_text_and_html(self, email, mail_server):
        email.send(MESSAGE)

        [(recipients, mail, _)] = mail_server.taken
        assert recipients == ["wang@example.com"]
        assert (mail["To"], mail["Subject"]) == ("wang@example.com", MESSAGE.title)
        assert mail["From"] == "城市账单 <no-reply@citybill.example>"
        assert mail.get_content_type() == "multipart/alternative"
        assert [part.get_content_type() for part in mail.iter_parts()] == [
            "text/plain",
            "text/html",
        ]
        text, html = mail.get_body(("plain",)), mail.get_body(("html",))
        assert text.get_content().splitlines() == MESSAGE.body.splitlines()
        assert html.get_content().strip() == MESSAGE.body_html

    def test_without_html_it_is_plain_text(self, email, mail_server):
        email.send(replace(MESSAGE, body_html=None))

        assert mail_server.taken[0][1].get_content_type() == "text/plain"

    def test_its_id_is_the_same_however_often_it_is_tried(self, email, mail_server):
        for _ in range(3):
            email.send(MESSAGE)

        ids = {mail["Message-ID"] for _, mail, _ in mail_server.taken}
        assert ids == {"<notice-7@citybill.example>"}

    def test_another_notice_has_another_id(self, email, mail_server):
        email.send(MESSAGE)
        email.send(replace(MESSAGE, message_id="notice-8"))

        assert len({mail["Message-ID"] for _, mail, _ in mail_server.taken}) == 2

    def test_it_has_a_date_and_says_that_nobody_wrote_it(self, email, mail_server):
        email.send(MESSAGE)

        mail = mail_server.taken[0][1]
        assert abs(parsedate_to_datetime(mail["Date"]).replace(tzinfo=UTC) - utc_now()) < A_MINUTE
        assert mail["Auto-Submitted"] == "auto-generated"

    def test_no_line_is_longer_than_a_mail_may_have(self, email, mail_server):  # RFC 5322
        email.send(replace(MESSAGE, title="长" * 400))

        raw = mail_server.taken[0][2]
        assert max(len(line) for line in raw.split(b"\r\n")) <= 998

    @pytest.mark.parametrize(
        "address",
        ["a@b.example, c@d.example", "a@b.example;c@d.example", "王 <a@b.example>", "a b@c", ""],
    )
    def test_what_is_not_one_address_is_refused_and_nobody_gets_it(
        self, email, mail_server, address
    ):
        with pytest.raises(Upstream) as refused:
            email.send(replace(MESSAGE, address=address))

        assert type(refused.value) is Upstream
        assert mail_server.taken == []

    def test_an_address_the_server_has_no_words_for_is_refused_for_good(self, email, mail_server):
        with pytest.raises(Upstream) as refused:
            email.send(replace(MESSAGE, address="王小明@example.com"))

        assert type(refused.value) is Upstream
        assert mail_server.taken == []

    def test_it_says_its_language(self, email, mail_server):
        email.send(MESSAGE)
        email.send(replace(MESSAGE, locale="en"))

        assert [mail["Content-Language"] for _, mail, _ in mail_server.taken] == ["zh-CN", "en"]

    def test_a_statement_comes_with_it_under_its_name(self, email, mail_server):
        email.send(replace(MESSAGE, attachments=(PDF,)))

        mail = mail_server.taken[0][1]
        [pdf] = mail.iter_attachments()
        assert mail.get_body(("html",)).get_content().strip() == MESSAGE.body_html
        assert (pdf.get_filename(), pdf.get_content_type()) == (PDF.file_name, PDF.content_type)
        assert pdf.get_content() == PDF.content

    def test_nothing_in_it_has_more_than_seven_bits(self, email, mail_server):
        """A server that recodes eight bits on the way breaks the signature."""
        email.send(replace(MESSAGE, attachments=(PDF,)))

        assert mail_server.taken[0][2].isascii()


class TestTheWayOut:
    """RFC 8058: one bare POST, no page, no sign-in."""

    def test_what_has_one_shows_it_whole_and_in_one_line(self, email, mail_server):
        email.send(replace(MESSAGE, kind=Kind.COMMERCIAL, unsubscribe_url=WAY_OUT))

        lines = mail_server.taken[0][2].split(b"\r\n")
        assert f"List-Unsubscribe: <{WAY_OUT}>".encode() in lines
        assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in lines

    def test_what_has_none_says_nothing_of_it(self, email, mail_server):
        email.send(MESSAGE)

        assert b"list-unsubscribe" not in mail_server.taken[0][2].lower()

    def test_nothing_commercial_goes_out_without_one(self, email, mail_server):
        with pytest.raises(Upstream) as refused:
            email.send(replace(MESSAGE, kind=Kind.COMMERCIAL))

        assert type(refused.value) is Upstream
        assert mail_server.taken == []


@pytest.fixture(scope="module")
def open_house():
    with running(MailServer()) as server:
        yield server


class TestNothingIsSlippedIn:
    """N-12: whatever stands in a name or a title, the mail has the headers we gave it."""

    OURS = (
        "From", "To", "Subject", "MIME-Version", "Content-Type", "Date", "Message-ID",
        "Content-Language", "Auto-Submitted",
    )  # fmt: skip
    BREAKS = st.sampled_from(
        [
            "\r\n",
            "\n",
            "\r",
            "\x0b",
            "\x0c",
            "\x1c",
            "\x1e",
            "\x85",
            "\u2028",
            "\u2029",
            "\x00",
            "\t",
        ]
    )
    SLIPPED = st.sampled_from(["Bcc: thief@example.com", "X-Evil: 1", "\r\n<script>", ".", " "])

    @hypothesis_settings(max_examples=150, deadline=None)
    @given(
        where=st.sampled_from(["title", "address", "body", "file_name"]),
        before=st.text(max_size=90), line_break=BREAKS, slipped=SLIPPED,
    )  # fmt: skip
    def test_it_is_refused_or_stays_where_it_was(
        self, open_house, where, before, line_break, slipped
    ):
        wrong = before + line_break + slipped
        message = replace(MESSAGE, body="您好！", body_html=None)
        if where == "file_name":
            message = replace(message, attachments=(replace(PDF, file_name=wrong),))
        else:
            message = replace(message, **{where: wrong})
        open_house.taken.clear()

        answer = None
        try:
            an_email(open_house.port).send(message)
        except Upstream as refused:
            answer = type(refused)

        assert answer in {None, Upstream}
        if answer is Upstream:
            assert open_house.taken == []
            return
        [(recipients, _, raw)] = open_house.taken
        names = message_from_bytes(raw).keys()
        assert recipients == [MESSAGE.address]
        assert sorted({*names} - {"Content-Transfer-Encoding"}) == sorted(self.OURS)
        assert len(names) == len(set(names))
        assert b"\0" not in raw.partition(b"\r\n\r\n")[0]


class TestAnswers:
    """4yz is "not now", 5yz is "never", and no answer is "not now"."""

    @pytest.mark.parametrize("at", ["RCPT", "DATA"])
    @pytest.mark.parametrize("answer", ["421 closing", "450 busy", "451 greylisted", "452 full"])
    def test_not_now_is_tried_again(self, email, mail_server, at, answer):
        mail_server.answers[at] = answer

        with pytest.raises(UpstreamUnavailable):
            email.send(MESSAGE)

        mail_server.answers.clear()
        email.send(MESSAGE)
        assert len(mail_server.taken) == 1

    @pytest.mark.parametrize("at", ["RCPT", "DATA"])
    @pytest.mark.parametrize("answer", ["550 no such mailbox", "552 too large", "554 spam"])
    def test_never_is_never(self, email, mail_server, at, answer):
        mail_server.answers[at] = answer

        with pytest.raises(Upstream) as refused:
            email.send(MESSAGE)

        assert type(refused.value) is Upstream

    def test_a_refused_connection_is_not_now(self):
        with pytest.raises(UpstreamUnavailable):
            an_email(free_port()).send(MESSAGE)

    def test_a_server_that_never_speaks_is_not_now(self, monkeypatch):
        monkeypatch.setattr("notifications.channels.email._TIMEOUT_SECONDS", 0.2)
        with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(UpstreamUnavailable):
            an_email(silent.getsockname()[1]).send(MESSAGE)

    def test_a_password_the_server_does_not_take_is_our_fault_and_not_the_mails(self, mail_server):
        with pytest.raises(UpstreamUnavailable):
            an_email(mail_server.port, user="citybill").send(MESSAGE)

    def test_a_server_without_encryption_gets_nothing_where_it_is_asked_for(self, mail_server):
        with pytest.raises(UpstreamUnavailable):
            an_email(mail_server.port, starttls=True).send(MESSAGE)

        assert mail_server.taken == []

    def test_a_complaint_repeats_no_address_and_no_words(self, email, mail_server):
        mail_server.answers["RCPT"] = "550 <wang@example.com> unknown"

        with pytest.raises(Upstream) as refused:
            email.send(MESSAGE)

        assert "wang@example.com" not in str(refused.value)

    @pytest.mark.parametrize("at", ["RCPT", "DATA"])
    @pytest.mark.parametrize(
        "answer",
        ["550 5.1.1 unknown", "550 5.1.2 no such domain", "553 5.1.3 syntax", "551 5.1.6 moved",
         "556 5.1.10 takes no mail"],
    )  # fmt: skip
    def test_an_address_nobody_is_at_is_to_be_forgotten(self, email, mail_server, at, answer):
        mail_server.answers[at] = answer

        with pytest.raises(AddressGone):
            email.send(MESSAGE)

    @pytest.mark.parametrize(
        "answer",
        ["550 5.7.515 not authenticated", "550 5.1.7 bad sender", "550 5.1.8 bad sender's domain",
         "552 5.2.2 mailbox full", "550 mailbox 5.1.1 unknown"],
    )  # fmt: skip
    def test_another_refusal_says_nothing_of_the_address(self, email, mail_server, answer):
        mail_server.answers["DATA"] = answer

        with pytest.raises(Upstream) as refused:
            email.send(MESSAGE)

        assert type(refused.value) is Upstream

    @pytest.mark.parametrize("answer", ["450 not yet", "550 5.7.1 we do not know you"])
    def test_a_refused_sender_is_about_us_and_not_about_the_mail(self, email, mail_server, answer):
        mail_server.answers["MAIL"] = answer

        with pytest.raises(UpstreamUnavailable):
            email.send(MESSAGE)

    @pytest.mark.parametrize("lost", [CUT, NOTHING])
    @pytest.mark.parametrize("at", ["MAIL", "RCPT"])
    def test_a_connection_lost_before_the_mail_was_said_is_not_now(
        self, email, mail_server, monkeypatch, at, lost
    ):
        short_of_patience(monkeypatch)
        mail_server.answers[at] = lost

        with pytest.raises(UpstreamUnavailable):
            email.send(MESSAGE)

    @pytest.mark.parametrize("answer", [CUT, NOTHING, "done", "100 wait", "299"])
    def test_once_it_was_said_nobody_knows(self, email, mail_server, monkeypatch, answer):
        short_of_patience(monkeypatch)
        mail_server.answers["DATA"] = answer

        with pytest.raises(Silent):
            email.send(MESSAGE)


class TestTheConnection:
    def test_one_is_kept_for_the_next_mail(self, email, mail_server):
        for _ in range(3):
            email.send(MESSAGE)

        assert (len(mail_server.lines), len(mail_server.taken)) == (1, 3)

    @pytest.mark.parametrize("answer", ["421 4.7.0 enough of this connection", "503 what?"])
    def test_one_that_is_no_longer_wanted_is_replaced(self, email, mail_server, answer):
        email.send(MESSAGE)
        mail_server.once["MAIL"] = answer

        email.send(MESSAGE)

        assert (len(mail_server.lines), len(mail_server.taken)) == (2, 2)

    def test_one_the_server_has_closed_is_replaced_and_nothing_is_lost(self, email, mail_server):
        email.send(MESSAGE)
        mail_server.hang_up()

        email.send(MESSAGE)

        assert (len(mail_server.lines), len(mail_server.taken)) == (2, 2)

    def test_one_that_went_quiet_is_replaced_within_the_time_of_one_mail(
        self, email, mail_server, monkeypatch
    ):
        monkeypatch.setattr("notifications.channels.email._PATIENCE_WITH_KEPT", 0.1)
        email.send(MESSAGE)
        mail_server.once["MAIL"] = NOTHING

        email.send(MESSAGE)

        assert (len(mail_server.lines), len(mail_server.taken)) == (2, 2)

    def test_one_long_idle_is_not_tried(self, email, mail_server, monkeypatch):
        email.send(MESSAGE)
        monkeypatch.setattr("notifications.channels.email._KEPT_SECONDS", 0)

        email.send(MESSAGE)

        assert len(mail_server.lines) == 2

    def test_after_a_refusal_the_next_mail_goes_its_way(self, email, mail_server):
        email.send(MESSAGE)
        mail_server.once["RCPT"] = "550 5.1.1 unknown"
        with pytest.raises(AddressGone):
            email.send(MESSAGE)

        email.send(replace(MESSAGE, address="li@example.com"))

        assert [there for there, _, _ in mail_server.taken] == [
            ["wang@example.com"],
            ["li@example.com"],
        ]

    def test_threads_do_not_share_one(self, email, mail_server):
        def send_five(number):
            for count in range(5):
                email.send(replace(MESSAGE, message_id=f"notice-{number}-{count}"))

        threads = [threading.Thread(target=send_five, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len({mail["Message-ID"] for _, mail, _ in mail_server.taken}) == 20
        assert (len(mail_server.lines), len(mail_server.taken)) == (4, 20)
