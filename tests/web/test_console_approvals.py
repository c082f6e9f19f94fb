"""The inbox of what waits for a second person, decided where it stands."""

import pytest
from lxml import html

from core.settings import settings
from identity.duties import Duty
from identity.models import Role
from payments.desk.approvals import ROOMS, Kind
from tests.factories import a_person
from tests.payments.desk.test_approvals import MAKERS, a_refund, an_act
from tests.web.conftest import Browser, signed_in
from tests.web.test_console_terms import main_of, told

pytestmark = pytest.mark.usefixtures("city")
AT = "/console/approvals"
ENGLISH = {"Accept-Language": "en"}


@pytest.fixture(autouse=True)
def threshold(monkeypatch, app):
    monkeypatch.setattr(settings(), "refund_approval_above_fen", 5_000)


@pytest.fixture
def colleagues(app) -> tuple[Browser, Browser, int]:
    one, other = a_person(Role.STAFF, name="陈晓"), a_person(Role.STAFF, name="林岚")
    return signed_in(app, one), signed_in(app, other), one


def actions(browser: Browser) -> list[str]:
    page = html.fromstring(browser.get(AT).text)
    return [str(one) for one in page.xpath("//main//form/@action") if str(one).startswith(AT)]


def test_an_empty_inbox_is_good_news(colleagues):
    assert "Nothing waits for you" in main_of(colleagues[0], AT)


def test_a_refund_is_approved_where_it_stands(colleagues):
    one, other, who = colleagues
    number = a_refund(who)

    assert "Yours: a colleague decides." in main_of(one, AT)
    assert actions(one) == [f"{AT}/refund/{number}/decline"]
    seen = main_of(other, AT)
    for said in (number, "¥86.50", "Paid twice · 来电要求", "陈晓", "1 for you"):
        assert said in seen, said
    done = other.send_form(f"{AT}/refund/{number}/approval")

    assert done.headers["location"] == f"{AT}?done=approval"
    seen = main_of(other, f"{AT}?done=approval")
    assert "Approved." in seen
    assert "Nothing waits for you" in seen


def test_the_menu_counts_what_is_for_whom(app, colleagues):
    one, other, who = colleagues
    a_refund(who)
    nobody = signed_in(app, a_person(Role.STAFF, duties=()))

    def counted(browser: Browser) -> str:
        found = html.fromstring(browser.get("/console").text).xpath(
            "//a[@href='/console/approvals']/span/text()"
        )
        return str(found[0]) if found else ""

    assert [counted(one), counted(other), counted(nobody)] == ["", "1", ""]


def test_its_proposer_is_refused_and_may_withdraw(colleagues):
    one, _, who = colleagues
    number = a_refund(who)

    refused = one.send_form(f"{AT}/refund/{number}/approval", headers=ENGLISH)

    assert refused.status_code == 403
    assert "ask a colleague" in told(refused.text)
    assert one.send_form(f"{AT}/refund/{number}/decline").status_code == 303
    assert "Nothing waits" in main_of(one, AT)


def test_a_no_needs_its_reason_and_a_transfer_its_reference(colleagues):
    _, other, who = colleagues
    refund, transfer = a_refund(who), MAKERS[Kind.TRANSFER](who)

    for at, code in ((f"refund/{refund}/decline", 422), (f"transfer/{transfer}/approval", 422)):
        assert other.send_form(f"{AT}/{at}", headers=ENGLISH).status_code == code, at
    said = other.send_form(f"{AT}/transfer/{transfer}/approval", {"words": "BK-2026"})

    assert said.status_code == 303
    assert transfer not in main_of(other, AT)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_is_told_in_words_and_links_to_its_matter(app, colleagues, kind):
    MAKERS[kind](colleagues[2])
    browser = colleagues[1]

    [row] = [
        one for one in html.fromstring(browser.get(AT).text).xpath("//li[@data-row]")
        if one.get("id").startswith(f"{kind}-")
    ]  # fmt: skip

    assert "陈晓" in row.text_content()
    [matter] = row.xpath(".//div[@class='row__name']/a/@href")
    if kind is not Kind.REMITTANCE or (browser.get(matter).status_code != 404):
        assert browser.get(matter).status_code == 200


@pytest.mark.parametrize("kind", Kind)
def test_who_has_not_the_duty_neither_sees_nor_decides(app, colleagues, kind):
    key, duty = MAKERS[kind](colleagues[2]), ROOMS[kind].duty
    others = signed_in(app, a_person(Role.STAFF, duties=[one for one in Duty if one is not duty]))

    assert not any(f"/{kind}/" in one for one in actions(others))
    answer = others.send_form(f"{AT}/{kind}/{key}/approval", {"words": "BANK-1"})
    assert answer.status_code == 403


@pytest.mark.parametrize("path", ["nothing/1/approval", "refund/R1/maybe", "refund/R1/approval"])
def test_what_is_not_there_is_not_found(colleagues, path):
    assert colleagues[0].send_form(f"{AT}/{path}").status_code == 404


def test_a_form_of_another_page_is_refused(colleagues):
    _, other, who = colleagues
    act = an_act(who)

    answer = other.post(f"{AT}/break_act/{act}/approval", data={"csrf": "x"})

    assert answer.status_code == 403
    assert len(actions(other)) == 2
