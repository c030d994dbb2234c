"""The worker process: composition root, service, health, probes."""
