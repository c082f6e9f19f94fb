"""Signatures, tokens, codes."""

import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from core.crypto import fingerprint, new_code, new_token, sign, verify


def test_a_signature_is_the_one_of_the_standard():  # RFC 4231, test case 2
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"

    assert sign("Jefe", b"what do ya want for nothing?") == expected


@given(st.text(min_size=1), st.binary())
def test_what_was_signed_is_verified(secret, message):
    assert verify(secret, message, sign(secret, message))


@given(st.binary(min_size=1), st.integers(0))
def test_one_bit_more_or_less_is_not(message, at):
    other = bytearray(message)
    other[at % len(other)] ^= 1 << at % 8

    assert not verify("secret", bytes(other), sign("secret", message))


@given(st.text())
def test_any_other_signature_is_refused_without_a_crash(signature):
    assert not verify("secret", b"message", signature)


def test_another_secret_is_refused():
    assert not verify("other", b"message", sign("secret", b"message"))


def test_tokens_are_long_url_safe_and_never_the_same():
    tokens = {new_token() for _ in range(1_000)}

    assert len(tokens) == 1_000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)


def test_codes_have_six_digits_also_the_small_ones(monkeypatch):
    assert all(re.fullmatch(r"[0-9]{6}", new_code()) for _ in range(1_000))
    monkeypatch.setattr("secrets.randbelow", lambda _: 7)
    assert new_code() == "000007"


def test_what_is_stored_of_a_token_is_its_digest():
    assert fingerprint("a") == hashlib.sha256(b"a").hexdigest()
