"""What a declaration may say, and what is told to whoever wrote a wrong one."""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable

import pytest

from core.errors import Invalid, UpstreamUnavailable
from providers.base import FetchOutcome, ValidateOutcome, WriteOffOutcome
from providers.clients.declarations import load_declaration
from providers.clients.declared import APIS, OWN_PROTOCOL, DeclaredClient
from tests.providers.test_write_off_http import NOW, ORDER, SECRET, Company, company

__all__ = ["company"]  # a fixture
TOML = (APIS / "power.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(APIS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_declaration_of_ours_is_right(path):
    assert load_declaration(path).write_off.receipt


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"{account_no}" }\n\n[fetch.bills]', '"{acount_no}" }\n\n[fetch.bills]',
         r"line \d+, fetch: json: there is no \{acount_no\}: account_no, moment"),
        ('means = "none"', 'means = "nothing"', r"line \d+, fetch: results\[2\].means 'nothing'"),
        ('due = "endDate"\n', "", r"line \d+, fetch.bills.due: is missing; add it"),
        ('due = "endDate"', 'dew = "endDate"', r"line \d+, fetch.bills.dew: is no key"),
        ('method = "POST"', 'method = "SEND"', r"line \d+, fetch.method: should be 'GET'"),
        ('kind = "bearer"', 'kind = "magic"', r"line \d+, api.authentication: .*'magic'"),
        ('amount_unit = "yuan"', 'amount_unit = "dollar"', r"line 6, api.amount_unit: should be"),
        ('result = "head.resultCode"\n', "", r"fetch: result is missing"),
        ('method = "POST"', 'method = "GET"', r"fetch: a GET has no body"),
        ('{ is = "4004", means = "never_seen" }', '{ status = 404, means = "never_seen" }',
         r"query: results\[\d+\] takes HTTP status 404 alone for never_seen: .*add is or also"),
        ("[fetch]", "[fetch", r"is not TOML in UTF-8"),
        ("[fetch.json]", 'xml = "<a>"\n[fetch.json]', r"no key of this table|not XML"),
    ],
)  # fmt: skip
def test_a_wrong_one_is_refused_with_its_file_line_table_and_key(tmp_path, old, new, told):
    path = tmp_path / "spring.toml"
    assert old in TOML
    path.write_text(TOML.replace(old, new, 1), encoding="utf-8")

    with pytest.raises(Invalid) as raised:
        load_declaration(path)

    assert raised.value.message.startswith("spring.toml: ")
    assert re.search(told, raised.value.message)


def test_one_that_is_not_there_is_named(tmp_path):
    with pytest.raises(Invalid, match=r"none\.toml: cannot be read: No such file"):
        load_declaration(tmp_path / "none.toml")


@pytest.fixture
def declared(company, tmp_path):
    """Return the client of a declaration that is ours but for some changes, and its far side."""
    handler, url = company
    made = []

    def make(changes: dict[str, str], answer: Callable[[Company], None]) -> DeclaredClient:
        text = OWN_PROTOCOL.read_text(encoding="utf-8")
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "spring.toml").write_text(text, encoding="utf-8")
        handler.do_GET = handler.do_POST = answer
        declaration = load_declaration(tmp_path / "spring.toml")
        made.append(DeclaredClient(declaration, url, SECRET, lambda: NOW))
        return made[-1]

    yield make
    for client in made:
        client.close()


SIGNED = (
    'kind = "hmac"\nheader = "X-CityBill-Signature"\nover = "{time}\\n{method}\\n{path}\\n{body}"'
)


class TestAuthentication:
    def headers(self, declared, table: str) -> dict[str, str]:
        seen: dict[str, str] = {}

        def answer(far: Company) -> None:
            seen.update(far.headers.items())
            far.say(200, {"result": "none"})

        assert declared({SIGNED: table}, answer).fetch("1").outcome is FetchOutcome.NONE
        return seen

    def test_none_sends_no_secret(self, declared):
        assert SECRET not in str(self.headers(declared, 'kind = "none"'))

    def test_bearer(self, declared):
        headers = self.headers(declared, 'kind = "bearer"')
        assert headers["Authorization"] == f"Bearer {SECRET}"

    def test_basic(self, declared):
        headers = self.headers(declared, 'kind = "basic"\nuser = "city"')
        pair = base64.b64encode(f"city:{SECRET}".encode()).decode()
        assert headers["Authorization"] == f"Basic {pair}"

    def test_a_recipe_of_ones_own(self, declared):
        headers = self.headers(
            declared,
            'kind = "hmac"\nheader = "X-Sign"\nover = "{path}?{query}#{time}"\nhash = "sha512"\n'
            'encoding = "base64"\nvalue = "v1={signature}"',
        )
        signed = f"/accounts/1/bills?#{int(NOW.timestamp())}".encode()
        digest = hmac.new(SECRET.encode(), signed, hashlib.sha512).digest()
        assert headers["X-Sign"] == f"v1={base64.b64encode(digest).decode()}"


class TestContradictions:
    """Whatever does not hold together is not knowing, never a yes and never a no."""

    @pytest.mark.parametrize(
        ("said", "why"),
        [
            ({"result": "accepted"}, "without a receipt"),
            ({"result": "accepted", "utility_ref": " "}, "without a receipt"),
            ({"result": "accepted", "utility_ref": "U", "amount_fen": 8_649}, "8649 fen"),
            ({"result": "accepted", "utility_ref": "U", "amount_fen": "8.6e3"}, "amount"),
            ({"result": "accepted", "utility_ref": "U", "amount_fen": False}, "amount"),
            ({"result": "accepted", "utility_ref": "U", "write_off_no": "W2"}, "something else"),
            ({"result": "refused", "write_off_no": "W2"}, "something else"),
            ({"result": "pending"}, "not decided"),
            ({"result": "error"}, "cannot be read"),
        ],
    )
    def test_of_a_write_off(self, declared, said, why):
        reply = declared({}, lambda far: far.say(200, said)).write_off(ORDER)

        assert reply.outcome is WriteOffOutcome.UNKNOWN
        assert why in reply.reason
        assert not reply.company_down

    def test_nothing_is_open_and_here_is_the_list(self, declared):
        said = {"result": "none", "bills": [{"bill_no": "B"}]}
        with pytest.raises(UpstreamUnavailable):
            declared({}, lambda far: far.say(200, said)).fetch("1")

    def test_one_version_of_a_bill_with_two_amounts(self, declared):
        bill = {
            "billing_month": "2026-10", "bill_no": "B", "version": 1, "issued": "2026-11-05",
            "due": "2026-11-25", "amount_fen": 1,
        }  # fmt: skip
        said = {"result": "bills", "bills": [bill, bill | {"amount_fen": 2}]}
        with pytest.raises(UpstreamUnavailable, match="two things"):
            declared({}, lambda far: far.say(200, said)).fetch("1")

        said["bills"][1]["version"] = 2
        [told] = declared({}, lambda far: far.say(200, said)).fetch("1").bills
        assert (told.version, told.amount_fen) == (2, 2)

    def test_a_failure_of_theirs_counts_as_down_and_a_no_to_our_key_does_not(self, declared):
        failing = declared({}, lambda far: far.say(503, {})).write_off(ORDER)
        unsigned = declared({}, lambda far: far.say(401, {})).write_off(ORDER)

        assert (failing.company_down, unsigned.company_down) == (True, False)


def test_without_validate_an_account_is_known_when_its_bills_are_told(declared, tmp_path):
    text = OWN_PROTOCOL.read_text(encoding="utf-8")
    table = text[text.index("[validate]") : text.index("[write_off]")]

    client = declared({table: ""}, lambda far: far.say(200, {"result": "none"}))

    assert client.validate("1").outcome is ValidateOutcome.KNOWN


def test_a_whole_name_is_masked_before_anybody_sees_it(declared):
    said = {"result": "known", "holder": "欧阳小明"}

    assert declared({}, lambda far: far.say(200, said)).validate("1").holder_masked == "欧***"


def test_an_answer_that_comes_twice_is_not_taken_for_the_next_one(declared):
    """The second lies in the connection; whoever uses that again reads it as his own answer."""

    def twice(far: Company) -> None:
        far.say(200, {"result": "none"} if far.path.endswith("/1/bills") else {"result": "odd"})
        if far.path.endswith("/1/bills"):
            far.say(200, {"result": "none"})

    client = declared({}, twice)
    assert client.fetch("1").outcome is FetchOutcome.NONE
    with pytest.raises(UpstreamUnavailable, match="cannot be read"):
        client.fetch("2")
