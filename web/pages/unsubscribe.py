"""The way out of offers: a page with one button, and what mail programs post to (RFC 8058).

Neither asks for a sign-in, a cookie or a form's token: the signed address is enough, and all that
anybody can do with it is to stop offers.
"""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from core.clock import utc_now
from core.settings import settings
from notifications.choice import unsubscribing
from web.access import Anyone, Db
from web.pages.page import page

router = APIRouter()


@router.get("/unsubscribe/{token}", dependencies=[Anyone])
def ask(request: Request, token: str) -> Response:
    """Ask once more: mail programs and their guards open every link they see."""
    way_out = unsubscribing.read_token(token, secret=settings().secret_key.get_secret_value())
    return page(request, "unsubscribe.html", channel=way_out.channel, done=False)


@router.post("/unsubscribe/{token}", dependencies=[Anyone])
def unsubscribe(request: Request, token: str, db: Db) -> Response:
    """Send no more offers; a second time changes nothing."""
    way_out = unsubscribing.unsubscribe(
        db, token, secret=settings().secret_key.get_secret_value(), now=utc_now()
    )
    return page(request, "unsubscribe.html", channel=way_out.channel, done=True)
