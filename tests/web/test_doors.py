"""What a stranger at a door gets: nothing of others, no fault of ours, and no end of tries."""

import re
from contextlib import suppress
from datetime import timedelta

import pytest
from fastapi import FastAPI
from sqlalchemy import text
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from billing.bills import format_ref
from core.clock import utc_now
from core.db import transaction
from core.errors import TooMany
from core.keys import named_key
from identity import sign_in, televisions
from identity.models import Role
from identity.people import add_person, get_person
from notifications.choice.browsers import keep_browser
from tests.factories import MONTH, a_home, a_person, a_record, bring_in
from tests.web.conftest import PUBLIC_URL, Browser, a_browser, signed_in
from tests.web.test_access import ROUTES, Numbers
from tests.web.test_signing_in import the_code
from web.edge import Edge
from web.errors import Unforeseen

pytestmark = pytest.mark.usefixtures("city")
SECRET = "signs the codes of these tests"


def contact_of(person_id: int) -> str:
    with transaction() as session:
        return get_person(session, person_id).contact or ""


class TestInvited:
    @pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
    def test_no_first_day_takes_their_pages_from_somebody(self, app, day):
        home, me = a_home(8_650, now=utc_now()), a_person()
        host, mine = signed_in(app, home.owner_id), signed_in(app, me)
        host.send_form(
            "/household/invite",
            {"home": home.household_id, "contact": contact_of(me), "role": "pay",
             "from_on": day, "earlier_bills": "no"},
        )  # fmt: skip
        mine.send_form("/household/answer", {"invitation": 1, "choice": "accept"})

        for path in ("/", "/household", "/bills", "/usage", "/autopay"):
            assert mine.get(path).status_code == 200, path


class TestPapers:
    @pytest.mark.parametrize("number", ["沪水-1", 'a"b', "a/b"])
    def test_a_bill_has_its_paper_whatever_its_number(self, app, number):
        home = a_home(8_650, now=utc_now())
        bring_in("water", a_record(home.account_nos[0], number), now=utc_now())
        ref = format_ref((home.refs[0][0], named_key(MONTH, number)))
        mine = signed_in(app, home.owner_id)

        for path in (f"/bills/{ref}.pdf", f"/api/v1/bills/{ref}.pdf"):
            answer = mine.get(path)
            assert answer.status_code == 200
            assert answer.headers["content-disposition"].startswith("inline; filename")
            assert '"b' not in answer.headers["content-disposition"]


PLACES = [
    (method, path, name)
    for method, path, _ in ROUTES
    for name in re.findall(r"{(\w+)}", path)
    if method != "DELETE"
]


class TestAddresses:
    @pytest.mark.parametrize("role", [Role.RESIDENT, Role.OPERATOR, Role.STAFF])
    def test_no_character_a_database_cannot_hold_is_a_fault_of_ours(self, app, role):
        browser = signed_in(app, a_person(role))
        numbers = Numbers({"day": "2026-11-20", "kind": "csv", "form": "csv", "act": "sending"})

        for method, path, name in PLACES:
            asked = path.format_map(Numbers({**numbers, name: "x%00y"}))
            form = {"csrf": browser.csrf, "words": "x", "reason": "x"}
            answer = browser.request(method, asked, data=form if method == "POST" else None)
            assert answer.status_code < 500, (method, asked)


def at(app: FastAPI, address: str) -> Browser:
    """A browser at an address of the internet."""
    return Browser(app, base_url=PUBLIC_URL, follow_redirects=False, client=(address, 50_000))


class TestGuessing:
    """One-time codes have six digits: how often anybody may guess is what keeps people out."""

    def test_twenty_wrong_codes_a_day_and_then_none_is_sent(self, app):
        contact = contact_of(a_person())
        now = utc_now()
        for hours in range(1, 24):  # as slowly as the hour's five codes allow
            with transaction() as session, suppress(TooMany):
                issued = sign_in.issue_code(
                    session, contact, secret=SECRET, now=now - timedelta(hours=24 - hours)
                )
                assert issued
                for _ in range(5):
                    sign_in.check_code(
                        session, contact, "x", secret=SECRET,
                        now=now - timedelta(hours=24 - hours),
                    )  # fmt: skip

        with transaction() as session:
            tries = session.execute(text("SELECT sum(tries) FROM sign_in_code")).scalar_one()
        assert tries == sign_in.TRIES_A_DAY
        with transaction() as session:
            assert sign_in.issue_code(
                session, contact, secret=SECRET, now=now + timedelta(hours=24)
            )

    def test_an_address_that_guesses_at_everybodys_is_held_up_and_nobody_else(self, app):
        people = [contact_of(a_person()) for _ in range(3)]
        thief = at(app, "203.0.113.9")
        for n in range(sign_in.WRONG_FROM_ADDRESS):
            answer = thief.post(
                "/api/v1/sessions", json={"contact": people[n % 3], "code": "000000"}
            )
            assert answer.status_code == 401
        a_browser(app).post("/api/v1/sign-in-codes", json={"contact": people[0]})
        right = {"contact": people[0], "code": the_code()}

        by_page = at(app, "203.0.113.9")
        by_page.open_form("/sign-in")
        assert by_page.send_form("/sign-in/code", right).status_code == 429
        assert thief.post("/api/v1/sessions", json=right).status_code == 429
        assert at(app, "203.0.113.10").post("/api/v1/sessions", json=right).status_code == 201

    def test_an_address_does_not_have_the_city_texted(self, app):
        known, unknown = contact_of(a_person()), "19900000000"
        thief = at(app, "203.0.113.9")

        said = [
            thief.post("/api/v1/sign-in-codes", json={"contact": one}).status_code
            for one in (known, unknown) * (sign_in.CODES_FROM_ADDRESS // 2 + 1)
        ]

        assert said == [202] * sign_in.CODES_FROM_ADDRESS + [429] * 2
        by_page = at(app, "203.0.113.9")
        by_page.open_form("/sign-in")
        assert by_page.send_form("/sign-in", {"contact": known}).status_code == 429
        elsewhere = at(app, "203.0.113.10")
        assert elsewhere.post("/api/v1/sign-in-codes", json={"contact": known}).status_code == 202


def test_signing_out_takes_the_cookie_from_the_browser(app):
    """A browser takes no word about a ``__Host-`` cookie that is not Secure."""
    answer = signed_in(app, a_person()).send_form("/sign-out")

    [said] = [one for one in answer.headers.get_list("set-cookie") if "__Host-" in one]
    assert "Secure" in said
    assert "Max-Age=0" in said


class TestOnePerson:
    """However somebody writes their phone number, it is theirs."""

    @pytest.mark.parametrize(
        "typed",
        ["13800001234", "+86 138-0000-1234", "8613800001234", "0086 13800001234",
         "１３８００００１２３４", "＋86 138 0000 1234"],
    )  # fmt: skip
    @pytest.mark.parametrize("kept", ["13800001234", "+8613800001234"])
    def test_a_code_comes_and_lets_them_in(self, app, kept, typed):
        with transaction() as session:
            add_person(session, role=Role.RESIDENT, name="王珅", contact=kept, now=utc_now())
        program = a_browser(app)

        program.post("/api/v1/sign-in-codes", json={"contact": typed})
        answer = program.post("/api/v1/sessions", json={"contact": typed, "code": the_code()})

        assert answer.status_code == 201

    def test_who_is_invited_by_the_other_way_to_write_it_is_no_second_person(self, app):
        home = a_home(8_650, now=utc_now())
        with transaction() as session:
            me = add_person(
                session, role=Role.RESIDENT, name="李雷", contact="13800001234", now=utc_now()
            ).id  # fmt: skip
        invite = {"home": home.household_id, "contact": "+86 138 0000 1234", "role": "see"}
        signed_in(app, home.owner_id).send_form("/household/invite", invite)

        signed_in(app, me or 0).send_form(
            "/household/answer", {"invitation": 1, "choice": "accept"}
        )

        assert "86.50" in signed_in(app, me or 0).get("/").text

    def test_a_number_of_another_country_is_another_one(self, app):
        with transaction() as session:
            for contact in ("13800001234", "+13800001234"):
                add_person(session, role=Role.RESIDENT, name="", contact=contact, now=utc_now())
            people = session.execute(text("SELECT count(*) FROM person")).scalar_one()

        assert people == 2


class TestTheLog:
    """What opens something when it stands in an address stands in no line of the log."""

    @pytest.mark.parametrize(
        "path",
        ["/calendar/sEcReT-sEcReT.ics", "/receipts/1/2/sEcReT", "/unsubscribe/sEcReT",
         "/api/v1/carriers/x/receipts/sEcReT", "/api/v1/carriers/x/replies/sEcReT"],
    )  # fmt: skip
    @pytest.mark.parametrize("fault", [False, True], ids=["well", "fault"])
    def test_it_is_hidden_whatever_comes_of_it(self, capfd, path, fault):
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if fault:
                raise RuntimeError
            await PlainTextResponse("well")(scope, receive, send)

        web = Edge(Unforeseen(answer), pay_origins=[], secure=True)
        with capture_logs() as lines:
            TestClient(web, base_url=PUBLIC_URL).get(path)

        said = str(lines) + "".join(capfd.readouterr())
        assert path[:6] in said
        assert "sEcReT" not in said


class TestSigningOutElsewhere:
    """Whoever presses it fears that somebody else has a way in: none is left."""

    def test_televisions_end_those_being_paired_too(self, app):
        home = a_home(8_650, now=utc_now())
        with transaction() as session:
            codes = [televisions.begin_pairing(session, now=utc_now()) for _ in range(2)]
            for one in codes:
                televisions.decide_pairing(
                    session, one.user_code, home.owner_id, allow=True, now=utc_now()
                )
            token = televisions.ask_pairing(session, codes[0].device_code, now=utc_now()).token
        tv = a_browser(app)
        tv.cookies.set("__Host-citybill_tv", token or "")
        assert tv.get("/tv/bills").status_code == 200

        signed_in(app, home.owner_id).send_form("/me/sign-out-others")

        assert tv.get("/tv/bills").headers["location"] == "/tv"
        with transaction() as session:
            asked = televisions.ask_pairing(session, codes[1].device_code, now=utc_now())
        assert asked.token is None

    def test_another_persons_stay(self, app):
        home = a_home(8_650, now=utc_now())
        with transaction() as session:
            code = televisions.begin_pairing(session, now=utc_now())
            televisions.decide_pairing(
                session, code.user_code, home.owner_id, allow=True, now=utc_now()
            )
            token = televisions.ask_pairing(session, code.device_code, now=utc_now()).token
        tv = a_browser(app)
        tv.cookies.set("__Host-citybill_tv", token or "")

        signed_in(app, a_person()).send_form("/me/sign-out-others")

        assert tv.get("/tv/bills").status_code == 200

    def test_notices_go_to_no_other_browser(self, app):
        me = a_person()
        with transaction() as session:
            here, _there = (
                keep_browser(session, me, f"at {name}", label=name, now=utc_now()).id
                for name in ("here", "there")
            )
        browser = signed_in(app, me)
        browser.cookies.set("citybill_push", str(here))

        browser.send_form("/me/sign-out-others")

        assert [one["label"] for one in browser.get("/api/v1/preferences").json()["devices"]] == [
            "here"
        ]


def test_whoever_writes_on_and_on_about_one_thing_is_sent_to_the_hotline(app):
    mine = signed_in(app, a_person())
    asked = {"kind": "question", "words": "水费怎么算？"}
    number = mine.post("/api/v1/complaints", json=asked).json()["number"]

    said = [
        mine.send_form(f"/complaints/{number}/words", {"words": f"还有 {n}"}).status_code
        for n in range(12)
    ]

    assert said == [303] * 9 + [429] * 3  # the question itself was the first


@pytest.mark.parametrize(
    ("one", "another", "same"),
    [
        ("203.0.113.9", "203.0.113.10", False),
        ("::ffff:203.0.113.9", "::ffff:203.0.113.10", False),  # as a socket for both has them
        ("::ffff:203.0.113.9", "203.0.113.9", True),
        ("2001:db8:0:1::9", "2001:db8:0:1::10", True),  # one household
        ("2001:db8:0:1::9", "2001:db8:0:2::9", False),
    ],
)
def test_whose_tries_are_counted_together(app, one, another, same):
    browsers = [at(app, address) for address in (one, another)]
    for browser in browsers:
        browser.post("/api/v1/sign-in-codes", json={"contact": "nobody@city.example"})

    with transaction() as session:
        counted = session.execute(text("SELECT count(*) FROM client_miss")).scalar_one()
    assert counted == (1 if same else 2)


@pytest.mark.parametrize("path", ["/sign-in", "/api/v1/sign-in-codes"])
def test_how_long_an_answer_takes_tells_nobody_who_is_known(app, path):
    """Making and telling a code takes twice as long as finding nobody: it comes afterwards."""
    contact, by_then = contact_of(a_person()), []

    def codes() -> int:
        with transaction() as session:
            counted = session.execute(text("SELECT count(*) FROM sign_in_code"))
            return int(counted.scalar_one())

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.body" and scope["method"] == "POST":
                by_then.append(codes())
            await send(message)

        await app(scope, receive, answer)

    browser = TestClient(watched, base_url=PUBLIC_URL)
    if path == "/sign-in":
        token = re.findall(r'name="csrf" value="([^"]+)"', browser.get(path).text)[0]
        said = browser.post(path, data={"csrf": token, "contact": contact})
    else:
        said = browser.post(path, json={"contact": contact})

    assert said.status_code < 300
    assert (by_then, codes()) == ([0], 1)
