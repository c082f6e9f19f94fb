"""Steps at the counter: residents with a paper or a code, agents who tell, and their day files."""

import io
from datetime import date, datetime

from sqlalchemy import text

from billing.documents.barcodes import barcode_digits
from core.clock import BILLING_ZONE, billing_date, utc_now
from core.db import transaction
from core.errors import Conflict
from core.settings import settings
from payments.counter import over_the_counter
from payments.counter.holds import Rules, stand
from payments.counter.models import CashState
from payments.counter.over_the_counter import Cash
from payments.gateways.counter import CODE, order_code
from payments.reconciliation.gateway import matching
from payments.routing import Way
from payments.starting import Basket
from providers.registry import PROVIDERS
from tests.factories import as_shown
from tests.weeks.drawers import AGENTS, FarCash
from tests.weeks.steps import web_request
from tests.weeks.week import Request, Week

_PAPERS = text("""
    SELECT a.provider_code, a.account_no, b.billing_month, b.amount_fen,
           b.amount_fen + b.adjusted_fen - b.paid_fen - b.credited_fen AS open_fen
    FROM bill b JOIN utility_account a ON a.id = b.account_id
    WHERE b.account_id = ANY(:accounts) AND b.amount_fen > 0 ORDER BY b.account_id, b.id
""")


def pay_in_cash(week: Week) -> None:
    """A resident chooses bills at a kiosk and is shown a code to pay them by at a shop."""
    from_, dice = week.dice.choice(week.city.households), week.dice
    refs = week.city.refs_of(from_)
    if not refs:
        return
    basket = Basket(as_shown(*dice.sample(refs, min(len(refs), dice.choice((1, 2))))))
    request = Request(
        dice.choice(from_.people), basket, Way("cash", CODE), f"key-{len(week.story)}", "kiosk"
    )
    week.requests.append(request)
    with week.process("the web process"):
        web_request(week, request)


def at_the_counter(week: Week) -> None:
    """Somebody lays cash down: by a code or by a paper, which may be old, or paid already."""
    dice = week.dice
    barcode, printed_fen = _what_is_scanned(week)
    if not barcode:
        return
    agent, amount_fen = dice.choice(AGENTS), printed_fen
    if dice.random() < 0.8:  # their lines are up
        with week.process("the web process"):
            rules = Rules(agent=agent)
            with transaction() as session:
                told = stand(session, barcode, rules, now=utc_now())
            week.tell(f"{agent} asks about {barcode}: {told.reason or told.amount_fen}")
            if told.reason is None:
                amount_fen = told.amount_fen or 0
            elif dice.random() < 0.7:
                return
    if amount_fen <= 0 or dice.random() < 0.15:
        return
    cash = week.drawers.put(agent, barcode, amount_fen, utc_now())
    week.tell(f"{agent} takes {amount_fen} fen for {barcode}: {cash.name}")
    if dice.random() < 0.6:
        tell_of(week, cash)


def _what_is_scanned(week: Week) -> tuple[str, int]:
    codes = [one for one in week.attempts if one.gateway == CODE]
    if codes and week.dice.random() < 0.4:
        attempt = week.dice.choice(codes[-3:])
        return order_code(attempt.order_no), attempt.amount_fen
    household = week.dice.choice(week.city.households)
    with transaction() as session:
        values = {"accounts": [account.account_id for account in household.accounts]}
        papers = session.execute(_PAPERS, values).all()
    if not papers:
        return "", 0
    paper = week.dice.choice(papers)
    shown_fen = paper.open_fen if paper.open_fen > 0 else paper.amount_fen
    printed_fen = week.dice.choice((shown_fen, paper.amount_fen))
    biller_no = PROVIDERS[paper.provider_code].biller_no
    code = barcode_digits(biller_no, paper.account_no, paper.billing_month, printed_fen)
    return code, printed_fen


def agents_tell(week: Week) -> None:
    """An agent tells of cash, late perhaps; now and then of what it has told of before."""
    untold = week.drawers.untold()
    if untold and week.dice.random() < 0.8:
        tell_of(week, week.dice.choice(untold))
    elif week.drawers.cash:
        tell_of(week, week.dice.choice(week.drawers.cash))


def tell_of(week: Week, cash: FarCash) -> None:
    """Tell of cash once more; the answer is the same for ever, but for what was given back."""
    told = Cash(
        agent_txn_no=cash.agent_txn_no, barcode=cash.barcode, amount_fen=cash.amount_fen,
        paid_at=cash.paid_at,
    )  # fmt: skip
    with week.process("the web process"):
        with transaction() as session:
            row = over_the_counter.take(session, cash.agent, told, now=utc_now())
        hears(week, cash, row.state)


def hears(week: Week, cash: FarCash, state: CashState) -> None:
    """Keep what an agent was answered, and hold it against what it heard before."""
    week.tell(f"{cash.agent} hears of {cash.name}: {state}")
    changed = cash.answer is not None and cash.answer is not state
    if changed and not (cash.answer is CashState.SUSPENDED and state is CashState.RETURNED):
        week.complain(f"{cash.name} was {cash.answer}, and is {state} now")
    cash.answer = state


def give_cash_back(week: Week) -> None:
    """An agent gives cash back that no bill took, with our leave; the payer stands there."""
    cases = [one for one in week.drawers.cash if one.wants_back and one.back_at is None]
    cases = cases or [
        one for one in week.drawers.cash
        if one.answer is CashState.SUSPENDED and one.back_at is None
        and billing_date(one.paid_at) == billing_date(utc_now())
    ]  # fmt: skip
    if cases:
        ask_for_it_back(week, week.dice.choice(cases))


def ask_for_it_back(week: Week, cash: FarCash) -> None:
    """Ask leave to give cash back; without an answer it is asked again."""
    cash.wants_back = True
    until = datetime.combine(
        billing_date(cash.paid_at), settings().counter_reversal_until, BILLING_ZONE
    )
    with week.process("the web process"):
        try:
            with transaction() as session:
                row = over_the_counter.give_back(
                    session, cash.agent, cash.agent_txn_no, until=until, now=utc_now()
                )
        except Conflict as refused:
            week.tell(f"{cash.name} stays in the drawer: {refused}")
            cash.wants_back = False
            return
        cash.wants_back, cash.back_at, cash.return_no = False, row.returned_at, row.return_no or ""
        hears(week, cash, row.state)


def day_file(week: Week) -> None:
    """The agents' file of a day that is over comes: what we never heard of is in it."""
    today = billing_date(utc_now())
    due = [day for day in week.drawers.days() if day < today and day not in week.drawers.filed]
    if due:
        with week.process("the importing process"):
            result = take_in_file(week, due[0])
            week.tell(f"day file of {due[0]}: {result.breaks} differences")
            week.drawers.filed.add(due[0])


def take_in_file(week: Week, day: date) -> matching.ReconciliationResult:
    """Reconcile a day of cash."""
    with transaction() as session:
        return matching.reconcile(
            session, week.adapters().gateways[CODE], io.BytesIO(week.drawers.file_of(day)),
            day=day, file_name=f"counter-{day}.csv", now=utc_now(),
        )  # fmt: skip


def agents_finish(week: Week) -> None:
    """Every agent tells what it has not told, and has its answers."""
    for cash in week.drawers.untold():
        tell_of(week, cash)
    for cash in week.drawers.cash:
        if cash.wants_back and cash.back_at is None:
            ask_for_it_back(week, cash)
