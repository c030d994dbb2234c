"""What topics should be, and which difference of a cluster's topic stands against running a worker on it."""

import pytest

from stream_scorer.runtime.cluster.topic_definitions import (
    DAY_MS,
    TopicDefinition,
    TopicNames,
    definitions_for,
    load_topics,
)
from stream_scorer.runtime.cluster.topic_diff import Difference, FoundTopic, compare
from stream_scorer.runtime.settings.settings import Settings, load_settings

KEYS = (
    "observations",
    "outcomes",
    "predictions",
    "outcome_updates",
    "dead_letters",
    "shadow_predictions",
    "model_control",
    "model_switches",
    "models",
    "model_evidence",
    "ledger",
)
DEFAULTS = Settings()
FOR_EVER = ("model_control", "model_switches", "models", "model_evidence", "ledger")


def settings_with(**overrides: object) -> Settings:
    return load_settings(None, {}, {key.replace("__", "."): value for key, value in overrides.items()})


def topic_for(key: str, settings: Settings) -> TopicDefinition:
    return next(topic for topic in definitions_for(settings) if topic.key == key)


def as_wanted(topic: TopicDefinition, **config: str) -> FoundTopic:
    """The topic as `apply` would have made it, but for some of its settings."""
    changed = {name.replace("_", "."): value for name, value in config.items()}
    return FoundTopic(topic.partitions, topic.replication, {**topic.config, "min.insync.replicas": "1", **changed})


def differences_of(key: str, settings: Settings = DEFAULTS, **config: str) -> list[Difference]:
    topic = topic_for(key, settings)
    return list(compare(topic, as_wanted(topic, **config), settings))


def test_the_file_has_every_topic_and_no_other() -> None:
    assert tuple(topic.key for topic in load_topics()) == KEYS


def test_names_carry_the_prefix() -> None:
    names = TopicNames("staging.")
    assert names.all == tuple(getattr(names, key) for key in KEYS)
    assert names.outcome_updates == "staging.stops.outcome-updates"
    assert all(name.startswith("staging.stops.") for name in names.all)


def test_without_a_prefix_names_are_those_of_the_file() -> None:
    assert TopicNames().all == tuple(topic.name for topic in load_topics())


def test_topics_with_lanes_have_equally_many_partitions() -> None:
    assert {topic.partitions for topic in load_topics() if topic.lanes} == {4}


def test_the_settings_partitions_are_those_of_topics_with_lanes_only() -> None:
    wanted = definitions_for(settings_with(topics__partitions=12, topics__replication=3))
    assert {topic.partitions for topic in wanted if topic.lanes} == {12}
    assert {topic.partitions for topic in wanted if not topic.lanes} == {1}
    assert {topic.replication for topic in wanted} == {3}


@pytest.mark.parametrize(("replication", "confirming"), [(1, None), (2, None), (3, "2")])
def test_with_three_replicas_two_must_confirm(replication: int, confirming: str | None) -> None:
    assert (
        topic_for("predictions", settings_with(topics__replication=replication)).config.get("min.insync.replicas")
        == confirming
    )


@pytest.mark.parametrize("key", KEYS)
def test_no_topic_is_ever_compacted(key: str) -> None:
    assert topic_for(key, Settings()).config["cleanup.policy"] == "delete"


def test_the_history_of_models_and_of_acts_is_kept_for_ever() -> None:
    assert tuple(topic.key for topic in load_topics() if topic.kept_for_ever) == FOR_EVER


def test_a_longer_join_window_keeps_predictions_and_updates_longer_and_no_other() -> None:
    settings = settings_with(worker__join_window_s=365 * 86_400)
    for topic in definitions_for(settings):
        if topic.key in ("predictions", "outcome_updates"):
            assert topic.retention_ms == 372 * DAY_MS
        else:
            assert topic.retention_ms == next(plain.retention_ms for plain in load_topics() if plain.key == topic.key)


def test_a_dead_letter_has_room_for_the_largest_record_and_its_headers() -> None:
    assert topic_for("dead_letters", Settings()).record_bytes_max >= Settings().worker.dead_letter_bytes_max + 65_536
    large = settings_with(worker__dead_letter_bytes_max=8 * 1024 * 1024)
    assert topic_for("dead_letters", large).record_bytes_max == 8 * 1024 * 1024 + 65_536


@pytest.mark.parametrize("key", KEYS)
def test_a_topic_as_it_should_be_has_no_difference(key: str) -> None:
    assert differences_of(key) == []


def test_a_missing_topic_is_to_be_applied() -> None:
    topic = topic_for("outcomes", Settings())
    (missing,) = compare(topic, None, Settings())
    assert missing.blocking
    assert str(missing).startswith("stops.outcomes: missing: run `stream-scorer topics apply`")


def test_another_number_of_partitions_than_the_other_topics_means_a_new_prefix() -> None:
    topic = topic_for("outcomes", Settings())
    (difference,) = compare(topic, as_wanted(topic)._replace(partitions=8), Settings(), common_lanes=None)
    assert difference.blocking
    assert "the number of partitions is 8, wanted 4" in str(difference)
    assert "start a new environment under another topics.prefix" in difference.advice


def test_another_number_of_partitions_that_all_topics_share_is_a_setting() -> None:
    topic = topic_for("outcomes", Settings())
    (difference,) = compare(topic, as_wanted(topic)._replace(partitions=8), Settings(), common_lanes=8)
    assert difference.blocking
    assert "set topics.partitions = 8" in difference.advice


@pytest.mark.parametrize(("replication", "blocking"), [(1, True), (3, False)])
def test_too_few_replicas_stand_against_a_worker_and_more_do_not(replication: int, blocking: bool) -> None:
    settings = settings_with(topics__replication=2)
    topic = topic_for("ledger", settings)
    (difference,) = compare(topic, as_wanted(topic)._replace(replication=replication), settings)
    assert difference.blocking is blocking


@pytest.mark.parametrize(
    ("key", "config", "wanted"),
    [
        pytest.param("predictions", {"cleanup_policy": "compact"}, "delete", id="compacted predictions"),
        pytest.param(
            "outcome_updates", {"cleanup_policy": "compact,delete"}, "delete", id="compacted and deleted updates"
        ),
        pytest.param("observations", {"cleanup_policy": "compact"}, "delete", id="compacted observations"),
        pytest.param("model_control", {"cleanup_policy": "compact"}, "delete", id="compacted control records"),
        pytest.param(
            "predictions",
            {"retention_ms": str(37 * DAY_MS - 1)},
            str(90 * DAY_MS),
            id="predictions below the join window + 7 days",
        ),
        pytest.param(
            "outcome_updates",
            {"retention_ms": str(DAY_MS)},
            str(90 * DAY_MS),
            id="updates below the join window + 7 days",
        ),
        pytest.param("ledger", {"retention_ms": str(3650 * DAY_MS)}, "-1", id="ledger for ten years"),
        pytest.param("predictions", {"retention_bytes": "1000000000"}, "-1", id="predictions kept by size"),
        pytest.param("model_switches", {"retention_bytes": "1000000000"}, "-1", id="switches kept by size"),
        pytest.param(
            "dead_letters", {"max_message_bytes": "1048588"}, "2097152", id="dead letters without room for headers"
        ),
        pytest.param("predictions", {"max_message_bytes": "1000"}, "1048588", id="predictions of small batches"),
        pytest.param(
            "outcomes", {"message_timestamp_type": "LogAppendTime"}, "CreateTime", id="the broker's own times"
        ),
        pytest.param("predictions", {"min_insync_replicas": "2"}, "at most 1", id="more confirmations than replicas"),
    ],
)
def test_what_would_lose_or_refuse_records_stands_against_a_worker(
    key: str, config: dict[str, str], wanted: str
) -> None:
    (difference,) = differences_of(key, DEFAULTS, **config)
    assert difference.blocking
    assert difference.wanted == wanted
    assert difference.topic in str(difference)


@pytest.mark.parametrize(
    ("key", "config"),
    [
        pytest.param("predictions", {"retention_ms": str(37 * DAY_MS)}, id="predictions for just long enough"),
        pytest.param("predictions", {"retention_ms": "-1"}, id="predictions for ever"),
        pytest.param("observations", {"retention_ms": str(DAY_MS)}, id="observations for a day"),
        pytest.param("observations", {"retention_bytes": "1000000000"}, id="observations by size"),
        pytest.param(
            "dead_letters", {"max_message_bytes": str(1_048_576 + 65_536)}, id="dead letters with just enough room"
        ),
        pytest.param("observations", {"max_message_bytes": "52428800"}, id="larger observations"),
    ],
)
def test_what_a_worker_can_run_with_is_only_shown(key: str, config: dict[str, str]) -> None:
    (difference,) = differences_of(key, DEFAULTS, **config)
    assert not difference.blocking


def test_a_short_join_window_asks_for_little_retention() -> None:
    settings = settings_with(worker__join_window_s=5)
    assert [
        difference.blocking
        for difference in differences_of("predictions", settings, retention_ms=str(7 * DAY_MS + 5_000))
    ] == [False]
    assert [
        difference.blocking for difference in differences_of("predictions", settings, retention_ms=str(7 * DAY_MS))
    ] == [True]


def test_a_configuration_that_can_t_be_read_stands_against_a_worker() -> None:
    topic = topic_for("predictions", Settings())
    (difference,) = compare(topic, FoundTopic(4, 1, None), Settings())
    assert difference.blocking
    assert "grant this user DescribeConfigs" in str(difference)


def test_a_topic_of_switches_from_the_first_version_may_grow_and_says_how() -> None:
    topic = topic_for("model_switches", DEFAULTS)
    (difference,) = compare(topic, as_wanted(topic)._replace(partitions=1), DEFAULTS, common_lanes=4)
    assert difference.blocking
    assert f"kafka-topics --alter --topic {topic.name} --partitions 4" in difference.advice
