"""A number of a bill file that never came is told to its company and to staff, until it comes."""

import pytest

from identity.models import Role
from tests.billing.files.numbered import bring
from tests.factories import a_person
from tests.web.conftest import Browser, signed_in
from tests.web.forms import text_of

pytestmark = pytest.mark.usefixtures("city")


def told(browser: Browser, path: str, language: str = "en") -> str:
    answer = browser.get(path, headers={"Accept-Language": language})
    assert answer.status_code == 200, answer.text
    return text_of(answer.text)


def test_the_company_is_told_which_numbers_and_only_of_its_own(app):
    water = signed_in(app, a_person(Role.OPERATOR))
    bring(3, 5, 9)
    bring(1, 3, company="gas")

    assert "though later ones have: 4, 6–8." in told(water, "/company")
    assert "已收录：4、6–8。" in told(water, "/company", "zh-CN")

    bring(4, 6, 7, 8)
    assert "later ones have" not in told(water, "/company")


def test_staff_are_told_on_their_first_page_and_on_that_of_files(app):
    staff = signed_in(app, a_person(Role.STAFF))
    assert "numbers of bill files" not in told(staff, "/console")

    bring(3, 5, 9)
    bring(1, 3, company="gas")

    of_both = "City Gas: 2; City Water: 4, 6–8"
    assert f"5 numbers of bill files are missing: {of_both}" in told(staff, "/console")
    assert of_both in told(staff, "/console/bill-files")
    assert "有 5 个编号的账单文件未到" in told(staff, "/console", "zh-CN")
