"""How often each client may ask."""

from stream_scorer.runtime.web.rate_limit import RateLimit


def test_each_client_has_its_own_rate() -> None:
    rate = RateLimit(2)
    assert [rate.admits("east", 10.0) for _ in range(3)] == [True, True, False]
    assert rate.admits("west", 10.0)
    assert rate.admits("east", 10.5)
    assert not rate.admits("east", 10.6)
    assert all(RateLimit(None).admits("east", 0.0) for _ in range(100))
