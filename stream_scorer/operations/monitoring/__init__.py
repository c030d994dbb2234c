"""The configuration of Prometheus and Grafana: rules, alerts, dashboards, made from the catalogue of metrics and the
settings.

Invariant: a threshold stands in the settings, never in a rule file by hand; the files under deploy/ are generated.
"""
