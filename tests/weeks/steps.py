"""What anybody may do next in a week: residents, payers, companies, gateways, our processes, staff.

Each is a function of the week. What runs as a process of ours may die; what others do may not.
"""

from datetime import timedelta

from billing.ledger import days
from core.clock import billing_date, utc_now
from core.db import acting, transaction
from core.errors import Conflict, Invalid, NotAllowed, UpstreamUnavailable
from payments import callbacks, opening, views
from payments.gateways.base import CallbackKind
from payments.models import Payment, get_payment
from payments.quotes import Wanted, offers_for
from payments.routing import Way
from payments.starting import Basket, Payer, start_payment
from payments.states import PaymentStatus
from tests.factories import as_shown
from tests.weeks.gateway_books import GatewayBooks, News
from tests.weeks.week import Attempt, Plan, Request, Week
from tests.weeks.wire import Outage
from workers import scheduler
from workers.relay import relay, ring

RETURN_URL = "http://127.0.0.1:9/payments/{payment}"


# --- residents


def pay(week: Week) -> None:
    """A resident chooses bills and pays them: what a page of ours does in one request."""
    dice = week.dice
    household = dice.choice(week.city.households)
    refs = week.city.refs_of(household)
    if not refs:
        return
    chosen = dice.sample(refs, min(len(refs), dice.choice((1, 1, 2, 3, 4))))
    basket = Basket([_want(week, want) for want in as_shown(*chosen)])
    named = dice.choice(sorted(week.books)) if dice.random() < 0.6 else None
    request = Request(
        dice.choice(household.people), basket, Way("wallet", named), f"key-{len(week.story)}"
    )
    week.requests.append(request)
    with week.process("the web process"):
        web_request(week, request)


def _want(week: Week, want: Wanted) -> Wanted:
    """Choose among what a bill offers, and now and then a part of it."""
    with transaction() as session:
        offers = offers_for(session, want.ref, now=utc_now())
    code = week.dice.choice(offers).code if offers else None
    part_fen = week.dice.choice((None, None, None, None, 100, 9_000))
    return want._replace(option_code=code, amount_fen=part_fen)


def web_request(week: Week, request: Request) -> None:
    """Start a payment as the API does, and show its payer the way."""
    try:
        payment = start_payment(
            week.adapters().gateways, request.way, request.basket,
            Payer(request.payer_id, request.channel), return_url=RETURN_URL,
            notify_url_of=lambda code: f"http://127.0.0.1:9/{code}",
            idempotency_key=request.key, now=utc_now(),
        )  # fmt: skip
    except (Conflict, Invalid) as refused:
        week.tell(f"person {request.payer_id} may not pay: {refused}")
        return
    week.tell(
        f"person {payment.payer_id} pays {payment.amount_fen} fen by {payment.gateway}: "
        f"{payment.order_no}, {len(request.basket.wanted)} bills, {payment.status}"
    )
    attempt = _known(week, payment, request)
    attempt.gateway = payment.gateway  # another may have taken it over
    attempt.linked |= payment.status is PaymentStatus.OPEN


def _known(week: Week, payment: Payment, request: Request) -> Attempt:
    for attempt in week.attempts:
        if attempt.payment_id == payment.id:
            return attempt
    attempt = Attempt(
        payer_id=request.payer_id, payment_id=payment.id, order_no=payment.order_no,
        gateway=payment.gateway, amount_fen=payment.amount_fen, expires_at=payment.expires_at,
    )  # fmt: skip
    week.attempts.append(attempt)
    return attempt


def press_again(week: Week) -> None:
    """An impatient resident sends the very same request once more (rule 30)."""
    if week.requests:
        request = week.dice.choice(week.requests[-3:])
        week.tell(f"person {request.payer_id} presses again")
        with week.process("the web process"):
            web_request(week, request)


def give_up(week: Week) -> None:
    """A resident calls a payment off, or tries to."""
    if not week.attempts:
        return
    attempt = week.dice.choice(week.attempts[-4:])
    if attempt.gateway not in week.books:
        return
    gateway = week.adapters().gateways[attempt.gateway]
    with week.process("the web process"):
        try:
            ended = opening.call_off(attempt.payment_id, gateway, now=utc_now())
            week.tell(f"person {attempt.payer_id} calls {attempt.order_no} off: {ended.status}")
        except (Conflict, UpstreamUnavailable) as refused:
            week.tell(f"person {attempt.payer_id} cannot call {attempt.order_no} off: {refused}")


def look(week: Week) -> None:
    """A resident looks at a payment: what is shown is true of the gateway at this moment."""
    if not week.attempts:
        return
    attempt = week.dice.choice(week.attempts[-6:])
    with transaction() as session:
        payment = get_payment(session, attempt.payment_id)
        shown = views.view(session, payment, gateway_name="", today=billing_date(utc_now()))
    attempt.linked |= shown.pay_url is not None
    attempt.gateway = payment.gateway
    week.tell(
        f"person {attempt.payer_id} sees {attempt.order_no}: {shown.public_status}, "
        f"{', '.join(item.outcome for item in shown.items)}"
    )
    if shown.paid_at is not None and attempt.gateway in week.books:
        order = week.books[attempt.gateway].orders.get(attempt.order_no)
        if order is None or payment.gateway_ref not in [one.ref for one in order.takings]:
            week.complain(f"{attempt.order_no} is shown as paid, and nobody paid")


def at_the_gateway(week: Week) -> None:
    """A payer who knows the way stands at the gateway, however late."""
    linked = [one for one in week.attempts if one.linked and one.gateway in week.books]
    if not linked:
        return
    dice = week.dice
    fresh = [one for one in linked if utc_now() < one.expires_at and not _is_paid(week, one)]
    attempt = dice.choice(fresh if fresh and dice.random() < 0.75 else linked[-6:])
    books = week.books[attempt.gateway]
    order = books.arrive(attempt.order_no, attempt.amount_fen, attempt.expires_at)
    what = dice.random()
    if order is None or what < 0.1:
        week.tell(f"payer of {attempt.order_no} leaves")
    elif what < 0.25:
        books.refuse(order)
        week.tell(f"payer of {attempt.order_no} is refused: {order.stage}")
    else:
        off_fen = 0
        if books.manner.takes_other_amounts and dice.random() < 0.35:
            off_fen = dice.choice((-5, -1, 1, 300))
        late_minutes = dice.randint(1, 600) if dice.random() < 0.25 else 0
        done = books.pay(order, late_minutes=late_minutes, off_fen=off_fen)
        week.tell(f"payer of {attempt.order_no}: {done}")


def _is_paid(week: Week, attempt: Attempt) -> bool:
    order = week.books[attempt.gateway].orders.get(attempt.order_no)
    return order is not None and bool(order.takings)


# --- gateways and companies


def banks_confirm(week: Week) -> None:
    """What was on its way at the gateways' banks arrives."""
    for books in week.books.values():
        for line in books.confirm_due():
            week.tell(f"{books.code} {line}")


def gateway_calls(week: Week) -> None:
    """A gateway calls us: any news it has, in no order, also what we have taken already."""
    owed = [(books, news) for books in week.books.values() for news in books.news if not news.taken]
    known = [(books, news) for books in week.books.values() for news in books.news if news.taken]
    if known and (not owed or week.dice.random() < 0.2):
        deliver(week, *week.dice.choice(known))
    elif owed:
        deliver(week, *week.dice.choice(owed))


def deliver(week: Week, books: GatewayBooks, news: News) -> None:
    """Have one callback sent; kept, or not: then it comes again."""
    headers, body = books.letter(news)
    news.tried += 1
    with week.process("the web process"):
        gateway = week.adapters().gateways[books.code]
        new = callbacks.receive(gateway, headers, body, now=utc_now())
        news.taken = True
        again = "" if new else ", known already"
        week.tell(f"{books.code} calls: {news.event_id} {news.kind} {news.reference}{again}")


def forged_call(week: Week) -> None:
    """Somebody calls in a gateway's name; or it calls about an order of nobody, or years late."""
    books = week.books[week.dice.choice(sorted(week.books))]
    news = News(f"forged-{len(week.story)}", CallbackKind.PAYMENT, "CB2601000000000099", utc_now())
    kind = week.dice.choice(("forged", "stale", "unknown"))
    if kind == "unknown" and week.unknown_orders < 2:
        week.unknown_orders += 1
        deliver(week, books, news)
        return
    known = week.dice.choice(week.attempts).order_no if week.attempts else news.reference
    news.reference = known
    age = timedelta(days=week.dice.choice((1, 900)))
    headers, body = books.letter(news, sent_at=utc_now() - age if kind == "stale" else None)
    if kind != "stale":
        headers["x-far-signature"] = "0" * 64
    try:
        callbacks.receive(week.adapters().gateways[books.code], headers, body, now=utc_now())
        week.complain(f"a {kind} callback about {known} was taken")
    except NotAllowed:
        week.tell(f"{books.code}: a {kind} callback is turned away")


def an_outage(week: Week) -> None:
    """A gateway or a company goes dark, for minutes or for days."""
    banks = [week.bank.code] if week.plan.with_bank else []
    code = week.dice.choice([*sorted(week.books), *banks, *sorted(week.companies)])
    kind, minutes = week.dice.choice(("away", "silent")), week.dice.choice((15, 240, 3_600, 6_000))
    week.wire.outages[code] = Outage(kind, utc_now() + timedelta(minutes=minutes))
    week.tell(f"{code} is {kind} for {minutes} minutes")


def company_sends(week: Week) -> None:
    """A company sends a file: a bill, a correction, a cancellation or a reminder."""
    household = week.dice.choice(week.city.households)
    account = week.dice.choice(household.accounts)
    make = week.city.next_bill if week.dice.random() < 0.5 else week.city.next_change
    sent = week.city.send(account.company, [make(account)])
    what = f"{sent.rows[0].kind} {sent.rows[0].bill_no} of {account.account_no}"
    week.tell(f"{account.company} sends file {sent.file_id}: {what}")
    file_lands(week)


def file_lands(week: Week) -> None:
    """A worker imports the oldest file that has not landed."""
    if week.city.unfinished:
        sent = week.city.unfinished[0]
        with week.process("the importing process"):
            week.city.land(sent)
            week.tell(f"file {sent.file_id} has landed")


# --- our own processes


def relay_round(week: Week) -> None:
    """The scheduler turns news into jobs, and rings for what is due."""
    with week.process("the scheduler"):
        with acting() as session:
            relayed = relay(session, now=utc_now())
        ring(now=utc_now(), new=relayed.due)


def plan(week: Week) -> None:
    """The scheduler makes the jobs of the clock."""
    with week.process("the scheduler"):
        scheduler.schedule(now=utc_now())


def work(week: Week) -> None:
    """A worker hears bells: mostly in order, now and then one twice."""
    for _ in range(week.dice.choice((1, 2, 4))):
        if not week.bells:
            return
        at = 0 if week.dice.random() < 0.7 else week.dice.randrange(len(week.bells))
        job_ids = week.bells.pop(at)
        if week.dice.random() < 0.03:
            week.bells.append(job_ids)
        week.run_jobs(job_ids)


def tell_people(week: Week) -> None:
    """A worker of notices hears its bell."""
    week.hand_over()


def bells_are_lost(week: Week) -> None:
    """Redis forgets everything."""
    week.bells.clear()
    week.tell("Redis forgets everything")


def a_day_is_closed(week: Week) -> None:
    """Staff close the oldest day that is over."""
    with week.process("the console"), transaction() as session:
        day = days.next_to_close(session, today=billing_date(utc_now()))
        if day is not None:
            days.close_day(session, day, closed_by="a clerk", now=utc_now())
            week.tell(f"{day} is closed")


ONLINE = Plan({
    pay: 14, press_again: 3, give_up: 1, look: 5, at_the_gateway: 24, banks_confirm: 6,
    gateway_calls: 14, forged_call: 1, an_outage: 1, company_sends: 2, file_lands: 1,
    relay_round: 20, plan: 1, work: 30, tell_people: 8, bells_are_lost: 1, a_day_is_closed: 1,
})  # fmt: skip
