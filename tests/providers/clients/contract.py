"""What every utility's client promises: subclass it and give it a ``far`` and a ``client``.

``far`` is a company that can be told to misbehave (see `FarCompany`), ``client`` the client of it.
"""

import time
from contextlib import suppress

import httpx
import pytest

from core.errors import Invalid, UpstreamUnavailable
from providers.base import FetchOutcome, UtilityClient, ValidateOutcome, WriteOffOutcome
from providers.clients import http
from tests.providers.clients.companies import FarCompany, bills_in_the_city, order_of, reversal_of

ACCEPTED, REFUSED, UNKNOWN = WriteOffOutcome
HOSTILE = (
    "'; DROP TABLE bills; --", '"}, "body": {"consNo": "1', "1&trans=Pay", "</AccountNo><x/>",
    "]]>", "<![CDATA[1]]>", "{write_off_no}", "%2e%2e", "1?x=y#z", "户号", "&amp;", "1 2",
)  # fmt: skip


class UtilityClientContract:
    @pytest.fixture(autouse=True)
    def _behaving(self, far: FarCompany):
        yield
        far.switch("none")

    @pytest.fixture
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http, "TIMEOUT", httpx.Timeout(1))
        monkeypatch.setattr(http, "_PATIENCE_SECONDS", 1)

    # What is open

    def test_several_open_bills_are_told_one_by_one(self, far: FarCompany, client: UtilityClient):
        account_no, _ = far.fresh_account()

        reply = client.fetch(account_no)

        months = {bill.billing_month for bill in reply.bills}
        assert reply.outcome is FetchOutcome.MULTIPLE
        assert {bill.bill_no: bill.amount_fen for bill in reply.bills} == bills_in_the_city(
            far.code, account_no, months
        )
        assert all(bill.issued_on < bill.due_on for bill in reply.bills)

    def test_paid_bills_are_told_no_more(self, far: FarCompany, client: UtilityClient):
        """Rule 18: single, multiple and none are answers of a company that is there."""
        account_no, (older, newer) = far.fresh_account()

        client.write_off(order_of(account_no, older))
        one_left = client.fetch(account_no)
        client.write_off(order_of(account_no, newer))
        none_left = client.fetch(account_no)

        assert (one_left.outcome, one_left.bills) == (FetchOutcome.SINGLE, (newer,))
        assert (none_left.outcome, none_left.bills) == (FetchOutcome.NONE, ())

    def test_an_account_nobody_has_is_an_answer(self, far: FarCompany, client: UtilityClient):
        assert client.fetch(far.unknown_account).outcome is FetchOutcome.UNKNOWN_ACCOUNT
        reply = client.validate(far.unknown_account)
        assert reply.outcome is ValidateOutcome.UNKNOWN_ACCOUNT

    def test_a_number_of_several_accounts_is_an_answer_of_its_own(
        self, far: FarCompany, client: UtilityClient
    ):
        assert client.fetch(far.shared_account).outcome is FetchOutcome.SEVERAL_ACCOUNTS
        reply = client.validate(far.shared_account)
        assert reply.outcome is ValidateOutcome.SEVERAL_ACCOUNTS

    def test_a_bill_the_company_lists_twice_is_told_once(
        self, far: FarCompany, client: UtilityClient
    ):
        account_no, bills = far.fresh_account()
        far.switch("twice", "fetch", 1)

        assert client.fetch(account_no).bills == bills

    @pytest.mark.parametrize("number", HOSTILE)
    def test_a_number_full_of_syntax_is_just_a_number_nobody_has(
        self, client: UtilityClient, number: str
    ):
        assert client.fetch(number).outcome is FetchOutcome.UNKNOWN_ACCOUNT
        assert client.validate(number).outcome is ValidateOutcome.UNKNOWN_ACCOUNT
        assert client.query(number) is None

    @pytest.mark.parametrize("number", ["a/b", "..", "", "1\n2", "\x00", "\ud800"], ids=ascii)
    def test_a_number_that_cannot_be_sent_is_never_a_known_one(
        self, client: UtilityClient, number: str
    ):
        outcome = FetchOutcome.UNKNOWN_ACCOUNT
        with suppress(Invalid, UpstreamUnavailable):
            outcome = client.fetch(number).outcome

        assert outcome is FetchOutcome.UNKNOWN_ACCOUNT

    # Whether there is such an account

    def test_a_known_account_is_known_with_its_holder_masked(
        self, far: FarCompany, client: UtilityClient
    ):
        account_no, _ = far.fresh_account()

        reply = client.validate(account_no)

        assert reply.outcome is ValidateOutcome.KNOWN
        assert reply.holder_masked is None or reply.holder_masked[1:].strip("*") == ""

    def test_a_closed_account_is_closed(self, far: FarCompany, client: UtilityClient):
        assert client.validate(far.closed_account).outcome is ValidateOutcome.CLOSED

    def test_a_name_tells_two_accounts_apart(self, far: FarCompany, client: UtilityClient):
        replies = [client.validate(far.shared_account, name) for name in ("王小明", "某某")]
        outcomes = [reply.outcome for reply in replies]

        assert outcomes == [ValidateOutcome.KNOWN, ValidateOutcome.SEVERAL_ACCOUNTS]

    # A company that is down, slow or talks nonsense

    @pytest.mark.parametrize("fault", ["error", "silent", "slow", "drip"])
    def test_a_company_that_does_not_answer_is_down(
        self, far: FarCompany, impatient: None, fault: str
    ):
        account_no, _ = far.fresh_account()
        client = far.make_client()
        for operation, ask in (("fetch", client.fetch), ("validate", client.validate)):
            far.switch(fault, operation, 1)
            with pytest.raises(UpstreamUnavailable, match="try again later") as raised:
                ask(account_no)
            assert raised.value.code == "upstream.unavailable"
        client.close()

    @pytest.mark.parametrize("fault", ["garbage", "truncated"])
    def test_an_answer_that_makes_no_sense_is_neither_no_bill_nor_down(
        self, far: FarCompany, client: UtilityClient, fault: str
    ):
        account_no, _ = far.fresh_account()
        for operation, ask in (("fetch", client.fetch), ("validate", client.validate)):
            far.switch(fault, operation, 1)
            with pytest.raises(UpstreamUnavailable) as raised:
                ask(account_no)
            assert raised.value.code == "upstream.unreadable"

    def test_a_company_nobody_listens_at_was_never_told(
        self, far: FarCompany, client: UtilityClient
    ):
        account_no, (bill, _) = far.fresh_account()
        order = order_of(account_no, bill)
        far.switch("down")
        far.wait(listening=False)

        for ask in (
            lambda: client.fetch(account_no), lambda: client.validate(account_no),
            lambda: client.write_off(order), lambda: client.query(order.write_off_no),
        ):  # fmt: skip
            with pytest.raises(UpstreamUnavailable, match="try again later"):
                ask()

        far.recover()
        assert client.query(order.write_off_no) is None

    # Writing a payment off

    def test_the_same_number_twice_is_one_write_off(self, far: FarCompany, client: UtilityClient):
        account_no, (bill, _) = far.fresh_account()
        order = order_of(account_no, bill)

        first, again = client.write_off(order), client.write_off(order)

        assert first.outcome is ACCEPTED
        assert first.utility_ref
        assert first == again == client.query(order.write_off_no)
        other = client.write_off(order_of(account_no, bill))
        assert other.outcome is REFUSED
        assert other.reason

    def test_the_same_number_with_another_amount_is_not_knowing(
        self, far: FarCompany, client: UtilityClient
    ):
        account_no, (bill, _) = far.fresh_account()
        order = order_of(account_no, bill)
        first = client.write_off(order)

        changed = order_of(
            account_no, bill, write_off_no=order.write_off_no, amount_fen=bill.amount_fen + 1
        )

        assert client.write_off(changed).outcome is UNKNOWN
        assert client.query(order.write_off_no) == first

    def test_a_number_never_sent_was_never_seen(self, client: UtilityClient):
        assert client.query("WO-never") is None

    def test_a_no_is_final(self, far: FarCompany, client: UtilityClient):  # rule 28
        account_no, (bill, _) = far.fresh_account()
        order = order_of(account_no, bill)
        far.switch("refuse", "write_off", 1)

        first, again = client.write_off(order), client.write_off(order)
        asked = client.query(order.write_off_no)

        assert first.outcome is again.outcome is REFUSED
        assert first.reason == "the account is closed"  # our words, whatever its code for it is
        assert asked == first

    @pytest.mark.parametrize(
        ("fault", "concluded", "knows"),
        [
            ("error", UNKNOWN, None),
            ("silent", UNKNOWN, ACCEPTED),
            ("slow", UNKNOWN, ACCEPTED),
            ("drip", UNKNOWN, ACCEPTED),
            ("garbage", UNKNOWN, ACCEPTED),
            ("truncated", UNKNOWN, ACCEPTED),
            ("twice", UNKNOWN, ACCEPTED),
            ("wrong_amount", UNKNOWN, ACCEPTED),
            # Lies are found by asking: what was accepted was never seen, what was refused is done.
            ("lies_done", ACCEPTED, None),
            ("lies_failed", REFUSED, ACCEPTED),
        ],
    )
    def test_what_is_concluded_from_a_fault_and_what_asking_tells(
        self, far: FarCompany, impatient: None, fault: str, concluded, knows
    ):
        account_no, (bill, _) = far.fresh_account()
        order, client = order_of(account_no, bill), far.make_client()
        far.switch(fault, "write_off", 1)

        reply = client.write_off(order)
        asked = client.query(order.write_off_no)
        client.close()

        assert (reply.outcome, asked and asked.outcome) == (concluded, knows)
        assert reply.reason or reply.outcome is ACCEPTED
        assert reply.company_down is (fault in {"error", "silent", "slow", "drip"})

    def test_one_that_forgets_says_it_has_never_seen_it(
        self, far: FarCompany, client: UtilityClient
    ):
        """And sent again under the same number, it is one write-off, not two."""
        account_no, (bill, newer) = far.fresh_account()
        order = order_of(account_no, bill)
        far.switch("forgets", "write_off", 1)

        assert client.write_off(order).outcome is ACCEPTED
        deadline = time.monotonic() + 15
        while client.query(order.write_off_no) is not None:
            assert time.monotonic() < deadline
            time.sleep(0.1)

        assert client.write_off(order).outcome is ACCEPTED
        assert client.fetch(account_no).bills == (newer,)

    @pytest.mark.parametrize("fault", ["error", "garbage", "truncated", "twice"])
    def test_a_query_without_a_clear_answer_is_unknown_and_not_never_seen(
        self, far: FarCompany, client: UtilityClient, fault: str
    ):
        account_no, (bill, _) = far.fresh_account()
        order = order_of(account_no, bill)
        client.write_off(order)
        far.switch(fault, "query", 1)

        unclear, clear = client.query(order.write_off_no), client.query(order.write_off_no)

        assert unclear is not None
        assert clear is not None
        assert (unclear.outcome, clear.outcome) == (UNKNOWN, ACCEPTED)

    # Taking a write-off back

    def test_a_write_off_is_taken_back_once_and_its_bill_is_open_again(
        self, far: FarCompany, client: UtilityClient
    ):
        account_no, bills = far.fresh_account()
        order = order_of(account_no, bills[0])
        client.write_off(order)
        asked = reversal_of(order)

        first, again = client.reverse_write_off(asked), client.reverse_write_off(asked)
        other = client.reverse_write_off(reversal_of(order))

        assert client.takes_back
        assert (first.outcome, first.utility_ref is not None) == (ACCEPTED, True)
        assert first == again
        assert (other.outcome, other.reason) == (REFUSED, "the company has taken it back already")
        assert client.fetch(account_no).bills == bills

    def test_what_was_never_written_off_or_was_otherwise_is_not_taken_back(
        self, far: FarCompany, client: UtilityClient
    ):
        account_no, (bill, newer) = far.fresh_account()
        order = order_of(account_no, bill)
        client.write_off(order)

        for wrong in (
            reversal_of(order, write_off_no="WO-never"),
            reversal_of(order, amount_fen=order.amount_fen + 1),
            reversal_of(order, bill_no=newer.bill_no),
        ):
            reply = client.reverse_write_off(wrong)
            assert reply.outcome is REFUSED
            assert reply.reason == "the company has written nothing off under this number"
        assert client.fetch(account_no).bills == (newer,)

    def test_the_same_reversal_number_with_another_amount_is_not_knowing(
        self, far: FarCompany, client: UtilityClient
    ):
        account_no, (bill, _) = far.fresh_account()
        order = order_of(account_no, bill)
        client.write_off(order)
        asked = reversal_of(order)
        client.reverse_write_off(asked)

        changed = reversal_of(order, reversal_no=asked.reversal_no, amount_fen=1)

        assert client.reverse_write_off(changed).outcome is UNKNOWN

    @pytest.mark.parametrize(
        ("fault", "concluded", "then"),
        [("error", UNKNOWN, ACCEPTED), ("silent", UNKNOWN, ACCEPTED), ("slow", UNKNOWN, ACCEPTED),
         ("garbage", UNKNOWN, ACCEPTED), ("truncated", UNKNOWN, ACCEPTED),
         ("twice", UNKNOWN, ACCEPTED), ("refuse", REFUSED, REFUSED)],
    )  # fmt: skip
    def test_told_again_under_its_number_a_reversal_happens_once(
        self, far: FarCompany, impatient: None, fault: str, concluded, then
    ):
        account_no, bills = far.fresh_account()
        client, order = far.make_client(), order_of(account_no, bills[0])
        client.write_off(order)
        asked = reversal_of(order)
        far.switch(fault, "reverse", 1)

        outcomes = [client.reverse_write_off(asked).outcome for _ in range(3)]
        left = client.fetch(account_no).bills
        client.close()

        assert outcomes == [concluded, then, then]
        assert left == (bills if then is ACCEPTED else bills[1:])
