"""What may happen next in a week, and how often of so many steps."""

from datetime import timedelta

from tests.weeks import steps_autopay, steps_counter, steps_returns
from tests.weeks.steps import ONLINE
from tests.weeks.week import LENGTH, Plan

ALL = Plan(
    {
        **ONLINE.weights,
        steps_returns.payer_disputes: 4, steps_returns.staff_refund: 2,
        steps_returns.staff_send: 3,
        steps_counter.pay_in_cash: 2, steps_counter.at_the_counter: 6,
        steps_counter.agents_tell: 4, steps_counter.give_cash_back: 2, steps_counter.day_file: 2,
        steps_autopay.sign_up: 9, steps_autopay.payer_agrees: 12, steps_autopay.bill_to_debit: 9,
        steps_autopay.payer_changes: 1, steps_autopay.mandate_ends_there: 1,
        steps_autopay.autopay_hour: 8,
    },
    steps=260, lengths=(LENGTH, LENGTH + LENGTH), longest_night=timedelta(hours=40),
    with_bank=True,
)  # fmt: skip
