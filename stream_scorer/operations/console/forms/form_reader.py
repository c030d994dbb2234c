"""A posted form, read.

Invariant: whatever is posted, there is a form or an answer of 400 to 499, never a fault of ours.
"""

import zlib
from typing import Final, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import MultiDict, MultiMapping

# What reading raises: an unknown charset, bytes that are none of it, a multipart body without its boundary or its end,
# a part with a header that is none or with a coding that it does not have, …
UNREADABLE: Final = (
    *(ValueError, LookupError, RuntimeError, AssertionError, EOFError, OSError, TypeError),
    *(HttpProcessingError, zlib.error),
)


async def read_form(request: web.Request) -> MultiMapping[str]:
    """The fields of a form. Raises HTTPBadRequest for what is none, or is not text."""
    try:
        posted = await request.post()
    except web.HTTPException:
        raise
    except UNREADABLE as error:
        raise unreadable() from error
    fields: MultiDict[str] = MultiDict()
    for name, value in posted.items():
        if not isinstance(value, str) or not _is_text(name) or not _is_text(value):
            raise unreadable()
        fields.add(name, value)
    return cast(MultiMapping[str], fields)


def unreadable() -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text="This form can't be read: send its fields as UTF-8 text, without files.\n")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
