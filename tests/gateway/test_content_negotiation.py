"""The `Accept` header by the book."""

import pytest

from stream_scorer.gateway.content_negotiation import quality


@pytest.mark.parametrize(
    ("accept", "liked"),
    [
        ("*/*", 1.0),
        ("application/json", 1.0),
        ("Application/JSON; charset=utf-8; q=0.5", 0.5),
        ("application/*;q=0.3, */*;q=0.9", 0.3),
        ("text/html, */*;q=0.1", 0.1),
        ("text/html", 0.0),
        ("*/*, application/json;q=0", 0.0),
        ("application/json;q=many", 0.0),
        ("application/jsonp", 0.0),
        (",;,", 0.0),
    ],
)
def test_the_most_specific_range_decides(accept: str, liked: float) -> None:
    assert quality(accept, "application/json") == liked
