"""Offers of companies: approved by a second person, told to who agreed, and not too many."""

from datetime import date, timedelta

import pytest
from sqlmodel import select

from billing.homes.models import HouseholdAccount
from billing.models import HouseholdMember, MemberRole
from core.clock import billing_date
from core.db import transaction
from core.errors import Conflict, Invalid, NotAllowed, NotFound
from identity.models import Role
from notifications import offers
from notifications.choice import consents
from notifications.choice.models import ConsentSource
from notifications.models import Notice, Offer, Reach
from notifications.offers import Draft
from notifications.still_so import over
from tests.conftest import NOW
from tests.factories import a_home, a_person, topics
from tests.notifications.events import URL
from tests.threads import at_once

DAY = timedelta(days=1)
TODAY = billing_date(NOW)

pytestmark = pytest.mark.usefixtures("city")


def a_draft(**changes):
    draft = Draft("水质检测，本月免费。", "Free water tests.", TODAY + 10 * DAY, Reach.ALL)
    return draft._replace(**changes)


def written(**changes):
    with transaction() as session:
        made_by = a_person(Role.OPERATOR)
        return offers.write(session, "water", a_draft(**changes), made_by=made_by, now=NOW).id


def propose(offer_id, *, now=NOW):
    with transaction() as session:
        offers.propose(session, offer_id, "water", now=now)


def approve(offer_id, *, by=None, now=NOW):
    with transaction() as session:
        offers.approve(session, offer_id, by=by or a_person(Role.STAFF), now=now)


def tell(offer_id, *, now=NOW):
    told = 1
    while told:
        with transaction() as session:
            told = offers.tell_some(session, offer_id, public_url=URL, now=now)


def made(*, now=NOW, **changes):
    """An offer that was approved and told."""
    offer_id = written(ends_on=billing_date(now) + 10 * DAY, **changes) if now == NOW else written(
        ends_on=TODAY + 80 * DAY, **changes
    )  # fmt: skip
    propose(offer_id, now=now)
    approve(offer_id, now=now)
    tell(offer_id, now=now)
    return offer_id


def agree(person_id):
    with transaction() as session:
        consents.agree(session, person_id, proof="yes", now=NOW)


def told(channel="inbox"):
    with transaction() as session:
        found = select(Notice).where(Notice.event == "offer.made", Notice.channel == channel)
        return session.exec(found.order_by(Notice.id)).all()


@pytest.fixture
def reader():
    """A customer of water's who agreed to offers."""
    person_id = a_home(now=NOW).owner_id
    agree(person_id)
    return person_id


class TestApproval:
    def test_nobody_is_told_before_a_second_person_said_yes(self, reader):
        offer_id = written()
        tell(offer_id)
        propose(offer_id)
        tell(offer_id)
        assert told() == []

        approve(offer_id)
        assert topics(like="offer.%") == ["offer.approved"]
        tell(offer_id)

        [notice] = told()
        assert (notice.person_id, notice.kind) == (reader, "commercial")
        assert notice.link == f"{URL}/offers/{offer_id}"

    def test_who_wrote_it_cannot_approve_it(self):
        offer_id = written()
        propose(offer_id)
        with transaction() as session:
            writer = session.get_one(Offer, offer_id).made_by

        with pytest.raises(NotAllowed):
            approve(offer_id, by=writer)

    def test_it_is_decided_once(self):
        offer_id = written()
        propose(offer_id)

        def decide(_):
            try:
                approve(offer_id)
            except Conflict:
                return False
            return True

        assert sum(at_once(4, decide)) == 1
        with pytest.raises(Conflict), transaction() as session:
            offers.decline(session, offer_id, "no", by=a_person(Role.STAFF), now=NOW)

    def test_a_no_needs_a_reason_and_is_the_end(self, reader):
        offer_id = written()
        propose(offer_id)
        by = a_person(Role.STAFF)
        with pytest.raises(Invalid), transaction() as session:
            offers.decline(session, offer_id, "  ", by=by, now=NOW)

        with transaction() as session:
            offers.decline(session, offer_id, "这不是优惠", by=by, now=NOW)
        tell(offer_id)

        assert told() == []

    @pytest.mark.parametrize("state", ["written", "declined", "withdrawn"])
    def test_what_does_not_wait_cannot_be_approved(self, state):
        offer_id = written()
        with transaction() as session:
            if state == "withdrawn":
                offers.propose(session, offer_id, "water", now=NOW)
                offers.withdraw(session, offer_id, "water", now=NOW)
            if state == "declined":
                offers.propose(session, offer_id, "water", now=NOW)
                offers.decline(session, offer_id, "no", by=a_person(Role.STAFF), now=NOW)

        with pytest.raises(Conflict):
            approve(offer_id)

    def test_an_offer_that_is_over_is_not_approved(self):
        offer_id = written()
        propose(offer_id)

        with pytest.raises(Conflict):
            approve(offer_id, now=NOW + 11 * DAY)

    def test_another_companys_is_not_there(self):
        offer_id = written()
        with pytest.raises(NotFound), transaction() as session:
            offers.propose(session, offer_id, "gas", now=NOW)


class TestWhom:
    def test_only_who_agreed_is_told(self, reader):
        a_home(now=NOW)
        no_more = a_home(now=NOW).owner_id
        agree(no_more)
        with transaction() as session:
            consents.refuse(session, no_more, source=ConsentSource.PAGE, proof="no", now=NOW)

        made()

        assert [one.person_id for one in told()] == [reader]

    def test_its_reach_is_known_before(self, reader):
        a_home(now=NOW)
        offer_id = written()

        with transaction() as session:
            offer = session.get_one(Offer, offer_id)
            assert offers.readers(session, offer, now=NOW) == (2, 1, 0)

    def test_who_moved_away_or_whose_lease_is_over_is_no_customer(self, reader):
        moved, tenant_id = a_home(now=NOW), a_person()
        agree(moved.owner_id)
        agree(tenant_id)
        lease = a_home(now=NOW)
        with transaction() as session:
            row = session.get_one(HouseholdAccount, (moved.household_id, moved.refs[0][0]))
            row.left_on = date(2026, 1, 31)
            session.add(
                HouseholdMember(
                    household_id=lease.household_id, person_id=tenant_id, role=MemberRole.PAY,
                    until_on=date(2026, 1, 31),
                )
            )  # fmt: skip

        made()

        assert [one.person_id for one in told()] == [reader]

    def test_told_again_nobody_hears_of_it_twice(self, reader):
        offer_id = made()
        with transaction() as session:
            session.get_one(Offer, offer_id).told_after = 0
        tell(offer_id)

        assert len(told()) == 1

    def test_nobody_gets_more_than_two_in_thirty_days(self, reader):
        ids = [made() for _ in range(3)]

        assert [one.subject_ref for one in told()] == [str(one) for one in ids[:2]]
        with transaction() as session:
            offer = session.get_one(Offer, ids[2])
            assert offers.readers(session, offer, now=NOW) == (1, 1, 1)

        later = made(now=NOW + 31 * DAY)
        assert told()[-1].subject_ref == str(later)

    def test_of_many_told_at_once_still_two(self, reader):
        ids = [written() for _ in range(5)]
        for offer_id in ids:
            propose(offer_id)
            approve(offer_id)

        at_once(5, lambda number: tell(ids[number]))

        assert len(told()) == 2

    def test_withdrawn_what_waits_is_dropped(self, reader):
        offer_id = made()
        with transaction() as session:
            offers.withdraw(session, offer_id, "water", now=NOW)

        with transaction() as session:
            assert set(over(session, told("email")).values()) == {"withdrawn"}


@pytest.mark.parametrize(
    "changes",
    [
        {"words_zh": " "}, {"words_en": "x" * 101}, {"ends_on": TODAY - DAY},
        {"ends_on": TODAY + 91 * DAY}, {"reach": Reach.ADDRESS}, {"reach": Reach.ACCOUNTS},
    ],
)  # fmt: skip
def test_what_is_not_whole_is_not_kept(changes):
    with pytest.raises(Invalid):
        written(**changes)
