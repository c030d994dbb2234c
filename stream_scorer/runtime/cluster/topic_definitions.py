"""What each topic should be: topics.toml as typed values, and names with a prefix.

Invariant: no I/O but that one file.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

import stream_scorer
from stream_scorer.errors import TopicsError
from stream_scorer.runtime.settings.settings import Settings

DAY_MS = 86_400_000
FOR_EVER_MS = -1
# how much longer than the join window predictions and updates are kept: an early outcome that expired while everything
# was down is still answered when a worker is back within the week
RESTORE_MARGIN_MS = 7 * DAY_MS
# room in a dead letter beside the record that it keeps: our reasons (below 16 KiB), its source, the batch's bytes
DEAD_LETTER_MARGIN_BYTES = 65_536
# An input refuses what its retention would delete sooner than this: workers may be down over a long weekend
INPUT_MARGIN_MS = 3 * DAY_MS
# What was just taken by an input is still taken there when it is moved to another of its partitions so much later
MOVE_MARGIN_MS = DAY_MS
# However short an output is kept, a timestamp of the last day is handed on as it is
AGE_MS_MIN = DAY_MS
BEFORE_MAX = "message.timestamp.before.max.ms"


INPUTS = ("observations", "outcomes")


class TopicNames(msgspec.Struct, frozen=True):
    """The topics' names with an environment's prefix."""

    prefix: str = ""

    def _name(self, key: str) -> str:
        return self.prefix + definitions_by_key()[key].name

    @property
    def observations(self) -> str:
        return self._name("observations")

    @property
    def outcomes(self) -> str:
        return self._name("outcomes")

    @property
    def predictions(self) -> str:
        return self._name("predictions")

    @property
    def outcome_updates(self) -> str:
        return self._name("outcome_updates")

    @property
    def dead_letters(self) -> str:
        return self._name("dead_letters")

    @property
    def shadow_predictions(self) -> str:
        return self._name("shadow_predictions")

    @property
    def model_control(self) -> str:
        return self._name("model_control")

    @property
    def model_switches(self) -> str:
        return self._name("model_switches")

    @property
    def models(self) -> str:
        return self._name("models")

    @property
    def model_evidence(self) -> str:
        return self._name("model_evidence")

    @property
    def ledger(self) -> str:
        return self._name("ledger")

    @property
    def all(self) -> tuple[str, ...]:
        """Every topic's name, in the order of topics.toml."""
        return tuple(self._name(key) for key in definitions_by_key())


class TopicDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """One topic as it should be on a cluster."""

    key: str  # which of our topics: the name of its section in topics.toml
    name: str
    record_key: str
    value: str
    writers: str
    lanes: bool
    partitions: int
    replication: int
    retention_ms: int
    record_bytes_max: int

    @property
    def kept_for_ever(self) -> bool:
        return self.retention_ms == FOR_EVER_MS

    @property
    def config(self) -> dict[str, str]:
        """The topic's settings in Kafka's words. Compaction would lose records, a broker's timestamps our times."""
        config = {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_ms),
            "retention.bytes": "-1",
            "max.message.bytes": str(self.record_bytes_max),
            "message.timestamp.type": "CreateTime",
        }
        if self.key in INPUTS and not self.kept_for_ever:
            # with an older timestamp a record would be taken, and deleted before anybody has read it
            config[BEFORE_MAX] = str(max(self.retention_ms - INPUT_MARGIN_MS, self.retention_ms // 2))
        if self.replication >= 3:
            config["min.insync.replicas"] = "2"
        return config


class TopicEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section of topics.toml; what it leaves out comes from its defaults."""

    name: str
    key: str
    value: str
    writers: str
    lanes: bool
    retention_days: int | Literal["for-ever"]
    partitions: int | None = None
    replication: int | None = None
    record_bytes_max: int | None = None


class TopicDefaults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    partitions: int
    replication: int
    record_bytes_max: int


class TopicsFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    defaults: TopicDefaults
    topics: dict[str, TopicEntry]


def topics_folder() -> Path:
    """Where topics.toml and the schemas are: inside an installed package, else beside the package in the repository."""
    package = Path(stream_scorer.__file__).parent
    packaged = package / "_topics"
    return packaged if packaged.is_dir() else package.parent / "topics"


def load_topics() -> tuple[TopicDefinition, ...]:
    """The topics of topics.toml, in its order, without a prefix."""
    return tuple(definitions_by_key().values())


@cache
def definitions_by_key() -> dict[str, TopicDefinition]:
    path = topics_folder() / "topics.toml"
    try:
        file = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), TopicsFile)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise TopicsError(f"{path} can't be used: {error}") from error
    defaults = file.defaults
    return {
        key: TopicDefinition(
            key=key,
            name=entry.name,
            record_key=entry.key,
            value=entry.value,
            writers=entry.writers,
            lanes=entry.lanes,
            partitions=entry.partitions or defaults.partitions,
            replication=entry.replication or defaults.replication,
            retention_ms=FOR_EVER_MS if entry.retention_days == "for-ever" else entry.retention_days * DAY_MS,
            record_bytes_max=entry.record_bytes_max or defaults.record_bytes_max,
        )
        for key, entry in file.topics.items()
    }


def retention_ms_min(settings: Settings) -> int:
    """How long predictions and outcome updates must be kept: lanes are restored from them."""
    return int(settings.worker.join_window_s * 1_000) + RESTORE_MARGIN_MS


def age_ms_max(topic: TopicDefinition, config: Mapping[str, str], settings: Settings) -> int | None:
    """How far back the timestamp of a record may lie that a worker publishes to this topic, as the cluster has it
    configured, so that it is taken, and kept for as long as it is needed; None: as far as can be."""
    limits = []
    if (kept_ms := int(config.get("retention.ms", FOR_EVER_MS))) != FOR_EVER_MS:
        needed_ms = INPUT_MARGIN_MS if topic.key in INPUTS else retention_ms_min(settings)
        limits.append(max(kept_ms - needed_ms, min(AGE_MS_MIN, kept_ms // 2)))
    if (taken_ms := int(config.get(BEFORE_MAX, FOR_EVER_MS))) != FOR_EVER_MS:
        limits.append(max(taken_ms - MOVE_MARGIN_MS, taken_ms // 2))
    return min(limits, default=None)


def definitions_for(settings: Settings) -> tuple[TopicDefinition, ...]:
    """The topics of one environment: with its prefix, partitions and copies, and the limits that its worker needs."""
    wanted = []
    for topic in load_topics():
        retention_ms, record_bytes_max = topic.retention_ms, topic.record_bytes_max
        if topic.key in ("predictions", "outcome_updates"):
            retention_ms = max(retention_ms, retention_ms_min(settings))
        if topic.key == "dead_letters":
            record_bytes_max = max(record_bytes_max, settings.worker.dead_letter_bytes_max + DEAD_LETTER_MARGIN_BYTES)
        if topic.key in ("observations", "outcomes"):
            record_bytes_max = max(record_bytes_max, settings.worker.event_bytes_max + DEAD_LETTER_MARGIN_BYTES)
        partitions = settings.topics.partitions if topic.lanes and settings.topics.partitions else topic.partitions
        wanted.append(
            msgspec.structs.replace(
                topic,
                name=settings.topics.prefix + topic.name,
                partitions=partitions,
                replication=settings.topics.replication or topic.replication,
                retention_ms=retention_ms,
                record_bytes_max=record_bytes_max,
            )
        )
    return tuple(wanted)
