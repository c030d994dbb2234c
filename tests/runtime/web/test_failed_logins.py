"""How often a login may fail, and whom that concerns."""

import pytest

from stream_scorer.runtime.web.failed_logins import KEPT_MAX, PROVEN_S, FailedLogins, FailureLimit, address_of

TWO = FailureLimit(2, 30.0)


def test_an_address_over_its_limit_waits_and_others_do_not() -> None:
    logins = FailedLogins(TWO)
    for _ in range(2):
        assert logins.wait_s("a", 10.0) == 0
        logins.failed("a", 10.0)
    assert logins.wait_s("a", 10.0) == 30
    assert logins.wait_s("a", 25.0) == 15
    assert logins.wait_s("a", 40.0) == 0
    assert logins.wait_s("b", 10.0) == 0


def test_all_addresses_together_have_a_limit_that_spares_who_was_there() -> None:
    logins = FailedLogins(FailureLimit(100, 1.0), together=TWO)
    logins.succeeded("known", 10.0)
    for address in ("a", "b"):
        logins.failed(address, 10.0)
    assert logins.wait_s("c", 10.0) == 30
    assert logins.wait_s("known", 10.0) == 0
    assert FailedLogins(TWO).wait_s("c", 10.0) == 0


def test_a_proof_is_of_one_name_at_one_address_and_ends() -> None:
    logins = FailedLogins(TWO)
    logins.succeeded("a", 10.0, "east")
    assert logins.is_proven("a", 10.0 + PROVEN_S - 1, "east")
    assert not logins.is_proven("a", 10.0 + PROVEN_S, "east")
    assert not logins.is_proven("a", 10.0, "west")
    assert not logins.is_proven("b", 10.0, "east")


def test_no_more_is_kept_than_the_limit() -> None:
    logins = FailedLogins(TWO)
    for number in range(2 * KEPT_MAX):
        logins.failed(f"address-{number}", 0.0)
        logins.succeeded(f"address-{number}", 0.0)
    assert len(logins._addresses) == len(logins._proven) == KEPT_MAX


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, ""),
    ],
)
def test_an_address_is_what_a_provider_gives_to_one(remote: str | None, address: str) -> None:
    assert address_of(remote) == address
