"""What makes every start after the first one quick, made once by a trial run: Kafka's own first records, and Java's cache of loaded classes.

Formatting a folder with Kafka's tool costs a Java start of its own, though what it writes is always the same but for ids: we keep it and copy it.
The class cache (Java 24 and newer) takes a start from 2.8 s to 1.0 s on two cores; where Java can't make one or finds it does not fit, it goes without.
"""

import signal
import subprocess
import tempfile
import time
from pathlib import Path

from stream_scorer.errors import BrokerError
from stream_scorer.operations.local_broker.node import BOOTSTRAP, Node, java_options, random_id
from stream_scorer.operations.local_broker.parts import Parts, Progress, locked
from stream_scorer.operations.local_broker.probe import live_nodes
from stream_scorer.operations.local_broker.properties import HOST, choose_ports, properties_text, server_properties

FORMAT_WITHIN_S = 60
TRIAL_WITHIN_S = 60.0
TRIAL_HEAP_MIB = 512


def class_cache(parts: Parts) -> Path:
    """The cache's file; its name carries the size and date of the Java program, since it fits that one only."""
    java = parts.java.stat()
    return parts.folder / f"classes-{java.st_size}-{int(java.st_mtime)}.aot"


def quick_start_options(parts: Parts) -> list[str]:
    cache = class_cache(parts)
    # its warnings (another collector, another compiler than in the trial run) are not of interest: it is used or not
    return [f"-XX:AOTCache={cache}", "-Xlog:disable", "-Xlog:all=error:stderr"] if cache.stat().st_size else []


def prepare_quick_start(parts: Parts, progress: Progress) -> None:
    """Make both, if they are not in the cache folder yet."""
    if (parts.folder / BOOTSTRAP).exists() and class_cache(parts).exists():
        return
    with locked(parts.folder):
        if (parts.folder / BOOTSTRAP).exists() and class_cache(parts).exists():
            return
        progress("Preparing Kafka's quick start, once (some 15 seconds)")
        with tempfile.TemporaryDirectory(dir=parts.folder, prefix=".trial-") as scratch:
            make_bootstrap(parts, Path(scratch))
            make_class_cache(parts, Path(scratch))


def make_bootstrap(parts: Parts, scratch: Path) -> None:
    """Let Kafka's tool format a folder, and keep the first records that it writes there."""
    (ports,) = choose_ports(1, None)
    settings = scratch / "format.properties"
    settings.write_text(properties_text(server_properties(0, (ports,), scratch / "formatted", "PLAINTEXT", {})))
    tool = [str(parts.java), *java_options(TRIAL_HEAP_MIB, False), "-cp", parts.class_path, "kafka.tools.StorageTool"]
    run = subprocess.run(
        [*tool, "format", "-t", random_id(), "-c", str(settings)],
        capture_output=True,
        text=True,
        timeout=FORMAT_WITHIN_S,
        check=False,
    )
    made = scratch / "formatted" / "__cluster_metadata-0" / "00000000000000000000-0000000000.checkpoint"
    if run.returncode or not made.exists():
        raise BrokerError(f"Kafka's formatting failed. Its last words:\n{(run.stdout + run.stderr)[-1500:]}")
    made.replace(parts.folder / BOOTSTRAP)


def make_class_cache(parts: Parts, scratch: Path) -> None:
    """Start a broker, let Java note what it loads, and end it in order, which is when Java writes the cache."""
    made = scratch / "classes.aot"
    node = Node(parts, scratch / "trial", [*java_options(TRIAL_HEAP_MIB, False), f"-XX:AOTCacheOutput={made}"])
    (ports,) = choose_ports(1, None)
    node.format(random_id(), 0)
    node.start(server_properties(0, (ports,), node.folder / "data", "PLAINTEXT", {}))
    end = time.monotonic() + TRIAL_WITHIN_S
    while node.running and time.monotonic() < end and not live_nodes(HOST, ports.internal, 1.0):
        time.sleep(0.1)
    node.raise_if_it_died()
    node.send(signal.SIGTERM)
    if node.process is not None:
        node.process.ended_within(TRIAL_WITHIN_S)
    node.kill()
    if made.exists():
        made.replace(class_cache(parts))
    else:  # a Java that makes none: an empty file says that there is no point in trying at every start
        class_cache(parts).touch()
