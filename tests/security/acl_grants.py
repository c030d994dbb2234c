"""Users and access lists of a test's own broker, made through its inner listener, as its administrator would."""

import hashlib
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from stream_scorer.runtime.cluster.acls import Acl, Kind, Operation

# Kafka's numbers
_KINDS: Final = {Kind.TOPIC: 2, Kind.GROUP: 3, Kind.TRANSACTIONAL_ID: 5}
_OPERATIONS: Final = {
    Operation.READ: 3,
    Operation.WRITE: 4,
    Operation.CREATE: 5,
    Operation.DESCRIBE: 8,
    Operation.DESCRIBE_CONFIGS: 10,
}
_LITERAL, _PREFIXED, _ALLOW = 3, 4, 3
_MECHANISMS: Final = {"SCRAM-SHA-256": (1, "sha256"), "SCRAM-SHA-512": (2, "sha512")}
_ITERATIONS = 4_096


class Granting:
    """What an administrator does about users and rights; each call returns when the controller has said yes."""

    def __init__(self, admin: AIOKafkaAdminClient) -> None:
        self._admin = admin

    async def add_user(self, name: str, password: str, mechanism: str = "SCRAM-SHA-512") -> None:
        number, digest = _MECHANISMS[mechanism]
        salt = secrets.token_bytes(16)
        salted = hashlib.pbkdf2_hmac(digest, password.encode(), salt, _ITERATIONS)
        response = await self._ask(_AlterScram((name, number, _ITERATIONS, salt, salted, {})))
        assert [code for _, code, *_ in response.results] == [0], response

    async def grant(self, user: str, rights: Iterable[Acl]) -> None:
        for right in rights:
            response = await self._ask(CreateAclsRequest(*_line(user, right)))
            assert [code for code, *_ in response.creation_responses] == [0], response

    async def take_away(self, user: str, right: Acl) -> None:
        response = await self._ask(DeleteAclsRequest(*_line(user, right)))
        ((code, _, matching),) = response.filter_responses
        assert code == 0
        assert len(matching) == 1, f"{right} was not granted"

    async def _ask(self, request: Any) -> Any:
        return await self._admin._send_to_controller(request)


@asynccontextmanager
async def granting(inner_bootstrap: str) -> AsyncIterator[Granting]:
    admin = AIOKafkaAdminClient(bootstrap_servers=inner_bootstrap)
    await admin.start()
    try:
        yield Granting(admin)
    finally:
        await admin.close()


def _line(user: str, right: Acl) -> tuple[int, str, int, str, str, int, int]:
    pattern = _PREFIXED if right.prefixed else _LITERAL
    return _KINDS[right.kind], right.name, pattern, f"User:{user}", "*", _OPERATIONS[right.operation], _ALLOW


class _AlterScramResponse(Response):
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterScramRequest(RequestStruct):
    API_KEY = 51
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _AlterScramResponse
    SCHEMA = Schema(
        ("deletions", CompactArray(("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields))),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterScram(Request[_AlterScramRequest]):
    API_KEY = 51

    def __init__(self, upsertion: tuple[Any, ...]) -> None:
        self._upsertion = upsertion

    def build(self, request_struct_class: type[_AlterScramRequest]) -> _AlterScramRequest:
        return request_struct_class([], [self._upsertion], {})
