"""The files under topics/ say what the code says: generated, and compared byte for byte."""

from pathlib import Path

import pytest
import yaml

from stream_scorer.operations.generators.asyncapi import REGENERATE, asyncapi, described_files, to_yaml
from stream_scorer.runtime.cluster.topic_definitions import load_topics

TOPICS = Path(__file__).parents[2] / "topics"


@pytest.mark.parametrize("name", sorted(described_files()))
def test_a_generated_file_is_what_the_code_generates(name: str) -> None:
    path = TOPICS / name
    written = path.read_text(encoding="utf-8") if path.exists() else None
    assert written == described_files()[name], f"{path} is not what the code generates; run: {REGENERATE}"


def test_no_other_generated_file_lies_beside_them() -> None:
    found = {path.name for path in TOPICS.iterdir()} - {"topics.toml"}
    assert found == set(described_files())


def test_every_topic_has_a_schema_for_its_value() -> None:
    names = described_files().keys()
    assert {f"{topic.key.replace('_', '-')}.schema.json" for topic in load_topics()} <= names


def test_the_document_reads_back_as_it_was_made() -> None:
    assert yaml.safe_load(described_files()["asyncapi.yaml"]) == asyncapi()


@pytest.mark.parametrize(
    "document",
    [
        {"a": [1, {"b": [True, None]}, ["x", {"c": "d: #"}]], "e": {}, "f": [], "yes": "no", "1": 2.5},
        ["é\u2028\n"],
        {"a b": {"": "~"}},
    ],
    ids=["nested", "characters", "odd keys"],
)
def test_yaml_says_the_same_as_the_document(document: object) -> None:
    assert yaml.safe_load(to_yaml(document)) == document


def test_every_reference_of_the_document_leads_somewhere() -> None:
    document = asyncapi()
    files = described_files()
    references = list(references_in(document))
    assert len(references) > len(load_topics()) * 3
    for reference in references:
        if reference.startswith("./"):
            assert reference.removeprefix("./") in files
            continue
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def references_in(node: object) -> list[str]:
    if isinstance(node, list):
        return [found for item in node for found in references_in(item)]
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for value in node.values() for found in references_in(value)]
    return []


def test_the_document_tells_partitions_key_and_group() -> None:
    document = asyncapi()
    channel = document["channels"]["observations"]
    assert channel["bindings"]["kafka"]["partitions"] == 4
    assert document["components"]["messages"]["observations"]["bindings"]["kafka"]["key"]["description"] == "id"
    assert document["operations"]["receive_observations"]["bindings"]["kafka"]["groupId"]["default"] == "stream-scorer"
