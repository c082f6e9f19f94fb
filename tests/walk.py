"""A small city in which anything happens, in any order: what the proofs of the books are run on.

``City`` is Hypothesis's state machine. After every step every invariant of ``ledger verify`` holds
and no fen has appeared or vanished. ``tests/payments/test_walk.py`` walks a little in every run of
the suite; ``make prove`` walks a long way.
"""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from billing import credits, late_fees
from billing.ledger import days
from billing.partitions import ensure_ahead
from billing.rules.payable import pay_terms_json
from core import db
from core.clock import add_months, billing_date
from core.db import transaction
from core.errors import AmountMismatch, CityBillError, Conflict, Invalid
from identity.models import Role
from payments import write_offs
from payments.gateways.base import (
    DisputeReply,
    DisputeState,
    GatewayStatus,
    RefundReply,
    RefundState,
)
from payments.models import Payment
from payments.quotes import Wanted, offers_for
from payments.returns import chargebacks, refunds, staff_refunds, suspense, transfers
from payments.returns.models import RefundReason
from providers.base import AmountRule, Exactness, OptionKind, PayOption, PayTerms, RecordKind
from tests.conftest import empty_city
from tests.factories import (
    ACCEPTED,
    MONTH,
    NO_WORD,
    NOW,
    REFUSED,
    Home,
    a_home,
    a_payment,
    a_person,
    a_record,
    at_once,
    book,
    bring_in,
    items_of,
    the_bill,
    the_terms,
    violations,
)

ELSEWHERE = replace(REFUSED, paid_elsewhere=True)
LONGEST = timedelta(days=120)  # of one story: every month of it is a partition more to look through
AMOUNTS = (8_650, 1, 0, -500)  # of water, power, gas, telecom
TERMS = {
    "water": (
        '[amount]\nmode = "exact_and_below"\nminimum_fen = 100\n'
        "[late_fee]\ninterest_ppm_per_day = 500\nonce_fen = 7\n"
        '[due]\nroll = "next_working_day"\n'
    ),
    "power": "[late_fee]\npenalty_ppm = 30000\ngrace_days = 2\n[quote]\nsame_day = true\n",
    "gas": "[fee]\ntax_ppm = 60000\nslabs = [{ rate_ppm = 6000 }]\n[cut_off]\nat = 17:00:00\n",
    "telecom": 'surplus = "advance"\n[amount]\nmode = "any"\n',
}
OPTIONS = PayTerms(
    options=(
        PayOption("early", OptionKind.EARLY, "early", 8_000, until_on=date(2026, 12, 5)),
        PayOption(
            "late", OptionKind.LATE, "late", 9_000, rule=AmountRule(Exactness.EXACT_AND_BELOW)
        ),
    )
)
PARTS = PayTerms(
    options=tuple(
        PayOption(f"instalment-{at}", OptionKind.INSTALMENT, str(at), fen)
        for at, fen in enumerate((4_000, 4_650), start=1)
    )
)
_TWO_AMOUNTS = "receipt.amount_differs"  # one number of the gateway's: a person must look
steps = 0  # taken by every City of this process


class City(RuleBasedStateMachine):
    """Two households of four companies, billed, corrected, paid, refused and refunded at random."""

    payments = Bundle("payments")

    def __init__(self) -> None:
        super().__init__()
        self.now, self.version, self.months = NOW, 1, 0
        # The audit keeps a connection of its own: nothing on it is rolled back, so what it asks
        # after every step stays prepared.
        self.audit = db.engine().connect()

    def teardown(self) -> None:
        self.audit.close()

    @initialize(pay_terms=st.sampled_from([None, None, OPTIONS, PARTS]))
    def bill_the_households(self, pay_terms: PayTerms | None) -> None:
        empty_city()
        for company, toml in TERMS.items():
            the_terms(company, toml)
        self.homes = [a_home(*AMOUNTS, pay_terms=None), a_home(8_650, 2_000)]
        self.staff = (a_person(Role.STAFF), a_person(Role.STAFF))
        if pay_terms is not None:
            record = a_record(self.homes[1].account_nos[0], version=2, pay_terms=pay_terms)
            bring_in("water", record, now=self.now)
            assert the_bill(self.homes[1].refs[0]).pay_terms == pay_terms_json(pay_terms)

    def tick(self):
        """Let seven minutes pass."""
        self.now += timedelta(minutes=7)
        return self.now

    def home(self, at: int) -> Home:
        return self.homes[at % 2]

    @rule(days_on=st.integers(1, 40))
    def time_passes(self, days_on):
        if self.now < NOW + LONGEST:
            self.now += timedelta(days=days_on)
            with transaction() as session:  # as upkeep does, every day
                ensure_ahead(session, today=billing_date(self.now))

    def _choices(self, home: Home, chosen, off_fen: int, choice: int, part_fen) -> list[Wanted]:
        """Bills as they are shown now, with one of what each offers."""
        wanted = []
        for at in sorted(chosen):
            ref = home.refs[at % len(home.refs)]
            with transaction() as session:
                offers = offers_for(session, ref, now=self.now)
            code = offers[choice % len(offers)].code if offers else None
            shown_fen = max(the_bill(ref).open_fen, 0)
            wanted.append(Wanted(ref, shown_fen, code, part_fen))
        wanted = list({want.ref: want for want in wanted}.values())
        wanted[0] = wanted[0]._replace(shown_fen=wanted[0].shown_fen + off_fen)
        return wanted

    @rule(
        target=payments,
        at=st.integers(0, 1),
        chosen=st.sets(st.integers(0, 3), min_size=1),
        off_fen=st.sampled_from([0, 0, 0, 0, -1, 1]),
        choice=st.integers(0, 3),
        part_fen=st.sampled_from([None, None, None, 100, 8_700]),
    )
    def pay(self, at, chosen, off_fen, choice, part_fen):
        home = self.home(at)
        now = self.tick()
        wanted = self._choices(home, chosen, off_fen, choice, part_fen)
        try:
            payment = a_payment(home, wanted=wanted, now=now)
        except (Conflict, Invalid):
            return multiple()
        assert off_fen == 0
        return payment

    def _hear(self, payment: Payment, status: GatewayStatus, off_fen: int, ref: str) -> None:
        facts: dict[str, Any] = {"gateway_ref": f"ref-{payment.order_no}{ref}"}
        if status is GatewayStatus.PAID:
            facts |= {"amount_fen": payment.amount_fen + off_fen, "paid_at": None}
        try:
            book(payment, status, now=self.now, **facts)
        except AmountMismatch as refused:
            # Nothing taken is nothing to suspend.
            known = refused.code == _TWO_AMOUNTS or payment.amount_fen + off_fen <= 0
            assert known, refused  # noqa: PT017

    @rule(
        payment=payments,
        status=st.sampled_from([GatewayStatus.PAID, *GatewayStatus]),
        off_fen=st.sampled_from([0, 0, 0, -1, 1]),
        ref=st.sampled_from(["", "", "-another"]),
    )
    def hear(self, payment, status, off_fen, ref):
        self.tick()
        self._hear(payment, status, off_fen, ref)

    @rule(payment=payments, days_late=st.integers(0, 30))
    def hear_of_a_payment_of_days_ago(self, payment, days_late):
        paid_at = max(payment.created_at, self.tick() - timedelta(days=days_late))
        try:
            book(payment, GatewayStatus.PAID, now=self.now, paid_at=paid_at)
        except Conflict as refused:
            known = refused.code == _TWO_AMOUNTS or payment.amount_fen == 0
            assert known, refused  # noqa: PT017

    @rule(payment=payments, statuses=st.lists(st.sampled_from(GatewayStatus), min_size=2))
    def hear_at_once(self, payment, statuses):
        self.tick()
        at_once([lambda one=one: self._hear(payment, one, 0, "") for one in statuses[:4]])

    @rule(at=st.integers(0, 1), bill=st.integers(0, 3), amount_fen=st.integers(1, 9_999))
    def pay_and_correct_at_once(self, at, bill, amount_fen):
        """A payment, its rival and a correction of one bill, let go at the same moment."""
        home, now = self.home(at), self.tick()
        bill %= len(home.refs)
        wanted = self._choices(home, {bill}, 0, 0, None)
        self.version = min(self.version + 1, 99)
        found = at_once(
            [
                lambda: a_payment(home, wanted=wanted, now=now),
                lambda: a_payment(home, wanted=wanted, now=now),
                lambda: home.correct(bill, version=self.version, amount_fen=amount_fen, now=now),
            ]
        )
        for one in found[:2]:
            assert isinstance(one, Payment | Conflict | Invalid), one
        started = [one for one in found[:2] if isinstance(one, Payment)]
        assert len([one for one in started if one.gateway != "none"]) <= 1
        for one in started:
            self._hear(one, GatewayStatus.CLOSED, 0, "")

    @rule(
        payment=payments, at=st.integers(0, 3),
        reply=st.sampled_from([ACCEPTED, REFUSED, ELSEWHERE, NO_WORD]),
    )  # fmt: skip
    def company_answers(self, payment, at, reply):
        items = items_of(payment)
        item = items[at % len(items)]
        try:
            with transaction() as session:
                write_offs.book(session, item.write_off_no, reply, now=self.tick())
        except Conflict:
            assert item.outcome not in {"paid"}

    def _one(self, query: str) -> Any:
        with transaction() as session:
            return session.execute(text(query)).scalar_one_or_none()

    @rule(times=st.integers(1, 2))
    def refund_is_sent(self, times):
        number = self._one(
            "SELECT refund_no FROM refund r WHERE requested_at IS NOT NULL "
            "AND status <> 'charged_back' AND NOT EXISTS (SELECT FROM bank_transfer t "
            "WHERE t.number = r.refund_no AND sent_at IS NOT NULL) "
            "ORDER BY status, refund_no LIMIT 1"
        )
        for _ in range(times if number else 0):
            with transaction() as session:
                refunds.book(session, number, RefundReply(state=RefundState.SENT), now=self.tick())

    @rule(times=st.integers(1, 2))
    def suspended_money_is_sent(self, times):
        number = self._one(
            "SELECT id FROM receipt WHERE charged_back_fen < amount_fen "
            "ORDER BY state DESC, id LIMIT 1"
        )
        for _ in range(times if number else 0):
            with transaction() as session:
                suspense.book_returned(session, number, "sent", None, now=self.tick())

    @rule(
        payment=payments,
        at=st.integers(0, 3),
        part_fen=st.sampled_from([None, 1, 700]),
        off_fen=st.sampled_from([0, 0, 0, 1]),
        decide=st.sampled_from([staff_refunds.approve, staff_refunds.approve, None]),
    )
    def staff_refund_a_bill(self, payment, at, part_fen, off_fen, decide):
        """A part, or all that is left, by two people; or one of them says no."""
        items, (one, other), now = items_of(payment), self.staff, self.tick()
        item = items[at % len(items)]
        left_fen = item.amount_fen - item.returned_fen
        wish = staff_refunds.Wish(
            payment.id, (item.account_id, item.bill_id), part_fen or left_fen, left_fen + off_fen,
            RefundReason.PAID_TWICE,
        )  # fmt: skip
        try:
            with transaction() as session:
                number = staff_refunds.propose(
                    session, wish, by=one, key=str(now), approval_above_fen=0, now=now
                ).refund_no
        except (Conflict, Invalid):
            return
        assert off_fen == 0
        with transaction() as session:
            if decide:
                decide(session, number, by=other, now=now)
            else:
                staff_refunds.decline(session, number, by=other, reason="no", now=now)

    @rule(sent=st.booleans())
    def the_oldest_refund_goes_by_transfer(self, sent):
        (one, other), now = self.staff, self.tick()
        number = self._one(
            "SELECT refund_no FROM refund WHERE status IN ('requested', 'by_transfer') LIMIT 1"
        )
        if number is None or not refunds.send(number, {}, now=now):  # held by a dispute
            return
        try:
            with transaction() as session:
                transfers.enter_payee(
                    session, number, name="王珅", bank="ICBC", account="6222020000001234", by=one,
                    secret_key="walk", approval_above_fen=0, now=now,
                )  # fmt: skip
                if sent:
                    staff_refunds.confirm_sent(session, number, bank_ref=number, by=other, now=now)
                else:
                    transfers.clear_payee(session, number)
        except Conflict as refused:
            assert refused.code == "refund.disputed"  # noqa: PT017

    @rule(
        payment=payments,
        states=st.lists(st.sampled_from(DisputeState), min_size=1, max_size=3),
        part_fen=st.sampled_from([None, None, 900]),
        fee_fen=st.sampled_from([0, 1_500]),
    )
    def the_payers_bank_disputes(self, payment, states, part_fen, fee_fen):
        now, known = self.tick(), {"chargeback.decided", "amount.mismatch"}
        for state in states:
            told = DisputeReply(
                state=state, order_no=payment.order_no, fee_fen=fee_fen,
                amount_fen=part_fen or payment.amount_fen,
            )  # fmt: skip
            try:
                with transaction() as session:
                    ref = f"dp-{payment.id}-{part_fen}-{fee_fen}"
                    chargebacks.book(session, payment.gateway, ref, told, now=now)
            except Conflict as refused:
                assert refused.code in known, refused  # noqa: PT017

    @rule(at=st.integers(0, 1), bill=st.integers(0, 3), kind=st.sampled_from(RecordKind))
    def company_sends(self, at, bill, kind):
        """A correction, a cancellation or a reminder; of a bill being paid it waits."""
        home = self.home(at)
        bill %= len(home.refs)
        self.version = min(self.version + 1, 99)
        amount_fen = (self.version * 977) % 9_000 - 300
        changes: dict[str, Any] = {"amount_fen": amount_fen}
        if kind is RecordKind.REMIND:
            changes = {
                "kind": kind, "bill_no": f"R{self.version}", "original_no": "B1",
                "amount_fen": abs(amount_fen) % 300,
            }  # fmt: skip
        elif kind is RecordKind.CANCEL:
            changes = {"kind": kind}
        result = home.correct(bill, version=self.version, now=self.tick(), **changes)
        assert result.rows == 1

    @rule(at=st.integers(0, 1), account=st.integers(0, 3), amount_fen=st.integers(-600, 9_999))
    def company_bills_another_month(self, at, account, amount_fen):
        home = self.home(at)
        account %= len(home.refs)
        self.months += 1
        record = a_record(
            home.account_nos[account], f"N{self.months}", amount_fen=amount_fen,
            billing_month=add_months(MONTH, -(self.months % 3)),
        )  # fmt: skip
        assert bring_in(home.companies[account], record, now=self.tick()).created == 1

    @rule(company=st.sampled_from(sorted(TERMS)), times=st.integers(1, 2))
    def lateness_is_counted(self, company, times):
        for _ in range(times):
            late_fees.assess(company, billing_date(self.now) - timedelta(days=1), now=self.now)

    @rule(at=st.integers(0, 1), bill=st.integers(0, 3))
    def credits_are_used(self, at, bill):
        home = self.home(at)
        bill %= len(home.refs)
        with transaction() as session:
            credits.consume(
                session, [home.refs[bill][0]], provider_code=home.companies[bill], now=self.tick()
            )

    @rule()
    def a_day_is_closed(self):
        with transaction() as session:
            day = days.next_to_close(session, today=billing_date(self.now))
            if day is not None:
                days.close_day(session, day, closed_by="walk", now=self.now)

    @rule(payment=payments)
    def nothing_is_posted_on_a_closed_day(self, payment):
        """Old news, told with the hour it happened, is refused if its day's books are closed."""
        closed = self._one("SELECT max(day) FROM ledger_day")
        then = payment.created_at + timedelta(minutes=1)
        before = self._one("SELECT count(*) FROM ledger_transfer WHERE entry_key = 'probe'")
        try:
            book(
                payment, GatewayStatus.PAID, now=then,
                gateway_ref=f"old-{payment.order_no}-{self.now}",
            )  # fmt: skip
        except (DBAPIError, psycopg.Error) as refused:  # a hot statement speaks psycopg
            assert "are closed" in str(refused)  # noqa: PT017
            assert closed is not None
        except CityBillError:
            assert payment.amount_fen == 0
        assert before == 0

    @rule(payment=consumes(payments))
    def forget(self, payment):
        """Nothing more is ever heard of this one."""

    @invariant()
    def the_books_hold(self) -> None:
        if hasattr(self, "homes"):
            global steps
            steps += 1
            with transaction(self.audit) as session:
                assert violations(session) == []

    @invariant()
    def no_fen_appears_or_vanishes(self) -> None:
        """What gateways took and did not send back is on bills, ahead, a fee, or on its way."""
        with transaction(self.audit) as session:
            taken, kept = session.execute(_MONEY).one()
        assert taken == kept


_MONEY = text(
    """
    SELECT (SELECT coalesce(sum(CASE WHEN t.debit_account_id = a.id THEN t.amount_fen
                                     ELSE -t.amount_fen END), 0)
            FROM ledger_account a
            JOIN ledger_transfer t ON a.id IN (t.debit_account_id, t.credit_account_id)
            WHERE a.code LIKE 'gateway:%'
               OR a.code IN ('bank', 'chargebacks', 'losses', 'gateway_fees')),
           (SELECT coalesce(sum(paid_fen), 0) FROM bill)
         + (SELECT coalesce(sum(advance_fen), 0) FROM payment_item i
            WHERE outcome NOT IN ('waiting', 'not_paid') AND NOT EXISTS (
                SELECT FROM refund r
                WHERE (r.payment_id, r.account_id, r.bill_id)
                      = (i.payment_id, i.account_id, i.bill_id) AND proposed_by IS NULL))
         - (SELECT coalesce(sum(advance_fen), 0) FROM refund)
         - (SELECT coalesce(sum(advance_fen), 0) FROM chargeback_part)
         + (SELECT coalesce(sum(fee_fen + fee_tax_fen), 0) FROM payment WHERE status = 'paid')
         - (SELECT coalesce(sum(fee_fen), 0) FROM refund)
         - (SELECT coalesce(sum(service_fee_fen + service_tax_fen), 0) FROM chargeback)
         + (SELECT coalesce(sum(amount_fen - charged_back_fen), 0) FROM refund
            WHERE status IN ('requested', 'pending', 'by_transfer'))
         + (SELECT coalesce(sum(amount_fen - charged_back_fen), 0) FROM receipt
            WHERE state = 'suspended')
""".replace(":%", "\\:%")
)
