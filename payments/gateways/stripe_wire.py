"""Speaking with Stripe: its SDK on our own line, and each of its errors as what it means for money.

Source: docs/wire/stripe.md.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import stripe

from core.errors import UpstreamUnavailable

_FILES = "https://files.stripe.com"
_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_PAGE = 100

Told = dict[str, Any]


class NoAnswer(Exception):
    """Stripe may have acted, and we do not know.

    ``replayed``: a 500 it gives this key for as long as it keeps the key, so asking again is of no
    use; only looking is.
    """

    def __init__(self, *, replayed: bool = False) -> None:
        super().__init__("Stripe gave no answer we understand")
        self.replayed = replayed


class Refused(Exception):
    """Stripe says no and has done nothing; ``error`` is its error object."""

    def __init__(self, status_code: int, error: Told) -> None:
        super().__init__(str(error.get("message") or error.get("code") or status_code))
        self.status_code, self.error = status_code, error

    @property
    def code(self) -> str:
        """What a programmer would look at: a card's own word goes before the general one."""
        return str(self.error.get("decline_code") or self.error.get("code") or "")


class _Line(stripe.HTTPClient):
    """The SDK's requests on an httpx client of ours.

    The SDK's own HTTPXClient takes none of httpx's options, opens a second client that nobody
    closes, and hands text to httpx in the way httpx has deprecated.
    """

    name = "httpx"

    def __init__(self, http: httpx.Client) -> None:
        super().__init__()
        self._http = http

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None,
        *, _usage: list[str] | None = None,
    ) -> tuple[Any, int, Mapping[str, str]]:  # fmt: skip
        try:
            answer = self._http.request(method, url, headers=headers, content=post_data or b"")
        except httpx.HTTPError as lost:
            raise stripe.APIConnectionError(str(lost)) from lost  # type: ignore[no-untyped-call]
        return answer.content, answer.status_code, answer.headers

    def close(self) -> None:
        self._http.close()


class Wire:
    """One account at Stripe. ``url`` is where its interface is; empty: Stripe's own."""

    def __init__(self, key: str, url: str = "") -> None:
        # A machine's proxy is for the world outside, not for a far side that runs beside us.
        self._http = httpx.Client(timeout=httpx.Timeout(5, connect=2), trust_env=not url)
        self._files = url or _FILES
        self._key = key
        # No retries of the SDK's own: what a lost answer means is decided by who asked.
        client = stripe.StripeClient(
            key, http_client=_Line(self._http), max_network_retries=0,
            base_addresses={"api": url} if url else None,
        )  # fmt: skip
        self.api = client.v1

    def close(self) -> None:
        self._http.close()

    def ask(self, call: Callable[[], object]) -> Told:
        """Make one call of the SDK and return the object it told of.

        Raises:
            UpstreamUnavailable: it was never asked, or would not listen.
            Refused: it says no.
            NoAnswer: anything else.
        """
        try:
            told = call()
        except stripe.APIConnectionError as lost:
            if isinstance(lost.__cause__, _NEVER_LEFT):
                raise UpstreamUnavailable("Stripe cannot be reached") from lost
            raise NoAnswer from lost
        except stripe.RateLimitError as busy:
            raise UpstreamUnavailable("Stripe asks us to wait") from busy
        except (stripe.AuthenticationError, stripe.PermissionError) as unknown:
            raise UpstreamUnavailable(
                "Stripe does not take our key: see CITYBILL_STRIPE_SECRET_KEY"
            ) from unknown
        except (stripe.InvalidRequestError, stripe.CardError) as no:
            raise Refused(no.http_status or 0, _error_of(no)) from no
        except stripe.StripeError as failed:
            replayed = (failed.headers or {}).get("idempotent-replayed") == "true"
            raise NoAnswer(replayed=replayed) from failed
        except RecursionError as deep:  # the SDK follows what is nested as far as it goes
            raise NoAnswer from deep
        if not isinstance(told, stripe.StripeObject):
            raise NoAnswer
        return told.to_dict()

    def pages(self, call: Callable[[Any], object], asked: Mapping[str, Any]) -> Iterator[Told]:
        """Yield what a list of the SDK's holds, page after page.

        Raises:
            UpstreamUnavailable: it was never asked, or would not listen.
            NoAnswer: anything else; a refusal to list says nothing of what there is.
        """
        page: dict[str, Any] = {**asked, "limit": _PAGE}
        while True:
            try:
                told = self.ask(lambda: call(page))
            except Refused as no:
                raise NoAnswer from no
            found = told.get("data")
            if told.get("object") != "list" or not isinstance(found, list):
                raise NoAnswer
            yield from (one for one in found if isinstance(one, dict))
            if not told.get("has_more"):
                return
            page["starting_after"] = str(found[-1]["id"])

    def file(self, file_id: str) -> bytes:
        """Return a file of Stripe's. Raises as ``ask`` does."""
        if not file_id.replace("_", "").isalnum():
            raise NoAnswer  # our key goes nowhere but where files are
        try:
            answer = self._http.get(
                f"{self._files}/v1/files/{file_id}/contents", auth=(self._key, "")
            )
        except _NEVER_LEFT as down:
            raise UpstreamUnavailable("Stripe's files cannot be reached") from down
        except httpx.HTTPError as lost:
            raise NoAnswer from lost
        if answer.status_code != httpx.codes.OK:
            raise NoAnswer
        return answer.content


def _error_of(no: stripe.StripeError) -> Told:
    body = no.json_body if isinstance(no.json_body, dict) else {}
    error = body.get("error")
    return error if isinstance(error, dict) else {}


def at(told: object, path: str) -> Any:
    """Return what is at a dotted path of an answer, or None where the answer is otherwise."""
    for step in path.split("."):
        told = told.get(step) if isinstance(told, dict) else None
    return told


def text_at(told: object, path: str) -> str | None:
    """Return a text at a path, or the id of an object that was expanded there."""
    found = at(told, path)
    found = found.get("id") if isinstance(found, dict) else found
    return found if isinstance(found, str) and found.isprintable() else None


def fen_at(told: object, path: str) -> int | None:
    """Return an amount in minor units; JSON's true is none."""
    found = at(told, path)
    return found if type(found) is int else None


def moment_at(told: object, paths: Sequence[str]) -> datetime | None:
    """Return the first time there is at some paths, which hold Unix seconds."""
    for path in paths:
        found = at(told, path)
        if type(found) is int and 0 < found < 1 << 33:
            return datetime.fromtimestamp(found, UTC)
    return None
