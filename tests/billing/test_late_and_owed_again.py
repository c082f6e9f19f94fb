"""What lateness costs on a bill that stood paid, and was not: none of the days on which it did."""

from datetime import date

import pytest
from sqlalchemy import text

from billing import late_fees
from billing.bills import BillRef
from billing.ledger import books, postings
from core.db import transaction
from payments import write_offs
from tests.billing.test_late_fees import INTEREST, a_bill, after, morning_after, pays, run
from tests.factories import (
    REFUSED,
    a_home,
    a_paid_payment,
    items_of,
    the_bill,
    the_terms,
    violations,
)

pytestmark = pytest.mark.usefixtures("city")


@pytest.mark.parametrize(("paid_in", "back_fen"), [(0, 80), (10, 80), (22, 60), (30, 0)])
def test_a_part_of_it_takes_back_its_part_of_what_was_counted_and_no_more(paid_in, back_fen):
    """It was refused twenty days late; of the four days since, a part of the money had come."""
    the_terms("water", INTEREST)
    home = a_home(100_000)
    (item,) = items_of(a_paid_payment(home))
    with transaction() as session:
        write_offs.book(session, item.write_off_no, REFUSED, now=morning_after(after(19)))
    run(24)
    assert the_bill(home.refs[0]).adjusted_fen == 4 * 50

    assert pays(home.refs[0], 40_000, paid_on=after(paid_in)) == back_fen
    assert the_bill(home.refs[0]).adjusted_fen == 4 * 50 - back_fen
    assert violations() == []


def test_where_a_part_alone_stood_paid_the_rest_was_counted_on_every_day():
    """Sixty of a hundred were late and refused; the forty that were in time all along cost none."""
    the_terms("water", INTEREST)
    ref = a_bill(100_000)
    run(5)
    pays(ref, 60_000, paid_on=after(6))
    run(20)
    owes_again(ref, 60_000, on=after(20))
    run(24)
    assert the_bill(ref).adjusted_fen == 5 * 50 + 15 * 20 + 4 * 50

    assert pays(ref, 40_000, paid_on=after(0)) == 24 * 20


def owes_again(ref: BillRef, amount_fen: int, *, on: date) -> None:
    """Have the company refuse a part that was paid by itself."""
    with transaction() as session:
        session.execute(
            text("UPDATE bill SET paid_fen = paid_fen - :fen WHERE (account_id, id) = (:a, :b)"),
            {"fen": amount_fen, "a": ref[0], "b": ref[1]},
        )
        moves = postings.unpaid(ref, "water", 7, amount_fen=amount_fen)
        books.post(session, moves, now=morning_after(on))
        late_fees.reopened(session, ref, on=on)
