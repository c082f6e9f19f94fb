"""Whether what a profile says of a file's bytes, lines and cells agrees with its format."""

from typing import Final

from providers.formats.mainframe import EBCDIC
from providers.profile_facts import Facts
from providers.profile_tables import METERED, STATED, Role

_MAY_LACK: Final = ("holder_name", "address", "version", "unused", *STATED, *METERED)
_TEXT: Final = ("delimited", "fixed_width")
_BY_NAME: Final = ("delimited", "spreadsheet")  # whose columns may be found by a row of names


class Fault(ValueError):
    """What is wrong between tables; ``path`` leads to the value that is nearest to blame."""

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.path = path


def check_shape(profile: Facts) -> None:
    """Hold the lines and columns of a file that is no standard against its format.

    Raises:
        Fault: the first thing that does not fit.
    """
    _check_lines(profile)
    _check_styles(profile)
    if profile.file.format == "delimited":
        _check_delimited(profile)
    elif profile.file.format == "fixed_width":
        _check_fixed_width(profile)
    else:
        _check_other(profile)


def _check_lines(profile: Facts) -> None:
    """The header, the rows and the trailer must be told apart by their first field."""
    row_type = profile.column("row_type")
    header = profile.header
    if row_type is not None and (row_type.must_be is None or profile.columns[0] != row_type):
        raise Fault("columns: the row_type column comes first and says its must_be", "columns")
    if header.kind == "record" and not header.fields:
        raise Fault("header: kind = 'record' needs its fields listed", "header")
    if header.kind != "record" and header.fields:
        raise Fault(
            f"header: kind = {header.kind!r} takes its names from columns; leave fields out",
            "header",
        )
    if header.kind != "names" and (header.search_lines > 1 or header.extra == "ignore"):
        raise Fault("header: search_lines and extra belong to kind = 'names'; drop them", "header")
    if header.rows > 1 and (header.kind != "names" or profile.file.format not in _BY_NAME):
        told = "header: rows counts the rows of names of a workbook or delimited text; drop it"
        raise Fault(told, "header", "rows")
    if profile.trailer is not None and profile.file.format in _TEXT:
        mark = profile.trailer.fields[0].must_be
        if mark is None or (row_type is not None and mark == row_type.must_be):
            raise Fault(
                "trailer: its first field needs a must_be that differs from that of the"
                " row_type column, so that the two lines can be told apart",
                "trailer",
            )
    if profile.trailer is not None and profile.trailer.find("sequence") is not None:
        raise Fault("trailer: the file's sequence stands in the header", "trailer")
    if sum(cell.holds == "sequence" for cell in header.fields) > 1:
        raise Fault("header: two fields hold 'sequence'; only one may", "header")


def _check_delimited(profile: Facts) -> None:
    shape = profile.file
    if not shape.delimiter or set(shape.delimiter) & {"\r", "\n", shape.quote}:
        raise Fault(
            'file: delimited files need delimiter = one to eight characters, such as "|"',
            "file", "delimiter",
        )  # fmt: skip
    if shape.escape == shape.delimiter:
        raise Fault("file: escape must be another character than the delimiter", "file", "escape")
    if shape.multiline and not shape.quoted:
        raise Fault("file: multiline needs quoted = true", "file", "multiline")
    widths = (shape.row_bytes, shape.widths, shape.short_rows, shape.line_breaks)
    if widths != (None, "bytes", False, True) or any(
        place.at is not None or place.bytes is not None for place in profile.places
    ):
        raise Fault(
            "file: row_bytes, at and bytes belong to format = 'fixed_width'; drop them", "file"
        )
    _check_optional(profile)


def _check_optional(profile: Facts) -> None:
    ended = [column.name for column in profile.columns if column.optional]
    if profile.header.kind != "names" and ended != [
        column.name for column in profile.columns[len(profile.columns) - len(ended) :]
    ]:
        raise Fault("columns: optional columns stand at the row's end", "columns")
    may_lack = {*_MAY_LACK, *profile.defaults.supplies, *_blank_status(profile)}
    for at, column in enumerate(profile.columns):
        if column.optional and column.holds not in may_lack:
            raise Fault(
                f"columns: {column.name!r} holds {column.holds!r}: not optional", "columns", at
            )


def _blank_status(profile: Facts) -> set[Role]:
    """Return the role of the flag where a blank one has a meaning, too."""
    return {"status"} if "" in profile.status else set()


def _check_fixed_width(profile: Facts) -> None:
    shape = profile.file
    if shape.row_bytes is None:
        raise Fault(
            "file: fixed_width files need row_bytes, the length of a bill row in bytes", "file"
        )
    if shape.delimiter is not None or shape.quoted:
        raise Fault("file: delimiter and quoted belong to format = 'delimited'; drop them", "file")
    if profile.header.kind == "names":
        raise Fault("header: a fixed_width file has kind = 'record'", "header")
    if any(column.optional for column in profile.columns):
        raise Fault("columns: a fixed_width row has all its fields; leave optional out", "columns")
    if shape.encoding in EBCDIC and shape.widths == "bytes" and shape.line_breaks:
        raise Fault(
            f"file: lines in {shape.encoding} have widths = 'characters', one byte each; records"
            " without line ends have line_breaks = false", "file", "widths",
        )  # fmt: skip
    if shape.widths == "bytes" and shape.encoding in ("detect", "utf-16"):
        raise Fault(
            "file: widths in bytes need the encoding they were counted in, and it cannot be"
            " 'utf-16': name it, or say widths = 'characters'", "file", "encoding",
        )  # fmt: skip
    for place in profile.places:
        if place.at is None or place.bytes is None:
            raise Fault(f"{place.name}: say at (first byte, from 0) and bytes (how many)")
    end = 0
    for column in sorted(profile.columns, key=lambda column: column.span.start):
        if column.span.start < end:
            raise Fault(f"columns: {column.name!r} overlaps the column before it", "columns")
        end = column.span.stop
    if end > shape.row_bytes:
        raise Fault(
            f"columns: they reach byte {end}, past row_bytes {shape.row_bytes}",
            "file", "row_bytes",
        )  # fmt: skip


def _check_other(profile: Facts) -> None:
    """Formats whose cells have names or paths know no delimiters and no widths."""
    shape = profile.file
    if shape.delimiter is not None or shape.row_bytes is not None:
        raise Fault(
            "file: delimiter and row_bytes belong to 'delimited' and 'fixed_width'; drop them",
            "file",
        )
    _check_optional_roles(profile)


def _check_optional_roles(profile: Facts) -> None:
    may_lack = {*_MAY_LACK, *profile.defaults.supplies, "charge", "quantity"}
    may_lack |= _blank_status(profile)
    for at, column in enumerate(profile.columns):
        if column.optional and column.holds not in may_lack:
            raise Fault(
                f"columns: {column.name!r} holds {column.holds!r}: not optional", "columns", at
            )


def _check_styles(profile: Facts) -> None:
    shape = profile.file
    in_blocks = shape.format == "fixed_width" and shape.widths == "bytes" and not shape.line_breaks
    packed = next((place for place in profile.places if place.style == "packed"), None)
    if packed is not None and not in_blocks:
        raise Fault(
            f"{packed.name!r} is packed, and a packed number may have the byte of a line break in"
            " it: that needs format = 'fixed_width', line_breaks = false and widths = 'bytes';"
            " have a file with line breaks sent unpacked",
            "columns",
        )
