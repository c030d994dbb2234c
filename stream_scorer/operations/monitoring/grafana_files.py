"""The files that Grafana reads: its data source, where its dashboards lie, and the dashboards.

Invariant: one code and the same settings give the same bytes.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from stream_scorer.operations.monitoring import dashboard_dead_letters, dashboard_models, dashboard_operations
from stream_scorer.operations.monitoring.panels import PAGE, Annotation, PanelRow, Variable, annotated, chosen, laid_out
from stream_scorer.operations.monitoring.prometheus_files import GENERATED
from stream_scorer.operations.monitoring.rules import RUNBOOK
from stream_scorer.runtime.metrics import catalogue as catalogue
from stream_scorer.runtime.settings.settings import Settings

SCHEMA_VERSION: Final = 38
TAG: Final = "stream-scorer"
# Where the container that Grafana runs in finds the dashboards
DASHBOARDS_FOLDER: Final = "/etc/grafana/dashboards"

OF = 'job=~"$job"'
LOADED, BUILD = f"{catalogue.MODEL_LOADED.name}{{{OF}}}", f"{catalogue.BUILD.name}{{{OF}}}"


def begun(labels: str, series: str) -> str:
    """What is the case now and was not a minute ago, while something else was."""
    before = f"count by ({labels}) ({series} offset 1m == 1)"
    return f"count by ({labels}) ({series} == 1) unless {before} and on () count ({series} offset 1m)"


def control_record() -> str:
    """The offset of the control record that the first worker has come to, as the label `record`."""
    return f'count_values by (job) ("record", max by (job) ({catalogue.CONTROL_OFFSET.name}{{{OF}}}'


ANNOTATIONS: Final = (
    Annotation(
        "Models changed",
        f"{control_record()}))\nunless {control_record()} offset 1m))",
        "Control record {{record}} of {{job}} is followed",
        "red",
    ),
    Annotation("Model switched", begun("model, role", LOADED), "{{model}} serves as {{role}}", "purple"),
    Annotation("Replay", f"sum(increase({catalogue.REPLAYED.name}{{{OF}}}[1m])) > 0", "Records were replayed", "blue"),
    Annotation("Rebalance", f"sum(increase({catalogue.REBALANCES.name}{{{OF}}}[1m])) > 0", "Rebalance", "yellow"),
    Annotation("Release", begun("version, contract", BUILD), "Version {{version}}, contract {{contract}}", "green"),
)


def grafana_files(settings: Settings, runbook: str = RUNBOOK) -> dict[str, str]:
    """File name → text. `runbook`: where people find it."""
    at = Variable("runbook", "Runbook", text=runbook)
    made = {
        one.UID: dashboard(one.UID, one.TITLE, one.rows(settings), (*one.VARIABLES, PAGE, at))
        for one in (dashboard_operations, dashboard_models, dashboard_dead_letters)
    }
    dashboards = {
        f"dashboards/{uid.removeprefix('stream-scorer-')}.json": json.dumps(one, indent=1, ensure_ascii=False) + "\n"
        for uid, one in made.items()
    }
    return {
        "provisioning/datasources/prometheus.yml": DATA_SOURCE,
        "provisioning/dashboards/stream-scorer.yml": DASHBOARDS,
        **dashboards,
    }


def dashboard(uid: str, title: str, rows: Sequence[PanelRow], variables: Sequence[Variable]) -> dict[str, Any]:
    return {
        "uid": uid,
        "title": title,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": chosen(variables)},
        "annotations": {"list": annotated(ANNOTATIONS)},
        "links": [
            {"title": "stream-scorer", "type": "dashboards", "tags": [TAG], "keepTime": True, "asDropdown": False}
        ],
        "panels": laid_out(rows),
    }


DATA_SOURCE: Final = f"""{GENERATED}
apiVersion: 1
datasources:
  - name: Prometheus
    uid: prometheus
    type: prometheus
    access: proxy
    url: http://prometheus:9090
    isDefault: true
    editable: false
    jsonData:
      timeInterval: 15s
"""
DASHBOARDS: Final = f"""{GENERATED}
apiVersion: 1
providers:
  - name: stream-scorer
    type: file
    disableDeletion: true
    allowUiUpdates: false
    options:
      path: {DASHBOARDS_FOLDER}
"""
