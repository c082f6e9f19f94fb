"""Exports as strangers' programs write them: names nobody knows, titles above, other languages."""

import json

import pytest

from providers.proposing.proposal import Proposal
from providers.proposing.words import meaning
from tests.providers.test_written_by_others import FEN, HEAD, OBJECTS, Bill, proposal, table

BILLS = tuple(
    Bill(f"031000123{at}", amount)
    for at, amount in enumerate(("86.50", "1234.56", "-8.20", "0.50", "975.31"))
)
UNKNOWN = ("Numarasi", "Kimin", "Tutari", "Nezaman")
ROWS = [(f"TR-{at}-X", "Ayse", amount, f"2026-11-0{at + 1}") for at, amount in
        enumerate(("86.50", "12.00", "7.25", "30.10"))]  # fmt: skip


def lines(*rows: tuple[str, ...], between: str = ",") -> str:
    return "".join(between.join(row) + "\n" for row in rows)


def holders(found: Proposal) -> dict[str, str]:
    """Return which column was taken for what."""
    return {guess.holds: guess.name for guess in found.guesses if guess.holds != "unused"}


def roles(*names: str) -> dict[str, str | None]:
    return {name: None if (said := meaning(name)) is None else said.role for name in names}


class TestNamesNobodyKnows:
    @pytest.mark.parametrize(
        "above",
        [
            [], [("Ekstre 2026-11",)],
            [("Ekstre", "", "", ""), ("Olusturuldu:", "2026-11-05 10:00")],
            [("Alan1", "Alan2", "Alan3", "Alan4"), ("Ekstre", "", "", "")],
        ],
    )  # fmt: skip
    def test_are_found_below_titles(self, above):
        found = proposal(lines(*above, UNKNOWN, *ROWS))

        assert found.grid is not None
        assert found.grid.named
        assert len(found.grid.rows) >= len(ROWS)
        assert all("column" not in name for name in found.grid.names)

    def test_that_say_an_amount_are_preferred_to_others_above_it(self):
        found = proposal(lines(("A", "B", "C", "D"), (*UNKNOWN[:2], "Amount", "Nezaman"), *ROWS))

        assert holders(found)["amount"] == "Amount"

    def test_may_end_in_a_delimiter_hold_a_figure_or_stand_twice(self):
        found = proposal(lines(("Kimin", "Tutari-1", "Tutari-2", "Ek", "Ek", ""),
                               *((*row[1:], "9.90", "x", "") for row in ROWS)))  # fmt: skip

        assert found.grid is not None
        assert found.grid.names[0] == "Kimin"

    def test_are_not_seen_in_a_file_without_any(self):
        found = proposal(lines(*ROWS))

        assert found.grid is not None
        assert not found.grid.named
        assert len(found.grid.rows) == len(ROWS)


class TestDelimiters:
    def test_are_no_stars_in_numbers_that_were_masked(self):
        head, *rows = table(*BILLS).splitlines()
        masked = [f"{row},6226******{at:04}" for at, row in enumerate(rows)]
        data = "\n".join([f"{head},银行账号", *masked, ""])

        assert 'delimiter = ","' in proposal(data).text

    def test_may_stand_behind_blanks_behind_a_quoted_cell(self):
        data = table(*BILLS).replace("示例路1号,", '"示例路1号"\t,')

        found = proposal(data)

        assert found.grid is not None
        assert {len(row.cells) for row in found.grid.rows} == {len(HEAD)}


class TestNamesOfOtherThings:
    def test_are_no_accounts_amounts_or_usages(self):
        said = roles(
            "number_of_bills", "Meter Number", "Transaction date", "Total Tax", "usage_id",
            "days_used", "signup_year", "Plan Name", "account type", "对方户名", "费用编号",
        )  # fmt: skip

        assert set(said.values()) <= {None, "unused"}

    def test_of_a_period_are_no_day_of_issue_or_day_due(self):
        data = lines(
            ("account no", "amount", "BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart",
             "ChargePeriodEnd"),
            *((f"31000{at}", "8.10", "2026-10-01", "2026-10-31", "2026-10-01", "2026-10-02")
              for at in range(4)),
        )  # fmt: skip

        assert {"issued", "due"}.isdisjoint(holders(proposal(data)))

    def test_of_a_tariff_are_no_name_of_a_customer(self):
        rows = [{**one, "户名": None, "tariff": {"name": "居民阶梯"}} for one in OBJECTS]
        for row in rows:
            del row["户名"]

        assert "holder_name" not in holders(proposal(json.dumps({"data": rows})))

    def test_that_count_rows_are_no_bill_numbers(self):
        rows = [(str(at + 1), f"31000123{at}", "8.10") for at in range(4)]

        assert "bill_no" not in holders(proposal(lines(("No.", "account no", "amount"), *rows)))

    def test_that_end_in_point_nought_are_asked_about(self):
        bills = [Bill(f"31000123{at}.0", "8.10") for at in range(4)]

        found = proposal(table(*bills))

        assert "account_no" not in holders(found)
        assert any("end in .0" in asked for asked in found.questions)

    def test_with_decimals_are_no_identifiers(self):
        rows = [("300", f"1{at}.125", "x") for at in range(4)]

        assert "bill_no" not in holders(proposal(lines(*rows)))


class TestNamesOfOtherLanguages:
    @pytest.mark.parametrize(
        ("account_no", "bill_no", "amount", "issued", "due"),
        [
            ("N° client", "Numéro de facture", "Montant TTC", "Date d'émission", "Échéance"),
            ("Número de cliente", "Nº Factura", "Importe total", "Fecha emisión", "Vencimiento"),
            ("Código do cliente", "Número da fatura", "Valor total", "Emissão", "Vencimento"),
            ("Numer klienta", "Nr faktury", "Kwota brutto", "Data wystawienia",
             "Termin płatności"),
            ("Kundennummer", "Rechnungsnummer", "Rechnungsbetrag", "Datum", "Fälligkeit"),
            ("お客様番号", "請求書番号", "請求金額", "請求日", "支払期限"),
            ("고객번호", "고지번호", "청구금액", "발행일", "납기일"),
        ],
    )  # fmt: skip
    def test_are_known(self, account_no, bill_no, amount, issued, due):
        rows = [(f"31000{at}", f"F-{at}", f"8{at}.15", "2026-11-03", "2026-11-20")
                for at in range(4)]  # fmt: skip

        held = holders(proposal(lines((account_no, bill_no, amount, issued, due), *rows)))

        assert {role: held.get(role) for role in ("amount", "issued", "due", "account_no")} == {
            "amount": amount, "issued": issued, "due": due, "account_no": account_no,
        }  # fmt: skip
        assert held.get("bill_no", bill_no) == bill_no

    def test_say_less_than_a_plainer_day_beside_them(self):
        rows = [(f"31000{at}", "2026-11-04", "8.10", "2026-11-03", "2026-11-20") for at in range(4)]
        names = ("account no", "Date", "amount", "bill date", "due date")

        held = holders(proposal(lines(names, *rows)))

        assert (held["issued"], held["due"]) == ("bill date", "due date")


def test_a_number_beside_one_bill_is_not_nearly_the_number_of_bills():
    document = {"id": "2", "produced": "0", "bills": OBJECTS[:1]}

    assert "row_count" not in proposal(json.dumps(document)).text


def test_known_files_are_proposed_as_before():
    assert holders(proposal(table(*BILLS)))["amount"] == "应缴金额"
    assert len(FEN) == len(BILLS)
