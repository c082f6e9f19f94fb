"""Bank statements from nowhere, and a small writer of each format that knows nothing of the reader.

Each writer takes its amounts through a `Purse`, which can falsify any one of them by a fen.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import accumulate

from hypothesis import strategies as st

ACCOUNT = "6200000000000000001"
FIRST_DAY = date(2026, 11, 16)


@dataclass(frozen=True)
class Movement:
    fen: int
    booked_on: date
    reference: str
    words: str
    bank_ref: str = ""
    is_reversal: bool = False


@dataclass(frozen=True)
class Day:
    """What a statement is of, before anybody has written it down."""

    opening_fen: int
    movements: tuple[Movement, ...]

    @property
    def closing_fen(self) -> int:
        return self.opening_fen + sum(one.fen for one in self.movements)


WORD = st.text("ABCDEFGHKLMNPQRSTUVXYZ0123456789", min_size=1, max_size=12)
MOVEMENT = st.builds(
    Movement,
    fen=st.integers(-(10**9), 10**9).filter(bool),
    booked_on=st.integers(0, 4).map(lambda days: FIRST_DAY + timedelta(days=days)),
    reference=st.integers(1, 10**13).map(lambda number: f"CB{number:013d}"),
    words=st.lists(WORD, min_size=1, max_size=12).map(" ".join),
    bank_ref=st.integers(0, 10**9).map(lambda number: f"B{number}" if number % 3 else ""),
    is_reversal=st.booleans(),
)


def _distinct(movements: list[Movement]) -> tuple[Movement, ...]:
    """Booked day by day, each under a reference of its own."""
    ordered = sorted(movements, key=lambda one: one.booked_on)
    return tuple(
        replace(one, bank_ref=f"{one.bank_ref}{at:02d}" if one.bank_ref else "")
        for at, one in enumerate(ordered)
    )


DAYS = st.builds(
    Day,
    opening_fen=st.integers(-(10**9), 10**9),
    movements=st.lists(MOVEMENT, max_size=8).map(_distinct),
)


class Purse:
    """Hands amounts on, one of them a fen too high."""

    def __init__(self, false_one: int | None = None) -> None:
        self.count = 0
        self._false_one = false_one

    def __call__(self, fen: int) -> int:
        self.count += 1
        return fen + (self.count - 1 == self._false_one)


def comma(fen: int) -> str:
    return f"{fen // 100},{fen % 100:02d}"


def point(fen: int) -> str:
    return f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def wrapped(text: str, width: int) -> list[str]:
    return [text[at : at + width] for at in range(0, len(text), width)] or [""]


def mt940(day: Day, purse: Purse, *, newline: str = "\n", envelope: bool = False) -> bytes:
    def balance(tag: str, fen: int) -> str:
        return f":{tag}:{'D' if fen < 0 else 'C'}261120CNY{comma(purse(abs(fen)))}"

    lines = [":20:STMT", f":25:{ACCOUNT}", ":28C:324/1", balance("60F", day.opening_fen)]
    for one in day.movements:
        mark = ("RC" if one.fen < 0 else "RD") if one.is_reversal else "D" if one.fen < 0 else "C"
        theirs = f"//{one.bank_ref}" if one.bank_ref else ""
        on = one.booked_on
        lines.append(
            f":61:{on:%y%m%d}{on:%m%d}{mark}{comma(purse(abs(one.fen)))}NTRF{one.reference}{theirs}"
        )
        first, *more = wrapped(one.words, 65)
        lines += [f":86:{first}", *more]
    lines.append(balance("62F", day.closing_fen))
    if envelope:
        lines = ["{1:F01BANKCNBXAXXX0324000001}{2:O9401200261120BANKCNBX}{4:", *lines, "-}{5:}"]
    else:
        lines.append("-")
    return "".join(f"{line}{newline}" for line in lines).encode()


def camt(
    day: Day, purse: Purse, *, version: str = "08", prefix: str = "", indent: str = ""
) -> bytes:
    def tag(name: str, *inside: str, attributes: str = "") -> str:
        body = "".join(f"{indent}{one}" for one in inside)
        return f"<{prefix}{name}{attributes}>{body}</{prefix}{name}>"

    def money(name: str, fen: int) -> str:
        return tag(name, point(purse(abs(fen))), attributes=' Ccy="CNY"') + tag(
            "CdtDbtInd", "DBIT" if fen < 0 else "CRDT"
        )

    def balance(code: str, fen: int) -> str:
        kind = tag("Tp", tag("CdOrPrtry", tag("Cd", code)))
        return tag("Bal", kind, money("Amt", fen), tag("Dt", tag("Dt", "2026-11-20")))

    def entry(one: Movement) -> str:
        parts = [money("Amt", one.fen)]
        parts += [tag("RvslInd", "true")] if one.is_reversal else []
        parts += [tag("Sts", "BOOK" if version == "02" else tag("Cd", "BOOK"))]
        parts += [tag("BookgDt", tag("Dt", one.booked_on.isoformat()))]
        parts += [tag("AcctSvcrRef", one.bank_ref)] if one.bank_ref else []
        told = tag("Refs", tag("EndToEndId", one.reference))
        told += tag("RmtInf", *(tag("Ustrd", part) for part in wrapped(one.words, 140)))
        return tag("Ntry", *parts, tag("NtryDtls", tag("TxDtls", told)))

    came = sum(one.fen for one in day.movements if one.fen > 0)
    went = sum(-one.fen for one in day.movements if one.fen < 0)
    summary = tag(
        "TxsSummry",
        tag("TtlNtries", tag("NbOfNtries", str(len(day.movements)))),
        tag("TtlCdtNtries", tag("Sum", point(purse(came)))),
        tag("TtlDbtNtries", tag("Sum", point(purse(went)))),
    )
    account = tag("Acct", tag("Id", tag("Othr", tag("Id", ACCOUNT))))
    statement = tag(
        "Stmt", tag("Id", "S1"), account, balance("OPBD", day.opening_fen),
        balance("CLBD", day.closing_fen), summary, *map(entry, day.movements),
    )  # fmt: skip
    mark = f"xmlns:{prefix[:-1]}" if prefix else "xmlns"
    space = f' {mark}="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"'
    whole = tag("Document", tag("BkToCstmrStmt", statement), attributes=space)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{whole}\n'.encode()


def bai2(day: Day, purse: Purse, *, width: int = 80, newline: str = "\n") -> bytes:
    def signed(fen: int) -> str:
        return f"{'-' if fen < 0 else '+'}{abs(fen):012d}"

    head = f"03,{ACCOUNT},CNY,010,{signed(purse(day.opening_fen))},,,015,"
    account = [f"{head}{signed(purse(day.closing_fen))},,/"]
    for one in day.movements:
        code = "495" if one.fen < 0 else "195"
        when = f"V,{one.booked_on:%y%m%d},"
        start = f"16,{code},{purse(abs(one.fen))},{when},{one.bank_ref},{one.reference},"
        if len(start) < width:  # the words go on in full lines, which need no blank between them
            cut = width - len(start)
            more = wrapped(one.words[cut:], width - 3) if one.words[cut:] else []
            account += [start + one.words[:cut], *(f"88,{part}" for part in more)]
        else:
            account += [start + one.words]
    total = day.opening_fen + day.closing_fen + sum(abs(one.fen) for one in day.movements)
    account.append(f"49,{purse(total)},{len(account) + 1}/")
    group = ["02,CITY,BANK,1,261120,2400,CNY,2/", *account]
    group.append(f"98,{purse(total)},1,{len(group) + 1}/")
    lines = [f"01,BANK,CITY,261121,0110,7,{width},1,2/", *group]
    lines.append(f"99,{purse(total)},1,{len(lines) + 1}/")
    return "".join(f"{line}{newline}" for line in lines).encode()


PROFILE = f"""
code = "law"
name = "a bank"
account_no = "{ACCOUNT}"
columns = [
    {{ name = "day", holds = "booked_on" }}, {{ name = "no", holds = "entry_no" }},
    {{ name = "out", holds = "debit" }}, {{ name = "in", holds = "credit" }},
    {{ name = "balance", holds = "balance" }}, {{ name = "ref", holds = "reference" }},
    {{ name = "text", holds = "words" }},
]
[file]
order = "ORDER"
[[notes]]
pattern = '^opening,(?P<opening>[-0-9.]+)'
[[notes]]
pattern = '^(?P<count>[0-9]+) rows,(?P<credit_sum>[0-9.]+),(?P<debit_sum>[0-9.]+),'
required = true
[[notes]]
pattern = ',(?P<closing>[-0-9.]+) end$'
required = true
"""


def sheet(day: Day, purse: Purse, *, order: str = "oldest_first", encoding: str = "utf-8") -> bytes:
    """Write a CSV; what is a reversal is written below zero in the other column."""
    balances = accumulate((one.fen for one in day.movements), initial=day.opening_fen)
    rows = []
    for one, balance in zip(day.movements, list(balances)[1:], strict=True):
        is_in = (one.fen > 0) is not one.is_reversal
        text = point(purse(one.fen if is_in else -one.fen))
        cells = ["", text] if is_in else [text, ""]
        rows.append(
            ",".join([
                f"{one.booked_on:%Y%m%d}", one.bank_ref, *cells, point(purse(balance)),
                one.reference, f'"{one.words}，水费"',
            ])
        )  # fmt: skip
    came = sum(one.fen for one in day.movements if one.fen > 0)
    went = sum(-one.fen for one in day.movements if one.fen < 0)
    lines = [
        f"opening,{point(purse(day.opening_fen))}",
        "day,no,out,in,balance,ref,text",
        *(rows if order == "oldest_first" else rows[::-1]),
        f"{len(rows)} rows,{point(purse(came))},{point(purse(went))},"
        f"{point(purse(day.closing_fen))} end",
    ]
    return "".join(f"{line}\r\n" for line in lines).encode(encoding)
