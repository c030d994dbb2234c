"""A real Prometheus on loopback with the rules that are shipped, run so fast that a day takes some seconds."""

import asyncio
import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stream_scorer.operations.harness.service_process import ServiceProcess
from stream_scorer.operations.harness.worker_process import WorkerProcess
from stream_scorer.operations.monitoring.prometheus_files import ALERT_RULES, RECORDING_RULES, prometheus_files
from stream_scorer.operations.monitoring.rules import RulePace
from stream_scorer.runtime.settings.settings import Settings

# A day is three hours of three seconds here. A span of less than three scrapes would be empty now and then.
FAST = RulePace(
    scrape_s=1,
    evaluation_s=1,
    five_minutes_s=4,
    half_hour_s=6,
    hour_s=3,
    six_hours_s=10,
    day_s=9,
    week_s=18,
    month_s=36,
    minute_s=1,
)
JOB, GATEWAY_JOB = "stream-scorer", "gateway-of-stream-scorer"
READY_WITHIN_S = 20.0


class RealPrometheus:
    """Scrapes the workers it is told of, under the names they are given."""

    def __init__(self, program: str, folder: Path, settings: Settings, workers: dict[str, WorkerProcess]) -> None:
        self._folder = folder / "prometheus"
        self._folder.mkdir()
        self._targets, self._gateways = self._folder / "targets.json", self._folder / "gateways.json"
        self.watch(workers)
        files = prometheus_files(settings, FAST)
        for name in (RECORDING_RULES, ALERT_RULES):
            (self._folder / name).write_text(files[name], encoding="utf-8")
        (self._folder / "prometheus.yml").write_text(config(), encoding="utf-8")
        self._port = free_port()
        self._command = [
            program,
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'series'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--log.level=warn",
        ]

    def watch(self, workers: dict[str, WorkerProcess]) -> None:
        """Scrape these from the next second on."""
        self._write(self._targets, workers)

    def watch_gateway(self, gateway: ServiceProcess) -> None:
        """Scrape this one too."""
        self._write(self._gateways, {"gateway": gateway})

    def _write(self, path: Path, targets: Mapping[str, ServiceProcess]) -> None:
        groups = [{"targets": [each.http_address], "labels": {"instance": name}} for name, each in targets.items()]
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(groups), encoding="utf-8")
        draft.replace(path)

    def __enter__(self) -> Self:
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._is_ready():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    async def query(self, expr: str) -> list[dict[str, Any]]:
        """The series that an expression gives now."""
        answer = await asyncio.to_thread(self._ask, "query", {"query": expr})
        found: list[dict[str, Any]] = answer["result"]
        return found

    async def value(self, expr: str) -> float:
        """The one number that an expression gives now."""
        (only,) = await self.query(expr)
        return float(only["value"][1])

    async def firing(self) -> dict[str, list[dict[str, str]]]:
        """The labels of what fires, by alert."""
        alerts = await asyncio.to_thread(self._ask, "alerts", {})
        found: dict[str, list[dict[str, str]]] = {}
        for alert in alerts["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert["labels"])
        return found

    def _ask(self, what: str, parameters: dict[str, str]) -> dict[str, Any]:
        address = f"http://127.0.0.1:{self._port}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                said: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as refusal:
            raise AssertionError(f"{parameters}: {refusal.read().decode()}") from refusal
        data: dict[str, Any] = said["data"]
        return data


def config() -> str:
    return json.dumps(
        {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [RECORDING_RULES, ALERT_RULES],
            "scrape_configs": [
                {
                    "job_name": JOB,
                    "file_sd_configs": [{"files": ["targets.json"], "refresh_interval": "1s"}],
                },
                {
                    "job_name": GATEWAY_JOB,
                    "file_sd_configs": [{"files": ["gateways.json"], "refresh_interval": "1s"}],
                },
            ],
        }
    )


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
