"""E-mail through a real SMTP server: what is said, and what each answer means."""

import socket
from dataclasses import replace
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime

import pytest

from core.clock import utc_now
from core.errors import Upstream, UpstreamUnavailable
from notifications.channels.email import Email, from_settings
from tests.notifications.conftest import free_port
from tests.notifications.test_any_channel import MESSAGE

A_MINUTE = timedelta(minutes=1)


def an_email(port, *, starttls=False, user=""):
    return Email(
        host="127.0.0.1", port=port, sender="CityBill <no-reply@citybill.example>",
        starttls=starttls, user=user, password="x",
    )  # fmt: skip


@pytest.fixture
def email(chosen):
    return from_settings(chosen)


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
        assert text.get_content() == MESSAGE.body
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
