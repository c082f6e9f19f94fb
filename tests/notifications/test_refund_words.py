"""Why money went back is told in the reader's language, and never as a code."""

import re

import pytest

from notifications.refund_words import why_back
from payments.applying import STRAY_REASON
from payments.returns.models import Refund, RefundReason
from payments.write_offs import NEVER_SEEN, REFUSED_REASON
from providers.clients.declarations import load_declaration
from providers.clients.declared import APIS

_DECLARED = [load_declaration(path) for path in sorted(APIS.glob("*.toml"))]
_REFUSALS = {
    answer.because
    for api in _DECLARED
    for call in (api.write_off, api.query)
    for answer in call.results
    if answer.because and answer.means in {"refused", "paid_elsewhere"}
}
OURS = sorted({STRAY_REASON, REFUSED_REASON, str(NEVER_SEEN.reason), *_REFUSALS})


@pytest.mark.parametrize("reason", OURS)
def test_our_own_words_are_said_in_the_readers_language(reason):
    refund = Refund(reason=reason)

    assert why_back(refund, "en") == reason
    assert not re.search("[a-z]", why_back(refund, "zh_CN"))


def test_a_companys_own_words_are_told_as_they_came():
    for locale in ("zh_CN", "en"):
        assert why_back(Refund(reason="说明见公告"), locale) == "说明见公告"


@pytest.mark.parametrize("code", RefundReason)
def test_what_staff_decided_is_told_without_what_they_wrote(code):
    refund = Refund(reason="来电投诉", reason_code=code)

    assert why_back(refund, "en").isascii()
    assert not re.search("[a-z]|来电", why_back(refund, "zh_CN"))
