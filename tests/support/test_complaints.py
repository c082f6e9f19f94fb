"""Complaints: asked once, had by one clerk, answered, closed and reopened, by the table alone."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.db import transaction
from core.errors import CityBillError, Conflict, IllegalTransition, Invalid, NotFound, TooMany
from identity.models import Role
from support import complaints
from support.listing import Wanted, company_answered, count_overdue, find_complaints
from support.models import MOVES, Complaint, Kind, Said, State
from tests.conftest import empty_city
from tests.factories import NOW, a_home, a_paid_payment, a_person, at_once, topics
from tests.support.complaining import (
    DEADLINES,
    answer,
    ask,
    close,
    company_says,
    pass_on,
    said,
    take,
    the,
    write,
)

DAY = timedelta(days=1)
pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture
def person(city: str) -> int:
    return a_person()


@pytest.fixture
def clerk(city: str) -> int:
    return a_person(Role.STAFF)


def count_rows() -> int:
    with transaction() as session:
        return int(session.execute(text("SELECT count(*) FROM complaint")).scalar_one())


class TestReceiving:
    def test_it_has_a_number_of_the_day_and_a_day_for_its_answer(self, person):
        one = ask(person)

        assert one.number == "C20261120-000001"  # a Friday
        assert (one.state, one.due_on) == (State.RECEIVED, date(2026, 11, 25))
        assert [(entry.said, entry.words) for entry in said(one)] == [(Said.ASKED, "水费怎么算？")]
        assert topics(like="complaint.%") == ["complaint.received"]

    @pytest.mark.parametrize(
        ("kind", "days"), [(Kind.QUESTION, 25), (Kind.COMPLAINT, 27), (Kind.FAULT, 23)]
    )
    def test_each_kind_has_its_own_days_and_weekends_are_none(self, person, kind, days):
        assert ask(person, kind=kind).due_on == date(2026, 11, days)

    def test_a_calendar_there_is_not_is_named(self):
        DEADLINES.check()

        with pytest.raises(Invalid, match="complaint_calendar: there is no calendar 'XX'"):
            DEADLINES._replace(calendar="XX").check()

    def test_the_day_is_the_citys(self, person):
        late = datetime(2026, 11, 20, 16, 30, tzinfo=UTC)  # half past midnight, on Saturday

        assert ask(person, now=late).number.startswith("C20261121-")

    def test_the_same_form_twice_is_one_and_told_once(self, person):
        sent = [ask(person, key="k").number for _ in range(2)]

        assert (len(set(sent)), count_rows()) == (1, 1)
        assert topics(like="complaint.%") == ["complaint.received"]
        with pytest.raises(Conflict):
            ask(person, "其他", key="k")

    def test_the_same_form_at_one_moment_is_one(self, person):
        found = at_once([lambda: ask(person, key="k").number] * 5)

        assert (len(set(found)), count_rows()) == (1, 1)

    def test_the_key_of_somebody_else_is_another(self, person):
        assert ask(person, key="k").number != ask(a_person(), key="k").number

    def test_so_many_in_a_day_and_no_more(self, person):
        for _ in range(complaints.MOST_A_DAY):
            ask(person)

        with pytest.raises(TooMany):
            ask(person)
        ask(a_person())
        ask(person, now=NOW + DAY)

    @pytest.mark.parametrize(("words", "code"), [
        ("", "complaint.no_words"), (" \r\n", "complaint.no_words"),
        ("水" * 2_001, "complaint.too_long"),
    ])  # fmt: skip
    def test_words_are_needed_and_not_too_many(self, person, words, code):
        with pytest.raises(Invalid) as refused:
            ask(person, words)

        assert (refused.value.code, count_rows()) == (code, 0)

    def test_lines_are_kept_and_their_ends_made_one(self, person):
        assert said(ask(person, "水" * 1_998 + "\r\n费"))[0].words == "水" * 1_998 + "\n费"


class TestAbout:
    def test_a_bill_a_payment_and_a_company_are_kept(self, person):
        home = a_home(8_650, owner_id=person)
        payment = a_paid_payment(home)
        ref = f"{home.refs[0][0]}.{home.refs[0][1]}"

        bill = ask(person, about=f"bill:{ref}")
        paid = ask(person, about=f"payment:{payment.id}")
        company = ask(person, about="company:gas")

        assert (bill.account_id, bill.bill_id) == home.refs[0]
        assert (bill.provider_code, bill.month) == ("water", date(2026, 10, 1))
        assert (paid.payment_id, paid.provider_code) == (payment.id, None)
        assert company.provider_code == "gas"

    def test_what_is_not_theirs_is_not_there(self, person):
        home = a_home(8_650)
        payment = a_paid_payment(home)

        for about in (
            f"bill:{home.refs[0][0]}.{home.refs[0][1]}", f"payment:{payment.id}", "bill:1.1",
            "bill:x", "payment:1", "payment:", f"payment:{'9' * 19}",
        ):  # fmt: skip
            with pytest.raises(NotFound):
                ask(person, about=about)
        assert count_rows() == 0

    @pytest.mark.parametrize("about", ["company:nobody", "company:", "person:1", "x", "bill"])
    def test_what_nothing_could_be_is_refused(self, person, about):
        with pytest.raises((Invalid, NotFound)):
            ask(person, about=about)


class TestClerks:
    def test_two_take_one_and_one_has_it(self, person):
        one, clerks = ask(person), [a_person(Role.STAFF) for _ in range(2)]

        found = at_once([lambda by=by: take(one, by).taken_by for by in clerks])

        refused = [each for each in found if isinstance(each, Conflict)]
        assert len(refused) == 1
        assert the(one).taken_by in clerks
        assert [each.said for each in said(one)] == [Said.ASKED, Said.TAKEN]

    def test_taking_it_twice_changes_nothing(self, person, clerk):
        one = ask(person)

        take(one, clerk)
        take(one, clerk)

        assert len(said(one)) == 2

    def test_another_takes_it_over_from_whom_they_saw(self, person, clerk):
        one, other, third = ask(person), a_person(Role.STAFF), a_person(Role.STAFF)
        take(one, clerk)

        for late in (None, third):
            with pytest.raises(Conflict):
                take(one, other, instead_of=late)
        take(one, other, instead_of=clerk)

        assert (the(one).taken_by, the(one).state) == (other, State.IN_HAND)
        with pytest.raises(Conflict):
            answer(one, clerk)

    def test_only_who_has_it_answers_passes_it_on_and_closes(self, person, clerk):
        one = ask(person)
        acts = (answer, pass_on, close)

        for act in acts:
            with pytest.raises(Conflict):
                act(one, clerk)
        take(one, clerk)
        for act in acts:
            with pytest.raises(Conflict):
                act(one, a_person(Role.STAFF))

        assert the(one).state is State.IN_HAND

    def test_an_answer_is_told_and_counts_from_the_first(self, person, clerk):
        one = ask(person)
        take(one, clerk)

        answer(one, clerk)
        answer(one, clerk, "还有一点。", now=NOW + DAY)

        assert (the(one).state, the(one).answered_at) == (State.ANSWERED, NOW)
        assert topics(like="complaint.%") == ["complaint.received", *["complaint.answered"] * 2]

    def test_what_nobody_answered_is_not_closed_by_staff(self, person, clerk):
        one = ask(person)
        take(one, clerk)

        with pytest.raises(Conflict) as refused:
            close(one, clerk)
        answer(one, clerk)
        close(one, clerk, "已派人核实")

        assert refused.value.code == "complaint.not_answered"
        assert (the(one).state, topics()[-1]) == (State.CLOSED, "complaint.closed")


class TestCompany:
    def test_it_sees_and_answers_what_was_passed_to_it_and_nobody_else_does(self, person, clerk):
        one, theirs = ask(person), a_person(Role.OPERATOR)
        with pytest.raises(NotFound):
            company_says(one, theirs)
        take(one, clerk)
        pass_on(one, clerk)

        with pytest.raises(NotFound):
            company_says(one, theirs, company="gas")
        company_says(one, theirs)

        assert [each.provider_code for each in said(one)] == [None, None, "water", "water"]
        assert the(one).provider_code == "water"
        assert the(one).state is State.IN_HAND  # it is for staff to answer

    def test_the_list_knows_who_has_answered(self, person, clerk):
        first, second = ask(person), ask(person)
        for one in (first, second):
            take(one, clerk)
            pass_on(one, clerk)
        company_says(first, a_person(Role.OPERATOR))

        with transaction() as session:
            assert company_answered(session, [the(first), the(second)]) == {first.id}
        pass_on(first, clerk, words="什么时候读的？")
        with transaction() as session:
            assert company_answered(session, [the(first)]) == set()

    def test_what_is_answered_is_not_passed_on_any_more(self, person, clerk):
        one = ask(person)
        take(one, clerk)
        pass_on(one, clerk)
        answer(one, clerk)

        with pytest.raises(Conflict):
            pass_on(one, clerk)
        with pytest.raises(Conflict):
            company_says(one, a_person(Role.OPERATOR))

    def test_there_must_be_such_a_company(self, person, clerk):
        one = ask(person)
        take(one, clerk)

        with pytest.raises(NotFound):
            pass_on(one, clerk, "nobody")


class TestReopening:
    @pytest.fixture
    def answered(self, person, clerk) -> Complaint:
        one = ask(person)
        take(one, clerk)
        answer(one, clerk)
        return one

    def test_to_write_again_reopens_it_with_a_day_of_its_own(self, answered, clerk):
        reopened = write(answered, now=NOW + 5 * DAY)  # a Wednesday

        assert (reopened.state, reopened.taken_by) == (State.IN_HAND, clerk)
        assert (reopened.due_on, reopened.first_due_at) == (
            date(2026, 11, 30), answered.first_due_at,
        )  # fmt: skip
        assert topics()[-1] == "complaint.received"

    def test_what_waits_is_only_added_to(self, person):
        one = ask(person)

        write(one, "还有一点")

        assert (the(one).reopened, the(one).due_at) == (0, one.due_at)
        assert [each.said for each in said(one)] == [Said.ASKED] * 2
        assert topics(like="complaint.%") == ["complaint.received"]

    def test_twice_and_no_more(self, answered, clerk):
        for _ in range(2):
            write(answered)
            answer(answered, clerk)

        with pytest.raises(Conflict) as refused:
            write(answered)

        assert (refused.value.code, the(answered).reopened) == ("complaint.over", 2)

    def test_within_fifteen_days(self, answered):
        with pytest.raises(Conflict):
            write(answered, now=NOW + 15 * DAY)
        write(answered, now=NOW + 15 * DAY - timedelta(seconds=1))

        assert the(answered).state is State.IN_HAND

    def test_what_nobody_had_goes_back_to_all(self, person):
        one = ask(person)
        for _ in range(2):
            with transaction() as session:
                complaints.close_own(session, person, one.number, now=NOW)

        assert write(one).state is State.RECEIVED
        assert [each.said for each in said(one)] == [Said.ASKED, Said.CLOSED, Said.REOPENED]
        assert (
            topics(like="complaint.%") == ["complaint.received"] * 2
        )  # their own closing: nothing

    def test_a_company_that_saw_it_sees_it_no_more(self, person, clerk):
        one = ask(person)
        take(one, clerk)
        pass_on(one, clerk)
        answer(one, clerk)

        assert write(one).passed_to is None

    def test_somebody_elses_is_not_there(self, answered):
        for act in (lambda: write(answered, person_id=a_person()),
                    lambda: write(answered, number="C20261120-000002"),
                    lambda: write(answered, number="C20261119-000001"),
                    lambda: write(answered, number="1")):  # fmt: skip
            with pytest.raises(NotFound):
                act()


class TestListing:
    def test_what_is_due_first_comes_first_and_what_is_over_counts(self, person, clerk):
        slow, soon = ask(person, kind=Kind.COMPLAINT), ask(person, kind=Kind.FAULT)
        done = ask(person)
        take(done, clerk)
        answer(done, clerk)
        later = NOW + 4 * DAY

        with transaction() as session:
            waiting = find_complaints(session, Wanted())
            overdue = find_complaints(session, Wanted(overdue_at=later))
            newest = find_complaints(session, Wanted(every=True))

            assert [one.number for one in waiting] == [soon.number, slow.number]
            assert [one.number for one in overdue] == [soon.number]
            assert count_overdue(session, now=later) == 1
            assert [one.number for one in newest] == [done.number, soon.number, slow.number]

    @pytest.mark.parametrize("wanted", [Wanted(), Wanted(every=True)])
    def test_page_by_page_is_all_of_them_once(self, person, wanted):
        numbers = {ask(person, kind=kind).number for kind in [*Kind] * 3}

        found, after = [], None
        with transaction() as session:
            while some := find_complaints(session, wanted, after=after, limit=2):
                found += [one.number for one in some]
                after = some[-1].id

        assert (len(found), set(found)) == (9, numbers)


class TestStates:
    @given(st.sampled_from(State), st.sampled_from(State))
    def test_only_the_moves_of_the_table_are_made(self, before, after):
        one = Complaint(
            person_id=1, request_key="k", kind=Kind.FAULT, state=before, state_at=NOW,
            received_at=NOW, first_due_at=NOW, due_at=NOW,
        )  # fmt: skip

        if after in MOVES[before]:
            one.move_to(after, now=NOW + DAY)
            assert (one.state, one.state_at) == (after, NOW + DAY)
        else:
            with pytest.raises(IllegalTransition):
                one.move_to(after, now=NOW + DAY)
            assert (one.state, one.state_at) == (before, NOW)

    @settings(max_examples=25)
    @given(st.lists(
        st.tuples(
            st.sampled_from(["take", "take over", "answer", "close", "pass", "company", "write",
                             "close own", "note"]),
            st.integers(0, 6),
        ),
        max_size=12,
    ))  # fmt: skip
    def test_whatever_is_tried_in_whatever_order_no_move_is_illegal(self, acts):
        try:
            self.play(acts)
        finally:
            empty_city()

    @staticmethod
    def play(acts: list[tuple[str, int]]) -> None:
        person, clerk, other = a_person(), a_person(Role.STAFF), a_person(Role.STAFF)
        theirs, one, now = a_person(Role.OPERATOR), ask(person), NOW
        refusals = []
        for act, days in acts:
            now += days * DAY
            before, had = the(one).state, len(said(one))
            with transaction() as session:
                try:
                    TestStates.do(session, act, one.number, (person, clerk, other, theirs), now)
                except CityBillError as refused:
                    refusals.append(type(refused))
            after = the(one)
            assert after.state == before or after.state in MOVES[before]
            assert 0 <= len(said(one)) - had <= 1
            assert after.reopened <= 2
        assert IllegalTransition not in refusals
        told = topics(like="complaint.%")
        assert len(told) == len(
            [e for e in said(one) if e.said in {Said.REOPENED, Said.ANSWERED}
             or (e.said is Said.CLOSED and e.person_id != person)]
        ) + 1  # fmt: skip

    @staticmethod
    def do(session, act, number, people, now):  # type: ignore[no-untyped-def]
        person, clerk, other, theirs = people
        match act:
            case "take":
                complaints.take(session, number, by=clerk, instead_of=None, now=now)
            case "take over":
                complaints.take(session, number, by=other, instead_of=clerk, now=now)
            case "answer":
                complaints.answer(session, number, "是的", by=clerk, now=now)
            case "close":
                complaints.close(session, number, "", by=clerk, now=now)
            case "pass":
                complaints.pass_on(session, number, "water", "请看", by=clerk, now=now)
            case "company":
                complaints.company_says(session, number, "好", company="water", by=theirs, now=now)
            case "write":
                complaints.write(session, person, number, "再问", deadlines=DEADLINES, now=now)
            case "close own":
                complaints.close_own(session, person, number, now=now)
            case "note":
                complaints.note(session, number, "记一下", by=other, now=now)


class TestDatabase:
    def test_what_was_said_stays_said(self, person):
        ask(person)

        for change in ("UPDATE complaint_entry SET words = 'x'", "DELETE FROM complaint_entry",
                       "DELETE FROM complaint"):  # fmt: skip
            with pytest.raises(DBAPIError, match="permission denied"), transaction() as session:
                session.execute(text(change))

    @pytest.mark.parametrize("change", [
        "state = 'in_hand'", "reopened = 3", "bill_id = 1", "account_id = 1, bill_id = 1",
        "state = 'answered', taken_by = person_id", "state = 'odd'",
    ])  # fmt: skip
    def test_a_row_that_could_not_be_is_refused(self, person, change):
        ask(person)

        with pytest.raises(DBAPIError, match="ck_complaint"), transaction() as session:
            session.execute(text(f"UPDATE complaint SET {change}"))
