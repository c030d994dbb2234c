"""Every object against a schema: Kubernetes' own as the package kubernetes-validate carries them.

For the objects of operators (KEDA, Prometheus, Strimzi) no package carries schemas that tests could use; for those the
fields that we use stand here, as the operators' references list them, and any other field is a fault.
"""

import importlib
import warnings
from types import ModuleType

import jsonschema
import pytest

from tests.deploy.kubernetes import FOLDERS, Object, built
from tests.support.programs import need_package

KUBERNETES_VERSIONS = ("1.32", "1.34")
TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
TEXTS = {"type": "object", "additionalProperties": TEXT}


def closed(required: list[str], **properties: object) -> Object:
    """The schema of an object that has these fields and no others."""
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


ACL = closed(
    ["resource", "operations"],
    resource=closed(
        ["type", "name", "patternType"],
        type={"enum": ["topic", "group", "cluster", "transactionalId"]},
        name=TEXT,
        patternType={"enum": ["literal", "prefix"]},
    ),
    operations={
        "type": "array",
        "minItems": 1,
        "uniqueItems": True,
        "items": {"enum": ["Read", "Write", "Create", "Describe", "DescribeConfigs"]},
    },
    host=TEXT,
)
SCALING = closed(
    ["policies"],
    stabilizationWindowSeconds={"type": "integer", "minimum": 0, "maximum": 3600},
    policies={
        "type": "array",
        "items": closed(
            ["type", "value", "periodSeconds"],
            type={"enum": ["Pods", "Percent"]},
            value={"type": "integer", "minimum": 1},
            periodSeconds={"type": "integer", "minimum": 1, "maximum": 1800},
        ),
    },
)
# every value of a trigger is a text, numbers and booleans too
TRIGGER = closed(
    ["type", "metadata"],
    type={"const": "kafka"},
    name=TEXT,
    metadata=closed(
        ["bootstrapServers", "consumerGroup", "topic", "lagThreshold"],
        bootstrapServers=TEXT,
        consumerGroup=TEXT,
        topic=TEXT,
        lagThreshold={"type": "string", "pattern": "^[0-9]+$"},
        offsetResetPolicy={"enum": ["earliest", "latest"]},
        allowIdleConsumers={"enum": ["true", "false"]},
        limitToPartitionsWithLag={"enum": ["true", "false"]},
    ),
    authenticationRef=closed(["name"], name=TEXT),
)
RELABELING = closed(
    ["targetLabel"],
    sourceLabels={"type": "array", "items": TEXT},
    targetLabel=TEXT,
    replacement=TEXT,
)
ALERT = closed(
    ["alert", "expr"], alert=TEXT, expr=TEXT, **{"for": TEXT}, keep_firing_for=TEXT, labels=TEXTS, annotations=TEXTS
)
RECORD = closed(["record", "expr"], record=TEXT, expr=TEXT, labels=TEXTS)
SPECS = {
    "KafkaTopic": closed(
        ["partitions", "replicas"],
        topicName=TEXT,
        partitions={"type": "integer", "minimum": 1},
        replicas={"type": "integer", "minimum": 1, "maximum": 32767},
        config={"type": "object"},
    ),
    "KafkaUser": closed(
        ["authentication", "authorization"],
        authentication=closed(
            ["type", "password"],
            type={"const": "scram-sha-512"},
            password=closed(
                ["valueFrom"],
                valueFrom=closed(["secretKeyRef"], secretKeyRef=closed(["name", "key"], name=TEXT, key=TEXT)),
            ),
        ),
        authorization=closed(["type", "acls"], type={"const": "simple"}, acls={"type": "array", "items": ACL}),
        quotas=closed([], producerByteRate=WHOLE, consumerByteRate=WHOLE, requestPercentage=WHOLE),
    ),
    "ScaledObject": closed(
        ["scaleTargetRef", "triggers"],
        scaleTargetRef=closed(["name"], apiVersion=TEXT, kind=TEXT, name=TEXT),
        pollingInterval=WHOLE,
        minReplicaCount=WHOLE,
        maxReplicaCount=WHOLE,
        fallback=closed(["failureThreshold", "replicas"], failureThreshold=WHOLE, replicas=WHOLE),
        advanced=closed(
            [],
            horizontalPodAutoscalerConfig=closed([], behavior=closed([], scaleUp=SCALING, scaleDown=SCALING)),
        ),
        triggers={"type": "array", "minItems": 1, "items": TRIGGER},
    ),
    "TriggerAuthentication": closed(
        ["secretTargetRef"],
        secretTargetRef={
            "type": "array",
            "items": closed(["parameter", "name", "key"], parameter=TEXT, name=TEXT, key=TEXT),
        },
    ),
    "PodMonitor": closed(
        ["selector", "podMetricsEndpoints"],
        selector=closed(["matchLabels"], matchLabels=TEXTS),
        podMetricsEndpoints={
            "type": "array",
            "items": closed(
                ["port"],
                port=TEXT,
                path=TEXT,
                interval=TEXT,
                scrapeTimeout=TEXT,
                relabelings={"type": "array", "items": RELABELING},
            ),
        },
    ),
    "PrometheusRule": closed(
        ["groups"],
        groups={
            "type": "array",
            "minItems": 1,
            "items": closed(
                ["name", "rules"],
                name=TEXT,
                interval=TEXT,
                rules={"type": "array", "minItems": 1, "items": {"oneOf": [ALERT, RECORD]}},
            ),
        },
    ),
}


def schemas() -> ModuleType:
    """The package that carries Kubernetes' schemas."""
    need_package("kubernetes_validate", "say `make schemas`")
    with warnings.catch_warnings():  # of the package's own code
        warnings.simplefilter("ignore")
        return importlib.import_module("kubernetes_validate")


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if not folder.startswith("kafka/")])
def test_kubernetes_own_objects_keep_its_schema(folder: str, version: str) -> None:
    validating = schemas()
    own = [each for each in built(folder) if each["kind"] not in SPECS]
    assert own
    for each in own:
        validating.validate(each, version, strict=True)


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if not folder.startswith("smoke/")])
def test_operators_objects_have_the_fields_of_their_references(folder: str) -> None:
    objects = [each for each in built(folder) if each["kind"] in SPECS]
    assert objects
    for each in objects:
        jsonschema.validate(each["spec"], SPECS[each["kind"]])


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if folder.startswith("kafka/")])
def test_strimzi_s_objects_name_their_cluster(folder: str) -> None:
    assert all(each["metadata"]["labels"]["strimzi.io/cluster"] for each in built(folder))
