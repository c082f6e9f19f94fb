"""How carriers of text messages are configured: whole, or not at all."""

import pytest
from pydantic import SecretStr

from core.errors import Invalid
from core.settings import Environment, Settings
from notifications.channels import aliyun, sms_http, tencent
from notifications.channels.texting import configured

WHOLE = {"access_key_id": "LTAI5t", "access_key_secret": "x", "sign_name": "城市账单"}


def settings(carrier, said):
    return Settings(carriers={carrier: {name: SecretStr(text) for name, text in said.items()}})


@pytest.mark.parametrize("carrier", [aliyun, sms_http, tencent])
def test_without_settings_there_is_no_carrier(carrier):
    assert carrier.from_settings(Settings()) is None


@pytest.mark.parametrize(
    ("carrier", "said", "complaint"),
    [
        (aliyun, {}, "aliyun: set access_key_id, access_key_secret, sign_name too"),
        (aliyun, WHOLE | {"sign_name": ""}, "aliyun: set sign_name too"),
        (aliyun, WHOLE | {"acces_key": "x"}, "aliyun: there is no acces_key; there are access_key"),
        (aliyun, WHOLE | {"receipt_token": "short"}, "receipt_token needs 20 characters"),
        (tencent, {"secret_id": "x", "secret_key": "y"}, "tencent: set sdk_app_id, sign_name too"),
        (sms_http, {"url": "https://x"}, "sms_http: set declaration too"),
    ],
)
def test_half_of_it_stops_the_start(carrier, said, complaint):
    with pytest.raises(Invalid, match=complaint) as refused:
        carrier.from_settings(settings(carrier.__name__.rpartition(".")[2], said))

    assert "LTAI5t" not in str(refused.value)
    assert "short" not in str(refused.value)


def test_production_does_not_speak_in_the_open():
    said = settings("aliyun", WHOLE | {"url": "http://aliyun.example"})

    with pytest.raises(Invalid, match="aliyun: url must be an https address"):
        aliyun.from_settings(said.model_copy(update={"environment": Environment.PRODUCTION}))


def test_a_blank_is_not_said():
    said = settings("aliyun", WHOLE | {"url": "", "receipt_token": ""})

    assert configured(said, "aliyun", tuple(WHOLE), "url", "receipt_token") == WHOLE
