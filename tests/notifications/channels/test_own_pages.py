"""The inbox and the television: the row is the delivery, so what a far side may do does not apply.

How the rows come to be shown, delivered and read is in ``test_inbox`` and ``test_television``.
"""

import socket
from dataclasses import replace

import pytest

from core.settings import Settings
from notifications.channels import inbox, tv
from notifications.channels.base import Taken
from tests.notifications.channels.contract import ChannelContract


class TestContract(ChannelContract):
    @pytest.fixture(params=[inbox, tv], ids=["inbox", "tv"])
    def carrier(self, request):
        return request.param.from_settings(Settings())

    @pytest.fixture(autouse=True)
    def _no_way_out(self, monkeypatch):
        def refuse(*_args):
            raise AssertionError("something left the house")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket.socket, "sendto", refuse)

    def test_it_takes_a_message_at_once_and_as_often_as_it_is_given(self, carrier):
        """Both times it is the same row, so that nobody sees it twice."""
        assert isinstance(carrier.send(self.MESSAGE), Taken)
        assert carrier.send(self.MESSAGE) == carrier.send(self.MESSAGE)
        assert carrier.repeats_safely

    @pytest.mark.parametrize(
        "changed",
        [{"body": ""}, {"title": "\r\nBcc: thief@example.com"}, {"title": "\x00"}, {"address": ""}],
        ids=["nothing", "a line break", "no character", "no address"],
    )
    def test_no_words_of_a_message_can_make_it_fail(self, carrier, changed):
        assert isinstance(carrier.send(replace(self.MESSAGE, **changed)), Taken)

    def test_nobody_calls_back(self, carrier):
        assert carrier.read_receipts({"x-citybill-token": "guessed"}, b"anything") == []


def test_an_inbox_has_what_it_is_given_and_a_television_only_once_it_shows_it():
    message = ChannelContract.MESSAGE

    assert inbox.from_settings(Settings()).send(message).delivered
    assert not tv.from_settings(Settings()).send(message).delivered
