"""Who may: every route has one rule, and no cell of the matrix grants what it should not."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts

from billing.bills import format_ref
from billing.documents import batches
from billing.documents.batches import BatchKind
from core.clock import utc_now
from core.db import transaction
from identity.duties import Duty
from identity.models import Role
from providers.base import Reject
from tests.factories import MONTH, a_guest, a_home, a_paid_payment, a_person, a_record, bring_in
from tests.payments.autopay.autopaying import a_mandate
from tests.web.conftest import Browser, a_browser, signed_in, with_key
from web import access
from web.app import create_app
from web.pages.edition import NAMES

OPEN = {"anyone", "visitor"}
WITHOUT_RULE = {"/api/v1/openapi.json", "/static"}  # the same for everybody, and no data in them


def rules_of(dependant: Any) -> list[str]:
    """The rules in a route's tree of dependencies, however deep."""
    own = [rule.__name__ for rule in access.RULES if dependant.call is rule]
    return own + [name for inner in dependant.dependencies for name in rules_of(inner)]


def routes() -> list[RouteContext]:
    return [
        route
        for route in iter_route_contexts(create_app().routes)
        if route.path not in WITHOUT_RULE
    ]


ROUTES = [
    (method, route.path, rules_of(route.dependant))
    for route in routes()
    for method in sorted(route.methods)
]


class TestRules:
    def test_there_are_routes_to_look_at(self):
        assert len(ROUTES) > 35

    @pytest.mark.parametrize(("method", "path", "rules"), ROUTES)
    def test_every_route_has_exactly_one_rule(self, method, path, rules):
        assert len(rules) == 1, f"{method} {path} depends on {rules}"

    def test_only_these_are_open_to_everybody(self):
        found = {f"{method} {path}" for method, path, rules in ROUTES if OPEN & set(rules)}

        assert found == {
            "GET /healthz", "GET /readyz", "POST /api/v1/sign-in-codes", "POST /api/v1/sessions",
            "POST /api/v1/carriers/{code}/receipts", "GET /api/v1/carriers/{code}/receipts",
            "POST /api/v1/carriers/{code}/receipts/{token}",
            "POST /api/v1/carriers/{code}/replies", "POST /api/v1/carriers/{code}/replies/{token}",
            "POST /api/v1/callbacks/{gateway}", "GET /sign-in", "POST /sign-in",
            "GET /sign-in/code", "POST /sign-in/code", "POST /sign-out", "POST /language",
            "POST /api/v1/television-codes", "POST /api/v1/television-tokens", "GET /tv",
            "GET /tv/rest", "POST /edition", *(f"GET /{name}" for name in NAMES),
            "GET /sw.js", "GET /offline", "GET /manifest.webmanifest",
            "GET /unsubscribe/{token}", "POST /unsubscribe/{token}", "GET /calendar/{token}.ics",
            "GET /api/v1/indicators", "GET /pay", "POST /pay/account", "POST /api/v1/pay-grants",
            "GET /receipts/{payment_id}/{until}/{signature}", "POST /payments/{payment_id}",
        }  # fmt: skip


class Numbers(dict[str, str]):
    """What stands in addresses; nothing has the number of what is not named."""

    def __missing__(self, name: str) -> str:
        return "1"


@dataclass
class World:
    """Resident A with a bill, a payment and a water file; everybody else with none of them."""

    app: FastAPI
    people: dict[str, int]
    companies: dict[str, Browser]
    path: Numbers

    kept: dict[str, Browser] = field(default_factory=dict)  # of those who have looked

    def browser(self, who: str) -> Browser:
        """Fresh every time: some routes sign out."""
        if who in self.people:
            return signed_in(self.app, self.people[who])
        return self.companies[who] if who in self.companies else a_browser(self.app)

    def looker(self, who: str) -> Browser:
        """Signed in once, for what changes nothing."""
        if who not in self.kept:
            self.kept[who] = self.browser(who)
        return self.kept[who]


@pytest.fixture(scope="module")
def world(app: FastAPI, kept_city: None) -> Iterator[World]:
    now = utc_now()
    home = a_home(8_650, now=now)
    payment = a_paid_payment(home, now=now)
    mandate = a_mandate(home, now=now)
    a_home(1_000, now=now)
    other = a_home(500, owner_id=home.owner_id, now=now)  # of A as well: what acts take away
    bad = Reject(2, "应缴金额", "finer than a fen", "D|1|12.345")
    file = bring_in("water", a_record("1"), bad)
    with transaction() as session:
        batch_id = batches.order(
            session, BatchKind.BILLS, provider_code="water", month=MONTH, by=home.owner_id, now=now
        ).id
    return World(
        app,
        {
            "A": home.owner_id, "B": a_person(), "staff": a_person(Role.STAFF),
            **{duty.value: a_person(Role.STAFF, duties=[duty]) for duty in Duty},
            "idle": a_person(Role.STAFF, duties=[]),
            "operator": a_person(Role.OPERATOR),  # of water
            "guest": a_guest(now=now),
        },
        {"water": with_key(app, "water"), "gas": with_key(app, "gas")},
        Numbers({
            "ref": format_ref(home.refs[0]), "payment_id": str(payment.id), "code": "water",
            "bill_file_id": str(file.bill_file_id), "source": "sandbox", "gateway": "sandbox",
            "day": "2026-11-20", "key_id": "ck_0",
            "until": "1", "signature": "0",
            "mandate_id": str(mandate.id), "barcode": "9" * 30, "agent_txn_no": "1",
            "number": "R0", "decision": "approval", "kind": "csv",
            "batch_id": str(batch_id), "no": "1",
            "household_id": str(other.household_id), "account_id": str(other.refs[0][0]),
            "act": "sending", "message_id": "1", "month": "2026-10",
            "event": "sign_in.code", "form": "letter", "locale": "en", "edition": "plain",
        }),
    )  # fmt: skip


TURNED_AWAY = {303, 401, 403, 404}
EXPECTED: dict[str, dict[str, set[int]]] = {
    "resident": {"anonymous": {303, 401}, "water": {303, 401}, "gas": {303, 401}},
    "looker": {"anonymous": {303, 401}, "water": {303, 401}, "gas": {303, 401}},
    "payer": {"anonymous": {303, 401}, "water": {303, 401}, "gas": {303, 401}},
    "staff": {
        "anonymous": {303, 401}, "water": {303, 401}, "gas": {303, 401}, "A": {403}, "B": {403},
        "operator": {403},
    },
    "operator": {
        "anonymous": {303, 401}, "water": {303, 401}, "gas": {303, 401}, "A": {403}, "B": {403},
        "staff": {403},
    },
    "company": {
        "anonymous": {401}, "A": {401}, "B": {401}, "staff": {401}, "operator": {401},
        "gas": {403},
    },
    "sender": {
        "anonymous": {401}, "A": {401}, "B": {401}, "staff": {401}, "operator": {401},
        "gas": {404},
    },
    # Its own signature, of the body: no sign-in and no API key opens it.
    "webhook": {
        who: {401} for who in ("anonymous", "A", "B", "staff", "operator", "water", "gas")
    },
    # The same: a company is no agent, whatever it signs with.
    "agent": {
        who: {401} for who in ("anonymous", "A", "B", "staff", "operator", "water", "gas")
    },
    # A television's own cookie: whoever is signed in, it shows nobody's bills.
    "television": {
        who: {303} for who in ("anonymous", "A", "B", "staff", "operator", "water", "gas")
    },
}  # fmt: skip
STAFF = ("staff", *(duty.value for duty in Duty), "idle")  # with all duties, one each, none
OPENED_BY = {
    "service": {"service"}, "finance": {"finance"}, "either": {"service", "finance"},
    "setup": {"setup"}, "admin": {"admin"},
}  # fmt: skip
CALLERS = ("anonymous", "A", "B", *STAFF, "operator", "water", "gas", "guest")


def expected(rule: str, who: str) -> set[int] | None:
    """How somebody is turned away by a rule; none if they are not."""
    if who == "guest" and rule not in {*OPEN, "payer"}:
        return {303, 401}  # as if nobody was signed in
    by_duty = OPENED_BY.get(rule)
    if by_duty is None:
        return EXPECTED.get(rule, {}).get("staff" if who in STAFF else who)
    if who in STAFF and who != "staff":
        return None if who in by_duty else {403}
    return EXPECTED["staff"].get(who)


def _is_of_somebody(path: str) -> bool:
    return "{ref}" in path or "{payment_id}" in path


# First what only looks: nobody has been signed out by then.
LOOKING_FIRST = sorted(ROUTES, key=lambda route: route[0] != "GET")


@pytest.mark.parametrize(("method", "path", "rules"), LOOKING_FIRST)
def test_no_cell_of_the_matrix_grants_what_it_should_not(world, method, path, rules):
    """All who may call in one test: to begin and end one each takes longer than to ask."""
    granted = {who: cell(world, method, path, rules[0], who) for who in CALLERS}

    assert {who: wrong for who, wrong in granted.items() if wrong} == {}


def cell(world: World, method: str, path: str, rule: str, who: str) -> str:
    """Ask as somebody; return the answer if it is none they should get."""
    looks = method == "GET"
    browser = world.looker(who) if looks else world.browser(who)
    wanted = expected(rule, who)
    form = {"csrf": browser.csrf} if wanted == {403} else {}  # so that not the form is refused
    answer = browser.request(method, path.format_map(world.path), data=form)

    if (
        rule in {"resident", "looker", "payer"}
        and wanted is None
        and who != "A"
        and _is_of_somebody(path)
    ):
        form = method == "POST" and not path.startswith("/api/")
        wanted = (
            {403, 404} if form else {404}
        )  # resident A's own; a form's token is looked at first
    said, to = answer.status_code, answer.headers.get("location", "")
    if wanted is None:
        right = said not in {401, 500} and (said != 403 or method == "POST")
        right = right and not (looks and who in world.people and to.startswith("/sign-in?next="))
    else:
        right = said in wanted and (said != 303 or to.startswith(("/sign-in?next=", "/tv")))
    return "" if right else f"{said} {to} {answer.text}"


class TestOthers:
    """Somebody else's and nobody's are told apart by nobody."""

    @pytest.mark.parametrize(
        ("path", "key"),
        [
            ("/bills/{}", "ref"), ("/bills/{}.pdf", "ref"), ("/payments/{}", "payment_id"),
            ("/api/v1/bills/{}", "ref"), ("/api/v1/bills/{}.pdf", "ref"),
            ("/api/v1/payments/{}", "payment_id"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("who", ["B", "staff"])
    def test_the_two_answers_are_the_same(self, world, path, key, who):
        browser = world.browser(who)
        number = world.path[key]
        nobodys = number[:-1] + str((int(number[-1]) + 1) % 10)
        answers = []

        for name in (number, nobodys):
            answer = browser.get(path.format(name), headers={"X-Request-Id": "same"})
            assert answer.status_code == 404
            headers = {k: v for k, v in answer.headers.items() if k != "content-length"}
            answers.append((answer.text.replace(name, "…"), headers))

        assert answers[0] == answers[1]

    def test_their_owner_sees_them(self, world):
        browser = world.browser("A")

        for path in ("/bills/{ref}", "/bills/{ref}.pdf", "/payments/{payment_id}",
                     "/api/v1/bills/{ref}", "/api/v1/bills/{ref}.pdf",
                     "/api/v1/payments/{payment_id}"):  # fmt: skip
            assert browser.get(path.format(**world.path)).status_code == 200, path

    @pytest.mark.parametrize(
        "junk", ["9" * 30, "-1", "0", "1.5", "x", "%00", "٣", "1e3", "1.99999999999999999999"]
    )
    def test_junk_in_an_address_is_no_fault_of_ours(self, world, junk):
        for who, path in (
            ("A", "/bills/{}"), ("A", "/bills/{}.pdf"), ("A", "/payments/{}"),
            ("A", "/api/v1/bills/{}"), ("A", "/api/v1/payments/{}"),
            ("water", "/api/v1/bill-files/{}"),
            ("water", "/api/v1/bill-files/{}/rejects.csv"), ("staff", "/console/bill-files/{}"),
            ("staff", "/console/reconciliations/{}/2026-11-20"),
            ("staff", "/api/v1/reconciliations/{}/2026-11-20"),
            ("staff", "/api/v1/reconciliations/sandbox/{}"),
            ("staff", "/console/breaks/{}"), ("staff", "/console/breaks?after={}"),
            ("staff", "/api/v1/breaks?cursor={}"),
        ):  # fmt: skip
            answer = world.browser(who).get(path.format(junk))
            assert answer.status_code in {404, 422}, (path, answer.text)


def test_the_api_takes_no_cookie(app):
    """A browser sends it along with what other sites ask for."""
    browser = signed_in(app, a_person())
    browser.token = ""

    assert browser.get("/notices").status_code == 200
    assert browser.get("/api/v1/notices").status_code == 401
