"""Autopay told as a story: a payer agrees at the gateway's page, and their bills pay themselves.

The gateway and the water company are programs on ports of their own; only the calendar is ours.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import httpx
import pytest
from sqlalchemy import text

from billing.bills import format_ref
from billing.views import BillState
from core.clock import billing_date, utc_now
from core.db import transaction
from core.settings import Settings
from notifications.channels.email import Email, from_settings
from notifications.words import short_day
from payments import write_offs
from payments.autopay import debits, mandates, planning, views
from payments.autopay.mandates import Scope
from payments.autopay.models import AutopayRun, Mandate
from payments.autopay.rules import CapKind, NotPaid, PayDay, Rules
from payments.autopay.states import MandateStatus, RunState
from payments.gateways.sandbox import Sandbox
from providers.clients.declared import speaks_citybill
from tests.factories import Home, the_bill, topics, violations
from tests.notifications.conftest import MailServer, chosen, mail_server
from tests.notifications.far import hand_over
from tests.notifications.test_autopay_notices import tell
from tests.payments.autopay.autopaying import noon, runs
from tests.simulator.conftest import SECRET, Simulator, simulator, water
from tests.web.forms import a_due_home

NOTIFY = "http://127.0.0.1:9/callbacks/{gateway}"
RULES = Rules(cap_kind=CapKind.MAX, cap_fen=20_000, pay_day=PayDay.BEFORE, pay_day_n=3)

__all__ = ["chosen", "mail_server", "simulator", "water"]  # fixtures

pytestmark = pytest.mark.usefixtures("city")


@dataclass
class Town:
    """The gateway, the water company, and a household that wants its bills paid."""

    gateway: Sandbox
    simulator: Simulator
    company: object
    home: Home
    mandate: Mandate
    mail_server: MailServer
    email: Email
    today: date = field(default_factory=lambda: billing_date(utc_now()))

    def press(self, choice: str) -> None:
        """Press a button on the gateway's page, as the payer."""
        answer = self.simulator.client.post(self.mandate.sign_url or "", data={"choice": choice})
        assert answer.status_code == httpx.codes.SEE_OTHER, answer.text

    def look(self) -> Mandate:
        """Ask the gateway how the mandate stands, as its callback would have us do."""
        mandates.look(self.mandate.mandate_no, self.gateway, utc_now())
        with transaction() as session:
            return session.get_one(Mandate, self.mandate.id)

    def live(self, day: date) -> None:
        """Let a day pass: plan, debit what is due, and do what follows from how it went."""
        now, gateways = noon(day), {"sandbox": self.gateway}
        planning.plan(gateways, now=now)
        with transaction() as session:
            due = session.execute(
                text("SELECT subject_id FROM outbox_event WHERE topic = 'autopay.due'"
                     " AND emitted_at = :now ORDER BY id"),
                {"now": now},
            ).scalars().all()  # fmt: skip
        for run_id in due:
            debits.debit(
                int(run_id), gateways, notify_url=NOTIFY,
                return_url="http://127.0.0.1:9/payments/{payment}", now=now,
            )  # fmt: skip
        for payment_id in self.ended():
            assert debits.after_refusal(payment_id, gateways, now=now)
        with transaction() as session:
            debits.settle(session, now=now)
        self.post(now)

    def post(self, now: datetime) -> None:
        """Do the notices' jobs, and bring the mails of the day to their server."""
        tell(self.gateway, now)
        hand_over(self.email, now=now)

    def mails(self) -> list[str]:
        """Return what the payer's mailbox shows, mail by mail."""
        found = []
        for _, mail, _ in self.mail_server.taken:
            plain = mail.get_body(("plain",))
            assert plain is not None
            found.append(f"{mail['Subject']}\n{plain.get_content()}")
        return found

    def ended(self) -> list[int]:
        with transaction() as session:
            found = session.execute(
                text("SELECT id FROM payment WHERE status <> 'paid' ORDER BY id")
            )
            return list(found.scalars())

    def write_off(self) -> None:
        with transaction() as session:
            due = session.execute(
                text("SELECT subject_id FROM outbox_event WHERE topic = 'write_off.due'"
                     " ORDER BY id")
            ).scalars().all()  # fmt: skip
        assert [
            write_offs.send(number, {"water": self.company}, now=utc_now()) for number in due
        ] == [True] * len(due)


@pytest.fixture
def town(
    city: str, simulator: Simulator, water: Simulator, mail_server: MailServer, chosen: Settings
) -> Iterator[Town]:
    gateway = Sandbox(str(simulator.client.base_url), SECRET)
    company = speaks_citybill(str(water.client.base_url), SECRET, utc_now)
    home, now = a_due_home(8_650), utc_now() - timedelta(days=9)
    with transaction() as session:
        made = mandates.create_mandate(
            session, person_id=home.owner_id, scope=Scope(account_id=home.refs[0][0]),
            gateway="sandbox", rules=RULES, return_url="http://127.0.0.1:9/autopay/{mandate}",
            key="k", now=now,
        )  # fmt: skip
    signed = mandates.sign(made.id, gateway, notify_url="http://127.0.0.1:9/x", now=now)
    yield Town(gateway, simulator, company, home, signed, mail_server, from_settings(chosen))
    gateway.hang_up()
    company.close()


def agreed_before_the_bill(town: Town) -> None:
    """Agreed to a week before the bill came: what the clock of a test cannot do, a row can."""
    with transaction() as session:
        session.execute(
            text("UPDATE mandate SET enrolled_at = :at"), {"at": utc_now() - timedelta(days=8)}
        )


def the_run() -> AutopayRun:
    (run,) = runs()
    return run


def shown(town: Town, now: datetime) -> views.MandateView:
    with transaction() as session:
        (one,) = views.list_views(session, town.home.owner_id, now=now)
    return one


def test_agreed_announced_debited_and_written_off(town):
    town.press("agree")
    assert town.look().status is MandateStatus.ACTIVE
    agreed_before_the_bill(town)
    debit_on = the_bill(town.home.refs[0]).due_on - timedelta(days=3)

    town.live(town.today)
    assert the_run().state is RunState.PLANNED
    town.live(debit_on - timedelta(days=5))
    (ahead,) = shown(town, noon(town.today)).ahead
    assert (ahead.state, ahead.amount_fen, ahead.debit_on) == ("announced", 8_650, debit_on)
    assert ahead.bill.ref == format_ref(town.home.refs[0])
    (mail,) = town.mails()
    assert mail.startswith(f"自动缴费预告：{short_day(debit_on, 'zh_CN')}扣款 ¥86.50\n")
    assert f"/autopay/{town.mandate.id}" in mail
    town.live(debit_on)
    town.write_off()

    (past,) = shown(town, noon(town.today)).past
    assert (past.state, past.paid_fen, past.bill.state) == ("done", 8_650, BillState.CONFIRMED)
    assert len(town.mails()) == 1  # the receipt is another job's
    assert topics(like="autopay.%") == ["autopay.announced", "autopay.due", "autopay.done"]
    assert topics(like="write_off.accepted") == ["write_off.accepted"]
    assert violations() == []


def test_refused_for_want_of_funds_and_paid_the_day_after(town):  # rule 43
    town.press("agree")
    town.look()
    agreed_before_the_bill(town)
    town.press("short")
    debit_on = the_bill(town.home.refs[0]).due_on - timedelta(days=3)

    town.live(debit_on - timedelta(days=5))
    town.live(debit_on)
    assert (the_run().state, the_run().debit_on) == (RunState.RETRY, debit_on + timedelta(days=1))
    assert the_bill(town.home.refs[0]).held_by is None
    assert town.mails()[1].startswith("自动缴费没有扣成 ¥86.50")
    town.press("pays")
    town.live(debit_on + timedelta(days=1))
    town.write_off()

    assert (the_run().state, the_run().tries) == (RunState.DONE, 2)
    assert the_bill(town.home.refs[0]).written_off_fen == 8_650
    assert topics(like="autopay.%")[1:] == [
        "autopay.due", "autopay.postponed", "autopay.due", "autopay.done",
    ]  # fmt: skip
    assert violations() == []


def test_ended_by_its_payer_at_the_gateway(town):  # rule 43
    town.press("agree")
    town.look()
    agreed_before_the_bill(town)
    debit_on = the_bill(town.home.refs[0]).due_on - timedelta(days=3)
    town.live(debit_on - timedelta(days=5))
    town.press("end")

    town.live(debit_on)  # its callback has not come yet: the debit finds it out

    assert (the_run().state, the_run().reason) == (RunState.FAILED, NotPaid.ENDED)
    assert town.look().status is MandateStatus.ENDED
    assert topics(like="mandate.%")[-1] == "mandate.ended"
    assert {mail.splitlines()[0] for mail in town.mails()[1:]} == {
        "请您自己缴费：¥86.50（不会自动缴纳）", "自动缴费已终止",
    }  # fmt: skip
    assert violations() == []


def test_refused_by_its_payer_nothing_is_ever_debited(town):
    town.press("refuse")
    assert town.look().status is MandateStatus.REFUSED

    town.live(town.today + timedelta(days=12))

    assert runs() == []
    assert [mail.splitlines()[0] for mail in town.mails()] == ["自动缴费没有开通"]
