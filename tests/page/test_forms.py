"""Filters and fixes as forms, and what the page makes of a worker's figures."""

import time
from urllib.parse import parse_qsl

import pytest
from multidict import MultiDict

from stream_scorer.core.contract.reasons import Stage
from stream_scorer.core.dead_letters.named_fixes import NamedFix
from stream_scorer.core.quality.confidence_intervals import wilson
from stream_scorer.errors import SettingsError
from stream_scorer.operations.console.forms.filter_form import fields_of, filter_of, in_words, query_of
from stream_scorer.operations.console.forms.fix_form import FixFields
from stream_scorer.operations.console.jobs import Job, Jobs, OnProgress
from stream_scorer.operations.console.snapshots.recorder import Recorder, Sample
from stream_scorer.operations.console.snapshots.snapshot import PartitionNow, Snapshot
from stream_scorer.operations.console.snapshots.worker_snapshot import SHOWN, ended, latency, quality, samples_of
from stream_scorer.operations.dead_letters.query.filters import WAITING, Filter, State
from stream_scorer.runtime.metrics.registry import Metrics

NOW_MS = 1_795_000_000_000


# Filters


def test_nothing_filled_in_is_every_letter_that_waits() -> None:
    assert filter_of(fields_of(MultiDict({"code": "", "state": ""}))) == Filter()


def test_every_field_of_the_form_narrows() -> None:
    given = MultiDict(
        code="out_of_range",
        field="hour",
        stage="contract",
        since="2026-11-22T08:00",
        until="2026-11-22T09:00:30",
        partition="3",
        id="ev-1",
        producer="north",
        text="between",
        state="replayed",
    )
    assert filter_of(fields_of(given)) == Filter(
        code="out_of_range",
        field="hour",
        stage=Stage.CONTRACT,
        since_ms=1_795_334_400_000,
        until_ms=1_795_338_030_000,
        partition=3,
        id="ev-1",
        producer="north",
        text="between",
        states=frozenset((State.REPLAYED,)),
    )


def test_the_last_hour_ends_now() -> None:
    assert filter_of({"within": "1h"}, NOW_MS).since_ms == NOW_MS - 3_600_000


def test_an_address_says_the_same_as_its_form() -> None:
    given = MultiDict([("text", "a&b=ü <"), ("state", "open"), ("state", "discarded")])
    fields = fields_of(given)
    assert fields_of(MultiDict(parse_qsl(query_of(fields)))) == fields
    assert "a%26b%3D" in query_of(fields)
    assert fields["state"] == ["open", "discarded"]
    assert "open or discarded" in in_words(fields)


@pytest.mark.parametrize(
    "given", [{"since": "yesterday"}, {"stage": "moon"}, {"partition": "-1"}, {"partition": "٣"}, {"within": "1y"}]
)
def test_what_cant_be_understood_is_told(given: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(given))):
        filter_of(dict(given))


def test_both_waiting_states_are_the_same_as_none() -> None:
    given = MultiDict([("state", "open"), ("state", "parked")])
    assert filter_of(fields_of(given)).states == WAITING


# Fixes


def test_a_fix_says_itself_again_word_by_word() -> None:
    given = MultiDict(
        [
            ("fix", "match-case"),
            ("fix", "no-such-fix"),
            ("set_column", ""),
            ("set_value", "lost"),
            ("set_column", "hour"),
            ("set_value", "3"),
            ("patch", " [] "),
        ]
    )
    fields = FixFields(given)
    assert fields.named == [NamedFix.MATCH_CASE]
    assert fields.fix().sets == (("hour", 3),)
    assert FixFields(MultiDict(fields.pairs())).fix() == fields.fix()


def test_an_empty_form_mends_nothing() -> None:
    assert FixFields(MultiDict(patch="  ")).is_empty
    assert not FixFields().fix()


@pytest.mark.parametrize(
    "given",
    [
        MultiDict(patch="{"),
        MultiDict(patch="[" * 50_000),
        MultiDict(set_column="hour", set_value="late"),
        MultiDict(set_column="x", set_value=""),
    ],
)
def test_a_fix_that_is_none_is_told(given: MultiDict[str]) -> None:
    with pytest.raises(SettingsError):
        FixFields(given).fix()


# Figures


def test_a_worker_tells_every_figure_that_the_page_shows() -> None:
    metrics = Metrics()
    metrics.model_loaded("m@1", "champion")
    assert {name for name, _, _ in samples_of(metrics.expose().decode())} == set(SHOWN)


def test_counts_are_read_from_the_text_of_the_metrics() -> None:
    text = """
stream_scorer_observations_total{end="predicted"} 12.0
stream_scorer_observations_total{end="dead_lettered"} 3.0
stream_scorer_dead_letters_total{code="not_json",stage="decode"} 2.0
stream_scorer_dead_letters_total{code="conflict",stage="conflict"} 1.0
stream_scorer_latency_seconds_bucket{le="0.1"} 4.0
stream_scorer_latency_seconds_bucket{le="0.5"} 10.0
stream_scorer_latency_seconds_bucket{le="+Inf"} 12.0
"""
    samples = list(samples_of(text))
    assert ended(samples) == {"observations.predicted": 12, "observations.dead_lettered": 3, "letters": 3}
    assert latency(samples) == ([0.1, 0.5], [4, 6, 2])


def test_quality_leaves_out_what_corrections_took_back() -> None:
    def line(name: str, group: str, predicted: str, actual: str, count: int) -> str:
        labels = f'column="SubjectRaceCode",group="{group}",predicted="{predicted}",actual="{actual}"'
        return f'stream_scorer_{name}_total{{model="m@1",role="champion",{labels}}} {count}.0'

    lines = [
        line("joined", "W", "true", "true", 60),
        line("joined", "W", "true", "false", 40),
        line("joined", "B", "true", "true", 31),
        line("joined", "B", "true", "false", 70),
        line("joined_retracted", "B", "true", "true", 1),
        line("joined", "B", "false", "true", 10),
    ]
    said = quality(list(samples_of("\n".join(lines))), 1)
    assert (said.joined, said.predicted_positive, said.actual_positive) == (210, 200, 100)
    assert said.success_rate == wilson(90, 200)
    (gap,) = said.gaps
    assert (gap.highest, gap.lowest) == ("W", "B")
    assert gap.gap.value == pytest.approx(0.3)


class Counting:
    """A worker that has predicted a thousand more at each look."""

    is_worker = True
    looks = 0

    async def now(self) -> Snapshot:
        self.looks += 1
        return Snapshot(
            partitions=[PartitionNow(0, "open", observations_unread=5, outcomes_unread=2)],
            ended={"observations.predicted": 1_000 * self.looks},
            latency_bounds_s=(0.1, 0.2),
            latency_counts=(500 * self.looks, 500 * self.looks, 0),
        )


async def test_rates_come_of_two_looks_and_the_time_between() -> None:
    recorder = Recorder(Counting())
    assert recorder.rate("observations.predicted") is None
    await recorder.look()
    await recorder.look()
    first, last = recorder.looks
    recorder.looks[0] = Sample(last.at_s - 4, first.now)
    assert recorder.rate("observations.predicted") == pytest.approx(250)
    assert recorder.rates("observations.predicted") == [pytest.approx(250)]
    assert recorder.unread() == [7, 7]


async def test_latency_is_that_of_the_last_minute() -> None:
    recorder = Recorder(Counting())
    await recorder.look()
    await recorder.look()
    median_s, slow_s = recorder.latency_s(0.5, 0.99)
    assert median_s == pytest.approx(0.1)
    assert slow_s == pytest.approx(0.198)


# Errands


def an_errand(kind: str) -> Job:
    return Job(kind, "letters", "as they are", "ann", [], "/", time.time_ns() // 1_000_000)


async def test_an_errand_tells_how_far_it_is_and_what_came_of_it() -> None:
    changes: list[int] = []
    errands = Jobs(lambda: changes.append(1))

    async def work(on_progress: OnProgress) -> str:
        on_progress(3, 7)
        return "done"

    errand = errands.start(an_errand("replay"), work, changes=True)
    assert not errand.is_over
    await errands.idle()
    assert (errand.done, errand.total, errand.report, errand.trouble) == (3, 7, "done", None)
    assert changes == [1]
    assert errands[errand.name] is errand


async def test_a_fault_of_our_own_is_told_without_what_it_quotes(caplog: pytest.LogCaptureFixture) -> None:
    errands, quoted = Jobs(lambda: None), "a secret of somebody"

    async def work(_: OnProgress) -> None:
        raise ValueError(quoted)

    errand = errands.start(an_errand("check"), work, changes=False)
    await errands.idle()
    assert errand.trouble == "A fault of our own: ValueError. The log says more."
    assert "ValueError" in caplog.text
    assert quoted not in caplog.text
