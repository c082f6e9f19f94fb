"""Whatever comes back from Stripe's address, reading it ends in an answer and never an error."""

import json
from contextlib import suppress
from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import utc_now
from core.errors import SettlementFileError
from payments.gateways.base import (
    Asked,
    DisputeState,
    FileState,
    GatewayReply,
    GatewayStatus,
    MandateState,
    RefundOrder,
    RefundState,
)
from payments.gateways.stripe import Stripe
from payments.gateways.stripe_settlement import read_report
from tests.payments.gateways.contract import an_order, asked, saying

WORDS = st.sampled_from([
    "list", "checkout.session", "payment_intent", "refund", "dispute", "setup_intent", "cny",
    "open", "unpaid", "paid", "complete", "succeeded", "needs_response", "payment", "setup",
    "debit", "cs_1", "pi_1", "error", "card_error",
])  # fmt: skip
NAMES = st.sampled_from([
    "id", "object", "status", "payment_status", "payment_intent", "latest_charge", "created",
    "url", "balance_transaction", "balance_transactions", "amount", "amount_received", "currency",
    "data", "has_more", "metadata", "kind", "order_no", "mode", "setup_intent", "payment_method",
    "customer", "evidence_details", "due_by", "last_payment_error", "error", "code", "type",
    "message", "result", "data_available_end",
])  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=8),
    max_leaves=20,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=12)


def answers(url: str) -> list[object]:
    stripe, order = Stripe("sk_test_1", "whsec_1", url), an_order()
    session = asked(order, GatewayReply(status=GatewayStatus.OPEN, gateway_ref="cs_1"))
    paid = Asked(order_no="CB1", amount_fen=1, asked_at=order.asked_at, gateway_ref="pi_1")
    refund = RefundOrder(
        refund_no="R1", amount_fen=1, reason="", asked_at=order.asked_at, paid=paid
    )
    told = [
        stripe.open_order(order).status, stripe.query(session).status, stripe.query(paid).status,
        stripe.close(session).status, stripe.refund(refund).state,
        stripe.query_refund(refund).state, stripe.query_dispute("du_1").state,
        stripe.query_mandate("M1", "seti_1").state, stripe.end_mandate("M1", "cs_1").state,
        stripe.debit(order, mandate_ref="seti_1").status,
        stripe.fetch_settlement(utc_now().date()).state,
    ]  # fmt: skip
    stripe.hang_up()
    return told


@settings(max_examples=40, deadline=None)
@given(OBJECTS | VALUES)
def test_any_json_is_read_as_one_of_our_words(value):
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"

    with saying(head.encode() + body) as url:
        told = answers(url)

    kinds = (GatewayStatus, RefundState, DisputeState, MandateState, FileState)
    assert all(isinstance(one, kinds) for one in told)


def test_json_that_is_nested_without_end_is_not_knowing():
    for body in (b'{"id":' * 5_000, b'{"a":' * 400 + b"1" + b"}" * 400):
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        with saying(head.encode() + body) as url:
            assert answers(url)[:2] == [GatewayStatus.UNKNOWN] * 2


CELLS = st.sampled_from([
    "86.50", "5.29", "81.21", "-1.00", "cny", "usd", "charge", "refund", "payout", "", '"', "txn_1",
    "2026-11-20 04:00:03", "9999-12-31 23:00:00", "0001-01-01 00:00:00",
]) | st.text(max_size=8)  # fmt: skip
NEEDED = (
    "balance_transaction_id,created_utc,currency,gross,fee,net,reporting_category,source_id,"
    "payment_intent_id,payment_metadata[order_no],refund_metadata[refund_no]"
)


@given(st.lists(st.lists(CELLS, min_size=10, max_size=12), max_size=3))
def test_any_file_is_read_whole_or_refused_with_its_line(lines):
    content = "\n".join([NEEDED, *(",".join(cells) for cells in lines)]).encode("utf-8", "replace")

    rows = []
    with suppress(SettlementFileError):  # and no other error
        rows = read_report(content, date(2026, 11, 20))

    assert all(row.happened_at.tzinfo is not None for row in rows)
