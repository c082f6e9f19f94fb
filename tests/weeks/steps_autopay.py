"""Steps of autopay: payers agree, change their minds here or there, bills come to be debited."""

from datetime import timedelta

from sqlalchemy import text

from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import Conflict, Invalid, NotFound, UpstreamUnavailable
from payments.autopay import mandates
from payments.autopay.mandates import Scope
from payments.autopay.rules import CapKind, FirstBill, PayDay, Rules
from payments.gateways.bank_debit import CODE as BANK
from payments.gateways.base import CallbackKind, MandateState
from tests.weeks.agreed import Agreed
from tests.weeks.far_mandates import Mandates
from tests.weeks.steps import file_lands
from tests.weeks.week import Week, instead
from workers import scheduler

MOST_MANDATES, MOST_BILLS = 3, 6
CLOCK_JOBS = ("payments.plan_autopay", "payments.settle_autopay", "payments.collect")
_ACTIVE = text("SELECT id FROM mandate WHERE status = 'active'")
_CAPS = (9_000, 12_345, 20_000)


def sign_up(week: Week) -> None:
    """A resident sets autopay up, for an account or all of a home."""
    if len(week.agreed) >= MOST_MANDATES:
        return
    dice = week.dice
    home = dice.choice(week.city.households)
    person_id, account = dice.choice(home.people), dice.choice(home.accounts)
    whole = dice.random() < 0.3
    scope = Scope(None, home.household_id) if whole else Scope(account.account_id, None)
    gateway = dice.choice([BANK, *(code for code in week.books if week.books[code].manner.debits)])
    rules = _rules(week)
    with week.process("the web process"):
        try:
            with transaction() as session:
                made = mandates.create_mandate(
                    session, person_id=person_id, scope=scope, gateway=gateway, rules=rules,
                    return_url="http://127.0.0.1:9/autopay/{mandate}", key=f"m-{len(week.story)}",
                    now=utc_now(),
                )  # fmt: skip
        except (Conflict, NotFound) as refused:
            week.tell(f"person {person_id} gets no autopay: {refused}")
            return
        agreed = Agreed(made.id, made.mandate_no, person_id, gateway,
                        home.accounts if whole else [account])  # fmt: skip
        if rules.cap_fen is not None:
            agreed.caps.append((utc_now(), rules.cap_fen, True))
        week.agreed.append(agreed)
        week.tell(f"person {person_id} sets autopay up: {made.mandate_no} at {gateway}, {rules}")
        adapter = mandates.debiting(week.adapters().gateways, gateway)
        try:
            mandates.sign(made.id, adapter, notify_url="http://127.0.0.1:9/", now=utc_now())
        except UpstreamUnavailable:
            week.tell(f"{gateway} cannot be asked for the page")


def _rules(week: Week) -> Rules:
    dice = week.dice
    kind = dice.choice((CapKind.MAX, CapKind.MAX, CapKind.NONE, CapKind.FIXED))
    first = (FirstBill.SAME, FirstBill.SAME, FirstBill.TELL, FirstBill.MORE)
    cap_fen = {CapKind.NONE: None, CapKind.FIXED: 8_650}.get(kind, dice.choice(_CAPS))
    return Rules(
        cap_kind=kind, cap_fen=cap_fen, in_parts=dice.random() < 0.5,
        first_bill=dice.choice(first if kind is CapKind.MAX else first[:2]),
        pay_day=PayDay.BEFORE if (days := dice.choice((0, 0, 1, 2))) else PayDay.DUE,
        pay_day_n=days or None,
    )  # fmt: skip


def _there(week: Week, code: str) -> Mandates:
    return week.bank.mandates if code == BANK else week.books[code].mandates


def payer_agrees(week: Week) -> None:
    """A payer answers at the gateway's page: yes as a rule. The bank tells nobody."""
    for code in (BANK, *week.books):
        asked = _there(week, code).in_state(MandateState.OPEN)
        if asked:
            one = week.dice.choice(asked)
            agrees = week.dice.random() < 0.92
            one.state = MandateState.ACTIVE if agrees else MandateState.REFUSED
            week.tell(f"payer of {one.mandate_no} answers at {code}: {one.state}")
            if code != BANK:
                week.books[code].tell(CallbackKind.MANDATE, one.mandate_no)
            return


def mandate_ends_there(week: Week) -> None:
    """A payer ends a mandate at the gateway or the bank, and not with us."""
    agreed = [(code, one) for code in (BANK, *week.books)
              for one in _there(week, code).in_state(MandateState.ACTIVE)]  # fmt: skip
    if agreed:
        code, one = week.dice.choice(agreed)
        one.state = MandateState.ENDED
        week.tell(f"payer of {one.mandate_no} ends it at {code}")
        if code != BANK:
            week.books[code].tell(CallbackKind.MANDATE, one.mandate_no)


def payer_changes(week: Week) -> None:
    """A payer pauses a mandate, resumes it, sets another cap, or ends it."""
    if not week.agreed:
        return
    one = week.dice.choice(week.agreed)
    what = week.dice.choice(("pause", "resume", "resume", "cap", "cap", "end"))
    facts = one.mandate_id, one.person_id
    cap_fen = week.dice.choice((*_CAPS, 5_000))
    if what == "cap" and one.caps:
        one.caps.append((utc_now(), cap_fen, False))
    with week.process("the web process"):
        try:
            with transaction() as session:
                match what:
                    case "pause":
                        mandates.pause(session, *facts, now=utc_now())
                    case "resume":
                        mandates.resume(session, *facts, now=utc_now())
                    case "cap":
                        mandates.change_cap(session, *facts, cap_fen, now=utc_now())
                    case "end":
                        mandates.end(session, *facts, now=utc_now())
        except (Conflict, Invalid) as refused:
            week.tell(f"{one.mandate_no}: {what} is refused: {refused}")
            if what == "cap" and one.caps:
                one.caps.pop()
            return
        if what == "cap" and one.caps:
            one.caps[-1] = one.caps[-1][0], cap_fen, True
        week.tell(f"person {one.person_id}: {what} of {one.mandate_no} {cap_fen}")


def bill_to_debit(week: Week) -> None:
    """A company sends a bill that a mandate covers, due within days."""
    with transaction() as session:
        active = set(session.execute(_ACTIVE).scalars())
    live = [one for one in week.agreed if one.mandate_id in active]
    if not live or week.billed >= MOST_BILLS:
        return
    account = week.dice.choice(week.dice.choice(live).accounts)
    today = billing_date(utc_now())
    row = week.city.next_bill(account)._replace(
        issued_on=today, due_on=today + timedelta(days=week.dice.randint(6, 11)),
        amount_fen=week.dice.choice((8_650, 8_650, 12_345, 19_000)), pay_terms=None,
    )  # fmt: skip
    week.billed += 1
    sent = week.city.send(account.company, [row])
    week.tell(f"{account.company} sends file {sent.file_id}: bill {row.bill_no} to be debited")
    file_lands(week)


def autopay_hour(week: Week) -> None:
    """The scheduler makes autopay's jobs of the clock."""
    with week.process("the scheduler"):
        schedule_only(week, *CLOCK_JOBS)


def schedule_only(week: Week, *wanted: str) -> None:
    """Make the jobs of this period, of these tasks alone."""
    with instead(scheduler, "SCHEDULE", {one: scheduler.SCHEDULE[one] for one in wanted}):
        made = scheduler.schedule(now=utc_now())
    week.tell(f"{made} jobs of autopay are due")
