"""Statements packed, and in the dialects of banks: the same entries, or refused."""

import gzip
import io
import zipfile

import pytest

from payments.statements.base import Statement, StatementFileError
from payments.statements.reading import read_statements

SWIFT = """\
:20:STMT1
:25:6200000000000000001
:28C:231/1
:60F:C261119CNY1000,00
:61:2611201120C86,50NTRFCB2611000000000001//B0001
:86:sandbox
:61:2611201120D10,00NCHGNONREF//B0002
:86:fee
:62F:C261120CNY1076,50
"""
NEXT = (
    ":20:STMT2\n:25:6200000000000000001\n:28C:232/1\n:60F:C261120CNY1076,50\n"
    ":61:2611211121C1,00NTRFNONREF//B0003\n:62F:C261121CNY1077,50\n"
)
CAMT = """\
<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"><BkToCstmrStmt><Stmt>
<Id>S1</Id><CreDtTm>2026-11-20T20:00:00+08:00</CreDtTm>
<Acct><Id><Othr><Id>6200000000000000001</Id></Othr></Id><Ccy>CNY</Ccy></Acct>
<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="CNY">1000.00</Amt>
<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-11-20</Dt></Dt></Bal>
<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="CNY">1086.50</Amt>
<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-11-20</Dt></Dt></Bal>
<Ntry><Amt Ccy="CNY">86.50</Amt><CdtDbtInd>CRDT</CdtDbtInd>{status}
<BookgDt><Dt>2026-11-20</Dt></BookgDt><AcctSvcrRef>B1</AcctSvcrRef></Ntry>
</Stmt></BkToCstmrStmt></Document>"""


def read(content: str | bytes) -> tuple[Statement, ...]:
    raw = content.encode() if isinstance(content, str) else content
    return read_statements(io.BytesIO(raw), name="bank.txt")


def said(content: str | bytes) -> list[tuple[str, list[int], int | None]]:
    return [
        (one.account_no, [entry.amount_fen for entry in one.entries], one.closing_fen)
        for one in read(content)
    ]


def archive(**members: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as packing:
        packing.writestr("d/", "")
        for name, content in members.items():
            packing.writestr(f"d/{name}.sta", content)
    return made.getvalue()


class TestPacked:
    @pytest.mark.parametrize(
        "handed_in", [gzip.compress(SWIFT.encode()), archive(a=SWIFT), SWIFT.replace("\n", "\r")]
    )
    def test_one_file_is_the_same_statement(self, handed_in):
        assert said(handed_in) == said(SWIFT)

    def test_a_file_for_each_day_makes_a_chain_that_is_checked(self):
        assert said(archive(a=SWIFT, b=NEXT)) == said(f"{SWIFT}-\n{NEXT}")
        with pytest.raises(StatementFileError, match="opens with"):
            read(
                archive(a=SWIFT, b=NEXT.replace("1076,50", "1076,51").replace("1077,50", "1077,51"))
            )

    def test_the_same_statement_twice_in_it_is_refused(self):
        with pytest.raises(StatementFileError, match=r"twice|again"):
            read(archive(a=SWIFT, b=SWIFT))


class TestDialects:
    @pytest.mark.parametrize(
        "written",
        [
            SWIFT.replace(":28C:231/1\n", ""),
            SWIFT.replace(":20:STMT1\n", ""),
            SWIFT.replace("C261119CNY", "C000000CNY"),
            SWIFT.replace("1000,00", "1.000,00").replace("1076,50", "1.076,50"),
            SWIFT.replace(",", "."),
            SWIFT.replace("C86,50NTRF", "C 86,50NTRF"),
            "".join(f"  {line}\n" for line in SWIFT.splitlines()),
            f"Bank of the City\n{SWIFT}",
        ],
        ids=["no number", "no reference", "no first day", "thousands", "points", "a blank",
             "moved in", "a title"],
    )  # fmt: skip
    def test_an_mt940_that_says_the_same(self, written):
        assert said(written) == said(SWIFT)

    @pytest.mark.parametrize(
        ("old", "new"),
        [("86,50N", "86.500N"), ("86,50N", "8.650N"), ("1000,00", "1.00,00"),
         ("C261120CNY1076,50", "C000000CNY1076,50")],
    )  # fmt: skip
    def test_an_amount_or_day_that_could_be_two_is_refused(self, old, new):
        with pytest.raises(StatementFileError):
            read(SWIFT.replace(old, new))

    @pytest.mark.parametrize("version", [f"{at:02d}" for at in range(1, 14)])
    def test_a_camt_053_of_every_version(self, version):
        status = "<Sts>BOOK</Sts>" if int(version) < 7 else "<Sts><Cd>BOOK</Cd></Sts>"

        assert said(CAMT.format(version=version, status=status)) == [
            ("6200000000000000001", [8_650], 108_650)
        ]

    @pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16", "GBK"])
    def test_a_camt_053_in_the_encoding_it_says(self, encoding):
        text = CAMT.format(version="08", status="<Sts><Cd>BOOK</Cd></Sts>")

        assert said(text.replace("UTF-8", encoding).encode(encoding)) == said(text)
