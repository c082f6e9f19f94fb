"""Bodies of requests: how long they may be, read piece by piece, held to what was signed."""

import hashlib
from collections.abc import AsyncIterator

from fastapi import Request

from core.errors import Invalid

SHORT_BYTES = 5 << 20  # of every request that brings no file; FastAPI answers 413 to more


def promise_body(request: Request, sha256: str) -> None:
    """Note the hash, in hex, that the body of a signed request has to have."""
    request.state.body_sha256 = sha256


async def body_pieces(request: Request, *, limit: int) -> AsyncIterator[bytes]:
    """Yield a body as it comes; nothing of it counts unless this ends without raising.

    Raises:
        Invalid: it is longer than ``limit`` bytes, or not the body that was signed.
    """
    if hasattr(request.state, "short_body"):  # the rule has read it, and so checked it
        yield request.state.short_body
        return
    digest, size_bytes = hashlib.sha256(), 0
    async for piece in request.stream():
        size_bytes += len(piece)
        if size_bytes > limit:
            raise Invalid(
                f"the body is longer than the {limit:,} bytes taken here: send a bill file, or"
                " state the hash of a long body in Content-Digest",
                code="request.too_long",
            )
        digest.update(piece)
        yield piece
    promised = getattr(request.state, "body_sha256", None)
    if promised is not None and digest.hexdigest() != promised:
        raise Invalid(
            "the body is not the one that was signed: its SHA-256 differs from Content-Digest,"
            " so nothing was taken in; send it again",
            code="request.body_differs", body_sha256=digest.hexdigest(),
        )  # fmt: skip


async def read_body(request: Request, *, limit: int) -> bytes:
    """Return a short body; it can be read again afterwards.

    Raises:
        Invalid: as ``body_pieces``.
    """
    if not hasattr(request.state, "short_body"):
        request.state.short_body = b"".join(
            [piece async for piece in body_pieces(request, limit=limit)]
        )
    body: bytes = request.state.short_body
    return body
