"""What somebody else may write where our own records lie: bytes that decoders die of, and our own records with one part
taken out, doubled or driven to an extreme."""

import json
from collections.abc import Iterator
from typing import Any

from tests.support.builders import an_observation

TIME = "2026-11-22T08:00:00.000Z"
SOURCE = {"partition": 0, "offset": 7}
SAID = {"id": "ev-1", "prediction": True, "proba": 0.7, "model": "m@0123456789ab", "role": "champion"}
PREDICTION: dict[str, Any] = {
    **SAID,
    "threshold": 0.5,
    "observation_code": 12_345,
    "source": SOURCE,
    "scored_at": TIME,
}
JOINED: dict[str, Any] = {
    **SAID,
    "status": "joined",
    "revision": 1,
    "true_class": True,
    "correct": True,
    "observation": an_observation(),
    "scored_at": TIME,
    "outcome_at": TIME,
    "delay_s": 0.5,
    "source": SOURCE,
}
AWAITING: dict[str, Any] = {
    "id": "ev-1",
    "status": "awaiting_prediction",
    "true_class": True,
    "outcome_at": TIME,
    "source": SOURCE,
    "record": {"timestamp": 1, "value": "e30=", "key": "aw==", "headers": [["h", "dg=="]]},
}
UNKNOWN: dict[str, Any] = {
    "id": "ev-1",
    "status": "unknown",
    "true_class": True,
    "outcome_at": TIME,
    "source": SOURCE,
}
PLACE = {"topic": "stops.observations", "partition": 0, "offset": 7}
LEDGER_ENTRY: dict[str, Any] = {
    "act": "replay",
    "who": "ann",
    "at": TIME,
    "origin": PLACE,
    "letter": {"partition": 0, "offset": 3},
    "why": "",
    "replays": 1,
    "became": PLACE | {"offset": 9},
    "fix": "trim",
}
REASONS: list[Any] = [{"code": "not_json", "field": None, "message": "m", "details": {"n": 1}}]
LETTER_SOURCE: dict[str, Any] = PLACE | {"timestamp": 5}
TRUNCATION: dict[str, Any] = {"bytes": 9, "sha256": "a", "key_bytes": 0, "headers_bytes": 0}
SERVED: dict[str, Any] = {"champion": {"name": "m", "digest": "0" * 64, "threshold": 0.5}}
CONTROL: dict[str, Any] = {
    "format": 1,
    "environment": "e",
    "based_on": 3,
    "act": "deploy",
    "models": SERVED,
    "test": {"alpha": 0.05, "contrasts": []},
    "who": "ann",
    "at": TIME,
}
SWITCH: dict[str, Any] = {
    "format": 1,
    "partition": 0,
    "control_offset": 3,
    "state": "serving",
    "from": {"observations": 5, "outcomes": 6},
    "models": SERVED,
    "versions": {"numpy": "2"},
    "worker": "w",
    "at": TIME,
}
OURS: dict[str, Any] = {
    "prediction": PREDICTION,
    "joined": JOINED,
    "awaiting": AWAITING,
    "unknown": UNKNOWN,
    "ledger entry": LEDGER_ENTRY,
    "reasons": REASONS,
    "letter source": LETTER_SOURCE,
    "truncation": TRUNCATION,
    "model control": CONTROL,
    "model switch": SWITCH,
}

DEEP = 100_000
BYTES: dict[str, bytes] = {
    "nothing": b"",
    "a blank": b" ",
    "a byte-order mark": b"\xef\xbb\xbf{}",
    "a schema registry's frame": b"\x00\x00\x00\x00\x01{}",
    "open lists under the id": b'{"id":' + b"[" * 1_100,
    "open lists": b"[" * DEEP,
    "closed lists under an unknown name": b'{"x":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "open objects": b'{"a":' * DEEP,
    "a lone surrogate": b'{"id":"\\ud800"}',
    "surrogates in the wrong order": b'{"id":"\\udc00\\ud800"}',
    "a surrogate in UTF-8": b'{"id":"\xed\xa0\x80"}',
    "not UTF-8": b'{"id":"\xff\xfe"}',
    "an integer of 5,000 digits": b'{"id":' + b"9" * 5_000 + b"}",
    "an integer of 40 digits": b"9" * 40,
    "a float beyond floats": b'{"proba":1e999}',
    "NaN": b'{"proba":NaN}',
    "a text": b'"text"',
    "null": b"null",
    "a list of everything": b'[null,1,"a",{},[],true,1e5]',
    "all bytes": bytes(range(256)),
    "digits that are no ASCII": "\u0663".encode(),
}
EXTREMES: tuple[object, ...] = (
    *(None, True, "", "x", [], {}, [[]], [1], {"a": 1}, [None]),
    *(0, -1, 1 << 15, 1 << 31, 1 << 44, 1 << 48, 1 << 62, 1 << 63, (1 << 64) - 1, 1 << 64, 10**400, -(10**30)),
    *(1.5, 1e308, -1e308, 1e-320),
    *("0001-01-01T00:00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "99999-01-01T00:00:00Z"),
    *("9999-12-31T23:59:59.999Z", "NaTZ", "Z", "1969-12-31T23:59:59Z", "2026-11-22T08:00:00." + "1" * 100_000 + "Z"),
    *("\u0000", "\u2028", "🚔" * 100, "x" * 100_000, "nobody's topic"),
)


def nasty_records() -> Iterator[tuple[str, bytes]]:
    """Each with a name that says what it is."""
    yield from BYTES.items()
    for name, ours in OURS.items():
        encoded = json.dumps(ours).encode()
        yield name, encoded
        yield f"{name}, twice", encoded + b"," + encoded
        yield f"{name}, cut", encoded[:-1]
        yield f"{name} in a list", b"[" + encoded + b"]"
        for path in _paths(ours):
            yield f"{name} without {path}", json.dumps(_changed(ours, path, None, drop=True)).encode()
            for extreme in EXTREMES:
                yield f"{name}, {path} {extreme!r:.40}", json.dumps(_changed(ours, path, extreme)).encode()


def _paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield (*before, key)
        yield from _paths(inner, (*before, key))


def _changed(value: Any, path: tuple[Any, ...], to: object, *, drop: bool = False) -> Any:
    copied = value.copy()
    if len(path) > 1:
        copied[path[0]] = _changed(value[path[0]], path[1:], to, drop=drop)
    elif drop:
        del copied[path[0]]
    else:
        copied[path[0]] = to
    return copied
