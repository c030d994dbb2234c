"""Every setting there is, as typed tables.

Invariant: a number's name ends in its unit, and each says what it is for.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from stream_scorer.core.records.model_control import CONTRASTS
from stream_scorer.core.rollout.contrasts import contrast_text
from stream_scorer.runtime.settings.fields import SECRET, masked_section

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
Delivery = Literal["exactly-once", "at-least-once"]
ShadowPredictions = Literal["all", "disagreements"]

DAY_S = 86_400.0
MIB = 1024 * 1024
# Kafka's own rules for a topic's name; a group and a prefix keep to them too, because both end up in file names
PREFIX_PATTERN = r"^([A-Za-z0-9][A-Za-z0-9._-]{0,99})?\Z"
# A host's name or address, an IPv6 address in brackets, and a port: nothing that could lead a request elsewhere
SERVER_PATTERN = r"^(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9][A-Za-z0-9._-]{0,252}):[0-9]{1,5}\Z"
GROUP_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z"


def about(text: str, **limits: Any) -> Meta:
    """What a setting is for, and the limits of its value."""
    return Meta(description=text, **limits)


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One section; printed with its secrets masked, so that no log can show them by accident."""

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in masked_section(self).items())
        return f"{type(self).__name__}({fields})"


class KafkaSettings(Section, frozen=True):
    """How to reach the brokers."""

    bootstrap: Annotated[str, about("Bootstrap brokers, `host:port`, separated by commas")] = "127.0.0.1:9092"
    security_protocol: Annotated[SecurityProtocol, about("How connections are secured")] = "PLAINTEXT"
    sasl_mechanism: Annotated[SaslMechanism, about("The SASL mechanism")] = "SCRAM-SHA-512"
    sasl_username: Annotated[str, about("The user's name, with SASL")] = ""
    sasl_password: Annotated[str, about("The user's password, with SASL"), SECRET] = ""
    sasl_password_file: Annotated[str, about("A file that holds the user's password")] = ""
    ssl_ca_file: Annotated[str, about("CA certificates that sign the brokers' (PEM); empty: the system's")] = ""
    ssl_certificate_file: Annotated[str, about("The client certificate (PEM), for mutual TLS")] = ""
    ssl_key_file: Annotated[str, about("The client certificate's key (PEM), for mutual TLS")] = ""
    ssl_key_password: Annotated[str, about("The key's password, where it has one"), SECRET] = ""
    ssl_key_password_file: Annotated[str, about("A file that holds the key's password")] = ""
    unfolded_batch_bytes_max: Annotated[
        int,
        about(
            "The largest size of a record batch after decompression; a larger one becomes a single dead letter",
            ge=MIB,
            le=1024 * MIB,
        ),
    ] = 64 * MIB
    ssl_check_hostname: Annotated[bool, about("Whether a broker's certificate must name its host")] = True


class TopicsSettings(Section, frozen=True):
    """Which environment's topics, and what of topics.toml it does otherwise."""

    prefix: Annotated[
        str,
        about("The prefix of an environment's topics, group, transactional ids and state", pattern=PREFIX_PATTERN),
    ] = ""
    partitions: (
        Annotated[int, about("Partitions of the topics with lanes; none: as in topics.toml", ge=1, le=10_000)] | None
    ) = None
    replication: Annotated[int, about("Replicas of every partition; none: as in topics.toml", ge=1, le=10)] | None = (
        None
    )


class WorkerSettings(Section, frozen=True):
    """How a worker reads, scores, joins and publishes."""

    group: Annotated[str, about("The consumer group, before the prefix", pattern=GROUP_PATTERN)] = "stream-scorer"
    group_instance_id: Annotated[
        str,
        about(
            "Static group membership: a name that a worker keeps over restarts (its pod's), unique in the group; "
            "empty: none"
        ),
    ] = ""
    application_server: Annotated[
        str,
        about(
            "Where look-ups reach this worker, `host:port`, which the group's members tell; empty: where it listens, "
            "and under this machine's name where it listens at every address",
            pattern=f"^\\Z|{SERVER_PATTERN}",
        ),
    ] = ""
    delivery: Annotated[Delivery, about("`exactly-once`, or `at-least-once` for the lowest latency")] = "exactly-once"
    batch_records_max: Annotated[int, about("The most records of one topic in a lane's batch", ge=1, le=100_000)] = (
        16_384
    )
    transaction_timeout_ms: Annotated[
        int, about("Time after which Kafka aborts a transaction that a dead worker left open", ge=1_000, le=900_000)
    ] = 20_000
    session_timeout_ms: Annotated[
        int, about("Time without a heartbeat after which a worker's lanes go to another", ge=6_000, le=1_800_000)
    ] = 10_000
    shutdown_deadline_s: Annotated[
        float, about("Time within which a worker stops when it is told to", gt=0, le=3_600)
    ] = 20.0
    event_bytes_max: Annotated[int, about("The largest event that is decoded", ge=256, le=16 * MIB)] = 65_536
    dead_letter_bytes_max: Annotated[
        int,
        about(
            "The largest record that a dead letter keeps whole; of a larger one it keeps the first bytes",
            ge=65_536,
            le=64 * MIB,
        ),
    ] = MIB
    schema_registry_frames: Annotated[
        bool, about("Whether events may begin with a schema registry's frame, which is skipped")
    ] = False
    include_observation: Annotated[bool, about("Whether predictions carry the ten columns")] = False
    cloudevents: Annotated[bool, about("Whether predictions carry CloudEvents headers; they double the bytes")] = False
    repeats_are_conflicts: Annotated[bool, about("Whether an identical observation sent again is a conflict")] = False
    join_window_s: Annotated[
        float,
        about(
            "How long an outcome waits for its observation, and how long an id is remembered", gt=0, le=3_660 * DAY_S
        ),
    ] = 30 * DAY_S
    clock_skew_s_max: Annotated[
        float, about("The largest difference from Kafka's clock; beyond it no id and no outcome expires", gt=0)
    ] = 300.0
    state_folder: Annotated[str, about("The folder of the lanes' state; empty: below the user's state folder")] = ""
    brake_share: Annotated[
        float,
        about("Share of failing rows above which the model itself counts as broken and the worker stops", gt=0, le=1),
    ] = 0.5
    brake_rows_min: Annotated[int, about("Rows that must have been scored before that share counts", ge=1)] = 100
    dead_letter_brake_share: (
        Annotated[float, about("Share of dead letters above which consumption pauses; none: never", gt=0, lt=1)] | None
    ) = None
    dead_letter_brake_window_s: Annotated[
        float, about("Time over which that share is measured, and for which consumption pauses", ge=1, le=240)
    ] = 60.0
    dead_letter_brake_records_min: Annotated[int, about("Records within it before that share counts", ge=1)] = 100
    commit_stall_s: Annotated[
        float, about("Time after which a worker that holds records and commits none fails its liveness probe", gt=0)
    ] = 60.0


class ModelSettings(Section, frozen=True):
    """What scores."""

    folder: Annotated[str, about("The model directory; empty: the default model, trained when first needed")] = ""
    trusted_types: Annotated[
        tuple[str, ...], about("Types that a model file may hold beyond the trusted ones, by full name")
    ] = ()
    threshold: (
        Annotated[
            float, about("The lowest probability at which a prediction is true; none: the model's own", ge=0, le=1)
        ]
        | None
    ) = None


class ModelsSettings(Section, frozen=True):
    """Models that are deployed by `stream-scorer model`."""

    loaded_max: Annotated[int, about("Models that a worker has loaded at one time", ge=1, le=64)] = 8
    bytes_max: Annotated[int, about("The largest model that is uploaded or fetched", ge=1, le=1024 * MIB)] = 64 * MIB
    timeout_ms: Annotated[
        int, about("Within which a model that is not additive must answer for a batch", ge=10, le=600_000)
    ] = 15_000
    shadow_budget_ms: Annotated[
        int, about("Within which shadows must answer for a batch; what comes later is missing", ge=10, le=60_000)
    ] = 1_000
    shadow_predictions: Annotated[
        ShadowPredictions, about("Which are published: `all`, or `disagreements` with what was predicted")
    ] = "all"
    contrasts: Annotated[
        tuple[str, ...],
        about(
            "Groups whose discovery rates a candidate must not drive apart, `COLUMN:GROUP-GROUP`; fixed for a "
            "candidate when it is deployed"
        ),
    ] = tuple(map(contrast_text, CONTRASTS))


class HttpSettings(Section, frozen=True):
    """Where a worker serves probes, metrics and its figures; and to whom the page is served."""

    host: Annotated[str, about("The address to listen at", min_length=1)] = "127.0.0.1"
    port: Annotated[int, about("The port to listen at; 0: any free one", ge=0, le=65_535)] = 8_080
    view_token: Annotated[
        str, about("The token for read-only access to the console, where it listens beyond loopback"), SECRET
    ] = ""
    view_token_file: Annotated[str, about("A file that holds the token to view")] = ""
    act_token: Annotated[str, about("The token for acting on dead letters"), SECRET] = ""
    act_token_file: Annotated[str, about("A file that holds the token to act")] = ""
    deploy_token: Annotated[
        str, about("The token for deploying models; it reads too, and does not act on dead letters"), SECRET
    ] = ""
    deploy_token_file: Annotated[str, about("A file that holds the token to deploy")] = ""


class OidcSettings(Section, frozen=True):
    """People's own accounts for the page, by OpenID Connect: the ledger then names whom the provider vouches for."""

    issuer: Annotated[str, about("The provider, as it calls itself (`https://…`); empty: tokens only")] = ""
    client_id: Annotated[str, about("The client id at the provider")] = ""
    client_secret: Annotated[str, about("The client secret at the provider"), SECRET] = ""
    client_secret_file: Annotated[str, about("A file that holds the client secret")] = ""
    public_url: Annotated[
        str, about("The console's URL for people; register `<public_url>/login/callback` at the provider")
    ] = ""
    scopes: Annotated[tuple[str, ...], about("The scopes requested from the provider")] = ("openid", "profile", "email")
    identity_claim: Annotated[
        str, about("The claim that names a person in the ledger: `email` (verified), `preferred_username`, `sub`")
    ] = "email"
    roles_claim: Annotated[str, about("The claim that lists a person's groups; dots lead into objects")] = "groups"
    viewer_groups: Annotated[tuple[str, ...], about("Groups with read-only access")] = ()
    operator_groups: Annotated[tuple[str, ...], about("Groups that may read, reveal, replay and discard")] = ()
    deployer_groups: Annotated[tuple[str, ...], about("Groups that may read and deploy models")] = ()
    ca_file: Annotated[str, about("CA certificates that sign the provider's (PEM); empty: the system's")] = ""


class ConsoleSettings(Section, frozen=True):
    """The page (`stream-scorer console`), which is served at `http.host` by a process of its own."""

    http_port: Annotated[int, about("The port to listen at; 0: any free one", ge=0, le=65_535)] = 8_000
    workers: Annotated[
        tuple[str, ...],
        about(
            "Addresses of the workers' status, `http://host:port`; a name stands for one worker at each of its "
            "addresses"
        ),
    ] = ("http://127.0.0.1:8080",)


class GatewaySettings(Section, frozen=True):
    """The HTTP API for clients without Kafka (`stream-scorer gateway`)."""

    http_host: Annotated[str, about("The address to listen at", min_length=1)] = "127.0.0.1"
    http_port: Annotated[int, about("The port to listen at; 0: any free one", ge=0, le=65_535)] = 8_090
    timeout_s: Annotated[float, about("How long a request waits for its result", gt=0, le=50)] = 10.0
    in_flight_max: Annotated[
        int, about("Requests for one event in progress at one time; more are told to come again (429)", ge=1)
    ] = 512
    batch_in_flight_max: Annotated[
        int,
        about(
            "Events of all batches that wait for their answers at one time, with 16 MiB of bodies at most; a batch's "
            "further events wait for their turn",
            ge=1,
            le=65_536,
        ),
    ] = 4_096
    body_bytes_max: Annotated[int, about("The largest body of a request for one event", ge=256, le=16 * MIB)] = 65_536
    batch_bytes_max: Annotated[
        int, about("The largest body of a batch, as an array or as lines", ge=256, le=256 * MIB)
    ] = 16 * MIB
    tokens_file: Annotated[
        str, about("A TOML file of client names and their bearer tokens; empty: everybody may send")
    ] = ""
    requests_per_s_max: (
        Annotated[float, about("Requests a second that one client may make; none: any number", gt=0)] | None
    ) = None
    cors_origins: Annotated[
        tuple[str, ...],
        about("Web pages that may ask from a browser, by origin (`https://host`); empty: none but our own /docs"),
    ] = ()
    publish_rejected: Annotated[
        bool, about("Whether events that break the contract are sent on, so that they become dead letters")
    ] = False
    tls_certificate_file: Annotated[str, about("The server certificate (PEM), to serve HTTPS")] = ""
    tls_key_file: Annotated[str, about("That certificate's key (PEM)")] = ""


class LoggingSettings(Section, frozen=True):
    """What is logged, and how."""

    format: Annotated[Literal["text", "json"], about("Lines for people, or one JSON object a line")] = "text"
    level: Annotated[Literal["debug", "info", "warning", "error"], about("The least severity that is logged")] = "info"
    id_hash_key: Annotated[
        str, about("The key that ids in the log are hashed with; empty: a new key at each start"), SECRET
    ] = ""
    id_hash_key_file: Annotated[str, about("A file that holds that key")] = ""


class BusinessSettings(Section, frozen=True):
    """From where on people are told."""

    latency_ms_max: Annotated[
        float, about("Latency from record to committed prediction, for 99 of 100 records", gt=0)
    ] = 1_000.0
    model_ms_max: Annotated[float, about("Time in the model, for 99 of 100 records", gt=0)] = 20.0
    lag_age_s_max: Annotated[float, about("Age of the oldest record that waits", gt=0)] = 60.0
    dead_letter_share_max: Annotated[float, about("Share of observations that become dead letters", gt=0, le=1)] = 0.1
    success_rate_min: Annotated[float, about("Precision of `prediction: true`", ge=0, le=1)] = 0.5
    success_outcomes_min: Annotated[
        int, about("Positive predictions with outcomes before the success rate counts", ge=1)
    ] = 200
    group_gap_max: Annotated[float, about("Largest gap of discovery rates between groups", gt=0, le=1)] = 0.05
    group_outcomes_min: Annotated[
        int, about("Positive predictions with outcomes in a group before it counts", ge=1)
    ] = 100
    psi_max: Annotated[float, about("Population stability index above which a column drifted", gt=0)] = 0.2
    psi_observations_min: Annotated[int, about("Observations before the index counts", ge=1)] = 1_000
    outcome_silence_s_max: Annotated[
        float, about("Time without an outcome although there are predictions", ge=3_600)
    ] = DAY_S
    disk_free_share_min: Annotated[float, about("Share of the state's disk that must be free", gt=0, lt=1)] = 0.1


class OperatorSettings(Section, frozen=True):
    """Who acts on dead letters, and how often a letter may come back."""

    name: Annotated[str, about("The name in the ledger; empty: the operating system's user", max_length=200)] = ""
    replays_max: Annotated[
        int, about("Replays of one record after which its dead letter is parked", ge=1, le=1_000)
    ] = 3
