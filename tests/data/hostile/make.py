"""Make the hostile files beside this page anew: ``python -m tests.data.hostile.make``.

A folder is named after the reader its files are meant for; ``answers.toml`` says what each must
be answered with. Everything is made up here, by the formats' own rules; nothing was taken from
anybody.
"""

import gzip
import io
import json
import struct
import zipfile
from pathlib import Path

from tests.providers import samples_mapped as mapped
from tests.providers.files import GAS, WATER
from tests.providers.samples_text import CELLS, NAMES, lines
from tests.providers.standards import test_espi as espi
from tests.providers.standards import test_pain_013 as pain
from tests.providers.standards import test_x12_810 as x12
from tests.providers.standards.documents import cii_file, pdf, ubl_file

HERE = Path(__file__).parent
PLAIN = WATER.file({}, {"账单号": "W-2"})
DECLARED = b'<?xml version="1.0" encoding="UTF-8"?>\n'


def laughs(levels: int) -> str:
    said = '<!ENTITY a0 "ha">'
    for level in range(1, levels):
        said += f'<!ENTITY a{level} "{f"&a{level - 1};" * 10}">'
    return f"<!DOCTYPE x [{said}]>"


ATTACKS = {
    "billion_laughs": (laughs(10), "&a9;"),
    "quadratic_blow_up": (f'<!DOCTYPE x [<!ENTITY a "{"x" * 1_000}">]>', "&a;" * 500),
    "entity_of_a_file": ('<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>', "&a;"),
    "entity_of_the_network": ('<!DOCTYPE x [<!ENTITY a SYSTEM "http://127.0.0.1:9/a">]>', "&a;"),
    "dtd_elsewhere": ('<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">', "P-1"),
    "parameter_entities": (
        '<!DOCTYPE x [<!ENTITY % f SYSTEM "file:///etc/passwd"><!ENTITY % g "<!ENTITY a \'%f;\'>">'
        " %g;]>", "&a;",
    ),
    "entity_in_an_attribute": ('<!DOCTYPE x [<!ENTITY a "1">]><!--', "-->"),
    "entity_of_nobody": ("", "&nobody;"),
    "half_a_character": ("", "&#xD800;"),
    "nul_by_number": ("", "&#0;"),
    "xinclude": (
        "", '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd"'
        ' parse="text"/>',
    ),
    "style_sheet": ('<?xml-stylesheet href="http://127.0.0.1:9/x.xsl" type="text/xsl"?>', "P-1"),
}  # fmt: skip


def attacked(document: bytes, place: bytes) -> dict[str, bytes]:
    """Put each attack into a document whose bill number, say, stands at ``place``."""
    assert place in document
    assert document.startswith(DECLARED)
    body = document.removeprefix(DECLARED)
    return {
        f"{name}.xml": DECLARED + prolog.encode() + b"\n" + body.replace(place, put.encode(), 1)
        for name, (prolog, put) in ATTACKS.items()
    }


def xml_files() -> dict[str, bytes]:
    row = mapped.XML_ROW.format("1000000001").strip()
    plain = mapped.xml(row).encode()
    made = attacked(plain, "张珅".encode())
    deep = "<u:a>" * 1_000 + "</u:a>" * 1_000
    return made | {
        "deep.xml": mapped.xml(row + deep).encode(),
        "never_closed.xml": mapped.xml(row + "<u:a>" * 1_000).encode(),
        "many_attributes.xml": plain.replace(
            b"<u:Used>", b"<u:Used %s>" % b" ".join(b'a%d="1"' % at for at in range(2_000))
        ),
        "one_attribute_twice.xml": plain.replace(b'no="B-1"', b'no="B-1" no="B-2"'),
        "utf_7.xml": plain.replace(b'"UTF-8"', b'"UTF-7"'),
        "says_utf_16_and_is_not.xml": plain.replace(b'"UTF-8"', b'"UTF-16"'),
        "nul.xml": plain.replace(b"86.50", b"86.\x0050"),
        "overlong.xml": plain.replace("张".encode(), b"\xc0\xbc"),
        "gb_in_utf_8.xml": plain.replace("张".encode(), "张".encode("gb18030")),
        "cut_short.xml": plain[:-20],
        "two_roots.xml": plain + plain.removeprefix(DECLARED),
        "line_break_in_the_account.xml": plain.replace(b"1000000001", b"10000&#10;00001"),
        "tab_in_the_account.xml": plain.replace(b"1000000001", b"10000&#9;00001"),
        "right_to_left.xml": plain.replace("张".encode(), "张\u202e".encode()),
        "exponent.xml": plain.replace(b"86.50", b"1e999999999"),
        "beyond_64_bits.xml": plain.replace(b"86.50", b"92233720368547758.08"),
        "full_width_digits.xml": plain.replace(b"86.50", "８６.５０".encode()),
        "no_rows.xml": mapped.xml().encode(),
        "other_namespace.xml": plain.replace(b"urn:sample:bills", b"urn:other"),
        "empty.xml": b"",
        "declaration_only.xml": DECLARED,
    }


def json_files() -> dict[str, bytes]:
    sound = json.dumps(mapped.OBJECT, ensure_ascii=False)
    texts = {
        "deep.json": "[" * 20_000,
        "deep_in_a_row.json": f'[{sound[:-1]}, "x": {"[" * 5_000}{"]" * 5_000}}}]',
        "key_twice.json": f'[{sound[:-1]}, "amount": 1}}]',
        "nan.json": f"[{sound}]".replace("86.49999999999999", "NaN"),
        "infinity.json": f"[{sound}]".replace("86.49999999999999", "-Infinity"),
        "exponent.json": f"[{sound}]".replace("86.49999999999999", "1e999999999"),
        "exponent_of_twenty_digits.json": f"[{sound}]".replace(
            "86.49999999999999", f"1e{'9' * 20}"
        ),
        "small_exponent.json": f"[{sound}]".replace("86.49999999999999", "1e-999999999"),
        "huge_number.json": f"[{sound}]".replace("86.49999999999999", "9" * 4_500),
        "beyond_64_bits.json": f"[{sound}]".replace("86.49999999999999", "92233720368547758.08"),
        "minus_zero.json": f"[{sound}]".replace("86.49999999999999", "-0.0"),
        "true_is_no_amount.json": f"[{sound}]".replace("86.49999999999999", "true"),
        "half_a_character.json": f"[{sound}]".replace("示例路1号", "\\ud800"),
        "nul_escaped.json": f"[{sound}]".replace("示例路1号", "\\u0000"),
        "line_break_in_the_account.json": f"[{sound}]".replace("1000000001", "10000\\n00001"),
        "copy_end_in_the_name.json": f"[{sound}]".replace("张珅", "\\\\."),
        "rows_are_no_objects.json": '[1, "a", null, [], true]',
        "comments.json": f"[{sound} /* one */]",
        "single_quotes.json": f"[{sound}]".replace('"', "'"),
        "comma_at_the_end.json": f"[{sound},]",
        "two_documents.json": f"[{sound}][{sound}]",
        "cut_short.json": f"[{sound}"[:-5],
        "no_rows.json": "[]",
        "null.json": "null",
    }
    made = {name: text.encode() for name, text in texts.items()}
    return made | {
        "overlong.json": f"[{sound}]".encode().replace("张".encode(), b"\xe0\x80\xaf"),
        "surrogates_in_utf_8.json": f"[{sound}]".encode().replace("张".encode(), b"\xed\xa0\x80"),
        "nul.json": f"[{sound}]".encode().replace(b"86.49", b"86\x00.49"),
        "empty.json": b"",
        "mark_only.json": b"\xef\xbb\xbf",
    }


def json_lines_files() -> dict[str, bytes]:
    sound = json.dumps(mapped.OBJECT, ensure_ascii=False)
    odd = [
        sound, "[" * 5_000, sound[:-1] + ', "amount": 1}', sound.replace("86.49", "NaN"),
        sound.replace("86.49999999999999", "1e999999999"), sound.replace("示例路1号", "\\ud800"),
        sound.replace("86.49999999999999", "9" * 4_500),
        sound.replace("86.49999999999999", f"1e{'9' * 20}"), "1", "null", '"a"', "{}", sound[:-3],
        sound.replace("1000000001", "1000000001'; DROP TABLE bill; --"), sound,
    ]  # fmt: skip
    return {"a_line_of_each.jsonl": "\n".join(odd).encode() + b"\n", "blank.jsonl": b"\n\n\n"}


def csv_files() -> dict[str, bytes]:
    def one(at: int, text: str) -> str:
        return lines(",", NAMES, CELLS, (*CELLS[:at], text, *CELLS[at + 1 :]))

    account, holder, amount, due = 0, 1, 10, 8
    texts = {
        "formula_equals.csv": one(holder, "=cmd|'/C calc'!A0"),
        "formula_plus.csv": one(holder, "+1+1"),
        "formula_at.csv": one(holder, "@SUM(1)"),
        "null_of_copy.csv": one(account, "\\N"),
        "end_of_copy.csv": lines(",", NAMES, CELLS) + "\\.\n" + lines(",", CELLS),
        "backslashes_in_the_name.csv": one(holder, "\\\\N\\."),
        "sql_in_the_account.csv": one(account, "1'; DROP TABLE bill; --"),
        "sql_in_the_name.csv": one(holder, "Robert'); DROP TABLE bill; --"),
        "tab_in_the_account.csv": one(account, "10000\t00001"),
        "nul_in_the_name.csv": one(holder, "张\0珅"),
        "right_to_left.csv": one(holder, "张\u202e珅"),
        "zero_width.csv": one(account, "10000\u200b00001"),
        "escape_sequence.csv": one(holder, "\x1b[2J张"),
        "full_width_digits.csv": one(account, "１０００００００01"),
        "beyond_64_bits.csv": one(amount, "92233720368547758.08"),
        "ten_billion_and_more.csv": one(amount, "9999999999999.99"),
        "exponent.csv": one(amount, "1e999999999"),
        "nan.csv": one(amount, "NaN"),
        "hundreds_of_digits.csv": one(amount, "9" * 500),
        "year_0.csv": one(due, "00000101"),
        "year_9999.csv": one(due, "99991231"),
        "30_february.csv": one(due, "20270230"),
        "thousands_of_columns.csv": "a," * 2_000 + "\n" + lines(",", NAMES, CELLS),
        "a_row_of_thousands.csv": lines(",", NAMES, CELLS) + "1," * 5_000 + "\n",
        "a_column_twice.csv": lines(",", (*NAMES, "金额"), (*CELLS, "1.00")),
        "header_only.csv": lines(",", NAMES),
        "only_new_lines.csv": "\n\n\n",
        "only_commas.csv": ",,,,,,,,,,\n",
        "only_carriage_returns.csv": lines(",", NAMES, CELLS).replace("\n", "\r"),
        "no_line_end.csv": lines(",", NAMES, CELLS).rstrip(),
        "utf_7.csv": "+/v8-" + lines(",", NAMES, CELLS),
    }
    return {name: text.encode() for name, text in texts.items()} | csv_bytes()


def csv_bytes() -> dict[str, bytes]:
    """Return what can only be said in bytes."""
    plain = lines(",", NAMES, CELLS)
    return {
        "empty.csv": b"",
        "mark_only.csv": b"\xef\xbb\xbf",
        "marks_of_utf_16_only.csv": b"\xff\xfe",
        "odd_byte_of_utf_16.csv": plain.encode("utf-16") + b"\0",
        "half_a_pair_of_utf_16.csv": plain.replace("珅", "A").encode("utf-16").replace(
            b"A\0", b"\x00\xd8"),
        "overlong.csv": plain.encode().replace("张".encode(), b"\xc0\xaf"),
        "surrogates_in_utf_8.csv": plain.encode().replace("张".encode(), b"\xed\xa0\x80"),
        "mixed_encodings.csv": (plain.encode()
                                + ",".join(CELLS).replace("珅", "三").encode("gb18030") + b"\n"),
        "nothing_but_nul.csv": bytes(4_000),
        "every_byte.csv": bytes(range(256)) * 8,
        "a_program.csv": b"\x7fELF\x02\x01\x01" + bytes(64),
        "a_picture.csv": b"\x89PNG\r\n\x1a\n" + bytes(64),
    }  # fmt: skip


def fixed_files() -> dict[str, bytes]:
    plain = GAS.file({}, {"账单号": "G-2"})
    first = plain.split(b"\n")
    return {
        "one_byte_short.dat": b"\n".join([first[0], first[1][:-1], *first[2:]]),
        "one_byte_long.dat": b"\n".join([first[0], first[1] + b" ", *first[2:]]),
        "half_a_character.dat": plain.replace(
            "示例路3号".encode("gb18030"), b"\xca\xbe\xc0\xfd\xc2"
        ),
        "no_trailer.dat": b"\n".join(first[:-2]) + b"\n",
        "two_trailers.dat": plain + first[-2] + b"\n",
        "count_too_high.dat": GAS.file({}, count=2),
        "sum_too_low.dat": GAS.file({}, total=8_649),
        "nul.dat": plain.replace(b"200000000001", b"2000\x0000000001"[:12]),
    }


def archive(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as packing:
        for name, data in members:
            packing.writestr(zipfile.ZipInfo(name, (2026, 11, 1, 0, 0, 0)), data, method)
    return packed.getvalue()


def zip_changed(data: bytes, *, flag: int = 0, method: int | None = None) -> bytes:
    """Set a flag or another method in a zip's own headers, both of the first member's."""
    changed = bytearray(data)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = changed.index(mark) + at
        changed[place] |= flag
        if method is not None:
            changed[place + 2 : place + 4] = struct.pack("<H", method)
    return bytes(changed)


def nameless() -> bytes:
    """A member whose name is blank, as no packer would write it."""
    whole = bytearray(archive(("a", PLAIN)))
    at, name_bytes = whole.index(b"PK\x01\x02"), 28
    whole[at + name_bytes : at + name_bytes + 2] = b"\0\0"
    whole[at + 30 : at + 32] = b"\1\0"  # what was the name is a field of extras, cut short
    return bytes(whole)


def overlapping() -> bytes:
    """Two members in the list of contents that are the same bytes."""
    whole = archive(("a.txt", PLAIN))
    at = whole.index(b"PK\x01\x02")
    entry, end = whole[at:-22].replace(b"a.txt", b"b.txt"), bytearray(whole[-22:])
    end[8:12] = struct.pack("<HH", 2, 2)
    end[12:16] = struct.pack("<I", 2 * len(entry))
    return whole[:-22] + entry + bytes(end)


def packed_files() -> dict[str, bytes]:
    gz = gzip.compress(PLAIN, mtime=0)
    endless = WATER.header + b"\n" + b"D|%s\n" % (b"0" * 60) * 170_000
    nested = archive(("0.zip", archive(("1.zip", archive(("bills.txt", PLAIN))))))
    return {
        "sound.zip": archive(("bills.txt", PLAIN)),
        "name_leads_out.zip": archive(("../../../etc/cron.d/bills", PLAIN)),
        "name_is_blank.zip": nameless(),
        "name_is_absolute.zip": archive(("/etc/passwd", PLAIN)),
        "name_of_windows.zip": archive(("C:\\bills.txt", PLAIN)),
        "name_with_escapes.zip": archive(("\x1b[2J.txt", PLAIN), ("b", b"")),
        "two_members.zip": archive(("a.txt", PLAIN), ("b.txt", PLAIN)),
        "one_name_twice.zip": overlapping().replace(b"b.txt", b"a.txt"),
        "overlapping.zip": overlapping(),
        "nested.zip": nested,
        "locked.zip": zip_changed(archive(("a", PLAIN)), flag=1),
        "odd_method.zip": zip_changed(archive(("a", PLAIN)), method=99),
        "of_lzma.zip": archive(("a", PLAIN), method=zipfile.ZIP_LZMA),
        "of_bzip2.zip": archive(("a", PLAIN), method=zipfile.ZIP_BZIP2),
        "bomb.zip": archive(("a", endless)),
        "bomb.gz": gzip.compress(endless, mtime=0),
        "bomb_of_bombs.zip": archive(*[(str(at), archive(("a", bytes(1_000_000))))
                                       for at in range(8)]),
        "empty.zip": archive(),
        "folders_only.zip": archive(("a/", b""), ("a/b/", b"")),
        "cut_short.zip": archive(("a", PLAIN))[:-30],
        "wrong_sum.zip": archive(("a", PLAIN)).replace(
            struct.pack("<I", zipfile.crc32(PLAIN)), b"\1\2\3\4"),
        "of_gz.gz": gzip.compress(gz, mtime=0),
        "and_rubbish.gz": gz + b"rubbish",
        "and_zeros.gz": gz + bytes(100),
        "cut_short.gz": gz[:-12],
        "head_only.gz": gz[:10],
        "wrong_sum.gz": gz[:-6] + b"\0\0" + gz[-4:],
        "of_nothing.gz": gzip.compress(b"", mtime=0),
        "seven.7z": b"7z\xbc\xaf\x27\x1c" + bytes(60),
        "a.rar": b"Rar!\x1a\x07\x01\x00" + bytes(60),
        "a.xz": b"\xfd7zXZ\x00" + bytes(60),
        "a.bz2": b"BZh91AY&SY" + bytes(60),
        "a.zst": b"\x28\xb5\x2f\xfd" + bytes(60),
    }  # fmt: skip


SHEET = (
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{}</worksheet>'
)


def book(**parts: bytes) -> bytes:
    """Return a sound workbook with some of its parts replaced, or more of them."""
    sound = mapped.xlsx([NAMES, mapped.CELLS])
    with zipfile.ZipFile(io.BytesIO(sound)) as source:
        held = {name: source.read(name) for name in source.namelist()}
    held |= {name.replace("__", "/"): data for name, data in parts.items()}
    return archive(*held.items())


def inline(*cells: str) -> str:
    shown = "".join(f'<c t="inlineStr"><is><t>{cell}</t></is></c>' for cell in cells)
    return f"<row>{shown}</row>"


def xlsx_files() -> dict[str, bytes]:
    sheet, strings = "xl__worksheets__sheet1.xml", "xl__sharedStrings.xml"
    rows = inline(*NAMES) + inline(*CELLS)
    data = f"<sheetData>{rows}</sheetData>"
    corner = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    failed = inline(*CELLS[:10]).replace("</row>", '<c t="e"><f>1/0</f><v>#DIV/0!</v></c></row>')
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    texts = {
        "sound.xlsx": {sheet: SHEET.format(data)},
        "huge_dimension.xlsx": {sheet: SHEET.format('<dimension ref="A1:XFD1048576"/>' + data)},
        "cell_in_the_last_corner.xlsx": {
            sheet: SHEET.format(f"<sheetData>{rows}{corner}</sheetData>")},
        "laughing_strings.xlsx": {
            strings: laughs(10) + f'<sst xmlns="{main}"><si><t>&a9;</t></si></sst>'},
        "entity_in_the_sheet.xlsx": {
            sheet: '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
            + SHEET.format(data.replace("张珅", "&a;"))},
        "strings_that_are_not_there.xlsx": {
            sheet: SHEET.format('<sheetData><row><c t="s"><v>4000000000</v></c></row>')},
        "failed_formula.xlsx": {
            sheet: SHEET.format(f"<sheetData>{inline(*NAMES)}{failed}</sheetData>")},
        "formula_without_a_value.xlsx": {
            sheet: SHEET.format("<sheetData>" + inline(*NAMES) + inline(*CELLS[:10]).replace(
                "</row>", '<c><f>WEBSERVICE("http://127.0.0.1:9/")</f></c></row>')
                + "</sheetData>")},
        "link_to_another_book.xlsx": {
            "xl__externalLinks__externalLink1.xml": f'<externalLink xmlns="{main}"/>'},
        "macros.xlsm": {"xl__vbaProject.bin": "\0" * 500},
        "deep_sheet.xlsx": {sheet: SHEET.format("<a>" * 5_000)},
        "no_sheet_inside.xlsx": {sheet: ""},
        "exponent.xlsx": {sheet: SHEET.format("<sheetData>" + inline(*NAMES) + inline(
            *CELLS[:10]).replace("</row>", "<c><v>1e300</v></c></row>") + "</sheetData>")},
    }  # fmt: skip
    made = {
        name: book(**{part: text.encode() for part, text in parts.items()})
        for name, parts in texts.items()
    }
    sound = made["sound.xlsx"]
    old = mapped.xls([NAMES, CELLS])
    return made | {
        "cut_short.xlsx": sound[:-200],
        "damaged.xls": old[:512] + bytes(600) + old[1_112:],
        "cut_short.xls": old[:700],
        "page.xls": b"<html><table><tr><td>1</td></tr></table></html>",
        "text.xlsx": lines(",", NAMES, CELLS).encode(),
        "locked.xls": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)
        + "EncryptedPackage".encode("utf-16-le"),
        "empty.xlsx": b"",
        "no_members.xlsx": archive(),
    }  # fmt: skip


def cii_files() -> dict[str, bytes]:
    sound = pdf(cii_file())
    stream = sound.index(b"stream\n")
    return attacked(cii_file(), b"P-1") | {
        "sound.pdf": sound,
        "other_attachment.pdf": pdf(b"MZ" + bytes(200), "invoice.exe"),
        "attachment_is_no_xml.pdf": pdf(b"nothing of the kind"),
        "attack_in_the_attachment.pdf": pdf(
            DECLARED + laughs(10).encode() + cii_file().removeprefix(DECLARED)),
        "locked.pdf": pdf(cii_file(), password="secret"),
        "cut_short.pdf": sound[:-400],
        "stream_without_end.pdf": sound[: stream + 40],
        "head_only.pdf": b"%PDF-1.7\n",
        "rubbish.pdf": b"%PDF-1.7\n" + bytes(range(256)) * 4,
        "goes_in_circles.pdf": b"%PDF-1.7\n1 0 obj\n<</Type/Catalog/Names 1 0 R/Kids[1 0 R]"
        b"/EmbeddedFiles 1 0 R>>\nendobj\nxref\n0 2\n0000000000 65535 f \n0000000009 00000 n \n"
        b"trailer\n<</Root 1 0 R/Size 2/Prev 100>>\nstartxref\n100\n%%EOF\n",
    }  # fmt: skip


def x12_files() -> dict[str, bytes]:
    plain = x12.interchange(x12.invoice())
    return {
        "sound.edi": plain,
        "one_mark_for_all.edi": plain.replace(b"~", b"*"),
        "a_letter_between.edi": plain.replace(b"*", b"A"),
        "isa_only.edi": x12.ISA.encode() + b"~\n",
        "isa_cut_short.edi": x12.ISA[:60].encode(),
        "no_iea.edi": plain.replace(b"IEA*1*000000042~\n", b""),
        "other_number_in_iea.edi": plain.replace(b"IEA*1*000000042", b"IEA*1*000000043"),
        "two_groups_promised.edi": plain.replace(b"IEA*1", b"IEA*2"),
        "two_sets_promised.edi": plain.replace(b"GE*1*7", b"GE*2*7"),
        "letters_for_a_count.edi": plain.replace(b"GE*1*7", b"GE*one*7"),
        "se_counts_wrong.edi": plain.replace(b"SE*", b"SE*9", 1),
        "no_se.edi": b"\n".join(s for s in plain.split(b"\n") if not s.startswith(b"SE*")),
        "another_set.edi": plain.replace(b"ST*810", b"ST*850"),
        "exponent.edi": plain.replace(b"TDS*8650", b"TDS*1e999999999"),
        "hundreds_of_digits.edi": plain.replace(b"TDS*8650", b"TDS*" + b"9" * 4_500),
        "full_width_digits.edi": plain.replace(b"TDS*8650", "TDS*８６５０".encode()),
        "nul.edi": plain.replace(b"INV-1", b"INV\x001"),
        "thousands_of_elements.edi": plain.replace(b"BIG*", b"BIG" + b"*" * 5_000),
        "segment_without_end.edi": plain + b"BIG*" * 1_500,
        "year_0.edi": plain.replace(b"BIG*20261101", b"BIG*00001101"),
        "empty.edi": b"",
    }


def espi_files() -> dict[str, bytes]:
    def told(**changes: str) -> bytes:
        return espi.feed(espi.point(), espi.summary(**changes))  # type: ignore[arg-type]

    return attacked(told(), b"8650000") | {
        "sound.xml": told(),
        "end_of_time.xml": told(start="9" * 30),
        "before_time.xml": told(start="-99999999999999"),
        "duration_without_end.xml": told(duration="9" * 30),
        "backwards.xml": told(duration="-86400"),
        "power_of_ten.xml": told(used=espi.USED.format(999_999_999, 72, 250_000)),
        "exponent.xml": told(bill="1e999999999"),
        "hundreds_of_digits.xml": told(bill="9" * 400),
        "unknown_currency.xml": told(currency="999999"),
        "links_in_a_circle.xml": espi.feed(
            espi.entry("", "a", ("up", "b")), espi.entry("", "b", ("up", "a")), espi.summary()),
    }  # fmt: skip


def pain_files() -> dict[str, bytes]:
    def told(**changes: str) -> bytes:
        return pain.file(pain.message(pain.block(pain.transaction(**changes))))

    def counted(**changes: str) -> bytes:
        return pain.file(pain.message(pain.block(pain.transaction()), **changes))  # type: ignore[arg-type]

    return attacked(told(), b"E2E-1") | {
        "sound.xml": told(),
        "exponent.xml": told(amount="1e999999999"),
        "nan.xml": told(amount="NaN"),
        "hundreds_of_digits.xml": told(amount="9" * 400),
        "many_decimals.xml": told(amount="1." + "0" * 5_000 + "1"),
        "sum_is_nan.xml": counted(count="1", total="NaN"),
        "sum_of_exponents.xml": counted(count="1", total="119e0"),
        "count_too_high.xml": counted(count="2", total="119"),
    }


def own_files() -> dict[str, bytes]:
    bill = (
        '{"account_no": "1000000001", "bill_no": "B-1", "billing_month": "2026-10",'
        ' "period_from_on": "2026-10-01", "period_to_on": "2026-10-31", "issued_on": "2026-11-01",'
        ' "due_on": "2026-12-01", "amount_fen": 8650, "usage": 12.5,'
        ' "items": [{"name": "a", "amount_fen": 8650}]}'
    )
    texts = {
        "sound.json": bill,
        "deep.json": "[" * 20_000,
        "key_twice.json": bill[:-1] + ', "amount_fen": 1}',
        "nan.json": bill.replace("12.5", "NaN"),
        "exponent.json": bill.replace('"amount_fen": 8650', '"amount_fen": 1e999999999'),
        "exponent_of_twenty_digits.json": bill.replace("12.5", f"1e{'9' * 20}"),
        "usage_with_an_exponent.json": bill.replace("12.5", "1e999999999"),
        "hundreds_of_digits.json": bill.replace("8650", "9" * 500),
        "thousands_of_digits.json": bill.replace("8650", "9" * 4_500),
        "half_a_character.json": bill.replace('"a"', '"\\ud800"'),
        "true_is_no_amount.json": bill.replace("8650", "true"),
        "unknown_field.json": bill.replace('"usage"', '"paid_fen"'),
        "list.json": f"[{bill}]",
        "no_bills.json": '{"bills": []}',
    }
    return {name: text.encode() for name, text in texts.items()}


FOLDERS = {
    "xml": xml_files, "json": json_files, "json_lines": json_lines_files, "csv": csv_files,
    "gas": fixed_files, "water": packed_files, "xlsx": xlsx_files, "cii": cii_files,
    "x12_810": x12_files, "espi": espi_files, "pain_013": pain_files, "own_schema": own_files,
    "ubl": lambda: attacked(ubl_file(), b"P-1"),
}  # fmt: skip


def main() -> None:
    for folder, make in FOLDERS.items():
        (HERE / folder).mkdir(exist_ok=True)
        for name, data in make().items():
            (HERE / folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
