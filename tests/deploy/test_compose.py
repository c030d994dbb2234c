"""docker-compose.yml: every service of the stack, mounts that exist, workers that can be many."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_scorer.operations.local_broker.distribution import kafka_version, locked_jars
from stream_scorer.runtime.settings.settings import load_settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if str(service["image"]).startswith("stream-scorer:")]


def resolved(value: object) -> str:
    """A value as Compose reads it where no variable is set."""
    return re.sub(r"\$\{\w+:-(.*?)\}", r"\1", str(value))


def test_the_stack_has_every_service() -> None:
    assert set(SERVICES) == {
        "kafka",
        "topics",
        "scorer",
        "gateway",
        "console",
        "smoke",
        "traffic",
        "prometheus",
        "grafana",
    }
    assert set(OURS) == {"topics", "scorer", "gateway", "console", "smoke", "traffic"}


def test_kafka_is_the_version_that_the_tests_run_on() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka_version(locked_jars())}"


def test_every_image_has_a_version() -> None:
    versions = {resolved(service["image"]).partition(":")[2] for service in SERVICES.values()}
    assert "" not in versions
    assert "latest" not in versions


def mounts() -> list[tuple[str, str]]:
    return [
        (name, mount) for name, service in SERVICES.items() for mount in service.get("volumes", []) if mount[0] in "./"
    ]


@pytest.mark.parametrize(("service", "mount"), mounts())
def test_what_is_mounted_is_there_and_read_only(service: str, mount: str) -> None:
    source, _, flags = mount.split(":")
    assert (ROOT / source).is_dir(), service
    assert flags == "ro"


def test_prometheus_finds_its_settings_and_the_workers() -> None:
    folder = ROOT / "deploy" / "prometheus"
    settings = yaml.safe_load((folder / "prometheus.yml").read_text(encoding="utf-8"))
    assert all((folder / name).is_file() for name in settings["rule_files"])
    found = [each for job in settings["scrape_configs"] for each in job.get("dns_sd_configs", [])]
    assert [(each["names"], each["port"]) for each in found] == [
        (["scorer"], 8080),
        (["console"], 8081),
        (["gateway"], 8090),
    ]
    assert "--storage.tsdb.retention.time=400d" in SERVICES["prometheus"]["command"]


def test_grafana_finds_its_dashboards() -> None:
    (provider,) = (ROOT / "deploy" / "grafana" / "provisioning" / "dashboards").glob("*.yml")
    path = yaml.safe_load(provider.read_text(encoding="utf-8"))["providers"][0]["options"]["path"]
    assert f"./deploy/grafana/dashboards:{path}:ro" in SERVICES["grafana"]["volumes"]


def test_there_can_be_many_workers() -> None:
    scorer = SERVICES["scorer"]
    assert "container_name" not in scorer
    assert "STREAM_SCORER_WORKER_GROUP_INSTANCE_ID" not in scorer["environment"]
    # a range, of which each takes the next: one port would be taken by the first
    (ports,) = scorer["ports"]
    first, last = re.fullmatch(r"127\.0\.0\.1:(\d+)-(\d+):8080", ports).groups()  # type: ignore[union-attr]
    assert int(last) - int(first) >= 3
    # the state is the image's own volume: a named one would be shared
    assert "volumes" not in scorer


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_port_is_open_on_loopback_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", sorted(OURS))
def test_ours_run_without_rights_on_a_read_only_root(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_settings_of_ours_can_be_used(name: str) -> None:
    environ = {key: resolved(value) for key, value in SERVICES[name]["environment"].items()}
    assert load_settings(None, environ).kafka.bootstrap == "kafka:9092"


def test_the_console_asks_every_worker_and_is_served_where_it_listens() -> None:
    console = SERVICES["console"]
    settings = load_settings(None, {key: resolved(value) for key, value in console["environment"].items()})
    assert settings.console.workers == ("http://scorer:8080",)
    port = settings.console.http_port
    assert console["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"http://127.0.0.1:{port}/livez" in " ".join(console["healthcheck"]["test"])


def test_only_the_console_has_what_lets_people_in() -> None:
    for name in OURS:
        tokens = {value for variable, value in SERVICES[name]["environment"].items() if "TOKEN" in variable}
        shared = {"${STREAM_SCORER_LOOKUP_TOKEN:-}"}
        people = {"${STREAM_SCORER_HTTP_VIEW_TOKEN:-}", "${STREAM_SCORER_HTTP_ACT_TOKEN:-}"}
        assert tokens == {"console": people, "scorer": shared, "gateway": shared}.get(name, set()), name


def test_the_gateway_is_served_where_it_listens_and_has_time_to_answer() -> None:
    gateway = SERVICES["gateway"]
    settings = load_settings(None, {key: resolved(value) for key, value in gateway["environment"].items()})
    port = settings.gateway.http_port
    assert gateway["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"http://127.0.0.1:{port}/livez" in " ".join(gateway["healthcheck"]["test"])
    assert int(gateway["stop_grace_period"].removesuffix("s")) > settings.gateway.timeout_s


def test_a_worker_comes_after_its_topics_and_again_after_an_outage() -> None:
    assert SERVICES["scorer"]["depends_on"]["topics"]["condition"] == "service_completed_successfully"
    assert SERVICES["topics"]["depends_on"]["kafka"]["condition"] == "service_healthy"
    assert SERVICES["scorer"]["restart"] == "unless-stopped"
    grace_s = int(SERVICES["scorer"]["stop_grace_period"].removesuffix("s"))
    assert grace_s > load_settings(None, {}).worker.shutdown_deadline_s


def test_no_secret_stands_in_the_file() -> None:
    for service in SERVICES.values():
        for name, value in (service.get("environment") or {}).items():
            if re.search(r"(?i)passw|token|secret", name):
                assert resolved(value) == "", name
