"""A company's live API in one TOML file: what is sent, and what the answers mean.

Every key is explained in docs/live-apis.md. Nothing here speaks HTTP.
"""

import re
import tomllib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from core.errors import Invalid
from providers.clients.answers import Answer, AnswerFormat
from providers.clients.templates import XmlTemplate, places_in
from providers.formats.cells import AmountUnit, DateFormat

MomentFormat = Literal["iso", "unix", "yyyymmddhhmmss"]
ALWAYS: Final = frozenset({"time", "moment", "request_no"})
_Declared = TypeVar("_Declared", bound=BaseModel)
_SIGNED: Final = ALWAYS | {"method", "path", "query", "body"}


def _check_places(key: str, used: set[str], known: frozenset[str]) -> None:
    """Refuse a ``{place}`` nobody fills. Raises ValueError."""
    for name in sorted(used - known):
        raise ValueError(f"{key}: there is no {{{name}}}: {', '.join(sorted(known))}")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Bearer(_Table):
    """``Authorization: Bearer`` with the agreed secret."""

    kind: Literal["bearer"]


class Basic(_Table):
    """``Authorization: Basic`` with a user and the agreed secret."""

    kind: Literal["basic"]
    user: str = Field(min_length=1, pattern=r"^[^:]*$")


class Signed(_Table):
    """An HMAC of what ``over`` says, keyed with the agreed secret, in a header."""

    kind: Literal["hmac"]
    header: str = Field(pattern=r"^[A-Za-z0-9-]+$")
    over: str
    hash: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    value: str = "{signature}"

    @model_validator(mode="after")
    def _places_are_known(self) -> Self:
        _check_places("over", places_in(self.over), _SIGNED)
        _check_places("value", places_in(self.value), ALWAYS | {"signature"})
        return self


class Unsigned(_Table):
    kind: Literal["none"]


Authentication = Annotated[Bearer | Basic | Signed | Unsigned, Field(discriminator="kind")]


class Dates(_Table):
    """How days, months and moments are written, both ways."""

    day: DateFormat = "yyyy-mm-dd"
    month: DateFormat = "yyyy-mm"
    moment: MomentFormat = "iso"


class Api(_Table):
    """What all questions share."""

    format: AnswerFormat = "json"
    amount_unit: AmountUnit = "fen"
    dates: Dates = Dates()
    headers: dict[str, str] = Field(default_factory=dict)
    authentication: Authentication = Unsigned(kind="none")

    @model_validator(mode="after")
    def _headers_hold_nothing_of_a_resident(self) -> Self:
        """A header takes no account number: what stands there is logged on the way."""
        _check_places("headers", places_in(self.headers), ALWAYS)
        return self


class Meaning(_Table):
    """One answer and what it means; the first that fits is taken."""

    said: str | None = Field(default=None, alias="is")
    status: int = Field(default=200, ge=100, le=599)
    also: dict[str, str] = Field(default_factory=dict)
    means: str
    because: str = ""  # said instead of what the company says

    def fits(self, status: int, result: str | None, answer: Answer | None) -> bool:
        """Tell whether an answer is this one."""
        if status != self.status or (self.said is not None and result != self.said):
            return False
        return all(answer is not None and answer.said(at) == word for at, word in self.also.items())


class Call(_Table):
    """One question: how it is put, and how its answer is read."""

    PLACES: ClassVar[frozenset[str]]
    MEANINGS: ClassVar[frozenset[str]]

    method: Literal["GET", "POST", "PUT"]
    path: str
    query: dict[str, str] = Field(default_factory=dict)
    json_body: dict[str, JsonValue] | None = Field(default=None, alias="json")
    form: dict[str, str] | None = None
    xml: str | None = None
    xml_in: str | None = None
    result: str = ""
    reason: list[str] = Field(default_factory=list)
    echo: dict[str, str] = Field(default_factory=dict)
    results: list[Meaning] = Field(min_length=1)

    @model_validator(mode="after")
    def _places_are_known(self) -> Self:
        known = self.PLACES | ALWAYS
        for key in ("path", "query", "json_body", "form", "echo"):
            _check_places(key.removesuffix("_body"), places_in(getattr(self, key)), known)
        if self.document is not None:
            _check_places("xml", self.document.places, known)
        return self

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if sum(one is not None for one in (self.json_body, self.form)) > 1:
            raise ValueError("a question has one body: leave json or form out")
        if self.xml_in is None and self.xml is not None and (self.json_body or self.form):
            raise ValueError("xml beside a form needs xml_in: the field it is sent in")
        if self.xml_in is not None and (self.xml is None or self.json_body is not None):
            raise ValueError("xml_in is the form's field for xml: write xml, and no json")
        if self.method == "GET" and (self.json_body or self.form or self.xml):
            raise ValueError("a GET has no body: use query, or POST")
        return self

    @model_validator(mode="after")
    def _meanings_are_known(self) -> Self:
        for at, one in enumerate(self.results, start=1):
            if one.means not in self.MEANINGS:
                known = ", ".join(sorted(self.MEANINGS))
                raise ValueError(f"results[{at}].means {one.means!r} is none of {known}")
            if one.said is not None and not self.result:
                raise ValueError("result is missing: say where in the answer the result stands")
        return self

    @cached_property
    def document(self) -> XmlTemplate | None:
        return None if self.xml is None else XmlTemplate(self.xml)


class BillColumns(_Table):
    """Where in the answer the open bills are, and what stands where in each."""

    rows: str
    bill_no: str
    billing_month: str
    issued: str
    due: str
    amount: str
    version: str | None = None


class Fetch(Call):
    """What is open on an account."""

    PLACES = frozenset({"account_no"})
    MEANINGS = frozenset(
        {"bills", "none", "bills_or_none", "unknown_account", "several_accounts", "down"}
    )
    bills: BillColumns


class Validate(Call):
    """Whether an account is there."""

    PLACES = frozenset({"account_no", "holder_hint"})
    MEANINGS = frozenset({"known", "closed", "unknown_account", "several_accounts", "down"})
    holder: str | None = None


class _OfPayments(Call):
    """What ends a payment is the company's own word: money goes back by it."""

    ENDINGS: ClassVar = frozenset({"refused", "paid_elsewhere", "never_seen"})

    @model_validator(mode="after")
    def _an_end_is_said_by_the_company(self) -> Self:
        for at, one in enumerate(self.results, start=1):
            if one.means in self.ENDINGS and one.said is None and not one.also:
                raise ValueError(
                    f"results[{at}] takes HTTP status {one.status} alone for {one.means}: whatever"
                    " stands between us may say that too; add is or also, what the answer holds"
                )
        return self


class WriteOff(_OfPayments):
    """A payment."""

    PLACES = frozenset({
        "write_off_no", "account_no", "bill_no", "billing_month", "amount_fen", "amount_yuan",
        "paid_at",
    })  # fmt: skip
    MEANINGS = frozenset({"accepted", "refused", "paid_elsewhere", "unknown", "down"})
    receipt: str
    amount: str | None = None


class Query(_OfPayments):
    """What became of a payment."""

    PLACES = frozenset({"write_off_no"})
    MEANINGS = WriteOff.MEANINGS | {"never_seen"}
    receipt: str
    amount: str | None = None


class Reversal(Call):
    """Taking a write-off back; ``receipt`` is the company's number of having done so."""

    PLACES = frozenset({
        "reversal_no", "write_off_no", "account_no", "bill_no", "amount_fen", "amount_yuan",
    })  # fmt: skip
    MEANINGS = frozenset({"accepted", "refused", "unknown", "down"})
    receipt: str
    amount: str | None = None


class Confirmations(Call):
    """A day's list of write-offs.

    What means ``ready`` is the list itself and must be of the media type ``file_type``: any other
    answer that fits is as good as none.
    """

    PLACES = frozenset({"day", "iso_day"})
    MEANINGS = frozenset({"ready", "not_yet", "no_data", "down"})
    file_type: str = Field(pattern=r"^[a-z0-9.+-]+/[a-z0-9.+-]+$")


class Declaration(_Table):
    """One company's API.

    Without ``validate``, an account is known when its bills are told; without ``confirmations``,
    the company gives no list of its write-offs this way; without ``reversal``, it takes none back.
    """

    api: Api = Api()
    fetch: Fetch
    validation: Validate | None = Field(default=None, alias="validate")
    write_off: WriteOff
    query: Query
    reversal: Reversal | None = None
    confirmations: Confirmations | None = None


def load_declaration(path: Path) -> Declaration:
    """Read and check a company's declaration; see `read_toml`."""
    return read_toml(path, Declaration)


def read_toml(path: Path, kind: type[_Declared]) -> _Declared:
    """Read and check a file that declares something.

    Raises:
        Invalid: the message names the file, the line where it can, the table and key, and what
            would be right.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return kind.model_validate(tomllib.loads(text))
    except OSError as wrong:
        raise Invalid(f"{path}: cannot be read: {wrong.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise Invalid(f"{path.name}: is not TOML in UTF-8: {wrong}", code="api.invalid") from None
    except ValidationError as wrong:
        told = "; ".join(_told(error, text) for error in wrong.errors())
        raise Invalid(f"{path.name}: {told}", code="api.invalid") from None


def _told(error: Any, text: str) -> str:
    """Say one complaint of pydantic's in the operator's words: ``line 12, fetch.bills.due: …``."""
    steps = [one for one in error["loc"] if one not in {"bearer", "basic", "hmac"}]
    where = "".join(f"[{one + 1}]" if isinstance(one, int) else f".{one}" for one in steps)
    where = where.removeprefix(".")
    line_no = _line_of(steps, text)
    place = f"line {line_no}, {where}" if line_no else where
    if error["type"] == "missing":
        return f"{place}: is missing; add it"
    if error["type"] == "extra_forbidden":
        return f"{place}: is no key of this table"
    message = error["msg"].removeprefix("Value error, ").replace("Input should", "should")
    return f"{place}: {message}" if place else message


def _line_of(steps: list[Any], text: str) -> int | None:
    """Return the line of the deepest table or key of a path that has one of its own."""
    names = [one for one in steps if isinstance(one, str)]
    found, table = None, ""
    for line_no, line in enumerate(text.splitlines(), start=1):
        heading = re.match(r"\s*\[+\s*([\w.\-]+)\s*\]+", line)
        key = re.match(r"\s*([\w\-]+)\s*=", line)
        if heading:
            table = heading[1]
            if ".".join(names).startswith(table) and names:
                found = line_no
        elif key and any(_is(names, table, key[1], depth) for depth in _depths(names)):
            return line_no
    return found


def _depths(names: list[str]) -> Iterator[int]:
    yield from range(len(names), 0, -1)


def _is(names: list[str], table: str, key: str, depth: int) -> bool:
    return ".".join(names[:depth]) == (f"{table}.{key}" if table else key)
