"""What Prometheus and Grafana are told says what code and settings say: generated, and compared byte for byte."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_scorer.operations.monitoring.alert_rules import alert_groups
from stream_scorer.operations.monitoring.files import monitoring_files
from stream_scorer.operations.monitoring.panels import COLUMNS_MAX
from stream_scorer.operations.monitoring.prometheus_files import RETENTION, recording_groups
from stream_scorer.operations.monitoring.rules import Alert, Recording, RulePace, span
from stream_scorer.runtime.metrics.catalogue import CATALOGUE
from stream_scorer.runtime.metrics.console_catalogue import CONSOLE_CATALOGUE
from stream_scorer.runtime.metrics.evidence_catalogue import EVIDENCE_CATALOGUE
from stream_scorer.runtime.metrics.gateway_catalogue import GATEWAY_CATALOGUE
from stream_scorer.runtime.settings.settings import BusinessSettings, Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
REGENERATE = "make generate"
FILES = monitoring_files(Settings())
DASHBOARDS = {name: json.loads(text) for name, text in FILES.items() if name.endswith(".json")}
PANELS = [
    pytest.param(dashboard, panel, id=f"{dashboard['title']} / {panel['title']}")
    for dashboard in DASHBOARDS.values()
    for panel in dashboard["panels"]
    if panel["type"] != "row"
]
GROUPS = (*recording_groups(Settings(), RulePace()), *alert_groups(Settings(), RulePace()))
RULES = [rule for group in GROUPS for rule in group.rules]
RECORDED = {rule.record for rule in RULES if isinstance(rule, Recording)}
EXPOSED = {definition.name for definition in (*CATALOGUE, *EVIDENCE_CATALOGUE, *CONSOLE_CATALOGUE, *GATEWAY_CATALOGUE)}
NAME = re.compile(r"\bstream_scorer[a-z0-9_:]+")


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_generated_file_is_what_the_code_generates(name: str) -> None:
    path = DEPLOY / name
    written = path.read_text(encoding="utf-8") if path.exists() else None
    assert written == FILES[name], f"{path} is not what the code generates; run: {REGENERATE}"


def test_no_other_dashboard_lies_beside_them() -> None:
    found = {f"grafana/dashboards/{path.name}" for path in (DEPLOY / "grafana" / "dashboards").iterdir()}
    assert found == set(DASHBOARDS)


def test_the_same_settings_give_the_same_files_and_others_other_thresholds() -> None:
    assert monitoring_files(Settings()) == FILES
    other = monitoring_files(Settings(business=BusinessSettings(success_rate_min=0.61)))
    changed = {name for name, text in other.items() if text != FILES[name]}
    assert changed == {"prometheus/alert-rules.yml", "grafana/dashboards/models.json"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.record if isinstance(rule, Recording) else rule.name)
def test_a_rule_stands_on_metrics_and_records_that_are_there(rule: Recording | Alert) -> None:
    assert unknown(rule.expr) == set()


def test_a_record_stands_on_records_before_it() -> None:
    known: set[str] = set()
    for rule in RULES:
        if isinstance(rule, Recording):
            assert {name for name in NAME.findall(rule.expr) if ":" in name} <= known, rule.record
            known.add(rule.record)


def unknown(expr: str) -> set[str]:
    """Names of ours that nobody shows or records."""
    found = {re.sub(r"_(bucket|sum|count)$", "", name) if ":" not in name else name for name in NAME.findall(expr)}
    return found - EXPOSED - RECORDED - {f"{name}_count" for name in EXPOSED}


def test_rule_files_read_back_as_they_were_made() -> None:
    for name, groups in (
        ("recording-rules.yml", recording_groups(Settings(), RulePace())),
        ("alert-rules.yml", alert_groups(Settings(), RulePace())),
    ):
        read = yaml.safe_load(FILES[f"prometheus/{name}"])
        assert [group["name"] for group in read["groups"]] == [group.name for group in groups]
        exprs = [rule["expr"] for group in read["groups"] for rule in group["rules"]]
        assert exprs == [rule.expr for group in groups for rule in group.rules]


def test_the_retention_that_is_asked_for_is_400_days() -> None:
    assert RETENTION == "400d"
    assert f"--storage.tsdb.retention.time={RETENTION}" in FILES["prometheus/prometheus.yml"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(15, "15s"), (60, "1m"), (90, "90s"), (3_600, "1h"), (5_400, "90m"), (2_419_200, "28d")]
)
def test_a_span_is_written_in_the_largest_unit_that_fits(seconds: int, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(("dashboard", "panel"), PANELS)
def test_a_panel_says_what_it_shows(dashboard: dict[str, Any], panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert len(panel["description"]) > 5
    assert panel["targets"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    for target in panel["targets"]:
        assert unknown(target["expr"]) == set()
        assert target["datasource"]["uid"] == "prometheus"
        assert target["legendFormat"] or panel["type"] in ("stat", "table")
    variables = {one["name"] for one in dashboard["templating"]["list"]} | {"__rate_interval", "__range"}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(panel)))
    assert used <= variables


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_panels_do_not_overlap_and_fit(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARDS[name]["panels"]:
        place = panel["gridPos"]
        own = {(place["x"] + across, place["y"] + down) for across in range(place["w"]) for down in range(place["h"])}
        assert place["x"] + place["w"] <= COLUMNS_MAX
        assert not taken & own, panel["title"]
        taken |= own
    numbers = [panel["id"] for panel in DASHBOARDS[name]["panels"]]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_a_dashboard_shows_what_happened_and_comes_from_a_file(name: str) -> None:
    dashboard = DASHBOARDS[name]
    happened = {one["name"] for one in dashboard["annotations"]["list"]}
    assert happened == {"Models changed", "Model switched", "Replay", "Rebalance", "Release"}
    assert not dashboard["editable"]
    assert dashboard["uid"] == f"stream-scorer-{Path(name).stem}"


@pytest.mark.parametrize(("dashboard", "panel"), PANELS)
def test_a_panel_leads_on_to_the_runbook_or_to_dead_letters(dashboard: dict[str, Any], panel: dict[str, Any]) -> None:
    assert panel["links"]
    for link in panel["links"]:
        assert link["title"]
        assert re.match(r"\$\{(runbook|page)\}", link["url"])


def test_links_to_the_runbook_lead_to_alerts() -> None:
    alerts = {rule.name.lower() for rule in RULES if isinstance(rule, Alert)}
    text = "".join(FILES[name] for name in DASHBOARDS)
    linked = set(re.findall(r"\$\{runbook\}#(\w+)", text))
    assert linked <= alerts
    assert len(linked) > len(alerts) / 2


def test_every_exposed_metric_is_used_somewhere() -> None:
    text = "".join(FILES.values())
    assert {name for name in EXPOSED if name not in text} == set()
