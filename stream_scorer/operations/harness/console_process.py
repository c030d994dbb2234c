"""A real `stream-scorer console` as a child process."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stream_scorer.operations.harness.service_process import ServiceProcess


class ConsoleProcess(ServiceProcess):
    """The console of one environment on `bootstrap`, which asks the workers at these addresses, `host:port`."""

    def __init__(
        self,
        bootstrap: str,
        workers: Sequence[str],
        *,
        folder: Path,
        prefix: str = "",
        settings: Path | None = None,
        http_port: int = 0,
        name: str = "console",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        given = ["--bootstrap", bootstrap]
        given += ["--prefix", prefix] if prefix else []
        given += ["--settings", str(settings)] if settings else []
        for address in workers:
            given += ["--worker", f"http://{address}"]
        super().__init__("console", given, folder=folder, name=name, http_port=http_port, environ=environ)
