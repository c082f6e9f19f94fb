"""Entries of our bank by API: found, proposed, matched by hand, undone; rules and what is due."""

import pytest

from identity.models import Role
from tests.factories import a_person, violations
from tests.payments.reconciliation.banking import Line, bank_says, due_ids, takes, the_entry
from tests.web.conftest import Browser, a_browser, signed_in, with_key

pytestmark = pytest.mark.usefixtures("city")
ENTRIES = "/api/v1/bank-entries"
SENDER = "6222020000001234"


@pytest.fixture
def staff(app) -> Browser:
    return signed_in(app, a_person(Role.STAFF))


def one_to_place() -> str:
    takes("alpha", 0, 10_000, 10)
    takes("beta", 0, 10_000, 10)
    bank_says(Line(9_990, name="某某", account=SENDER), Line(-55))
    return f"{ENTRIES}/{the_entry(9_990).id}"


class TestEntries:
    def test_they_are_listed_and_found(self, staff):
        one_to_place()

        shown = staff.get(ENTRIES).json()

        assert {one["amount_fen"] for one in shown["entries"]} == {9_990, -55}
        assert shown["next_cursor"] is None
        (one,) = staff.get(f"{ENTRIES}?how=open&amount_fen=9990").json()["entries"]
        assert (one["other_name"], one["match_id"], one["is_suspended"]) == ("某某", None, False)
        assert SENDER not in staff.get(ENTRIES).text
        assert staff.get(f"{ENTRIES}?how=nonsense").status_code == 422
        assert staff.get(f"{ENTRIES}/99").status_code == 404

    def test_one_is_proposed_for_matched_and_undone(self, staff):
        path = one_to_place()
        first, second = staff.get(path).json()["suggestions"]
        assert (first["off_fen"], first["confidence"]) == (0, second["confidence"])

        body = {"due_ids": first["due_ids"], "reason": "they told me"}
        matched = staff.post(f"{path}/match", json=body)
        again = staff.post(f"{path}/match", json=body)

        assert (matched.status_code, again.json()) == (201, matched.json())
        made = matched.json()["match"]
        assert (made["matched_by"], made["source"]) == ("person", first["source"])
        assert matched.json()["suggestions"] == []
        (rule,) = staff.get("/api/v1/bank-rules").json()["rules"]
        assert (rule["source"], rule["ended_at"]) == (first["source"], None)
        undone = staff.post(f"/api/v1/bank-matches/{made['id']}/undo", json={"reason": "wrong"})
        assert (undone.status_code, undone.json()["undo_reason"]) == (201, "wrong")
        assert [one["id"] for one in staff.get(path).json()["undone"]] == [made["id"]]
        assert violations() == []

    def test_several_are_matched_together(self, staff):
        takes("gamma", 0, 10_000)
        bank_says(Line(7_000, name="甲"), Line(3_000, on=2, name="乙"))
        first, second = the_entry(7_000).id, the_entry(3_000).id
        body = {"due_ids": due_ids(10_000), "entry_ids": [second], "reason": "they told me"}

        made = staff.post(f"{ENTRIES}/{first}/match", json=body)

        assert (made.status_code, made.json()["match"]["amount_fen"]) == (201, 10_000)
        other = staff.get(f"{ENTRIES}/{second}").json()
        assert other["match"] == made.json()["match"]

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"due_ids": [99], "reason": "why"}, 404, "not_found"),
            ({"due_ids": [1, 2], "reason": "why"}, 409, "bank_match.sources"),
            ({"due_ids": [1], "reason": " "}, 422, "bank_match.reason"),
            ({"due_ids": [], "reason": "why"}, 422, "request.malformed"),
            ({"due_ids": ["1"], "reason": "why"}, 422, "request.malformed"),
            ({"due_ids": [1]}, 422, "request.malformed"),
            ({"due_ids": [1], "entry_ids": [99], "reason": "why"}, 404, "not_found"),
            ({"due_ids": [1], "entry_ids": [0], "reason": "why"}, 422, "request.malformed"),
        ],
    )
    def test_what_is_wrong_is_refused_and_nothing_matched(self, staff, body, status, code):
        path = one_to_place()

        answer = staff.post(f"{path}/match", json=body)

        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert staff.get(path).json()["match"] is None


class TestOthers:
    def test_what_is_due_tells_its_state(self, staff):
        one_to_place()

        (alpha,) = staff.get("/api/v1/bank-dues?source=alpha").json()["dues"]

        assert (alpha["kind"], alpha["amount_fen"], alpha["fee_fen"]) == ("net", 9_990, 10)
        assert alpha["entry_ids"] == []
        assert staff.get("/api/v1/bank-dues?state=matched").json()["dues"] == []

    def test_a_rule_is_ended_once(self, staff):
        path = one_to_place()
        staff.post(f"{path}/match", json={"due_ids": [1], "reason": "asked"})

        ended = staff.post("/api/v1/bank-rules/1/end", json={"reason": "sold"})

        assert (ended.status_code, ended.json()["end_reason"]) == (201, "sold")
        answer = staff.post("/api/v1/bank-rules/1/end", json={"reason": "another"})
        assert (answer.status_code, answer.json()["code"]) == (409, "bank_rule.ended")

    def test_nobody_but_finance(self, app):
        path = one_to_place()
        nobody = {"due_ids": [1], "reason": "why"}
        for browser, status in (
            (a_browser(app), 401), (signed_in(app, a_person()), 403), (with_key(app, "water"), 401),
            (signed_in(app, a_person(Role.STAFF, duties=())), 403),
        ):  # fmt: skip
            for at in (ENTRIES, path, "/api/v1/bank-dues", "/api/v1/bank-rules"):
                assert browser.get(at).status_code == status
            assert browser.post(f"{path}/match", json=nobody).status_code == status
