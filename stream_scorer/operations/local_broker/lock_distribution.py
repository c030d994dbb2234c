"""Writes `broker_parts.lock` for another version:
`python -m stream_scorer.operations.local_broker.lock_distribution 4.4.0`.

The one place that resolves dependencies. What it downloads is trusted here and pinned from then on, so look at the
difference before you commit it, and run the integration tests.
"""

import hashlib
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from stream_scorer.operations.local_broker.distribution import DOWNLOAD_TIMEOUT_S, DOWNLOADS_AT_ONCE, LOCK

HEADER = """\
# Apache Kafka's jars and what they need, in the order of the class path: group:artifact:version, bytes, SHA-256.
# Written by lock_parts.py, read by parts.py.
"""
# Kafka logs through this interface; the simplest carrier (to standard error) is also the quickest to start.
LOG_CARRIER = "org.slf4j:slf4j-simple:2.0.17"


def resolve(coordinates: Sequence[str], folder: Path) -> list[Any]:
    """The named artifacts and everything that they need at run time, as jgo's artifacts, downloaded below `folder`."""
    from jgo.maven import MavenContext, PythonResolver

    resolver = PythonResolver()
    context = MavenContext(resolver=resolver, repo_cache=folder, timeout=DOWNLOAD_TIMEOUT_S)
    wanted = [context.create_dependency(each) for each in coordinates]
    _, needed = resolver.get_dependency_list(wanted)
    artifacts = [each.artifact for each in wanted] + [each.dep.artifact for each in needed]
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        list(pool.map(lambda artifact: artifact.resolve(), artifacts))
    return artifacts


def lock_text(version: str) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        lines = []
        for artifact in resolve([f"org.apache.kafka:kafka_2.13:{version}", LOG_CARRIER], Path(scratch)):
            content = artifact.resolve().read_bytes()
            coordinates = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
            lines.append(f"{coordinates} {len(content)} {hashlib.sha256(content).hexdigest()}\n")
    return HEADER + "".join(sorted(lines))


if __name__ == "__main__":
    LOCK.write_text(lock_text(sys.argv[1]))
