"""Files for our bank: valid by ISO's schema, the same bytes every time, summing to what is sent."""

import csv
import io
from datetime import date
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from core.money import parse_yuan
from payments.remittance.files import COLUMNS, write_csv, write_pain_001
from payments.remittance.models import RemittanceFile, RemittancePayment
from tests.factories import NOW

SPACE = {"p": "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"}


def a_file(**changes: object) -> RemittanceFile:
    facts = {
        "number": "RM261123F01", "pays_on": date(2026, 11, 23), "payments": 1, "total_fen": 1,
        "debtor_name": "市民缴费平台", "debtor_account": "6222000011112222",
        "debtor_bank": "102290000012", "made_by": 1, "made_at": NOW,
    }  # fmt: skip
    return RemittanceFile(**facts | changes)


def a_payment(place: int = 1, **changes: object) -> RemittancePayment:
    facts = {
        "id": place, "remittance_id": 1, "place": place, "attempt": 1, "account_ref": "primary",
        "account_name": "江城自来水公司", "account_no": "6222000000004321",
        "bank_code": "102290000012", "amount_fen": 8_650,
        "end_to_end_id": f"RM2611209001{place}01",
    }  # fmt: skip
    return RemittancePayment(**facts | changes)


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    """ISO's own, as the package ``sepaxml`` carries it."""
    try:
        path = distribution("sepaxml").locate_file("sepaxml/schemas/pain.001.001.09.xsd")
    except PackageNotFoundError:
        pytest.skip("sepaxml, which carries ISO's schema, is not installed")
    return etree.XMLSchema(etree.parse(str(path)))


class TestPain001:
    def test_it_is_valid(self, schema):
        payments = [a_payment(), a_payment(2, bank_code="ICBKCNBJSHI"), a_payment(3)]

        root = etree.fromstring(write_pain_001(a_file(), payments))

        schema.assertValid(root)

    def test_it_says_the_totals_twice_and_each_payment_by_its_number(self):
        payments = [a_payment(1, amount_fen=6_487), a_payment(2, amount_fen=2_163)]

        root = etree.fromstring(write_pain_001(a_file(), payments))

        assert root.xpath("//p:NbOfTxs/text()", namespaces=SPACE) == ["2", "2"]
        assert root.xpath("//p:CtrlSum/text()", namespaces=SPACE) == ["86.50", "86.50"]
        assert root.xpath("//p:EndToEndId/text()", namespaces=SPACE) == [
            "RM2611209001101", "RM2611209001201"
        ]  # fmt: skip
        assert root.xpath("//p:InstdAmt/@Ccy", namespaces=SPACE) == ["CNY", "CNY"]
        assert root.xpath("//p:BtchBookg/text()", namespaces=SPACE) == ["false"]
        assert root.xpath("//p:ReqdExctnDt/p:Dt/text()", namespaces=SPACE) == ["2026-11-23"]

    def test_a_bank_is_named_by_cnaps_or_bic(self):
        payments = [a_payment(), a_payment(2, bank_code="ICBKCNBJ")]

        root = etree.fromstring(write_pain_001(a_file(), payments))

        banks = root.findall(".//p:CdtrAgt/p:FinInstnId", SPACE)
        assert [bank[0].tag.rpartition("}")[2] for bank in banks] == ["ClrSysMmbId", "BICFI"]

    def test_written_again_it_is_the_same_bytes(self):
        assert write_pain_001(a_file(), [a_payment()]) == write_pain_001(a_file(), [a_payment()])

    @given(name=st.text(min_size=1, max_size=200).filter(str.strip))
    def test_a_name_of_any_characters_leaves_a_file_that_can_be_read(self, name):
        root = etree.fromstring(write_pain_001(a_file(), [a_payment(account_name=name)]))

        (read,) = root.xpath("//p:Cdtr/p:Nm/text()", namespaces=SPACE) or [""]
        assert len(read) <= 140
        assert read == " ".join(read.split())

    @given(name=st.sampled_from(["江城\x00水务", "江城\u202e水务", "江城\ud83d水务", "𠮷野\t水务"]))
    def test_a_control_character_is_a_blank(self, schema, name):
        schema.assertValid(
            etree.fromstring(write_pain_001(a_file(), [a_payment(account_name=name)]))
        )


class TestCsv:
    def test_a_line_a_payment_and_a_last_one_with_the_sum(self):
        content = write_csv(a_file(), [a_payment(), a_payment(2, amount_fen=1)])

        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))

        assert tuple(rows[0]) == COLUMNS
        assert [row[0] for row in rows[1:]] == ["RM2611209001101", "RM2611209001201", "#TOTAL 2"]
        assert parse_yuan(rows[-1][1]) == sum(parse_yuan(row[1]) for row in rows[1:-1]) == 8_651
