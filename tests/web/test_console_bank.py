"""The bank on the console: statements handed in, entries found, matched by hand, and undone."""

import io
from datetime import timedelta

import pytest
from sqlalchemy import text

from core.clock import billing_date, utc_now
from core.db import transaction
from identity.models import Role
from payments.reconciliation.bank import matching as bank
from tests.factories import a_person, violations
from tests.payments.reconciliation import banking
from tests.payments.reconciliation.banking import Line, a_statement, due_ids, the_entry, the_match
from tests.payments.statements.samples import ACCOUNT, sample
from tests.web.conftest import Browser, signed_in, with_key
from tests.web.test_console_terms import main_of, told

pytestmark = pytest.mark.usefixtures("city")
ENGLISH = {"Accept-Language": "en"}
BANK, ENTRIES = "/console/bank", "/console/bank/entries"


@pytest.fixture
def staff(app) -> Browser:
    return signed_in(app, a_person(Role.STAFF, name="陈晓"))


@pytest.fixture(autouse=True)
def lately(monkeypatch):
    """Have Friday be a few days ago, whatever day it is."""
    monkeypatch.setattr(banking, "DAY", billing_date(utc_now()) - timedelta(days=6))


def says(*lines: Line) -> None:
    """Have the bank say something, and match it."""
    banking.take(a_statement(*lines))
    with transaction() as session:
        bank.match_bank(session, banking.DAY, now=utc_now())


def one_to_place() -> str:
    """The address of an entry that may be either of two gateways'."""
    banking.takes("alpha", 0, 10_000, 10)
    banking.takes("beta", 0, 10_000, 10)
    says(Line(9_990, name="某某支付", account="6222020000001234"))
    return f"{ENTRIES}/{the_entry(9_990).id}"


def due_of(source: str) -> int:
    with transaction() as session:
        found = "SELECT id FROM bank_due WHERE source = :source ORDER BY day LIMIT 1"
        return session.execute(text(found), {"source": source}).scalar_one()


def hand_in(browser: Browser, *files: tuple[str, bytes], **data: str):
    return browser.send_form(
        BANK, data, files=[("files", (name, io.BytesIO(said))) for name, said in files],
        headers=ENGLISH,
    )  # fmt: skip


class TestStatements:
    def test_before_the_first_the_page_says_what_to_do(self, staff):
        page = main_of(staff, BANK)

        assert "No account is known yet" in page
        assert "No statement yet" in page
        assert "No entry yet" in main_of(staff, ENTRIES)
        assert "Nothing is on its way" in main_of(staff, f"{BANK}/expected")
        assert "Nothing learnt yet" in main_of(staff, f"{BANK}/rules")

    def test_several_are_handed_in_at_once_and_one_refused_holds_up_no_other(self, staff):
        answer = hand_in(staff, ("good.xml", sample("camt053.xml")), ("bad.sta", b":20:x"))

        assert answer.status_code == 422
        page = told(answer.text)
        assert "good.xml" in page
        assert "new entries" in page
        assert "bad.sta" in page
        assert "Nothing of this file was taken." in page
        assert ACCOUNT not in answer.text
        assert "Balance by the bank" in main_of(staff, BANK)

    def test_a_refusal_names_the_line_and_what_to_do(self, staff):
        wrong = sample("mt940-swift.txt").replace(b":62F:C", b":62F:D", 1)

        page = told(hand_in(staff, ("wrong.sta", wrong)).text)

        assert "Line " in page

    def test_a_csv_is_read_as_its_bank_writes_it(self, staff):
        content = sample("two_columns.csv")

        assert hand_in(staff, ("a.csv", content)).status_code == 422
        assert hand_in(staff, ("a.csv", content), profile="nobodys").status_code == 422
        assert hand_in(staff, ("a.csv", content), profile="two_columns").status_code == 200

    def test_the_same_again_says_so_and_none_is_refused(self, staff):
        hand_in(staff, ("a.xml", sample("camt053.xml")))

        again = hand_in(staff, ("b.xml", sample("camt053.xml")))

        assert again.status_code == 200
        assert "All of it was here already." in told(again.text)
        assert hand_in(staff, ("", b"")).status_code == 422

    def test_a_gap_is_named_and_goes_when_the_missing_one_comes(self, staff):
        days = [
            banking.a_day_of_ours(0, 1_000, 500, number=1),
            banking.a_day_of_ours(2, 1_500, 300, number=2),
            banking.a_day_of_ours(4, 1_800, 1, number=3),
        ]
        hand_in(staff, ("1.sta", days[0]), ("3.sta", days[2]))
        assert "is missing. It opens ¥3.00 off." in main_of(staff, BANK)
        assert "Gap before it" in main_of(staff, BANK)

        hand_in(staff, ("2.sta", days[1]))

        assert "is missing." not in main_of(staff, BANK)

    def test_an_account_is_given_a_name(self, staff):
        says(Line(100))

        done = staff.send_form(f"{BANK}/accounts/1/label", {"label": "Settlement at City Bank"})

        assert done.status_code == 303
        assert "Settlement at City Bank" in main_of(staff, BANK)
        too_long = staff.send_form(f"{BANK}/accounts/1/label", {"label": "x" * 61}, headers=ENGLISH)
        assert (too_long.status_code, "60 characters" in told(too_long.text)) == (422, True)

    def test_the_bank_is_held_against_the_ledger(self, staff):
        one_to_place()

        page = main_of(staff, BANK)

        assert "In statements, not matched yet (1) ¥99.90" in page
        assert "Unexplained ¥0.00" in page


class TestByHand:
    def test_an_entry_is_matched_with_a_reason_and_undone_with_one(self, staff):
        path = one_to_place()
        assert "the same sum" in main_of(staff, path)
        due = due_of("beta")

        done = staff.send_form(f"{path}/match", {"due": [due], "reason": "they told me"})

        assert done.status_code == 303
        page = main_of(staff, path)
        assert "By hand" in page
        assert "陈晓" in page
        assert "they told me" in page
        assert "This sender brings money of beta" in page
        assert "某某支付 ************1234 beta" in main_of(staff, f"{BANK}/rules")
        undone = staff.send_form(f"{path}/matches/{the_match()}/undo", {"reason": "it was alpha's"})
        assert undone.status_code == 303
        page = main_of(staff, path)
        assert "Not matched" in page
        assert "it was alpha's" in page
        assert "Ended" in main_of(staff, f"{BANK}/rules")
        assert violations() == []

    def test_what_is_wrong_is_said_and_what_was_typed_stays(self, staff):
        path = one_to_place()
        banking.takes("alpha", 1, 500)
        says(Line(1, no="x"))
        alpha, other = due_of("alpha"), due_ids(500)[0]

        for data, said in (
            ({"due": [alpha, other], "reason": "why"}, "The two sums are not the same"),
            ({"due": [], "reason": "why"}, "Tick what it is"),
            ({"due": [alpha], "reason": " "}, "Tick what it is"),
            ({"due": due_ids(9_990), "reason": "why"}, "money of several sources"),
        ):
            answer = staff.send_form(f"{path}/match", data, headers=ENGLISH)
            assert answer.status_code in {409, 422}, said
            assert said in told(answer.text)
        assert 'value="why"' in answer.text
        assert answer.text.count(" checked") == 2

    def test_money_that_came_in_several_sums_is_ticked_together(self, staff):
        for source in ("alpha", "beta"):
            banking.takes(source, 0, 10_000, 10)
        says(Line(6_990, name="甲"), Line(3_000, on=2, name="乙"))
        path, other = f"{ENTRIES}/{the_entry(6_990).id}", the_entry(3_000).id
        assert "It came in several sums" in main_of(staff, path)
        assert "分几笔到账" in staff.get(path).text

        form = {"due": [due_of("beta")], "entry": [other], "reason": "they told me"}
        wrong = staff.send_form(f"{path}/match", form | {"due": []}, headers=ENGLISH)
        assert (wrong.status_code, wrong.text.count(" checked")) == (422, 1)
        assert staff.send_form(f"{path}/match", form).status_code == 303

        assert "It came in several sums: ¥69.90" in main_of(staff, f"{ENTRIES}/{other}")
        assert violations() == []

    def test_a_proposal_is_ticked_without_a_script(self, staff):
        path = one_to_place()
        due = due_of("beta")

        page = staff.get(f"{path}?due={due}").text

        assert f'value="{due}" data-fen="9990" checked' in page

    def test_sent_twice_it_is_one_match(self, staff):
        path = one_to_place()
        data = {"due": [due_of("beta")], "reason": "they told me"}

        answers = [staff.send_form(f"{path}/match", data).status_code for _ in range(2)]

        assert answers == [303, 303]
        assert violations() == []

    def test_a_rule_is_ended_with_a_reason(self, staff):
        path = one_to_place()
        staff.send_form(f"{path}/match", {"due": [due_of("beta")], "reason": "asked"})

        for reason, status in (("", 422), ("it was sold", 303), ("again", 409)):
            answer = staff.send_form(f"{BANK}/rules/1/end", {"reason": reason}, headers=ENGLISH)
            assert answer.status_code == status
        page = main_of(staff, f"{BANK}/rules")
        assert "it was sold" in page
        assert "6222020000001234" not in page

    def test_a_form_of_another_site_does_nothing(self, staff):
        path = one_to_place()
        staff.csrf = "forged"

        for at in ("match", f"matches/{1}/undo"):
            assert staff.send_form(f"{path}/{at}", {"reason": "why"}).status_code == 403
        assert staff.send_form(f"{BANK}/rules/1/end", {"reason": "why"}).status_code == 403
        assert hand_in(staff, ("a.xml", sample("camt053.xml"))).status_code == 403


class TestLists:
    def test_entries_are_found_and_what_cannot_be_read_is_said(self, staff):
        says(Line(100, name="王小明"), Line(-250, on=2, name="供电公司"))

        assert "王小明" not in main_of(staff, f"{ENTRIES}?words=供电")
        assert "供电公司" not in main_of(staff, f"{ENTRIES}?amount=1.00")
        assert "Nothing like this" in main_of(staff, f"{ENTRIES}?how=person")
        wrong = staff.get(f"{ENTRIES}?amount=1.005", headers=ENGLISH)
        assert (wrong.status_code, "Write an amount as" in told(wrong.text)) == (422, True)
        for query in ("how=nonsense", "since=yesterday", "after=99"):
            assert staff.get(f"{ENTRIES}?{query}").status_code in {404, 422}

    def test_a_page_goes_on_where_the_one_before_ended(self, staff):
        says(*(Line(fen, no=f"N{fen}") for fen in range(1, 62)))
        first = staff.get(ENTRIES, headers=ENGLISH).text
        (after,) = {part.split('"')[0] for part in first.split("after=")[1:]}

        second = staff.get(f"{ENTRIES}?after={after}", headers=ENGLISH).text

        assert (first.count('<tr role="row" data-row'), second.count("data-row")) == (50, 11)
        assert "From the start" in second

    def test_expected_money_is_counted_by_source_and_what_came_leads_to_its_entry(self, staff):
        banking.takes("alpha", 0, 10_000)
        banking.takes("beta", 0, 700)
        says(Line(10_000))

        page = staff.get(f"{BANK}/expected", headers=ENGLISH).text
        assert "beta" in told(page)
        assert "Late" in told(page)
        matched = staff.get(f"{BANK}/expected?state=matched", headers=ENGLISH).text
        assert f"{ENTRIES}/{the_entry(10_000).id}" in matched

    @pytest.mark.parametrize("kind", ["csv", "xlsx"])
    @pytest.mark.parametrize("name", ["statements", "entries", "expected", "rules"])
    def test_each_list_is_taken_out_and_that_is_written_down(self, staff, name, kind):
        one_to_place()

        answer = staff.get(f"{BANK}/{name}.{kind}", headers=ENGLISH)

        assert answer.status_code == 200
        assert f".{kind}" in answer.headers["content-disposition"]
        assert ACCOUNT.encode() not in answer.content
        assert b"6222020000001234" not in answer.content
        with transaction() as session:
            assert session.execute(
                text("SELECT count(*) FROM audit_entry WHERE what = 'list_exported'")
            ).scalar_one() == 1  # fmt: skip

    def test_nobody_but_finance_sees_any_of_it(self, app):
        path = one_to_place()
        for browser, status in (
            (signed_in(app, a_person()), 403),
            (signed_in(app, a_person(Role.STAFF, duties=())), 403),
            (with_key(app, "water"), 303),
        ):
            for at in (BANK, ENTRIES, path, f"{BANK}/expected", f"{BANK}/rules"):
                assert browser.get(at).status_code == status
