"""Runs a made-up world through the real rules with promtool, and tells which alerts fire in it."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from stream_scorer.operations.monitoring.alert_rules import alert_groups
from stream_scorer.operations.monitoring.prometheus_files import recording_groups, rule_file
from stream_scorer.operations.monitoring.rules import RulePace
from stream_scorer.runtime.settings.settings import Settings
from tests.observability.prometheus_scenarios import World


def run(promtool: str, folder: Path, test: dict[str, Any], settings: Settings | None = None) -> str:
    """Run one promtool test on all rules; what it said, "" where all was as expected."""
    groups = (*recording_groups(settings or Settings(), RulePace()), *alert_groups(settings or Settings(), RulePace()))
    (folder / "rules.yml").write_text(rule_file(groups), encoding="utf-8")
    document = {
        "rule_files": ["rules.yml"],
        # promtool works out every group at every step, in this order
        "group_eval_order": [group.name for group in groups],
        **test,
    }
    (folder / "test.yml").write_text(json.dumps(document), encoding="utf-8")
    ended = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr


def firing(promtool: str, folder: Path, world: World, *, at: str, scrape: str, step: str) -> dict[str, int]:
    """Which alerts fire at that time, each with the number of its series; the rules are worked out each `step`."""
    query = 'count by (alertname) (ALERTS{alertstate="firing"})'
    said = evaluate(promtool, folder, world, query, at=at, scrape=scrape, step=step)
    return {str(labels["alertname"]): int(value) for labels, value in said}


def evaluate(
    promtool: str, folder: Path, world: World, query: str, *, at: str, scrape: str, step: str
) -> list[tuple[dict[str, str], float]]:
    """What a query gives at that time: promtool only compares, so it is told something wrong and its answer is read."""
    test = {
        "evaluation_interval": step,
        "tests": [
            {
                "interval": scrape,
                "input_series": [{"series": series, "values": values} for series, values in world.items()],
                "promql_expr_test": [
                    {"expr": query, "eval_time": at, "exp_samples": [{"labels": '{wrong="wrong"}', "value": 0}]}
                ],
            }
        ],
    }
    said = run(promtool, folder, test)
    assert "got:" in said, said
    got = said.split("got:", 1)[1].strip()
    samples = re.findall(r"\{([^}]*)\} (\S+?)(?:,|$)", got, re.MULTILINE)
    assert samples or got == "nil", said
    return [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)) for labels, value in samples]
