"""All files under deploy/ that are made from the settings and the catalogue of metrics."""

from stream_scorer.operations.monitoring.grafana_files import grafana_files
from stream_scorer.operations.monitoring.prometheus_files import prometheus_files
from stream_scorer.operations.monitoring.rules import RUNBOOK
from stream_scorer.runtime.settings.settings import Settings


def monitoring_files(settings: Settings, runbook: str = RUNBOOK) -> dict[str, str]:
    """Path below deploy/ → text. `runbook`: where people find it."""
    return {
        **{f"prometheus/{name}": text for name, text in prometheus_files(settings, runbook=runbook).items()},
        **{f"grafana/{name}": text for name, text in grafana_files(settings, runbook).items()},
    }
