"""Web Push against a push service and a browser that go by the RFCs."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from core.clock import utc_now
from core.errors import Invalid, Upstream, UpstreamUnavailable
from core.settings import Environment, Settings
from notifications.channels.base import AddressGone, Kind, Silent
from notifications.channels.push import MOST_BYTES, from_settings, payload, subscription_address
from tests.notifications.channels.contract import CarrierContract
from tests.notifications.channels.http_far import impatient
from tests.notifications.channels.push_far import DAY_SECONDS, FarBrowser, PushFar, b64, unb64

KEY = b64(bytes(range(1, 33)))
SUBJECT = "mailto:notices@citybill.example"


def configured(environment=Environment.TEST, **said):
    push = {"private_key": KEY, "subject": SUBJECT} | said
    return from_settings(
        Settings(
            environment=environment,
            carriers={"push": {name: SecretStr(text) for name, text in push.items()}},
        )
    )


@pytest.fixture
def push():
    made = configured(services="127.0.0.1")
    yield made
    made.close()


@pytest.fixture
def far(push):
    with PushFar(push.public_key) as far:
        yield far


class TestContract(CarrierContract):
    @pytest.fixture
    def carrier(self, push, far, request, monkeypatch):
        impatient(request, monkeypatch)
        self.MESSAGE = replace(CarrierContract.MESSAGE, address=far.address)
        self.SECRETS = (KEY, far.url, "7f3a")
        return push


@pytest.fixture
def message(far):
    return replace(
        CarrierContract.MESSAGE, address=far.address, topic="a" * 32,
        link="https://city.example/bills/1.2",
    )  # fmt: skip


class TestWhatTheBrowserShows:
    def test_it_is_what_was_said(self, push, far, message):
        push.send(message)
        far.come_back()

        assert far.browser.shown == {
            "a" * 32: {
                "title": message.title, "body": message.body, "link": message.link,
                "tag": "a" * 32,
            }
        }  # fmt: skip

    def test_of_a_topic_the_newest_waits_for_a_browser_that_is_away(self, push, far, message):
        """N-16: twice of one topic is shown once."""
        push.send(message)
        push.send(replace(message, message_id="notice-8", title="newer"))

        assert [there.text.partition("\n")[0] for there in far.arrived] == ["newer"]

    def test_sent_again_to_a_browser_that_is_there_it_is_one(self, push, far, message):
        for _ in range(2):
            push.send(message)
            far.come_back()

        assert len(far.browser.shown) == 1

    def test_two_messages_without_a_topic_are_two(self, push, far, message):
        for name in ("notice-7", "notice-8"):
            push.send(replace(message, topic="", message_id=name))

        assert len(far.arrived) == 2

    def test_nothing_of_it_can_be_read_on_the_way(self, push, far, message):
        push.send(replace(message, body="water bill"))

        [asked] = far.asked
        assert b"water bill" not in asked.body

    def test_no_two_messages_are_encrypted_alike(self, push, far, message):
        push.send(message)
        push.send(message)

        first, second = far.asked
        assert first.body[:16] != second.body[:16]
        assert first.body[21:86] != second.body[21:86]


class TestWaitingForABrowser:
    def ttl(self, push, far, message):
        push.send(message)
        return int(far.asked[-1].headers["ttl"])

    def test_a_message_waits_for_more_than_a_day(self, push, far, message):
        """N-16."""
        assert self.ttl(push, far, message) >= DAY_SECONDS

    def test_one_that_ends_waits_until_then(self, push, far, message):
        ends = replace(message, expires_at=utc_now() + timedelta(minutes=5))

        assert 290 <= self.ttl(push, far, ends) <= 300

    def test_one_that_has_ended_is_for_a_browser_that_is_there(self, push, far, message):
        assert self.ttl(push, far, replace(message, expires_at=utc_now() - timedelta(1))) == 0

    def test_none_waits_for_longer_than_services_keep_one(self, push, far, message):
        late = replace(message, expires_at=utc_now() + timedelta(days=90))

        assert self.ttl(push, far, late) == 28 * DAY_SECONDS

    def test_what_ended_while_the_browser_was_away_is_not_shown(self, push, far, message):
        push.send(replace(message, expires_at=utc_now() + timedelta(minutes=5)))
        now = far.clock()
        far.clock = lambda: now + 301

        assert far.arrived == []

    @pytest.mark.parametrize(
        ("kind", "urgency"),
        [(Kind.CODE, "high"), (Kind.SERVICE, "normal"), (Kind.COMMERCIAL, "low")],
    )
    def test_a_phone_that_saves_power_is_woken_for_a_code(self, push, far, message, kind, urgency):
        push.send(replace(message, kind=kind))

        assert far.asked[0].headers["urgency"] == urgency


class TestAnswers:
    @pytest.mark.parametrize(
        ("status", "raised"),
        [
            (404, AddressGone), (410, AddressGone), (400, Upstream), (413, Upstream),
            (401, UpstreamUnavailable), (403, UpstreamUnavailable), (429, UpstreamUnavailable),
            (500, UpstreamUnavailable), (503, UpstreamUnavailable), (200, Silent), (204, Silent),
            (301, Silent),
        ],
    )  # fmt: skip
    def test_each_means_one_thing(self, push, far, message, status, raised):
        """N-16: 410 is a subscription that is gone."""
        far.status = status

        with pytest.raises(Upstream) as refused:
            push.send(message)

        assert type(refused.value) is raised
        assert str(status) in str(refused.value)

    def test_accepted_for_later_is_taken(self, push, far, message):
        far.status = 202

        push.send(message)

        assert len(far.arrived) == 1

    def test_a_browser_that_subscribed_with_another_key_waits_for_us_to_mend_it(
        self, push, far, message
    ):
        far.sender = "another"

        with pytest.raises(UpstreamUnavailable):
            push.send(message)


class TestLength:
    def test_what_is_too_long_is_cut_and_still_carried(self, push, far, message):
        push.send(replace(message, body="电" * 5_000))

        [there] = far.arrived
        assert len(far.asked[0].body) <= 4096
        assert there.text.endswith("电…")

    @hypothesis_settings(max_examples=100, deadline=None)
    @given(body=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), times=st.just(2_000))
    def test_it_is_cut_no_shorter_than_it_must(self, body, times):
        message = replace(CarrierContract.MESSAGE, body=body * times)

        sent = payload(message, "tag")

        told = json.loads(sent)["body"]
        assert len(sent) <= MOST_BYTES
        if told != message.body:
            assert message.body.startswith(told[:-1])
            assert len(sent) > MOST_BYTES - 12  # one more character would not have fitted


GOOD = FarBrowser().subscription("https://fcm.googleapis.com/fcm/send/abc")


def changed(**parts):
    """A subscription with other parts."""
    told = json.loads(GOOD)
    told["keys"] |= {name: value for name, value in parts.items() if name in told["keys"]}
    return json.dumps(told | {k: v for k, v in parts.items() if k not in told["keys"]})


class TestAddresses:
    @pytest.mark.parametrize(
        "endpoint",
        [
            "https://fcm.googleapis.com/fcm/send/abc",
            "https://updates.push.services.mozilla.com/wpush/v2/abc",
            "https://web.push.apple.com/abc", "https://wns2-sg2p.notify.windows.com/w/?token=a",
            "https://push.own.example/abc",
        ],
    )  # fmt: skip
    def test_those_of_known_push_services_are_good(self, endpoint):
        push = configured(Environment.DEMO, services="push.own.example")

        assert str(push.read(changed(endpoint=endpoint)).url) == endpoint

    @pytest.mark.parametrize(
        "endpoint",
        [
            "http://fcm.googleapis.com/fcm/send/abc", "https://127.0.0.1/", "https://localhost/",
            "https://fcm.googleapis.com:8443/x", "https://fcm.googleapis.com.evil.example/x",
            "https://evil.example/fcm.googleapis.com", "https://user@fcm.googleapis.com/x",
            "https://evil.example#@fcm.googleapis.com/", "https://[::1]/x",
            "https://push.apple.com", "https://evilpush.apple.com/x", "file:///etc/passwd",
            "//fcm.googleapis.com/x", "", None, 7, ["https://fcm.googleapis.com/"], "https://169.254.169.254/latest",
            "https://fcm.googleapis.com\n.evil.example/", "https://" + "a" * 70_000,
        ],
    )  # fmt: skip
    def test_no_other_server_is_ever_asked(self, endpoint):
        with pytest.raises(Upstream) as refused:
            configured(Environment.DEMO).read(changed(endpoint=endpoint))

        assert type(refused.value) is Upstream

    @pytest.mark.parametrize(
        "parts",
        [
            {"p256dh": b64(b"\x04" + bytes(64))}, {"p256dh": ""}, {"p256dh": 7}, {"auth": ""},
            {"auth": b64(bytes(15))}, {"auth": "é" * 22}, {"keys": None}, {"keys": []},
            {"p256dh": b64(bytes([2]) + unb64(json.loads(GOOD)["keys"]["p256dh"])[1:33])},
        ],
    )  # fmt: skip
    def test_keys_no_browser_has_are_refused(self, parts):
        with pytest.raises(Upstream):
            configured().read(changed(**parts))

    @pytest.mark.parametrize("address", ["", "[]", "null", "7", "{}", "[" * 100_000, "\ud800"])
    def test_what_is_no_subscription_is_refused(self, address):
        with pytest.raises(Upstream):
            configured().read(address)

    def test_written_otherwise_it_is_the_same_address(self):
        told = json.loads(GOOD)
        keys = {name: value + "=" * (-len(value) % 4) for name, value in told["keys"].items()}

        assert subscription_address(told["endpoint"], **keys) == GOOD


class TestSettings:
    def test_without_them_there_is_no_carrier(self):
        assert from_settings(Settings(environment=Environment.TEST)) is None

    @pytest.mark.parametrize(
        "said",
        [
            {"private_key": "short"}, {"private_key": b64(bytes(32))}, {"private_key": "é"},
            {"subject": "somebody"}, {"subject": "mailto:nobody"},
        ],
    )  # fmt: skip
    def test_what_cannot_be_used_is_said_at_the_start(self, said):
        with pytest.raises(Invalid) as refused:
            configured(**said)

        assert refused.value.code == "carrier.half_configured"
        assert KEY not in str(refused.value)

    def test_the_key_for_browsers_is_the_other_half(self):
        private = ec.derive_private_key(int.from_bytes(unb64(KEY), "big"), ec.SECP256R1())
        numbers = private.public_key().public_numbers()

        point = unb64(configured().public_key)

        assert point == b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
