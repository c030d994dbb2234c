"""What can keep the local broker from starting, each made to happen, and what it then tells people."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stream_scorer.cache import cache_folder
from stream_scorer.errors import BrokerError
from stream_scorer.operations.local_broker import LocalBroker
from stream_scorer.operations.local_broker.distribution import (
    Distribution,
    Jar,
    install_parts,
    kafka_version,
    locked_jars,
)

NOWHERE = "http://127.0.0.1:9"  # nothing listens on the discard port


def silent(_: str) -> None:
    """Progress for nobody."""


@pytest.fixture(scope="module")
def installed() -> Distribution:
    """The real parts, in the real cache folder."""
    return install_parts(silent)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, NOWHERE)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache folder with nothing in it; gives where the jars would be."""
    monkeypatch.setenv("STREAM_SCORER_CACHE", str(tmp_path))
    return cache_folder() / f"kafka-{kafka_version(locked_jars())}"


@pytest.mark.usefixtures("no_network", "empty_cache")
def test_without_network_and_cache_it_says_that_both_are_missing() -> None:
    with pytest.raises(BrokerError, match=r"can't be downloaded. Is there a network\?"):
        LocalBroker().start()


@pytest.mark.kafka
@pytest.mark.usefixtures("installed")
def test_with_its_parts_cached_it_starts_without_network(no_network: None) -> None:
    with LocalBroker() as broker:
        assert broker.version == kafka_version(locked_jars())


def test_file_that_is_not_the_locked_one_is_refused_and_not_kept(empty_cache: Path) -> None:
    def forged(jar: Jar, folder: Path) -> Path:
        path = folder / jar.name
        path.write_bytes(b"x" * jar.size)
        return path

    with pytest.raises(BrokerError, match="SHA-256 differs"):
        install_parts(silent, forged)
    assert not list(empty_cache.glob("*.jar"))


def test_jar_that_changed_in_the_cache_is_fetched_again(installed: Distribution, empty_cache: Path) -> None:
    jars = locked_jars()
    empty_cache.mkdir(parents=True)
    for jar in jars:
        shutil.copy(installed.folder / jar.name, empty_cache)
    damaged = empty_cache / jars[3].name
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    fetched: list[Jar] = []
    heard: list[str] = []

    def from_the_real_cache(jar: Jar, folder: Path) -> Path:
        fetched.append(jar)
        return Path(shutil.copy(installed.folder / jar.name, folder))

    install_parts(heard.append, from_the_real_cache)
    assert fetched == [jars[3]]
    assert len(heard) == 1
    assert damaged.read_bytes() == (installed.folder / jars[3].name).read_bytes()


def test_cache_folder_that_is_a_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("STREAM_SCORER_CACHE", str(tmp_path / "file"))
    with pytest.raises(BrokerError, match="STREAM_SCORER_CACHE"):
        install_parts(silent)


@pytest.mark.kafka
def test_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BrokerError, match=f"port {port} is taken"):
            LocalBroker(port=port).start()


@pytest.mark.parametrize("port", [0, 65_536], ids=["zero", "beyond the last"])
def test_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(BrokerError, match="is not a port"):
        LocalBroker(port=port).start()


@pytest.mark.kafka
def test_broker_that_dies_at_its_start_says_its_last_lines(tmp_path: Path) -> None:
    broker = LocalBroker(tmp_path, properties={"log.retention.ms": "a fortnight"})
    with pytest.raises(BrokerError, match=r"(?s)ended by itself.*a fortnight"):
        broker.start()
    assert broker.nodes == ()


@pytest.mark.kafka
def test_second_broker_in_one_folder_is_told_of_the_first(tmp_path: Path) -> None:
    with LocalBroker(tmp_path), pytest.raises(BrokerError, match="another broker runs in"):
        LocalBroker(tmp_path).start()


@pytest.mark.kafka
def test_folder_of_one_node_is_not_taken_for_a_cluster_of_three(tmp_path: Path) -> None:
    with LocalBroker(tmp_path):
        pass
    with pytest.raises(BrokerError, match="holds a broker of 1 node"):
        LocalBroker(tmp_path, nodes=3).start()


START_THERE = """
import sys
from pathlib import Path
from stream_scorer.operations.local_broker import LocalBroker
from stream_scorer.errors import BrokerError
try:
    LocalBroker(Path(sys.argv[1])).start()
except BrokerError as error:
    print(error)
"""
INSTALL_THERE = """
import shutil, sys
from pathlib import Path
from stream_scorer.operations.local_broker.distribution import install_parts
from stream_scorer.errors import BrokerError
try:
    install_parts(print, lambda jar, folder: Path(shutil.copy(Path(sys.argv[2]) / jar.name, folder)))
except BrokerError as error:
    print(error)
"""


def on_a_small_disk(size: str, folder: Path, program: str, *arguments: str) -> str:
    """What a program prints that sees, at `folder`, a disk of this size (in a mount namespace of its own)."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    alone = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*alone, " ".join(mount)], check=False).returncode:
        pytest.skip("this machine lets us make no small disk: no mount namespaces for ordinary users")
    script = f'{" ".join(mount)} && exec "$@"'
    run = subprocess.run(
        [*alone, script, "sh", sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    return run.stdout


@pytest.mark.kafka
@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("size", ["4k", "16k"], ids=["full before Kafka starts", "full while Kafka starts"])
def test_full_disk_under_the_data_is_named(tmp_path: Path, size: str) -> None:
    assert f"the disk that holds {tmp_path}" in on_a_small_disk(size, tmp_path, START_THERE, str(tmp_path))


def test_full_disk_under_the_cache_is_named(
    installed: Distribution, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STREAM_SCORER_CACHE", str(tmp_path))
    assert f"the disk that holds {tmp_path}" in on_a_small_disk(
        "20m", tmp_path, INSTALL_THERE, str(tmp_path), str(installed.folder)
    )
