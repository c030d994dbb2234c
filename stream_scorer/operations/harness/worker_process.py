"""A real `stream-scorer worker` as a child process."""

import contextlib
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stream_scorer.operations.harness.service_process import ServiceProcess


class WorkerProcess(ServiceProcess):
    """One worker on `bootstrap`. Without a `folder` its files go to a temporary one."""

    def __init__(
        self,
        bootstrap: str,
        *,
        prefix: str = "",
        model: Path | None = None,
        settings: Path | None = None,
        http_port: int = 0,
        folder: Path | None = None,
        name: str = "worker",
        arguments: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        given = ["--bootstrap", bootstrap]
        given += ["--prefix", prefix] if prefix else []
        given += ["--model", str(model)] if model else []
        given += ["--settings", str(settings)] if settings else []
        super().__init__(
            "worker",
            [*given, *arguments],
            folder=folder or Path(tempfile.mkdtemp(prefix="stream-scorer-worker-")),
            name=name,
            http_port=http_port,
            environ=environ,
        )

    def metrics(self) -> str:
        """The text of /metrics."""
        with urllib.request.urlopen(f"http://{self.http_address}/metrics", timeout=5) as answer:
            return str(answer.read().decode())


@contextlib.contextmanager
def folder_for_worker(purpose: str) -> Iterator[Path]:
    """A temporary folder for a worker's files; when things go wrong its log is left for people, the rest goes."""
    folder = Path(tempfile.mkdtemp(prefix=f"stream-scorer-{purpose}-"))
    try:
        yield folder
    except BaseException:
        for path in folder.iterdir():
            if path.suffix != ".log":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise
    shutil.rmtree(folder, ignore_errors=True)
