"""Bank debit, held to the contract as far as it has a meaning: no payer is there, and no yes comes.

When silence is a yes: tests/payments/autopay/test_collections.py.
"""

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from typing import ClassVar

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from core.clock import billing_date, utc_now
from core.errors import Invalid, SettlementFileError, UpstreamUnavailable
from core.settings import Environment, Settings
from payments.gateways.bank_debit import BankDebit, from_settings
from payments.gateways.bank_files import Creditor, read_returns, write_fixed, write_pain_008
from payments.gateways.base import (
    DisputeState,
    Disputing,
    FileState,
    Gateway,
    GatewayReply,
    GatewayStatus,
    MandateOrder,
    MandateReply,
    Order,
)
from payments.gateways.collecting import Batch, Collecting, Debit, HandOver
from tests.payments.gateways.contract import (
    FarSide,
    GatewayContract,
    a_mute,
    an_order,
    asked,
    saying,
)
from tests.payments.gateways.mandate_contract import MandateContract, a_mandate
from tests.simulator.conftest import SECRET, Simulator, free_port

US = Creditor("88001234", "6222000011112222")
TODAY = billing_date(utc_now())


@pytest.fixture(scope="module")
def far(simulator: Simulator) -> Iterator[FarSide]:
    made: list[BankDebit] = []

    def at(url: str) -> Gateway:
        made.append(BankDebit(url, SECRET, US))
        return made[-1]

    def choose(order: Order, opened: GatewayReply, choice: str) -> None:
        raise AssertionError("no payer is there")

    def decide(mandate: MandateOrder, told: MandateReply, choice: str) -> None:
        ref = told.mandate_ref
        answer = simulator.client.post(f"/bank/debtors/{ref}", json={"does": choice})
        assert answer.status_code == 200, answer.text

    yield FarSide(
        at(str(simulator.client.base_url)), at, choose, lambda: b"", lambda order_no, name: None,
        choices=frozenset(), decide=decide, decisions=frozenset({"agree", "refuse"}),
    )  # fmt: skip
    for one in made:
        one.hang_up()


class TestBankDebit(GatewayContract, MandateContract):
    # A payer who is there has nothing to confirm: only debits are taken.
    test_opening_is_idempotent_and_says_how_to_pay = None
    test_another_amount_than_we_asked_for_is_told_as_it_is = None
    test_an_answer_that_was_lost_after_the_act_is_unknown_and_found_by_asking = None
    # Until its batch is cut an order is ours alone: that the bank has not heard of it is no news.
    test_an_order_it_never_heard_of_is_told_apart_from_not_knowing = None
    # The calls that go nowhere answer at once; those that go out are tried below.
    test_a_far_side_that_is_down_was_never_asked = None
    test_one_that_never_answers_is_unknown_in_time = None
    test_garbage_is_not_knowing = None
    # The bank never says yes: silence does.
    test_a_debit_takes_the_money_once_however_often_it_is_asked_for = None
    test_a_debit_whose_answer_was_lost_is_found_by_asking = None
    # Told by day, once the day is over.
    test_the_days_file_holds_what_was_paid_and_refunded = None

    def test_it_says_that_only_failures_are_told(self, far):
        assert isinstance(far.gateway, Collecting)
        assert isinstance(far.gateway, Disputing)
        can = far.gateway.capabilities
        assert (can.only_failures, can.silence_days, can.closes) == (True, 3, False)

    def test_without_a_mandate_nothing_is_collected(self, far):
        assert far.gateway.open_order(an_order()).status is GatewayStatus.REFUSED

    def test_a_debit_waits_for_its_batch_however_often_it_is_asked_for(self, far):
        _, told = self.active(far)
        order = an_order(channel="autopay")

        replies = [far.gateway.debit(order, mandate_ref=told.mandate_ref) for _ in range(3)]

        assert {(one.status, one.gateway_ref) for one in replies} == {
            (GatewayStatus.OPEN, order.order_no)
        }
        assert far.gateway.query(asked(order)).status is GatewayStatus.OPEN
        assert far.gateway.close(asked(order)).status is GatewayStatus.OPEN

    def test_a_mandate_the_bank_does_not_know_is_over(self, far):
        reply = far.gateway.debit(an_order(), mandate_ref="bm0")

        assert reply.status is GatewayStatus.REFUSED
        assert (reply.reason or "").startswith("mandate_ended")

    @pytest.mark.parametrize("body", [b"Not Found", b"[]", b'{"detail": "Not Found"}'])
    def test_a_not_found_that_is_not_the_banks_own_ends_no_mandate(self, far, body):
        answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        with saying(answer) as url:
            lost = far.at(url).debit(an_order(), mandate_ref="bm1")

        assert lost.status is GatewayStatus.UNKNOWN

    def test_a_refusal_that_is_not_the_banks_own_is_no_word_on_a_batch(self, far):
        body = b'{"message": "Request blocked"}'
        answer = b"HTTP/1.1 422 X\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        with saying(answer) as url:
            assert far.at(url).hand_over("2026112000000001", b"H").outcome is HandOver.UNKNOWN

    def test_when_it_is_down_or_mute_or_mad_nothing_is_known(self, far):
        for call in calls(far.at(f"http://127.0.0.1:{free_port()}")):
            with pytest.raises(UpstreamUnavailable):
                call()
        for answer in (
            b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
            b'HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{"state": "new word"}',
            b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"state": "taken"',
            b"not HTTP at all\r\n\r\n",
        ):
            for at in range(3):
                with saying(answer) as url:
                    assert is_unknown(calls(far.at(url))[at]())
        with a_mute() as url:
            assert far.at(url).query(asked(an_order())).status is GatewayStatus.UNKNOWN


def calls(gateway: Gateway) -> list:
    return [
        lambda: gateway.query(asked(an_order(order_no="CB1"))),
        lambda: gateway.debit(an_order(order_no="CB1"), mandate_ref="bm0"),
        lambda: gateway.hand_over("2026112000000001", b"H"),
    ]


def is_unknown(reply) -> bool:
    told = reply.status if isinstance(reply, GatewayReply) else reply.outcome
    return told in {GatewayStatus.UNKNOWN, HandOver.UNKNOWN}


def a_batch(number: int = 1, *debits: Debit, on: date = TODAY) -> Batch:
    return Batch(
        batch_no=f"{on:%Y%m%d}{number:08d}", collect_on=on, written_at=utc_now(),
        debits=debits or (Debit(an_order().order_no, "bm1", 8_650),),
    )  # fmt: skip


def a_debtor(far: FarSide) -> str:
    order = a_mandate()
    signed = far.gateway.sign_mandate(order)
    far.decide(order, signed, "agree")
    return signed.mandate_ref or ""


class TestBatches:
    @pytest.mark.parametrize("iso20022", [False, True])
    def test_what_is_handed_over_is_taken_once_and_comes_back_by_its_code(
        self, far, simulator, iso20022
    ):
        url = str(simulator.client.base_url)
        gateway = BankDebit(url, SECRET, US, iso20022=iso20022)
        keeps, back = (Debit(an_order().order_no, a_debtor(far), fen) for fen in (8_650, 100))
        batch = a_batch(10 + iso20022, keeps, back)
        content = gateway.write_batch(batch)
        known = set(gateway.list_returns() or ())

        first, again = (gateway.hand_over(batch.batch_no, content) for _ in range(2))
        simulator.client.post(f"/bank/entries/{back.order_no}/return", json={"code": "AM04"})

        assert first.outcome is again.outcome is HandOver.TAKEN
        (file_no,) = set(gateway.list_returns() or ()) - known
        file = gateway.read_returns(gateway.fetch_returns(file_no) or b"")
        assert file.file_no == file_no
        assert [(one.order_no, one.amount_fen, one.code) for one in file.returns] == [
            (back.order_no, 100, "AM04")
        ]
        told = {one: gateway.query(replace(asked(an_order()), order_no=one.order_no))
                for one in (keeps, back)}  # fmt: skip
        assert told[keeps].status is GatewayStatus.OPEN
        assert told[back].status is GatewayStatus.REFUSED
        dispute = gateway.query_dispute(back.order_no)
        assert (dispute.state, dispute.amount_fen) == (DisputeState.LOST, 100)
        assert gateway.query_dispute(keeps.order_no).state is DisputeState.UNKNOWN
        gateway.hang_up()

    def test_other_bytes_under_a_number_it_has_are_no_yes_and_no_no(self, far):
        batch = a_batch(20)
        far.gateway.hand_over(batch.batch_no, far.gateway.write_batch(batch))
        other = replace(batch, debits=(Debit(an_order().order_no, "bm1", 1),))

        reply = far.gateway.hand_over(batch.batch_no, far.gateway.write_batch(other))

        assert reply.outcome is HandOver.UNKNOWN  # what it has may collect the same orders
        assert reply.complaint

    def test_totals_that_do_not_add_up_refuse_it_whole(self, far, simulator):
        batch = a_batch(21)
        content = far.gateway.write_batch(batch).replace(b"8650", b"8651", 1)

        reply = far.gateway.hand_over(batch.batch_no, content)

        assert (reply.outcome, reply.complaint) == (
            HandOver.REFUSED, "the totals are not those of the entries",
        )  # fmt: skip

    def test_an_answer_that_was_lost_is_unknown_and_handed_over_again(self, far, simulator):
        for number, fault in ((22, "silent"), (23, "error")):
            batch = a_batch(number)
            content = far.gateway.write_batch(batch)
            simulator.client.post("/bank/faults", json={"batch_no": batch.batch_no, "fault": fault})

            outcomes = [far.gateway.hand_over(batch.batch_no, content).outcome for _ in range(2)]

            assert outcomes == [HandOver.UNKNOWN, HandOver.TAKEN]

    def test_a_forged_request_is_turned_away(self, simulator):
        url = str(simulator.client.base_url)
        stranger = BankDebit(url, "another secret of sixteen", US)
        batch = a_batch(24)

        assert stranger.hand_over(batch.batch_no, stranger.write_batch(batch)).outcome is (
            HandOver.UNKNOWN
        )
        assert httpx.get(f"{url}/bank/batches/{batch.batch_no}").status_code == 401
        stranger.hang_up()

    def test_a_day_that_is_over_is_told_in_its_file(self, far, simulator):
        day = TODAY - timedelta(days=30)
        keeps, late = (Debit(an_order().order_no, a_debtor(far), fen) for fen in (8_650, 100))
        batch = a_batch(30, keeps, late, on=day)
        far.gateway.hand_over(batch.batch_no, far.gateway.write_batch(batch))
        bounced_on = TODAY - timedelta(days=20)
        simulator.client.post(
            f"/bank/entries/{late.order_no}/return", json={"code": "AC04", "on": str(bounced_on)}
        )

        files = {one: far.gateway.fetch_settlement(one) for one in (day, bounced_on)}
        rows = {
            one: list(far.gateway.read_settlement(io.BytesIO(file.content), day=one))
            for one, file in files.items()
        }

        assert {file.state for file in files.values()} == {FileState.READY}
        assert [(row.kind, row.reference, row.amount_fen) for row in rows[day]] == [
            ("payment", keeps.order_no, 8_650), ("payment", late.order_no, 100),
        ]  # fmt: skip
        assert [(row.kind, row.reference, row.amount_fen) for row in rows[bounced_on]] == [
            ("chargeback", late.order_no, -100)
        ]


class TestFiles:
    def test_the_fixed_file_is_of_lines_of_one_length(self):
        batch = a_batch(1, Debit("CB1", "bm1", 8_650), Debit("CB2", "bm2", 1))

        lines = write_fixed(batch, US).decode("ascii").split("\r\n")

        assert lines.pop() == ""
        assert {len(line) for line in lines} == {100}
        assert [line[0] for line in lines] == ["H", "D", "D", "T"]
        assert lines[1][76:91] == "000000000008650"
        assert lines[-1][:27] == "T00000002000000000000008651"

    def test_the_same_batch_is_the_same_bytes(self):
        batch = a_batch(1)

        assert write_fixed(batch, US) == write_fixed(batch, US)
        assert write_pain_008(batch, US) == write_pain_008(batch, US)

    def test_pain_008_says_the_totals_twice_and_no_names(self):
        batch = a_batch(1, Debit("CB1", "bm1", 8_650), Debit("CB2", "bm2", 1))
        root = etree.fromstring(write_pain_008(batch, US))
        space = {"p": "urn:iso:std:iso:20022:tech:xsd:pain.008.001.08"}

        assert [one.text for one in root.iterfind(".//p:NbOfTxs", space)] == ["2", "2"]
        assert [one.text for one in root.iterfind(".//p:CtrlSum", space)] == ["86.51", "86.51"]
        amounts = root.findall(".//p:InstdAmt", space)
        assert [(one.text, one.get("Ccy")) for one in amounts] == [
            ("86.50", "CNY"),
            ("0.01", "CNY"),
        ]
        assert {one.text for one in root.iterfind(".//p:Dbtr/p:Nm", space)} == {"NOTPROVIDED"}

    @pytest.mark.parametrize("ref", ["x" * 36, "账户", "a\r\nb"])
    def test_what_does_not_fit_its_columns_is_refused(self, ref):
        with pytest.raises(Invalid):
            write_fixed(a_batch(1, Debit("CB1", ref, 1)), US)

    @pytest.mark.parametrize(
        ("old", "new", "line_no"),
        [
            (b"R8800", b"R8801", 1), (b"D00000001", b"D00000002", 2),
            (b"000000000008650", b"000000000008651", 3), (b"T00000001", b"T00000002", 3),
            (b"AM04", b"    ", 2), (b"AM0420261120", b"AM0420261320", 2),
        ],
    )  # fmt: skip
    def test_returns_with_something_wrong_are_refused_whole(self, old, new, line_no):  # rule 40
        content = returns(("CB1", 8_650, "AM04"))
        assert read_returns(content, US).returns[0].order_no == "CB1"
        changed = content.replace(old, new, 1)
        assert changed != content

        with pytest.raises(SettlementFileError) as refused:
            read_returns(changed, US)
        assert refused.value.line_no == line_no

    def test_pain_002_is_read_for_what_it_rejects(self):
        def one(order_no: str, status: str) -> str:
            return (
                f"<TxInfAndSts><OrgnlEndToEndId>{order_no}</OrgnlEndToEndId><TxSts>{status}</TxSts>"
                "<StsRsnInf><Rsn><Cd>MD01</Cd></Rsn></StsRsnInf><OrgnlTxRef><Amt>"
                '<InstdAmt Ccy="CNY">86.50</InstdAmt></Amt></OrgnlTxRef></TxInfAndSts>'
            )

        content = (
            '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt>'
            "<GrpHdr><MsgId>R7</MsgId></GrpHdr><OrgnlPmtInfAndSts>"
            f"{one('CB1', 'RJCT')}{one('CB2', 'ACSC')}</OrgnlPmtInfAndSts></CstmrPmtStsRpt>"
            "</Document>"
        ).encode()

        file = read_returns(content, US)

        assert file.file_no == "R7"
        assert [(one.order_no, one.amount_fen, one.ends_mandate) for one in file.returns] == [
            ("CB1", 8_650, True)
        ]

    @pytest.mark.parametrize("name", ["GrpSts", "PmtInfSts"])
    def test_pain_002_that_rejects_orders_it_does_not_name_is_no_silence(self, name):  # rule 34
        content = (
            '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt>'
            f"<GrpHdr><MsgId>R8</MsgId></GrpHdr><OrgnlPmtInfAndSts><{name}>RJCT</{name}>"
            "</OrgnlPmtInfAndSts></CstmrPmtStsRpt></Document>"
        ).encode()

        with pytest.raises(SettlementFileError, match=name):
            read_returns(content, US)

    @given(st.binary(max_size=400))
    def test_no_bytes_are_a_fault_of_ours(self, noise):
        for content in (noise, b"<" + noise, returns(("CB1", 1, "AM04")) + noise):
            with suppress(SettlementFileError):
                read_returns(content, US)


def returns(*rows: tuple[str, int, str], file_no: str = "R0000001") -> bytes:
    lines = [f"R{US.number:<16}{file_no:<16}20261120"]
    lines += [
        f"D{at:08d}{order_no:<32}{'2026112000000001':<16}{fen:015d}{code:<4}20261120"
        for at, (order_no, fen, code) in enumerate(rows, start=1)
    ]
    lines.append(f"T{len(rows):08d}{sum(fen for _, fen, _ in rows):018d}")
    return "".join(f"{line:<100}\r\n" for line in lines).encode()


class TestSettings:
    WHOLE: ClassVar = {
        "bank_debit_url": "https://bank.example", "bank_debit_secret": "sixteen or longer!",
        "bank_debit_creditor": "88001234", "bank_debit_account": "6222",
    }  # fmt: skip

    def test_it_is_offered_only_when_it_is_set_up(self):
        assert from_settings(Settings(_env_file=None)) is None
        assert isinstance(from_settings(Settings(_env_file=None, **self.WHOLE)), BankDebit)

    def test_production_speaks_to_no_bank_in_the_open(self):
        chosen = Settings(_env_file=None, **self.WHOLE).model_copy(
            update={"environment": Environment.PRODUCTION, "bank_debit_url": "http://bank.example"}
        )
        with pytest.raises(Invalid, match="CITYBILL_BANK_DEBIT_URL must be an https address"):
            from_settings(chosen)

    @pytest.mark.parametrize("left_out", sorted(WHOLE))
    def test_set_up_by_half_nothing_starts(self, left_out):
        half = {name: value for name, value in self.WHOLE.items() if name != left_out}
        with pytest.raises(ValueError, match=f"CITYBILL_{left_out.upper()}"):
            Settings(_env_file=None, **half)
