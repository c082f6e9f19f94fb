"""How pages look and speak: the Jinja environment, one per language.

Templates hold short English sentences; ``web/locale/<locale>/LC_MESSAGES/citybill.po`` holds what
they become. The catalogue is read at start, so a translator edits text and nothing is compiled.
"""

import gettext
import hashlib
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from functools import cache, lru_cache, partial
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.ext import babel_extract
from markupsafe import Markup, escape

from billing.views import AccountView
from core.clock import BILLING_ZONE
from core.money import format_yuan
from web.folding import FoldingGenerator

LOCALES = ("zh_CN", "en")
DEFAULT_LOCALE = "zh_CN"

_HERE = Path(__file__).parent
_TEMPLATES = _HERE / "templates"
_STATIC = _HERE / "static"
_DAY = {"zh_CN": "y年M月d日", "en": "d MMM y"}
_MONTH = {"zh_CN": "y年M月", "en": "MMMM y"}
_SHORT_MONTH = {"zh_CN": "y年M月", "en": "MMM y"}
_MONTH_NAME = {"zh_CN": "M月", "en": "MMM"}
_BABEL = {name: Locale.parse(name) for name in LOCALES}  # a page asks hundreds of times
_MOMENT = {"zh_CN": "y年M月d日 HH:mm", "en": "d MMM y, HH:mm"}
_STYLE = re.compile(r'\sstyle="([^"]*)"')
_PROPERTY = re.compile(r"[a-z][a-z-]*")


def render(name: str, *, locale: str, **context: object) -> str:
    """Render a page. A name the template uses and ``context`` lacks is an error, never a blank."""
    locale = locale if locale in LOCALES else DEFAULT_LOCALE
    return _environment(locale).get_template(name).render(locale=locale, **context)


def say(locale: str, message: str, **values: object) -> str:
    """Return ``message`` in a language, for what routes say (flashes, complaints, titles).

    ``message`` is a msgid of the catalogue; ``values`` fill its ``%(name)s``.
    """
    spoken = _translations(locale).gettext(message)
    return spoken % values if values else spoken


def say_known(locale: str, message: str) -> str:
    """Return a sentence of the domain in a language; a test names those that must be known."""
    return _translations(locale).gettext(message)


def moment_text(locale: str, value: datetime) -> str:
    """Return an aware moment as the city's clocks show it, in a language."""
    return _moment(value, locale=locale)


def day_text(locale: str, value: date) -> str:
    """Return a day in a language."""
    return _day(value, locale=locale)


def month_text(locale: str, value: date) -> str:
    """Return the month a day lies in, in a language."""
    return _month(value, locale=locale)


@lru_cache(maxsize=1_000)
def short_month_text(locale: str, value: date) -> str:
    """Return the month a day lies in as a chart has room for it, in a language."""
    return format_date(value, _SHORT_MONTH[locale], locale=_BABEL[locale])


@lru_cache(maxsize=1_000)
def month_name(locale: str, value: date) -> str:
    """Return the month a day lies in without its year, in a language."""
    return format_date(value, _MONTH_NAME[locale], locale=_BABEL[locale])


def weekday_text(locale: str, value: date) -> str:
    """Return the weekday of a day, short, in a language."""
    return format_date(value, "EEE", locale=_BABEL[locale])


def company_name(locale: str, account: AccountView) -> str:
    """Return a company's name in a language."""
    return _company(account, locale=locale)


@lru_cache(maxsize=1_000)
def macro_text(locale: str, template: str, macro: str, value: str) -> str:
    """Return what a template's macro says of a value, as plain text.

    Words for each enum value live in templates, once: ``macro_text("en", "parts/ui.html",
    "file_pill", "refused") == "Refused"``.
    """
    said: Markup = getattr(_environment(locale).get_template(template).module, macro)(value)
    return said.striptags()


def missing_translations(locale: str) -> list[str]:
    """Return every sentence of templates and routes that ``locale`` has no words for, sorted."""
    if locale == "en":
        return []
    catalog = _catalog(locale)
    spoken = {text: catalog.get(text) for text in _used_messages()}
    return sorted(text for text, entry in spoken.items() if entry is None or not entry.string)


def _used_messages() -> Iterator[str]:
    """Yield each msgid the templates and the Python of ``web/`` ask for."""
    for path in sorted(_TEMPLATES.rglob("*.html")):
        with path.open("rb") as source:
            found = babel_extract(source, ["_", "gettext", "ngettext"], (), {"trimmed": "true"})
            yield from (_singular(asked[2]) for asked in found)
    for path in sorted(_HERE.rglob("*.py")):
        said = extract_from_file("python", path, {"say": (2,)})
        yield from (_singular(asked[1]) for asked in said)


def _singular(message: str | tuple[str | None, ...] | None) -> str:
    """Return what names a message in the catalogue: itself, or the first of its forms."""
    first = message[0] if isinstance(message, tuple) else message
    assert first is not None, message
    return first


@cache
def _environment(locale: str) -> Environment:
    """Build the environment of one language: its words, its dates, our filters."""
    env = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,  # like words, templates are read at start
    )
    env.policies["ext.i18n.trimmed"] = True
    env.code_generator_class = FoldingGenerator
    env.extend(gettext_of=_translations(locale).gettext)
    env.install_gettext_translations(  # type: ignore[attr-defined]
        _translations(locale), newstyle=True
    )
    env.filters.update(
        yuan=format_yuan,
        day=partial(_day, locale=locale),
        month=partial(_month, locale=locale),
        moment=partial(_moment, locale=locale),
        account=account,
        decimal=decimal_text,
        plain_svg=plain_svg,
    )
    env.globals.update(
        _=_speaker(_translations(locale)),
        asset=asset,
        company=partial(_company, locale=locale),
        lang=locale.replace("_", "-"),
    )
    return env


def _speaker(translations: gettext.NullTranslations) -> Callable[..., Markup]:
    """Return what templates call as ``_``: Jinja's own looks for its words anew each time."""

    @cache
    def plain(message: str) -> Markup:
        return Markup(translations.gettext(message)) % {}  # noqa: S704

    def speak(message: str, **values: object) -> Markup:
        return Markup(translations.gettext(message)) % values if values else plain(message)  # noqa: S704

    return speak


def _catalog(locale: str) -> Catalog:
    """Read a language's catalogue; English is what the templates already say, so it has none."""
    path = _HERE / "locale" / locale / "LC_MESSAGES" / "citybill.po"
    if not path.exists():
        return Catalog(locale=locale, domain="citybill")
    with path.open("rb") as source:
        return read_po(source, locale=locale, domain="citybill")


@cache
def _translations(locale: str) -> gettext.NullTranslations:
    compiled = BytesIO()
    write_mo(compiled, _catalog(locale))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


@cache
def asset(name: str) -> str:
    """Return the address of a static file, with its content's mark so that it may be kept long."""
    digest = hashlib.sha256((_STATIC / name).read_bytes()).hexdigest()[:10]
    return f"/static/{name}?v={digest}"


def account(account_no: str) -> Markup:
    """Mark an account number, masked or not, so that it is set as one and never translated."""
    return Markup('<bdi class="account-no" translate="no">') + escape(account_no) + Markup("</bdi>")


def decimal_text(value: Decimal) -> str:
    """Render a quantity for people: ``decimal_text(Decimal("1312.500")) == "1,312.5"``."""
    text = f"{value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def plain_svg(svg: str) -> Markup:
    """Make a trusted drawing of ours fit to stand in a page under a strict content policy.

    The XML prolog goes, and ``style="…"`` becomes presentation attributes, which the policy allows
    and our style sheet may overrule (so a chart follows light and dark).
    """
    body = svg[svg.index("<svg") :]
    return Markup(_STYLE.sub(_as_attributes, body))  # noqa: S704


def _as_attributes(style: re.Match[str]) -> str:
    """Turn one ``style`` attribute into the same as attributes of their own."""
    pairs = (part.partition(":") for part in style[1].split(";"))
    return "".join(
        f' {name.strip()}="{value.strip()}"'
        for name, _colon, value in pairs
        if _PROPERTY.fullmatch(name.strip()) and value.strip()
    )


@lru_cache(maxsize=4_000)
def _day(value: date, *, locale: str) -> str:
    return format_date(value, _DAY[locale], locale=_BABEL[locale])


@lru_cache(maxsize=1_000)
def _month(value: date, *, locale: str) -> str:
    return format_date(value, _MONTH[locale], locale=_BABEL[locale])


def _moment(value: datetime, *, locale: str) -> str:
    """Render an aware moment as the city's clocks showed it."""
    assert value.tzinfo is not None, value
    return format_datetime(value.astimezone(BILLING_ZONE), _MOMENT[locale], locale=_BABEL[locale])


def _company(account: AccountView, *, locale: str) -> str:
    """Return the company's name in the page's language."""
    return account.provider_name_en if locale == "en" else account.provider_name
