"""Texts that are no table, no document and no lines of bills: refused by what they are."""

import re
from typing import Final

from core.errors import BillFileError

_OPENING: Final = 8_192
# Repeats are taken once and for all (`*+`): a page of blanks is not looked at again and again.
_AS_CSV: Final = "have the table exported as CSV, JSON or XML"
_AS_JSON: Final = "have it written as JSON, names and texts in double quotation marks"
_KINDS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"(?im)\A(?:(?:--|/\*|SET |USE ).*+\n|\s++)*+(?:INSERT|REPLACE) INTO\b"),
     f"the file is SQL that inserts rows: {_AS_CSV}"),
    (re.compile(r"\AEDI_DC"),
     "the file is an IDoc of SAP in fixed width, and where its fields stand is not in it: have it"
     " sent as XML"),
    (re.compile(r"\A\s*+(?:UNA[\s\S]{6}\s*+)?UNB\W\s*+UNO[A-Z]"),
     "the file is EDIFACT (such as INVOIC), which is not read: have it sent as UBL or CII, which"
     " are XML, or the table exported as CSV"),
    (re.compile(r"\A\s*+STX=\w"),
     "the file is TRADACOMS, which is not read: have it sent as UBL or CII, which are XML, or the"
     " table exported as CSV"),
    (re.compile(r"\A\s*+(?:GS([*|~^])IN\1|ST([*|~^])810\2)"),
     "the file is X12 without its ISA segment: have the whole interchange sent, from ISA to IEA"),
    (re.compile(r"(?m)^\*{5,} *[0-9]+\. row \*{5,}$"),
     f"every value stands on a line of its own, as mysql prints with \\G: {_AS_CSV}"),
    (re.compile(r"(?m)^-\[ (?:RECORD|记录) [0-9]+ \]"),
     f"every value stands on a line of its own, as psql prints with \\x: {_AS_CSV}"),
    (re.compile(r"\A(?:version: *1\s+)?dn:{1,2} ?\S"),
     f"the file is LDIF, of a directory: {_AS_CSV}"),
    (re.compile(r"\A(?:[#;].*+\n|\s++)*+\[{1,2}[^\]\[{\"',]+\]{1,2}[ \t]*\n(?:[^=\n]+=.*\n){2}"),
     f"the file has a section for each bill, as INI and TOML have: {_AS_CSV}"),
    (re.compile(r"\A(?:%YAML.*\n|---.*\n|#.*\n)*(?:[^\s:#\[{\"]+:[ \t]*\n)?[ \t]*-[ \t]+"
                r"[^\s:,|;]+:[ \t]+\S.*\n(?:[ \t]+[^\s:,|;]+:[ \t].*\n){2}"),
     f"the file is YAML: {_AS_CSV}"),
    (re.compile(r"(?is)\A\s*<(?:table|thead|tbody|tr|body|div)\b.*<t[dh]\b"),
     "the file is a table of a web page, whatever its name says: open it in the spreadsheet program"
     " and save it as xlsx"),
    (re.compile(r"\A(?:/\*(?:[^*]|\*(?!/))*+\*/|\s++)*+[A-Za-z_$][\w$.]*+\(\s*[\[{]"),
     f"the JSON stands in a call of a function (JSONP): {_AS_JSON}, and nothing around it"),
    (re.compile(r"\A\s*(?:var|let|const|export default|module\.exports|window\.\w+)\b[^\n=\[{]*=?"
                r"\s*[\[{]"),
     f"the file is a program in JavaScript around its data: {_AS_JSON}, and nothing around it"),
    (re.compile(r"\A\s*[\[{]\s*(?:\{\s*)?'[^'\n]*'\s*:"),
     f"names and texts stand in single quotation marks, as Python prints them: {_AS_JSON}"),
    (re.compile(r"\A\s*+\[?\s*+\{\s*+[A-Za-z_$][\w$]*+\s*+:"),
     f"names stand in no quotation marks, as in JSON5 and JavaScript: {_AS_JSON}"),
)  # fmt: skip
_PAIR = re.compile(r"(?:^|[\s,;|&])([^\W\d]\w*)=(?=\S)")
_LEAST: Final = 3


def refuse_other_kind(text: str) -> None:
    """Refuse a text of a kind that nobody reads.

    Raises:
        BillFileError: with what it is, the line that shows it, and how to have it sent.
    """
    opening = text[:_OPENING]
    for sign, told in _KINDS:
        found = sign.search(opening)
        if found is not None:
            raise BillFileError(told, line_no=_line_of(opening, found))
    if opening.lstrip()[:1] in ("<", "{", "["):
        return
    lines = [line for line in opening.split("\n")[:50] if line.strip()]
    paired = [line for line in lines if len(set(_PAIR.findall(line))) >= _LEAST]
    if lines and 10 * len(paired) >= 9 * len(lines):
        raise BillFileError(
            "every value has its name beside it in its line (name=value):"
            " have it sent as CSV, with the names once above the rows, or as JSON Lines",
            line_no=1,
        )


def _line_of(opening: str, found: re.Match[str]) -> int:
    shown = opening[found.start() :]
    return opening.count("\n", 0, found.start() + len(shown) - len(shown.lstrip())) + 1
