"""What the page on images and manifests tells people to type names what is there."""

import re
import shlex
from collections.abc import Iterator

import pytest
import yaml

from stream_scorer.runtime.settings.settings import Settings
from tests.contracts.markdown_pages import blocks, text_of
from tests.deploy.kubernetes import KUBERNETES, ROOT

PAGE = "docs/deploying.md"
TEXT = text_of(ROOT / PAGE)
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def commands() -> Iterator[list[str]]:
    for block in blocks("sh"):
        if block.page == PAGE:
            yield from map(shlex.split, block.text.splitlines())


@pytest.mark.parametrize("words", list(commands()), ids=shlex.join)
def test_a_command_names_files_services_and_objects_that_are_there(words: list[str]) -> None:
    assert words[0] in ("docker", "kubectl")
    if "--file" in words:
        assert (ROOT / words[words.index("--file") + 1]).is_file()
    if "-k" in words:
        assert (ROOT / words[words.index("-k") + 1] / "kustomization.yaml").is_file()
    if words[:2] == ["docker", "compose"]:
        services, rest = COMPOSE["services"], " ".join(words)
        named = re.findall(r"--scale (\w+)=|run --rm (\w+)", rest)
        assert {name for pair in named for name in pair if name} <= set(services)
        profiles = {profile for service in services.values() for profile in service.get("profiles", [])}
        assert set(re.findall(r"--profile (\w+)", rest)) <= profiles
    if words[1] == "wait":
        assert (
            (KUBERNETES / "smoke" / "base" / "job.yaml").read_text().count(f"name: {words[-1].removeprefix('job/')}\n")
        )


def test_the_page_has_commands_for_all_three_ways() -> None:
    assert {tuple(words[:2]) for words in commands()} >= {
        ("docker", "build"),
        ("docker", "compose"),
        ("kubectl", "apply"),
    }


def test_every_secret_that_is_referred_to_is_listed() -> None:
    listed = set(re.findall(r"^\| `([\w-]+)`", TEXT.split("### Secrets")[1].split("###")[0], re.MULTILINE))
    referred = set()
    for path in KUBERNETES.rglob("*.yaml"):
        if "kafka" not in path.relative_to(KUBERNETES).parts:
            referred |= set(re.findall(r"secretName: ([\w-]+)", path.read_text(encoding="utf-8")))
    assert referred | {"stream-scorer-lag"} == listed


def test_numbers_are_those_of_the_settings() -> None:
    worker = Settings().worker
    assert f"`worker.shutdown_deadline_s` ({worker.shutdown_deadline_s:g} s)" in TEXT
    assert f"`worker.session_timeout_ms` ({worker.session_timeout_ms // 1000} s) is over" in TEXT
