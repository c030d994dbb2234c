"""What Prometheus and Grafana are told: rules, alerts, dashboards, made from the catalogue of metrics and the settings.

Invariant: a threshold stands in the settings, never in a rule file by hand; the files under deploy/ are generated.
"""
