"""The keys companies push their files with."""

import pytest

from core.crypto import fingerprint
from core.errors import NotAllowed, NotSignedIn
from identity.keys import check_key, company_of, issue_key
from identity.models import ApiKey


@pytest.fixture
def key(session, now):
    made = issue_key(session, "water", now=now)
    session.flush()
    return made


def test_a_key_opens_its_own_company(session, key):
    check_key(session, key, provider_code="water")

    assert company_of(session, key) == "water"


def test_a_key_opens_no_other_company(session, key):
    with pytest.raises(NotAllowed) as refused:
        check_key(session, key, provider_code="power")

    assert refused.value.code == "api_key.other_company"


@pytest.mark.parametrize("strange", ["", "cbk_", "cbk_" + "x" * 43, "密钥"])
def test_an_unknown_key_opens_nothing(session, key, strange):
    with pytest.raises(NotSignedIn):
        check_key(session, strange, provider_code="water")


@pytest.mark.parametrize("change", [str.upper, lambda key: key[:-1], lambda key: key + " "])
def test_nearly_the_key_is_not_the_key(session, key, change):
    with pytest.raises(NotSignedIn):
        company_of(session, change(key))


def test_a_revoked_key_opens_nothing_and_the_companys_other_key_still_does(session, key, now):
    other = issue_key(session, "water", now=now)
    session.flush()
    session.get_one(ApiKey, fingerprint(key)).revoked_at = now

    with pytest.raises(NotSignedIn):
        company_of(session, key)
    assert company_of(session, other) == "water"


def test_a_key_is_shown_once_and_stored_nowhere(session, key):
    row = session.get_one(ApiKey, fingerprint(key))

    assert key not in str(row.model_dump())
    assert key[8:] not in str(row.model_dump())
