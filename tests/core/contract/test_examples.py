"""The published events: a verdict for every rule, and nothing that a producer's own tests could stumble over."""

import base64
import json

from stream_scorer.core.contract.examples import example_lines
from stream_scorer.core.contract.reasons import Code
from tests.core.contract.independent_validator import codes, judge_observation, judge_outcome

EXAMPLES = [json.loads(line) for line in example_lines().splitlines()]
NOT_OF_AN_EVENT_ALONE = {
    Code.BATCH_TOO_LARGE,
    Code.BATCH_UNREADABLE,
    Code.CONFLICT,
    Code.SCORING_FAILED,
    Code.INVALID_OUTPUT,
    Code.UNKNOWN_ID,
}


def test_every_code_that_an_event_alone_can_get_has_an_example() -> None:
    shown = {error["code"] for example in EXAMPLES for error in example.get("errors", [])}
    assert shown == set(Code) - NOT_OF_AN_EVENT_ALONE


def test_both_looks_say_what_the_examples_say() -> None:
    for example in EXAMPLES:
        value = example["value"].encode() if "value" in example else base64.b64decode(example["value_base64"])
        verdict = (judge_observation if example["topic"] == "observations" else judge_outcome)(value)
        assert codes(verdict) == [error["code"] for error in example.get("errors", [])], example["name"]
        assert example["ok"] == (not codes(verdict))


def test_an_example_is_found_by_topic_and_name() -> None:
    assert len({(example["topic"], example["name"]) for example in EXAMPLES}) == len(EXAMPLES)


def test_the_examples_are_ascii_lines_so_that_no_tool_changes_them() -> None:
    assert example_lines().isascii()
