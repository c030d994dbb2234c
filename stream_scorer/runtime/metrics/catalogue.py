"""Every metric that a worker shows: name, type, unit, labels with all their values, meaning. The worker, the page about
metrics, the rules and their tests come from this table.

Invariant: base units, names by Prometheus' rules; a label's values are a closed set, and how many models are told apart
has a bound, so that no traffic can add a series.
"""

from itertools import product
from typing import Final

from stream_scorer.core.contract.columns import COLUMN_NAMES, COLUMNS
from stream_scorer.core.contract.reasons import Code, Stage
from stream_scorer.core.quality.counts import GROUP_COLUMNS
from stream_scorer.core.quality.drift_buckets import FEATURE_BUCKETS, GROUP_BUCKETS
from stream_scorer.runtime.metrics.definitions import Definition, counter, gauge, histogram, singles

# What a worker may show in all; four models with everything, two more with their outcomes, and what outcomes say of
# four candidates fit in.
SERIES_MAX: Final = 3_000
# Models whose distributions are shown: a champion, a canary, two shadows. Of others only the outcomes are counted.
LOADED_MODELS_MAX: Final = 4
# Models that outcomes are told apart by, those of the predictions of the last weeks among them
COUNTED_MODELS_MAX: Final = 6

INPUTS: Final = ("observations", "outcomes")
REFUSALS: Final = ("unknown_offset", "beyond_end", "recreated_topic")
STEPS: Final = ("fetch", "decode", "validate", "admit", "predict", "encode", "shadow", "join", "publish", "commit")
OBSERVATION_ENDS: Final = ("predicted", "dead_lettered", "redelivered", "moved")
OUTCOME_ENDS: Final = ("joined", "corrected", "repeated", "awaiting", "unknown", "dead_lettered", "moved")
JUDGE_ENDS: Final = ("promoted", "withdrawn", "overtaken", "missing_right", "fault")
STAGES_OF_CODES: Final = {
    Code.NOT_JSON: Stage.DECODE,
    Code.TOO_LARGE: Stage.DECODE,
    Code.BATCH_TOO_LARGE: Stage.DECODE,
    Code.BATCH_UNREADABLE: Stage.DECODE,
    Code.NOT_AN_OBJECT: Stage.DECODE,
    Code.CONFLICT: Stage.CONFLICT,
    Code.SCORING_FAILED: Stage.SCORE,
    Code.INVALID_OUTPUT: Stage.OUTPUT,
    Code.MISSING_TRUE_CLASS: Stage.OUTCOME,
    Code.INVALID_TRUE_CLASS: Stage.OUTCOME,
    Code.UNKNOWN_ID: Stage.OUTCOME,
}
# Faults of outcome events that observation events can have too
SHARED_CODES: Final = (
    *(Code.NOT_JSON, Code.TOO_LARGE, Code.BATCH_TOO_LARGE, Code.BATCH_UNREADABLE, Code.NOT_AN_OBJECT),
    *(Code.MISSING_ID, Code.INVALID_ID),
)
CODES_AND_STAGES: Final = (
    *((code.value, STAGES_OF_CODES.get(code, Stage.CONTRACT).value) for code in Code),
    *((code.value, Stage.OUTCOME.value) for code in SHARED_CODES),
)
GROUPS: Final = tuple(
    (column, str(group)) for column in GROUP_COLUMNS for group in COLUMNS[COLUMN_NAMES.index(column)].domain
)
CLASSES: Final = ("false", "true")

STEP_BOUNDS_S: Final = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
LATENCY_BOUNDS_S: Final = (
    *(0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25),
    *(0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0),
)
MODEL_BOUNDS_S: Final = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
RESTORE_BOUNDS_S: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800)
BATCH_BOUNDS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000)


JOINED_GROUPS: Final = tuple((*group, *classes) for group in GROUPS for classes in product(CLASSES, CLASSES))
DECIDED_GROUPS: Final = tuple((*group, predicted) for group in GROUPS for predicted in CLASSES)
JOINED_LABELS: Final = ("column", "group", "predicted", "actual")

# Why the HTTP server closed a connection by itself
CLOSED_CONNECTIONS: Final = ("timeout", "displaced")

# Throughput
OBSERVATIONS = counter(
    "observations", "records", "Observation records, by where they ended", "end", of=singles(OBSERVATION_ENDS)
)
OUTCOMES = counter("outcomes", "records", "Outcome records, by where they ended", "end", of=singles(OUTCOME_ENDS))
SHADOW_PREDICTIONS = counter("shadow_predictions", "records", "Records of what candidates would have said")
SHADOWS_MISSING = counter(
    "shadows_missing", "1", "Predictions that a shadow owes: it was late, raised, or was being started again"
)
SUSPENSIONS = counter("model_suspensions", "1", "Candidates that a lane goes on without, because they failed")
MODELS_REFUSED = gauge(
    "models_refused", "1", "Candidates of the control record in force that this worker could not load"
)
JUDGE_EVENTS = counter(
    "judge_events",
    "1",
    "What became of automatic decisions: overtaken, another act was quicker; missing_right, this worker may not write "
    "control records; fault, the judge failed and tried again",
    "event",
    of=singles(JUDGE_ENDS),
)
CONTROL_OFFSET = gauge(
    "model_control_offset", "1", "Offset of the control record whose models are loaded; -1: the settings' model"
)
QUARANTINED = counter(
    "quarantined_records", "records", "Records of batches that were not decompressed; each batch is one dead letter"
)
DEAD_LETTERS = counter(
    "dead_letters",
    "records",
    "Dead letters, by the first reason's code and the stage",
    "code",
    "stage",
    of=CODES_AND_STAGES,
)
BREAKER_TRIPS = counter(
    "dead_letter_breaker_trips", "1", "Times that consumption paused because too many records became dead letters"
)
BREAKER_OPEN = gauge(
    "dead_letter_breaker_open", "1", "1 while consumption is paused because too many records became dead letters"
)
REPLAYED = counter("replayed", "records", "Observations and outcomes that an operator replayed")
BATCH_RECORDS = histogram("batch_records", "records", "Records per batch", BATCH_BOUNDS)
COMMITS = counter("commits", "1", "Batches committed")
CODE_FIRST_SEEN = gauge(
    "dead_letter_code_first_seen_timestamp_seconds",
    "seconds",
    "When this worker first wrote a dead letter with the code since its start, in seconds since 1970; 0: it has not",
    "code",
    of=singles(tuple(code.value for code in Code)),
)
# Time
STEP_SECONDS = histogram(
    "step_seconds",
    "seconds",
    "Time of a batch in each step: `fetch` with the wait for records, `decode` with the contract's checks, `validate` "
    "only where a value fails them: the second look, which finds every reason; `admit` the look for the same id, "
    "`publish` until all is delivered, `commit` of the transaction",
    STEP_BOUNDS_S,
    "step",
    of=singles(STEPS),
)
MODEL_SECONDS = histogram(
    "model_seconds", "seconds", "Time in the model, for each prediction that of its batch", MODEL_BOUNDS_S
)
LATENCY_SECONDS = histogram(
    "latency_seconds", "seconds", "From an observation's timestamp to its committed prediction", LATENCY_BOUNDS_S
)
# What waits
CONSUMER_LAG = gauge("consumer_lag_records", "records", "Uncommitted records, in Kafka and in the worker")
HELD_RECORDS = gauge("held_records", "records", "Records read and not committed yet")
OLDEST_UNCOMMITTED_RECORD_AGE = gauge(
    "oldest_uncommitted_record_age_seconds",
    "seconds",
    "Age of the oldest record not committed yet: by its timestamp once it was read; before that, how long it has been "
    "seen to wait in Kafka",
)
LOST_TO_RETENTION = counter(
    "lost_to_retention",
    "records",
    "Offsets of an input that retention deleted before they were read: records and transaction markers",
    "input",
    of=singles(INPUTS),
)
COMMIT_AGE = gauge("commit_age_seconds", "seconds", "Time since the last commit while records are held, else 0")
# The worker
READY = gauge("ready", "1", "1 while the worker is ready")
REFUSED = gauge(
    "refused",
    "1",
    "1 from when the worker refused to resume until it ends: the offset is unknown, or contradicts Kafka's log",
    "cause",
    of=singles(REFUSALS),
)
CLOCK_SKEW = gauge(
    "clock_skew_seconds", "seconds", "How far the clock of the worker's machine is ahead of Kafka's; negative: behind"
)
LANES = gauge("lanes", "1", "Lanes of this worker that are open")
OPENING_LANES = gauge("opening_lanes", "1", "Lanes of this worker that are opening: they restore their state")
REBALANCES = counter("rebalances", "1", "Rebalances: times that partitions were assigned")
CONNECTIONS = gauge("broker_connections", "1", "Open connections of the reader to Kafka's brokers")
HTTP_CONNECTIONS_CLOSED = counter(
    "http_connections_closed",
    "1",
    "Connections that the worker closed before they had sent a whole request: they took too long or sent too much "
    "(`timeout`), or gave their place to a newer one (`displaced`)",
    "why",
    of=singles(CLOSED_CONNECTIONS),
)
RESTORE_SECONDS = histogram("restore_seconds", "seconds", "Time to restore a lane's state", RESTORE_BOUNDS_S)
STATE_IDS = gauge("state_ids", "ids", "Approximate number of ids in the lanes' state")
STATE_BYTES = gauge("state_bytes", "bytes", "Bytes on disk of the lanes' state")
DISK_FREE = gauge("state_disk_free_bytes", "bytes", "Bytes that are free on the disk of the state")
DISK_SIZE = gauge("state_disk_size_bytes", "bytes", "Size of the disk of the state")
BUILD = Definition(
    "stream_scorer_build_info",
    "gauge",
    "1",
    "1, with the running version and the digest of its contract",
    ("version", "contract"),
)
# The model
MODEL_LOADED = gauge(
    "model_loaded", "1", "1 for a model that serves in this role, 0 for one that did", models=COUNTED_MODELS_MAX
)
FEATURES = counter(
    "feature_observations",
    "records",
    "Scored observations, without smoke tests, by the bucket of each column",
    "column",
    "bucket",
    of=FEATURE_BUCKETS,
)
TRAINING_FEATURES = gauge(
    "training_feature_observations",
    "records",
    "Rows that the model was trained on, by the bucket of each column",
    "column",
    "bucket",
    of=FEATURE_BUCKETS,
    models=LOADED_MODELS_MAX,
)
PROBABILITIES = counter(
    "probabilities",
    "records",
    "Predictions, without smoke tests, by group and tenth of the probability; of a shadow what it would have said",
    "column",
    "group",
    "bucket",
    of=GROUP_BUCKETS,
    models=LOADED_MODELS_MAX,
)
TRAINING_PROBABILITIES = gauge(
    "training_probabilities",
    "records",
    "Rows that the model was trained on, by group and tenth of the probability, predicted out of fold",
    "column",
    "group",
    "bucket",
    of=GROUP_BUCKETS,
    models=LOADED_MODELS_MAX,
)
PREDICTIONS = counter(
    "predictions",
    "records",
    "Predictions, without smoke tests, by group and decision; of a shadow what it would have said",
    "column",
    "group",
    "predicted",
    of=DECIDED_GROUPS,
    models=COUNTED_MODELS_MAX,
)
JOINED = counter(
    "joined",
    "records",
    "Joined outcomes, by group, decision and true class; of a shadow first revisions only",
    *JOINED_LABELS,
    of=JOINED_GROUPS,
    models=COUNTED_MODELS_MAX,
)
JOINED_RETRACTED = counter(
    "joined_retracted",
    "records",
    "Joined outcomes that corrections took back, by group, decision and the replaced true class",
    *JOINED_LABELS,
    of=JOINED_GROUPS,
    models=COUNTED_MODELS_MAX,
)
SQUARED_ERROR = counter(
    "squared_error", "1", "Sum of (probability - class)² over joined outcomes", models=COUNTED_MODELS_MAX
)
SQUARED_ERROR_RETRACTED = counter(
    "squared_error_retracted", "1", "The part of that sum that corrections took back", models=COUNTED_MODELS_MAX
)

CATALOGUE: Final = (
    OBSERVATIONS,
    OUTCOMES,
    DEAD_LETTERS,
    QUARANTINED,
    SHADOW_PREDICTIONS,
    SHADOWS_MISSING,
    SUSPENSIONS,
    MODELS_REFUSED,
    JUDGE_EVENTS,
    CONTROL_OFFSET,
    CODE_FIRST_SEEN,
    BREAKER_TRIPS,
    BREAKER_OPEN,
    REPLAYED,
    BATCH_RECORDS,
    COMMITS,
    STEP_SECONDS,
    MODEL_SECONDS,
    LATENCY_SECONDS,
    CONSUMER_LAG,
    HELD_RECORDS,
    OLDEST_UNCOMMITTED_RECORD_AGE,
    LOST_TO_RETENTION,
    COMMIT_AGE,
    READY,
    REFUSED,
    CLOCK_SKEW,
    LANES,
    OPENING_LANES,
    REBALANCES,
    CONNECTIONS,
    HTTP_CONNECTIONS_CLOSED,
    RESTORE_SECONDS,
    STATE_IDS,
    STATE_BYTES,
    DISK_FREE,
    DISK_SIZE,
    BUILD,
    MODEL_LOADED,
    FEATURES,
    TRAINING_FEATURES,
    PROBABILITIES,
    TRAINING_PROBABILITIES,
    PREDICTIONS,
    JOINED,
    JOINED_RETRACTED,
    SQUARED_ERROR,
    SQUARED_ERROR_RETRACTED,
)
