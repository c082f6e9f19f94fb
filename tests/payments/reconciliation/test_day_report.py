"""A day's report: its figures are the day's, and all of them are on paper."""

from datetime import date, datetime, timedelta

import pytest
from pypdfium2 import PdfDocument

from billing.documents.typesetting import Term
from billing.ledger.days import close_through
from core.db import transaction
from payments import write_offs
from payments.gateways.base import Spoken
from payments.reconciliation.closing import closing
from payments.reconciliation.closing.checklist import Name, State
from payments.reconciliation.closing.report import CompanyLine, DayReport, GatewayLine, day_report
from payments.reconciliation.closing.report_pdf import day_report_pdf
from payments.reconciliation.closing.report_words import CHECKS, KINDS, LEGS, REMITTANCES, STATES
from payments.reconciliation.models import BreakKind, Leg
from payments.reconciliation.repair import workbench
from payments.reconciliation.standing import Matched
from payments.remittance.models import RemittanceState
from tests.factories import ACCEPTED, NOW, FarGateway, a_home, a_paid_payment, a_person, items_of
from tests.payments.reconciliation.repairing import newest
from tests.payments.reconciliation.test_matching import a_file, row_of, run

DAY = date(2026, 11, 20)
MORNING = datetime.fromisoformat("2026-11-21T10:30:00+08:00")
GATEWAYS = {"sandbox": FarGateway(name=Spoken("沙箱", "Sandbox"))}

pytestmark = pytest.mark.usefixtures("city")


def report(day: date = DAY, *, now: datetime = MORNING) -> DayReport:
    with transaction() as session:
        return day_report(session, day, gateways=GATEWAYS, now=now)


def text_of(found: DayReport, locale: str = "en") -> str:
    pages = PdfDocument(day_report_pdf(found, locale=locale))
    assert len(pages) <= 3
    return "".join(page.get_textpage().get_text_range() for page in pages)


def a_day_with_a_difference() -> None:
    """Two bills of 86.50 are paid; the company has confirmed one, the gateway's file differs."""
    right, wrong = (a_paid_payment(a_home(8_650)) for _ in range(2))
    with transaction() as session:
        write_offs.book(session, items_of(right)[0].write_off_no, ACCEPTED, now=NOW)
    run(a_file([row_of(right), row_of(wrong, amount="86.48")]))


class TestFigures:
    def test_gateways_and_companies_are_as_the_books_have_them(self):
        a_day_with_a_difference()

        found = report()

        (gateway,) = found.gateways
        assert gateway == GatewayLine(
            Term("沙箱", "Sandbox"),
            2,
            17_300,
            Matched(Leg.GATEWAY, "sandbox", 1, 2),
            gateway.fee_fen,
            17_300,
        )
        assert found.companies == (
            CompanyLine("城市自来水", "City Water", 17_300, 17_300, 8_650, 0, 8_650),
        )
        assert (found.taken.amount_fen, found.taken.payments) == (17_300, 2)

    def test_a_difference_is_told_with_its_age_and_owner(self):
        a_day_with_a_difference()
        (nobodys,) = report().differences
        assert (nobodys.kind, nobodys.ours_fen, nobodys.theirs_fen, nobodys.owner) == (
            BreakKind.AMOUNT_DIFFERS, 8_650, 8_648, None
        )  # fmt: skip

        with transaction() as session:
            workbench.take(session, newest(), by=a_person(name="李明"))

        (found,) = report(now=MORNING + timedelta(days=2)).differences
        assert (found.owner, found.age_days) == ("李明", 3)

    def test_of_an_open_day_it_says_what_is_waited_for(self):
        a_day_with_a_difference()

        found = report()

        assert found.view.closed_at is None
        assert {check.name for check in found.checks} == {
            Name.WRITE_OFFS, Name.DIFFERENCES, Name.LATE_FEES
        }  # fmt: skip

    def test_of_a_closed_day_it_says_what_was_open_then_and_why(self):
        a_day_with_a_difference()
        with transaction() as session:
            closing.close(
                session, DAY, gateways=GATEWAYS, closed_by="li", despite="all looked at",
                now=MORNING,
            )  # fmt: skip

        found = report(now=MORNING + timedelta(days=9))

        assert found.despite == "all looked at"
        assert len(found.checks) == 3

    def test_a_day_closed_with_no_checklist_has_none(self):
        a_home(8_650)
        close_through(DAY, closed_by="li", now=MORNING)

        assert (report().checks, report().despite) == ((), None)


class TestPaper:
    def test_what_was_found_is_on_it(self):
        a_day_with_a_difference()
        with transaction() as session:
            closed = closing.close(
                session, DAY, gateways=GATEWAYS, closed_by="li@city.example", despite="looked at",
                now=MORNING,
            )  # fmt: skip

        told = text_of(report())

        for said in (
            "Report of the day", "2026-11-20 Friday", "¥173.00", "Sandbox", "50.0%", "City Water",
            "Amounts differ", "¥86.48", "nobody", "looked at", "li@city.example",
            closed.sha256.hex()[:20], "Prepared by", "As of 2026-11-21 10:30",
        ):  # fmt: skip
            assert said in told, said

    def test_it_speaks_chinese(self):
        told = text_of(report(), "zh_CN")

        for said in ("日结报表", "星期五", "未结账", "支付渠道", "制表", "结账检查"):
            assert said in told, said

    def test_a_day_on_which_nothing_happened_is_one_page_or_two(self):
        assert 1 <= len(PdfDocument(day_report_pdf(report(date(2026, 1, 1)), locale="en"))) <= 2

    def test_the_same_report_gives_the_same_bytes(self):
        found = report()

        assert day_report_pdf(found, locale="en") == day_report_pdf(found, locale="en")

    def test_everything_that_can_be_said_has_words(self):
        assert set(KINDS) == set(BreakKind)
        assert set(CHECKS) == set(Name)
        assert set(STATES) == set(State)
        assert set(LEGS) == set(Leg)
        assert set(REMITTANCES) == {state.value for state in RemittanceState}
