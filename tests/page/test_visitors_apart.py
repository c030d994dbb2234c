"""Whose share of what is scarce a request takes."""

from typing import NamedTuple, cast

import pytest
from aiohttp import web

from stream_scorer.operations.console.access.sessions import Session
from stream_scorer.operations.console.auth import OIDC, VIEWER, Principal
from stream_scorer.operations.console.request_context import Console, RequestContext


class Request(NamedTuple):
    remote: str | None


def key(source: str | None, name: str | None, remote: str | None) -> str:
    session = None if source is None else Session("1", source, int(VIEWER), name or "", 0, b"key")
    visitor = Principal(VIEWER, name, session=session)
    return RequestContext(cast(Console, None), cast(web.Request, Request(remote)), visitor).visitor_key


def test_a_person_with_an_account_is_one_visitor_from_every_address() -> None:
    assert key(OIDC, "ann@example.org", "192.0.2.1") == key(OIDC, "ann@example.org", "2001:db8::1")
    assert key(OIDC, "ann@example.org", "192.0.2.1") != key(OIDC, "ben@example.org", "192.0.2.1")


@pytest.mark.parametrize("source", ["view", None])
def test_who_has_no_account_is_one_visitor_for_each_address_and_never_a_person(source: str | None) -> None:
    assert key(source, "ann", "192.0.2.1") != key(source, "ann", "192.0.2.2")
    assert key(source, "ann", "2001:db8::1") == key(source, "ann", "2001:db8::2")
    assert key(source, "ann by account", None) != key(OIDC, "ann", None)
