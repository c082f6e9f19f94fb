"""A bill file into the books: counted, idempotent, corrected, restartable."""

import io
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import BinaryIO

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from billing.elsewhere import void_paid_elsewhere
from billing.files.bill_files import get_bill_file, register
from billing.files.importing import ImportResult, import_bills
from billing.files.landing import LandingFailed
from billing.ledger import books, postings
from billing.models import Bill
from billing.rules.payable import read_pay_terms
from core.db import transaction
from core.errors import BillFileError
from core.keys import named_key
from providers.base import (
    AmountRule,
    BillRecord,
    Exactness,
    LineItem,
    OptionKind,
    PayOption,
    PayTerms,
    RecordKind,
    Reject,
)
from tests.factories import violations

MONTH = date(2026, 10, 1)


def a_bill(line_no: int = 2, **changes: object) -> BillRecord:
    bill = BillRecord(
        line_no=line_no,
        kind=RecordKind.BILL,
        account_no="0000000001",
        holder_name="王珅",
        address="汉口路\\1弄",
        billing_month=MONTH,
        bill_no="W1",
        version=1,
        period_from_on=date(2026, 10, 1),
        period_to_on=date(2026, 10, 31),
        issued_on=date(2026, 11, 1),
        due_on=date(2026, 11, 20),
        usage=Decimal("8.000"),
        usage_unit="m³",
        amount_fen=3_240,
        items=(LineItem('供水"费', Decimal(8), "m³", 1_800), LineItem("排水费", None, "", 1_440)),
    )
    return bill._replace(**changes)


class Rows:
    """A reader that has its rows already."""

    def __init__(self, *rows: BillRecord | Reject, refuse: str = "") -> None:
        self.rows, self.refusal = rows, refuse

    def read(self, stream: BinaryIO) -> Iterator[BillRecord | Reject]:
        yield from self.rows
        if self.refusal:
            raise BillFileError(self.refusal, line_no=99)


def a_file(*, now: datetime, sha256: str = "a") -> int:
    with transaction() as session:
        bill_file, _ = register(
            session, "water", sha256=sha256, size_bytes=1, file_name="w.txt",
            received_via="test", now=now,
        )  # fmt: skip
    assert bill_file.id is not None
    return bill_file.id


def load(reader: Rows, *, now: datetime, sha256: str = "a") -> ImportResult:
    return import_bills(a_file(now=now, sha256=sha256), reader, lambda: io.BytesIO(), now=now)


def counts(result: ImportResult) -> tuple[int, int, int, int, int]:
    return (
        result.created, result.unchanged, result.superseded, result.cancelled, result.rejected,
    )  # fmt: skip


def the_bill(session: Session, bill_no: str = "W1") -> Bill:
    key = named_key(MONTH, bill_no)
    return session.execute(  # type: ignore[return-value]
        text("SELECT * FROM bill WHERE id = :id"), {"id": key}
    ).one()


def reasons(session: Session) -> list[str]:
    return list(session.execute(text("SELECT reason FROM bill_file_reject")).scalars())


@pytest.mark.usefixtures("city")
class TestImport:
    def test_a_bill_becomes_an_account_a_bill_a_transfer_and_an_event(self, now):
        result = load(Rows(a_bill()), now=now)

        assert counts(result) == (1, 0, 0, 0, 0)
        assert (result.rows, result.total_fen) == (1, 3_240)
        with transaction() as session:
            bill = the_bill(session)
            assert (bill.amount_fen, bill.paid_fen, bill.version) == (3_240, 0, 1)
            assert bill.items[0] == ['供水"费', "8", "m³", 1_800]
            assert books.balance_fen(session, "receivable:water") == 3_240
            assert books.balance_fen(session, "uncollected:water") == -3_240
            topics = session.execute(text("SELECT topic FROM outbox_event ORDER BY id")).scalars()
            assert list(topics) == ["bills.recorded", "bill_file.imported"]
            holder = session.execute(text("SELECT holder_name, address FROM utility_account")).one()
            assert tuple(holder) == ("王珅", "汉口路\\1弄")

    def test_the_same_bytes_twice_change_nothing(self, now):  # rule 40
        first = load(Rows(a_bill()), now=now)
        again = load(Rows(a_bill()), now=now)

        assert again.bill_file_id == first.bill_file_id
        assert counts(again) == (0, 1, 0, 0, 0)
        with transaction() as session:
            assert session.execute(text("SELECT count(*) FROM ledger_transfer")).scalar_one() == 1

    def test_the_same_bill_in_another_file_is_unchanged(self, now):
        load(Rows(a_bill()), now=now)

        assert counts(load(Rows(a_bill(line_no=7)), now=now, sha256="b")) == (0, 1, 0, 0, 0)

    def test_a_refused_file_leaves_nothing_but_its_complaint(self, now):
        with pytest.raises(BillFileError):
            load(Rows(a_bill(), refuse="the totals do not agree"), now=now)

        with transaction() as session:
            for table in ("bill", "utility_account", "ledger_transfer", "bill_file_reject"):
                assert session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 0
            refused = get_bill_file(session, 1)
            assert (refused.status, refused.complaint) == (
                "refused", "line 99: the totals do not agree",
            )  # fmt: skip

    def test_a_refused_file_may_be_sent_again(self, now):
        with pytest.raises(BillFileError):
            load(Rows(refuse="no"), now=now)

        assert counts(load(Rows(a_bill()), now=now)) == (1, 0, 0, 0, 0)

    def test_a_bad_row_is_listed_and_the_others_land(self, now):
        bad = Reject(3, "应缴金额", "finer than a fen", "D|1|12.345")

        assert counts(load(Rows(a_bill(), bad), now=now)) == (1, 0, 0, 0, 1)
        with transaction() as session:
            row = session.execute(text("SELECT line_no, column_name, raw FROM bill_file_reject"))
            assert tuple(row.one()) == (3, "应缴金额", "D|1|12.345")

    def test_zero_and_credit_bills_are_kept_and_a_zero_moves_no_money(self, now):  # rules 7, 8
        load(Rows(a_bill(amount_fen=0), a_bill(3, bill_no="W2", amount_fen=-500)), now=now)

        with transaction() as session:
            assert books.balance_fen(session, "receivable:water") == -500
            assert session.execute(text("SELECT count(*) FROM bill")).scalar_one() == 2


@pytest.mark.usefixtures("city")
class TestCorrections:
    """Rule 11: replace and cancel are different relations."""

    def test_a_higher_version_replaces_and_the_old_one_is_kept(self, now):
        load(Rows(a_bill()), now=now)

        second = load(Rows(a_bill(version=2, amount_fen=3_000)), now=now, sha256="b")

        assert counts(second) == (0, 0, 1, 0, 0)
        with transaction() as session:
            assert (the_bill(session).amount_fen, the_bill(session).version) == (3_000, 2)
            old = session.execute(text("SELECT version, amount_fen FROM bill_version")).one()
            assert tuple(old) == (1, 3_240)
            assert books.balance_fen(session, "receivable:water") == 3_000
            keys = session.execute(text("SELECT entry_key FROM ledger_transfer ORDER BY 1"))
            assert list(keys.scalars()) == ["issued.1", "issued.2", "reversed.1"]

    def test_versions_of_one_bill_in_one_file_are_taken_in_order(self, now):
        rows = [a_bill(n + 1, version=n, amount_fen=n * 100) for n in (1, 2, 3)]

        assert counts(load(Rows(*rows), now=now)) == (1, 0, 2, 0, 0)
        with transaction() as session:
            assert books.balance_fen(session, "receivable:water") == 300

    def test_an_older_version_that_comes_again_changes_nothing(self, now):
        load(Rows(a_bill(), a_bill(3, version=2, amount_fen=1)), now=now)

        assert counts(load(Rows(a_bill()), now=now, sha256="b")) == (0, 1, 0, 0, 0)

    def test_the_same_version_with_other_content_is_rejected_with_the_remedy(self, now):
        load(Rows(a_bill()), now=now)

        assert counts(load(Rows(a_bill(amount_fen=1)), now=now, sha256="b")) == (0, 0, 0, 0, 1)
        with transaction() as session:
            assert "higher version" in reasons(session)[0]
            assert the_bill(session).amount_fen == 3_240

    def test_a_cancelled_bill_owes_nothing_and_can_be_billed_again(self, now):
        load(Rows(a_bill()), now=now)
        cancel = a_bill(kind=RecordKind.CANCEL)

        assert counts(load(Rows(cancel), now=now, sha256="b")) == (0, 0, 0, 1, 0)
        assert counts(load(Rows(cancel), now=now, sha256="c")) == (0, 1, 0, 0, 0)
        with transaction() as session:
            assert books.balance_fen(session, "receivable:water") == 0
        again = Rows(a_bill(version=2, amount_fen=700))
        assert counts(load(again, now=now, sha256="d")) == (0, 0, 1, 0, 0)
        with transaction() as session:
            assert books.balance_fen(session, "receivable:water") == 700

    def test_two_bill_numbers_with_one_key_are_never_mixed_up(self, now, monkeypatch):
        monkeypatch.setattr(
            "billing.files.staging.named_key", lambda month, _name: named_key(month, "W1")
        )

        assert counts(load(Rows(a_bill(), a_bill(3, bill_no="W2")), now=now)) == (1, 0, 0, 0, 1)
        with transaction() as session:
            assert the_bill(session).bill_no == "W1"
            assert "has this key" in reasons(session)[0]
            assert books.balance_fen(session, "receivable:water") == 3_240

    def test_a_version_from_before_its_cancellation_does_not_bring_it_back(self, now):
        """A cancellation carries the version it cancels with; files may come out of order."""
        load(Rows(a_bill()), now=now, sha256="a")
        load(Rows(a_bill(kind=RecordKind.CANCEL, version=3)), now=now, sha256="b")

        assert counts(load(Rows(a_bill(version=2)), now=now, sha256="c")) == (0, 0, 0, 0, 1)
        assert counts(load(Rows(a_bill()), now=now, sha256="d")) == (0, 1, 0, 0, 0)
        assert counts(load(Rows(a_bill(version=4)), now=now, sha256="e")) == (0, 0, 1, 0, 0)
        assert violations() == []

    def test_a_version_whose_cancellation_came_first_does_not_bring_it_back_either(self, now):
        load(Rows(a_bill()), now=now, sha256="a")
        load(Rows(a_bill(kind=RecordKind.CANCEL)), now=now, sha256="b")
        void = a_bill(kind=RecordKind.CANCEL, version=2)

        assert counts(load(Rows(void), now=now, sha256="c")) == (0, 0, 0, 1, 0)
        assert counts(load(Rows(void), now=now, sha256="d")) == (0, 1, 0, 0, 0)
        assert counts(load(Rows(a_bill(version=2)), now=now, sha256="e")) == (0, 0, 0, 0, 1)
        assert counts(load(Rows(a_bill(version=3)), now=now, sha256="f")) == (0, 0, 1, 0, 0)
        assert violations() == []

    def test_a_bill_the_company_was_paid_elsewhere_is_held_as_it_was_sent(self, now):  # rule 37
        load(Rows(a_bill()), now=now, sha256="a")
        with transaction() as session:
            bill = session.exec(select(Bill)).one()
            assert void_paid_elsewhere(session, bill, "water", now=now)

        assert counts(load(Rows(a_bill()), now=now, sha256="b")) == (0, 1, 0, 0, 0)
        assert counts(load(Rows(a_bill(version=2)), now=now, sha256="c")) == (0, 0, 1, 0, 0)
        with transaction() as session:
            assert the_bill(session).paid_elsewhere_at is None
            kept = session.execute(text("SELECT version, amount_fen FROM bill_version")).all()
        assert [tuple(one) for one in kept] == [(1, 3_240)]
        assert counts(load(Rows(a_bill()), now=now, sha256="d")) == (0, 1, 0, 0, 0)
        assert violations() == []

    def test_a_cancellation_of_nothing_is_rejected(self, now):
        assert counts(load(Rows(a_bill(kind=RecordKind.CANCEL)), now=now)) == (0, 0, 0, 0, 1)

    @pytest.mark.parametrize(
        "state", ["paid_fen = 1", "credited_fen = 1", "paid_fen = 1, held_by = 9"]
    )
    def test_a_bill_that_is_paid_or_covered_in_part_is_frozen(self, now, state):  # rule 12
        load(Rows(a_bill()), now=now)
        with transaction() as session:
            session.execute(text(f"UPDATE bill SET {state}"))

        assert counts(load(Rows(a_bill(version=2)), now=now, sha256="b")) == (0, 0, 0, 0, 1)
        assert counts(
            load(Rows(a_bill(kind=RecordKind.CANCEL)), now=now, sha256="c")
        ) == (0, 0, 0, 0, 1)  # fmt: skip

    @pytest.mark.parametrize("adjusted_fen", [250, -250])
    @pytest.mark.parametrize("kind", [RecordKind.BILL, RecordKind.CORRECT, RecordKind.CANCEL])
    def test_what_lateness_added_goes_with_the_version(self, now, adjusted_fen, kind):
        load(Rows(a_bill()), now=now)
        with transaction() as session:
            charge(session, adjusted_fen, now=now)

        load(Rows(a_bill(kind=kind, version=2, amount_fen=3_000)), now=now, sha256="b")

        with transaction() as session:
            assert the_bill(session).adjusted_fen == 0
            keys = session.execute(text("SELECT entry_key FROM ledger_transfer"))
            assert "waived:v1" in keys.scalars().all()
            owed_fen = 0 if kind is RecordKind.CANCEL else 3_000
            assert books.balance_fen(session, "receivable:water") == owed_fen
            assert session.execute(text("SELECT count(*) FROM bill_late_fee")).scalar_one() == 0
        assert violations() == []


def charge(session: Session, amount_fen: int, *, now: datetime) -> None:
    """Have lateness cost something, or a discount take something off."""
    row = session.execute(text("SELECT account_id, id FROM bill")).one()
    key = (row.account_id, row.id)
    if amount_fen > 0:
        session.execute(
            text("INSERT INTO bill_late_fee VALUES (:account, :bill, :fen, 0, 0, 0, 0, :day)"),
            {"account": key[0], "bill": key[1], "fen": amount_fen, "day": now.date()},
        )
        moves = postings.late_fee(key, "water", "once", "2026-11-20", amount_fen)
    else:
        moves = postings.waived(key, "water", "9", -amount_fen)
    session.execute(text("UPDATE bill SET adjusted_fen = :fen"), {"fen": amount_fen})
    books.post(session, moves, now=now)


@pytest.mark.usefixtures("city")
class TestDates:
    """Rule 16: a bill is issued before it is due, and not in the future."""

    def test_a_bill_of_tomorrow_is_rejected_and_one_of_today_lands(self, now):
        today, tomorrow = date(2026, 11, 20), date(2026, 11, 21)
        later = date(2026, 12, 20)
        rows = [
            a_bill(2, bill_no="W2", issued_on=tomorrow, due_on=later, account_no="0000000002"),
            a_bill(3, bill_no="W3", issued_on=today, due_on=later),
        ]

        assert counts(load(Rows(*rows), now=now)) == (1, 0, 0, 0, 1)
        with transaction() as session:
            assert reasons(session) == [
                "it is dated in the future: send it on the day it is issued, or correct the date"
            ]
            assert session.execute(
                text("SELECT account_no FROM utility_account")
            ).scalars().all() == ["0000000001"]

    def test_the_day_is_shanghais(self, now):
        midnight = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)  # the 21st in Shanghai
        row = a_bill(issued_on=date(2026, 11, 21), due_on=date(2026, 12, 20))

        assert counts(load(Rows(row), now=midnight)) == (1, 0, 0, 0, 0)

    def test_a_bill_is_not_due_on_the_day_it_is_issued(self, city):
        row = a_bill(due_on=date(2026, 11, 1))

        with pytest.raises(LandingFailed, match="due_after_issue"):
            load(Rows(row), now=datetime(2026, 11, 20, tzinfo=UTC))


@pytest.mark.usefixtures("city")
class TestWaysOfPaying:
    """Rules 2 and 3: a bill's own options come with it, and are part of what it says."""

    EARLY = PayOption("early", OptionKind.EARLY, "提前缴费", 3_000, until_on=date(2026, 11, 10))
    TERMS = PayTerms(AmountRule(Exactness.EXACT_AND_BELOW, minimum_fen=1_000), (EARLY,))

    def test_are_kept_with_the_bill_and_read_again(self, now):
        load(Rows(a_bill(pay_terms=self.TERMS)), now=now)

        with transaction() as session:
            assert read_pay_terms(the_bill(session).pay_terms) == self.TERMS

    def test_the_same_again_is_unchanged_and_others_are_another_bill(self, now):
        load(Rows(a_bill(pay_terms=self.TERMS)), now=now)
        again = Rows(a_bill(pay_terms=self.TERMS))
        other = PayTerms(options=(self.EARLY._replace(amount_fen=2_900),))

        assert counts(load(again, now=now, sha256="b")) == (0, 1, 0, 0, 0)
        assert counts(load(Rows(a_bill(pay_terms=other)), now=now, sha256="c")) == (0, 0, 0, 0, 1)
        assert counts(load(Rows(a_bill()), now=now, sha256="d")) == (0, 0, 0, 0, 1)
        replaced = Rows(a_bill(version=2, pay_terms=other))
        assert counts(load(replaced, now=now, sha256="e")) == (0, 0, 1, 0, 0)
        with transaction() as session:
            assert read_pay_terms(the_bill(session).pay_terms) == other
        assert violations() == []

    def test_that_do_not_fit_the_bill_are_rejected_with_the_row(self, now):
        late = PayOption("late", OptionKind.LATE, "逾期缴费", 1)
        rows = [a_bill(2, pay_terms=PayTerms(options=(late,))), a_bill(3, bill_no="W3")]

        assert counts(load(Rows(*rows), now=now)) == (1, 0, 0, 0, 1)
        with transaction() as session:
            row = session.execute(text("SELECT line_no, reason FROM bill_file_reject")).one()
            assert row.line_no == 2
            assert "a late amount is not below the bill's" in row.reason


@pytest.mark.usefixtures("city")
class TestBreakdowns:
    def test_a_killed_import_goes_on_where_it_stopped(self, now, monkeypatch):
        monkeypatch.setattr("billing.files.importing.CHUNK_ROWS", 2)
        rows = [a_bill(n, bill_no=f"W{n}") for n in range(2, 9)]

        def killed(done: int, _rows: int) -> None:
            if done >= 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            import_bills(
                a_file(now=now), Rows(*rows), lambda: io.BytesIO(), now=now, progress=killed
            )
        assert counts(load(Rows(*rows), now=now)) == (7, 0, 0, 0, 0)
        with transaction() as session:
            assert session.execute(text("SELECT count(*) FROM bill")).scalar_one() == 7
            assert books.balance_fen(session, "receivable:water") == 7 * 3_240
