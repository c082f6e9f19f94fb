"""Small makers of people, households, imported bills and payments, each with what it needs.

Everything goes through the front door: bills through ``billing.files.importing``, payments through
``payments.checkout``, answers through ``book_reply``. Only the far side is made up.
"""

import io
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, BinaryIO

from sqlalchemy import text
from sqlmodel import Session

from billing.bills import BillRef
from billing.files.bill_files import register
from billing.files.importing import ImportResult, import_bills
from billing.homes.households import bind_accounts, create_household
from billing.models import Bill, HouseholdMember, MemberRole
from billing.terms import ProviderTerms
from core.db import transaction
from core.errors import BillFileError, UpstreamUnavailable
from core.keys import named_key
from identity.duties import Duty, give_duty
from identity.guests import add_guest
from identity.models import Role
from identity.people import add_person
from payments.checkout import create_payment
from payments.gateways.base import (
    Asked,
    Callback,
    CallbackAnswer,
    Capabilities,
    FileState,
    GatewayReply,
    GatewayStatus,
    Order,
    RefundOrder,
    RefundReply,
    SettlementFetch,
    SettlementRecord,
    Spoken,
)
from payments.models import Payment, PaymentItem, get_payment, list_items
from payments.quotes import Wanted
from payments.settlement import book_reply
from payments.verification import verify
from providers.base import (
    BillRecord,
    FetchReply,
    LineItem,
    RecordKind,
    Reject,
    WriteOffOrder,
    WriteOffOutcome,
    WriteOffReply,
)

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)  # noon in Shanghai
MONTH = date(2026, 10, 1)
COMPANIES = ("water", "power", "gas", "telecom")
_numbers = count(1)


class Rows:
    """A bill file's reader that has its rows already."""

    def __init__(self, *rows: BillRecord | Reject, refuse: str = "") -> None:
        self.rows, self.refusal = rows, refuse

    def read(self, stream: BinaryIO) -> Iterator[BillRecord | Reject]:
        yield from self.rows
        if self.refusal:
            raise BillFileError(self.refusal, line_no=99)


def a_record(account_no: str, bill_no: str = "B1", **changes: Any) -> BillRecord:
    """A bill as a company states it: October's, 86.50 yuan, due on 30 November."""
    month = changes.get("billing_month", MONTH)
    bill = BillRecord(
        line_no=2,
        kind=RecordKind.BILL,
        account_no=account_no,
        holder_name="王珅",
        address="汉口路1弄2号",
        billing_month=month,
        bill_no=bill_no,
        version=1,
        period_from_on=month,
        period_to_on=month + timedelta(days=27),
        issued_on=month + timedelta(days=31),
        due_on=month + timedelta(days=60),
        usage=Decimal("8.000"),
        usage_unit="m³",
        amount_fen=8_650,
        items=(LineItem("基本费", Decimal(8), "m³", 8_650),),
    )
    return bill._replace(**changes)


def bring_in(
    company: str, *rows: BillRecord | Reject, refuse: str = "", now: datetime = NOW
) -> ImportResult:
    """Import a file of these rows; every call is another file."""
    with transaction() as session:
        bill_file, _ = register(
            session, company, sha256=f"file-{next(_numbers)}", size_bytes=1, file_name="bills.txt",
            received_via="test", now=now,
        )  # fmt: skip
    assert bill_file.id is not None
    numbered = [row._replace(line_no=at) for at, row in enumerate(rows, start=2)]
    return import_bills(bill_file.id, Rows(*numbered, refuse=refuse), lambda: io.BytesIO(), now=now)


def a_person(
    role: Role = Role.RESIDENT,
    *,
    name: str = "王珅",
    duties: Collection[Duty] = tuple(Duty),
    now: datetime = NOW,
) -> int:
    """Somebody nobody else is; of the staff with every duty, if not told otherwise."""
    number = next(_numbers)
    with transaction() as session:
        person = add_person(
            session, role=role, name=name, contact=f"+8613{number:09d}",
            email=f"person-{number}@city.example",
            provider_code="water" if role is Role.OPERATOR else None, now=now,
        )  # fmt: skip
        assert person.id is not None
        for duty in duties if role is Role.STAFF else ():
            give_duty(session, person.id, duty, now=now)
    return person.id


def a_guest(*, email: str | None = None, now: datetime = NOW) -> int:
    """Somebody who only pays."""
    with transaction() as session:
        guest = add_guest(session, email=email, locale="zh_CN", now=now)
    assert guest.id is not None
    return guest.id


@dataclass(frozen=True)
class Home:
    """A household of one owner, and one bill for each amount that was asked for."""

    owner_id: int
    household_id: int
    refs: tuple[BillRef, ...]
    account_nos: tuple[str, ...]
    companies: tuple[str, ...]

    def correct(
        self, at: int, *, version: int, now: datetime = NOW, **changes: Any
    ) -> ImportResult:
        """Have the company send bill number ``at`` once more, changed."""
        record = a_record(self.account_nos[at], **{"version": version, **changes})
        return bring_in(self.companies[at], record, now=now)

    def cancel(self, at: int, *, version: int = 1, now: datetime = NOW) -> ImportResult:
        return self.correct(at, version=version, now=now, kind=RecordKind.CANCEL)


def a_home(
    *amounts_fen: int, owner_id: int | None = None, now: datetime = NOW, **changes: Any
) -> Home:
    """A household with one account and one bill for each amount, company after company."""
    amounts = amounts_fen or (8_650,)
    owner_id = owner_id or a_person(now=now)
    companies = tuple(COMPANIES[at % len(COMPANIES)] for at in range(len(amounts)))
    numbers = tuple(f"{next(_numbers):010d}" for _ in amounts)
    for company in dict.fromkeys(companies):
        bring_in(
            company,
            *(
                a_record(number, amount_fen=fen, **changes)
                for number, fen, own in zip(numbers, amounts, companies, strict=True)
                if own == company
            ),
            now=now,
        )
    with transaction() as session:
        household = create_household(session, name="汉口路", owner_id=owner_id, now=now)
        assert household.id is not None
        bind_accounts(session, household.id, list(zip(companies, numbers, strict=True)), now=now)
        accounts = {
            row.account_no: row.id
            for row in session.execute(
                text("SELECT id, account_no FROM utility_account WHERE account_no = ANY(:numbers)"),
                {"numbers": list(numbers)},
            )
        }
    bill_id = named_key(changes.get("billing_month", MONTH), "B1")
    refs = tuple((accounts[number], bill_id) for number in numbers)
    return Home(owner_id, household.id, refs, numbers, companies)


def the_terms(provider_code: str, toml: str, *, effective_on: date = date(2020, 1, 1)) -> None:
    """Put a company's terms in force: one person of staff proposes them, another approves."""
    proposed_by, approved_by = a_person(Role.STAFF), a_person(Role.STAFF)
    with transaction() as session:
        session.add(
            ProviderTerms(
                provider_code=provider_code, effective_on=effective_on, content=toml,
                reason="a test", proposed_by=proposed_by, proposed_at=NOW,
                approved_by=approved_by, approved_at=NOW,
            )
        )  # fmt: skip


def join(home: Home, person_id: int, role: MemberRole) -> None:
    """Take somebody into a household."""
    with transaction() as session:
        session.add(HouseholdMember(household_id=home.household_id, person_id=person_id, role=role))


def the_bill(ref: BillRef) -> Bill:
    with transaction() as session:
        return session.get_one(Bill, ref)


def as_shown(*refs: BillRef) -> list[Wanted]:
    """Bills as somebody sees them at this moment, wanted."""
    bills = [the_bill(ref) for ref in refs]
    return [Wanted(ref, max(bill.open_fen, 0)) for ref, bill in zip(refs, bills, strict=True)]


def a_payment(
    home: Home,
    *refs: BillRef,
    gateway: str = "sandbox",
    key: str | None = None,
    wanted: Sequence[Wanted] | None = None,
    payer_id: int | None = None,
    quoted_at: datetime | None = None,
    sum_fen: int | None = None,
    now: datetime = NOW,
) -> Payment:
    """Start a payment of ``refs``, or of all bills of the household; the gateway knows nothing."""
    wanted = as_shown(*(refs or home.refs)) if wanted is None else wanted
    with transaction() as session:
        return create_payment(
            session, payer_id=payer_id or home.owner_id, wanted=wanted, gateway=gateway,
            return_url="http://127.0.0.1:9/payments/{payment}",
            idempotency_key=key or f"key-{next(_numbers)}", quoted_at=quoted_at, sum_fen=sum_fen,
            now=now,
        ).payment  # fmt: skip


def says(payment: Payment, status: GatewayStatus, **changes: Any) -> GatewayReply:
    """What the gateway says of a payment; of a PAID one that it took what we asked."""
    facts: dict[str, Any] = {"status": status, "gateway_ref": f"ref-{payment.order_no}"}
    if status is GatewayStatus.PAID:
        facts |= {"amount_fen": payment.amount_fen, "paid_at": NOW + timedelta(minutes=1)}
    if status is GatewayStatus.OPEN:
        facts["pay_url"] = f"https://pay.example/{payment.order_no}"
    return GatewayReply(**facts | changes)


def book(
    payment: Payment, status: GatewayStatus, *, now: datetime = NOW, **changes: Any
) -> Payment:
    """Enter what the gateway says."""
    with transaction() as session:
        book_reply(session, payment.id, says(payment, status, **changes), now=now)
        return get_payment(session, payment.id)


def a_paid_payment(home: Home, *refs: BillRef, **changes: Any) -> Payment:
    return book(a_payment(home, *refs, **changes), GatewayStatus.PAID)


def items_of(payment: Payment) -> list[PaymentItem]:
    with transaction() as session:
        return list_items(session, payment.id)


def balances() -> dict[str, int]:
    """Debits less credits of every ledger account that is not level."""
    with transaction() as session:
        rows = session.execute(
            text("""
                SELECT a.code, sum(CASE WHEN t.debit_account_id = a.id THEN amount_fen
                                        ELSE -amount_fen END)::bigint AS fen
                FROM ledger_account a
                JOIN ledger_transfer t ON a.id IN (t.debit_account_id, t.credit_account_id)
                GROUP BY 1
            """)
        )
        return {row.code: row.fen for row in rows if row.fen}


def topics(*, like: str = "%") -> list[str]:
    """What was announced, in order."""
    with transaction() as session:
        found = session.execute(
            text("SELECT topic FROM outbox_event WHERE topic LIKE :like ORDER BY id"),
            {"like": like},
        )
        return list(found.scalars())


def violations(session: Session | None = None) -> list[str]:
    """Which invariants of the books do not hold, with the first example of each."""
    if session is None:
        with transaction() as own:
            return violations(own)
    return [f"{check.name}: {check.detail}" for check in verify(session) if not check.ok]


def at_once(acts: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run every act in a thread of its own, at one moment; give back results and errors."""
    start = threading.Barrier(len(acts))
    found: list[Any] = [None] * len(acts)

    def run(at: int) -> None:
        start.wait()
        try:
            found[at] = acts[at]()
        except Exception as error:  # noqa: BLE001  what a thread raises is a result here
            found[at] = error

    threads = [threading.Thread(target=run, args=[at]) for at in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


CAN = Capabilities(modes=("wallet",), channels=frozenset({"web", "api", "tv", "counter", "kiosk"}))
FAR = Spoken("Far", "Far")


@dataclass
class FarGateway:
    """A gateway's far side that says what a test tells it to; ``asked`` is what it was asked."""

    code: str = "sandbox"
    name: Spoken = FAR
    description: Spoken = FAR
    capabilities: Capabilities = CAN
    replies: list[GatewayReply | Exception] = field(default_factory=list)
    refund_replies: list[RefundReply | Exception] = field(default_factory=list)
    rows: list[SettlementRecord] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def _next(self, act: str, order_no: str) -> GatewayReply:
        self.asked.append((act, order_no))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    def open_order(self, order: Order) -> GatewayReply:
        return self._next("open", order.order_no)

    def query(self, asked: Asked) -> GatewayReply:
        return self._next("query", asked.order_no)

    def close(self, asked: Asked) -> GatewayReply:
        return self._next("close", asked.order_no)

    def refund(self, order: RefundOrder) -> RefundReply:
        self.asked.append((f"refund {order.amount_fen}", order.refund_no))
        reply = self.refund_replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def query_refund(self, order: RefundOrder) -> RefundReply:
        return self.refund(order)

    def read_callback(
        self, headers: Mapping[str, str], body: bytes, *, now: datetime
    ) -> Callback | None:
        raise NotImplementedError

    def answer_callback(self, *, taken: bool) -> CallbackAnswer:
        return CallbackAnswer(204 if taken else 400)

    def fetch_settlement(self, day: date) -> SettlementFetch:
        return SettlementFetch(FileState.NOT_YET)

    def read_settlement(self, stream: BinaryIO, *, day: date) -> Iterator[SettlementRecord]:
        return iter(self.rows)


@dataclass
class FarUtility:
    """A company's far side that says what a test tells it to."""

    replies: list[WriteOffReply | Exception] = field(default_factory=list)
    answers: list[WriteOffReply | Exception | None] = field(default_factory=list)  # to ``query``
    told: list[WriteOffOrder] = field(default_factory=list)

    def write_off(self, order: WriteOffOrder) -> WriteOffReply:
        self.told.append(order)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def query(self, write_off_no: str) -> WriteOffReply | None:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def fetch(self, account_no: str) -> FetchReply:
        raise NotImplementedError


AWAY = UpstreamUnavailable("the far side cannot be reached")
ACCEPTED = WriteOffReply(outcome=WriteOffOutcome.ACCEPTED, utility_ref="U-1")
REFUSED = WriteOffReply(outcome=WriteOffOutcome.REFUSED, reason="the account is closed")
NO_WORD = WriteOffReply(outcome=WriteOffOutcome.UNKNOWN)
