"""When somebody is told, from where on as the settings say. Each alert has its section in the runbook.

Invariant: an alert names what somebody can act on; a threshold comes from the settings; one cause, one alert.
"""

from typing import Final

from stream_scorer.core.quality.sequential_bounds import LOOKS_A_YEAR
from stream_scorer.operations.monitoring.gateway_alerts import gateway_alerts
from stream_scorer.operations.monitoring.quality_rules import PUBLISHED
from stream_scorer.operations.monitoring.rollout_alerts import rollout_alerts
from stream_scorer.operations.monitoring.rules import JOB, Alert, RuleGroup, RulePace, span
from stream_scorer.runtime.metrics import catalogue as catalogue
from stream_scorer.runtime.metrics.console_catalogue import LOGIN_FAILURES, LOGINS_THROTTLED
from stream_scorer.runtime.settings.settings import Settings

# Below so many observations in a quarter of an hour a share says little
SHARE_OBSERVATIONS_MIN: Final = 100
# A budget for 28 days is gone in two days at the first speed, in five at the second
BURNS_FAST: Final = 14.4
BURNS_SLOWLY: Final = 6
FILES_SHARE_MAX: Final = 0.8
REBALANCES_MAX: Final = 6
RESTARTS_MAX: Final = 3
# More than people mistype
FAILED_LOGINS_MAX: Final = 30


def alert_groups(settings: Settings, pace: RulePace) -> tuple[RuleGroup, ...]:
    """Every alert, in five groups."""
    interval = span(pace.evaluation_s)
    return (
        RuleGroup("stream-scorer-workers", interval, (*worker_alerts(settings, pace), *disk_alerts(settings, pace))),
        RuleGroup("stream-scorer-records", interval, (*record_alerts(settings, pace), *latency_alerts(settings, pace))),
        RuleGroup("stream-scorer-console", interval, console_alerts(pace)),
        RuleGroup("stream-scorer-gateways", interval, gateway_alerts(settings.business, pace)),
        RuleGroup(
            "stream-scorer-models",
            span(pace.minute_s),
            (*quality_alerts(settings), *drift_alerts(settings), *rollout_alerts(pace)),
        ),
    )


def console_alerts(pace: RulePace) -> tuple[Alert, ...]:
    failures, throttled, span_ = LOGIN_FAILURES.name, LOGINS_THROTTLED.name, span(pace.five_minutes_s)
    return (
        Alert(
            "StreamScorerLoginsFail",
            f"sum by (job) (increase({failures}[{span_}])) + sum by (job) (increase({throttled}[{span_}]))\n"
            f"> {FAILED_LOGINS_MAX}",
            "0s",
            "ticket",
            "{{ $value | humanize }} logins to the console failed within 5 minutes",
            "Somebody is guessing tokens, or a script sends a token that was replaced. The console limits guesses.",
        ),
    )


def worker_alerts(settings: Settings, pace: RulePace) -> tuple[Alert, ...]:
    hour, stall_s = span(pace.hour_s), settings.worker.commit_stall_s
    return (
        Alert(
            "StreamScorerNoWorker",
            f"(count by (job) (count_over_time(up{{{JOB}}}[{hour}])) unless count by (job) (up{{{JOB}}} == 1))\n"
            f"or absent_over_time(up{{{JOB}}}[{hour}])",
            pace.minutes(1),
            "page",
            "No worker runs",
            "Nothing is scored and no outcome is joined. New records wait in Kafka.",
        ),
        Alert(
            "StreamScorerWorkerDown",
            f"up{{{JOB}}} == 0\nand on (job) count by (job) (up{{{JOB}}} == 1)",
            pace.minutes(2),
            "ticket",
            "Worker {{ $labels.instance }} does not answer",
            "The other workers have its lanes. Lag and latency may rise.",
        ),
        Alert(
            "StreamScorerWorkerNotReady",
            f"{catalogue.READY.name} == 0",
            pace.minutes(10),
            "ticket",
            "Worker {{ $labels.instance }} has not been ready for 10 minutes",
            "It waits for Kafka, loads its model, or restores the state of its lanes.",
        ),
        Alert(
            "StreamScorerWorkerRestarting",
            f"changes(process_start_time_seconds{{{JOB}}}[{span(pace.half_hour_s)}]) >= {RESTARTS_MAX}",
            "0s",
            "page",
            "Worker {{ $labels.instance }} keeps restarting",
            f"At least {RESTARTS_MAX} starts in half an hour. The end of its log says why.",
        ),
        Alert(
            "StreamScorerRefused",
            f"max by (job, cause) (max_over_time({catalogue.REFUSED.name}[{pace.minutes(10)}])) == 1",
            "0s",
            "page",
            "A worker refuses to resume ({{ $labels.cause }})",
            "The offset to resume from is unknown, or contradicts Kafka's log. No worker reads its partitions until an "
            "operator sets an offset.",
        ),
        Alert(
            "StreamScorerClockWrong",
            f"abs({catalogue.CLOCK_SKEW.name}) > {settings.worker.clock_skew_s_max:g}",
            "0s",
            "page",
            "The clock of {{ $labels.instance }} differs from Kafka's by {{ $value | humanizeDuration }}",
            "That worker expires no id and no outcome until the clocks agree again.",
        ),
        Alert(
            "StreamScorerCommitsStalled",
            f"{catalogue.COMMIT_AGE.name} > {stall_s:g}",
            "0s",
            "page",
            "Worker {{ $labels.instance }} has uncommitted records and has committed nothing for "
            "{{ $value | humanizeDuration }}",
            "The worker is stuck, or Kafka commits no transaction.",
        ),
        Alert(
            "StreamScorerRebalancingOften",
            f"sum by (job) (increase({catalogue.REBALANCES.name}[{span(pace.half_hour_s)}]))\n"
            f"  / (count by (job) (up{{{JOB}}}) > 0) > {REBALANCES_MAX}",
            "0s",
            "ticket",
            "The group keeps rebalancing",
            "Each rebalance interrupts all lanes for a second or more.",
        ),
    )


def disk_alerts(settings: Settings, pace: RulePace) -> tuple[Alert, ...]:
    free = settings.business.disk_free_share_min
    return (
        Alert(
            "StreamScorerDiskFull",
            f"{catalogue.DISK_FREE.name} / {catalogue.DISK_SIZE.name} < {free:g}",
            pace.minutes(5),
            "page",
            "Only {{ $value | humanizePercentage }} of the state's disk is free on {{ $labels.instance }}",
            f"Below {free:.0%}. A worker that can't write its state stops.",
        ),
        Alert(
            "StreamScorerFilesExhausted",
            f"process_open_fds{{{JOB}}} / process_max_fds{{{JOB}}} > {FILES_SHARE_MAX}",
            pace.minutes(5),
            "ticket",
            "{{ $value | humanizePercentage }} of the file descriptors of {{ $labels.instance }} are in use",
            "Without a free one the worker can neither open connections nor write its state.",
        ),
    )


def record_alerts(settings: Settings, pace: RulePace) -> tuple[Alert, ...]:
    business = settings.business
    silence = span(int(business.outcome_silence_s_max / 3_600) * pace.hour_s)
    predicted = f'{catalogue.OBSERVATIONS.name}{{end="predicted"}}'
    letters, month = "stream_scorer:dead_letters:known", span(pace.month_s)
    return (
        Alert(
            "StreamScorerRecordsWait",
            f"stream_scorer:oldest_uncommitted_record_age_seconds > {business.lag_age_s_max:g}",
            pace.minutes(2),
            "page",
            "The oldest uncommitted record has waited for {{ $value | humanizeDuration }}",
            f"The limit is {business.lag_age_s_max:g} s.",
        ),
        Alert(
            "StreamScorerRecordsLost",
            f"sum by (job, input) (max_over_time({catalogue.LOST_TO_RETENTION.name}[{pace.minutes(30)}])\n"
            f"  - min_over_time({catalogue.LOST_TO_RETENTION.name}[{pace.minutes(30)}])) > 0\n"
            f"or sum by (job, input) ({catalogue.LOST_TO_RETENTION.name}\n"
            f"  unless {catalogue.LOST_TO_RETENTION.name} offset {pace.minutes(30)}) > 0",
            "0s",
            "page",
            "{{ $value }} offsets of {{ $labels.input }} were deleted before a worker read them",
            "Retention has deleted records that were not scored. Producers must send them again.",
        ),
        Alert(
            "StreamScorerManyDeadLetters",
            f"stream_scorer:dead_letter_share:15m > {business.dead_letter_share_max:g}\n"
            f"and stream_scorer:observations:increase15m >= {SHARE_OBSERVATIONS_MIN}",
            pace.minutes(2),
            "page",
            "{{ $value | humanizePercentage }} of the observations become dead letters",
            f"Agreed are at most {business.dead_letter_share_max:.0%}. A producer has changed, or the contract has.",
        ),
        Alert(
            "StreamScorerIntakePaused",
            f"{catalogue.BREAKER_OPEN.name} == 1",
            "0s",
            "page",
            "Worker {{ $labels.instance }} has paused consumption, because too many records became dead letters",
            "New records wait in Kafka. The limit is worker.dead_letter_brake_share.",
        ),
        Alert(
            "StreamScorerNewReason",
            f"sum by (job, code, stage) (increase({catalogue.DEAD_LETTERS.name}[{pace.minutes(10)}])) > 0\n"
            f"unless sum by (job, code, stage) (max_over_time({letters}[{month}] offset {span(pace.hour_s)})) > 0\n"
            f"and on (job) count by (job) ({letters} offset {span(pace.day_s)})",
            "0s",
            "ticket",
            "Dead letters with {{ $labels.code }} ({{ $labels.stage }}), which had not been seen before",
            "A producer sends a new kind of invalid record.",
        ),
        Alert(
            "StreamScorerBatchQuarantined",
            f"sum by (job) (increase({catalogue.QUARANTINED.name}[{span(pace.hour_s)}])) > 0",
            "0s",
            "ticket",
            "{{ $value | humanize }} records are in batches that were not decompressed",
            "Each batch is one dead letter. A producer is broken, or hostile.",
        ),
        Alert(
            "StreamScorerOutcomesMissing",
            f'sum by (job) (increase({catalogue.OUTCOMES.name}{{end=~"joined|awaiting|corrected"}}[{silence}])) == 0\n'
            f"and on (job) sum by (job) (increase({predicted}[{silence}])) > 0\n"
            f"and on (job) count by (job) ({catalogue.COMMITS.name} offset {silence})",
            pace.minutes(10),
            "ticket",
            f"No outcome for {business.outcome_silence_s_max / 3_600:g} hours, although there are predictions",
            "Without outcomes the quality of the predictions is unknown.",
        ),
    )


def latency_alerts(settings: Settings, pace: RulePace) -> tuple[Alert, ...]:
    business = settings.business
    rate = "stream_scorer:latency_burn_rate"
    limit = f"{business.latency_ms_max:g} ms"

    def burns(short: str, long: str, speed: float) -> str:
        return f'{rate}{{window="{long}"}} > {speed}\nand on (job) {rate}{{window="{short}"}} > {speed}'

    return (
        Alert(
            "StreamScorerLatencyHigh",
            burns("5m", "1h", BURNS_FAST),
            pace.minutes(2),
            "page",
            f"Far more than 1 in 100 predictions take longer than {limit}",
            "The error budget (1 in 100 over four weeks) burns at {{ $value | humanize }} times the planned rate.",
        ),
        Alert(
            "StreamScorerLatencyRising",
            f'{burns("30m", "6h", BURNS_SLOWLY)}\nunless on (job) ({rate}{{window="1h"}} > {BURNS_FAST} '
            f'and on (job) {rate}{{window="5m"}} > {BURNS_FAST})',
            pace.minutes(15),
            "ticket",
            f"More than 1 in 100 predictions take longer than {limit}",
            "The error budget (1 in 100 over four weeks) burns at {{ $value | humanize }} times the planned rate.",
        ),
        Alert(
            "StreamScorerModelSlow",
            "stream_scorer:model_burn_rate > 1",
            pace.minutes(15),
            "ticket",
            f"More than 1 in 100 predictions take longer than {business.model_ms_max:g} ms in the model",
            "The model is not compiled to tables, or the machine lacks processor time.",
        ),
    )


def quality_alerts(settings: Settings) -> tuple[Alert, ...]:
    business = settings.business
    rate, gap = "stream_scorer:success_rate", "stream_scorer:discovery_gap"
    bound = f"The bound holds at all {LOOKS_A_YEAR:,} looks of a year together"
    return (
        Alert(
            "StreamScorerSuccessRateLow",
            f"{rate}:anytime_high < {business.success_rate_min:g}\n"
            f"and {rate}:positives >= {business.success_outcomes_min}",
            "0s",
            "ticket",
            "The success rate over a {{ $labels.window }} is below the agreed minimum",
            f"It is at most {{{{ $value | humanize }}}}; the minimum is {business.success_rate_min:g}. {bound}.",
        ),
        Alert(
            "StreamScorerGroupGapHigh",
            f"{gap}:anytime_low > {business.group_gap_max:g}",
            "0s",
            "ticket",
            "Discovery rates of {{ $labels.column }} differ too much, over a {{ $labels.window }}",
            f"By at least {{{{ $value | humanize }}}}; the limit is {business.group_gap_max:g}. {bound}.",
        ),
    )


def drift_alerts(settings: Settings) -> tuple[Alert, ...]:
    business = settings.business
    # what a shadow would say is published for nobody
    psi, whole = f"> {business.psi_max:g}", f"stream_scorer:probability_psi{{{PUBLISHED}}}"
    enough = f">= {business.psi_observations_min}"
    return (
        Alert(
            "StreamScorerColumnDrifted",
            f"stream_scorer:feature_psi{{{PUBLISHED}}} {psi}\n"
            f"and on (job, column) stream_scorer:feature_observations:total {enough}",
            "0s",
            "ticket",
            "{{ $labels.column }} has drifted from the training data of {{ $labels.model }}",
            f"Its population stability index is {{{{ $value | humanize }}}}, above {business.psi_max:g}.",
        ),
        Alert(
            "StreamScorerProbabilitiesDrifted",
            f"{whole} {psi}\nand stream_scorer:probability:total {enough}",
            "0s",
            "ticket",
            "Probabilities of {{ $labels.model }} have drifted from its training",
            f"Their population stability index is {{{{ $value | humanize }}}}, above {business.psi_max:g}.",
        ),
        Alert(
            "StreamScorerGroupProbabilitiesDrifted",
            f"stream_scorer:group_probability_psi{{{PUBLISHED}}} {psi}\n"
            f"and stream_scorer:probabilities:total {enough}\n"
            f"unless on (job, model, role) {whole} {psi}",
            "0s",
            "ticket",
            "Probabilities of {{ $labels.column }} {{ $labels.group }} have drifted from the training",
            f"Their population stability index is {{{{ $value | humanize }}}}, above {business.psi_max:g}, and that of "
            "all together is not.",
        ),
    )
