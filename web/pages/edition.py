"""The elder edition (大字版): large print and large targets on every page, for as long as wanted.

Source: MIIT's elder-friendly rules of 2021: a switch on every page, and the usual names lead there.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from web.access import Visitor
from web.inputs import Csrf, Text
from web.pages.page import check_form, go, remember_edition, safe_path

NAMES = ("elder", "大字版", "长辈版", "关怀版", "关爱版", "亲情版")  # what people look for
router = APIRouter()


@router.post("/edition")
def choose_edition(
    request: Request, _caller: Visitor, csrf: Csrf, edition: Text, back: Text = "/"
) -> Response:
    """Go over to an edition, and stay on the page one was at."""
    check_form(request, csrf, or_visitor=True)
    answer = go(safe_path(back))
    remember_edition(answer, edition)
    return answer


def open_elder_edition(
    _caller: Visitor, back: Annotated[str, Query(max_length=2000)] = "/"
) -> Response:
    """Lead whoever types or taps one of its names there."""
    answer = go(safe_path(back))
    remember_edition(answer, "elder")
    return answer


for _name in NAMES:
    router.add_api_route(f"/{_name}", open_elder_edition, methods=["GET"])
