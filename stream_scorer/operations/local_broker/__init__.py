"""A real Apache Kafka on a machine without Java or Docker: for the demo, the benchmark, the tests, never for production."""

from stream_scorer.operations.local_broker.cluster import LocalBroker

__all__ = ["LocalBroker"]
