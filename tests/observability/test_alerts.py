"""Every alert in a world where it must fire and in one where it nearly does, worked out by promtool from the rules that
are shipped; nothing else fires in either.
"""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from stream_scorer.operations.monitoring.alert_rules import alert_groups
from stream_scorer.operations.monitoring.rules import RUNBOOK, Alert, RulePace
from stream_scorer.runtime.metrics import catalogue as catalogue
from stream_scorer.runtime.metrics import evidence_catalogue as evidence
from stream_scorer.runtime.metrics import gateway_catalogue
from stream_scorer.runtime.metrics.console_catalogue import LOGIN_FAILURES, LOGINS_THROTTLED
from stream_scorer.runtime.settings.settings import BusinessSettings, Settings
from tests.observability.prometheus_scenarios import (
    LATENCY,
    MODEL,
    MODEL_TIME,
    World,
    distributions,
    growing,
    outcomes,
    series,
    steady,
    worker,
)
from tests.observability.promtool_cases import firing

ROOT = Path(__file__).parents[2]
ALERTS = [rule for group in alert_groups(Settings(), RulePace()) for rule in group.rules if isinstance(rule, Alert)]
A, B = {"instance": "a:8080"}, {"instance": "b:8080"}


class Time(NamedTuple):
    """When one looks; how often is scraped, and the rules are worked out."""

    at: str = "30m"
    scrape: str = "1m"
    step: str = "1m"


class Case(NamedTuple):
    """What goes wrong in a healthy world of two workers, and whether the alert fires in it."""

    alert: str
    story: str
    fires: bool
    wrong: World
    time: Time = Time()
    others: frozenset[str] = frozenset()


def end(name: str) -> str:
    return series(catalogue.OBSERVATIONS.name, end=name)


def letters(code: str, stage: str) -> str:
    return series(catalogue.DEAD_LETTERS.name, code=code, stage=stage)


def slow(share_late: float) -> World:
    """Latency of both workers, so that this share is beyond the limit."""
    return {series(f"{LATENCY}_bucket", of, le="1.0"): growing(round(600 * (1 - share_late))) for of in (A, B)}


def both(name: str, values: str, **labels: str) -> World:
    return {series(name, of, **labels): values for of in (A, B)}


def judged(found: int, missed: int) -> World:
    """Outcomes of both workers at each scrape."""
    return outcomes(A, found, missed) | outcomes(B, found, missed)


def apart(found: int, missed: int, *, column: str, group: str) -> World:
    """The same, but of one group."""
    world = judged(12, 8)
    for of in (A, B):
        for actual, grown in (("true", found), ("false", missed)):
            told = {**MODEL, "column": column, "group": group, "predicted": "true", "actual": actual}
            world[series(catalogue.JOINED.name, of, **told)] = growing(grown)
    return world


def drifted(column: str, bucket: str, by: int) -> World:
    """Traffic of which one bucket has grown."""
    world = distributions(A) | distributions(B)
    return world | both(catalogue.FEATURES.name, growing(by), column=column, bucket=bucket)


def leaning(group: str | None, weights: tuple[int, ...]) -> World:
    """Probabilities with these weights of their tenths, in one group of the first column or in all."""
    world = distributions(A) | distributions(B)
    for name in world:
        if name.startswith(catalogue.PROBABILITIES.name) and (group is None or f'group="{group}"' in name):
            place = int(re.search(r'bucket="0\.(\d)', name)[1])  # type: ignore[index]
            world[name] = growing(weights[place])
    return world


def scaled(world: World, names: str, factor: float) -> World:
    """Counters of that name, slower."""
    return {
        name: growing(float(values.split("+")[1].split("x")[0]) * factor) if name.startswith(names) else values
        for name, values in world.items()
    }


GATEWAY = {"job": "gateway-of-stream-scorer", "instance": "gateway:8090"}


def asked(route: str, status: str, by: float) -> World:
    return {series(gateway_catalogue.REQUESTS.name, GATEWAY, route=route, status=status): growing(by)}


def answered_late(share: float, route: str = "predict") -> World:
    """Answers of one route, of which this share takes more than a second."""
    name = gateway_catalogue.REQUEST_SECONDS.name + "_bucket"
    within = {"0.5": 1 - share, "1.0": 1 - share, "2.5": 1.0, "+Inf": 1.0}
    return {series(name, GATEWAY, route=route, le=le): growing(round(1_000 * part)) for le, part in within.items()}


def in_flight(now: str) -> World:
    return {
        series(gateway_catalogue.IN_FLIGHT.name, GATEWAY): now,
        series(gateway_catalogue.IN_FLIGHT_MAX.name, GATEWAY): steady(512),
    }


def judge(event: str) -> str:
    return series(catalogue.JUDGE_EVENTS.name, event=event)


ENDS = catalogue.OBSERVATION_ENDS
TREES = {"model": "trees@ba9876543210", "role": "canary"}


def candidate(role: str = "canary", **figures: str) -> World:
    """A candidate whose evidence grows, as the first worker shows it: these figures of the decision `promote` or
    `withdraw`, a guard, or a condition's opposite, each by its values."""
    told = TREES | {"role": role}
    world = {
        series(evidence.CANDIDATE_SCORED.name, A, **told): growing(300),
        series(evidence.CANDIDATE_OUTCOMES.name, A, **told): growing(100),
    }
    for decision in evidence.DECISIONS:
        world[series(evidence.CANDIDATE_DECISION.name, A, **told, decision=decision)] = figures.get(decision, steady(0))
    for guard in evidence.GUARDS:
        world[series(evidence.CANDIDATE_GUARD.name, A, **told, guard=guard)] = figures.get(guard, steady(0))
    for condition in ("gain", "gap_W-B"):
        name = series(evidence.CONDITION_OPPOSED.name, A, **told, condition=condition)
        world[name] = figures.get(condition.partition("_")[0], steady(0))
    return world


CONSOLE = {"job": "console-of-stream-scorer", "instance": "console:8081"}
THROTTLED = series(gateway_catalogue.THROTTLED.name, GATEWAY)
HIGH = (0, 0, 0, 8, 20, 30, 60, 60, 40, 20)
HOURLY = Time("26h", "20m", "1h")
WEEKLY = Time("170h", "30m", "1h")

CASES = [
    Case("StreamScorerNoWorker", "all down", True, both("up", "1+0x20 0+0x100")),
    Case("StreamScorerNoWorker", "one is left", False, {series("up", A): "1+0x28 0+0x100"}),
    Case("StreamScorerWorkerDown", "one of two", True, {series("up", B): "1+0x20 0+0x100"}),
    Case("StreamScorerWorkerDown", "a minute only", False, {series("up", B): "1+0x28 0 0 0"}),
    Case("StreamScorerWorkerNotReady", "restoring for ever", True, {series(catalogue.READY.name): steady(0)}),
    Case("StreamScorerWorkerNotReady", "restored in time", False, {series(catalogue.READY.name): "0+0x8 1+0x100"}),
    Case(
        "StreamScorerWorkerRestarting",
        "three starts",
        True,
        {series("process_start_time_seconds"): "1 1 1 1 1 200 200 200 900 900 900 1500 1500 1500+0x100"},
    ),
    Case(
        "StreamScorerWorkerRestarting",
        "two starts",
        False,
        {series("process_start_time_seconds"): "1 1 1 200 900+0x100"},
    ),
    Case(
        "StreamScorerRefused",
        "for a moment, again and again",
        True,
        {series(catalogue.REFUSED.name, A, cause="beyond_end"): "0+0x22 1 _ _ _ 0+0x100"},
    ),
    Case(
        "StreamScorerRefused",
        "an hour ago",
        False,
        {series(catalogue.REFUSED.name, A, cause="beyond_end"): "1 _ _ 0+0x100"},
    ),
    Case("StreamScorerClockWrong", "behind", True, {series(catalogue.CLOCK_SKEW.name, A): steady(-301)}),
    Case("StreamScorerClockWrong", "a little ahead", False, {series(catalogue.CLOCK_SKEW.name, A): steady(299)}),
    Case("StreamScorerCommitsStalled", "stuck", True, {series(catalogue.COMMIT_AGE.name): "0+10x100"}),
    Case("StreamScorerCommitsStalled", "slow", False, {series(catalogue.COMMIT_AGE.name): steady(59)}),
    Case("StreamScorerRebalancingOften", "each minute", True, both(catalogue.REBALANCES.name, growing(1))),
    Case("StreamScorerRebalancingOften", "a rollout", False, both(catalogue.REBALANCES.name, "1 1 1 2 3 4 5 5+0x100")),
    Case("StreamScorerDiskFull", "9 % free", True, {series(catalogue.DISK_FREE.name): steady(9e9)}),
    Case("StreamScorerDiskFull", "11 % free", False, {series(catalogue.DISK_FREE.name): steady(11e9)}),
    Case("StreamScorerFilesExhausted", "81 %", True, {series("process_open_fds"): steady(810)}),
    Case("StreamScorerFilesExhausted", "79 %", False, {series("process_open_fds"): steady(790)}),
    Case(
        "StreamScorerLoginsFail",
        "guesses that are not even looked at",
        True,
        {series(LOGINS_THROTTLED.name, CONSOLE, by="form"): growing(500)}
        | {series(LOGIN_FAILURES.name, CONSOLE, by="form"): growing(1)},
    ),
    Case(
        "StreamScorerLoginsFail",
        "somebody mistypes",
        False,
        {series(LOGINS_THROTTLED.name, CONSOLE, by="form"): steady(0)}
        | {series(LOGIN_FAILURES.name, CONSOLE, by="form"): "0 1 2 3+0x400"},
    ),
    Case("StreamScorerNoGateway", "the last one ended", True, {series("up", GATEWAY): "1+0x20 0+0x100"}),
    Case("StreamScorerNoGateway", "there is one", False, {series("up", GATEWAY): steady(1)}),
    Case(
        "StreamScorerGatewayKafkaAway",
        "for long",
        True,
        {series(gateway_catalogue.KAFKA_UP.name, GATEWAY): "1+0x20 0+0x100"},
    ),
    Case(
        "StreamScorerGatewayKafkaAway",
        "for a moment",
        False,
        {series(gateway_catalogue.KAFKA_UP.name, GATEWAY): "1+0x27 0 1+0x100"},
    ),
    Case("StreamScorerGatewayFails", "6 of 100", True, asked("predict", "2xx", 94) | asked("predict", "5xx", 6)),
    Case("StreamScorerGatewayFails", "4 of 100", False, asked("predict", "2xx", 96) | asked("predict", "5xx", 4)),
    Case("StreamScorerGatewayFails", "some of few", False, asked("predict", "2xx", 4) | asked("predict", "5xx", 2)),
    Case("StreamScorerGatewayFails", "probes only", False, asked("other", "2xx", 90) | asked("other", "5xx", 60)),
    Case("StreamScorerGatewaySlow", "2 of 100 late", True, answered_late(0.02)),
    Case("StreamScorerGatewaySlow", "1 of 200 late", False, answered_late(0.005)),
    Case("StreamScorerGatewaySlow", "batches take their time", False, answered_late(0.5, "predict_batch")),
    Case("StreamScorerGatewayFull", "for long", True, in_flight(steady(500))),
    Case("StreamScorerGatewayFull", "a burst", False, in_flight("0+0x26 512 512 0+0x100")),
    Case(
        "StreamScorerGatewayThrottles",
        "every tenth",
        True,
        asked("predict", "2xx", 90) | asked("predict", "4xx", 10) | {THROTTLED: growing(10)},
    ),
    Case(
        "StreamScorerGatewayThrottles",
        "every fiftieth",
        False,
        asked("predict", "2xx", 98) | asked("predict", "4xx", 2) | {THROTTLED: growing(2)},
    ),
    Case(
        "StreamScorerRecordsWait",
        "over a minute",
        True,
        {series(catalogue.OLDEST_UNCOMMITTED_RECORD_AGE.name): steady(61)},
    ),
    Case(
        "StreamScorerRecordsWait",
        "a moment",
        False,
        {series(catalogue.OLDEST_UNCOMMITTED_RECORD_AGE.name): "0+0x27 90 0+0x100"},
    ),
    Case(
        "StreamScorerRecordsLost",
        "while it ran",
        True,
        {series(catalogue.LOST_TO_RETENTION.name, A, input="observations"): "0+0x20 50+0x100"},
    ),
    Case(
        "StreamScorerRecordsLost",
        "before it started",
        True,
        {series(catalogue.LOST_TO_RETENTION.name, A, input="outcomes"): "_x20 7+0x100"},
    ),
    Case(
        "StreamScorerRecordsLost",
        "long ago",
        False,
        {series(catalogue.LOST_TO_RETENTION.name, A, input="observations"): "50+0x200"},
        Time("2h"),
    ),
    Case("StreamScorerManyDeadLetters", "bad producers", True, {end("dead_lettered"): growing(200)}),
    Case("StreamScorerManyDeadLetters", "some more", False, {end("dead_lettered"): growing(100)}),
    Case(
        "StreamScorerManyDeadLetters",
        "half of next to nothing",
        False,
        {end("dead_lettered"): growing(1), end("predicted"): growing(1)}
        | {series(catalogue.OBSERVATIONS.name, B, end=one): growing(0) for one in catalogue.OBSERVATION_ENDS},
    ),
    Case(
        "StreamScorerManyDeadLetters",
        "many moves",
        False,
        {end("moved"): growing(2_000), end("dead_lettered"): growing(100)},
    ),
    Case("StreamScorerIntakePaused", "the brake holds", True, {series(catalogue.BREAKER_OPEN.name): "0+0x20 1+0x100"}),
    Case("StreamScorerIntakePaused", "the brake held", False, {series(catalogue.BREAKER_OPEN.name): "0 0 1 1 0+0x100"}),
    Case(
        "StreamScorerNewReason",
        "first invalid output",
        True,
        {letters("invalid_output", "output"): "0+0x310 3+0x100"},
        Time("26h", "5m", "1h"),
    ),
    Case(
        "StreamScorerNewReason",
        "had some hours ago",
        False,
        {letters("invalid_output", "output"): "0+0x100 3+0x209 9+0x100"},
        Time("26h", "5m", "1h"),
    ),
    Case(
        "StreamScorerNewReason",
        "nobody knows yet what is new",
        False,
        {letters("invalid_output", "output"): "0+0x214 3+0x100"},
        Time("18h", "5m", "1h"),
    ),
    Case("StreamScorerBatchQuarantined", "one bomb", True, {series(catalogue.QUARANTINED.name): "0+0x20 40+0x100"}),
    Case("StreamScorerModelSuspended", "a canary raised", True, {series(catalogue.SUSPENSIONS.name): "0+0x20 4+0x100"}),
    Case("StreamScorerModelSuspended", "long ago", False, {series(catalogue.SUSPENSIONS.name): "4+0x200"}),
    Case("StreamScorerBatchQuarantined", "long ago", False, {series(catalogue.QUARANTINED.name): "40+0x200"}),
    Case(
        "StreamScorerOutcomesMissing",
        "none for a day",
        True,
        both(catalogue.OUTCOMES.name, "9+0x200", end="joined"),
        HOURLY,
    ),
    Case(
        "StreamScorerOutcomesMissing",
        "one in a day",
        False,
        both(catalogue.OUTCOMES.name, "9+0x40 10+0x100", end="joined"),
        HOURLY,
    ),
    Case("StreamScorerLatencyHigh", "a fifth is late", True, slow(0.2), Time("2h")),
    Case(
        "StreamScorerLatencyHigh",
        "a fifth was late, not now",
        False,
        dict.fromkeys(slow(0.2), f"0+480x100 {48_000 + 600}+600x100"),
        Time("2h"),
        others=frozenset({"StreamScorerLatencyRising"}),
    ),
    Case("StreamScorerLatencyRising", "a tenth is late", True, slow(0.1), Time("2h")),
    Case("StreamScorerLatencyRising", "five of a hundred are late", False, slow(0.05), Time("2h")),
    Case(
        "StreamScorerModelSlow",
        "two of a hundred",
        True,
        both(f"{MODEL_TIME}_bucket", growing(588), le="0.02"),
        Time("1h"),
    ),
    Case(
        "StreamScorerModelSlow",
        "one of two hundred",
        False,
        both(f"{MODEL_TIME}_bucket", growing(597), le="0.02"),
        Time("1h"),
    ),
    Case("StreamScorerSuccessRateLow", "two of five", True, judged(8, 12), HOURLY),
    Case(
        "StreamScorerSuccessRateLow",
        "a little below, which may be chance",
        False,
        scaled(judged(48, 52), catalogue.JOINED.name, 0.1),
        HOURLY,
    ),
    Case(
        "StreamScorerSuccessRateLow", "few outcomes", False, scaled(judged(1, 9), catalogue.JOINED.name, 0.05), HOURLY
    ),
    Case(
        "StreamScorerGroupGapHigh",
        "one race found half as often",
        True,
        apart(10, 10, column="SubjectRaceCode", group="B") | apart(12, 2, column="SubjectRaceCode", group="W"),
        HOURLY,
    ),
    Case("StreamScorerGroupGapHigh", "four points", False, apart(56, 44, column="SubjectRaceCode", group="B"), HOURLY),
    Case(
        "StreamScorerGroupGapHigh",
        "a group with few outcomes",
        False,
        scaled(apart(0, 1, column="SubjectRaceCode", group="I"), "nothing", 1),
        Time("8h", "20m", "1h"),
    ),
    Case("StreamScorerColumnDrifted", "mostly at night", True, drifted("hour", "3", 400), HOURLY),
    Case("StreamScorerColumnDrifted", "a little more", False, drifted("hour", "3", 35), HOURLY),
    Case(
        "StreamScorerColumnDrifted",
        "few observations",
        False,
        scaled(drifted("hour", "3", 400), catalogue.FEATURES.name, 0.003),
        HOURLY,
    ),
    Case(
        "StreamScorerColumnDrifted", "a day not yet whole", False, drifted("hour", "3", 400), Time("18h", "20m", "1h")
    ),
    Case("StreamScorerColumnDrifted", "weekdays in a day", False, drifted("day_of_week", "Monday", 400), HOURLY),
    Case("StreamScorerColumnDrifted", "weekdays in a week", True, drifted("day_of_week", "Monday", 400), WEEKLY),
    Case("StreamScorerProbabilitiesDrifted", "much higher", True, leaning(None, HIGH), HOURLY),
    Case(
        "StreamScorerProbabilitiesDrifted",
        "a little higher",
        False,
        leaning(None, (2, 8, 18, 26, 58, 60, 34, 24, 10, 4)),
        HOURLY,
    ),
    Case("StreamScorerGroupProbabilitiesDrifted", "one ethnicity", True, leaning("H", HIGH), HOURLY),
    Case(
        "StreamScorerGroupProbabilitiesDrifted",
        "few of it",
        False,
        scaled(leaning("H", HIGH), "nothing", 1)
        | {
            name: growing(0.05)
            for name in leaning("H", HIGH)
            if name.startswith(catalogue.PROBABILITIES.name) and 'group="H"' in name
        },
        HOURLY,
    ),
    Case("StreamScorerCandidateBetter", "a canary, for long", True, candidate(promote=steady(1))),
    Case("StreamScorerCandidateBetter", "the champion before", True, candidate("previous", promote=steady(1))),
    Case("StreamScorerCandidateBetter", "the judge promotes it", False, candidate(promote="0+0x20 1 1 0+0x100")),
    Case("StreamScorerCandidateWorse", "by its gain", True, candidate(withdraw=steady(1), gain=steady(1))),
    Case("StreamScorerCandidateWorse", "the champion before", False, candidate("previous", withdraw=steady(1))),
    Case("StreamScorerCandidateUnfair", "to one group", True, candidate(withdraw=steady(1), gap=steady(1))),
    Case(
        "StreamScorerCandidateUnfair",
        "the champion before was",
        False,
        candidate("previous", withdraw=steady(1), gap=steady(1)),
    ),
    Case("StreamScorerVerdictSuspended", "uneven labels", True, candidate(suspend=steady(1), coverage=steady(1))),
    Case("StreamScorerVerdictSuspended", "no more", False, candidate(calibration="1+0x20 0+0x100")),
    Case(
        "StreamScorerEvidenceStalled",
        "nothing is counted any more",
        True,
        candidate() | {series(evidence.CANDIDATE_SCORED.name, A, **TREES): "0+300x10 3000+0x200"},
        Time("1h"),
    ),
    Case(
        "StreamScorerEvidenceStalled",
        "nobody adds the lanes up",
        True,
        {series(catalogue.MODEL_LOADED.name, A, **TREES): steady(1)},
        Time("1h"),
    ),
    Case("StreamScorerEvidenceStalled", "it grows", False, candidate(), Time("1h")),
    Case(
        "StreamScorerEvidenceStalled",
        "nothing is predicted either",
        False,
        candidate()
        | {series(evidence.CANDIDATE_SCORED.name, A, **TREES): steady(300)}
        | {series(catalogue.OBSERVATIONS.name, of, end=one): steady(9) for of in (A, B) for one in ENDS},
        Time("1h"),
    ),
    Case("StreamScorerJudgeFails", "no right", True, {judge("missing_right"): growing(12)}, Time("1h")),
    Case("StreamScorerJudgeFails", "a broker was away", False, {judge("fault"): "0+0x30 6 12 20+0x100"}, Time("1h")),
    Case("StreamScorerJudgeFails", "others are quicker", False, {judge("overtaken"): growing(12)}, Time("1h")),
    Case("StreamScorerCandidateRefused", "by one worker", True, {series(catalogue.MODELS_REFUSED.name, B): steady(1)}),
    Case(
        "StreamScorerCandidateRefused", "until the next act", False, both(catalogue.MODELS_REFUSED.name, "1 1 0+0x100")
    ),
    Case(
        "StreamScorerLanesDiffer", "one worker stays back", True, {series(catalogue.CONTROL_OFFSET.name, A): steady(4)}
    ),
    Case(
        "StreamScorerLanesDiffer",
        "until the other has loaded",
        False,
        {
            series(catalogue.CONTROL_OFFSET.name, A): "3+0x10 4+0x100",
            series(catalogue.CONTROL_OFFSET.name, B): "3+0x18 4+0x100",
        },
    ),
    Case(
        "StreamScorerModelsDiffer",
        "a rollout that stopped halfway, told once",
        True,
        {
            series(catalogue.MODEL_LOADED.name, A, **MODEL): steady(0),
            series(catalogue.MODEL_LOADED.name, A, **{**MODEL, "model": "other@ba9876543210"}): steady(1),
            series(catalogue.CONTROL_OFFSET.name, A): steady(4),
        },
    ),
    Case(
        "StreamScorerModelsDiffer",
        "a rollout that stopped halfway",
        True,
        {
            series(catalogue.MODEL_LOADED.name, A, **MODEL): steady(0),
            series(catalogue.MODEL_LOADED.name, A, **{**MODEL, "model": "other@ba9876543210"}): steady(1),
        },
    ),
    Case(
        "StreamScorerModelsDiffer",
        "a rollout of ten minutes",
        False,
        {
            series(catalogue.MODEL_LOADED.name, A, **MODEL): "1+0x10 0+0x100",
            series(catalogue.MODEL_LOADED.name, B, **MODEL): "1+0x20 0+0x100",
            series(catalogue.MODEL_LOADED.name, A, **{**MODEL, "model": "other@ba9876543210"}): "0+0x10 1+0x100",
            series(catalogue.MODEL_LOADED.name, B, **{**MODEL, "model": "other@ba9876543210"}): "0+0x20 1+0x100",
        },
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}, {case.story}")
def test_an_alert_fires_when_it_must_and_alone(case: Case, promtool: str, tmp_path: Path) -> None:
    world = worker("a:8080") | worker("b:8080") | case.wrong
    found = firing(promtool, tmp_path, world, at=case.time.at, scrape=case.time.scrape, step=case.time.step)
    assert found.keys() == ({case.alert} if case.fires else set()) | case.others


@pytest.mark.parametrize("fires", [True, False], ids=["fires", "stays quiet"])
@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_has_such_a_world(alert: Alert, fires: bool) -> None:
    assert any(case.alert == alert.name and case.fires is fires for case in CASES)


def test_no_worker_was_ever_scraped(promtool: str, tmp_path: Path) -> None:
    world = {'up{job="another",instance="x"}': steady(1)}
    assert firing(promtool, tmp_path, world, at="30m", scrape="1m", step="1m") == {"StreamScorerNoWorker": 1}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_has_its_section_in_the_runbook(alert: Alert) -> None:
    headings = re.findall(r"^## (\S+)$", (ROOT / RUNBOOK).read_text(encoding="utf-8"), re.MULTILINE)
    assert headings.count(alert.name) == 1


def test_every_alert_section_of_the_runbook_has_its_alert() -> None:
    headings = re.findall(r"^## (StreamScorer\S+)$", (ROOT / RUNBOOK).read_text(encoding="utf-8"), re.MULTILINE)
    assert set(headings) == {alert.name for alert in ALERTS}


def test_a_threshold_of_the_settings_is_the_alert_s() -> None:
    settings = Settings(business=BusinessSettings(success_rate_min=0.61, lag_age_s_max=17, psi_max=0.33))
    text = "\n".join(
        rule.expr for group in alert_groups(settings, RulePace()) for rule in group.rules if isinstance(rule, Alert)
    )
    assert "< 0.61" in text
    assert "oldest_uncommitted_record_age_seconds > 17" in text
    assert re.search(r"feature_psi\{[^}]*\} > 0\.33", text)
