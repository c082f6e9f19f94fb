"""Connecting WeChat: it is asked whose it is, inside its own browser, and comes back with a code.

Source: developers.weixin.qq.com, official accounts, "Web page authorisation" (snsapi_base).
"""

import hmac
import secrets
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError, NotFound
from core.settings import settings
from notifications.channels.wechat import Wechat
from notifications.choice.openids import keep_openid
from web.access import Resident
from web.inputs import PLAIN
from web.pages.page import go, page
from web.pages.pay_codes import pay_code_svg

router = APIRouter(prefix="/preferences/wechat")
_STATE: Final = "citybill_wechat"
_STATE_SECONDS: Final = 600
_ITS_BROWSER: Final = "MicroMessenger"
Given = Annotated[str, Query(max_length=200, pattern=PLAIN)]


def wechat_of(request: Request) -> Wechat | None:
    """Return the account somebody may connect on our pages; None: there is none."""
    found = request.app.state.carriers.get("wechat")
    return found if isinstance(found, Wechat) and found.has_web_pages else None


@router.get("")
def connect(request: Request, _caller: Resident) -> Response:
    """Go to WeChat; in another browser, show the code that opens this page in WeChat."""
    account = _account(request)
    here = f"{settings().public_url}/preferences/wechat"
    if _ITS_BROWSER not in request.headers.get("user-agent", ""):
        return page(
            request, "wechat.html", qr=pay_code_svg(here), site=here.partition("://")[2]
        )  # fmt: skip
    state = secrets.token_hex(16)
    answer = RedirectResponse(account.authorise_url(f"{here}/return", state), status_code=303)
    answer.set_cookie(
        _STATE, state, max_age=_STATE_SECONDS, httponly=True, samesite="lax",
        secure=not settings().demo, path="/",
    )  # fmt: skip
    return answer


@router.get("/return")
def come_back(
    request: Request, caller: Resident, code: Given = "", state: Given = ""
) -> Response:  # fmt: skip
    """Keep whose WeChat it is, if it was asked from this browser; the code is good once."""
    account = _account(request)
    asked = request.cookies.get(_STATE, "")
    answer = go("/preferences?saved=no_wechat")
    if code and asked and hmac.compare_digest(asked.encode(), state.encode()):
        try:
            openid = account.openid_of(code)
        except CityBillError:
            openid = ""
        if openid:
            with transaction() as session:
                keep_openid(session, caller.id, openid, now=utc_now())
            answer = go("/preferences?saved=wechat")
    answer.delete_cookie(_STATE, path="/")
    return answer


def _account(request: Request) -> Wechat:
    account = wechat_of(request)
    if account is None:
        raise NotFound("WeChat is not set up here", code="wechat.not_configured")
    return account
