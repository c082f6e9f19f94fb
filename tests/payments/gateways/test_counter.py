"""Cash at a counter, held to the contract as far as it has a meaning: nobody is there to call.

What agents tell us, and what becomes of it: tests/payments/counter/test_over_the_counter.py.
"""

import io
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import billing_date, utc_now
from core.errors import Invalid, SettlementFileError
from core.money import yuan_text
from core.settings import Settings
from payments.gateways.base import FileState, Gateway, GatewayReply, GatewayStatus, Order
from payments.gateways.counter import (
    Counter,
    from_settings,
    is_order_code,
    order_code,
    read_lines,
)
from tests.payments.gateways.contract import FarSide, GatewayContract, an_order, asked

DAY = date(2026, 11, 20)
BILL = "900100031000123452610000086501"
HEAD = "agent,kind,agent_txn_no,barcode,amount,happened_at,return_no"


@pytest.fixture(scope="module")
def far() -> FarSide:
    """No far side: nothing is called, and only agents' own words say that an order is paid."""

    def nobody(order: Order, opened: GatewayReply, choice: str) -> None:
        raise AssertionError("nobody can pay here")

    def at(url: str) -> Gateway:
        return Counter()

    return FarSide(
        Counter(), at, nobody, lambda: b"", lambda order_no, fault: None, choices=frozenset()
    )


class TestCounter(GatewayContract):
    # There is no line that could be down, mute or garbled.
    test_a_far_side_that_is_down_was_never_asked = None
    test_one_that_never_answers_is_unknown_in_time = None
    test_garbage_is_not_knowing = None
    test_an_answer_that_was_lost_after_the_act_is_unknown_and_found_by_asking = None
    # Whether an order was heard of, paid or closed stands in our own books alone.
    test_an_order_it_never_heard_of_is_told_apart_from_not_knowing = None
    test_another_amount_under_the_same_number_never_becomes_a_yes = None
    test_another_amount_than_we_asked_for_is_told_as_it_is = None
    test_a_closed_order_stays_closed = None
    test_a_close_after_the_payer_was_faster_says_paid = None
    # An agent's file is read below.
    test_the_days_file_holds_what_was_paid_and_refunded = None

    def test_its_code_is_shown_to_the_payer(self, far):
        order, opened = self.opened(far)

        assert opened.pay_code == order_code(order.order_no)
        assert is_order_code(opened.pay_code)
        assert far.gateway.query(asked(order, opened)).status is GatewayStatus.OPEN
        assert far.gateway.close(asked(order, opened)).status is GatewayStatus.CLOSED

    def test_a_past_day_has_no_file_of_its_own_to_fetch(self, far):
        day = billing_date(utc_now()) - timedelta(days=1)

        assert far.gateway.fetch_settlement(day).state is FileState.NOT_YET

    def test_nobody_calls_back(self, far):
        with pytest.raises(Invalid):
            far.gateway.read_callback({}, b"{}", now=utc_now())

    def test_a_city_without_agents_offers_none(self):
        assert from_settings(Settings(_env_file=None)) is None
        with_one = Settings(_env_file=None, counter_agents={"family": {"name": "全家"}})
        assert isinstance(from_settings(with_one), Counter)


def a_file(*rows: str, total: str | None = None, day: date = DAY) -> bytes:
    fen = sum(int(row.split(",")[4].replace(".", "")) for row in rows)
    lines = [f"#COUNTER DAY,{day}", HEAD, *rows, total or f"#TOTAL,{len(rows)},{yuan_text(fen)}"]
    return ("\n".join(lines) + "\n").encode()


PAYMENT = f"family,payment,17,{BILL},86.50,2026-11-20T12:00:03+08:00,"
RETURN = f"family,return,17,{BILL},-86.50,2026-11-20T12:05:00+08:00,S31"


class TestDayFile:
    def test_its_rows_are_named_as_our_books_name_them(self):
        order = an_order()
        by_code = f"bank,payment,9,{order_code(order.order_no)},1.00,2026-11-20T13:00:00+08:00,"
        content = a_file(PAYMENT, RETURN, by_code)

        rows = list(Counter().read_settlement(io.BytesIO(content), day=DAY))

        assert [(row.kind, row.reference, row.gateway_ref, row.amount_fen) for row in rows] == [
            ("payment", "CAfamily-17", "family-17", 8_650),
            ("refund", "S31", "family-17", -8_650),
            ("payment", order.order_no, "bank-9", 100),
        ]
        assert rows[0].happened_at == datetime(2026, 11, 20, 4, 0, 3, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("content", "line_no"),
        [
            (a_file(PAYMENT, day=date(2026, 11, 19)), 1),
            (a_file(PAYMENT).replace(b"return_no\n", b"ref\n"), 2),
            (a_file(PAYMENT, total="#TOTAL,1,86.51"), 4),
            (a_file(PAYMENT, total="#TOTAL,2,86.50"), 4),
            (a_file(PAYMENT, total="#TOTAL,1"), 4),
            (a_file(PAYMENT).rpartition(b"#TOTAL")[0], 2),
            (a_file(PAYMENT.replace("payment", "gift")), 3),
            (a_file(PAYMENT.replace("+08:00", "")), 3),
            (a_file(PAYMENT.replace(BILL, BILL[:-1] + "8")), 3),
            (a_file(PAYMENT.replace("86.50", "-86.50")), 3),
            (a_file(PAYMENT.replace("family", "Family!")), 3),
            (a_file(PAYMENT.replace(",17,", ",1 7,")), 3),
            (a_file(RETURN.removesuffix("S31")), 3),
            (a_file(PAYMENT + "S31"), 3),
            (b"\xff\xff", None),
            (b"", 1),
        ],
    )
    def test_what_is_wrong_refuses_it_whole_and_names_the_line(self, content, line_no):  # rule 40
        with pytest.raises(SettlementFileError) as refused:
            Counter().read_settlement(io.BytesIO(content), day=DAY)
        assert refused.value.line_no == line_no

    @given(st.binary(max_size=300))
    def test_no_bytes_are_a_fault_of_ours(self, noise):
        for content in (noise, a_file(PAYMENT) + noise, f"#COUNTER DAY,{DAY}\n".encode() + noise):
            with suppress(SettlementFileError):
                read_lines(content, day=DAY)
