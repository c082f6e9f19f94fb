"""Browsers and programs that show a resident's notices, by Web Push."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, Field

from core.clock import utc_now
from notifications.choice import preferences
from notifications.choice.browsers import CHANNEL, keep_browser
from notifications.choice.models import ContactPoint
from web.access import Db, Resident
from web.browsers import browser_name, push_of, read_browser
from web.inputs import PLAIN, Id

router = APIRouter(tags=["preferences"])
Part = Annotated[str, Field(max_length=2000, pattern=PLAIN)]


class KeysIn(BaseModel):
    p256dh: Part
    auth: Part


class SubscriptionIn(BaseModel):
    """A PushSubscription as `toJSON()` gives it."""

    endpoint: Part
    keys: KeysIn
    label: str = Field(
        default="", max_length=100, pattern=PLAIN,
        description="what the person calls it; left out: the browser, from the user agent",
    )  # fmt: skip


class SubscriptionOut(BaseModel):
    id: str
    label: str
    made_at: datetime


class SubscriptionsOut(BaseModel):
    """`application_server_key` is what `pushManager.subscribe()` is given."""

    application_server_key: str
    subscriptions: list[SubscriptionOut]


@router.get("/push-subscriptions")
def list_all(request: Request, db: Db, caller: Resident) -> SubscriptionsOut:
    """Return the browsers that show the caller's notices, the oldest first."""
    points = preferences.list_points(db, caller.id)
    return SubscriptionsOut(
        application_server_key=push_of(request).public_key,
        subscriptions=[_out(one) for one in points if one.channel == CHANNEL],
    )


@router.post("/push-subscriptions", status_code=201)
def keep(
    request: Request, db: Db, caller: Resident, body: SubscriptionIn,
    user_agent: Annotated[str, Header()] = "",
) -> SubscriptionOut:  # fmt: skip
    """Show the caller's notices in a browser; the same once more is the same, and nobody else's.

    A person has ten at most; `push.too_many` says that one must be removed first.
    """
    address = read_browser(push_of(request), body.endpoint, body.keys.p256dh, body.keys.auth)
    label = body.label or browser_name(user_agent, caller.locale)
    return _out(keep_browser(db, caller.id, address, label=label, now=utc_now()))


@router.delete("/push-subscriptions/{point_id}", status_code=204)
def remove(db: Db, caller: Resident, point_id: Id) -> None:
    """Show nothing there any more."""
    preferences.remove_point(db, caller.id, point_id, now=utc_now())


def _out(point: ContactPoint) -> SubscriptionOut:
    return SubscriptionOut(id=str(point.id), label=point.label, made_at=point.made_at)
