"""UnionPay's signatures and its unencoded answers, by texts put together by hand."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import given
from hypothesis import strategies as st

from core.clock import utc_now
from payments.gateways.unionpay_line import order_id, our_number, stamp_after
from payments.gateways.unionpay_signing import Keys, digest, read_answer, read_keys
from tests.payments.gateways.unionpay_keys import SIGNER, FarKeys

FIELDS = {"txnType": "01", "orderId": "CB261100", "txnAmt": "8650", "Z": "中文 a=b&c"}
TEXT = "Z=中文 a=b&c&orderId=CB261100&txnAmt=8650&txnType=01"


@pytest.fixture(scope="module")
def far() -> FarKeys:
    return FarKeys.make()


@pytest.fixture(scope="module")
def keys(far: FarKeys) -> Keys:
    return read_keys(
        far.ours.private_pem, far.ours.pem, far.root.pem, far.middle.pem, signer=SIGNER
    )


def test_what_is_signed_is_the_small_letters_of_the_sorted_texts_sha_256():
    hexed = hashlib.sha256(TEXT.encode()).hexdigest()

    assert digest(FIELDS) == digest(FIELDS | {"signature": "x"}) == hexed.encode()
    # Reckoned with `printf 'a=1&b=2' | sha256sum`.
    known = b"8e85be58c1c372ac29fe7bfa80d8ddcbd04a4032c7b51c1c026d67c55b1ab23f"
    assert digest({"b": "2", "a": "1"}) == known


def test_our_own_signature_holds_over_the_letters_and_leaves_out_what_is_empty(keys, far):
    said = keys.signed(FIELDS | {"reserved": ""})

    assert said["certId"] == str(far.ours.certificate.serial_number)
    assert said["signMethod"] == "01"
    assert "reserved" not in said
    text = f"Z=中文 a=b&c&certId={said['certId']}&orderId=CB261100&signMethod=01&"
    text += "txnAmt=8650&txnType=01"
    far.ours.key.public_key().verify(
        base64.b64decode(said["signature"]), hashlib.sha256(text.encode()).hexdigest().encode(),
        padding.PKCS1v15(), hashes.SHA256(),
    )  # fmt: skip


def test_one_changed_letter_one_field_more_or_less_is_not_what_was_signed(keys, far):
    said = far.said(FIELDS)
    now = utc_now()
    assert keys.unionpay_signed(said, now=now)

    changed = [
        said | {"txnAmt": "8651"}, said | {"more": "1"}, said | {"signMethod": "11"},
        {name: value for name, value in said.items() if name != "txnAmt"},
        {name: value for name, value in said.items() if name != "signature"},
        {name: value for name, value in said.items() if name != "signPubKeyCert"},
        said | {"signature": said["signature"] + " "}, said | {"signature": "é"},
        said | {"signPubKeyCert": "no certificate"}, said | {"signPubKeyCert": "证书"},
    ]  # fmt: skip

    assert not any(keys.unionpay_signed(one, now=now) for one in changed)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("a=1&b=2", {"a": "1", "b": "2"}),
        ("a=1&b=\r\n", {"a": "1", "b": ""}),
        ("a=x==&b=+ %20", {"a": "x==", "b": "+ %20"}),
        ("a={b=1&c={d=2&e=3}}&f=4", {"a": "{b=1&c={d=2&e=3}}", "f": "4"}),
        ("", None),
        ("a", None),
        ("=1", None),
        ("a=1&a=1", None),
        ("<html>", None),
        ('{"status": "paid"}', None),
        ("&".join(f"n{at}=1" for at in range(101)), None),
    ],
)
def test_an_answer_is_read_as_it_stands(text, fields):
    assert read_answer(text) == fields


@given(st.dictionaries(st.from_regex(r"[a-zA-Z]{1,9}", fullmatch=True),
                       st.text(st.characters(exclude_characters="&{}\r\n", codec="utf-8")),
                       min_size=1, max_size=100))  # fmt: skip
def test_what_is_written_is_read_again(fields):
    text = "&".join(f"{name}={value}" for name, value in fields.items())

    assert read_answer(text) == fields


@given(st.from_regex(r"[A-Z][0-9]{0,16}(-[0-9]{2})?", fullmatch=True))
def test_every_number_of_ours_goes_there_and_back(number):
    theirs = order_id(number)

    assert our_number(theirs) == number
    assert len(theirs) >= 8
    assert theirs.isalnum()


def test_numbers_that_unionpay_takes_stay_as_they_are():
    assert order_id("CB2611000000000001") == "CB2611000000000001"
    assert order_id("R2611000000000001-02") == "R2611000000000001x02"
    assert order_id("S7") == "xxxxxxS7"


def test_a_leap_day_is_read_in_a_year_that_has_one():
    first = utc_now().replace(year=2027, month=3, day=5)

    assert stamp_after("0229120000", first).year == 2028
    with pytest.raises(ValueError, match="MMDDhhmmss"):
        stamp_after("0229120000", first.replace(year=2025))
