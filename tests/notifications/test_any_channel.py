"""The contract every channel keeps, ours and other people's: whatever is installed."""

from dataclasses import replace
from importlib.metadata import entry_points

import pytest

from core.errors import Upstream
from notifications.channels import load_channels
from notifications.channels.base import Message

MESSAGE = Message(
    message_id="notice-7",
    address="wang@example.com",
    title="缴费回执：已收到 ¥86.50",
    body="王小明，您好！\n" + "很长的一行" * 300 + "\n.\n从一个点开始\n",
    body_html="<p>王小明，您好！</p>",
)
INSTALLED = sorted(point.name for point in entry_points(group="citybill.channels"))


@pytest.fixture(params=INSTALLED)
def channel(request, chosen):
    return load_channels(chosen)[request.param]


def test_ours_are_installed():
    assert {"console", "email", "inbox"} <= set(INSTALLED)


def test_a_channel_knows_its_code(channel, request):
    assert channel.code == request.node.callspec.params["channel"]


@pytest.mark.parametrize("html", [None, MESSAGE.body_html], ids=["text", "html"])
def test_a_message_is_taken_and_may_be_tried_again(channel, html):
    for _ in range(2):
        assert channel.send(replace(MESSAGE, body_html=html)) is None


@pytest.mark.parametrize("broken", ["\r\nBcc: thief@example.com", "\nX-Evil: 1", "\r\n\r\nhello"])
@pytest.mark.parametrize("member", ["address", "title"])
def test_a_line_break_is_refused_for_good_or_harmless(channel, mail_server, chosen, member, broken):
    answer: type[Exception] | None = None
    try:
        channel.send(replace(MESSAGE, **{member: getattr(MESSAGE, member) + broken}))
    except Exception as refused:  # noqa: BLE001  whatever it is, it is looked at
        answer = type(refused)

    assert answer in {None, Upstream}  # and not UpstreamUnavailable, which is tried for ever

    for recipients, mail, _ in mail_server.taken:
        assert recipients == [MESSAGE.address]
        assert mail["Bcc"] is None
        assert mail["X-Evil"] is None
    written = "".join(
        path.read_text() for path in chosen.demo_inbox_dir.rglob("*") if path.is_file()
    )
    assert "\nBcc:" not in written
    assert "\nX-Evil:" not in written


def test_an_empty_body_is_still_a_message(channel):
    channel.send(replace(MESSAGE, body="", body_html=None))
