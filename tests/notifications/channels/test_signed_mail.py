"""Our domain's signature on a mail, checked as RFC 6376 describes it, on the bytes that arrive."""

import base64
import hashlib
import re
from dataclasses import replace

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

from core.errors import Invalid
from notifications.channels.base import Kind, Message
from notifications.channels.email import from_settings
from tests.notifications.channels.test_email import MESSAGE, PDF, WAY_OUT

OFFER = replace(MESSAGE, kind=Kind.COMMERCIAL, unsubscribe_url=WAY_OUT, attachments=(PDF,))
LETTER = replace(MESSAGE, body="\n你好  世界 \n\n\n", body_html=None)
_FIELD = re.compile(rb"([!-9;-~]+):((?:.*?\r\n)(?:[ \t].*?\r\n)*)", re.DOTALL)


class Refused(Exception):
    """What the receiving side finds wrong."""


class Receiver:
    """Whoever gets the mail, with the key that stands in our domain's DNS."""

    def __init__(self, public_key: rsa.RSAPublicKey) -> None:
        self.public_key = public_key

    def check(self, raw: bytes) -> dict[str, str]:
        """Return the tags of a good signature."""
        head, _, body = raw.partition(b"\r\n\r\n")
        fields = _FIELD.findall(head + b"\r\n")
        [signature] = [value for name, value in fields if name.lower() == b"dkim-signature"]
        tags = {
            name.strip().decode(): re.sub(rb"\s", b"", value).decode()
            for name, _, value in (tag.partition(b"=") for tag in signature.strip().split(b";"))
            if name.strip()
        }
        assert (tags["v"], tags["a"], tags["c"]) == ("1", "rsa-sha256", "relaxed/relaxed")
        if hashlib.sha256(self.relaxed_body(body)).digest() != base64.b64decode(tags["bh"]):
            raise Refused("the body is another")
        unsigned = re.sub(rb"(\bb\s*=)[^;]*", rb"\1", signature)
        covered = [*self.chosen(fields, tags["h"]), self.relaxed(b"dkim-signature", unsigned)]
        signed = b"".join(covered).removesuffix(b"\r\n")
        try:
            self.public_key.verify(
                base64.b64decode(tags["b"]), signed, padding.PKCS1v15(), SHA256()
            )
        except InvalidSignature as wrong:
            raise Refused("the headers are others") from wrong
        return tags

    def chosen(self, fields: list[tuple[bytes, bytes]], names: str) -> list[bytes]:
        """Each name takes the last field of it that no name before it took; none is nothing."""
        left = list(fields)
        found = []
        for name in names.encode().split(b":"):
            at = [place for place, field in enumerate(left) if field[0].lower() == name.lower()]
            if at:
                found.append(self.relaxed(*left.pop(at[-1])))
        return found

    @staticmethod
    def relaxed(name: bytes, value: bytes) -> bytes:
        unfolded = re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip()
        return name.lower() + b":" + unfolded + b"\r\n"

    @staticmethod
    def relaxed_body(body: bytes) -> bytes:
        lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
        text = b"\r\n".join(lines).rstrip(b"\r\n")
        return text + b"\r\n" if text else b""


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def pem(key, tmp_path):
    path = tmp_path / "dkim.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


@pytest.fixture
def sealed(chosen, pem):
    return chosen.model_copy(
        update={
            "carriers": {
                "email": settings_of(
                    selector="s2026", domain="citybill.example", private_key=str(pem)
                )
            }
        }
    )


def settings_of(**parts: str) -> dict[str, SecretStr]:
    return {f"dkim_{name}": SecretStr(value) for name, value in parts.items()}


@pytest.fixture
def arrived(sealed, mail_server):
    def arrive(message: Message) -> bytes:
        from_settings(sealed).send(message)
        raw: bytes = mail_server.taken[-1][2]
        return raw

    return arrive


@pytest.mark.parametrize("message", [MESSAGE, OFFER, LETTER], ids=["notice", "offer", "letter"])
def test_it_holds_as_it_arrives(arrived, key, message):
    tags = Receiver(key.public_key()).check(arrived(message))

    assert (tags["d"], tags["s"]) == ("citybill.example", "s2026")


def test_what_a_reader_trusts_is_covered(arrived, key):
    tags = Receiver(key.public_key()).check(arrived(OFFER))

    assert {
        "from", "to", "subject", "date", "message-id", "content-type", "list-unsubscribe",
        "list-unsubscribe-post",
    } <= set(tags["h"].split(":"))  # fmt: skip


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b"unsubscribe/k7", b"unsubscribe/k8"),
        (b"One-Click", b"One-Clock"),
        (b"To: wang@", b"To: thief@"),
        (b"no-reply@", b"yes-reply@"),
        (b"Content-Language: zh-CN", b"Content-Language: en"),
        (b"application/pdf", b"application/exe"),
    ],
)  # fmt: skip
def test_what_was_changed_on_the_way_is_found(arrived, key, was, becomes):
    raw = arrived(OFFER)
    assert was in raw

    with pytest.raises(Refused):
        Receiver(key.public_key()).check(raw.replace(was, becomes, 1))


@pytest.mark.parametrize(
    "added",
    [b"From: thief@example.com", b"Subject: other", b"To: li@example.com",
     b"List-Unsubscribe: <https://thief.example/>", b"Content-Type: text/html"],
)  # fmt: skip
@pytest.mark.parametrize("message", [MESSAGE, OFFER], ids=["notice", "offer"])
def test_nobody_adds_another_header_of_a_kind(arrived, key, message, added):
    with pytest.raises(Refused):
        Receiver(key.public_key()).check(added + b"\r\n" + arrived(message))


def test_spaces_and_folding_on_the_way_do_no_harm(arrived, key):
    raw = (
        arrived(LETTER).replace(b"Subject: ", b"Subject:  ").replace(b"\r\nTo: ", b"\r\nTo:\r\n  ")
    )

    Receiver(key.public_key()).check(raw)


def test_without_a_key_nothing_is_signed(chosen, mail_server):
    from_settings(chosen).send(MESSAGE)

    assert b"DKIM" not in mail_server.taken[0][2]


class TestSettingItUp:
    """What is wrong with it is said at the start, and not by the mail that is refused."""

    @pytest.mark.parametrize("left_out", ["selector", "domain", "private_key"])
    def test_half_of_it_is_refused(self, sealed, left_out):
        del sealed.carriers["email"][f"dkim_{left_out}"]

        with pytest.raises(Invalid, match="by half"):
            from_settings(sealed)

    def test_a_file_that_is_not_there_is_refused(self, sealed, pem):
        pem.unlink()

        with pytest.raises(Invalid, match=r"dkim\.pem, cannot be read"):
            from_settings(sealed)

    def test_what_is_no_key_is_refused(self, sealed, pem):
        pem.write_text("no key")

        with pytest.raises(Invalid, match="cannot be read"):
            from_settings(sealed)

    def test_a_key_of_another_kind_is_refused(self, sealed, pem):
        other = ed25519.Ed25519PrivateKey.generate()
        pem.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

        with pytest.raises(Invalid, match="no RSA key"):
            from_settings(sealed)

    @pytest.mark.parametrize("domain", ["other.example", "bill.example"])
    def test_another_domain_than_the_senders_is_refused(self, sealed, domain):
        """Why: DMARC asks for the domain that stands in From."""
        sealed.carriers["email"]["dkim_domain"] = SecretStr(domain)

        with pytest.raises(Invalid, match="dkim_domain"):
            from_settings(sealed)
