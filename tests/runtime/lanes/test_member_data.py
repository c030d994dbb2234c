"""What a member tells the group: its subscription as ever, and where look-ups reach it."""

import pytest
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata

from stream_scorer.runtime.lanes.member_data import application_server, range_assignor


@pytest.mark.parametrize("server", ["worker-0.scorers:8080", "127.0.0.1:1", "[::1]:8080", ""])
def test_the_address_goes_with_the_subscription_and_comes_back(server: str) -> None:
    told = range_assignor(server).metadata(["b", "a"]).encode()
    read = ConsumerProtocolMemberMetadata.decode(told)
    assert (list(read.subscription), application_server(read.user_data)) == (["b", "a"], server)


def test_the_assignment_is_that_of_range() -> None:
    ours = range_assignor("here:1")
    assert (ours.name, ours.version) == (RangePartitionAssignor.name, RangePartitionAssignor.version)
    assert ours.assign.__func__ is RangePartitionAssignor.assign.__func__


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"\x00\x01",
        b"{}",
        b'{"application_server":"http://evil/"}',
        b'{"application_server":"host:80/path"}',
        b'{"application_server":"user@host:80"}',
        b'{"application_server":"host"}',
    ],
)
def test_what_names_no_address_is_none(data: bytes | None) -> None:
    assert application_server(data) == ""
