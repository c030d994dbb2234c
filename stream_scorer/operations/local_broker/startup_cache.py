"""What makes every start after the first one quick, made once by a trial run and kept beside the jars.

Kafka's own first records: formatting a folder with Kafka's tool costs a Java start of its own (1.5 s), though what it
writes is the same each time but for ids; so we keep it and copy it. Java's cache of loaded classes (Java 24 and newer):
takes a start from 2.8 s to 1.0 s on two cores. A Java that can't make one, or finds that it does not fit, goes without.
"""

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from stream_scorer.errors import BrokerError
from stream_scorer.operations.local_broker.distribution import (
    CLASS_CACHES,
    Distribution,
    Progress,
    locked,
    not_installed,
)
from stream_scorer.operations.local_broker.metadata_probe import live_nodes
from stream_scorer.operations.local_broker.node import FIRST_RECORDS, Node, java_options, random_id
from stream_scorer.operations.local_broker.server_properties import (
    HOST,
    choose_ports,
    properties_text,
    server_properties,
)

FORMAT_WITHIN_S = 60
TRIAL_WITHIN_S = 60.0
TRIAL_HEAP_MIB = 512
LOOK_EVERY_S = 0.1


def first_records(parts: Distribution) -> Path:
    return parts.folder / "first-records.checkpoint"


def class_cache(parts: Distribution) -> Path:
    return parts.folder / CLASS_CACHES.replace("*", f"java-{parts.java_version}")


def quick_start_options(parts: Distribution) -> list[str]:
    cache = class_cache(parts)
    if not cache.stat().st_size:
        return []
    # its warnings (another compiler or collector than in the trial run) are of no interest: it is used, or it is not
    return [f"-XX:AOTCache={cache}", "-Xlog:disable", "-Xlog:all=error:stderr"]


def prepare_quick_start(parts: Distribution, progress: Progress) -> None:
    """Make both, where they are not in the cache folder yet."""
    if class_cache(parts).exists():  # made last, so the other is there too
        return
    try:
        with locked(parts.folder):
            if class_cache(parts).exists():
                return
            progress("Preparing Kafka's quick start (some 15 seconds, once)")
            with tempfile.TemporaryDirectory(dir=parts.folder, prefix=".trial-") as scratch:
                first_records(parts).write_bytes(formatted(parts, Path(scratch)))
                loaded_classes(parts, Path(scratch)).replace(class_cache(parts))
    except OSError as error:
        raise not_installed(error, parts.folder, parts.version) from error


def formatted(parts: Distribution, scratch: Path) -> bytes:
    """Let Kafka's tool format a folder; gives the first records that it writes there."""
    settings = scratch / "format.properties"
    properties = server_properties(0, choose_ports(1, None), scratch / "formatted", "PLAINTEXT", {})
    settings.write_text(properties_text(properties))
    tool = [str(parts.java), *java_options(TRIAL_HEAP_MIB, tuned=False), "-cp", parts.class_path]
    command = [*tool, "kafka.tools.StorageTool", "format", "--cluster-id", random_id(), "--config", str(settings)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=FORMAT_WITHIN_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise BrokerError(f"Kafka's formatting takes more than {FORMAT_WITHIN_S} s: is this machine busy?") from error
    made = scratch / "formatted" / FIRST_RECORDS
    if run.returncode or not made.exists():
        raise BrokerError(f"Kafka's formatting failed. Its last words:\n{(run.stdout + run.stderr)[-1500:]}")
    return made.read_bytes()


def loaded_classes(parts: Distribution, scratch: Path) -> Path:
    """Start a broker, let Java note what it loads, and end it in order, which is when Java writes its cache.

    Where Java makes none, the file is empty: it says that there is no point in trying at every start.
    """
    made = scratch / "classes.aot"
    (ports,) = choose_ports(1, None)
    node = Node(parts, scratch, [*java_options(TRIAL_HEAP_MIB, tuned=False), f"-XX:AOTCacheOutput={made}"])
    node.format(random_id(), 0, first_records(parts))
    node.start(server_properties(0, (ports,), node.data, "PLAINTEXT", {}))
    try:
        end = time.monotonic() + TRIAL_WITHIN_S
        while node.running and time.monotonic() < end and not live_nodes(HOST, ports.internal, 1.0):
            time.sleep(LOOK_EVERY_S)
        node.raise_if_it_died()
        node.send(signal.SIGTERM)
        node.wait(TRIAL_WITHIN_S)
    finally:
        node.kill()
    with made.open("ab") as cache:
        os.fsync(cache.fileno())
    return made
