"""A real Apache Kafka on a machine without Java or Docker: for demo, benchmark and tests, not production."""

from stream_scorer.operations.local_broker.cluster import LocalBroker

__all__ = ["LocalBroker"]
