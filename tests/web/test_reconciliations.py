"""Staff reconcile a company's day by API."""

import pytest

from identity.models import Role
from tests.factories import a_person
from tests.payments.reconciliation.company_days import row_of, written_off
from tests.providers.confirmation_writers import water
from tests.web.conftest import Browser, signed_in, with_key

pytestmark = pytest.mark.usefixtures("city")
PATH = "/api/v1/reconciliations/water/2026-11-20"


@pytest.fixture
def staff(app) -> Browser:
    return signed_in(app, a_person(Role.STAFF))


def test_a_companys_list_is_sent_and_what_it_says_is_read(staff):
    item = written_off()
    assert staff.get(PATH).status_code == 404

    sent = staff.post(f"{PATH}/files", content=water([row_of(item, fen=8_649)]))

    assert sent.status_code == 201, sent.text
    told = sent.json()
    assert (told["amount_differs"], told["balanced"], told["rejected"]) == (1, False, 0)
    (found,) = staff.get(f"{PATH}/breaks").json()
    assert (found["kind"], found["reference"]) == ("amount_differs", item.write_off_no)
    assert (found["ours_fen"], found["theirs_fen"]) == (8_650, 8_649)
    assert found["their_ref"]
    assert found["remedy"]
    mended = staff.post(f"{PATH}/files", content=water([row_of(item)]))
    assert mended.json()["balanced"]
    assert (staff.get(PATH).json(), staff.get(f"{PATH}/breaks").json()) == (mended.json(), [])


def test_a_wrong_list_is_refused_and_nothing_is_kept(staff):
    answer = staff.post(f"{PATH}/files", content=water([row_of(written_off())], count=1))

    assert answer.status_code == 422
    assert answer.json()["code"] == "confirmation_file.refused"
    assert staff.get(PATH).status_code == 404


def test_whoever_is_neither_gateway_nor_company_is_unknown(staff):
    for path in ("/files", "/breaks", ""):
        path = f"/api/v1/reconciliations/nobody/2026-11-20{path}"
        answer = staff.post(path, content=b"x") if path.endswith("s/files") else staff.get(path)
        assert answer.status_code in {404, 405}


def test_a_company_cannot_send_its_own(app):
    answer = with_key(app, "water").post(f"{PATH}/files", content=water([]))

    assert answer.status_code == 401
