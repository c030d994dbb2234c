"""Which media type a client takes, as RFC 9110 reads its `Accept` header."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from aiohttp import web

from stream_scorer.gateway.problem import Reply, problem

# More ranges than any client names are not looked at
RANGES_MAX: Final = 100


def quality(accept: str, media_type: str) -> float:
    """How much a client likes a media type, 0 (not at all) to 1; the most specific range that matches decides."""
    kind = media_type.partition("/")[0]
    ranks = {media_type: 2, f"{kind}/*": 1, "*/*": 0}
    best = (-1, 0.0)
    for named in accept.split(",")[:RANGES_MAX]:
        range_, *parameters = (part.strip().lower() for part in named.split(";"))
        if range_ in ranks:
            best = max(best, (ranks[range_], _weight(parameters)))
    return best[1]


def negotiated(request: web.Request, *offered: str) -> str | None:
    """Of the media types offered the one that the client likes best, the first of equals; None where it takes none. A
    client that says nothing takes all."""
    accept = ",".join(request.headers.getall("Accept", []))
    if not accept.strip():
        return offered[0]
    best = max(offered, key=lambda media_type: quality(accept, media_type))
    return best if quality(accept, best) > 0 else None


def not_acceptable(offered: Sequence[str]) -> Reply:
    """The client takes nothing that there is."""
    return problem(HTTPStatus.NOT_ACCEPTABLE, f"The Accept header takes none of what there is: {', '.join(offered)}")


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0
