"""Staff's words: nobody puts their own in force, one version holds, and old ones come back."""

import pytest

from core.db import transaction
from core.errors import CityBillError, Conflict, Invalid, NotAllowed, NotFound
from identity.models import Role
from notifications.models import NoticeTemplate, TemplateState
from notifications.wording import versions
from notifications.wording.built_in import Source, built_in
from notifications.wording.rendering import Key
from notifications.wording.template import Form
from notifications.wording.versions import Piece, Written
from tests.conftest import NOW
from tests.factories import a_person
from tests.threads import at_once

pytestmark = pytest.mark.usefixtures("city")
SHORT = Key("bill.ready", Form.SHORT, "zh_CN", "plain")
LETTER = SHORT._replace(form=Form.LETTER)
OURS = Source("账单", "{company}的账单到了：{amount}")


@pytest.fixture
def people() -> tuple[int, int]:
    return a_person(Role.STAFF), a_person(Role.STAFF)


def a_draft(by: int, source: Source = OURS, key: Key = SHORT) -> int:
    with transaction() as session:
        return versions.draft(session, key, source, by=by, now=NOW).id or 0


def change(version_id: int, by: int, body: str = OURS.body, **others: object) -> NoticeTemplate:
    written = Written(Source("账单", body), "说得更清楚", **others)
    with transaction() as session:
        return versions.change(session, version_id, written, by=by, now=NOW)


def proposed(by: int, body: str = OURS.body, key: Key = SHORT) -> int:
    version_id = a_draft(by, key=key)
    change(version_id, by, body)
    act(versions.propose, version_id, by)
    return version_id


def act(what, version_id: int, by: int, **others: object) -> NoticeTemplate:
    with transaction() as session:
        return what(session, version_id, by=by, now=NOW, **others)


def state(version_id: int) -> TemplateState:
    with transaction() as session:
        return versions.get_version(session, version_id).state


def holding(key: Key = SHORT) -> int | None:
    with transaction() as session:
        row = versions.in_force(session, key)
        return row.version if row else None


class TestTwoPeople:
    def test_from_a_draft_to_the_words_in_force(self, people):
        one, other = people
        number = proposed(one)
        assert holding() is None

        act(versions.approve, number, other)

        assert holding() == 1
        with transaction() as session:
            row = versions.get_version(session, number)
            assert (row.made_by, row.decided_by, row.why) == (one, other, "说得更清楚")

    def test_nobody_approves_what_they_wrote(self, people):
        number = proposed(people[0])

        with pytest.raises(NotAllowed) as refused:
            act(versions.approve, number, people[0])

        assert refused.value.code == "template.same_person"
        assert holding() is None

    def test_declined_says_why_and_is_closed(self, people):
        one, other = people
        number = proposed(one)
        with pytest.raises(Invalid):
            act(versions.decline, number, other, because=" ")

        declined = act(versions.decline, number, other, because="太长")

        assert (declined.state, declined.declined_because) == (TemplateState.DECLINED, "太长")
        for again in (versions.approve, versions.propose):
            with pytest.raises(Conflict):
                act(again, number, other)

    def test_its_writer_takes_it_back_and_goes_on(self, people):
        one, _ = people
        number = proposed(one)

        act(versions.decline, number, one, because="")

        assert state(number) is TemplateState.DRAFT
        change(number, one, "{company}：{amount}")
        act(versions.propose, number, one)

    @pytest.mark.parametrize("what", ["change", "propose"])
    def test_a_draft_is_its_writers_alone(self, people, what):
        one, other = people
        number = a_draft(one)

        with pytest.raises(NotAllowed):
            change(number, other) if what == "change" else act(versions.propose, number, other)

    def test_without_a_reason_nothing_is_proposed(self, people):
        with pytest.raises(Invalid) as refused:
            act(versions.propose, a_draft(people[0]), people[0])

        assert refused.value.code == "template.no_why"

    def test_what_waits_is_listed_and_what_is_decided_is_not(self, people):
        one, other = people
        first, second = proposed(one), proposed(one, key=LETTER)
        act(versions.approve, first, other)

        with transaction() as session:
            assert [row.id for row in versions.list_proposed(session)] == [second]


class TestOneHolds:
    def test_a_newer_one_retires_the_one_before(self, people):
        one, other = people
        first = proposed(one)
        act(versions.approve, first, other)
        second = proposed(one, "{company} {amount}")

        act(versions.approve, second, other)

        assert (state(first), state(second)) == (TemplateState.RETIRED, TemplateState.APPROVED)
        assert holding() == 2

    def test_an_older_one_does_not_come_after_a_newer(self, people):
        one, other = people
        older, newer = proposed(one), proposed(one)
        act(versions.approve, newer, other)

        with pytest.raises(Conflict) as refused:
            act(versions.approve, older, other)

        assert refused.value.code == "template.older"
        assert holding() == 2

    def test_going_back_is_a_newer_version_in_old_words(self, people):
        one, other = people
        first = proposed(one, "{company} 旧 {amount}")
        act(versions.approve, first, other)
        act(versions.approve, proposed(one, "{company} 新 {amount}"), other)

        with transaction() as session:
            old = versions.source_of(versions.get_version(session, first))
        third = a_draft(one, old)
        with transaction() as session:
            assert versions.get_version(session, third).body == "{company} 旧 {amount}"
            assert versions.get_version(session, third).version == 3

    def test_two_who_approve_at_once_approve_it_once(self, people):
        one, other = people
        third = a_person(Role.STAFF)
        number = proposed(one)

        def say_yes(turn: int) -> str:
            try:
                act(versions.approve, number, (other, third)[turn % 2])
            except CityBillError as refused:
                return refused.code
            return "approved"

        said = at_once(8, say_yes)

        assert sorted(said) == ["approved", *["template.not_proposed"] * 7]

    def test_two_versions_approved_at_once_leave_one_in_force(self, people):
        one, other = people
        both = [proposed(one), proposed(one)]

        def say_yes(turn: int) -> str:
            try:
                act(versions.approve, both[turn], other)
            except CityBillError as refused:
                return refused.code
            return "approved"

        said = at_once(2, say_yes)

        assert holding() == 2
        assert said in (["approved", "approved"], ["template.older", "approved"])

    def test_twenty_drafts_at_once_are_twenty_versions(self, people):
        made = at_once(20, lambda _: a_draft(people[0]))

        with transaction() as session:
            numbers = [versions.get_version(session, one).version for one in made]
        assert sorted(numbers) == list(range(1, 21))


class TestRefused:
    @pytest.mark.parametrize(("body", "code"), [
        ("{{7*7}}", "template.place"), ("一\n二", "template.lines"), ("", "template.empty"),
        ("【城市账单】{company}", "template.signature"), ("长" * 501, "template.too_long"),
    ])  # fmt: skip
    def test_words_that_cannot_be_kept_are_not(self, people, body, code):
        number = a_draft(people[0])

        with pytest.raises(Invalid) as refused:
            change(number, people[0], body)

        assert refused.value.code == code
        with transaction() as session:
            assert versions.get_version(session, number).body == OURS.body

    def test_an_event_or_a_language_there_is_not_has_no_words(self, people):
        for key in (SHORT._replace(event="x.y"), SHORT._replace(locale="fr")):
            with pytest.raises(NotFound):
                a_draft(people[0], key=key)

    def test_a_version_there_is_not_is_not_found(self, people):
        with pytest.raises(NotFound):
            act(versions.approve, 1, people[0])


class TestCarriers:
    def ids(self, by: int, places: str = "", **ids: str) -> dict[str, object]:
        return change(a_draft(by), by, ids=ids, wechat_places=places).carrier_ids

    def test_numbers_are_kept_as_their_channels_take_them(self, people):
        kept = self.ids(
            people[0], "thing1=company, amount2=amount",
            aliyun=" SMS_1 ", tencent="1234", wechat="T",
        )  # fmt: skip

        assert kept == {
            "aliyun": "SMS_1", "tencent": "1234:company,amount",
            "wechat": "T:thing1=company,amount2=amount",
        }  # fmt: skip

    def test_an_order_that_was_given_is_kept(self, people):
        assert self.ids(people[0], tencent="9:amount,company") == {"tencent": "9:amount,company"}

    @pytest.mark.parametrize(("places", "ids"), [
        ("", {"aliyun": "SMS 1"}), ("", {"tencent": "1:amount"}), ("", {"wechat": "T"}),
        ("thing1=code", {"wechat": "T"}), ("thing1:company", {"wechat": "T"}),
        ("", {"sms_http": "'; DROP"}),
    ])  # fmt: skip
    def test_what_no_carrier_would_take_is_refused(self, people, places, ids):
        with pytest.raises(Invalid):
            self.ids(people[0], places, **ids)


class TestComparing:
    def test_it_is_with_the_words_that_held_before(self, people):
        one, other = people
        first = proposed(one, "{company} 一 {amount}")
        with transaction() as session:
            row = versions.get_version(session, first)
            assert versions.words_before(session, row) == built_in(*SHORT)
        act(versions.approve, first, other)
        second = proposed(one, "{company} 二 {amount}")

        with transaction() as session:
            before = versions.words_before(session, versions.get_version(session, second))

        assert before == Source("账单", "{company} 一 {amount}")

    def test_places_and_words_change_as_a_whole_and_chinese_by_character(self):
        found = versions.difference("账单 {amount} is here", "账目 {due_on} is there")

        assert found == [
            Piece("same", "账"), Piece("gone", "单"), Piece("new", "目"), Piece("same", " "),
            Piece("gone", "{amount}"), Piece("new", "{due_on}"), Piece("same", " is "),
            Piece("gone", "here"), Piece("new", "there"),
        ]  # fmt: skip
