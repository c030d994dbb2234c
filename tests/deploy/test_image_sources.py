"""What enters the image: the sources that it needs, all of them, and nothing private."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from docker.utils import exclude_paths  # what Docker's own library makes of a .dockerignore

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
PRIVATE = [
    ".env",
    ".env.production",
    ".git/config",
    ".venv/bin/python",
    "credentials.json",
    "topics/.env",
    "topics/.env.staging",
    "topics/prod.env",
    "deploy/settings/kafka-password",
    "deploy/settings/view-token",
    "deploy/settings/.kafka.toml.swp",
    "deploy/kubernetes/secret.yaml",
    "stream_scorer/.env",
    "stream_scorer/models/broker.pem",
    "stream_scorer/runtime/client.key",
    "stream_scorer/runtime/secrets.toml",
    "stream_scorer/runtime/id_rsa",
    "stream_scorer/store.p12",
    "stream_scorer/credentials.json",
    "stream_scorer/__pycache__/settings.cpython-311.pyc",
    "tests/conftest.py",
]


def ignored() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def sent(root: Path) -> set[str]:
    """The files below the folder that a build would be given."""
    return {path for path in exclude_paths(str(root), ignored()) if (root / path).is_file()}


@pytest.mark.parametrize("name", PRIVATE)
def test_a_private_file_stays_out_of_the_build(tmp_path: Path, name: str) -> None:
    (tmp_path / "README.md").write_text("a file that is wanted")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("private")
    assert sent(tmp_path) == {"README.md", ".dockerignore"} - {".dockerignore"}


def sources_under_version_control() -> set[str]:
    try:
        listed = subprocess.run(
            ["git", "ls-files", "--", "stream_scorer", "topics", "deploy/settings"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no checkout, so nothing tells which files are sources")
    return {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}


def test_every_source_enters_the_build() -> None:
    sources = sources_under_version_control()
    assert len(sources) > 100
    assert sources - sent(ROOT) == set()


def instructions() -> list[str]:
    """The Dockerfile's instructions, continued lines joined, comments gone."""
    lines = [line for line in DOCKERFILE.splitlines() if line and not line.startswith("#")]
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def test_all_that_is_copied_comes_from_the_build_or_is_named() -> None:
    copied = [shlex.split(line)[1:-1] for line in instructions() if line.startswith("COPY") and "--from" not in line]
    names = {name for sources in copied for name in sources}
    assert names == {
        "requirements.txt",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "topics",
        "stream_scorer",
        "deploy/slim.py",
        "deploy/bake.py",
        "deploy/settings",
    }
    assert all((ROOT / name).exists() for name in names)
    assert not any(line.startswith("ADD") for line in instructions())


def test_no_secret_comes_as_an_argument_or_a_variable() -> None:
    named = [line for line in instructions() if re.match(r"(ARG|ENV) ", line)]
    assert named
    assert not [line for line in named if re.search(r"(?i)passw|token|secret|credential|key\b", line)]


def test_packages_come_by_the_hashes_of_the_lock_file_and_as_wheels_only() -> None:
    (install,) = [line for line in instructions() if "--requirement" in line]
    assert {"--require-hashes", "--no-deps", "--only-binary", ":all:"} <= set(install.split())


def last_stage() -> list[str]:
    lines = instructions()
    begins = max(index for index, line in enumerate(lines) if line.startswith("FROM"))
    return lines[begins:]


def test_the_last_stage_only_copies_and_declares() -> None:
    assert sum(line.startswith("FROM") for line in instructions()) == 2
    assert not [line for line in last_stage() if line.startswith("RUN")]


def test_it_runs_as_a_user_that_is_a_number_and_not_root() -> None:
    (user,) = [line.split()[1] for line in last_stage() if line.startswith("USER")]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)


def test_its_health_is_whether_it_lives() -> None:
    (check,) = [line for line in last_stage() if line.startswith("HEALTHCHECK")]
    assert "/livez" in check
    assert "curl" not in check


def test_both_stages_have_one_python() -> None:
    assert [line.split()[1] for line in instructions() if line.startswith("FROM")] == ["${PYTHON_IMAGE}"] * 2
