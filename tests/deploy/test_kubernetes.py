"""The Kubernetes objects of each environment, as kustomize builds them: what promises rest on."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_scorer.operations.generators.kubernetes import load_environment
from stream_scorer.operations.monitoring.rules import GATEWAY_JOB, JOB
from stream_scorer.runtime.cluster.topic_admin import TopicNames, definitions_for
from stream_scorer.runtime.metrics.gateway_catalogue import IN_FLIGHT
from stream_scorer.runtime.settings.fields import fields_of
from stream_scorer.runtime.settings.settings import Settings
from tests.deploy.kubernetes import ENVIRONMENTS, FOLDERS, KUBERNETES, ROOT, Object, built, name_of, the

SECRET_WORDS = re.compile(r"(?i)(password|token|secret|key)")


@pytest.mark.parametrize("path", sorted(KUBERNETES.rglob("*.yaml")), ids=lambda path: str(path.relative_to(KUBERNETES)))
def test_every_file_is_yaml(path: Path) -> None:
    assert all(yaml.safe_load_all(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_object_is_there_once_and_in_the_environment_s_namespace(folder: str) -> None:
    objects = built(folder)
    assert objects
    assert len({name_of(each) for each in objects}) == len(objects)
    kind, environment = folder.split("/")
    namespace = "kafka" if kind == "kafka" else f"stream-scorer-{environment}"
    assert {each["metadata"]["namespace"] for each in objects if each["kind"] != "Namespace"} == {namespace}


def pod(environment: str) -> Any:
    return the("StatefulSet", f"overlays/{environment}")["spec"]["template"]["spec"]


def worker(environment: str) -> Any:
    (container,) = pod(environment)["containers"]
    return container


def settings_of(environment: str) -> Settings:
    return load_environment(ROOT / "deploy" / "settings" / f"{environment}.toml")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
class TestWorkers:
    def test_a_worker_s_name_in_its_group_is_its_pod_s(self, environment: str) -> None:
        variables = {each["name"]: each for each in worker(environment)["env"]}
        named = variables["STREAM_SCORER_WORKER_GROUP_INSTANCE_ID"]["valueFrom"]["fieldRef"]["fieldPath"]
        assert named == "metadata.name"

    def test_every_variable_is_a_setting(self, environment: str) -> None:
        known = {field.variable for field in fields_of(Settings)} | {"STREAM_SCORER_SETTINGS"}
        assert {each["name"] for each in worker(environment)["env"]} <= known

    def test_no_variable_of_a_service_is_taken_for_a_setting(self, environment: str) -> None:
        assert pod(environment)["enableServiceLinks"] is False

    def test_the_settings_file_is_in_the_image(self, environment: str) -> None:
        variables = {each["name"]: each.get("value") for each in worker(environment)["env"]}
        path = Path(str(variables["STREAM_SCORER_SETTINGS"]))
        assert (ROOT / "deploy" / "settings" / path.name).is_file()
        assert f"COPY --from=build {path.parent}" in (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")

    def test_there_is_time_to_stop(self, environment: str) -> None:
        pause_s = worker(environment)["lifecycle"]["preStop"]["sleep"]["seconds"]
        deadline_s = settings_of(environment).worker.shutdown_deadline_s
        assert pod(environment)["terminationGracePeriodSeconds"] > pause_s + deadline_s

    def test_probes_ask_what_they_should(self, environment: str) -> None:
        paths = {name: worker(environment)[f"{name}Probe"]["httpGet"]["path"] for name in ("liveness", "readiness")}
        assert paths == {"liveness": "/livez", "readiness": "/readyz"}

    def test_it_runs_without_rights(self, environment: str) -> None:
        whole, own = pod(environment)["securityContext"], worker(environment)["securityContext"]
        assert whole["runAsNonRoot"] is True
        assert f"USER {whole['runAsUser']}:{whole['runAsGroup']}" in (ROOT / "deploy" / "Dockerfile").read_text()
        assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
        assert own["readOnlyRootFilesystem"] is True
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert pod(environment)["automountServiceAccountToken"] is False

    def test_its_state_outlives_it_where_the_settings_say(self, environment: str) -> None:
        (claim,) = the("StatefulSet", f"overlays/{environment}")["spec"]["volumeClaimTemplates"]
        mounts = {each["name"]: each["mountPath"] for each in worker(environment)["volumeMounts"]}
        assert mounts[claim["metadata"]["name"]] == settings_of(environment).worker.state_folder

    def test_every_secret_that_the_settings_name_is_mounted(self, environment: str) -> None:
        text = (ROOT / "deploy" / "settings" / f"{environment}.toml").read_text(encoding="utf-8")
        (volume,) = [each for each in pod(environment)["volumes"] if "secret" in each]
        mounts = {each["name"]: each["mountPath"] for each in worker(environment)["volumeMounts"]}
        mounted = {f"{mounts[volume['name']]}/{item['path']}" for item in volume["secret"]["items"]}
        variables = {str(each.get("value")) for each in worker(environment)["env"]}
        named = set(re.findall(r'"(/run/secrets/[^"]+)"', text))
        named |= {value for value in variables if value.startswith("/run")}
        assert named
        assert named == mounted

    def test_every_secret_that_the_console_names_is_mounted(self, environment: str) -> None:
        text = (ROOT / "deploy" / "settings" / f"{environment}.toml").read_text(encoding="utf-8")
        spec = console(environment)["template"]["spec"]
        (container,), (volume,) = spec["containers"], [each for each in spec["volumes"] if "secret" in each]
        mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        mounted = {f"{mounts[volume['name']]}/{item['path']}" for item in volume["secret"]["items"]}
        variables = {each["value"] for each in container["env"]}
        assert mounted == {one for one in variables if one.startswith("/run")} | set(
            re.findall(r'"(/run/secrets/[^"]+)"', text)
        )

    def test_memory_has_a_limit_and_the_processor_none(self, environment: str) -> None:
        resources = worker(environment)["resources"]
        assert set(resources["requests"]) == {"cpu", "memory"}
        assert set(resources["limits"]) == {"memory"}

    def test_workers_are_spread_and_go_one_at_a_time(self, environment: str) -> None:
        keys = {each["topologyKey"] for each in pod(environment)["topologySpreadConstraints"]}
        assert keys == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
        assert the("PodDisruptionBudget", f"overlays/{environment}")["spec"]["maxUnavailable"] == 1

    def test_selectors_find_the_pods(self, environment: str) -> None:
        folder = f"overlays/{environment}"
        stateful = the("StatefulSet", folder)["spec"]
        labels = stateful["template"]["metadata"]["labels"].items()
        chosen = [
            stateful["selector"]["matchLabels"],
            the("Service", folder)["spec"]["selector"],
            the("PodDisruptionBudget", folder)["spec"]["selector"]["matchLabels"],
            the("NetworkPolicy", folder)["spec"]["podSelector"]["matchLabels"],
            the("PodMonitor", folder)["spec"]["selector"]["matchLabels"],
        ]
        assert all(selector and selector.items() <= labels for selector in chosen)

    def test_a_worker_may_ask_for_names_and_reach_kafka_and_no_more(self, environment: str) -> None:
        names, kafka = the("NetworkPolicy", f"overlays/{environment}")["spec"]["egress"]
        assert [each["podSelector"] for each in names["to"]] == [{"matchLabels": {"k8s-app": "kube-dns"}}]
        assert {each["port"] for each in names["ports"]} == {53}
        port = next(
            each["value"].rpartition(":")[2]
            for each in worker(environment)["env"]
            if each["name"] == "STREAM_SCORER_KAFKA_BOOTSTRAP"
        )
        assert [each["port"] for each in kafka["ports"]] == [int(port)]

    def test_lag_scales_workers_never_beyond_the_partitions(self, environment: str) -> None:
        scaled, settings = the("ScaledObject", f"overlays/{environment}")["spec"], settings_of(environment)
        partitions = {topic.partitions for topic in definitions_for(settings) if topic.lanes}
        assert scaled["scaleTargetRef"]["kind"] == "StatefulSet"
        assert 1 <= scaled["minReplicaCount"] <= scaled["maxReplicaCount"] <= min(partitions)
        assert scaled["fallback"]["replicas"] <= scaled["maxReplicaCount"]
        assert "replicas" not in the("StatefulSet", f"overlays/{environment}")["spec"]
        names = TopicNames(settings.topics.prefix)
        triggers = [each["metadata"] for each in scaled["triggers"]]
        assert [each["topic"] for each in triggers] == [names.observations, names.outcomes]
        assert {each["consumerGroup"] for each in triggers} == {settings.group_name}

    def test_rules_for_prometheus_are_those_of_the_repository(self, environment: str) -> None:
        groups = the("PrometheusRule", f"overlays/{environment}")["spec"]["groups"]
        written = [
            group["name"]
            for name in ("alert-rules.yml", "recording-rules.yml")
            for group in yaml.safe_load((ROOT / "deploy" / "prometheus" / name).read_text(encoding="utf-8"))["groups"]
        ]
        assert [group["name"] for group in groups] == written

    def test_it_is_found_by_the_job_that_the_rules_ask_for(self, environment: str) -> None:
        monitor = the("PodMonitor", f"overlays/{environment}")["metadata"]
        # the operator names a job after the monitor's namespace and name
        assert re.fullmatch("stream-scorer.*", f"{monitor['namespace']}/{monitor['name']}")

    def test_secrets_are_only_referred_to(self, environment: str) -> None:
        for folder in (f"overlays/{environment}", f"kafka/{environment}"):
            assert not [each for each in built(folder) if each["kind"] == "Secret"]
            assert [found for each in built(folder) for found in plain_secrets(each)] == []


def console(environment: str) -> Any:
    return the("Deployment", f"overlays/{environment}", "stream-scorer-console")["spec"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
class TestConsole:
    def test_its_settings_can_be_used_and_ask_the_workers_service(self, environment: str) -> None:
        (container,) = console(environment)["template"]["spec"]["containers"]
        variables = {each["name"]: each["value"] for each in container["env"]}
        known = {field.variable for field in fields_of(Settings)} | {"STREAM_SCORER_SETTINGS"}
        assert variables.keys() <= known
        service = the("Service", f"overlays/{environment}")
        (port,) = service["spec"]["ports"]
        assert variables["STREAM_SCORER_CONSOLE_WORKERS"] == f"http://{service['metadata']['name']}:{port['port']}"
        assert service["spec"]["clusterIP"] == "None", "the name stands for one worker only"
        assert container["args"] == ["console"]
        assert container["image"] == worker(environment)["image"]
        assert container["ports"][0]["containerPort"] == Settings().console.http_port

    def test_kafka_knows_it_as_an_operator(self, environment: str) -> None:
        (container,) = console(environment)["template"]["spec"]["containers"]
        variables = {each["name"]: each["value"] for each in container["env"]}
        name = variables["STREAM_SCORER_KAFKA_SASL_USERNAME"]
        assert name in [each["metadata"]["name"] for each in users(environment)]
        assert name == f"stream-scorer-operator-{environment}"

    def test_only_it_holds_what_lets_people_in(self, environment: str) -> None:
        def keys(spec: Any) -> set[str]:
            volumes = [each["secret"] for each in spec["volumes"] if "secret" in each]
            return {item["key"] for volume in volumes for item in volume["items"]}

        assert {"view-token", "act-token"} <= keys(console(environment)["template"]["spec"])
        assert not {"view-token", "act-token"} & keys(pod(environment))

    def test_it_runs_without_rights(self, environment: str) -> None:
        spec = console(environment)["template"]["spec"]
        (container,) = spec["containers"]
        assert container["securityContext"] == worker(environment)["securityContext"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False

    def test_no_selector_of_the_workers_means_it_and_its_own_do(self, environment: str) -> None:
        folder, name = f"overlays/{environment}", "stream-scorer-console"
        labels = console(environment)["template"]["metadata"]["labels"].items()
        own = [
            console(environment)["selector"]["matchLabels"],
            the("Service", folder, name)["spec"]["selector"],
            the("NetworkPolicy", folder, name)["spec"]["podSelector"]["matchLabels"],
        ]
        assert all(selector.items() <= labels for selector in own)
        workers = [
            the("StatefulSet", folder)["spec"]["selector"]["matchLabels"],
            the("Service", folder)["spec"]["selector"],
            the("PodDisruptionBudget", folder)["spec"]["selector"]["matchLabels"],
            the("NetworkPolicy", folder)["spec"]["podSelector"]["matchLabels"],
            the("PodMonitor", folder)["spec"]["selector"]["matchLabels"],
        ]
        assert not any(selector.items() <= labels for selector in workers)

    def test_it_may_ask_for_names_and_reach_kafka_and_workers_who_let_it_in(self, environment: str) -> None:
        folder, name = f"overlays/{environment}", "stream-scorer-console"
        _, kafka, workers = the("NetworkPolicy", folder, name)["spec"]["egress"]
        (of_worker,) = the("NetworkPolicy", folder)["spec"]["ingress"]
        assert kafka == the("NetworkPolicy", folder)["spec"]["egress"][1]
        (to,) = workers["to"]
        assert to["podSelector"] == the("NetworkPolicy", folder)["spec"]["podSelector"]
        assert {"podSelector": the("NetworkPolicy", folder, name)["spec"]["podSelector"]} in of_worker["from"]


GATEWAY = "stream-scorer-gateway"


def gateway(environment: str) -> Any:
    return the("Deployment", f"overlays/{environment}", GATEWAY)["spec"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
class TestGateway:
    def test_its_settings_can_be_used_and_its_secrets_are_mounted(self, environment: str) -> None:
        spec = gateway(environment)["template"]["spec"]
        (container,), (volume,) = spec["containers"], [each for each in spec["volumes"] if "secret" in each]
        variables = {each["name"]: each["value"] for each in container["env"]}
        known = {field.variable for field in fields_of(Settings)} | {"STREAM_SCORER_SETTINGS"}
        assert variables.keys() <= known
        text = (ROOT / "deploy" / "settings" / f"{environment}.toml").read_text(encoding="utf-8")
        mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        mounted = {f"{mounts[volume['name']]}/{item['path']}" for item in volume["secret"]["items"]}
        named = {value for value in variables.values() if value.startswith("/run")}
        assert mounted == named | set(re.findall(r'"(/run/secrets/[^"]+)"', text))
        assert container["args"] == ["gateway"]
        assert container["image"] == worker(environment)["image"]
        assert container["ports"][0]["containerPort"] == Settings().gateway.http_port

    def test_kafka_knows_it_as_a_gateway_that_can_write_no_prediction(self, environment: str) -> None:
        (container,) = gateway(environment)["template"]["spec"]["containers"]
        variables = {each["name"]: each["value"] for each in container["env"]}
        (user,) = [
            each
            for each in users(environment)
            if each["metadata"]["name"] == variables["STREAM_SCORER_KAFKA_SASL_USERNAME"]
        ]
        names = TopicNames(settings_of(environment).topics.prefix)
        assert writes(user) == {names.observations, names.outcomes}

    def test_it_runs_without_rights(self, environment: str) -> None:
        spec = gateway(environment)["template"]["spec"]
        (container,) = spec["containers"]
        assert container["securityContext"] == worker(environment)["securityContext"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False

    def test_there_is_time_to_answer_what_waits(self, environment: str) -> None:
        spec = gateway(environment)["template"]["spec"]
        pause_s = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert spec["terminationGracePeriodSeconds"] > pause_s + settings_of(environment).gateway.timeout_s + 2

    def test_every_selector_of_it_finds_its_pods_and_none_of_the_others(self, environment: str) -> None:
        folder = f"overlays/{environment}"
        chosen = [
            gateway(environment)["selector"]["matchLabels"],
            the("Service", folder, GATEWAY)["spec"]["selector"],
            the("PodDisruptionBudget", folder, GATEWAY)["spec"]["selector"]["matchLabels"],
            the("NetworkPolicy", folder, GATEWAY)["spec"]["podSelector"]["matchLabels"],
            the("PodMonitor", folder, GATEWAY)["spec"]["selector"]["matchLabels"],
        ]
        own = gateway(environment)["template"]["metadata"]["labels"].items()
        others = [
            the("StatefulSet", folder)["spec"]["template"]["metadata"]["labels"].items(),
            console(environment)["template"]["metadata"]["labels"].items(),
        ]
        assert all(selector and selector.items() <= own for selector in chosen)
        assert not any(selector.items() <= labels for selector in chosen for labels in others)

    def test_workers_let_it_in_and_are_asked_where_they_listen(self, environment: str) -> None:
        folder = f"overlays/{environment}"
        _, kafka, workers = the("NetworkPolicy", folder, GATEWAY)["spec"]["egress"]
        (of_worker,) = the("NetworkPolicy", folder)["spec"]["ingress"]
        assert kafka == the("NetworkPolicy", folder)["spec"]["egress"][1]
        assert workers["to"] == [{"podSelector": the("NetworkPolicy", folder)["spec"]["podSelector"]}]
        assert {"podSelector": the("NetworkPolicy", folder, GATEWAY)["spec"]["podSelector"]} in of_worker["from"]
        variables = {each["name"]: each.get("value") for each in worker(environment)["env"]}
        service = the("StatefulSet", folder)["spec"]["serviceName"]
        (port,) = [each["containerPort"] for each in worker(environment)["ports"]]
        # the pod's name, which is its name in the group too
        host = f"$(STREAM_SCORER_WORKER_GROUP_INSTANCE_ID).{service}"
        assert variables["STREAM_SCORER_WORKER_APPLICATION_SERVER"] == f"{host}:{port}"
        assert the("Service", folder)["spec"]["publishNotReadyAddresses"] is True

    def test_requests_in_flight_scale_it(self, environment: str) -> None:
        folder = f"overlays/{environment}"
        scaled = the("HorizontalPodAutoscaler", folder, GATEWAY)["spec"]
        assert scaled["scaleTargetRef"]["name"] == GATEWAY
        assert "replicas" not in gateway(environment)
        assert 2 <= scaled["minReplicas"] < scaled["maxReplicas"]
        in_flight = next(each["pods"] for each in scaled["metrics"] if each["type"] == "Pods")
        assert in_flight["metric"]["name"] == IN_FLIGHT.name
        assert int(in_flight["target"]["averageValue"]) < settings_of(environment).gateway.in_flight_max

    def test_no_rule_takes_it_for_a_worker(self, environment: str) -> None:
        workers, own = (the("PodMonitor", f"overlays/{environment}", name) for name in ("stream-scorer", GATEWAY))
        ((relabeling,),) = [each["relabelings"] for each in own["spec"]["podMetricsEndpoints"]]
        namespace = own["metadata"]["namespace"]
        job = relabeling["replacement"].replace("$1", namespace)
        assert relabeling["targetLabel"] == "job"
        assert job == f"gateway-of-{namespace}/{workers['metadata']['name']}"
        assert re.fullmatch(GATEWAY_JOB.split('"')[1], job)
        assert not re.fullmatch(JOB.split('"')[1], job)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_smoke_test_has_a_user_of_its_own_and_settings_that_can_be_used(environment: str) -> None:
    spec = the("Job", f"smoke/{environment}")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    known = {field.variable for field in fields_of(Settings)}
    assert variables.keys() <= known | {f"{name}_FILE" for name in known}
    assert variables["STREAM_SCORER_TOPICS_PREFIX"] == settings_of(environment).topics.prefix
    named = variables["STREAM_SCORER_KAFKA_SASL_USERNAME"]
    (user,) = [each for each in users(environment) if each["metadata"]["name"] == named]
    assert writes(user) <= {name for name in writes(user) if name.endswith(("observations", "outcomes"))}
    images = {each["image"] for each in (container, worker(environment))}
    assert len(images) == 1, "the smoke test runs another image than the workers"
    assert container["securityContext"] == worker(environment)["securityContext"]


def plain_secrets(node: object, path: str = "") -> list[str]:
    """Places where a text stands under a name that speaks of a secret, but for names and keys of references."""
    if isinstance(node, list):
        return [found for number, each in enumerate(node) for found in plain_secrets(each, f"{path}/{number}")]
    if not isinstance(node, dict):
        return []
    found = []
    for name, value in node.items():
        here = f"{path}/{name}"
        refers = name in ("key", "secretName") or name.endswith(("Key", "KeyRef")) or "annotations" in path
        if SECRET_WORDS.search(name) and isinstance(value, str) and not refers:
            found.append(here)
        found += plain_secrets(value, here)
    return found


def test_a_secret_that_is_written_out_would_be_seen() -> None:
    assert plain_secrets({"spec": [{"password": "x"}]}) == ["/spec/0/password"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
class TestKafka:
    def test_topics_are_those_that_a_worker_asks_for(self, environment: str) -> None:
        topics = [each for each in built(f"kafka/{environment}") if each["kind"] == "KafkaTopic"]
        wanted = {topic.name: topic for topic in definitions_for(settings_of(environment))}
        assert {each["spec"]["topicName"] for each in topics} == set(wanted)
        for each in topics:
            topic = wanted[each["spec"]["topicName"]]
            assert each["spec"]["partitions"] == topic.partitions
            assert each["spec"]["replicas"] == topic.replication
            assert {name: str(value) for name, value in each["spec"]["config"].items()} == topic.config

    def test_every_producer_has_a_quota(self, environment: str) -> None:
        for user in users(environment):
            if user["metadata"]["name"] in (f"stream-scorer-{environment}", f"stream-scorer-operator-{environment}"):
                continue
            quotas = user["spec"]["quotas"]
            assert quotas["requestPercentage"] > 0
            if writes(user):
                assert quotas["producerByteRate"] > 0

    def test_only_the_worker_writes_what_the_state_is_made_of(self, environment: str) -> None:
        names = TopicNames(settings_of(environment).topics.prefix)
        for topic in (names.predictions, names.outcome_updates, names.dead_letters):
            assert {user["metadata"]["name"] for user in users(environment) if topic in writes(user)} == {
                f"stream-scorer-{environment}"
            }

    def test_no_user_reaches_another_environment(self, environment: str) -> None:
        prefix = settings_of(environment).topics.prefix
        for user in users(environment):
            resources = [acl["resource"] for acl in user["spec"]["authorization"]["acls"]]
            assert resources
            assert all(resource["name"].startswith(prefix) for resource in resources)

    def test_nobody_may_do_everything(self, environment: str) -> None:
        operations = {
            operation
            for user in users(environment)
            for acl in user["spec"]["authorization"]["acls"]
            for operation in acl["operations"]
        }
        assert operations <= {"Read", "Write", "Describe", "DescribeConfigs"}

    def test_the_worker_s_user_is_the_one_of_its_settings(self, environment: str) -> None:
        text = (ROOT / "deploy" / "settings" / f"{environment}.toml").read_text(encoding="utf-8")
        (named,) = re.findall(r'sasl_username = "(.+)"', text)
        (mechanism,) = re.findall(r'sasl_mechanism = "(.+)"', text)
        (user,) = [each for each in users(environment) if each["metadata"]["name"] == named]
        assert user["spec"]["authentication"]["type"].upper() == mechanism


def users(environment: str) -> list[Object]:
    return [each for each in built(f"kafka/{environment}") if each["kind"] == "KafkaUser"]


def writes(user: Object) -> set[str]:
    """The topics that a user may write to."""
    return {
        acl["resource"]["name"]
        for acl in user["spec"]["authorization"]["acls"]
        if acl["resource"]["type"] == "topic" and "Write" in acl["operations"]
    }
