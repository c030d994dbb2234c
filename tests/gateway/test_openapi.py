"""The description of the gateway: valid by the standard's own validator, true of the contract, served with its page."""

import re

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from stream_scorer.core.records.schemas import observation_event
from stream_scorer.gateway.doors import EVENT_ROUTES
from stream_scorer.gateway.openapi import EXAMPLE, PAGE_POLICY, docs_page, openapi


def test_the_document_is_valid_openapi() -> None:
    validate(openapi(), cls=OpenAPIV31SpecValidator)


def test_every_path_that_takes_events_is_described() -> None:
    assert openapi()["paths"].keys() == {*EVENT_ROUTES, "/stops/{id}"}


def test_the_example_keeps_the_contract() -> None:
    Draft202012Validator(observation_event()).validate(EXAMPLE)
    assert openapi()["components"]["schemas"]["Observation"] == observation_event()


def test_the_page_loads_nothing_from_outside() -> None:
    page = docs_page()
    assert not re.search(r"""(src|href)=["']?(https?:)?//|@import|url\(""", page)
    assert PAGE_POLICY.startswith("default-src 'none'")
    for path in EVENT_ROUTES:
        assert f"POST {path}<" in page
