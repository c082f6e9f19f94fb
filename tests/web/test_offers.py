"""A company's offer from its form to the page of who was told, over a yes of the city's staff."""

from datetime import timedelta

import pytest
from sqlmodel import select

from core.clock import billing_date, utc_now
from core.db import transaction
from identity.models import Role
from notifications import offers, outage_notices
from notifications.choice import consents
from notifications.models import Offer, Reach, ServiceKind
from notifications.outage_notices import Draft
from tests.factories import a_home, a_person, topics
from tests.web.conftest import PUBLIC_URL, signed_in

pytestmark = pytest.mark.usefixtures("city")


def form(**changes):
    ends_on = billing_date(utc_now()) + timedelta(days=10)
    return {
        "words_zh": "水质检测，<b>本月</b>免费。", "words_en": "Free water tests.",
        "ends_on": str(ends_on), "reach": "all",
    } | changes  # fmt: skip


@pytest.fixture
def company(app):
    return signed_in(app, a_person(Role.OPERATOR))


@pytest.fixture
def clerk(app):
    return signed_in(app, a_person(Role.STAFF))


@pytest.fixture
def reader():
    person_id = a_home(now=utc_now()).owner_id
    with transaction() as session:
        consents.agree(session, person_id, proof="yes", now=utc_now())
    return person_id


def write(company, **changes):
    answer = company.send_form("/company/offers", form(**changes))
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def tell():
    with transaction() as session:
        offer_id = session.exec(select(Offer.id)).one()
    with transaction() as session:
        offers.tell_some(session, offer_id, public_url=PUBLIC_URL, now=utc_now())


def test_from_the_form_to_who_agreed(app, company, clerk, reader):
    a_home(now=utc_now())
    path = write(company)
    seen = company.get(path).text
    assert "可通知 1 人" in seen
    assert "&lt;b&gt;本月&lt;/b&gt;" in seen
    assert company.send_form(f"{path}/proposal").status_code == 303

    waiting = clerk.get("/console/approvals").text
    assert f'href="{path.replace("company", "console")}"' in waiting
    number = path.rpartition("/")[2]
    assert "等待审核" in clerk.get(f"/console/offers/{number}").text
    done = clerk.send_form(f"/console/approvals/offer/{number}/approval")
    assert done.headers["location"] == "/console/approvals?done=approval"
    tell()

    own = signed_in(app, reader).get(f"/offers/{number}")
    assert own.status_code == 200
    assert "本月" in own.text
    assert signed_in(app, a_person()).get(f"/offers/{number}").status_code == 404
    assert topics(like="offer.%") == ["offer.approved"]


def test_a_no_is_told_to_the_company(company, clerk):
    path = write(company)
    company.send_form(f"{path}/proposal")
    number = path.rpartition("/")[2]

    empty = clerk.send_form(f"/console/approvals/offer/{number}/decline", {"words": ""})
    assert "请说明不通过的原因" in empty.text
    clerk.send_form(f"/console/approvals/offer/{number}/decline", {"words": "这不是优惠"})

    assert "审核未通过：这不是优惠" in company.get(path).text
    assert "水质检测" in clerk.get("/console/offers").text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"words_en": " "}, "请用中文和英文写优惠内容"),
        ({"ends_on": "soon"}, "请填写有效期"),
        ({"ends_on": "2020-01-01"}, "请填写有效期"),
        ({"reach": "address"}, "请写地址的开头"),
        ({"reach": "accounts"}, "请填写户号"),
        ({"reach": "party"}, "没有这个选项"),
    ],
)
def test_what_is_not_whole_is_told_and_what_was_typed_stays(company, changes, words):
    answer = company.send_form("/company/offers", form(**changes))

    assert answer.status_code == 422
    assert words in answer.text
    assert "水质检测" in answer.text


def test_withdrawn_it_cannot_be_proposed(company):
    path = write(company)
    company.send_form(f"{path}/withdrawal")

    answer = company.send_form(f"{path}/proposal")

    assert answer.status_code == 409
    assert "这条优惠已撤回" in answer.text


def test_the_pages_can_be_opened_empty(company, clerk):
    assert "还没有优惠信息" in company.get("/company/offers").text
    assert company.get("/company/offers/new").status_code == 200
    assert "还没有优惠信息" in clerk.get("/console/offers").text


def test_another_companys_offer_is_not_there(app, company):
    path = write(company)
    gas = signed_in(app, a_person(Role.OPERATOR))
    with transaction() as session:
        session.exec(select(Offer)).one().provider_code = "gas"

    assert gas.get(path).status_code == 404


def test_an_outage_leads_to_a_page_that_shows_it(app):
    now = utc_now()
    home, operator = a_home(now=now), a_person(Role.OPERATOR)
    draft = Draft(
        ServiceKind.OUTAGE, "主管抢修。", "A main burst.", now, now + timedelta(hours=5), Reach.ALL
    )
    with transaction() as session:
        message_id = outage_notices.write(session, "water", draft, made_by=operator, now=now).id
        outage_notices.send(session, message_id, "water", now=now)
        outage_notices.tell_some(session, message_id, public_url=PUBLIC_URL, now=now)
    browser, path = signed_in(app, home.owner_id), f"/service-messages/{message_id}"

    assert f'href="{path}"' in browser.get("/notices").text
    assert "主管抢修。" in browser.get(path).text
    with transaction() as session:
        outage_notices.end(session, message_id, "water", now=now)
    assert "已经结束，服务恢复正常。" in browser.get(path).text
    assert signed_in(app, a_person()).get(path).status_code == 404
    assert browser.get("/service-messages/99").status_code == 404
