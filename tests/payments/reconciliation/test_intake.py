"""What comes in of gateways, companies and banks: kept once, known for what it is, read whole."""

import gzip
import io
from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from sqlalchemy import text

from core import progress
from core.db import transaction
from core.errors import Invalid, SettlementFileError
from payments.gateways.stripe import Stripe
from payments.models import Payment
from payments.reconciliation.gateway import matching
from payments.reconciliation.intake import receiving as intake
from payments.reconciliation.intake import work as intake_work
from payments.reconciliation.intake.models import BookFile, BookState, CameBy
from payments.reconciliation.intake.receiving import Given, Way
from payments.reconciliation.models import Leg
from tests.factories import NOW, a_home, a_paid_payment, at_once
from tests.payments.gateways.test_stripe import HEADER
from tests.payments.reconciliation.results import list_results
from tests.payments.reconciliation.test_matching import DAY, GATEWAY, a_file, row_of

pytestmark = pytest.mark.usefixtures("city")

GATEWAYS = {"sandbox": GATEWAY}
BY_HAND = Way(CameBy.UPLOAD)
STATEMENT = b"""\
:20:STMT1
:25:6200000000000000001
:28C:231/1
:60F:C261119CNY1000,00
:61:2611201120C86,50NTRFNONREF//B0001
:86:hello
:62F:C261120CNY1086,50
-
"""
SANDBOX = Given(Leg.GATEWAY, "sandbox", DAY)


def bring(content: bytes, given: Given = Given(), *, name: str = "file.csv") -> BookFile:  # noqa: B008
    with transaction() as session:
        return intake.receive(session, io.BytesIO(content), given, BY_HAND, file_name=name, now=NOW)


def read(row: BookFile) -> BookFile:
    assert row.id is not None
    intake_work.read_file(row.id, GATEWAYS, now=NOW)
    return known(row)


def known(row: BookFile) -> BookFile:
    assert row.id is not None
    with transaction() as session:
        return intake.get_book_file(session, row.id)


def waiting() -> int:
    with transaction() as session:
        told = text("SELECT count(*) FROM outbox_event WHERE topic = 'book_file.received'")
        return int(session.execute(told).scalar_one())


def file_of(*payments: Payment) -> bytes:
    return a_file([row_of(one) for one in payments])


def results() -> Sequence[matching.ReconciliationResult]:
    with transaction() as session:
        return list_results(session)


class TestKeeping:
    def test_a_file_comes_in_once_however_often_it_comes(self):
        content = file_of(a_paid_payment(a_home()))

        rows = [bring(content, SANDBOX) for _ in range(3)]

        assert len({row.id for row in rows}) == 1
        assert waiting() == 1

    @pytest.mark.parametrize("name", ["a\0b.csv", "a\udcffb.csv"])
    def test_a_name_the_database_cannot_hold_is_kept_as_far_as_it_can(self, name):
        at_once_ = Given(Leg.BANK), BY_HAND, GATEWAYS

        row = bring(STATEMENT, name=name)
        intake_work.take_now(io.BytesIO(STATEMENT), *at_once_, file_name=name, now=NOW)

        assert known(row).file_name == "a b.csv"

    def test_by_twenty_at_once_it_is_one_row_and_read_once(self):
        content = file_of(a_paid_payment(a_home()))

        at_once([lambda: bring(content)] * 20)

        assert waiting() == 1

    def test_brought_again_without_a_word_it_is_known_by_its_bytes(self):
        content = file_of(a_paid_payment(a_home()))

        assert bring(content, SANDBOX).id == bring(content).id

    def test_its_bytes_are_what_came(self):
        content = bytes(range(256)) * 9_000

        row = bring(content, SANDBOX)

        with transaction() as session:
            assert intake.bytes_of(session, row.id) == content

    def test_bytes_go_when_they_have_served_and_what_was_made_of_them_stays(self):
        row = read(bring(file_of(a_paid_payment(a_home())), SANDBOX))

        with transaction() as session:
            intake.forget_bytes(session, before=NOW + timedelta(days=1))
            assert intake.bytes_of(session, row.id) == b""
        with transaction() as session, pytest.raises(Invalid, match="not kept any more"):
            intake.read_again(session, row.id, now=NOW)
        assert len(results()) == 1

    def test_an_empty_file_is_no_file(self):
        with pytest.raises(Invalid, match="empty"):
            bring(b"")


class TestReading:
    def test_a_file_is_matched_and_says_what_came_of_it(self):
        payment = a_paid_payment(a_home())

        row = read(bring(file_of(payment), SANDBOX))

        assert row.state is BookState.DONE
        assert (row.told["rows"], row.told["matched"], row.told["breaks"]) == (1, 1, 0)
        [result] = results()
        assert (result.source, result.day, result.balanced) == ("sandbox", DAY, True)

    def test_read_twice_it_changes_nothing(self):
        row = read(bring(file_of(a_paid_payment(a_home())), SANDBOX))
        before = results()

        read(row)

        assert results() == before

    def test_again_on_purpose_it_is_matched_anew(self):
        row = read(bring(file_of(), SANDBOX))
        a_paid_payment(a_home())
        with transaction() as session:
            intake.read_again(session, row.id, now=NOW)

        again = read(row)

        assert (row.told["breaks"], again.told["breaks"]) == (0, 1)

    def test_read_in_another_order_than_they_came_the_last_that_came_counts(self):
        one, two = a_paid_payment(a_home()), a_paid_payment(a_home())
        first, second = bring(file_of(one), SANDBOX), bring(file_of(one, two), SANDBOX)
        read(second)

        read(first)

        assert [result.matched for result in results()] == [2]
        assert known(first).told["rows"] == 1
        with transaction() as session:
            assert first.id is not None
            intake.read_again(session, first.id, now=NOW)
        read(first)
        assert [result.matched for result in results()] == [1]  # a person says so

    def test_one_that_is_refused_says_where_and_changes_nothing(self):
        payment = a_paid_payment(a_home())
        wrong = file_of(payment).replace(b"#TOTAL,1", b"#TOTAL,2")

        row = read(bring(wrong, SANDBOX))

        assert row.state is BookState.REFUSED
        assert "#TOTAL says rows 2" in row.complaint
        assert row.line_no == 4
        assert results() == []

    def test_one_that_was_refused_is_read_again_when_it_comes_again(self):
        wrong = file_of(a_paid_payment(a_home())).replace(b"#TOTAL,1", b"#TOTAL,2")
        read(bring(wrong, SANDBOX))

        again = bring(wrong, SANDBOX)

        assert (again.state, waiting()) == (BookState.WAITING, 2)

    def test_how_far_it_is_is_seen_by_others_while_it_is_read(self, monkeypatch):
        monkeypatch.setattr(progress, "EVERY", 1)
        seen = []
        real = matching.reconcile

        def slowly(session, gateway, stream, **named):
            progress.tell(1, 4)
            seen.append(known(row))
            progress.tell(4, 4)
            seen.append(known(row))
            return real(session, gateway, stream, **named)

        monkeypatch.setattr(matching, "reconcile", slowly)
        row = bring(file_of(a_paid_payment(a_home())), SANDBOX)
        read(row)

        assert [(one.state.value, one.rows_done, one.rows_of) for one in seen] == [
            ("reading", 1, 4), ("matching", 4, 4),
        ]  # fmt: skip

    def test_killed_before_its_last_word_nothing_of_it_is_there_and_the_next_finishes(
        self, monkeypatch
    ):
        class Killed(BaseException):
            pass

        def killed(*_args, **_named):
            raise Killed

        row = bring(file_of(a_paid_payment(a_home())), SANDBOX)
        with monkeypatch.context() as at:
            at.setattr(intake_work, "_settle", killed)
            with pytest.raises(Killed):
                read(row)
        half = known(row).state, results()
        done = read(row)

        assert half == (BookState.READING, [])
        assert (done.state, len(results())) == (BookState.DONE, 1)


class TestWhose:
    def test_a_gateways_file_is_known_with_its_day(self):
        row = read(bring(file_of(a_paid_payment(a_home()))))

        assert (row.leg, row.source, row.day) == (Leg.GATEWAY, "sandbox", DAY)
        assert row.state is BookState.DONE

    def test_a_banks_statement_is_known_by_its_format(self):
        row = read(bring(STATEMENT, name="statement.sta"))

        assert (row.leg, row.source, row.state) == (Leg.BANK, "bank", BookState.DONE)
        assert row.told["statements"] == 1

    def test_what_nobody_can_read_is_asked_about_with_the_best_guess(self):
        wrong = file_of(a_paid_payment(a_home())).replace(b"#TOTAL,1", b"#TOTAL,2")

        row = read(bring(wrong))

        assert row.state is BookState.UNCLEAR
        assert "sandbox came furthest" in row.complaint
        assert row.told["choices"] == [["gateway", "sandbox", str(DAY)]]

    def test_what_its_sender_says_is_somebodys_and_that_one_cannot_read_is_refused(self):
        wrong = file_of(a_paid_payment(a_home())).replace(b"#TOTAL,1", b"#TOTAL,2")

        row = read(bring(wrong, Given(Leg.GATEWAY, "sandbox")))

        assert row.state is BookState.REFUSED
        assert row.complaint.startswith("line 4: #TOTAL says rows 2")

    def test_a_file_without_rows_says_its_day_by_its_name_or_is_asked_about(self):
        gateways = {"stripe": Stripe("sk_test_0123456789", "whsec_0123456789")}

        def told(name: str) -> BookFile:
            report = f"{HEADER}\n".encode() + b"\n" * len(name)
            row = bring(report, Given(Leg.GATEWAY, "stripe"), name=name)
            intake_work.read_file(row.id, gateways, now=NOW)
            return known(row)

        assert told("report.csv").state is BookState.UNCLEAR
        assert (told("stripe-2026-11-20.csv").state, told("stripe-2026-11-20.csv").day) == (
            BookState.DONE, DAY,
        )  # fmt: skip

    @pytest.mark.parametrize(
        "content",
        [b"what is this?", b"PK\x03\x04 no zip", gzip.compress(b"hm", mtime=0)[:9], b"\0" * 99],
    )
    def test_what_is_nothing_at_all_is_asked_about_too(self, content):
        assert read(bring(content)).state is BookState.UNCLEAR

    def test_when_a_person_says_whose_it_is_that_is_what_it_is_read_as(self):
        row = read(bring(b"what is this?"))
        with transaction() as session:
            intake.say_whose(session, row.id, SANDBOX, now=NOW)

        row = read(row)

        assert row.state is BookState.REFUSED
        assert "#SANDBOX SETTLEMENT" in row.complaint

    def test_of_another_day_than_was_said_it_is_refused(self):
        content = file_of(a_paid_payment(a_home()))

        row = read(bring(content, Given(Leg.GATEWAY, "sandbox", date(2026, 11, 1))))

        assert (row.state, results()) == (BookState.REFUSED, [])


@pytest.mark.parametrize(
    "way",
    [
        gzip.compress, lambda raw: raw.decode().encode("utf-16"),
        lambda raw: raw.replace(b"\r\n", b"\r"), lambda raw: b"\r\n" + raw + b"\r\n\r\n",
    ],
)  # fmt: skip
def test_a_file_in_other_clothes_is_matched_as_well(way):
    row = read(bring(way(file_of(a_paid_payment(a_home())))))

    assert (row.state, row.source, row.day) == (BookState.DONE, "sandbox", DAY)
    assert (row.told["matched"], row.told["breaks"]) == (1, 0)


def test_of_a_banks_file_of_months_no_entry_is_passed_over():
    months = STATEMENT.replace(b":60F:C261119CNY1000,00", b":60F:C260831CNY900,00").replace(
        b":61:2611201120", b":61:2609010901C100,00NTRFNONREF//A0001\n:61:2611201120"
    )

    row = read(bring(months))

    assert (row.told["new"], row.told["breaks"]) == (2, 2)


class TestAtOnce:
    def test_who_waits_gets_the_result_and_the_file_is_kept_all_the_same(self):
        content = file_of(a_paid_payment(a_home()))

        result = intake_work.take_now(
            io.BytesIO(content), SANDBOX, Way(CameBy.API), GATEWAYS, file_name="a.csv", now=NOW
        )

        assert result.matched == 1
        assert bring(content, SANDBOX).state is BookState.DONE
        assert waiting() == 0

    def test_a_refusal_is_told_and_noted(self):
        wrong = file_of(a_paid_payment(a_home())).replace(b"#TOTAL,1", b"#TOTAL,2")

        with pytest.raises(SettlementFileError):
            intake_work.take_now(
                io.BytesIO(wrong), SANDBOX, Way(CameBy.API), GATEWAYS, file_name="a.csv", now=NOW
            )

        with transaction() as session:
            assert intake.get_book_file(session, 1).state is BookState.REFUSED
