"""Text messages of the demo: to the terminal, and to the inbox of the far side."""

import pytest

from core.errors import Upstream
from notifications.channels.base import Message, Taken
from notifications.channels.console import Console

CODE = Message(message_id="notice-7", address="19900000001", title="验证码", body="验证码 482913")


def test_it_is_written_to_the_terminal_and_the_inbox(tmp_path, capsys):
    assert Console(tmp_path / "inbox").send(CODE) == Taken()

    assert "✉ 19900000001  验证码 482913" in capsys.readouterr().err
    [mail] = (tmp_path / "inbox" / "new").iterdir()
    assert "X-Channel: sms" in mail.read_text()


@pytest.mark.parametrize("broken", ["\r\nBcc: thief@example.com", "\nX-Evil: 1"])
def test_a_line_break_in_an_address_is_refused_for_good(tmp_path, broken):
    with pytest.raises(Upstream, match="a line break has no place"):
        Console(tmp_path).send(Message(message_id="1", address=broken, title="", body=""))
