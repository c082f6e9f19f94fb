"""The site as an app: its manifest, its service worker, and the page that needs no network."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, JSONResponse, Response

from web import look
from web.access import Anyone
from web.look import DEFAULT_LOCALE, LOCALES, asset, say

router = APIRouter(dependencies=[Anyone])
_WORKER: Final = Path(look.__file__).parent / "static" / "sw.js"
_KEPT: Final = ("citybill.css", "elder.css", "citybill.js", "favicon.svg")
_COLOUR: Final = "#0b5563"
# Asked anew each time, and answered by "unchanged": a browser looks at its own worker once a day.
_FRESH: Final = {"Cache-Control": "no-cache"}


@router.get("/sw.js")
def worker() -> Response:
    """The service worker of all pages, with what it keeps written before it."""
    return Response(_worker(), media_type="text/javascript", headers=_FRESH)


@cache
def _worker() -> str:
    files = [asset(name) for name in _KEPT]
    source, page = _WORKER.read_text(), _offline()
    shell = {
        "version": hashlib.sha256("".join([source, page, *files]).encode()).hexdigest()[:10],
        "name": say(DEFAULT_LOCALE, "CityBill"),
        "offline": "/offline",
        "files": files,
        "icon": asset("icon-192.png"),
        "badge": asset("badge-96.png"),
    }
    return f"const SHELL = {json.dumps(shell, ensure_ascii=False)};\n{source}"


@router.get("/offline")
def offline() -> HTMLResponse:
    """The page the worker keeps, in both languages: it does not know who will see it."""
    return HTMLResponse(_offline(), headers=_FRESH)


@cache
def _offline() -> str:
    return look.render(
        "offline.html", locale=DEFAULT_LOCALE, words=[(one, _words(one)) for one in LOCALES]
    )


def _words(locale: str) -> dict[str, str]:
    return {
        "name": say(locale, "CityBill"),
        "title": say(locale, "You are offline"),
        "stale": say(locale, "Bills you saw before may no longer be current."),
        "money": say(
            locale,
            "If you were paying just now: once you are online again, look here whether the payment"
            " arrived before you pay once more.",
        ),
        "again": say(locale, "Try again"),
        "hotline": say(locale, "Need help? Call the city hotline"),
    }


@router.get("/manifest.webmanifest")
def manifest(locale: Annotated[str, Query(max_length=20)] = DEFAULT_LOCALE) -> Response:
    """What a browser installs; asked for without cookies, so its address says the language."""
    spoken = locale if locale in LOCALES else DEFAULT_LOCALE
    return JSONResponse(
        _manifest(spoken), media_type="application/manifest+json", headers=_FRESH
    )  # fmt: skip


def _manifest(locale: str) -> dict[str, Any]:
    return {
        "id": "/",
        "name": say(locale, "CityBill"),
        "short_name": say(locale, "CityBill"),
        "description": say(locale, "All bills of a home in one place, paid with one payment."),
        "lang": locale.replace("_", "-"),
        "dir": "ltr",
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "theme_color": _COLOUR,
        "background_color": "#ffffff",
        "categories": ["utilities", "finance", "government"],
        "icons": [
            {"src": asset("icon-192.png"), "sizes": "192x192", "type": "image/png"},
            {"src": asset("icon-512.png"), "sizes": "512x512", "type": "image/png"},
            {
                "src": asset("icon-maskable-512.png"), "sizes": "512x512", "type": "image/png",
                "purpose": "maskable",
            },
            {"src": asset("favicon.svg"), "sizes": "any", "type": "image/svg+xml"},
        ],
        "shortcuts": [
            {"name": say(locale, "Bills"), "url": "/"},
            {"name": say(locale, "Notices"), "url": "/notices"},
        ],
    }  # fmt: skip
