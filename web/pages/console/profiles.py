"""The staff console: a company's file described; a sample tried, and a profile proposed from it.

Nothing of a sample is kept: a small one travels in the page itself, a large one is chosen again.
"""

import base64
import binascii
import io
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import Response

from billing.files.bill_files import MAX_FILE_BYTES
from core.errors import BillFileError, CityBillError, Invalid, NotFound
from core.masking import mask_name, mask_no
from providers.base import BillRecord
from providers.formats.unwrapping import unwrapped
from providers.profiles import parse_profile
from providers.proposing.proposal import Company, Proposal, propose
from providers.proposing.trial import (
    RAW_LIMIT,
    Complaint,
    Landed,
    Trial,
    first_complaints,
    try_out,
)
from providers.registry import PROFILES, get_provider, source_of
from web import look
from web.access import Setup
from web.bodies import SHORT_BYTES
from web.errors import status_of
from web.inputs import PLAIN, Csrf
from web.pages.console.companies import format_name
from web.pages.console.profile_list import FORMATS, Asked, list_page
from web.pages.file_views import provider_name
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.files import said
from web.pages.words.profiles import faults, questions, with_remarks_said

router = APIRouter(prefix="/console/profiles", max_body_size=MAX_FILE_BYTES + SHORT_BYTES)
SAMPLE_BYTES: Final = 5 * 1024 * 1024
UNPACKED_BYTES: Final = 4 * SAMPLE_BYTES  # all of it is read, and somebody waits
_CARRIED: Final = 700_000  # characters of a form's field: the framework takes a million bytes
_ROWS: Final = 8
_COMPLAINTS: Final = 50
_PROFILE_CHARACTERS: Final = 100_000
Toml = Annotated[str, Form(max_length=_PROFILE_CHARACTERS, pattern=PLAIN, default_factory=str)]
Carried = Annotated[str, Form(max_length=_CARRIED, default_factory=str)]
Fact = Annotated[str, Form(max_length=100, pattern=PLAIN, default_factory=str)]
_LONG_NUMBER = re.compile(r"[0-9][0-9-]{7,}[0-9]")
_VERY_LONG = re.compile(r"(?<![0-9])[0-9]{11,}(?![0-9])")
_HAN = re.compile("[\u3400-\u9fff\U00020000-\U0003ffff]{2,}")
_LATIN = re.compile(r"(?<![<&/@\w])[A-ZÀ-Þ][a-zß-ÿ]{2,}\b(?!\s*=|\"\s*:)")


@router.post("/proposal")
def propose_profile(
    request: Request, _caller: Setup, csrf: Csrf, file: UploadFile, code: Fact, name: Fact,
    name_en: Fact, trade: Fact, phone: Fact, biller_no: Fact,
) -> Response:  # fmt: skip
    check_form(request, csrf)
    company = Company(*(one.strip() for one in (code, name, name_en, trade, phone, biller_no)))
    try:
        data = _taken(file)
        proposal = propose(io.BytesIO(data), company)
    except CityBillError as refused:
        return list_page(
            request, Asked(), error=_words(request, refused), status=status_of(refused)
        )  # fmt: skip
    trial = None
    if proposal.trial is not None:
        trial = try_out(proposal.trial, io.BytesIO(data), rows=_ROWS)
    locale = locale_of(request)
    return _trial_page(
        request, content=with_remarks_said(locale, proposal.text), data=data, trial=trial,
        wrong=faults(locale, proposal.fault or ""), file_name=file.filename or "", code=None,
        cut=[] if trial is not None else _cut_rows(proposal),
    )  # fmt: skip


@router.post("/check")
def check_profile(
    request: Request, _caller: Setup, csrf: Csrf, content: Toml, sample: Carried, shown: Fact,
    file: UploadFile | None = None,
) -> Response:  # fmt: skip
    check_form(request, csrf)
    content = content.replace("\r\n", "\n")
    trial, data, name = None, b"", shown
    wrong: list[str] = []
    try:
        if file is not None and file.filename:
            data, name = _taken(file), file.filename
        else:
            data = _unpacked(sample)
        profile = parse_profile(content, "the profile")
        trial = try_out(profile, io.BytesIO(data), rows=_ROWS)
    except CityBillError as refused:
        of_profile = refused.code == "profile.invalid"
        wrong = (
            faults(locale_of(request), str(refused)) if of_profile else [_words(request, refused)]
        )
    return _trial_page(
        request, content=content, data=data, trial=trial, wrong=wrong, file_name=name, code=None
    )


@router.post("/download")
def download_profile(request: Request, _caller: Setup, csrf: Csrf, content: Toml) -> Response:
    check_form(request, csrf)
    code = re.search(r'^code = "([a-z][a-z0-9_]{1,30})"', content, re.MULTILINE)
    name = f"{code[1]}.toml" if code else "profile.toml"
    return Response(
        content.replace("\r\n", "\n"),
        media_type="application/toml; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.get("/proposal")
@router.get("/check")
@router.get("/download")
def begin_again(_caller: Setup) -> Response:
    """Answer a reload of what was sent as a form: it has to be sent again."""
    return go("/console/profiles")


@router.get("/{code}")
def show_profile(request: Request, code: str, _caller: Setup) -> Response:
    provider = get_provider(code)
    if provider.profile is None:
        raise NotFound(f"{code} is read by a package of its own: it has no profile")
    source = source_of(code)
    path = PROFILES / f"{code}.toml" if source == "built in" else Path(source)
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise NotFound(f"the profile of {code} is no longer where it was") from None
    return _trial_page(
        request, content=content, data=b"", trial=None, wrong=[], file_name="", code=code
    )


def _taken(file: UploadFile) -> bytes:
    data = file.file.read(SAMPLE_BYTES + 1)
    if len(data) > SAMPLE_BYTES:
        raise Invalid("the sample is too large", code="sample.too_large")
    if not data:
        raise Invalid("the sample is empty", code="sample.missing")
    if _unpacked_bytes(data) > UNPACKED_BYTES:
        raise Invalid("the sample unpacks to too much", code="sample.unpacked_too_large")
    return data


def _unpacked_bytes(data: bytes) -> int:
    """Return how large a sample is unpacked, counted no further than to what is too large.

    A workbook says of itself how large its parts are, tags and all: a fifth of it is cells.
    """
    content = io.BytesIO()
    try:
        with unwrapped(io.BytesIO(data)) as plain:
            while content.tell() <= UNPACKED_BYTES and (part := plain.read(1 << 20)):
                content.write(part)
        if zipfile.is_zipfile(content):
            return sum(one.file_size for one in zipfile.ZipFile(content).infolist()) // 5
    except (BillFileError, zipfile.BadZipFile, ValueError):
        pass  # whoever reads the sample next says what is wrong with it
    return content.tell()


def _packed(data: bytes) -> str:
    """Return a sample as a page can carry it, or nothing where it is too large for that."""
    carried = base64.b64encode(zlib.compress(data)).decode() if data else ""
    return carried if len(carried) <= _CARRIED else ""


def _unpacked(carried: str) -> bytes:
    try:
        packed = base64.b64decode(carried.encode(), validate=True)
        data = zlib.decompressobj().decompress(packed, SAMPLE_BYTES)
    except (binascii.Error, zlib.error, ValueError):
        data = b""
    if not data:
        raise Invalid("there is no sample", code="sample.missing")
    return data


def _trial_page(
    request: Request, *, content: str, data: bytes, trial: Trial | None, wrong: list[str],
    file_name: str, code: str | None, cut: Sequence[dict[str, Any]] = (),
) -> Response:  # fmt: skip
    locale = locale_of(request)
    return page(
        request,
        "console/profile.html",
        content=content,
        sample=_packed(data),
        has_sample=bool(data),
        file_name=file_name,
        wrong=wrong,
        questions=questions(locale, content),
        company_name=None if code is None else provider_name(locale, code),
        trial=None if trial is None else _trial_facts(locale, trial),
        cut=cut,
    )


def _cut_rows(proposal: Proposal) -> list[dict[str, Any]]:
    """Return the first rows of a sample that cannot be tried yet, as they were cut."""
    held = {guess.name: guess.holds for guess in proposal.guesses}
    rows = []
    for line_no, raw, cells in proposal.cut_rows(_ROWS):
        told = [
            (name, held.get(name, "unused"), _masked_cell(held.get(name, "unused"), cell))
            for name, cell in cells
        ]
        for (_, cell), (_, _, masked) in zip(cells, told, strict=True):
            raw = raw.replace(cell, masked) if cell != masked else raw
        whole = "account_no" in held.values()
        raw = raw[:RAW_LIMIT] if whole else masked_raw(raw[:RAW_LIMIT], None)
        rows.append({"line_no": line_no, "raw": raw, "cells": told})
    return rows


def _masked_cell(holds: str, cell: str) -> str:
    """Mask a cell by what its column is taken for; one that nobody knows by its looks."""
    if holds in ("account_no", "holder_name", "address"):
        mask = {"account_no": mask_no, "holder_name": mask_name}.get(holds, _mask_address)
        return mask(cell[:100])
    return masked_raw(cell[:100], None) if holds == "unused" else cell[:100]


def _trial_facts(locale: str, trial: Trial) -> dict[str, Any]:
    return {
        "found": _found(locale, trial.found),
        "heading": trial.heading,
        "rows": [_row(one, glued="fixed_width" in trial.found) for one in trial.landed],
        "complaints": [_complaint(locale, one) for one in first_complaints(trial, _COMPLAINTS)],
        "refused": trial.refusal is not None,
        "bills": trial.bills,
        "rejects": trial.rejects,
        "amount_fen": trial.amount_fen,
        "totals": [total._asdict() for total in trial.totals],
    }


def _found(locale: str, found: str) -> str:
    """Say what kind of file it is: ``gzip, plain ASCII, delimited``."""
    *parts, kind = found.split(", ")
    named = format_name(locale, kind) if kind in FORMATS else kind
    return " · ".join([*(said(locale, part) for part in parts), named])


def _complaint(locale: str, one: Complaint) -> dict[str, Any]:
    return one._asdict() | {"reason": said(locale, _LONG_NUMBER.sub(_hide_number, one.reason))}


def _row(one: Landed, *, glued: bool) -> dict[str, Any]:
    record = one.record
    shown = None
    if record is not None:
        shown = record._asdict() | {
            "kind": record.kind.value,
            "account_no": mask_no(record.account_no),
            "holder_name": mask_name(record.holder_name),
            "address": _mask_address(record.address),
            "items": [item._asdict() for item in record.items],
        }
    raw = masked_raw(one.raw, record)
    if not glued:  # telephones and bank accounts of no use to us; glued figures are many numbers
        raw = _VERY_LONG.sub(_hide_number, raw)
    return {"line_no": one.line_no, "raw": raw, "record": shown}


def masked_raw(raw: str, record: BillRecord | None) -> str:
    """Return raw text with the person in it masked: by what was read, else by how it looks."""
    hidden = record is not None
    if record is not None:
        for text, masked in (
            (record.address, _mask_address(record.address)),
            (record.holder_name, mask_name(record.holder_name)),
            (record.account_no, mask_no(record.account_no)),
        ):
            hidden = hidden and (not text or text in raw)
            raw = raw.replace(text, masked) if text else raw
    if hidden:
        return raw
    raw = _LONG_NUMBER.sub(_hide_number, raw)
    return _LATIN.sub(lambda found: mask_name(found[0]), _HAN.sub(lambda f: mask_name(f[0]), raw))


def _hide_number(found: re.Match[str]) -> str:
    number = found[0]
    is_day = re.fullmatch(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}", number) is not None
    return number if is_day else mask_no(number)


def _mask_address(address: str) -> str:
    return address[:2] + "*" * max(len(address) - 2, 3) if address else ""


def _words(request: Request, refused: CityBillError) -> str:
    """Say in the reader's language why a sample is refused."""
    locale = locale_of(request)
    return {
        "sample.too_large": look.say(
            locale, "The sample is larger than 5 MB: cut it after some thousand lines."
        ),
        "sample.unpacked_too_large": look.say(
            locale, "The sample unpacks to more than 20 MB: cut it after some thousand lines."
        ),
        "sample.missing": look.say(locale, "Choose a sample file: none is here any more."),
    }.get(refused.code) or said(locale, str(refused))
