"""Who gets in: HTTPS, bodies that never come, connections that say nothing. No worker is needed."""

import asyncio
import socket
import ssl
import urllib.request
from pathlib import Path

import pytest
import trustme

from stream_scorer.errors import SettingsError
from stream_scorer.runtime.settings.settings import load_settings
from tests.gateway.calls import GatewayProcess, a_gateway
from tests.support.workers import Environment, until


def connected(gateway: GatewayProcess) -> socket.socket:
    host, _, port = (gateway.http_address or "").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30)


async def test_a_body_that_does_not_come_ends_and_others_are_answered(environment: Environment, tmp_path: Path) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"
    with a_gateway(environment.bootstrap, environment.settings.topics.prefix, tmp_path) as gateway:
        half = connected(gateway)
        half.sendall(head)
        idle = [connected(gateway) for _ in range(100)]
        assert gateway.call("/predict", b"{}").status == 422
        assert (await asyncio.to_thread(half.recv, 4_096)).startswith(b"HTTP/1.1 408 ")
        for one in (half, *idle):
            one.close()


async def test_with_a_certificate_it_serves_https_only(environment: Environment, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    gateway = GatewayProcess(
        environment.bootstrap,
        environment.settings.topics.prefix,
        tmp_path,
        gateway__tls_certificate_file=tmp_path / "certificate.pem",
        gateway__tls_key_file=tmp_path / "key.pem",
    )
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with gateway:
        await until(lambda: gateway.http_address, "it listened")
        assert await asyncio.to_thread(status_of, f"https://{gateway.http_address}/readyz", trusting) == 200
        with pytest.raises(OSError):  # noqa: PT011  # which one depends on how the connection ends
            await asyncio.to_thread(status_of, f"http://{gateway.http_address}/readyz")


def status_of(url: str, context: ssl.SSLContext | None = None) -> int:
    with urllib.request.urlopen(url, context=context, timeout=30) as answer:
        return int(answer.status)


def test_a_certificate_without_its_key_is_refused() -> None:
    with pytest.raises(SettingsError, match="HTTPS needs both"):
        load_settings(None, {}, {"gateway.tls_certificate_file": "certificate.pem"})
