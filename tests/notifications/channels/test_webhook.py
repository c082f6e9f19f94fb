"""Webhooks to a partner that checks them by the specification, with its own code."""

import base64
import datetime as dt
import hashlib
import hmac
import ipaddress
import json
import socket
import ssl
import time
from dataclasses import replace

import certifi
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from core.clock import utc_now
from core.errors import Invalid, Upstream, UpstreamUnavailable
from core.settings import Environment, Settings
from notifications.channels.base import AddressGone, Taken, Template
from notifications.channels.webhook import from_settings
from tests.notifications.channels.contract import Arrived, CarrierContract
from tests.notifications.channels.http_far import HttpFar

PARTNER = "water_hub"
SHARED = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(SHARED).decode()
TOLERANCE_SECONDS = 300


class Forged(Exception):
    """What a partner says of a call that is not ours."""


class FarPartner(HttpFar):
    """A partner: verifies, and takes each id once.

    ``verifies`` is the secret or the public half it has on file; ``status`` what it answers.
    """

    def __init__(self, verifies: object = SHARED) -> None:
        self.verifies = verifies
        self.status = 200
        self.clock = time.time
        self.seen: dict[str, dict[str, object]] = {}
        super().__init__()

    def answer(self, asked):
        if self.fault in {"busy", "refuse"}:
            return {"busy": 503, "refuse": 410}[self.fault], b""
        try:
            news = self.verify(asked.headers, asked.body)
        except Forged:
            return 401, b""
        if asked.headers["webhook-id"] not in self.seen:
            self.seen[asked.headers["webhook-id"]] = news
            words = f"{news['data']['title']}\n{news['data']['body']}"
            self.taken.append(Arrived(asked.path.removeprefix("/hooks/"), words))
        return self.status, b"x" * 10

    def verify(self, headers, body):
        sent_at = int(headers["webhook-timestamp"])
        if abs(self.clock() - sent_at) > TOLERANCE_SECONDS:
            raise Forged("too old or too new")
        signed = f"{headers['webhook-id']}.{sent_at}.".encode() + body
        for signature in headers["webhook-signature"].split(" "):
            version, _, encoded = signature.partition(",")
            if self.matches(version, base64.b64decode(encoded, validate=True), signed):
                return json.loads(body)
        raise Forged("no signature matches")

    def matches(self, version, signature, signed):
        if isinstance(self.verifies, bytes):
            expected = hmac.new(self.verifies, signed, hashlib.sha256).digest()
            return version == "v1" and hmac.compare_digest(expected, signature)
        if version != "v1a":
            return False
        try:
            self.verifies.verify(signature, signed)
        except InvalidSignature:
            return False
        return True


@pytest.fixture
def far():
    with FarPartner() as far:
        yield far


def a_webhook(far, *secrets):
    said = " ".join([f"{far.url}/hooks/{PARTNER}", *(secrets or (SECRET,))])
    return from_settings(
        Settings(environment=Environment.TEST, carriers={"webhook": {PARTNER: SecretStr(said)}})
    )


@pytest.fixture
def webhook(far):
    return a_webhook(far)


class TestContract(CarrierContract):
    MESSAGE = replace(CarrierContract.MESSAGE, address=PARTNER)
    SECRETS = (SECRET, "/hooks/")

    @pytest.fixture
    def carrier(self, far, monkeypatch):
        monkeypatch.setattr("notifications.channels.http._PATIENCE_SECONDS", 0.3)
        return a_webhook(far)

    @pytest.mark.parametrize("fault", ["hang"])
    def test_no_answer_is_no_answer_and_soon(self, carrier, far, fault):
        """The partner takes an id once: what it did not answer may be sent again."""
        far.behave(fault)

        with pytest.raises(UpstreamUnavailable) as away:
            carrier.send(self.MESSAGE)

        self.says_nothing_of_anybody(away.value)


MESSAGE = TestContract.MESSAGE


class TestThePayload:
    def test_it_has_the_three_members_of_the_specification(self, webhook, far):
        at = dt.datetime(2026, 11, 21, 9, 30, tzinfo=dt.UTC)
        news = Template("payment.receipt", {"amount": "86.50"})

        webhook.send(replace(MESSAGE, template=news, created_at=at, link="https://city.example/7"))

        assert far.seen["notice-7"] == {
            "type": "payment.receipt",
            "timestamp": "2026-11-21T09:30:00+00:00",
            "data": {
                "title": MESSAGE.title,
                "body": MESSAGE.body,
                "link": "https://city.example/7",
                "locale": "zh_CN",
                "values": {"amount": "86.50"},
            },
        }
        assert far.asked[0].headers["content-type"] == "application/json"

    def test_what_has_no_kind_of_its_own_is_a_notice(self, webhook, far):
        webhook.send(MESSAGE)

        assert far.seen["notice-7"]["type"] == "notice.created"

    def test_a_partner_has_it_once_it_has_answered(self, webhook):
        assert webhook.send(MESSAGE) == Taken(delivered=True)

    def test_sent_again_the_news_is_as_old_and_the_signature_new(self, webhook, far, monkeypatch):
        now = utc_now()
        message = replace(MESSAGE, created_at=now)
        for sent_at in (now - dt.timedelta(minutes=4), now):
            monkeypatch.setattr("notifications.channels.webhook.utc_now", lambda at=sent_at: at)
            webhook.send(message)

        first, second = far.asked
        assert first.body == second.body
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
        assert len(far.taken) == 1


class TestSignatures:
    """S-14: the partner lets nothing by that we have not signed."""

    @hypothesis_settings(
        max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(data=st.data())
    def test_one_bit_off_is_forged(self, signed, data):
        partner, headers, body = signed
        kind = data.draw(st.sampled_from(["body", "id", "time", "signature"]))
        if kind == "body":
            at = data.draw(st.integers(0, len(body) * 8 - 1))
            body = bytearray(body)
            body[at // 8] ^= 1 << at % 8
        elif kind == "signature":
            raw = bytearray(base64.b64decode(headers["webhook-signature"][3:]))
            at = data.draw(st.integers(0, len(raw) * 8 - 1))
            raw[at // 8] ^= 1 << at % 8
            headers = {**headers, "webhook-signature": "v1," + base64.b64encode(raw).decode()}
        else:
            name = {"id": "webhook-id", "time": "webhook-timestamp"}[kind]
            change = data.draw(st.integers(1, 200))
            other = f"{headers[name]}x" if kind == "id" else str(int(headers[name]) - change)
            headers = {**headers, name: other}

        with pytest.raises(Forged):
            partner.verify(headers, bytes(body))

    @pytest.fixture
    def signed(self, webhook, far):
        webhook.send(MESSAGE)
        [asked] = far.asked
        return far, asked.headers, asked.body

    def test_the_call_itself_is_ours(self, signed):
        partner, headers, body = signed

        assert partner.verify(headers, body)["data"]["title"] == MESSAGE.title

    def test_after_the_tolerance_it_is_no_longer(self, signed):
        partner, headers, body = signed

        partner.clock = lambda: int(headers["webhook-timestamp"]) + TOLERANCE_SECONDS + 1

        with pytest.raises(Forged):
            partner.verify(headers, body)

    def test_while_secrets_change_both_are_good(self, far):
        old, new = b"o" * 24, b"n" * 64
        secrets = ["whsec_" + base64.b64encode(one).decode() for one in (new, old)]
        webhook = a_webhook(far, *secrets)

        for number, verifies in enumerate((old, new)):
            far.verifies = verifies
            webhook.send(replace(MESSAGE, message_id=f"notice-{number}"))

        assert len(far.taken) == 2

    @pytest.mark.parametrize("with_public_half", [False, True])
    def test_a_partner_may_check_with_a_public_key(self, far, with_public_half):
        key = Ed25519PrivateKey.generate()
        raw = key.private_bytes_raw()
        raw += key.public_key().public_bytes_raw() if with_public_half else b""
        far.verifies = key.public_key()

        a_webhook(far, "whsk_" + base64.b64encode(raw).decode(), SECRET).send(MESSAGE)

        versions = [one[:3] for one in far.asked[0].headers["webhook-signature"].split(" ")]
        assert (len(far.taken), versions) == (1, ["v1a", "v1,"])

    def test_a_partner_with_another_secret_takes_nothing(self, far, webhook):
        far.verifies = b"x" * 32

        with pytest.raises(UpstreamUnavailable):
            webhook.send(MESSAGE)

        assert far.taken == []


class TestAnswers:
    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    def test_any_of_two_hundred_is_a_yes(self, webhook, far, status):
        far.status = status

        assert webhook.send(MESSAGE).delivered

    def test_gone_is_gone(self, webhook, far):
        far.status = 410

        with pytest.raises(AddressGone):
            webhook.send(MESSAGE)

    @pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 429, 500, 502, 504])
    def test_anything_else_is_a_failure_and_tried_again(self, webhook, far, status):
        far.status = status

        with pytest.raises(UpstreamUnavailable, match=str(status)):
            webhook.send(MESSAGE)

        assert len(far.asked) == 1  # no redirect is followed

    def test_nobody_is_asked_for_a_partner_we_do_not_know(self, webhook, far):
        with pytest.raises(Upstream) as refused:
            webhook.send(replace(MESSAGE, address="gas_hub"))

        assert (type(refused.value), far.asked) == (Upstream, [])


class Resolver:
    """What names resolve to, one answer after another, and what was connected to."""

    def __init__(self, monkeypatch):
        self.answers, self.connected = [], []
        monkeypatch.setattr(socket, "getaddrinfo", self.look_up)
        monkeypatch.setattr(socket, "create_connection", self.connect)

    def look_up(self, host, port, *_, **__):
        found = self.answers.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    def connect(self, address, *_, **__):
        self.connected.append(address[0])
        raise ConnectionRefusedError


def guarded(url="https://partner.example/hook"):
    return from_settings(
        Settings(
            environment=Environment.DEMO,
            carriers={"webhook": {PARTNER: SecretStr(f"{url} {SECRET}")}},
        )
    )


class TestTheGuard:
    """S-6: nobody makes us speak to what is inside our own network."""

    INSIDE = (
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1", "::1", "fe80::1", "fc00::1",
        "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1",
        "2002:7f00:1::", "::7f00:1", "2001::1",
    )  # fmt: skip

    @pytest.mark.parametrize("address", INSIDE)
    def test_no_address_inside_is_connected_to(self, monkeypatch, address):
        resolver = Resolver(monkeypatch)
        resolver.answers = [[address]]

        with pytest.raises(Upstream) as refused:
            guarded().send(MESSAGE)

        assert (type(refused.value), resolver.connected) == (Upstream, [])
        assert address not in str(refused.value)

    @pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
    def test_one_outside_is(self, monkeypatch, address):
        resolver = Resolver(monkeypatch)
        resolver.answers = [[address]]

        with pytest.raises(UpstreamUnavailable):
            guarded().send(MESSAGE)

        assert resolver.connected == [address]

    def test_one_inside_among_several_spoils_them_all(self, monkeypatch):
        resolver = Resolver(monkeypatch)
        resolver.answers = [["8.8.8.8", "10.0.0.1"]]

        with pytest.raises(Upstream):
            guarded().send(MESSAGE)

        assert resolver.connected == []

    def test_a_name_that_changes_its_mind_is_asked_once(self, monkeypatch):
        resolver = Resolver(monkeypatch)
        resolver.answers = [["8.8.8.8"], ["127.0.0.1"]]

        with pytest.raises(UpstreamUnavailable):
            guarded().send(MESSAGE)

        assert resolver.connected == ["8.8.8.8"]

    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "127.1"]
    )
    def test_ourselves_under_any_name_is_inside(self, host):
        with pytest.raises(Upstream) as refused:
            guarded(f"https://{host}/hook").send(MESSAGE)

        assert type(refused.value) is Upstream

    def test_a_name_nobody_knows_is_not_now(self, monkeypatch):
        def unknown(*_, **__):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)

        with pytest.raises(UpstreamUnavailable):
            guarded().send(MESSAGE)


class TestTheName:
    """The address was looked up by us, and the certificate is still the name's."""

    @pytest.fixture
    def certificate(self, tmp_path):
        key, name = ec.generate_private_key(ec.SECP256R1()), "partner.example"
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        made = (
            x509.CertificateBuilder()
            .subject_name(subject).issuer_name(subject).public_key(key.public_key())
            .serial_number(7)
            .not_valid_before(utc_now() - dt.timedelta(days=1))
            .not_valid_after(utc_now() + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, SHA256())
        )  # fmt: skip
        path = tmp_path / "partner.pem"
        path.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + made.public_bytes(Encoding.PEM)
        )
        return path

    @pytest.mark.parametrize(
        ("host", "taken"), [("partner.example", True), ("other.example", False)]
    )
    def test_only_a_partner_with_a_certificate_of_its_name_is_told(
        self, far, certificate, monkeypatch, host, taken
    ):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        far._server.socket = context.wrap_socket(far._server.socket, server_side=True)
        monkeypatch.setattr(certifi, "where", lambda: str(certificate))
        known = socket.getaddrinfo

        def look_up(name, *rest, **more):
            named = name.decode() if isinstance(name, bytes) else name
            local = named.endswith(".example")
            return known(
                "127.0.0.1" if local else ipaddress.ip_address(named).compressed, *rest, **more
            )

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        said = f"https://{host}:{far.url.rpartition(':')[2]}/hooks/{PARTNER} {SECRET}"
        webhook = from_settings(
            Settings(environment=Environment.TEST, carriers={"webhook": {PARTNER: SecretStr(said)}})
        )

        answer = None
        try:
            webhook.send(MESSAGE)
        except UpstreamUnavailable:
            answer = UpstreamUnavailable

        assert (answer is None, len(far.taken) == 1) == (taken, taken)
        if taken:
            assert far.asked[0].headers["host"].startswith("partner.example:")


class TestSettingItUp:
    def test_without_a_partner_there_is_no_carrier(self):
        assert from_settings(Settings()) is None

    @pytest.mark.parametrize(
        "said",
        ["", "https://partner.example/", f"http://partner.example/ {SECRET}",
         "https://partner.example/ secret", "https://partner.example/ whsec_AAAA",
         f"https://partner.example/ {SECRET}!", "https://partner.example/ whsk_AAAA",
         f"partner.example {SECRET}", f"https:///hook {SECRET}", f"ftp://partner.example {SECRET}"],
    )  # fmt: skip
    def test_what_cannot_be_used_is_said_at_the_start(self, said):
        wrong = Settings(carriers={"webhook": {PARTNER: SecretStr(said)}})

        with pytest.raises(Invalid, match=PARTNER) as refused:
            from_settings(wrong)

        assert SECRET not in f"{refused.value} {refused.value.__cause__}"
