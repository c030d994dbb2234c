"""The body of a request, read within limits.

Invariant: no more is kept in memory than the limit, however the body is sent.
"""

import asyncio
from http import HTTPStatus
from typing import Final

from aiohttp import web

from stream_scorer.core.contract.reasons import Reason
from stream_scorer.core.contract.strict_json import parse
from stream_scorer.gateway.problem import Reply, problem

# Without a byte of a body
BODY_WAIT_S: Final = 10.0


def wrong_media_type(request: web.Request, allowed: tuple[str, ...]) -> Reply | None:
    """What is answered where a body is announced as something else; None where it is JSON in UTF-8."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        return problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Encoding is not supported: send the body as it is")
    charset = (request.charset or "utf-8").lower()
    if "Content-Type" in request.headers and request.content_type in allowed and charset in ("utf-8", "utf8"):
        return None
    message = f"Content-Type is not {' or '.join(allowed)} in UTF-8: send the header Content-Type: {allowed[0]}"
    return problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message, headers={"Accept": ", ".join(allowed)})


async def read_body(request: web.Request, bytes_max: int) -> bytes | Reply:
    """The whole body, or what is answered instead."""
    too_large = problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {bytes_max} bytes")
    if (request.content_length or 0) > bytes_max:
        return too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WAIT_S):
            while chunk := await request.content.readany():
                body += chunk
                if len(body) > bytes_max:
                    return too_large
    except TimeoutError:
        return problem(
            HTTPStatus.REQUEST_TIMEOUT,
            f"The body did not come within {BODY_WAIT_S:g} s: send it again",
            headers={"Connection": "close"},
        )
    if not body:
        reason = parse(b"")
        assert isinstance(reason, Reason)
        return problem(HTTPStatus.BAD_REQUEST, "The request has no body: send one event as JSON", [reason])
    return bytes(body)
