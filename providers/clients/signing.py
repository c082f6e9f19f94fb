"""How a declared company knows that a question is ours."""

import base64
import hmac

import httpx

from providers.clients.declarations import Authentication, Basic, Bearer, Signed
from providers.clients.templates import Values, fill, fill_bytes


def authenticate(
    request: httpx.Request, body: bytes, way: Authentication, secret: str, common: Values
) -> None:
    """Sign a finished question; ``common`` fills the time, the moment and the request number."""
    match way:
        case Bearer():
            request.headers["Authorization"] = f"Bearer {secret}"
        case Basic(user=user):
            pair = base64.b64encode(f"{user}:{secret}".encode()).decode()
            request.headers["Authorization"] = f"Basic {pair}"
        case Signed() as recipe:
            text = _signature(recipe, request, body, secret, common)
            request.headers[recipe.header] = fill(recipe.value, {**common, "signature": text})


def _signature(
    recipe: Signed, request: httpx.Request, body: bytes, secret: str, common: Values
) -> str:
    path, _, query = request.url.raw_path.partition(b"?")
    pieces = {name: str(value).encode() for name, value in common.items()} | {
        "method": request.method.encode(), "path": path, "query": query, "body": body,
    }  # fmt: skip
    signed = fill_bytes(recipe.over, pieces)
    digest = hmac.new(secret.encode(), signed, recipe.hash).digest()
    return digest.hex() if recipe.encoding == "hex" else base64.b64encode(digest).decode()
