"""A real `stream-scorer gateway` as a child process."""

from collections.abc import Mapping
from pathlib import Path

from stream_scorer.operations.harness.service_process import ServiceProcess


class GatewayProcess(ServiceProcess):
    """A gateway of one environment on `bootstrap`."""

    def __init__(
        self,
        bootstrap: str,
        *,
        folder: Path,
        prefix: str = "",
        settings: Path | None = None,
        http_port: int = 0,
        name: str = "gateway",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        given = ["--bootstrap", bootstrap]
        given += ["--prefix", prefix] if prefix else []
        given += ["--settings", str(settings)] if settings else []
        super().__init__("gateway", given, folder=folder, name=name, http_port=http_port, environ=environ)
