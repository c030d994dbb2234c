"""What must not stand in the repository: secrets, and packages whose content nobody has pinned. Asks no network."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK_FILES = ["requirements.txt", "requirements-dev.txt"]

# Each with an example, put together here so that this file does not hold what it looks for
SECRETS = {
    "a private key": (r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----", "-----BEGIN " + "RSA PRIVATE KEY-----"),
    "a key of Amazon's": (r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", "AKIA" + "ABCDEFGHIJKLMNOP"),
    "a token of GitHub's": (r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{60,})", "ghp_" + "a1" * 18),
    "a token of GitLab's": (r"\bglpat-[\w-]{20,}", "glpat-" + "x1" * 10),
    "a token of a package index": (r"\bpypi-AgEI[\w-]{20,}", "pypi-" + "AgEI" + "a" * 20),
    "a token of Slack's": (r"\bxox[abprs]-[\w-]{10,}", "xoxb-" + "1234567890"),
    "a key of Google's": (r"\bAIza[\w-]{35}", "AIza" + "b" * 35),
    "a token that says who somebody is": (
        r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
        "eyJ" + "a" * 12 + ".eyJ" + "b" * 12 + "." + "c" * 12,
    ),
    "a password in an address": (r"\b[a-z]+://[^/\s:@'\"{}$<>]+:[^/\s:@'\"{}$<>]+@[\w.-]+", "https://me:" + "pw@host"),
}
FILES_OF_SECRETS = re.compile(r"(^|/)(\.env(\..*)?|\.netrc|id_(rsa|ed25519)|.*\.(pem|key|p12|pfx|jks|keytab))$")


def tracked() -> list[str]:
    """Files that are or would be committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        asked = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"git does not tell which files are tracked here: {error}")
    return [name for name in asked.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize(("pattern", "example"), SECRETS.values(), ids=SECRETS)
def test_each_pattern_finds_what_it_is_for(pattern: str, example: str) -> None:
    assert re.search(pattern, f'token = "{example}"')


def test_no_file_holds_a_secret() -> None:
    found = []
    for name in tracked():
        text = (ROOT / name).read_bytes().decode(errors="replace")
        found += [f"{name}: {what}" for what, (pattern, _) in SECRETS.items() if re.search(pattern, text)]
    assert found == []


def test_no_file_is_of_a_kind_that_holds_secrets() -> None:
    assert [name for name in tracked() if FILES_OF_SECRETS.search(name)] == []


@pytest.mark.parametrize("name", LOCK_FILES)
def test_every_locked_package_has_its_hashes_and_one_exact_version(name: str) -> None:
    text = (ROOT / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert len(lines) > 20
    pinned = re.compile(
        r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,_-]+\])?==[^\s;*]+( ;[^-]+?(-[^-]+?)*?)?( +--hash=sha256:[0-9a-f]{64})+ *"
    )
    assert [line[:80] for line in lines if not pinned.fullmatch(line)] == []


@pytest.mark.parametrize("name", LOCK_FILES)
def test_no_lock_file_says_where_packages_come_from(name: str) -> None:
    text = (ROOT / name).read_text()
    assert (
        re.findall(r"(?m)^\s*-{1,2}(?:i|f|index-url|extra-index-url|find-links|trusted-host)\b.*|https?://\S+", text)
        == []
    )
