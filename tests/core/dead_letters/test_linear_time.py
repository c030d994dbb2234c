"""Looking at a letter takes time in proportion to its size, whatever a producer wrote into it.

Ratios of this thread's own CPU time, so that neither the machine's speed nor its load matters: eight times the size
takes about eight times as long, and sixty-four times where an algorithm is quadratic.
"""

import gc
import json
import time
from collections.abc import Callable

import pytest

from stream_scorer.core.contract.reasons import Code, Reason, conflict, invalid_value
from stream_scorer.core.dead_letters.highlighting import MARKS_MAX, PIECES_MAX, READ_BYTES_MAX, highlights, segments
from stream_scorer.core.dead_letters.redaction import masked_headers, masked_reason, masked_spans
from stream_scorer.core.dead_letters.repair import OPERATIONS_MAX, PATCH_BYTES_MAX, Fix, FixError, apply_fix, parse_fix
from tests.core.dead_letters.builders import reasons_of
from tests.support.builders import an_event, an_observation

FACTOR = 8
RATIO_MAX = 24.0
CPU_S_MIN = 0.004

Value = Callable[[int], bytes]


def columns(count: int, **also: object) -> bytes:
    extra = {f"c{number}": number for number in range(count)}
    return json.dumps({"id": "a", "observation": an_observation(**extra, **also)}).encode()


HOSTILE: dict[str, Value] = {
    "unknown columns": columns,
    "unknown columns of several bytes": lambda n: columns(n).replace(b'"c', '"日é'.encode()),
    "unknown members beside the observation": lambda n: json.dumps(
        {"id": "a", **{f"m{number}": [number] for number in range(n)}, "observation": an_observation()}
    ).encode(),
    "a name that stands again and again": lambda n: (
        b'{"id": "a", "observation": {' + b",".join([b'"hour": 99'] * n) + b"}}"
    ),
    "an observation that stands again and again": lambda n: (
        b"{" + b",".join([b'"observation": {"hour": 99, "x": 1}'] * n) + b', "id": "a"}'
    ),
    "a huge id": lambda n: an_event("é" * n * 10),
    "one huge text": lambda n: an_event(StatuteReason="A" * n * 40),
    "one huge text of escapes": lambda n: an_event(StatuteReason="\x00é" * n * 4),
    "a wide array": lambda n: an_event(hour=list(range(n))),
    "nested as deep as may be, again and again": lambda n: an_event(hour=[json.loads("[" * 50 + "]" * 50)] * (n // 10)),
    "blanks": lambda n: b"{" + b" \t\n" * n * 10 + b'"id": "a", "observation": {}}',
    "no JSON": lambda n: b'{"id": "' + b"a\\" * n * 10,
    "bytes that are no text": lambda n: b"\xff\x00" * n * 10,
    "brackets that never close": lambda n: b"[" * n * 20,
    "long numbers": lambda n: b'{"id": 1, "observation": [' + b",".join([b"1" * 200] * (n // 10)) + b"]}",
}


def look(value: bytes, reasons: tuple[Reason, ...]) -> None:
    """What one view of a letter computes, masked and revealed."""
    found = highlights(value, reasons)
    hidden = masked_spans(value)
    for cut in (segments(value, found, hidden), segments(value, found)):
        assert len(cut) <= PIECES_MAX + 1
    assert len(found) <= MARKS_MAX
    for reason in reasons:
        masked_reason(reason)


def try_fixes(value: bytes, fix: Fix) -> None:
    apply_fix(value, fix)


def cpu_s(work: Callable[[], object]) -> float:
    best = float("inf")
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            begin = time.thread_time()
            work()
            best = min(best, time.thread_time() - begin)
    finally:
        gc.enable()
    return best


def assert_linear(work: Callable[[int], Callable[[], object]]) -> None:
    """The time for eight times as much is not much more than eight times as long, at a size that can be measured."""
    size = 250
    while cpu_s(work(size)) < CPU_S_MIN and size < 32_000:
        size *= 2
    small, large = cpu_s(work(size)), cpu_s(work(size * FACTOR))
    assert large < RATIO_MAX * max(small, CPU_S_MIN), f"{FACTOR} times the size took {large / small:.0f} times as long"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_look_is_linear_in_the_letters_size(name: str) -> None:
    def work(size: int) -> Callable[[], object]:
        value = HOSTILE[name](size)
        return lambda: look(value, reasons_of(value)[:200])

    assert_linear(work)


@pytest.mark.parametrize("name", HOSTILE)
def test_named_fixes_are_linear_in_the_letters_size(name: str) -> None:
    fix = parse_fix(named=["trim-spaces", "match-case", "integers-from-text", "drop-unrecognized"])
    assert isinstance(fix, Fix)

    def work(size: int) -> Callable[[], object]:
        value = HOSTILE[name](size)
        return lambda: try_fixes(value, fix)

    assert_linear(work)


@pytest.mark.parametrize(
    "reasons",
    [
        pytest.param(
            lambda n: (Reason(Code.UNRECOGNIZED_COLUMNS, "observation", "x: y"),) * n, id="all columns, again"
        ),
        pytest.param(lambda n: (invalid_value("hour", 1, (1, 2)),) * n, id="one column, again"),
        pytest.param(lambda n: (conflict("a", 1, [f"c{k}" for k in range(n)]),), id="a conflict of many columns"),
        pytest.param(
            lambda n: (Reason(Code.INVALID_VALUE, "hour", "Invalid value provided for a: " * n + ". Allowed"),),
            id="a message that nearly fits",
        ),
    ],
)
def test_a_strangers_reasons_cost_no_more_than_their_number(
    reasons: Callable[[int], tuple[Reason, ...]],
) -> None:
    def work(size: int) -> Callable[[], object]:
        value, said = columns(size), reasons(size)
        return lambda: look(value, said)

    assert_linear(work)


def test_many_headers_are_masked_in_linear_time() -> None:
    def work(size: int) -> Callable[[], object]:
        headers = [(f"h{number}", b"x" * 50) for number in range(size)]
        return lambda: masked_headers(headers)

    assert_linear(work)


def test_of_more_pieces_than_anybody_reads_the_rest_is_one_and_masked() -> None:
    value = columns(PIECES_MAX * 2)
    cut = segments(value, (), masked_spans(value))
    assert len(cut) == PIECES_MAX + 1
    assert cut[-1].masked
    assert "c1999" not in "".join(piece.text for piece in cut)


def test_a_value_beyond_what_is_read_for_a_look_is_marked_and_masked_as_a_whole() -> None:
    value = an_event(StatuteReason="A" * READ_BYTES_MAX)
    reasons = (invalid_value("StatuteReason", "A", ("B",)),)
    assert [(mark.begin, mark.end) for mark in highlights(value, reasons)] == [(0, len(value))]
    (piece,) = segments(value, highlights(value, reasons), masked_spans(value))
    assert piece.masked
    assert piece.reasons == (0,)


def test_a_patch_of_too_many_operations_is_refused_before_any_is_done() -> None:
    operation = {"op": "test", "path": "/id", "value": "a"}
    found = parse_fix(patch=json.dumps([operation] * (OPERATIONS_MAX + 1)))
    assert found == FixError("not a JSON Patch (RFC 6902): it has 101 operations, at most 100 are allowed")
    assert isinstance(parse_fix(patch=json.dumps([operation] * OPERATIONS_MAX)), Fix)


def test_a_patch_of_too_many_bytes_is_refused_before_it_is_read() -> None:
    found = parse_fix(patch="[" + " " * PATCH_BYTES_MAX + "]")
    assert isinstance(found, FixError)
    assert "it has 65,538 bytes, at most 65,536 are allowed" in found.why


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/observation/hour/0", "value": 1},
        {"op": "move", "from": "/observation/hour/0", "path": "/observation/hour/1"},
        {"op": "remove", "path": "/observation/hour/0"},
        {"op": "test", "path": "/observation/hour/0", "value": 0},
        {"op": "copy", "from": "/observation", "path": "/copied"},
        {"op": "replace", "path": "/observation/hour/0", "value": {}},
    ],
    ids=lambda operation: operation["op"],
)
def test_a_patch_of_as_many_operations_as_may_be_is_linear_in_the_letters_size(operation: dict[str, object]) -> None:
    fix = parse_fix(patch=json.dumps([operation] * OPERATIONS_MAX))
    assert isinstance(fix, Fix)

    def work(size: int) -> Callable[[], object]:
        value = an_event(hour=list(range(size)))
        return lambda: try_fixes(value, fix)

    assert_linear(work)
