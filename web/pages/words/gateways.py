"""What gateways are called, in the reader's language."""

from collections.abc import Callable, Iterable

from fastapi import Request

from payments.gateways import gateway_label
from payments.gateways.base import Gateway
from web.pages.page import locale_of


def gateway_of(request: Request) -> Callable[[str], str]:
    """Return what names a gateway by its code; one that is gone keeps its code."""
    locale, gateways = locale_of(request), request.app.state.gateways
    return lambda code: gateway_label(gateways, code).said(locale)


def gateway_choices(request: Request, among: Iterable[Gateway]) -> list[tuple[str, str]]:
    """Return the code and the name of each, to choose from."""
    locale = locale_of(request)
    return [(one.code, one.name.said(locale)) for one in among]
