"""Browsers that show notices: what one is called, and where it says its messages go."""

from typing import Final

from fastapi import Request

from core.errors import Invalid, NotFound, Upstream
from notifications.channels.push import Push, subscription_address
from web.look import say

# The first that is found: most browsers also give the names of others.
_BROWSERS: Final = (
    ("HuaweiBrowser/", "Huawei Browser"), ("MiuiBrowser/", "Mi Browser"),
    ("SamsungBrowser/", "Samsung Internet"), ("Edg", "Edge"),
    ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("FxiOS/", "Firefox"), ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"), ("Safari/", "Safari"),
)  # fmt: skip
_SYSTEMS: Final = (
    ("OpenHarmony", "HarmonyOS"), ("HarmonyOS", "HarmonyOS"), ("Android", "Android"),
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Macintosh", "Mac"),
    ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # fmt: skip


def push_key(request: Request) -> str:
    """Return the key browsers subscribe with; empty: notices go to no browser here."""
    push = request.app.state.carriers.get("push")
    return push.public_key if isinstance(push, Push) else ""


def push_of(request: Request) -> Push:
    """Return what sends to browsers.

    Raises:
        NotFound: it is not configured.
    """
    push = request.app.state.carriers.get("push")
    if not isinstance(push, Push):
        raise NotFound("notices go to no browser here", code="push.not_configured")
    return push


def read_browser(push: Push, endpoint: str, p256dh: str, auth: str) -> str:
    """Return a browser's subscription as an address.

    Raises:
        Invalid: it is none, or of a push service that is not known.
    """
    address = subscription_address(endpoint, p256dh, auth)
    try:
        push.read(address)
    except Upstream as refused:
        raise Invalid(str(refused), code="push.subscription") from refused
    return address


def browser_name(user_agent: str, locale: str) -> str:
    """Return a browser and its device in words, from what it says it is."""
    browser = _first(_BROWSERS, user_agent) or say(locale, "A browser")
    system = _first(_SYSTEMS, user_agent)
    if not system:
        return browser
    return say(locale, "%(browser)s on %(system)s", browser=browser, system=system)


def _first(names: tuple[tuple[str, str], ...], user_agent: str) -> str:
    return next((name for mark, name in names if mark in user_agent), "")
