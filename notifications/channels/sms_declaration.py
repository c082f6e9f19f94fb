"""An SMS company's HTTP API in one TOML file: what is sent, and what it says.

Every key is explained in docs/notices.md. Nothing here speaks HTTP.
"""

from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from notifications.channels.texting import Meant
from providers.clients.answers import AnswerFormat
from providers.clients.declarations import ALWAYS, Authentication, Meaning, Unsigned
from providers.clients.templates import places_in

TAKEN: Final = "taken"
TEMPLATE: Final = frozenset({"template_id", "template_values"})
_OF_A_MESSAGE: Final = frozenset({"message_id", "phone", "text"})
_SECRET: Final = frozenset({"secret"})
_MEANINGS: Final = frozenset({TAKEN, *Meant})


def _check_places(key: str, template: Any, known: frozenset[str]) -> None:
    """Refuse a ``{place}`` nobody fills. Raises ValueError."""
    for name in sorted(places_in(template) - known):
        raise ValueError(f"{key}: there is no {{{name}}}: {', '.join(sorted(known))}")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Send(_Table):
    """One message; the first of ``results`` that fits an answer says what it means."""

    method: Literal["GET", "POST"] = "POST"
    headers: dict[str, str] = Field(default_factory=dict)
    query: dict[str, str] = Field(default_factory=dict)
    json_body: dict[str, JsonValue] | None = Field(default=None, alias="json")
    form: dict[str, str] | None = None
    format: AnswerFormat = "json"
    result: str = Field(min_length=1)
    ref: str = ""
    results: list[Meaning] = Field(min_length=1)

    @model_validator(mode="after")
    def _places_are_known(self) -> Self:
        known = ALWAYS | _OF_A_MESSAGE | TEMPLATE
        _check_places("headers", self.headers, ALWAYS | _SECRET)
        _check_places("query", self.query, known)  # no secret: addresses are logged on the way
        _check_places("json", self.json_body or {}, known | _SECRET)
        _check_places("form", self.form or {}, known | _SECRET)
        return self

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        bodies = [one for one in (self.json_body, self.form) if one is not None]
        if len(bodies) > 1:
            raise ValueError("a message has one body: leave json or form out")
        if self.method == "GET" and bodies:
            raise ValueError("a GET has no body: use query, or POST")
        return self

    @model_validator(mode="after")
    def _meanings_are_known(self) -> Self:
        for at, one in enumerate(self.results, start=1):
            if one.means not in _MEANINGS:
                known = ", ".join(sorted(_MEANINGS))
                raise ValueError(f"results[{at}].means {one.means!r} is none of {known}")
        if all(one.means != TAKEN for one in self.results):
            raise ValueError("results: none of them means taken")
        return self

    @property
    def places(self) -> set[str]:
        return places_in([self.headers, self.query, self.json_body or {}, self.form or {}])


class Signature(_Table):
    """An HMAC the company signs its receipts with; ``time_header`` fills ``{time}``."""

    header: str = Field(min_length=1)
    over: str = "{body}"
    time_header: str = ""
    hash: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"

    @model_validator(mode="after")
    def _it_covers_the_body(self) -> Self:
        known = frozenset({"body", "time"} if self.time_header else {"body"})
        _check_places("over", self.over, known)
        if "body" not in places_in(self.over):
            raise ValueError("over: without {body}, anything could be signed")
        return self


class Receipts(_Table):
    """What it calls us with; a status that is neither delivered nor waiting means failed."""

    format: Literal["json", "form"] = "json"
    rows: str = ""
    ref: str = Field(min_length=1)
    status: str = Field(min_length=1)
    delivered: list[str] = Field(min_length=1)
    waiting: list[str] = Field(default_factory=list)
    time: str = ""
    signature: Signature | None = None
    answer: str = "OK"
    answer_type: str = "text/plain; charset=utf-8"


class Replies(_Table):
    """What it calls us with when somebody answered a text.

    ``charset`` is of the whole call; ``text_in``: how it writes the words themselves. Without a
    ``ref`` a reply is known by its number, moment and words.
    """

    format: Literal["json", "form"] = "json"
    charset: Literal["utf-8", "gb18030"] = "utf-8"
    rows: str = ""
    ref: str = ""
    phone: str = Field(min_length=1)
    text: str = Field(min_length=1)
    text_in: Literal["plain", "ucs2_hex", "gb18030_hex", "base64"] = "plain"
    time: str = ""
    signature: Signature | None = None
    answer: str = "OK"
    answer_type: str = "text/plain; charset=utf-8"

    @model_validator(mode="after")
    def _each_is_known(self) -> Self:
        if not (self.ref or self.time):
            raise ValueError(
                "replies: without ref or time, nobody can tell one from its repetition"
            )
        return self


class Declaration(_Table):
    """One company's API; ``repeats_safely`` if it knows a ``message_id`` again."""

    repeats_safely: bool = False
    authentication: Authentication = Unsigned(kind="none")
    send: Send
    receipts: Receipts | None = None
    replies: Replies | None = None

    @property
    def needs_secret(self) -> bool:
        return not isinstance(self.authentication, Unsigned) or "secret" in self.send.places
