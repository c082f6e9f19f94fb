"""The staff console: how each company's file is read, as a list, by page, and as a file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse

from core.clock import utc_now
from core.errors import Invalid
from identity import audit
from providers.registry import READERS, Provider, source_of
from web import look
from web.access import Db, Setup
from web.exports import Cell, export
from web.pages.console.companies import find_companies, format_name, page_of
from web.pages.file_views import provider_name
from web.pages.filters import FileKind, Word, query_of
from web.pages.page import locale_of, page

router = APIRouter(prefix="/console/profiles")
_OWN: Final = "own"  # read by a package, not by a profile
FORMATS: Final = (*READERS, _OWN)


class Asked:
    """What the address asks for; what is left empty is not asked."""

    def __init__(self, words: Word = "", read_as: Word = "") -> None:
        if read_as and read_as not in FORMATS:
            raise Invalid("there is no such choice", code="request.malformed")
        self.typed = {"words": words, "read_as": read_as}

    def query(self, **changes: object) -> str:
        """Return the address's query with some of it changed."""
        return query_of(self.typed, **changes)

    def found(self) -> list[Provider]:
        read_as, found = self.typed["read_as"], find_companies(self.typed["words"])
        return [one for one in found if read_as in {"", _format(one)}]


Filter = Annotated[Asked, Depends(Asked)]


@router.get("")
def show_profiles(request: Request, _caller: Setup, asked: Filter, after: Word = "") -> Response:
    return list_page(request, asked, after=after)


def list_page(
    request: Request, asked: Asked, *, after: str = "", error: str | None = None, status: int = 200
) -> Response:
    """Show a page of companies and the form for one more, with what is wrong with its sample."""
    locale = locale_of(request)
    shown, next_code = page_of(asked.found(), after)
    return page(
        request,
        "console/profiles.html",
        status_code=status,
        companies=[
            {
                "code": one.code,
                "name": provider_name(locale, one.code),
                "has_profile": one.profile is not None,
                "format": format_name(locale, _format(one)),
                "source": _source(locale, one.code),
            }
            for one in shown
        ],
        formats=[(one, format_name(locale, one)) for one in FORMATS],
        asked=asked,
        filtered=any(asked.typed.values()),
        paged=bool(after),
        next_code=next_code,
        error=error,
    )


def _format(one: Provider) -> str:
    return _OWN if one.profile is None else one.profile.file.format


def _source(locale: str, code: str) -> str:
    """Say where a company's profile comes from; of a file its name, never the way to it."""
    source = source_of(code)
    if source == "built in":
        return look.say(locale, "Comes with CityBill")
    if source == "entry point":
        return look.say(locale, "A package of its own")
    return look.say(locale, "The folder of profiles: %(name)s", name=Path(source).name)


@router.get(".{kind}")
def export_profiles(
    request: Request, kind: FileKind, db: Db, caller: Setup, asked: Filter
) -> StreamingResponse:
    locale = locale_of(request)
    audit.note_export(db, caller.id, "profiles", kind, asked.query(), now=utc_now())

    def read() -> Iterator[list[Cell]]:
        for one in asked.found():
            yield [
                one.code, one.name, one.name_en, format_name(locale, _format(one)),
                _source(locale, one.code), one.biller_no, one.phone,
            ]  # fmt: skip

    head = [
        look.say(locale, "Code"), look.say(locale, "Name in Chinese"),
        look.say(locale, "Name in English"), look.say(locale, "Format"),
        look.say(locale, "Where it is from"), look.say(locale, "Biller number"),
        look.say(locale, "Customer service"),
    ]  # fmt: skip
    return export(kind, name="profiles", head=head, rows=read())
