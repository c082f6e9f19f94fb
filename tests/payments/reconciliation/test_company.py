"""A company's account of a day against ours: what differs is named, in whatever order it comes."""

import io
from datetime import timedelta

import pytest
from sqlalchemy import text

from core.db import transaction
from core.errors import ConfirmationFileError, NotFound
from payments.reconciliation import breaks as all_breaks
from payments.reconciliation.company.lists import (
    companies_with_lists,
    get_company_result,
    layout_of,
    reconcile_company,
    reconcile_none_written_off,
)
from tests.factories import NOW, a_home, a_paid_payment, a_payment, at_once, items_of, the_terms
from tests.payments.reconciliation.company_days import (
    EARLY,
    LATE,
    a_paid_part,
    accept,
    found,
    on,
    refuse,
    row_of,
    run,
    the_day,
    written_off,
)
from tests.providers.confirmation_writers import BACK, DAY, REFUSED, Told, water

pytestmark = pytest.mark.usefixtures("city")


class TestADayThatAgrees:
    def test_is_balanced(self):
        items = [written_off(fen) for fen in (8_650, 1_000, 1)]

        result = run([row_of(one) for one in items])

        assert (result.matched, result.breaks, result.balanced) == (3, 0, True)
        assert (result.our_count, result.their_count) == (3, 3)
        assert (result.our_total_fen, result.their_total_fen) == (9_651, 9_651)
        assert (result.rejected, result.is_proven, found()) == (0, True, [])

    def test_so_is_one_on_which_nothing_happened(self):
        with transaction() as session:
            assert reconcile_none_written_off(session, "water", day=DAY, now=NOW).balanced

    def test_what_it_wrote_off_and_has_not_told_us_yet_agrees(self):
        assert run([row_of(a_paid_part())]).matched == 1

    def test_of_a_bill_of_zero_nothing_is_expected(self):
        accept(items_of(a_payment(a_home(0)))[0])

        assert run([]).our_count == 0
        assert run([], 1).balanced

    def test_so_does_what_it_refused_and_we_send_back(self):
        rows = [row_of(refuse(a_paid_part()), kind=REFUSED, receipt=""),
                row_of(refuse(a_paid_part(), returned=True), kind=REFUSED, receipt="")]  # fmt: skip

        assert run(rows).balanced
        assert run([], 1).balanced

    def test_of_another_company_nothing_is_expected(self):
        gas = next(one for one in items_of(a_paid_payment(a_home(1, 2, 3))) if one.amount_fen == 3)
        accept(gas)

        run([])
        run([], 1)

        assert found() == []


class TestWhatTheyHaveAndWeHaveNot:
    def test_a_write_off_nobody_asked_for_is_named(self):
        run([Told("unknown-1", account="2018008869", fen=1_234)])

        assert found() == [("written_off_unpaid", "unknown-1", None, 1_234)]

    @pytest.mark.parametrize("returned", [False, True])
    def test_so_is_what_they_refused_and_did_all_the_same(self, returned):
        item = refuse(a_paid_part(), returned=returned)

        run([row_of(item)])

        assert found() == [("written_off_unpaid", item.write_off_no, 8_650, 8_650)]

    def test_and_what_was_never_paid(self):
        (item,) = items_of(a_payment(a_home()))

        run([row_of(item)])

        assert [kind for kind, *_ in found()] == ["written_off_unpaid"]

    def test_and_our_number_on_another_bill_than_was_paid(self):
        item = written_off()

        run([row_of(item, bill="B2")])
        run([], 1)

        assert found() == [("written_off_unpaid", item.write_off_no, 8_650, 8_650)]

    def test_and_the_number_of_another_companys_write_off(self):
        gas = next(one for one in items_of(a_paid_payment(a_home(1, 2, 3))) if one.amount_fen == 3)
        accept(gas)

        run([row_of(gas)])

        assert found() == [("written_off_unpaid", gas.write_off_no, None, 3)]

    def test_once_they_reverse_it_there_is_nothing_left_to_do(self):
        item = refuse(a_paid_part())
        run([row_of(item)])

        run([row_of(item, 3, kind=BACK)], 3)

        assert found() == found(3) == []

    def test_what_they_wrote_off_and_took_back_in_one_day_is_nothing(self):
        item = refuse(a_paid_part())

        assert run([row_of(item), row_of(item, kind=BACK)]).balanced


class TestWhatWeHaveAndTheyHaveNot:
    def test_it_is_awaited_until_the_next_days_list_is_here_and_named_then(self):
        item = written_off()

        result = run([])
        assert (result.awaited, result.our_count, result.balanced) == (1, 1, True)

        run([], 1)
        assert found() == [("paid_not_written_off", item.write_off_no, 8_650, None)]
        assert found(1) == []

    def test_a_day_on_which_they_say_nothing_happened_is_a_list(self):
        item = written_off()
        run([])

        with transaction() as session:
            reconcile_none_written_off(session, "water", day=the_day(1), now=NOW)

        assert [one[1] for one in found()] == [item.write_off_no]

    def test_a_later_list_that_has_it_explains_it(self):
        item = written_off()
        run([])
        run([], 1)

        run([row_of(item, 4)], 4)

        assert found() == found(4) == []

    @pytest.mark.parametrize(("hours", "named"), [(48, []), (24, ["paid_not_written_off"])])
    def test_what_is_paid_is_named_once_the_companys_time_is_over(self, hours, named):
        the_terms("water", f"[write_off]\nhours = {hours}\n")
        a_paid_part()

        for day in range(3):
            run([], day)

        assert ([one[0] for one in found(1)], found(0)) == (named, [])

    def test_what_they_say_they_refused_and_had_accepted_is_named(self):
        item = written_off()

        run([row_of(item, kind=REFUSED, receipt="")])
        run([], 1)

        assert found() == [("paid_not_written_off", item.write_off_no, 8_650, None)]

    def test_what_they_took_back_is_named_on_the_day_they_did(self):
        item = written_off()
        run([row_of(item)])

        run([row_of(item, 2, kind=BACK, reason="重复缴费")], 2)

        assert found() == []
        assert found(2) == [("paid_not_written_off", item.write_off_no, 8_650, 0)]

    def test_written_off_again_it_is_fine(self):
        item = written_off()
        run([row_of(item), row_of(item, kind=BACK), row_of(item)])

        assert found() == []


class TestTwice:
    def test_two_rows_of_one_write_off_are_named_once(self):
        item = written_off()

        run([row_of(item), row_of(item)])

        assert found() == [("duplicate", item.write_off_no, 8_650, 17_300)]

    def test_on_two_days_the_second_is_named(self):
        item = written_off()
        for day in (1, 0):
            run([row_of(item, day)], day)

        assert found() == []
        assert found(1) == [("duplicate", item.write_off_no, 8_650, 17_300)]

    def test_once_one_of_them_is_taken_back_it_is_fine(self):
        item = written_off()
        run([row_of(item), row_of(item)])

        run([row_of(item, 1, kind=BACK)], 1)

        assert found() == found(1) == []


class TestAmounts:
    @pytest.mark.parametrize("off_fen", [-1, 1])
    def test_one_fen_off_is_named(self, off_fen):
        item = written_off()

        run([row_of(item, fen=8_650 + off_fen)])

        assert found() == [("amount_differs", item.write_off_no, 8_650, 8_650 + off_fen)]


class TestAtMidnight:
    @pytest.mark.parametrize("days", [(0, 1), (1, 0)])
    @pytest.mark.parametrize(("ours", "theirs"), [((0, LATE), (1, EARLY)), ((1, EARLY), (0, LATE))])
    def test_what_falls_on_two_days_agrees_whichever_list_comes_first(self, ours, theirs, days):
        item = written_off(at=on(*ours))
        lists = {theirs[0]: [row_of(item, *theirs)]}

        for day in (*days, 2):
            run(lists.get(day, []), day)

        assert found(0) == found(1) == found(2) == []

    def test_a_second_before_midnight_is_of_that_day_and_midnight_of_the_next(self):
        written_off(1, at=on(0, 86_399))
        written_off(2, at=on(0, 86_400))

        assert [run([], day).our_total_fen for day in (0, 1)] == [1, 2]


class TestWithoutOurNumber:
    def test_account_bill_and_amount_say_which_it_is(self):
        item = written_off()

        assert run([row_of(item, number="")]).matched == 1
        assert found() == []

    def test_across_midnight_too(self):
        item = written_off(at=on(0, LATE))
        run([])
        run([row_of(item, 1, EARLY, number="")], 1)

        assert found(0) == found(1) == []

    def test_another_amount_is_another_write_off(self):
        item = written_off()
        row = row_of(item, number="", fen=8_651)

        run([row])
        run([], 1)

        stranger = f"{row.account} {row.bill} {row.receipt}"
        assert found() == [
            ("paid_not_written_off", item.write_off_no, 8_650, None),
            ("written_off_unpaid", stranger, None, 8_651),
        ]

    def test_so_is_the_same_one_a_month_later(self):
        item = written_off()
        run([row_of(item, number="")])

        run([row_of(item, 30, number="")], 30)

        assert (found(), [kind for kind, *_ in found(30)]) == ([], ["written_off_unpaid"])

    def test_told_twice_with_one_receipt_it_is_a_duplicate(self):
        item = written_off()

        run([row_of(item, number="")] * 2)

        assert found() == [("duplicate", item.write_off_no, 8_650, 17_300)]

    def test_taken_back_it_is_named(self):
        item = written_off()
        run([row_of(item, number="")])

        run([row_of(item, 1, kind=BACK, number="")], 1)

        assert found(1) == [("paid_not_written_off", item.write_off_no, 8_650, 0)]

    def test_one_that_another_row_names_is_not_taken_for_it(self):
        item = written_off()

        run([row_of(item), row_of(item, number="", receipt="R-other")])

        assert [kind for kind, *_ in found()] == ["written_off_unpaid"]


class TestRunningAgain:
    def test_the_same_list_again_gives_the_same_result_and_is_kept_once(self):  # rule 48
        item = written_off()
        first, second = run([row_of(item)]), run([row_of(item)])

        assert first == second
        with transaction() as session:
            assert session.execute(text("SELECT count(*) FROM confirmation_file")).scalar() == 1
            assert session.execute(text("SELECT count(*) FROM confirmation_row")).scalar() == 1

    def test_a_corrected_list_replaces_what_the_first_one_said(self):
        item = written_off()
        run([row_of(item, fen=1)])

        assert run([row_of(item)]).balanced
        assert found() == []

    def test_what_the_first_one_explained_on_another_day_is_open_again(self):
        item = written_off()
        for day in (0, 1, 5):
            run([row_of(item, day)] if day == 5 else [], day)
        assert found() == []

        run([], 5)

        assert [kind for kind, *_ in found()] == ["paid_not_written_off"]

    def test_what_we_hear_later_converges(self):
        item = refuse(a_paid_part())
        other = a_paid_part(1)
        run([row_of(other)])
        run([], 1)

        accept(other, at=on(3))
        refuse(item, at=on(3))
        run([], 3)

        assert [found(day) for day in range(4)] == [[], [], [], []]

    def test_an_old_difference_keeps_its_age(self):
        written_off()
        run([])
        run([], 1)
        run([], 2, now=NOW + timedelta(days=2))

        with transaction() as session:
            at = session.execute(text("SELECT found_at FROM reconciliation_break")).scalar_one()
        assert at == NOW

    def test_eight_runs_of_three_days_at_one_moment_leave_the_result_of_one(self):
        item = written_off()
        rows = {0: [], 1: [row_of(item, 1), row_of(item, 1)], 2: []}

        ended = at_once([lambda day=day: run(rows[day], day) for day in (0, 1, 2, 1, 0, 2, 1, 0)])

        assert [one for one in ended if isinstance(one, Exception)] == []
        assert (found(0), [kind for kind, *_ in found(1)], found(2)) == ([], ["duplicate"], [])
        with transaction() as session:
            assert session.execute(text("SELECT count(*) FROM confirmation_file")).scalar() == 3

    def test_a_day_whose_list_is_not_here_is_not_yet_and_no_error(self, session):
        with pytest.raises(NotFound, match="not been reconciled yet"):
            get_company_result(session, "water", DAY)


class TestWhatIsRefused:
    @pytest.mark.parametrize("off", [{"count": 1}, {"count": -1}, {"fen": 1}, {"fen": -1}])
    def test_a_list_whose_totals_do_not_hold_changes_nothing(self, off):
        item = written_off()
        first = run([row_of(item)])

        with pytest.raises(ConfirmationFileError):
            run([row_of(item, fen=1)], **off)

        with transaction() as session:
            assert get_company_result(session, "water", DAY) == first
        assert found() == []

    def test_so_does_half_of_one(self):
        whole = water([row_of(written_off()), row_of(written_off())])

        for size in range(0, len(whole) - 2, 7):
            with pytest.raises(ConfirmationFileError), transaction() as session:
                reconcile_company(
                    session, "water", io.BytesIO(whole[:size]), day=DAY, file_name="", now=NOW
                )

    def test_a_row_nobody_can_read_unbalances_the_day(self):
        content = water([row_of(written_off(), bill="B" * 80)])
        with transaction() as session:
            result = reconcile_company(
                session, "water", io.BytesIO(content), day=DAY, file_name="", now=NOW
            )

        assert (result.rejected, result.balanced) == (1, False)

    def test_of_a_company_nobody_knows(self):
        with pytest.raises(NotFound):
            layout_of("nobody")
        assert set(companies_with_lists()) >= {"water", "power", "gas", "telecom"}


def test_every_kind_of_difference_has_a_remedy():
    kinds = ("written_off_unpaid", "paid_not_written_off", "amount_differs", "duplicate")

    assert {kind.value for kind in all_breaks.REMEDIES} >= set(kinds)
