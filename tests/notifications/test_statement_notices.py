"""A household's month: on paper, to the fen, and to those with an e-mail address."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import BytesIO

import pypdfium2
import pytest
from sqlalchemy import text

from billing.household_statement import Figures, statement_of
from billing.models import MemberRole
from core.db import transaction
from core.errors import NotFound
from notifications import statement_notices
from notifications.attachments import attach
from payments.gateways.base import GatewayStatus
from tests.conftest import NOW
from tests.factories import (
    Home,
    a_home,
    a_paid_payment,
    a_payment,
    a_person,
    a_record,
    book,
    bring_in,
    join,
)
from tests.notifications.events import URL, one_by_one, told
from workers import tasks
from workers.relay import FOLLOWS

REGISTERED = tasks
NOVEMBER = date(2026, 11, 1)
DECEMBER_THIRD = datetime(2026, 12, 3, 1, tzinfo=UTC)


def text_of(content: bytes) -> str:
    document = pypdfium2.PdfDocument(BytesIO(content))
    return "\n".join(page.get_textpage().get_text_range() for page in document)


@pytest.fixture
def home(city: str) -> Home:
    """Two bills came in November, and one of them is paid."""
    home = a_home(8_650, 12_340)
    a_paid_payment(home, home.refs[0])
    return home


def ref(home: Home, locale: str = "en", month: str = "2026-11") -> str:
    return f"statement:{home.household_id}:{month}:{locale}"


class TestFigures:
    def test_what_was_billed_paid_and_is_open_adds_up(self, home, session):
        statement = statement_of(session, home.household_id, NOVEMBER)

        assert [figures for _, figures in statement.accounts] == [
            Figures(0, 12_340, 0, 0, 1), Figures(0, 8_650, 8_650, 0, 1),
        ]  # fmt: skip
        assert statement.total.after_fen == 12_340
        assert [line.amount_fen for line in statement.lines] == [8_650, 12_340]

    def test_what_was_open_before_is_carried_over(self, home, session):
        later = NOW + timedelta(days=31)
        month = date(2026, 11, 1)
        bring_in("water", a_record(home.account_nos[0], bill_no="B2", billing_month=month,
                                   amount_fen=5_000), now=later)  # fmt: skip

        statement = statement_of(session, home.household_id, date(2026, 12, 1))

        by_account = {account.account_id: figures for account, figures in statement.accounts}
        assert by_account[home.refs[0][0]] == Figures(0, 5_000, 0, 0, 1)
        assert by_account[home.refs[1][0]] == Figures(12_340, 0, 0, 0, 0)
        assert statement.total.after_fen == 17_340

    def test_a_corrected_bill_counts_as_it_is_now(self, home, session):
        home.correct(1, version=2, amount_fen=10_000)

        statement = statement_of(session, home.household_id, NOVEMBER)

        assert statement.total == Figures(0, 18_650, 8_650, 0, 2)

    def test_one_that_was_cancelled_in_its_month_is_no_bill_of_it(self, home, session):
        home.cancel(1)

        statement = statement_of(session, home.household_id, NOVEMBER)

        assert statement.total == Figures(0, 8_650, 8_650, 0, 1)
        assert len(statement.lines) == 1

    @pytest.mark.parametrize("amount_fen", [10_000, 12_340])
    def test_one_corrected_a_month_later_is_a_change_and_no_second_bill(
        self, home, session, amount_fen
    ):
        home.correct(1, version=2, amount_fen=amount_fen, now=NOW + timedelta(days=20))

        statement = statement_of(session, home.household_id, date(2026, 12, 1))

        assert statement.total.bills == 0
        assert statement.total.billed_fen == amount_fen - 12_340

    def test_a_month_in_which_nothing_happened_has_none(self, home, session):
        with pytest.raises(NotFound):
            statement_of(session, home.household_id, date(2026, 10, 1))
        with pytest.raises(NotFound):
            statement_of(session, 999, NOVEMBER)


class TestPaper:
    @pytest.mark.parametrize(
        ("locale", "words"),
        [("en", ["Household statement", "November 2026", "Open at its end"]),
         ("zh_CN", ["家庭月度对账单", "2026年11月", "月末未缴"])],
    )  # fmt: skip
    def test_it_says_each_amount_and_no_whole_account_number(self, home, session, locale, words):
        paper = attach(session, ref(home, locale))
        said = text_of(paper.content)

        assert (paper.file_name, paper.content_type) == ("citybill-2026-11.pdf", "application/pdf")
        for wanted in (*words, "¥209.90", "¥86.50", "¥123.40", home.account_nos[0][-4:]):
            assert wanted in said
        assert home.account_nos[0] not in said

    def test_the_same_month_is_the_same_bytes(self, home, session):
        first = attach(session, ref(home))
        book(a_payment(home, home.refs[1]), GatewayStatus.PAID, now=NOW + timedelta(days=30))

        assert attach(session, ref(home)).content == first.content

    @pytest.mark.parametrize("changed", ["corrected", "cancelled"])
    def test_what_a_company_changes_a_month_later_is_not_in_it(self, home, session, changed):
        month, later = date(2026, 9, 1), NOW + timedelta(days=20)
        bring_in("power", a_record(home.account_nos[1], bill_no="B0", billing_month=month))
        first = attach(session, ref(home)).content
        if changed == "corrected":
            home.correct(
                1, version=2, amount_fen=10_000, usage=Decimal(777), issued_on=date(2026, 12, 8),
                due_on=date(2026, 12, 31), now=later,
            )  # fmt: skip
        else:
            home.cancel(1, now=later)

        again = text_of(attach(session, ref(home)).content)

        said = text_of(first)
        if changed == "corrected":  # of the day it was issued on, that in the ledger is left
            said = said.replace("2026-11-01", "2026-11-20", 2).replace("11-20", "11-01", 1)
        assert sorted(again.split()) == sorted(said.split())

    def test_its_fonts_are_in_it_and_it_has_a_title_and_a_language(self, home, session):
        content = attach(session, ref(home, "zh_CN")).content
        document = pypdfium2.PdfDocument(BytesIO(content))

        assert document.get_metadata_value("Title").startswith("家庭月度对账单")
        assert b"/Lang (zh-CN)" in content
        assert b"/FontFile2" in content

    def test_usage_is_drawn_once_there_are_two_months(self, home, session):
        month = date(2026, 9, 1)
        bring_in("water", a_record(home.account_nos[0], bill_no="B0", billing_month=month))

        said = text_of(attach(session, ref(home)).content)

        assert "Usage in the last year" in said
        assert "8 m³" in said

    def test_there_is_no_other_attachment(self, session):
        with pytest.raises(NotFound):
            attach(session, "invoice:1")


class TestTelling:
    def test_on_the_third_working_day_for_those_with_an_address(self, home):
        poor = a_person()
        join(home, poor, MemberRole.SEE)
        with transaction() as session:
            session.execute(text("UPDATE person SET email = NULL WHERE id = :id"), {"id": poor})
        one_by_one()
        for _ in range(2):
            with transaction() as session:
                statement_notices.ask(session, DECEMBER_THIRD.date(), now=DECEMBER_THIRD)
        with transaction() as session:
            subjects = list(
                session.execute(
                    text("SELECT subject_id FROM outbox_event WHERE topic = 'statements.due'")
                ).scalars()
            )
        for subject in subjects:
            with transaction() as session:
                statement_notices.tell_share(session, subject, public_url=URL, now=DECEMBER_THIRD)

        (notice,) = told(like="statement.%", channel="email")
        assert subjects == ["2026-11.1"] * 2
        assert notice.attachment_ref == ref(home)
        assert ("¥209.90" in notice.body, "¥86.50" in notice.body) == (True, True)

    def test_a_household_without_a_bill_is_left_alone(self, home):
        one_by_one()
        with transaction() as session:
            told_people = statement_notices.tell_share(
                session, "2026-10.1", public_url=URL, now=DECEMBER_THIRD
            )

        assert told_people == 0

    @pytest.mark.parametrize(
        ("day", "is_it"),
        [
            (date(2026, 12, 3), True), (date(2026, 12, 2), False), (date(2026, 12, 4), False),
            (date(2026, 10, 10), True),  # a Saturday worked for the golden week
            (date(2026, 10, 8), False),
        ],
    )  # fmt: skip
    def test_the_days_off_are_the_citys(self, day, is_it):
        assert (statement_notices.statement_day(day) == day) == is_it

    def test_a_day_on_which_nothing_ran_is_made_up_for_and_a_month_is_asked_for_once(self, home):
        def run(day: int) -> None:
            with transaction() as session:
                if statement_notices.is_due(session, date(2026, 12, day)):
                    at = datetime(2026, 12, day, 1, tzinfo=UTC)
                    statement_notices.ask(session, date(2026, 12, day), now=at)

        for day in (1, 2, 5, 6, 9):  # and nothing ran on the third and the fourth
            run(day)

        with transaction() as session:
            asked = session.execute(
                text("SELECT subject_id, emitted_at FROM outbox_event"
                     " WHERE topic = 'statements.due'")
            ).all()  # fmt: skip
            assert not statement_notices.is_due(session, date(2026, 12, 30))
        assert [tuple(one) for one in asked] == [
            ("2026-11.1", datetime(2026, 12, 5, 1, tzinfo=UTC))
        ]

    def test_the_event_is_followed(self):
        assert FOLLOWS["statements.due"] == ("bills.tell_statements",)
