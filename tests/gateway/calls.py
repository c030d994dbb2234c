"""A gateway as a process of its own, and requests as its clients send them."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple

from stream_scorer.operations.harness.gateway_process import GatewayProcess as OurGatewayProcess
from tests.support.workers import ROOT

JSON = {"Content-Type": "application/json"}


class Answered(NamedTuple):
    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class GatewayProcess(OurGatewayProcess):
    """`settings`, named `section__name`, go to it as variables."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, name: str = "gateway", **settings: object) -> None:
        variables = {f"STREAM_SCORER_{key.replace('__', '_').upper()}": str(value) for key, value in settings.items()}
        super().__init__(
            bootstrap, prefix=prefix, folder=folder, name=name, environ={"PYTHONPATH": str(ROOT), **variables}
        )

    def call(
        self, path: str, body: bytes | None = None, headers: Mapping[str, str] = JSON, method: str | None = None
    ) -> Answered:
        """POST the body, or GET; the answer, whatever its status."""
        url = f"http://{self.http_address}{path}"
        request = urllib.request.Request(url, data=body, headers=dict(headers), method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answered(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answered(error.code, error.headers, error.read())


@contextmanager
def a_gateway(bootstrap: str, prefix: str, folder: Path, **settings: Any) -> Iterator[GatewayProcess]:
    """A gateway that runs and listens."""
    with GatewayProcess(bootstrap, prefix, folder, **settings) as gateway:
        gateway.wait_ready()
        yield gateway
