"""Alipay's signatures: what is signed, letter by letter, with plain keys and with certificates."""

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from core.settings import Environment, Settings
from payments.gateways.alipay import Alipay, Merchant, from_settings
from payments.gateways.alipay_signing import certified_keys, plain_keys
from payments.gateways.base import Scene
from tests.payments.gateways.alipay_keys import KeyPair
from tests.payments.gateways.contract import an_order

US = Merchant(app_id="2021000000000001", seller_id="2088000000000001")
OURS, THEIRS = KeyPair.make(), KeyPair.make()
KEYS = plain_keys(OURS.private_pem, THEIRS.public_pem)
NOON = datetime(2026, 11, 20, 16, 0, 3, tzinfo=UTC)  # the next day already, in Beijing


def a_certificate(key: KeyPair, name: str, serial: int, issuer_key: object = None) -> bytes:
    issuer = x509.Name([
        x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Ant, Financial"),
        x509.NameAttribute(NameOID.COMMON_NAME, name),
    ])  # fmt: skip
    made = (
        x509.CertificateBuilder()
        .subject_name(issuer)
        .issuer_name(issuer)
        .public_key(key.key.public_key())
        .serial_number(serial)
        .not_valid_before(NOON)
        .not_valid_after(NOON + timedelta(days=365))
        .sign(issuer_key or key.key, hashes.SHA256())  # type: ignore[arg-type]
    )
    return made.public_bytes(serialization.Encoding.PEM)


def serial_of(name: str, serial: int) -> str:
    named = f"CN={name},O=Ant\\, Financial,C=CN{serial}"
    return hashlib.md5(named.encode(), usedforsecurity=False).hexdigest()


class TestARequest:
    def params(self, **more: object) -> dict[str, str]:
        order = an_order(
            scene=Scene.DESKTOP, order_no="CB1", notify_url="https://shop.example/a?b=c&d",
            expires_at=NOON + timedelta(minutes=30), return_url="", **more,
        )  # fmt: skip
        opened = Alipay("https://a.example/gateway.do", US, KEYS, clock=lambda: NOON).open_order(
            order
        )
        return dict(parse_qsl(urlsplit(opened.pay_url).query))

    def test_is_signed_raw_sorted_with_sign_type_and_without_what_is_empty(self):
        params = self.params()
        raw = base64.b64decode(params.pop("sign"))
        text = (
            "app_id=2021000000000001&biz_content="
            '{"out_trade_no":"CB1","total_amount":"86.50",'
            '"subject":"水电燃气通信账单 Utility bills","product_code":"FAST_INSTANT_TRADE_PAY",'
            '"seller_id":"2088000000000001","time_expire":"2026-11-21 00:30:03"}'
            "&charset=utf-8&format=JSON&method=alipay.trade.page.pay"
            "&notify_url=https://shop.example/a?b=c&d&sign_type=RSA2"
            "&timestamp=2026-11-21 00:00:03&version=1.0"
        )

        OURS.key.public_key().verify(raw, text.encode(), padding.PKCS1v15(), hashes.SHA256())
        assert "return_url" not in params

    def test_is_the_same_for_the_same_moment(self):
        assert self.params() == self.params()


class TestAnAnswer:
    def signed(self, inner: str) -> str:
        return f'"x_response":{inner},"sign":"{THEIRS.sign(inner)}"'

    @pytest.mark.parametrize(
        "inner", ['{"code":"10000"}', '{ "code":\n"10000" }', '{"code":"10000","a":"\\u4e2d\\/"}']
    )
    def test_is_verified_over_its_own_letters(self, inner):
        found = KEYS.answered(f"{{{self.signed(inner)}}}", "x_response")

        assert found is not None
        assert found["code"] == "10000"

    def test_the_order_of_its_members_does_not_matter(self):
        inner = '{"code":"10000"}'
        text = f'{{ "sign" : "{THEIRS.sign(inner)}" ,\n"x_response" : {inner} }}\n'

        assert KEYS.answered(text, "x_response") == {"code": "10000"}

    def test_a_member_within_a_member_is_not_the_answer(self):
        inner = '{"x_response":{"code":"10000"},"code":"40004"}'

        assert KEYS.answered(f"{{{self.signed(inner)}}}", "x_response")["code"] == "40004"

    def test_figures_are_text_as_they_were_written(self):
        inner = '{"code":10000,"total_amount":86.50}'

        assert KEYS.answered(f"{{{self.signed(inner)}}}", "x_response") == {
            "code": "10000", "total_amount": "86.50",
        }  # fmt: skip

    @pytest.mark.parametrize(
        "text",
        [
            "", "{}", "[]", "null", '{"x_response":{}}', '{"x_response":{},"sign":1}',
            '{"x_response":{},"sign":"?"}', '{"x_response":{},"sign":"AAAA"}',
            '{"sign":"AAAA"}', "{" * 100_000, '{"x_response":' + "[" * 100_000,
            '{"x_response":{},"x_response":{},"sign":""}', '{"a":1,}', '{"a" 1}',
        ],
    )  # fmt: skip
    def test_what_is_no_signed_answer_is_none(self, text):
        assert KEYS.answered(text, "x_response") is None

    def test_an_answer_to_something_else_is_none(self):
        assert KEYS.answered(f"{{{self.signed('{}')}}}", "y_response") is None

    @given(st.data())
    def test_no_letter_of_it_can_be_changed(self, data):
        inner = '{"code":"10000","trade_status":"TRADE_SUCCESS","total_amount":"86.50"}'
        text = f"{{{self.signed(inner)}}}"
        start = text.index(inner)
        at = data.draw(st.integers(start, start + len(inner) - 1))
        letter = data.draw(st.characters(codec="utf-8").filter(lambda one: one != text[at]))

        assert KEYS.answered(text[:at] + letter + text[at + 1 :], "x_response") is None


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    sm2_like = ec.generate_private_key(ec.SECP256R1())
    roots = (
        a_certificate(THEIRS, "Root 1", 11)
        + a_certificate(THEIRS, "Root EC", 12, issuer_key=sm2_like)
        + a_certificate(THEIRS, "Root 2", 13)
    )
    return {
        "private_key": OURS.private_pem,
        "app_cert": a_certificate(OURS, "Apps", 2**70),
        "root_cert": roots,
        "cert": a_certificate(THEIRS, "Alipay", 7),
    }


class TestCertificates:
    def test_serials_are_of_issuer_and_number_and_roots_only_of_rsa(self, files):
        keys = certified_keys(*files.values())

        assert keys.app_cert_sn == serial_of("Apps", 2**70)
        assert keys.root_cert_sn == f"{serial_of('Root 1', 11)}_{serial_of('Root 2', 13)}"

    def test_an_answer_must_name_the_certificate_we_hold(self, files):
        keys = certified_keys(*files.values())
        inner, serial = '{"code":"10000"}', serial_of("Alipay", 7)
        sign = f'"x_response":{inner},"sign":"{THEIRS.sign(inner)}"'

        assert keys.answered(f'{{{sign},"alipay_cert_sn":"{serial}"}}', "x_response")
        assert keys.answered(f'{{{sign},"alipay_cert_sn":"other"}}', "x_response") is None
        assert keys.answered(f"{{{sign}}}", "x_response") is None

    def test_while_alipay_changes_its_certificate_both_are_believed(self, files):
        new = KeyPair.make()
        both = files["cert"] + a_certificate(new, "Alipay", 8)
        keys = certified_keys(*(files | {"cert": both}).values())
        inner = '{"code":"10000"}'

        for key, number in ((THEIRS, 7), (new, 8)):
            sign, serial = key.sign(inner), serial_of("Alipay", number)
            text = f'{{"x_response":{inner},"sign":"{sign}","alipay_cert_sn":"{serial}"}}'
            told = {"a": "1", "sign_type": "RSA2", "sign": key.sign("a=1")}
            assert keys.answered(text, "x_response") == {"code": "10000"}
            assert keys.notified(told)
            assert not keys.notified(told | {"a": "2"})
        swapped = f'"sign":"{new.sign(inner)}","alipay_cert_sn":"{serial_of("Alipay", 7)}"'
        assert keys.answered(f'{{"x_response":{inner},{swapped}}}', "x_response") is None

    def test_a_request_carries_both_serials(self, files):
        keys = certified_keys(*files.values())
        opened = Alipay("https://a.example", US, keys).open_order(an_order(scene=Scene.PHONE))
        params = dict(parse_qsl(urlsplit(opened.pay_url).query))

        assert params["app_cert_sn"] == keys.app_cert_sn
        assert params["alipay_root_cert_sn"] == keys.root_cert_sn
        assert json.loads(params["biz_content"])["product_code"] == "QUICK_WAP_WAY"

    def test_a_certificate_of_another_key_is_refused(self, files):
        with pytest.raises(Invalid, match="not of our private key"):
            certified_keys(*(files | {"app_cert": files["cert"]}).values())

    def test_the_settings_lead_to_them(self, files, tmp_path):
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        paths = {f"alipay_{name}": str(tmp_path / name) for name in files}
        chosen = {"alipay_app_id": US.app_id, "alipay_seller_id": US.seller_id, **paths}

        assert from_settings(Settings(_env_file=None, **chosen)) is not None
        del chosen["alipay_root_cert"]
        with pytest.raises(Invalid, match="set CITYBILL_ALIPAY_ROOT_CERT"):
            from_settings(Settings(_env_file=None, **chosen))


class TestKeysThatAreNone:
    @pytest.mark.parametrize("pem", [b"", b"x", THEIRS.public_pem])
    def test_a_private_key(self, pem):
        with pytest.raises(Invalid, match="private key"):
            plain_keys(pem, THEIRS.public_pem)

    def test_one_that_is_too_short(self):
        short = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505

        with pytest.raises(Invalid, match="2048 bits"):
            plain_keys(KeyPair(short).private_pem, THEIRS.public_pem)

    @pytest.mark.parametrize("pem", [b"", b"x", OURS.private_pem])
    def test_a_public_key(self, pem):
        with pytest.raises(Invalid, match="public key"):
            plain_keys(OURS.private_pem, pem)

    def test_production_wants_it_encrypted_on_the_way(self, tmp_path: Path):
        (tmp_path / "private").write_bytes(OURS.private_pem)
        (tmp_path / "public").write_bytes(THEIRS.public_pem)
        chosen = Settings(
            _env_file=None, environment=Environment.TEST, alipay_url="http://a.example",
            alipay_app_id="1", alipay_seller_id="2", alipay_private_key=str(tmp_path / "private"),
            alipay_public_key=str(tmp_path / "public"),
        )  # fmt: skip

        assert from_settings(chosen) is not None
        chosen.environment = Environment.PRODUCTION
        with pytest.raises(Invalid, match="https"):
            from_settings(chosen)
